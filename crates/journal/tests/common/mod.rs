//! A log that forgets what was not synced, a MAC, and a small job over both.
#![allow(dead_code, missing_docs)]

pub mod job;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use pageseal_format::journal::{
    ChunkRecord, JobKind, JournalHeader, KeyArea, RecordKind, Resilience, slot_stride,
};
use pageseal_format::{FileState, Geometry, Limits, Slot, SlotArea, SlotKind, Superblock, TableEntry};
use pageseal_journal::{Authenticator, Journal, JournalError, Log};
use sha2::{Digest, Sha256};

const SECTOR: usize = 512;

/// What a file in a page cache over a disk does. Clones share the file.
#[derive(Clone, Default)]
pub struct MemLog(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    cache: Vec<u8>,
    disk: Vec<u8>,
    /// Every version that a sector had since the last sync, oldest first: any of them may be on the disk.
    dirty: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    operations: usize,
    stop_at: Option<usize>,
    stopped: bool,
    /// Numbers the syncs; that one fails, and leaves the cache marked clean.
    syncs: usize,
    fail_sync: Option<usize>,
}

impl MemLog {
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        let state = State { cache: bytes.clone(), disk: bytes, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().cache.clone()
    }

    /// The operation with this number (from 0) is the last that happens, and does not return.
    pub fn stop_at(&self, operation: usize) {
        let mut state = self.0.lock().unwrap();
        state.stop_at = Some(operation);
        state.operations = 0;
    }

    pub fn fail_sync(&self, number_from_now: usize) {
        let mut state = self.0.lock().unwrap();
        state.fail_sync = Some(state.syncs + number_from_now);
    }

    pub fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    pub fn syncs(&self) -> usize {
        self.0.lock().unwrap().syncs
    }

    /// The machine loses power: of each sector, any version since the last sync is there. Seed 0 keeps
    /// nothing unsynced, seed 1 everything, others a mixture.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let state = self.0.lock().unwrap();
        let mut random = Random(seed);
        let mut disk = state.disk.clone();
        let grown = match seed {
            0 => false,
            1 => true,
            _ => random.below(2) == 1,
        };
        if grown {
            disk.resize(state.cache.len().max(disk.len()), 0);
        }
        for (&sector, versions) in &state.dirty {
            let version = match seed {
                0 => None,
                1 => versions.last(),
                _ => versions.get(random.below(versions.len() as u64 + 1) as usize),
            };
            let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(disk.len()));
            if let Some(version) = version
                && start < end
            {
                disk[start..end].copy_from_slice(&version[..end - start]);
            }
        }
        Self::of_bytes(disk)
    }

    /// The process is killed: the cache stays.
    pub fn after_kill(&self) -> Self {
        let mut state = self.0.lock().unwrap().clone();
        (state.stop_at, state.stopped, state.operations) = (None, false, 0);
        Self(Arc::new(Mutex::new(state)))
    }

    fn operate(&self, action: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.stopped {
            return Err(io::Error::other("stopped before"));
        }
        let last = state.stop_at == Some(state.operations);
        state.operations += 1;
        state.stopped = last;
        action(&mut state)?;
        if last { Err(io::Error::other("stopped here")) } else { Ok(()) }
    }
}

impl State {
    fn write(&mut self, buf: &[u8], offset: usize) {
        let end = offset + buf.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(buf);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let mut version = [0; SECTOR];
            let last = ((sector + 1) * SECTOR).min(self.cache.len());
            let bytes = &self.cache[sector * SECTOR..last];
            version[..bytes.len()].copy_from_slice(bytes);
            self.dirty.entry(sector).or_default().push(version);
        }
    }
}

impl Log for MemLog {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        if state.stopped {
            return Err(io::Error::other("stopped before"));
        }
        let start = offset as usize;
        let bytes = state.cache.get(start..start + buf.len());
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.operate(|state| {
            // A write that is cut short reaches the cache in part.
            let len = if state.stopped { buf.len() / 2 } else { buf.len() };
            state.write(&buf[..len], offset as usize);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.operate(|state| {
            if state.stopped {
                // Power went before the disk answered; what got there is up to `after_power_loss`.
                return Ok(());
            }
            state.syncs += 1;
            let dirty = std::mem::take(&mut state.dirty);
            if state.fail_sync == Some(state.syncs - 1) {
                // As Linux does it: the pages count as clean from now on, so no later sync writes them.
                return Err(io::Error::other("medium error"));
            }
            state.disk.resize(state.cache.len(), 0);
            for (sector, versions) in dirty {
                let start = sector * SECTOR;
                let end = (start + SECTOR).min(state.disk.len());
                if let Some(version) = versions.last() {
                    state.disk[start..end].copy_from_slice(&version[..end - start]);
                }
            }
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().cache.len() as u64)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.operate(|state| {
            state.cache.resize(len as usize, 0);
            Ok(())
        })
    }
}

/// Splitmix64: enough to choose sectors.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A keyed hash that is good enough for a test.
pub struct TestAuth(pub u8);

impl Authenticator for TestAuth {
    fn mac(&self, label: &[u8], body: &[u8]) -> [u8; 32] {
        let keyed = Sha256::new_with_prefix([self.0, label.len() as u8]);
        keyed.chain_update(label).chain_update(body).finalize().into()
    }

    fn verify(&self, label: &[u8], body: &[u8], mac: &[u8; 32]) -> bool {
        self.mac(label, body) == *mac
    }
}

pub fn auth() -> Arc<TestAuth> {
    Arc::new(TestAuth(1))
}

/// Makes MAC and checksum at the end of a structure right again.
pub fn sign(bytes: &mut [u8], label: &[u8], auth: &TestAuth) {
    let body = bytes.len() - 64;
    let mac = auth.mac(label, &bytes[..body]);
    bytes[body..body + 32].copy_from_slice(&mac);
    fix_checksum(bytes);
}

pub fn fix_checksum(bytes: &mut [u8]) {
    let at = bytes.len() - 32;
    let sum = Sha256::digest(&bytes[..at]);
    bytes[at..].copy_from_slice(&sum);
}

/// Windows of 2 chunks, 9 chunks in all, the last of 100 bytes.
pub fn header(job: JobKind, resilience: Resilience, kind: RecordKind, ring_slots: u8) -> JournalHeader {
    let geometry = Geometry::new(8 * 4096 + 100, 12, &Limits::TEST).unwrap();
    JournalHeader {
        job,
        resilience,
        record_kind: kind,
        suite: 1,
        geometry,
        ring_slots,
        job_id: [0x11; 16],
        file_id: [0x22; 16],
        job_sequence: 1,
        window_len: 8192,
        slot_stride: slot_stride(&geometry, 8192, kind),
        keep_name: false,
        holes_flagged: false,
        device: 0,
        inode: 0,
        boot_id: [0; 16],
        mtime_seconds: 0,
        mtime_nanoseconds: 0,
    }
}

pub fn encrypt(ring_slots: u8) -> JournalHeader {
    let kind = RecordKind::Fingerprints;
    header(JobKind::Encrypt, Resilience::Checksum, kind, ring_slots)
}

pub fn superblock(header: &JournalHeader) -> Superblock {
    Superblock {
        suite: header.suite,
        geometry: header.geometry,
        state: FileState::Sealed,
        file_id: header.file_id,
        job_sequence: header.job_sequence,
        job_id: header.job_id,
        commitment: [0; 32],
        compat: 0,
        ro_compat: 0,
        incompat: 0,
    }
}

pub fn slot_area(header: &JournalHeader) -> SlotArea {
    let slot = Slot {
        kind: SlotKind::X25519,
        label: String::new(),
        sealed_info: Vec::new(),
        age_file: vec![1; 200],
    };
    SlotArea { file_id: header.file_id, generation: 1, slots: vec![slot] }
}

pub fn create(log: &MemLog, header: &JournalHeader) -> Result<Journal, JournalError> {
    let block = superblock(header).encode(|_| [0; 32]);
    let slots = slot_area(header).encode(|_| [0; 32]).unwrap();
    let area = KeyArea::Outside { wrapped: [0x77; 72] };
    Journal::create(Arc::new(log.clone()), auth(), header.clone(), area, &block, &slots)
}

pub fn chunk_records(first: u64, count: u64, salt: u8) -> Vec<ChunkRecord> {
    let entry = |i: u64| TableEntry { nonce: [i as u8; 24], tag: [salt; 32], epoch: 0, flags: 0 };
    (first..first + count).map(|i| ChunkRecord { new: entry(i), old: TableEntry::default() }).collect()
}
