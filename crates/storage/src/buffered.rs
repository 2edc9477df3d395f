//! A file through the page cache, by `pread` and `pwrite`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::durability::{Durability, sync_all};
use crate::lock::{LockHolder, lock_holder};
use crate::read_behind::ReadBehind;
use crate::space::{self, Growth};
use crate::storage::{GroupWriters, Writers, range_end};
use crate::user_namespace::{known_group, known_user};
use crate::{MountInstance, Storage};

/// A file read and written by copies: `pread` and `pwrite`, no mapping.
#[derive(Debug)]
pub struct BufferedFile {
    file: File,
    durability: Durability,
    /// Where what is read is to leave the page cache again.
    behind: Option<ReadBehind>,
}

impl BufferedFile {
    /// Takes a file that is open for what will be asked of it. `O_APPEND` must not be set: Linux
    /// then ignores the offset of a `pwrite`.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { durability: Durability::of(&file), file, behind: None }
    }

    /// As [`new`](Self::new), for a file that does not fit into memory and is read front to back, by requests of 512 KiB or more: its
    /// pages, and those that were there before, leave the page cache behind the reader, and the rest of them when this goes. Best
    /// effort, and nothing but memory depends on it.
    #[must_use]
    pub fn leaving_cache(file: File) -> Self {
        let behind = file.try_clone().ok().map(ReadBehind::new);
        Self { behind, ..Self::new(file) }
    }

    /// The file, for locks and attributes.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file back.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Storage for BufferedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        range_end(len, 0)?;
        self.durability.blocks_change();
        self.file.set_len(len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.durability.blocks_change();
        let growth = if self.durability.wants_written_blocks() { Growth::Written } else { Growth::Reserved };
        space::reserve(&self.file, offset, len, growth)
    }

    fn grow(&self, holes_from: u64, from: u64, to: u64) -> io::Result<()> {
        self.durability.blocks_change();
        space::reserve(&self.file, holes_from, to - holes_from, Growth::Appended { from })
    }

    // The standard library's loops go on after EINTR and after short transfers.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        range_end(offset, buf.len() as u64)?;
        self.file.read_exact_at(buf, offset)?;
        if let Some(behind) = &self.behind {
            behind.was_read(offset, buf.len());
        }
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        range_end(offset, buf.len() as u64)?;
        self.file.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.durability.sync_data(&self.file)
    }

    fn sync_all(&self) -> io::Result<()> {
        sync_all(&self.file)
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.durability.blocks_change();
        space::punch_hole(&self.file, offset, len)
    }

    fn set_modified(&self, modified: (i64, u32)) -> io::Result<()> {
        crate::attributes::set_modified(&self.file, modified)
    }

    fn modified(&self) -> io::Result<Option<(i64, u32)>> {
        let metadata = self.file.metadata()?;
        Ok(Some((metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap_or(0))))
    }

    fn writers(&self) -> io::Result<Option<Writers>> {
        let metadata = self.file.metadata()?;
        let mode = metadata.mode();
        let group = (mode & 0o020 != 0).then(|| GroupWriters {
            group: known_group(metadata.gid()),
            access_list: crate::attributes::access_list(&self.file),
        });
        Ok(Some(Writers { owner: known_user(metadata.uid()), group, others: mode & 0o002 != 0 }))
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        crate::mount::mount_instance(&self.file)
    }

    fn start_write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        crate::write_back::start_write_back(&self.file, offset, len)
    }

    fn forget(&self, offset: u64, len: u64) {
        crate::write_back::forget(&self.file, offset, len);
    }

    fn requests_in_flight(&self) -> io::Result<bool> {
        Ok(lock_holder(&self.file)? == LockHolder::Requests)
    }

    fn drain_requests(&self) -> io::Result<()> {
        crate::drain::drain_direct_requests(&self.file)
    }

    fn next_hole(&self, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
        space::next_hole(&self.file, offset, end)
    }
}
