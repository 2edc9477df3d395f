//! What a journal says, read without a key: blocks whose checksums are right.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pageseal_format::Limits;
use pageseal_format::journal::{
    Direction, HEADER_LEN, JobKind, JournalHeader, PHASE_LEN, PHASE_OFFSETS, Phase, PhaseRecord,
    RECORD_HEAD_LEN, WindowRecord,
};

use super::stop::{Outcome, check};
use super::victim::Running;

/// Far more than a window takes.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_micros(100);

/// Where a crash landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// There is no journal.
    NoJournal,
    /// A journal without a window record.
    BeforeFirstWindow,
    /// A window was committed, and the job is not FINISHED.
    Between,
    /// FINISHED.
    Finished,
}

/// A journal.
#[derive(Debug)]
pub struct Found {
    /// The job that it belongs to.
    pub job: JobKind,
    /// Its newest phase.
    pub phase: PhaseRecord,
    /// The newest window that was committed; 0 if none.
    pub newest_window: u64,
}

impl Found {
    /// `None` if there is no journal. One that has its name must be whole: it is linked when it is.
    pub fn read(path: &Path) -> Outcome<Option<Self>> {
        let Ok(file) = File::open(path) else { return Ok(None) };
        let found = Self::parse(&file);
        check(found.is_some(), || format!("{} has its name and is not whole", path.display()))?;
        Ok(found)
    }

    fn parse(file: &File) -> Option<Self> {
        let header = read_header(file)?;
        let phase = newest_phase(file)?;
        let records = (0..header.ring_slots.into()).filter_map(|slot| read_record(file, &header, slot));
        let newest_window = records.map(|record| record.sequence).max().unwrap_or(0);
        Some(Found { job: header.job, phase, newest_window })
    }

    /// Where the crash landed that left this.
    pub fn place(&self) -> Place {
        match self.phase.phase {
            Phase::Finished => Place::Finished,
            _ if self.newest_window == 0 => Place::BeforeFirstWindow,
            _ => Place::Between,
        }
    }

    /// Whether the job is being undone, for good.
    pub fn is_backward(&self) -> bool {
        self.phase.direction == Direction::Backward
    }

    /// Whether it can be undone.
    pub fn can_roll_back(&self) -> bool {
        self.is_backward() || self.phase.phase != Phase::Truncating
    }
}

/// Waits until window `sequence` or a later one is in the journal. Returns the number of windows of the whole file, or
/// `None` if the process ends before.
pub fn wait_for_window(path: &Path, sequence: u64, running: &mut Running) -> Outcome<Option<u64>> {
    let started = Instant::now();
    let mut opened: Option<(File, JournalHeader)> = None;
    loop {
        if opened.is_none()
            && let Ok(file) = File::open(path)
        {
            opened = read_header(&file).map(|header| (file, header));
        }
        if let Some((file, header)) = &opened
            && sequence_in_slot(file, header, sequence).is_some_and(|found| found >= sequence)
        {
            return Ok(Some(header.geometry.data_len().div_ceil(header.window_len)));
        }
        if !running.is_running()? {
            return Ok(None);
        }
        check(started.elapsed() < PATIENCE, || format!("window {sequence} was not committed in time"))?;
        std::thread::sleep(POLL);
    }
}

/// Waits until the job is FINISHED, or the process has ended.
pub fn wait_for_finished(path: &Path, running: &mut Running) -> Outcome<()> {
    while let Ok(file) = File::open(path)
        && running.is_running()?
        && newest_phase(&file).is_some_and(|phase| phase.phase != Phase::Finished)
    {
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn newest_phase(file: &File) -> Option<PhaseRecord> {
    let phases = PHASE_OFFSETS.iter().filter_map(|&at| PhaseRecord::parse(&read(file, at, PHASE_LEN)?).ok());
    phases.max_by_key(|phase| phase.sequence)
}

fn sequence_in_slot(file: &File, header: &JournalHeader, sequence: u64) -> Option<u64> {
    let head = read(file, header.slot_offset(sequence), 16)?;
    let number = head.get(8..16)?.try_into().ok()?;
    head.starts_with(b"PGSLWIND").then_some(u64::from_le_bytes(number))
}

fn read_record(file: &File, header: &JournalHeader, slot: u64) -> Option<WindowRecord> {
    let offset = header.slot_offset(slot);
    let len = WindowRecord::len_from_head(&read(file, offset, RECORD_HEAD_LEN)?, header).ok()?;
    WindowRecord::parse(&read(file, offset, len)?, header).ok()
}

fn read_header(file: &File) -> Option<JournalHeader> {
    JournalHeader::parse(&read(file, 0, HEADER_LEN)?, &Limits::PRODUCTION).ok()
}

fn read(file: &File, offset: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}
