//! Files whose content lies in their inode (`inline_data` of ext4), and what that means for stores in place.
//!
//! When `fallocate` or `truncate` makes such a file longer, ext4 moves its content into a block, and puts that block into
//! its journal as if it were metadata. The page cache does not know of that copy, so what is written there later reaches
//! the disk, and then the old content is written over it: when the file system is unmounted, when the journal is full, or
//! when it is replayed after a power cut. A sync does not help. (Seen with Linux 6.18.) Only the first block of a file can
//! be hit, and only until the copy has left the journal. From then on nothing is to be seen of it at the file.

use std::{fs::File, io, os::fd::AsRawFd, os::unix::fs::FileExt};

use crate::ext4_features::Ext4Features;
use crate::{Directory, FileIdentity, FileSystemKind, medium};

/// `EXT4_IOC_CHECKPOINT`, fs/ext4/ext4.h: `_IOW('f', 43, __u32)`.
const EXT4_IOC_CHECKPOINT: u32 = 0x4004_662B;

/// Whether the content lies in the inode, and stays there. What was written a moment ago may lie there only until it is
/// written back, so it is synced first.
#[must_use]
pub fn stays_in_inode(file: &File) -> bool {
    medium::lies_in_inode(file) && (file.sync_all().is_err() || medium::lies_in_inode(file))
}

/// Whether the file system of `file` puts small files into their inodes, as far as that can be told: by its own word, or
/// else by making a file without a name in a folder that lies on the same one.
pub(crate) fn takes_small_files(file: &File, directory: &impl Directory) -> Option<bool> {
    let kind = FileSystemKind::of(file).ok()?;
    match kind {
        FileSystemKind::Ext4 => {}
        // What lies below is not visible, but the flags of its files are.
        FileSystemKind::Overlay => {}
        _ => return Some(false),
    }
    if let Some(features) = Ext4Features::of(file) {
        return Some(features.inline_data);
    }
    let probe = directory.create_unnamed().ok()?;
    let is_of_same = match kind {
        // Its files can have the device of the layer that they lie in, one of its own, or the overlay's.
        FileSystemKind::Overlay => FileSystemKind::of(&probe).ok()? == kind && !medium::is_mount_point(file),
        _ => FileIdentity::of(&probe).ok()?.device == FileIdentity::of(file).ok()?.device,
    };
    if !is_of_same {
        return None;
    }
    probe.write_all_at(b"?", 0).ok()?;
    Some(medium::lies_in_inode(&probe))
}

/// Writes everything to its place that the journal of ext4 still holds, so that nothing of it is written again later.
/// `file` is any file or folder of the file system.
///
/// # Errors
/// `EPERM` for whoever does not administrate the system (`CAP_SYS_ADMIN`), `ENOTTY` before Linux 5.14, and those of the
/// disk.
pub fn empty_ext4_journal(file: &File) -> io::Result<()> {
    let flags: u32 = 0;
    // SAFETY: the descriptor is open, being borrowed from `file`. The request reads the four bytes behind the pointer, which
    // live until it returns, and writes nothing to this process.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), EXT4_IOC_CHECKPOINT as _, &raw const flags) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
