//! For the mutation check alone: what a journal must *not* be synced with.

use std::{fs::File, io, os::fd::AsRawFd};

/// Writes the pages out as `sync_file_range` does: neither is the device's cache flushed nor is any metadata (length, extents)
/// made durable (man 2 sync_file_range).
pub(crate) fn sync_without_flush(file: &File) -> io::Result<()> {
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the call takes no pointer.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
