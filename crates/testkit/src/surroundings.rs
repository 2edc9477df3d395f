//! The world of a simulated job: everything random comes from a seed, job keys live in the disk's memory, and every nonce that
//! leaves a process is written down.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use pageseal::simulation::{Draw, RandomError, Schedule, Surroundings};

use crate::Generator;
use crate::disk::SimDisk;

/// The tag that each nonce of a file made. Two tags for one nonce are two ciphertexts: what an AEAD must never see.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    tags: BTreeMap<[u8; 24], [u8; 32]>,
    /// A nonce that made two.
    reused: Option<[u8; 24]>,
}

impl Ledger {
    /// Notes that this nonce made this tag, outside of the process.
    pub fn note(&mut self, nonce: [u8; 24], tag: [u8; 32]) {
        let first = *self.tags.entry(nonce).or_insert(tag);
        if first != tag {
            self.reused = Some(nonce);
        }
    }

    /// Notes what another knows.
    pub fn merge(&mut self, other: Ledger) {
        self.reused = self.reused.or(other.reused);
        other.tags.into_iter().for_each(|(nonce, tag)| self.note(nonce, tag));
    }

    /// Whether nothing was sealed so far.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether a nonce made two ciphertexts.
    pub fn has_reuse(&self) -> bool {
        self.reused.is_some()
    }
}

/// Seeded surroundings on a simulated disk.
#[derive(Clone)]
pub struct SimSurroundings(Arc<Inner>);

struct Inner {
    disk: SimDisk,
    generator: Mutex<Generator>,
    ledger: Mutex<Ledger>,
    /// Whether nothing tells which boot this is, as where `/proc` is not mounted.
    hides_boot: bool,
    /// File and job keys that were drawn.
    secrets: Mutex<Vec<[u8; 32]>>,
}

impl fmt::Debug for SimSurroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimSurroundings")
    }
}

impl SimSurroundings {
    /// Surroundings of jobs on this disk, with what is known of the file from before.
    pub fn new(disk: SimDisk, seed: u64, past: Past, hides_boot: bool) -> Self {
        SimSurroundings(Arc::new(Inner {
            disk,
            generator: Mutex::new(Generator::new(seed)),
            ledger: Mutex::new(past.ledger),
            hides_boot,
            secrets: Mutex::new(past.secrets),
        }))
    }

    /// What there is to know of the file from here on.
    pub fn past(&self) -> Past {
        Past { ledger: locked(&self.0.ledger).clone(), secrets: locked(&self.0.secrets).clone() }
    }
}

/// What happened to a file: the nonces that were used and the keys that were drawn.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Nonces.
    pub ledger: Ledger,
    /// File and job keys.
    pub secrets: Vec<[u8; 32]>,
}

impl Past {
    /// What happened to two copies of one file.
    pub fn merge(&mut self, other: Past) {
        self.ledger.merge(other.ledger);
        self.secrets.extend(other.secrets);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Surroundings for SimSurroundings {
    fn fill_random(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), RandomError> {
        locked(&self.0.generator).fill(bytes);
        if let (Draw::FileKey | Draw::JobKey, Ok(secret)) = (draw, <[u8; 32]>::try_from(&*bytes)) {
            locked(&self.0.secrets).push(secret);
        }
        Ok(())
    }

    fn boot_id(&self) -> Option<[u8; 16]> {
        (!self.0.hides_boot).then(|| self.0.disk.look(|state| state.boot_id()))
    }

    fn keep_job_key(&self, job_id: &[u8; 16], key: &[u8; 32]) -> bool {
        self.0.disk.keep_job_key(*job_id, *key);
        true
    }

    fn find_job_key(&self, job_id: &[u8; 16]) -> Option<zeroize::Zeroizing<[u8; 32]>> {
        self.0.disk.job_key(job_id).map(zeroize::Zeroizing::new)
    }

    fn forget_job_key(&self, job_id: &[u8; 16]) -> Option<PathBuf> {
        self.0.disk.forget_job_key(job_id);
        None
    }

    fn chunk_leaves(&self, nonce: &[u8; 24], tag: &[u8; 32]) {
        // A dead process can still compute, but nothing of it gets out.
        if !self.0.disk.is_dead() {
            locked(&self.0.ledger).note(*nonce, *tag);
        }
    }

    fn schedule(&self) -> Option<&dyn Schedule> {
        Some(self.0.disk.turns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_notices_a_nonce_that_is_used_twice() {
        let mut ledger = Ledger::default();
        ledger.note([1; 24], [1; 32]);
        ledger.note([1; 24], [1; 32]);
        ledger.note([2; 24], [1; 32]);
        assert!(!ledger.has_reuse());
        ledger.note([1; 24], [2; 32]);
        assert!(ledger.has_reuse());
    }
}
