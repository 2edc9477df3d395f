//! What a file is, as far as that can be told without a key.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal_crypto::Suite;
use pageseal_format::journal::{Direction, Phase};
use pageseal_format::{FileState, Slot, SlotArea, SlotKind, Superblock};
use pageseal_journal::{UnverifiedJournal, UnverifiedProgress};
use pageseal_storage::{BufferedFile, Storage};

use crate::control::Notice;
use crate::error::{Damage, OpenError, Refusal};
use crate::job::{done_bytes, job_key, journal_place_of, public_kind, resilience_name};
use crate::names::Names;
use crate::open_job::{JournalSeen, Shape, Verdict, job_by_journal};
use crate::report::JobKind;
use crate::sealed::{Located, SuperblockCopy, agree, read_slots};
use crate::surroundings::System;
use crate::target::open_for_reading;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileStatus {
    /// No trailer: nothing that pageseal made.
    Plain,
    /// Sealed and at rest.
    Sealed,
    /// An encrypt was interrupted (or is running).
    Encrypting,
    /// A decrypt was interrupted (or is running).
    Decrypting,
    /// A trailer that cannot be used.
    Damaged(Damage),
}

/// A key slot, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotInfo {
    /// `"x25519"`, `"passphrase"` or `"plugin"`.
    pub kind: &'static str,
    /// Label.
    pub label: String,
    /// Length of the slot's age file in bytes.
    pub age_file_len_bytes: usize,
}

/// A journal that lies beside the file. Read without a key, so nothing of it is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalInfo {
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is that of a job on this file which is not over, as far as can be told without a key.
    /// A job that has nothing left but names and its journal is not over.
    pub is_of_file: bool,
    /// Its job.
    pub kind: JobKind,
    /// Its resilience, as on the command line.
    pub resilience: &'static str,
    /// Its phase, as in `docs/FORMAT.md`.
    pub phase: &'static str,
    /// Whether the job is being undone.
    pub rolling_back: bool,
    /// Whether going on or undoing takes an identity or a passphrase: for every decrypt, and for an encrypt whose job
    /// key is not to be found by this user on this system.
    pub needs_key: bool,
    /// Bytes that are converted for certain. Also of a job that is running or was killed. `None` for a job without
    /// records (`--resilience none`) that was not stopped on request: nothing says it.
    pub done_bytes: Option<u64>,
    /// Bytes of the windows that are recorded and not known to be converted: being worked on, or left so.
    pub in_flight_bytes: u64,
    /// Bytes of plaintext.
    pub total_bytes: u64,
}

/// All that can be told without a key. Nothing of it is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub status: FileStatus,
    /// Suite, if there is a trailer.
    pub suite: Option<Suite>,
    /// Chunk size in bytes; 0 without trailer.
    pub chunk_len_bytes: u64,
    /// Number of chunks; 0 without trailer.
    pub chunks: u64,
    /// Length of the plaintext in bytes.
    pub data_len_bytes: u64,
    /// Length of the file in bytes.
    pub file_len_bytes: u64,
    /// File id, if there is a trailer.
    pub file_id: Option<[u8; 16]>,
    /// Jobs that touched the file since it was sealed first, that one included; 0 without trailer.
    pub job_sequence: u64,
    /// Key slots.
    pub slots: Vec<SlotInfo>,
    /// Journal of an open job.
    pub journal: Option<JournalInfo>,
    /// Survivable damage.
    pub notices: Vec<Notice>,
}

const LOOKS_AGAIN: usize = 5;

/// Tells what the file at `path` is. Needs no key, reads a few blocks of a sealed file, changes nothing.
/// While a job is open, `path` may be either name of the file; [`Info::path`] is the one that it has.
pub fn info(path: &Path, journal: Option<&Path>) -> Result<Info, OpenError> {
    let path = &*existing_path(path, journal)?;
    let file = open_for_reading(path)?;
    let inode = file.metadata().map_err(|source| Refusal::Unopenable { path: path.into(), source })?.ino();
    let data: Arc<dyn Storage> = Arc::new(BufferedFile::new(file));
    let unreadable = |(offset, source)| OpenError::Io { path: path.into(), offset, source };
    let file_len_bytes = data.len().map_err(|source| unreadable((0, source)))?;
    let mut info = Info {
        path: path.into(),
        status: FileStatus::Plain,
        suite: None,
        chunk_len_bytes: 0,
        chunks: 0,
        data_len_bytes: file_len_bytes,
        file_len_bytes,
        file_id: None,
        job_sequence: 0,
        slots: Vec::new(),
        journal: None,
        notices: Vec::new(),
    };
    let mut seen = journal_seen(path, journal)?;
    let mut shape = Shape::of(&*data, inode).map_err(unreadable)?;
    // A job that runs may have gone on between the two.
    for _ in 0..LOOKS_AGAIN {
        let later = journal_seen(path, journal)?;
        if seen.phase() == later.phase() {
            break;
        }
        seen = later;
        shape = Shape::of(&*data, inode).map_err(unreadable)?;
    }
    match &shape.located {
        Located::Plain => {}
        Located::Damaged(damage) => info.status = FileStatus::Damaged(damage.clone()),
        Located::Trailer { a, b } => describe(&mut info, &*data, a, b)?,
    }
    match seen {
        JournalSeen::Missing => {}
        JournalSeen::Readable { path, journal, progress } => {
            let verdict = shape.verdict(journal.header(), &progress.phase);
            describe_by_journal(&mut info, &shape, &journal, &verdict);
            let is_of_file = verdict != Verdict::Strange;
            info.journal = Some(describe_journal(path, &journal, &progress, is_of_file));
        }
        JournalSeen::Unusable { path, what } => {
            info.notices.push(Notice::JournalUnusable { journal: path, what });
        }
    }
    Ok(info)
}

/// Where superblocks are not there yet, or not any more, or differ, the journal says what the file is.
fn describe_by_journal(info: &mut Info, shape: &Shape, journal: &UnverifiedJournal, verdict: &Verdict) {
    if let Verdict::WrongLength(damage) = verdict {
        info.status = FileStatus::Damaged(damage.clone());
    }
    let Some(kind) = job_by_journal(shape, verdict) else { return };
    info.status = match kind {
        JobKind::Encrypt => FileStatus::Encrypting,
        JobKind::Decrypt => FileStatus::Decrypting,
    };
    // Of a file of another length the journal says nothing more than that.
    if info.suite.is_none() && matches!(verdict, Verdict::Open(_)) {
        describe_superblock(info, journal.superblock());
        info.slots = slots_of(journal.slot_area());
    }
}

fn describe(
    info: &mut Info,
    data: &dyn Storage,
    a: &SuperblockCopy,
    b: &SuperblockCopy,
) -> Result<(), OpenError> {
    let path = info.path.clone();
    let superblock = match agree(&path, a, b) {
        Ok((found, notice)) => {
            info.status = match found.superblock.state {
                FileState::Sealed => FileStatus::Sealed,
                FileState::Encrypting => FileStatus::Encrypting,
                FileState::Decrypting => FileStatus::Decrypting,
            };
            info.notices.extend(notice);
            found.superblock
        }
        Err(OpenError::Damaged { damage, .. }) => {
            info.status = FileStatus::Damaged(damage);
            match a.good().or(b.good()) {
                Some(found) => found.superblock.clone(),
                None => return Ok(()),
            }
        }
        Err(other) => return Err(other),
    };
    describe_superblock(info, &superblock);
    match read_slots(&path, data, &superblock.geometry) {
        Ok((area, _, notice)) => {
            info.notices.extend(notice);
            info.slots = slots_of(&area);
        }
        Err(OpenError::Damaged { damage, .. }) => info.status = FileStatus::Damaged(damage),
        Err(other) => return Err(other),
    }
    Ok(())
}

fn slots_of(area: &SlotArea) -> Vec<SlotInfo> {
    let describe = |slot: &Slot| SlotInfo {
        kind: match slot.kind {
            SlotKind::X25519 => "x25519",
            SlotKind::Passphrase => "passphrase",
            SlotKind::Plugin => "plugin",
        },
        label: slot.label.clone(),
        age_file_len_bytes: slot.age_file.len(),
    };
    area.slots.iter().map(describe).collect()
}

fn describe_superblock(info: &mut Info, superblock: &Superblock) {
    let geometry = &superblock.geometry;
    info.suite = Suite::try_from(superblock.suite).ok();
    info.chunk_len_bytes = geometry.chunk_len_bytes();
    info.chunks = geometry.chunk_count();
    info.data_len_bytes = geometry.data_len();
    info.file_id = Some(superblock.file_id);
    info.job_sequence = superblock.job_sequence;
}

/// Whether the job key is there, and the right one.
fn has_job_key(journal: &UnverifiedJournal) -> bool {
    let header = journal.header();
    job_key::recover(&System, journal.key_area(), &header.job_id, &header.file_id).is_some()
}

/// The name that the file has: while a job is open, either one leads to it.
fn existing_path(path: &Path, elsewhere: Option<&Path>) -> Result<PathBuf, OpenError> {
    let names = Names::of(path)?;
    let journal = elsewhere.map_or_else(|| names.path_of(&names.journal()), Path::to_path_buf);
    let names = if journal.symlink_metadata().is_ok() { names.existing() } else { names };
    Ok(if names.given_path().file_name() == path.file_name() { path.into() } else { names.given_path() })
}

/// The journal beside the file, or where the caller says.
fn journal_seen(path: &Path, elsewhere: Option<&Path>) -> Result<JournalSeen, OpenError> {
    let place = journal_place_of(&Names::of(path)?, elsewhere)?;
    Ok(JournalSeen::at(&place.path))
}

fn describe_journal(
    path: PathBuf,
    journal: &UnverifiedJournal,
    progress: &UnverifiedProgress,
    is_of_file: bool,
) -> JournalInfo {
    let header = journal.header();
    let phase = progress.phase;
    let done = |watermark| done_bytes(&header.geometry, phase.direction, watermark);
    let done_bytes = progress.watermark.map(done);
    JournalInfo {
        path,
        is_of_file,
        kind: public_kind(header.job),
        resilience: resilience_name(header.resilience),
        phase: match phase.phase {
            Phase::Created => "CREATED",
            Phase::Grown => "GROWN",
            Phase::Running => "RUNNING",
            Phase::DataDone => "DATA_DONE",
            Phase::Truncating => "TRUNCATING",
            Phase::Finished => "FINISHED",
        },
        rolling_back: phase.direction == Direction::Backward,
        needs_key: phase.phase != Phase::Finished
            && (header.job == pageseal_format::journal::JobKind::Decrypt || !has_job_key(journal)),
        done_bytes,
        in_flight_bytes: progress
            .frontier
            .map(done)
            .zip(done_bytes)
            .map_or(0, |(end, start)| end.saturating_sub(start)),
        total_bytes: header.geometry.data_len(),
    }
}
