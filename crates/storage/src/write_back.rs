//! Getting written pages on their way to the disk early. Memory and time depend on it, durability never.

use std::{fs::File, io, os::fd::AsRawFd, sync::Mutex};

/// Written bytes after which their way to the disk begins: few enough that the disk starts early, enough for large requests.
const STEP_BYTES: u64 = 8 << 20;

/// Asks the kernel to begin writing what was written to a new file, a step at a time, so that the sync in the end finds
/// little left to do. Durable is what a sync has returned for, and nothing else.
#[derive(Debug, Default)]
pub struct WriteBehind(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Where the step begins.
    start: u64,
    /// Highest byte that was written.
    end: u64,
    /// Bytes written since the last step.
    written: u64,
}

impl WriteBehind {
    /// To be told of every write, in about the order of their places.
    ///
    /// # Errors
    /// Those of writing back, of which the sync need not tell a second time.
    pub fn wrote(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        let range = {
            let Ok(mut state) = self.0.lock() else { return Ok(()) };
            state.end = state.end.max(offset + len);
            state.written += len;
            if state.written < STEP_BYTES {
                return Ok(());
            }
            let range = (state.start, state.end - state.start);
            // What another thread has in hand before this may be written later than this: the next step takes it along.
            state.start = state.end.saturating_sub(STEP_BYTES);
            state.written = 0;
            range
        };
        start_write_back(file, range.0, range.1)
    }
}

/// Submits dirty pages for writing and does not wait for them (`man 2 sync_file_range`). That a file system does not know the call
/// is no error, for nothing rests on it. That pages could not be written is one: a file system may drop them, and whether a later sync
/// still says so is its own affair.
pub(crate) fn start_write_back(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return Ok(()) };
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the call takes no pointer.
    if unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE | libc::EOPNOTSUPP | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn every_byte_is_in_a_step_and_the_next_one_overlaps() {
        let file = tempfile::tempfile().unwrap();
        let behind = WriteBehind::default();
        // Two pieces in the wrong order, as two threads write them.
        for offset in [1, 0, 3, 2, 5, 4, 7, 6, 9, 8].map(|mib: u64| mib << 20) {
            file.write_all_at(&vec![1; 1 << 20], offset).unwrap();
            behind.wrote(&file, offset, 1 << 20).unwrap();
        }
        let state = behind.0.lock().unwrap();
        assert_eq!((state.start, state.end, state.written), (0, 10 << 20, 2 << 20));
        assert_eq!(file.metadata().unwrap().len(), 10 << 20);
    }

    #[test]
    fn what_has_no_pages_to_write_is_no_error() {
        let (reader, _writer) = io::pipe().unwrap();
        start_write_back(&File::from(std::os::fd::OwnedFd::from(reader)), 0, 4096).unwrap();
    }
}
