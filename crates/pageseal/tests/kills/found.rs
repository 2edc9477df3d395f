//! What a dead process left in its journal, read without a key: blocks whose checksums are right.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pageseal_format::Limits;
use pageseal_format::journal::{
    Direction, HEADER_LEN, JournalHeader, PHASE_LEN, PHASE_OFFSETS, Phase, PhaseRecord, RECORD_HEAD_LEN,
    WindowRecord,
};

use super::child::Running;

/// Long enough for the slowest machine; a job takes about a second.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_micros(200);

/// Where a kill landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// No journal, and the file is as it was.
    BeforeJournal,
    /// A journal without a window record.
    BeforeFirstWindow,
    /// A window was committed, and the job is not FINISHED.
    Between,
    /// FINISHED.
    Finished,
    /// No journal, and the job is done.
    Done,
}

/// A journal.
#[derive(Debug)]
pub struct Found {
    pub phase: PhaseRecord,
    /// Whole records in the ring, settled ones too.
    pub records: Vec<WindowRecord>,
}

impl Found {
    /// `None` if there is no journal. One that has its name must be whole: it is linked when it is.
    pub fn read(path: &Path) -> Option<Self> {
        let file = open(path)?;
        let header = read_header(&file);
        let phases =
            PHASE_OFFSETS.iter().filter_map(|&at| PhaseRecord::parse(&read(&file, at, PHASE_LEN)).ok());
        let phase = phases.max_by_key(|phase| phase.sequence).expect("a journal without a phase");
        assert_eq!(phase.job_id, header.job_id);
        let records: Vec<_> =
            (0..header.ring_slots.into()).filter_map(|slot| read_record(&file, &header, slot)).collect();
        assert!(records.iter().all(|record| record.job_id == header.job_id));
        Some(Found { phase, records })
    }

    pub fn place(&self) -> Place {
        match self.phase.phase {
            Phase::Finished => Place::Finished,
            _ if self.records.is_empty() => Place::BeforeFirstWindow,
            _ => Place::Between,
        }
    }

    pub fn is_backward(&self) -> bool {
        self.phase.direction == Direction::Backward
    }

    /// Number of windows that were committed and that no durable block calls settled.
    pub fn windows_in_flight(&self) -> u64 {
        let newest = self.records.iter().max_by_key(|record| record.sequence);
        let retired = newest.map_or(0, |record| record.retired).max(self.phase.window_sequence);
        self.records.iter().filter(|record| record.sequence > retired).count() as u64
    }
}

/// Waits until window `sequence` or a later one is in the journal. `None` if the child ends before.
pub fn wait_for_window(path: &Path, sequence: u64, child: &mut Running) -> Option<u64> {
    let deadline = Instant::now() + PATIENCE;
    let mut opened: Option<(File, JournalHeader)> = None;
    loop {
        if opened.is_none() {
            opened = open(path).map(|file| {
                let header = read_header(&file);
                (file, header)
            });
        }
        if let Some((file, header)) = &opened
            && let Some(found) = sequence_in_slot(file, header, sequence)
            && found >= sequence
        {
            return Some(header.geometry.data_len().div_ceil(header.window_len));
        }
        if !child.is_running() {
            return None;
        }
        assert!(Instant::now() < deadline, "window {sequence} was not committed in {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
}

fn sequence_in_slot(file: &File, header: &JournalHeader, sequence: u64) -> Option<u64> {
    let head = read(file, header.slot_offset(sequence), 16);
    (head[..8] == *b"PGSLWIND").then(|| u64::from_le_bytes(head[8..16].try_into().unwrap()))
}

fn read_record(file: &File, header: &JournalHeader, slot: u64) -> Option<WindowRecord> {
    let offset = header.slot_offset(slot);
    let len = WindowRecord::len_from_head(&read(file, offset, RECORD_HEAD_LEN), header).ok()?;
    WindowRecord::parse(&read(file, offset, len), header).ok()
}

fn read_header(file: &File) -> JournalHeader {
    JournalHeader::parse(&read(file, 0, HEADER_LEN), &Limits::PRODUCTION).unwrap()
}

fn read(file: &File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

fn open(path: &Path) -> Option<File> {
    match File::open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
