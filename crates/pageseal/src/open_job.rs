//! Whether a job is open on a file, as far as that can be told without a key. Superblocks say it,
//! but not always: an encrypt begins before it has written them, a job that ends plain cuts them
//! off before it is over, and while one copy is written after the other they differ. Then only the
//! journal says it. Nothing of it is authenticated here, so it decides nothing but the words of a
//! refusal, and what `info` shows.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal_format::journal::{JobKind, JournalHeader, Phase, PhaseRecord};
use pageseal_format::{FileState, Limits, Superblock};
use pageseal_journal::{Journal, UnverifiedJournal, UnverifiedProgress};
use pageseal_storage::{BufferedFile, Storage};

use crate::error::{Damage, OpenError, Refusal};
use crate::job::{FileLog, is_growing, public_kind};
use crate::names::Names;
use crate::report;
use crate::sealed::{Located, agree, locate};
use crate::target::open_for_reading;
use crate::trailer_search::search;

/// What wants to work on the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// To seal it in place.
    Encrypt,
    /// To open it in place.
    Decrypt,
    /// To make another file of it.
    Copy,
    /// To look at it as a sealed file.
    Read,
}

/// What lies where the journal would.
pub(crate) enum JournalSeen {
    Missing,
    Readable { path: PathBuf, journal: Box<UnverifiedJournal>, progress: UnverifiedProgress },
    Unusable { path: PathBuf, what: String },
}

/// What a journal says of the file that it lies beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This job is open on it.
    Open(JobKind),
    /// This job is open on it, a superblock says so too, and the file was cut or grew.
    WrongLength(Damage),
    /// It names this file's inode and nothing else does, and the length is another: the file was
    /// cut, or the job is over. Only who has the key can tell; so nothing is built upon that
    /// length.
    Unclear(JobKind),
    /// The job is over, but for names and the journal.
    Finished,
    /// It is of another file, or of a job that is over.
    Strange,
}

impl JournalSeen {
    /// Reads what lies there, without a key and without changing it.
    pub(crate) fn at(path: &Path) -> Self {
        let unusable = |what: String| JournalSeen::Unusable { path: path.into(), what };
        let file = match open_for_reading(path) {
            Ok(file) => file,
            Err(Refusal::Unopenable { source, .. }) if nothing_can_be_there(&source) => {
                return JournalSeen::Missing;
            }
            Err(Refusal::Unopenable { source, .. }) => return unusable(source.to_string()),
            Err(other) => return unusable(other.to_string()),
        };
        let log = FileLog(Arc::new(BufferedFile::new(file)));
        let opened = Journal::open(Arc::new(log), &Limits::PRODUCTION)
            .and_then(|journal| Ok((journal.progress_unverified()?, journal)));
        match opened {
            Ok((Some(progress), journal)) => {
                JournalSeen::Readable { path: path.into(), journal: Box::new(journal), progress }
            }
            Ok((None, _)) => unusable("it was never completely made".into()),
            Err(error) => unusable(error.to_string()),
        }
    }

    /// The phase that it is in, if it can be read.
    pub(crate) fn phase(&self) -> Option<PhaseRecord> {
        match self {
            JournalSeen::Readable { progress, .. } => Some(progress.phase),
            JournalSeen::Missing | JournalSeen::Unusable { .. } => None,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            JournalSeen::Missing => None,
            JournalSeen::Readable { path, .. } | JournalSeen::Unusable { path, .. } => Some(path),
        }
    }

    /// `None` where there is nothing that can be read.
    fn verdict(&self, file: &Shape) -> Option<Verdict> {
        match self {
            JournalSeen::Readable { journal, progress, .. } => {
                Some(file.verdict(journal.header(), &progress.phase))
            }
            JournalSeen::Missing | JournalSeen::Unusable { .. } => None,
        }
    }
}

/// Whether no file can have such a path, or none has.
fn nothing_can_be_there(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory | Kind::InvalidFilename)
}

/// What can be seen of a file that a journal may speak of.
pub(crate) struct Shape {
    pub(crate) located: Located,
    /// Of a file that does not end where it should.
    misplaced: Option<Superblock>,
    len: u64,
    inode: u64,
}

impl Shape {
    pub(crate) fn of(data: &dyn Storage, inode: u64) -> Result<Self, (u64, io::Error)> {
        let limits = &Limits::PRODUCTION;
        let len = data.len().map_err(|error| (0, error))?;
        let located = locate(data, limits)?;
        let misplaced = match &located {
            Located::Damaged(_) => search(data, len, limits)?.map(|(superblock, _)| superblock),
            Located::Plain | Located::Trailer { .. } => None,
        };
        Ok(Shape { located, misplaced, len, inode })
    }

    fn superblocks(&self) -> impl Iterator<Item = &Superblock> {
        let copies = match &self.located {
            Located::Trailer { a, b } => [a.good(), b.good()],
            Located::Plain | Located::Damaged(_) => [None, None],
        };
        copies.into_iter().flatten().map(|found| &found.superblock).chain(&self.misplaced)
    }

    /// The job that a superblock says is open.
    fn job_by_superblock(&self) -> Option<JobKind> {
        self.superblocks().find_map(|superblock| match superblock.state {
            FileState::Sealed => None,
            FileState::Encrypting => Some(JobKind::Encrypt),
            FileState::Decrypting => Some(JobKind::Decrypt),
        })
    }

    fn is_at_rest(&self) -> bool {
        matches!(self.located, Located::Trailer { .. }) && self.job_by_superblock().is_none()
    }

    pub(crate) fn verdict(&self, header: &JournalHeader, phase: &PhaseRecord) -> Verdict {
        let is_of_file = |superblock: &&Superblock| {
            superblock.file_id == header.file_id && superblock.geometry == header.geometry
        };
        // A superblock of another file may be content of this one: what is sealed can be a sealed
        // file.
        let mut own = self.superblocks().filter(is_of_file).peekable();
        if own.peek().is_none() {
            return if header.inode == self.inode { self.by_length(header, phase) } else { Verdict::Strange };
        }
        let is_over = phase.phase == Phase::Finished;
        let speaks_of = |superblock: &Superblock| {
            let is_of_job = superblock.job_id == header.job_id;
            match superblock.state {
                FileState::Encrypting | FileState::Decrypting => is_of_job && !is_over,
                FileState::Sealed if is_of_job => is_over || phase.phase == Phase::DataDone,
                FileState::Sealed => {
                    header.job == JobKind::Decrypt
                        && phase.phase == Phase::Created
                        && superblock.job_sequence.checked_add(1) == Some(header.job_sequence)
                }
            }
        };
        if !own.any(speaks_of) {
            Verdict::Strange
        } else if is_over {
            Verdict::Finished
        } else if self.misplaced.is_some() {
            let expected_bytes = header.geometry.sealed_len();
            Verdict::WrongLength(Damage::Length { found_bytes: self.len, expected_bytes })
        } else {
            Verdict::Open(header.job)
        }
    }

    /// Nothing in the file names the job: not yet, not any more, or it was cut off.
    fn by_length(&self, header: &JournalHeader, phase: &PhaseRecord) -> Verdict {
        let (plain_len, sealed_len) = (header.geometry.data_len(), header.geometry.sealed_len());
        let is_plain = self.len == plain_len;
        match phase.phase {
            Phase::Finished if is_plain => Verdict::Finished,
            Phase::Finished => Verdict::Strange,
            _ if is_growing(header, phase) && (plain_len..=sealed_len).contains(&self.len) => {
                Verdict::Open(header.job)
            }
            Phase::Truncating if is_plain => Verdict::Open(header.job),
            // Its superblocks are damaged.
            _ if self.len == sealed_len => Verdict::Strange,
            _ => Verdict::Unclear(header.job),
        }
    }
}

/// A file, and where the journal of a job on it may lie.
pub(crate) struct Subject<'a> {
    pub(crate) path: &'a Path,
    pub(crate) data: &'a dyn Storage,
    pub(crate) inode: u64,
    /// Where the caller says that the journal lies.
    pub(crate) journal: Option<&'a Path>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        path: &'a Path,
        data: &'a dyn Storage,
        file: &File,
        journal: Option<&'a Path>,
    ) -> Result<Self, Refusal> {
        let metadata = file.metadata().map_err(|source| Refusal::Unopenable { path: path.into(), source })?;
        Ok(Subject { path, data, inode: metadata.ino(), journal })
    }

    /// Refuses a file beside which the journal of an open job lies, and as far as it would matter,
    /// any other journal. Of a file without one, what superblocks say is asked by who opens it.
    pub(crate) fn refuse_open_job(&self, asks: Asks) -> Result<(), OpenError> {
        let names = Names::of(self.path)?;
        let beside = names.path_of(&names.journal());
        let places = [self.journal, Some(&beside)].into_iter().flatten();
        let journals: Vec<JournalSeen> =
            places.map(JournalSeen::at).filter(|seen| seen.path().is_some()).collect();
        if journals.is_empty() && asks != Asks::Copy {
            return Ok(());
        }
        let file = Shape::of(self.data, self.inode).map_err(|(offset, source)| OpenError::Io {
            path: self.path.into(),
            offset,
            source,
        })?;
        for verdict in journals.iter().filter_map(|seen| seen.verdict(&file)) {
            self.refuse_by_journal(&file, verdict, asks)?;
        }
        match file.job_by_superblock() {
            Some(kind) if asks == Asks::Copy => {
                Err(self.interrupted_by_superblock(&file, kind, !journals.is_empty()))
            }
            Some(_) => Ok(()),
            None => refuse_other_journal(&file, &journals, self.journal.unwrap_or(&beside), asks),
        }
    }

    fn refuse_by_journal(&self, file: &Shape, verdict: Verdict, asks: Asks) -> Result<(), OpenError> {
        let path = self.path.to_path_buf();
        match verdict {
            // The job has not begun to change it, or has nothing left but names.
            Verdict::Open(_) if file.is_at_rest() && asks == Asks::Read => Ok(()),
            Verdict::Open(kind) => {
                Err(OpenError::Interrupted { path, kind: public_kind(kind), journal_found: true })
            }
            Verdict::WrongLength(damage) => Err(OpenError::Damaged { path, damage }),
            Verdict::Unclear(_) | Verdict::Finished | Verdict::Strange => Ok(()),
        }
    }

    fn interrupted_by_superblock(&self, file: &Shape, kind: JobKind, journal_found: bool) -> OpenError {
        let path = self.path.to_path_buf();
        if let Located::Trailer { a, b } = &file.located
            && let Err(differ) = agree(self.path, a, b)
        {
            return differ;
        }
        OpenError::Interrupted { path, kind: public_kind(kind), journal_found }
    }
}

/// Refuses a journal that is in the way, whatever it is. `chosen` is where that of a new job would
/// lie: one that lies elsewhere is no hindrance for it.
fn refuse_other_journal(
    file: &Shape,
    journals: &[JournalSeen],
    chosen: &Path,
    asks: Asks,
) -> Result<(), OpenError> {
    let counts = |journal: &&Path| match (&file.located, asks) {
        (_, Asks::Copy) => true,
        (Located::Plain, _) | (Located::Trailer { .. }, Asks::Decrypt) => *journal == chosen,
        _ => false,
    };
    match journals.iter().filter_map(JournalSeen::path).find(counts) {
        Some(journal) => Err(Refusal::JobOpen { journal: journal.into() }.into()),
        None => Ok(()),
    }
}

/// What `info` shows instead of what the file looks like: that a journal says that it is in the
/// middle of a job.
pub(crate) fn job_by_journal(file: &Shape, verdict: &Verdict) -> Option<report::JobKind> {
    let (Verdict::Open(kind) | Verdict::Unclear(kind)) = verdict else { return None };
    (!file.is_at_rest()).then(|| public_kind(*kind))
}
