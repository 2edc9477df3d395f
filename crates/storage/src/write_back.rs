//! Getting written pages on their way to the disk early, and out of the page cache. Memory and time depend on it, durability never.

use std::{
    fs::File,
    io,
    num::NonZeroU64,
    os::fd::AsRawFd,
    sync::{Mutex, MutexGuard},
};

use rustix::fs::{Advice, fadvise};

/// Written bytes after which their way to the disk begins: few enough that the disk starts early, enough for large requests.
const STEP_BYTES: u64 = 8 << 20;

/// Bytes behind the foremost written one that are not waited for: enough that the disk is never idle while the oldest of them are.
const DISTANCE_BYTES: u64 = 32 << 20;

/// Asks the kernel to begin writing what was written to a new file, a step at a time, so that the sync in the end finds
/// little left to do. Durable is what a sync has returned for, and nothing else.
///
/// A file that is too long for the page cache would push everything else out of it and then be slowed down as one that makes pages
/// dirty faster than they are written. So its pages are waited for and dropped, some 10 MiB behind the writers.
#[derive(Debug)]
pub struct WriteBehind {
    /// Pages are dropped once the file is longer than this.
    keeps_len: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// All that was written before this was submitted.
    submitted: u64,
    /// All that was written before this was waited for and dropped.
    dropped: u64,
    /// Highest byte that was written.
    end: u64,
    /// Bytes written since the last step.
    written: u64,
}

impl WriteBehind {
    /// For a file that may stay in the page cache up to a length of `keeps_len` bytes. If it becomes longer, all of it is dropped
    /// but for the last 10s of MiB; with 0, from the beginning.
    #[must_use]
    pub fn new(keeps_len: u64) -> Self {
        Self { keeps_len, state: Mutex::default() }
    }

    /// To be told of every write after it was done, in about the order of their places. May wait for the disk if pages are dropped.
    ///
    /// # Errors
    /// Those of writing back, of which the sync need not tell a second time.
    pub fn wrote(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        let (start, end) = {
            let mut state = self.lock();
            // What another thread wrote later than what lies behind it may have missed its step.
            state.submitted = state.submitted.min(offset);
            state.dropped = state.dropped.min(offset);
            state.end = state.end.max(offset + len);
            state.written += len;
            if state.written < STEP_BYTES {
                return Ok(());
            }
            state.written = 0;
            let end = state.end;
            (std::mem::replace(&mut state.submitted, end), end)
        };
        start_write_back(file, start, end - start)?;
        if end > self.keeps_len { self.drop_behind(file) } else { Ok(()) }
    }

    /// Drops what is left of a file that is too long, as far as it is durable.
    pub fn finish(&self, file: &File) {
        let end = self.lock().end;
        if end > self.keeps_len {
            forget(file, 0, end);
        }
    }

    fn drop_behind(&self, file: &File) -> io::Result<()> {
        let (start, end) = {
            let mut state = self.lock();
            // The kernel does not drop a part of a folio, and no folio reaches over such a border.
            let end = state.end.saturating_sub(DISTANCE_BYTES) / STEP_BYTES * STEP_BYTES;
            if end <= state.dropped {
                return Ok(());
            }
            // Under the lock, so that the other writers cannot run ahead meanwhile. The disk has the rest of the distance to do.
            finish_write_back(file, state.dropped, end - state.dropped)?;
            (std::mem::replace(&mut state.dropped, end), end)
        };
        forget(file, start, end - start);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Submits dirty pages for writing and does not wait for them.
pub(crate) fn start_write_back(file: &File, offset: u64, len: u64) -> io::Result<()> {
    sync_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE)
}

/// Submits dirty pages and waits until all of the range is written.
fn finish_write_back(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, len, wait | libc::SYNC_FILE_RANGE_WRITE)
}

/// Best effort, and nothing but memory depends on it: pages that are not written yet stay.
pub(crate) fn forget(file: &File, offset: u64, len: u64) {
    // A length of 0 would mean "to the end".
    if let Some(len) = NonZeroU64::new(len) {
        let _ = fadvise(file, offset, Some(len), Advice::DontNeed);
    }
}

/// `man 2 sync_file_range`. That a system does not know the call is no error, for nothing rests on it. That pages could not be written
/// is one, whatever its number, which may be any that a file system or a server thought of: the pages may be dropped, and a call that
/// waited has taken the error from the sync that comes later.
fn sync_range(file: &File, offset: u64, len: u64, flags: libc::c_uint) -> io::Result<()> {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return Ok(()) };
    // Without flags the call looks at the file and does nothing, so what it fails with then tells of no pages.
    match sync_file_range(file, offset, len, flags) {
        Err(_) if sync_file_range(file, 0, 0, 0).is_err() => Ok(()),
        result => result,
    }
}

fn sync_file_range(file: &File, offset: i64, len: i64, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the call takes no pointer.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileSystemKind, Medium, residency::cached_bytes};
    use std::os::unix::fs::FileExt;

    const MIB: u64 = 1 << 20;
    /// The kernel may drop pages by itself, and keep some that it has in hand.
    const KEPT_MIB: u64 = 4;

    /// A file on a medium that pages can be written to and dropped from, and none of another test's beside it.
    fn droppable_file() -> Option<File> {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all_at(&[1; 4096], 0).unwrap();
        let reason = match Medium::of(&file).unwrap().kind {
            FileSystemKind::Tmpfs => "pages of tmpfs cannot be dropped",
            _ if cached_bytes(&file, 0, 4096).is_none() => "nothing is told of the page cache here",
            _ => return Some(file),
        };
        println!("SKIPPED: {reason}");
        None
    }

    fn write(file: &File, behind: &WriteBehind, mib: u64) {
        file.write_all_at(&vec![1; MIB as usize], mib * MIB).unwrap();
        behind.wrote(file, mib * MIB, MIB).unwrap();
    }

    fn cached_mib(file: &File, from: u64, to: u64) -> u64 {
        cached_bytes(file, from * MIB, (to - from) * MIB).unwrap() / MIB
    }

    #[test]
    fn every_byte_is_in_a_step_also_if_it_comes_late() {
        let file = tempfile::tempfile().unwrap();
        let behind = WriteBehind::new(u64::MAX);
        // Two pieces in the wrong order, as two threads write them.
        for mib in [1, 0, 3, 2, 5, 4, 8, 6] {
            write(&file, &behind, mib);
        }
        assert_eq!(behind.lock().submitted, 9 * MIB);
        write(&file, &behind, 7);
        let state = behind.lock();
        assert_eq!((state.submitted, state.end, state.written), (7 * MIB, 9 * MIB, MIB));
    }

    #[test]
    fn pages_are_dropped_a_distance_behind_the_writers() {
        let Some(file) = droppable_file() else { return };
        let behind = WriteBehind::new(0);
        for pair in 0..60 {
            write(&file, &behind, 2 * pair + 1);
            write(&file, &behind, 2 * pair);
            let end = 2 * pair + 2;
            assert!(cached_mib(&file, 0, end) <= 32 + 2 * 8, "too many pages at {end} MiB");
            assert!(cached_mib(&file, end.saturating_sub(32), end) + KEPT_MIB >= end.min(32), "at {end} MiB");
        }
        assert!(cached_mib(&file, 0, 120) <= 32 + KEPT_MIB);
        // A thread that slept: it is waited for in the next step.
        (0..16).for_each(|mib| write(&file, &behind, mib));
        (120..128).for_each(|mib| write(&file, &behind, mib));
        assert!(cached_mib(&file, 0, 96) <= KEPT_MIB);
        file.sync_all().unwrap();
        behind.finish(&file);
        assert!(cached_mib(&file, 0, 128) <= KEPT_MIB);
        let mut byte = [0];
        file.read_exact_at(&mut byte, 3 * MIB).unwrap();
        assert_eq!(byte, [1]);
    }

    #[test]
    fn a_file_stays_in_the_cache_until_it_is_too_long_for_it() {
        let Some(file) = droppable_file() else { return };
        let behind = WriteBehind::new(64 * MIB);
        (0..64).for_each(|mib| write(&file, &behind, mib));
        behind.finish(&file);
        assert!(cached_mib(&file, 0, 64) + KEPT_MIB >= 64);
        (64..72).for_each(|mib| write(&file, &behind, mib));
        assert!(cached_mib(&file, 0, 72) <= 32 + KEPT_MIB);
    }

    #[test]
    fn what_has_no_pages_to_write_is_no_error() {
        let (reader, _writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        start_write_back(&file, 0, 4096).unwrap();
        finish_write_back(&file, 0, 4096).unwrap();
        forget(&file, 0, 4096);
    }

    #[test]
    fn an_error_that_the_call_has_not_by_itself_is_one() {
        let file = tempfile::tempfile().unwrap();
        // Numbers that may mean "not known here" are errors like any other where the call is known: EINVAL of these flags.
        let error = sync_range(&file, 0, 4096, 1 << 20).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
