//! Making a file durable where its own sync does not do that.
//!
//! Ext4 without a journal keeps changes of an inode (its length, where its blocks lie, whether they were ever
//! written) in the buffer of a block that it shares with other inodes. Until Linux commit 1308255bbf84
//! (February 2026) `fsync` and `fdatasync` of a file wrote that buffer only if the inode counted as dirty in
//! memory too, which those changes do not see to. The data was on the disk then, and nothing led to it. A sync of
//! the whole file system writes the buffer. It flushes the device before that, so the file's own sync comes
//! after it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    os::unix::fs::MetadataExt,
    sync::{Mutex, PoisonError},
};

use pageseal_protections::{Protection, is_on};
use rustix::fs::{fsync, syncfs};

use crate::ext4_features::Ext4Features;
use crate::extents;
use crate::medium::FileSystemKind;
use crate::mount::ext4_has_journal;

/// How one open file is made durable.
#[derive(Debug)]
pub(crate) struct Durability {
    needs_file_system: bool,
    /// The blocks that the medium knows to be the file's, once there is nothing else to know: writing into them
    /// changes nothing but them.
    settled: Mutex<Option<Blocks>>,
}

/// Where all of a file has blocks that were written, another one would show in these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blocks {
    len: u64,
    allocated: u64,
}

impl Durability {
    pub(crate) fn of(file: &File) -> Self {
        Self { needs_file_system: needs_file_system(file), settled: Mutex::new(None) }
    }

    /// Whether syncs cost less once all blocks of the file were written to.
    pub(crate) fn wants_written_blocks(&self) -> bool {
        self.needs_file_system
    }

    /// Says that blocks were added, or taken away.
    pub(crate) fn blocks_change(&self) {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Makes content and length durable: `fdatasync`, and what else that takes.
    ///
    /// # Errors
    /// Those of `fdatasync`, and of `syncfs`, which tells of errors of other files, too.
    pub(crate) fn sync_data(&self, file: &File) -> io::Result<()> {
        if self.needs_file_system {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            let metadata = file.metadata()?;
            let blocks = Blocks { len: metadata.len(), allocated: metadata.blocks() };
            if *settled != Some(blocks) {
                // Before the sync: what becomes a written block in its course may come too late for it.
                let all_written = extents::all_written(file, blocks.len);
                sync_file_system(file.as_fd())?;
                *settled = all_written.then_some(blocks);
            }
        }
        file.sync_data()
    }
}

/// Makes content, length and attributes of a file durable, or the names of a folder: `fsync`, and what else that
/// takes.
///
/// # Errors
/// Those of `fsync`, and of `syncfs`, which tells of errors of other files, too.
pub fn sync_all(file: impl AsFd) -> io::Result<()> {
    let file = file.as_fd();
    if needs_file_system(file) {
        sync_file_system(file)?;
    }
    Ok(fsync(file)?)
}

/// Where nobody tells whether an ext4 has a journal (no sysfs, the ext2 driver), it counts as having none.
fn needs_file_system(file: impl AsFd) -> bool {
    let is_ext4 = FileSystemKind::of(&file).is_ok_and(|kind| kind == FileSystemKind::Ext4);
    let has_journal = || ext4_has_journal(&file).or_else(|| Some(Ext4Features::of(&file)?.has_journal));
    is_on(Protection::FileSystemSync) && is_ext4 && has_journal() != Some(true)
}

fn sync_file_system(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(syncfs(file)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn unjournaled() -> Durability {
        Durability { needs_file_system: true, settled: Mutex::new(None) }
    }

    fn is_settled(durability: &Durability, file: &File) -> bool {
        durability.sync_data(file).unwrap();
        durability.settled.lock().unwrap().is_some()
    }

    #[test]
    fn memory_needs_no_sync_of_the_file_system() {
        let Ok(file) = tempfile::tempfile_in("/dev/shm") else { return };
        assert!(!needs_file_system(&file));
        sync_all(&file).unwrap();
    }

    #[test]
    fn blocks_settle_once_all_of_them_were_written_and_synced() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let durability = unjournaled();
        file.write_all_at(&[1; 10_000], 0).unwrap();
        file.sync_all().unwrap();
        if !extents::all_written(&file, 10_000) {
            return; // A file system that does not tell where a file has blocks.
        }
        // How many syncs it takes depends on when the kernel allocates.
        while !is_settled(&durability, &file) {}
        file.write_all_at(&[2; 10_000], 0).unwrap();
        assert!(is_settled(&durability, &file), "the same blocks");
        file.set_len(20_000).unwrap();
        assert!(!is_settled(&durability, &file), "a hole at the end");
        file.write_all_at(&[3; 20_000], 0).unwrap();
        while !is_settled(&durability, &file) {}
        durability.blocks_change();
        assert!(durability.settled.lock().unwrap().is_none());
    }

    #[test]
    fn reserved_blocks_are_not_written_ones() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        crate::space::reserve(&file, 0, 8192, crate::space::Growth::Reserved).unwrap();
        assert!(!is_settled(&unjournaled(), &file));
    }
}
