//! What a file is, as far as that can be told without a key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal_crypto::Suite;
use pageseal_format::journal::{Direction, Phase};
use pageseal_format::{FileState, Limits, SlotKind, Superblock};
use pageseal_journal::{Journal, UnverifiedJournal};
use pageseal_storage::{BufferedFile, Storage};

use crate::control::Notice;
use crate::error::{Damage, OpenError, Refusal};
use crate::job::{FileLog, done_bytes, job_key, journal_place_of, public_kind, resilience_name};
use crate::names::Names;
use crate::report::JobKind;
use crate::sealed::{Located, SuperblockCopy, agree, locate, read_slots};
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

impl JournalInfo {
    /// Whether its job is an encrypt that may have made its file longer, and has no superblocks
    /// there.
    fn makes_longer(&self) -> bool {
        self.kind == JobKind::Encrypt
            && (matches!(self.phase, "CREATED" | "GROWN")
                || (self.phase == "TRUNCATING" && self.rolling_back))
    }
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

/// Tells what the file at `path` is. Needs no key, reads a few blocks of a sealed file, changes nothing.
/// While a job is open, `path` may be either name of the file; [`Info::path`] is the one that it has.
pub fn info(path: &Path, journal: Option<&Path>) -> Result<Info, OpenError> {
    let path = &*existing_path(path, journal)?;
    let data: Arc<dyn Storage> = Arc::new(BufferedFile::new(open_for_reading(path)?));
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
    match journal_info(path, journal)? {
        JournalFound::Missing => {}
        JournalFound::Readable(journal) => info.journal = Some(journal),
        JournalFound::Unusable { path, what } => {
            info.notices.push(Notice::JournalUnusable { journal: path, what });
        }
    }
    match locate(&*data, &Limits::PRODUCTION).map_err(unreadable)? {
        Located::Plain => {
            let made_longer = info.journal.as_ref().filter(|journal| journal.makes_longer());
            if let Some(journal) = made_longer.filter(|journal| journal.total_bytes <= file_len_bytes) {
                info.data_len_bytes = journal.total_bytes;
            }
        }
        Located::Damaged(damage) => info.status = FileStatus::Damaged(damage),
        Located::Trailer { a, b } => describe(&mut info, &*data, &a, &b)?,
    }
    Ok(info)
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
            info.slots = area
                .slots
                .iter()
                .map(|slot| SlotInfo {
                    kind: match slot.kind {
                        SlotKind::X25519 => "x25519",
                        SlotKind::Passphrase => "passphrase",
                        SlotKind::Plugin => "plugin",
                    },
                    label: slot.label.clone(),
                    age_file_len_bytes: slot.age_file.len(),
                })
                .collect();
        }
        Err(OpenError::Damaged { damage, .. }) => info.status = FileStatus::Damaged(damage),
        Err(other) => return Err(other),
    }
    Ok(())
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

/// What lies where the journal would.
enum JournalFound {
    Missing,
    Readable(JournalInfo),
    Unusable { path: PathBuf, what: String },
}

/// The journal beside the file, or where the caller says.
fn journal_info(path: &Path, elsewhere: Option<&Path>) -> Result<JournalFound, OpenError> {
    let names = Names::of(path)?;
    let place = journal_place_of(&names, elsewhere)?;
    let path = place.path;
    let file = match open_for_reading(&path) {
        Ok(file) => file,
        Err(Refusal::Unopenable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(JournalFound::Missing);
        }
        Err(Refusal::Unopenable { source, .. }) => {
            return Ok(JournalFound::Unusable { path, what: source.to_string() });
        }
        Err(other) => return Ok(JournalFound::Unusable { path, what: other.to_string() }),
    };
    let log = FileLog(Arc::new(BufferedFile::new(file)));
    let opened = Journal::open(Arc::new(log), &Limits::PRODUCTION)
        .and_then(|journal| Ok((journal.progress_unverified()?, journal)));
    let (progress, journal) = match opened {
        Ok((Some(progress), journal)) => (progress, journal),
        Ok((None, _)) => {
            return Ok(JournalFound::Unusable { path, what: "it was never completely made".into() });
        }
        Err(error) => return Ok(JournalFound::Unusable { path, what: error.to_string() }),
    };
    let header = journal.header();
    let phase = progress.phase;
    let done = |watermark| done_bytes(&header.geometry, phase.direction, watermark);
    let done_bytes = progress.watermark.map(done);
    Ok(JournalFound::Readable(JournalInfo {
        path,
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
            && (header.job == pageseal_format::journal::JobKind::Decrypt || !has_job_key(&journal)),
        done_bytes,
        in_flight_bytes: progress
            .frontier
            .map(done)
            .zip(done_bytes)
            .map_or(0, |(end, start)| end.saturating_sub(start)),
        total_bytes: header.geometry.data_len(),
    }))
}
