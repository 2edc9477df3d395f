//! What a job takes from its surroundings other than files: random bytes, the boot that this is, a place for job keys, threads.
//! Jobs run on [`System`]; a simulation gives them a world of its own, in which everything is decided by a seed.

use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use pageseal_crypto::{RandomError, fill_random};
use pageseal_format::Id;
use pageseal_storage::available;
use pageseal_storage::secrets::runtime_directory;
use zeroize::Zeroizing;

/// What random bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Ids of files and jobs, which are public.
    Identifier,
    /// A file key.
    FileKey,
    /// A job key.
    JobKey,
    /// Nonces.
    Nonces,
}

/// Everything about the world that is not the file, its folder or its journal.
pub trait Surroundings: Send + Sync + Debug {
    /// Fills `bytes` with random ones.
    ///
    /// # Errors
    /// [`RandomError`] if there are none; `bytes` must not be used then.
    fn fill_random(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), RandomError>;

    /// Which boot of the system this is; `None` where nobody knows.
    fn boot_id(&self) -> Option<Id>;

    /// Keeps a job key in memory that outlives the process and not the boot. `false` if there is no such place.
    fn keep_job_key(&self, job_id: &Id, key: &[u8; 32]) -> bool;

    /// A key that was kept.
    fn find_job_key(&self, job_id: &Id) -> Option<Zeroizing<[u8; 32]>>;

    /// Removes a key that was kept; one that is gone already is as good. Returns where it lies if
    /// it is still there.
    fn forget_job_key(&self, job_id: &Id) -> Option<PathBuf>;

    /// Is told of every chunk whose ciphertext leaves the process.
    fn chunk_leaves(&self, _nonce: &[u8; 24], _tag: &[u8; 32]) {}

    /// Who decides which thread runs; `None` leaves that to the system.
    fn schedule(&self) -> Option<&dyn Schedule> {
        None
    }
}

/// Runs the threads of a pipeline one at a time, so that their order can be repeated.
pub trait Schedule: Sync {
    /// Says how many threads there will be. The calling one is thread 0 and goes on.
    fn begin(&self, threads: usize);

    /// Called by another thread first of all: waits for its turn.
    fn enter(&self, thread: usize);

    /// Gives the turn to any thread, perhaps the same; returns when it comes back.
    fn pause(&self);

    /// Called by a thread last of all.
    fn leave(&self);
}

/// The system that runs this process.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Surroundings for System {
    fn fill_random(&self, _draw: Draw, bytes: &mut [u8]) -> Result<(), RandomError> {
        fill_random(bytes)
    }

    fn boot_id(&self) -> Option<Id> {
        available::boot_id()
    }

    fn keep_job_key(&self, job_id: &Id, key: &[u8; 32]) -> bool {
        let Some(path) = job_key_path(job_id) else { return false };
        let Ok(mut file) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) else {
            return false;
        };
        let written = file.write_all(key).is_ok();
        if !written {
            let _ = fs::remove_file(&path);
        }
        written
    }

    fn find_job_key(&self, job_id: &Id) -> Option<Zeroizing<[u8; 32]>> {
        let path = job_key_path(job_id)?;
        // The folder is ours alone (checked), but a link or a file of someone else's is still not taken.
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
            return None;
        }
        let mut bytes = Zeroizing::new([0; 32]);
        fs::File::open(&path).ok()?.read_exact(&mut bytes[..]).ok()?;
        Some(bytes)
    }

    fn forget_job_key(&self, job_id: &Id) -> Option<PathBuf> {
        let path = job_key_path(job_id)?;
        match fs::remove_file(&path) {
            Ok(()) => None,
            // After a restart, for example.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => Some(path),
        }
    }
}

fn job_key_path(job_id: &Id) -> Option<PathBuf> {
    let name: String = job_id.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(runtime_directory()?.join(name + ".job-key"))
}
