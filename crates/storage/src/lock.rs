//! Keeping others off a file: an advisory lock, and a look at who has it open for writing.

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

/// A write lock over a whole file, released when dropped.
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
        let file = file.try_clone().map_err(LockError::Io)?;
        set_lock(&file, libc::F_WRLCK as libc::c_short).map_err(|error| {
            let errno = error.raw_os_error();
            if [Errno::AGAIN, Errno::ACCESS].iter().any(|held| errno == Some(held.raw_os_error())) {
                LockError::HeldElsewhere
            } else {
                LockError::Io(error)
            }
        })?;
        Ok(Self { file })
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the last descriptor would release it, too, but the caller's may stay open.
        let _ = set_lock(&self.file, libc::F_UNLCK as libc::c_short);
    }
}

fn set_lock(file: &File, kind: libc::c_short) -> io::Result<()> {
    let lock = whole_file(kind);
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
    let mut lock = whole_file(libc::F_WRLCK as libc::c_short);
    // SAFETY: the descriptor is open, being borrowed from `file`, and `lock` is an initialised struct
    // that the kernel writes to only during the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
    }
}

fn whole_file(kind: libc::c_short) -> libc::flock {
    libc::flock {
        l_type: kind,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        // 0 is "to the end, wherever that will be".
        l_len: 0,
        // Must be 0 for locks of this kind.
        l_pid: 0,
    }
}
