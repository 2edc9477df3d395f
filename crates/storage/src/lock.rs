//! Keeping others off a file: an advisory lock, and a look at who has it open for writing.
//!
//! The lock of a job has two halves, far behind any offset that a file has. The lower one says that
//! a job runs. The upper one says that requests may still reach the file: a job that writes past the
//! page cache moves it onto the open file that its requests go through
//! ([`FileLock::cover_requests_of`]). The kernel keeps that open file until the last request is
//! complete, also when the process is long gone, and with it the lock. So whoever finds the lower half
//! free and the upper one held knows that a killed job's requests are on their way.

use std::{fs::File, io, os::fd::AsRawFd};

use rustix::io::Errno;

pub use crate::writer_probe::{WriterProbe, probe_writers};

/// Why a file could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process, or another open of this one, holds a lock on the file.
    #[error("the file is locked elsewhere")]
    HeldElsewhere,
    /// The lock could not be asked for, for example `ENOLCK` on a network file system, or `EBADF` for
    /// a file that is not open for writing.
    #[error("the file could not be locked")]
    Io(#[source] io::Error),
}

/// Where the upper half of a lock begins: behind every offset of data (2^60 bytes at most).
const REQUESTS_START: libc::off_t = 1 << 62;

/// A part of the range that a job locks.
#[derive(Clone, Copy, Debug)]
enum Part {
    Whole,
    /// Of the job itself.
    Job,
    /// Of the requests it has in flight.
    Requests,
}

/// What keeps a file from being locked at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockHolder {
    /// Nothing does.
    Nobody,
    /// A job that runs, or one that was killed and that the kernel has not ended yet.
    Job,
    /// Requests of a job that is gone: they can reach the file at any moment.
    Requests,
}

/// A lock over a whole file, released when dropped.
///
/// It is an open-file-description lock (`F_OFD_SETLK`, fcntl(2)): unlike the older record locks it
/// holds between threads and is not lost when some other descriptor of the file is closed. It is
/// advisory and keeps away only those who lock, too. It belongs to the open file it was taken through:
/// locking a [`File::try_clone`] of the same open file again succeeds.
#[derive(Debug)]
pub struct FileLock {
    /// Keeps the open file alive, and with it the lock, when the caller closes the file. A duplicate
    /// and not a second open: closing that would look like a foreign writer to a watch.
    file: File,
}

impl FileLock {
    /// Locks `file`, which must be open for writing, without waiting.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn exclusive(file: &File) -> Result<Self, LockError> {
        Self::of_kind(file, libc::F_WRLCK as libc::c_short)
    }

    /// Keeps [`exclusive`](Self::exclusive) locks off `file`, which must be open for reading, without waiting. Any number of such
    /// locks can be held at a time.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn shared(file: &File) -> Result<Self, LockError> {
        Self::of_kind(file, libc::F_RDLCK as libc::c_short)
    }

    fn of_kind(file: &File, kind: libc::c_short) -> Result<Self, LockError> {
        let file = file.try_clone().map_err(LockError::Io)?;
        set_lock(&file, kind, Part::Whole).map_err(held_or_other)?;
        Ok(Self { file })
    }

    /// Gives `requests`, another open of the same file, the upper half of this lock. It is released when
    /// the kernel has closed that open file: not before every request that was made through it is
    /// complete, whatever became of the process. Nobody can come in between, because the lower half stays.
    ///
    /// # Errors
    /// See [`LockError`]; this lock then covers what it covered before, or is good for nothing.
    pub fn cover_requests_of(&self, requests: &File) -> Result<(), LockError> {
        set_lock(&self.file, libc::F_UNLCK as libc::c_short, Part::Requests).map_err(LockError::Io)?;
        set_lock(requests, libc::F_WRLCK as libc::c_short, Part::Requests).map_err(|error| {
            // As before. If somebody else took it meanwhile, so be it: the caller gives up then.
            let _ = set_lock(&self.file, libc::F_WRLCK as libc::c_short, Part::Requests);
            held_or_other(error)
        })
    }
}

fn held_or_other(error: io::Error) -> LockError {
    let errno = error.raw_os_error();
    if [Errno::AGAIN, Errno::ACCESS].iter().any(|held| errno == Some(held.raw_os_error())) {
        LockError::HeldElsewhere
    } else {
        LockError::Io(error)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the last descriptor would release it, too, but the caller's may stay open.
        let _ = set_lock(&self.file, libc::F_UNLCK as libc::c_short, Part::Whole);
    }
}

fn set_lock(file: &File, kind: libc::c_short, part: Part) -> io::Result<()> {
    let lock = lock_of(kind, part);
    // SAFETY: the descriptor is open, being borrowed from `file`, and `lock` is an initialised struct
    // that the kernel only reads, during the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether another open of the file holds a lock that [`FileLock::exclusive`] would run into. Unlike taking it, asking
/// works through a file that is open for reading only. The answer holds for the moment.
///
/// # Errors
/// Those of `fcntl`.
pub fn is_locked(file: &File) -> io::Result<bool> {
    is_part_locked(file, Part::Whole)
}

/// As [`is_locked`], and by what.
///
/// # Errors
/// Those of `fcntl`.
pub fn lock_holder(file: &File) -> io::Result<LockHolder> {
    // The lower half first. A job that begins between the two questions looks like requests for a moment, and
    // is found when the lock is taken.
    if is_part_locked(file, Part::Job)? {
        return Ok(LockHolder::Job);
    }
    Ok(if is_part_locked(file, Part::Requests)? { LockHolder::Requests } else { LockHolder::Nobody })
}

fn is_part_locked(file: &File, part: Part) -> io::Result<bool> {
    let mut lock = lock_of(libc::F_WRLCK as libc::c_short, part);
    // SAFETY: the descriptor is open, being borrowed from `file`, and `lock` is an initialised struct
    // that the kernel writes to only during the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
    }
}

fn lock_of(kind: libc::c_short, part: Part) -> libc::flock {
    let (start, len) = match part {
        // 0 is "to the end, wherever that will be".
        Part::Whole => (0, 0),
        Part::Job => (0, REQUESTS_START),
        Part::Requests => (REQUESTS_START, 0),
    };
    libc::flock {
        l_type: kind,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        // Must be 0 for locks of this kind.
        l_pid: 0,
    }
}
