//! Asking the kernel whether anybody has a file open for writing.

use std::{fs::File, os::fd::AsRawFd};

use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::Errno,
};

/// fcntl(2); the same number on x86-64 and aarch64, and not in the libc crate for all of them.
const F_SETSIG: libc::c_int = 10;

/// Whether someone could write to a file at the moment of the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterProbe {
    /// Nobody has it open, or mapped, for writing.
    None,
    /// Somebody has. It may be another open of this process.
    OpenForWriting,
    /// The kernel would not say: the file system has no leases (FUSE, many network file systems), the
    /// file belongs to another user, or the file given is not open for reading only.
    Unknown,
}

/// Finds out whether somebody has the file open for writing, by taking a read lease, which the kernel
/// grants only if nobody has, and giving it back at once.
///
/// `file` must be open for reading only, and this process must have the file open for writing nowhere,
/// else it finds itself. The answer holds for the moment; a writer can come right after it. Somebody
/// who opens the file in the microseconds of the lease waits for them, or gets `EWOULDBLOCK` with
/// `O_NONBLOCK`.
#[must_use]
pub fn probe_writers(file: &File) -> WriterProbe {
    let is_read_only = fcntl_getfl(file).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDONLY);
    if !is_read_only {
        return WriterProbe::Unknown;
    }
    // A lease is broken by a signal. The usual SIGIO kills a process that does not expect it; SIGURG is
    // ignored unless asked for.
    if control(file, F_SETSIG, libc::SIGURG).is_err() {
        return WriterProbe::Unknown;
    }
    match control(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => {
            // Giving the lease back also resets the signal. It cannot fail for a lease we hold.
            let _ = control(file, libc::F_SETLEASE, libc::F_UNLCK);
            WriterProbe::None
        }
        Err(errno) => {
            let _ = control(file, F_SETSIG, 0);
            if errno == Errno::AGAIN { WriterProbe::OpenForWriting } else { WriterProbe::Unknown }
        }
    }
}

fn control(file: &File, command: libc::c_int, argument: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open, being borrowed from `file`; both commands used here (F_SETSIG,
    // F_SETLEASE) take an int and touch no memory of this process.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        _ => Ok(()),
    }
}
