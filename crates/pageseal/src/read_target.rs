//! Opening a file that an operation only reads, and reads as a whole: no job may be at it, nor begin before that is done. A copy of
//! a file that is being converted would be a mixture that nothing tells from content.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pageseal_storage::lock::{FileLock, LockError, is_locked};
use pageseal_storage::{BufferedFile, FileIdentity, Storage, standard_streams};

use crate::error::{OpenError, Refusal};
use crate::job::journal_place_of;
use crate::names::Names;
use crate::open_job::{Asks, Subject};
use crate::target::open_for_reading;

/// A file that is open for reading, kept from jobs where the file system has locks.
pub(crate) struct ReadTarget {
    path: PathBuf,
    file: File,
    /// `None` where the file system has none. Then only the times tell.
    lock: Option<FileLock>,
    times: Times,
}

/// When the content was changed last, and when anything of the file was.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Times {
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Times {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Times {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl ReadTarget {
    /// Opens a regular file that no job is working on at this moment. While this lives, none begins.
    pub(crate) fn open(path: &Path) -> Result<Self, Refusal> {
        let file = open_for_reading(path)?;
        let lock = match FileLock::shared(&file) {
            Ok(lock) => Some(lock),
            Err(LockError::HeldElsewhere) => return Err(Refusal::Locked { path: path.into() }),
            Err(_) => None,
        };
        let times = Times::of(&file).map_err(|source| Refusal::Unopenable { path: path.into(), source })?;
        Ok(ReadTarget { path: path.into(), file, lock, times })
    }

    /// Standard input, if it is a regular file and not in the middle of a job: read by another name it is the same mixture.
    /// It is opened once more, so that no lock stays with whoever else has this standard input, if we are killed.
    pub(crate) fn of_stdin(journal: Option<&Path>) -> Result<Option<Self>, OpenError> {
        const OPEN_AGAIN: &str = "/proc/self/fd/0";
        let unreadable =
            |source| OpenError::from(Refusal::Input { path: PathBuf::from("standard input"), source });
        let stdin = File::from(standard_streams::stdin().map_err(unreadable)?);
        if !stdin.metadata().map_err(unreadable)?.is_file() {
            return Ok(None);
        }
        let identity = FileIdentity::of(&stdin).map_err(unreadable)?;
        let is_same = |file: &File| FileIdentity::of(file).is_ok_and(|found| found == identity);
        // Its name, if it still has that.
        let named = std::fs::read_link(OPEN_AGAIN).ok();
        let named = named.filter(|path| open_for_reading(path).is_ok_and(|file| is_same(&file)));
        let path = named.unwrap_or_else(|| PathBuf::from("standard input"));
        let again = File::open(OPEN_AGAIN).ok().filter(is_same);
        let lock = match again.as_ref().map(FileLock::shared) {
            Some(Ok(lock)) => Some(lock),
            Some(Err(LockError::HeldElsewhere)) => return Err(Refusal::Locked { path }.into()),
            Some(Err(_)) | None => None,
        };
        let file = again.unwrap_or(stdin);
        let times = Times::of(&file).map_err(unreadable)?;
        let target = ReadTarget { path, file, lock, times };
        target.refuse_open_job(Asks::Copy, &BufferedFile::new(target.owned_file()?), journal)?;
        Ok(Some(target))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The same open file, for whoever wants to own it.
    pub(crate) fn owned_file(&self) -> Result<File, Refusal> {
        self.file.try_clone().map_err(|source| Refusal::Unopenable { path: self.path.clone(), source })
    }

    /// Refuses a file that a crash left in the middle of a job, whose journal lies beside it or where the caller says.
    pub(crate) fn refuse_open_job(
        &self,
        asks: Asks,
        data: &dyn Storage,
        journal: Option<&Path>,
    ) -> Result<(), OpenError> {
        let names = Names::of(&self.path)?;
        if let Err(refusal @ Refusal::JournalIsFile { .. }) = journal_place_of(&names, journal) {
            return Err(refusal.into());
        }
        Subject::new(&self.path, data, &self.file, journal)?.refuse_open_job(asks)
    }

    /// After everything was read: whether somebody wrote to the file meanwhile. That is his affair, as with any copy, unless it may
    /// have been a job.
    pub(crate) fn was_changed(&self) -> Result<bool, Refusal> {
        let unreadable = |source| Refusal::Input { path: self.path.clone(), source };
        let now = Times::of(&self.file).map_err(unreadable)?;
        if self.lock.is_some() {
            return Ok(now.modified != self.times.modified);
        }
        if is_locked(&self.file).unwrap_or(false) {
            return Err(Refusal::Locked { path: self.path.clone() });
        }
        // A job sets the modification time back in the end, but nobody can set this one.
        match now == self.times {
            true => Ok(false),
            false => Err(unreadable(io::Error::other("it was changed while it was read"))),
        }
    }

    /// The result, unless there is a better reason than damage for its failure: that a job has begun.
    pub(crate) fn explain<T, E: From<Refusal>>(&self, result: Result<T, E>) -> Result<T, E> {
        result.map_err(|error| match self.was_changed() {
            Err(refusal) => refusal.into(),
            Ok(_) => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// As on a file system without locks.
    fn without_lock(path: &Path) -> ReadTarget {
        ReadTarget { lock: None, ..ReadTarget::open(path).unwrap() }
    }

    #[test]
    fn without_locks_a_job_that_began_meanwhile_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let target = without_lock(file.path());
        assert!(!target.was_changed().unwrap());
        let job = FileLock::exclusive(file.as_file()).unwrap();
        assert!(matches!(target.was_changed(), Err(Refusal::Locked { .. })));
        drop(job);
        assert!(!target.was_changed().unwrap());
        // It is over, and has set the time back.
        let modified = file.as_file().metadata().unwrap().modified().unwrap();
        file.as_file().set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
        file.as_file().set_modified(modified).unwrap();
        assert!(matches!(target.was_changed(), Err(Refusal::Input { .. })));
    }

    #[test]
    fn other_writers_are_told_apart_from_those_who_only_touch_the_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let target = ReadTarget::open(file.path()).unwrap();
        let other_name = file.path().with_extension("other");
        std::fs::hard_link(file.path(), &other_name).unwrap();
        std::fs::remove_file(other_name).unwrap();
        assert!(!target.was_changed().unwrap());
        file.as_file().set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
        assert!(target.was_changed().unwrap());
    }
}
