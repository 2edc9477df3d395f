//! A file that is read front to back without pushing everything else out of the page cache.

use std::fs::File;
use std::sync::{Mutex, MutexGuard};

use crate::write_back::forget;

/// Pages are dropped so many bytes at a time. The kernel does not drop a part of a folio, and no folio reaches over such a border.
const STEP_BYTES: u64 = 8 << 20;

/// Bytes behind the foremost read one that stay: so far apart may 64 workers be that read side by side, 1 MiB at a time.
const DISTANCE_BYTES: u64 = 64 << 20;

/// Shorter reads are of what lies elsewhere in the file, as a table, and say nothing of how far the data was read.
const SHORTEST_COUNTED_BYTES: usize = 512 << 10;

/// How far a file was read that does not fit into memory, by requests of 512 KiB or more: its pages leave the page cache behind the
/// reader, and the rest of them when this goes. Whatever was in the cache before goes with them. Memory depends on it, and nothing else.
#[derive(Debug)]
pub(crate) struct ReadBehind {
    file: File,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Highest byte that was read, ever.
    highest: u64,
    /// Highest byte that was read since the reader last began anew.
    end: u64,
    /// What lies before this was dropped since.
    dropped: u64,
}

impl ReadBehind {
    /// For another descriptor of the file that is read.
    pub(crate) fn new(file: File) -> Self {
        Self { file, progress: Mutex::default() }
    }

    /// To be told of every read after it was done.
    pub(crate) fn was_read(&self, offset: u64, len: usize) {
        if len < SHORTEST_COUNTED_BYTES {
            return;
        }
        let (start, end) = {
            let mut progress = self.lock();
            if offset + DISTANCE_BYTES < progress.dropped {
                *progress =
                    Progress { highest: progress.highest, end: 0, dropped: offset / STEP_BYTES * STEP_BYTES };
            }
            progress.end = progress.end.max(offset + len as u64);
            progress.highest = progress.highest.max(progress.end);
            let end = progress.end.saturating_sub(DISTANCE_BYTES) / STEP_BYTES * STEP_BYTES;
            if end <= progress.dropped {
                return;
            }
            (std::mem::replace(&mut progress.dropped, end), end)
        };
        forget(&self.file, start, end - start);
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for ReadBehind {
    fn drop(&mut self) {
        let end = self.lock().highest.next_multiple_of(STEP_BYTES);
        forget(&self.file, 0, end);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::{BufferedFile, FileSystemKind, Medium, Storage, residency::cached_bytes};

    const LEN: usize = 160 << 20;
    const PIECE: usize = 512 << 10;

    /// A durable file whose pages are in the page cache; `None` where that is not told, or where they cannot leave it.
    fn cached_file() -> Option<File> {
        // Beside the source, for the temporary folder may be in memory.
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all_at(&vec![7; LEN], 0).unwrap();
        file.sync_all().unwrap();
        let is_told = cached_bytes(&file, 0, LEN as u64).is_some_and(|bytes| bytes > LEN as u64 / 2);
        if !is_told || Medium::of(&file).unwrap().kind == FileSystemKind::Tmpfs {
            println!("SKIPPED: nothing is told of the page cache here, or a file system in memory");
            return None;
        }
        Some(file)
    }

    #[test]
    fn pages_leave_the_cache_behind_the_reader_and_the_rest_at_the_end() {
        let Some(file) = cached_file() else { return };
        let reader = BufferedFile::leaving_cache(file.try_clone().unwrap());
        let mut buf = vec![0; PIECE];
        for pass in 1..=2 {
            for at in (0..LEN).step_by(PIECE) {
                // What lies at the end of a sealed file is short, and read again and again.
                if at % (4 * PIECE) == 0 {
                    reader.read_exact_at(&mut buf[..PIECE / 2], (LEN - PIECE / 2) as u64).unwrap();
                    let unread = (at + 2 * STEP_BYTES as usize).min(LEN);
                    let left = cached_bytes(&file, unread as u64, (LEN - unread) as u64).unwrap();
                    assert!(
                        pass > 1 || left + STEP_BYTES >= (LEN - unread) as u64,
                        "{left} bytes after {at}"
                    );
                }
                reader.read_exact_at(&mut buf, at as u64).unwrap();
                assert!(buf.iter().all(|byte| *byte == 7));
            }
            let left = cached_bytes(&file, 0, LEN as u64).unwrap();
            assert!(
                left <= DISTANCE_BYTES + 2 * STEP_BYTES,
                "{left} bytes are in the cache after pass {pass}"
            );
        }
        drop(reader);
        let left = cached_bytes(&file, 0, LEN as u64).unwrap();
        assert!(left <= 1 << 20, "{left} bytes are in the cache");
    }

    #[test]
    fn what_was_not_read_stays() {
        let Some(file) = cached_file() else { return };
        let before = cached_bytes(&file, 0, LEN as u64).unwrap();
        let reader = BufferedFile::leaving_cache(file.try_clone().unwrap());
        reader.read_exact_at(&mut vec![0; PIECE / 2], (LEN - PIECE / 2) as u64).unwrap();
        reader.read_exact_at(&mut vec![0; PIECE], 0).unwrap();
        drop(reader);
        let after = cached_bytes(&file, 0, LEN as u64).unwrap();
        assert!(after + STEP_BYTES >= before && after < before, "{before} and then {after} bytes");
    }
}
