//! What the file system under a file is, and what it promises.

use std::{fs::File, io, os::fd::AsFd, os::unix::fs::MetadataExt};

use rustix::{
    fs::{
        AtFlags, IFlags, StatVfsMountFlags, StatxAttributes, StatxFlags, fstatfs, fstatvfs, ioctl_getflags,
        statx,
    },
    system::uname,
};

use crate::extents;
use crate::mount::ext4_has_journal;

/// The file systems that make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSystemKind {
    /// ext4, and ext2 and ext3, which have the same number and the same driver.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// F2FS.
    F2fs,
    /// tmpfs.
    Tmpfs,
    /// OpenZFS.
    Zfs,
    /// NFS, any version.
    Nfs,
    /// CIFS and SMB.
    Cifs,
    /// FUSE, and virtiofs, which has the same number.
    Fuse,
    /// 9p.
    NineP,
    /// overlayfs; what lies below is not visible.
    Overlay,
    /// Anything else, with the number `statfs` gives.
    Other(u64),
}

impl FileSystemKind {
    /// The name that people know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "XFS",
            Self::Btrfs => "Btrfs",
            Self::F2fs => "F2FS",
            Self::Tmpfs => "tmpfs",
            Self::Zfs => "ZFS",
            Self::Nfs => "NFS",
            Self::Cifs => "CIFS",
            Self::Fuse => "a FUSE file system",
            Self::NineP => "9p",
            Self::Overlay => "overlayfs",
            Self::Other(_) => "an unknown file system",
        }
    }

    /// The kind for an `f_type` of statfs(2) (numbers: linux/magic.h; ZFS: sys/fs/zfs.h).
    #[must_use]
    pub fn from_magic(magic: u64) -> Self {
        match magic {
            0xEF53 => Self::Ext4,
            0x5846_5342 => Self::Xfs,
            0x9123_683E => Self::Btrfs,
            0xF2F5_2010 => Self::F2fs,
            0x0102_1994 => Self::Tmpfs,
            0x2FC1_2FC1 => Self::Zfs,
            0x6969 => Self::Nfs,
            0xFF53_4D42 | 0xFE53_4D42 | 0x517B => Self::Cifs,
            0x6573_5546 => Self::Fuse,
            0x0102_1997 => Self::NineP,
            0x794C_7630 => Self::Overlay,
            other => Self::Other(other),
        }
    }
}

impl FileSystemKind {
    /// That of an open file or folder.
    ///
    /// # Errors
    /// Those of `fstatfs`.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        // The type is signed and of varying width; the numbers are 32 bits.
        #[allow(clippy::unnecessary_cast)]
        Ok(Self::from_magic(u64::from(fstatfs(file)?.f_type as u32)))
    }

    /// Whether its files are in memory (tmpfs, ramfs), so that they are gone when the power is. Pages of a tmpfs can be
    /// swapped out.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        matches!(self, Self::Tmpfs | Self::Other(RAMFS_MAGIC))
    }
}

const RAMFS_MAGIC: u64 = 0x8584_58F6;

/// `FS_INLINE_DATA_FL`, linux/fs.h: ext4 and F2FS show it.
const INLINE_DATA_FLAG: u32 = 0x1000_0000;

/// bcachefs has no kind of its own here, but it copies on write, too.
const BCACHEFS_MAGIC: u64 = 0xCA45_1A4E;

/// From this kernel on XFS writes back only the dirty blocks of a large folio.
const XFS_WRITES_DIRTY_BLOCKS_SINCE: (u32, u32) = (6, 6);

/// What is known of the place a file lies in, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// The file system.
    pub kind: FileSystemKind,
    /// Preferred size of a transfer in bytes (`st_blksize`).
    pub block_size: u32,
    /// Whether a store into existing content takes new space on disk, so that it can fail with
    /// `ENOSPC` although the file is fully allocated.
    pub copy_on_write: bool,
    /// Whether blocks are shared with another file or a snapshot of the same file system, which keeps
    /// the old content; `None` if unknown. Snapshots below the file system cannot be seen.
    pub shared_extents: Option<bool>,
    /// Bytes the file takes on disk (`st_blocks * 512`).
    pub allocated_bytes: u64,
    /// Bytes free for this user (`f_bavail`).
    pub free_bytes: u64,
    /// Major and minor version of the running kernel; (0, 0) if it cannot be read.
    pub kernel: (u32, u32),
    /// The file may not be changed (`chattr +i`).
    pub immutable: bool,
    /// The file may only be appended to (`chattr +a`).
    pub append_only: bool,
    /// The file system is mounted read-only.
    pub read_only_mount: bool,
    /// The file itself is a mount point, as one that was brought into a container: its folder can lie on another file
    /// system, and its name cannot be changed. `false` where the kernel does not tell (before Linux 5.8).
    pub mounted_alone: bool,
    /// The content lies in the inode and has no blocks of its own: see [`inline_data`](crate::inline_data).
    pub inline_data: bool,
    /// Longest name in bytes.
    pub name_max: u32,
    /// Whether the file's blocks are kept as extents (ext4; files of ext2 and ext3 have lists of blocks).
    pub has_extents: bool,
    /// Whether it is known that the file system has no journal (ext4 with `^has_journal`). Syncs are then of all of it:
    /// see `durability.rs`.
    pub lacks_journal: bool,
}

/// `FS_EXTENT_FL`, linux/fs.h: an ext4 file with extents.
const EXTENTS: IFlags = IFlags::from_bits_retain(0x0008_0000);

impl Medium {
    /// Asks about an open file, which may be open for reading only.
    ///
    /// # Errors
    /// Those of `fstat`, `fstatfs` and `fstatvfs`. What a file system does not tell (flags, extents)
    /// is no error.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let space = fstatvfs(file)?;
        let kind = FileSystemKind::of(file)?;
        let flags = flags_of(file);
        Ok(Self {
            kind,
            block_size: u32::try_from(metadata.blksize()).unwrap_or(u32::MAX),
            copy_on_write: copies_on_write(kind, flags),
            shared_extents: shared_extents(kind, file),
            allocated_bytes: metadata.blocks().saturating_mul(512),
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            kernel: running_kernel(),
            immutable: flags.contains(IFlags::IMMUTABLE),
            append_only: flags.contains(IFlags::APPEND),
            read_only_mount: space.f_flag.contains(StatVfsMountFlags::RDONLY),
            mounted_alone: is_mount_point(file),
            inline_data: is_inline(flags),
            name_max: u32::try_from(space.f_namemax).unwrap_or(u32::MAX),
            has_extents: flags.contains(EXTENTS),
            lacks_journal: kind == FileSystemKind::Ext4 && ext4_has_journal(file) == Some(false),
        })
    }

    /// Whether a recovery can wait, in the kernel, until no direct request of an earlier process is in flight
    /// any more ([`Storage::drain_requests`](crate::Storage::drain_requests)). Only where that was shown: ext4
    /// with extents (without them it knows no `fallocate`), XFS and Btrfs. Elsewhere a job does not write past
    /// the page cache.
    #[must_use]
    pub fn waits_for_direct_requests(&self) -> bool {
        match self.kind {
            FileSystemKind::Ext4 => self.has_extents,
            FileSystemKind::Xfs | FileSystemKind::Btrfs => true,
            _ => false,
        }
    }

    /// Whether write-back submits dirty blocks only, on which recovery from fingerprints of the old
    /// content rests. Only what is known to do so counts: ext4, Btrfs, F2FS, tmpfs, and XFS from
    /// Linux 6.6 on.
    #[must_use]
    pub fn checksum_is_sound(&self) -> bool {
        match self.kind {
            FileSystemKind::Ext4 | FileSystemKind::Btrfs | FileSystemKind::F2fs | FileSystemKind::Tmpfs => {
                true
            }
            FileSystemKind::Xfs => self.kernel >= XFS_WRITES_DIRTY_BLOCKS_SINCE,
            _ => false,
        }
    }

    /// The file system's name, with what sets it apart from one of the same name that
    /// [`checksum_is_sound`](Self::checksum_is_sound) allows.
    #[must_use]
    pub fn file_system_name(&self) -> String {
        match self.kind {
            FileSystemKind::Xfs if !self.checksum_is_sound() => {
                let (major, minor) = XFS_WRITES_DIRTY_BLOCKS_SINCE;
                format!("XFS before Linux {major}.{minor}")
            }
            kind => kind.name().into(),
        }
    }
}

pub(crate) fn is_mount_point(file: &File) -> bool {
    statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Unknown to many file systems (ENOTTY, EOPNOTSUPP), which then have no such flags.
fn flags_of(file: &File) -> IFlags {
    ioctl_getflags(file).unwrap_or(IFlags::empty())
}

fn is_inline(flags: IFlags) -> bool {
    flags.bits() & INLINE_DATA_FLAG != 0
}

/// Whether the content of the file lies in its inode at this moment.
pub(crate) fn lies_in_inode(file: &File) -> bool {
    is_inline(flags_of(file))
}

/// F2FS also writes elsewhere, but out of space it keeps aside for that. NOCOW turns it off on Btrfs,
/// but for blocks that a snapshot shares, which `shared_extents` tells.
fn copies_on_write(kind: FileSystemKind, flags: IFlags) -> bool {
    match kind {
        FileSystemKind::Btrfs => !flags.contains(IFlags::NOCOW),
        FileSystemKind::Zfs | FileSystemKind::Other(BCACHEFS_MAGIC) => true,
        _ => false,
    }
}

fn shared_extents(kind: FileSystemKind, file: &File) -> Option<bool> {
    match kind {
        // Has neither extents to ask for nor any way to share them.
        FileSystemKind::Tmpfs => Some(false),
        _ => extents::any_shared(file),
    }
}

/// Major and minor version of the running kernel; (0, 0) if it cannot be read.
pub(crate) fn running_kernel() -> (u32, u32) {
    kernel_version(&uname().release().to_string_lossy()).unwrap_or((0, 0))
}

/// Major and minor of a release such as `6.18.44-generic`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_read() {
        assert_eq!(kernel_version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(kernel_version("6.6-rc1"), Some((6, 6)));
        assert_eq!(kernel_version("5.15.0"), Some((5, 15)));
        assert_eq!(kernel_version("linux"), None);
        assert_eq!(kernel_version("6"), None);
    }

    #[test]
    fn checksum_needs_a_file_system_known_to_write_dirty_blocks_only() {
        let with = |kind, kernel| {
            let file = tempfile::tempfile().unwrap();
            Medium { kind, kernel, ..Medium::of(&file).unwrap() }.checksum_is_sound()
        };
        use FileSystemKind as Kind;
        for kind in [Kind::Ext4, Kind::Btrfs, Kind::F2fs, Kind::Tmpfs] {
            assert!(with(kind, (5, 4)), "{kind:?}");
        }
        assert!(!with(Kind::Xfs, (6, 5)) && !with(Kind::Xfs, (5, 19)) && !with(Kind::Xfs, (0, 0)));
        assert!(with(Kind::Xfs, (6, 6)) && with(Kind::Xfs, (7, 0)));
        for kind in [Kind::Nfs, Kind::Cifs, Kind::Fuse, Kind::NineP, Kind::Zfs, Kind::Overlay, Kind::Other(1)]
        {
            assert!(!with(kind, (6, 18)), "{kind:?}");
        }
    }

    #[test]
    fn an_old_xfs_is_named_as_such() {
        let file = tempfile::tempfile().unwrap();
        let with = |kind, kernel| Medium { kind, kernel, ..Medium::of(&file).unwrap() }.file_system_name();
        assert_eq!(with(FileSystemKind::Xfs, (5, 19)), "XFS before Linux 6.6");
        assert_eq!(with(FileSystemKind::Xfs, (6, 6)), "XFS");
        assert_eq!(with(FileSystemKind::Overlay, (6, 6)), "overlayfs");
    }

    #[test]
    fn memory_is_volatile() {
        for (magic, volatile) in
            [(0x0102_1994, true), (RAMFS_MAGIC, true), (0xEF53, false), (0x794C_7630, false)]
        {
            assert_eq!(FileSystemKind::from_magic(magic).is_volatile(), volatile, "{magic:x}");
        }
    }

    #[test]
    fn stores_take_new_space_where_nothing_is_overwritten() {
        assert!(copies_on_write(FileSystemKind::Btrfs, IFlags::empty()));
        assert!(!copies_on_write(FileSystemKind::Btrfs, IFlags::NOCOW));
        assert!(copies_on_write(FileSystemKind::from_magic(BCACHEFS_MAGIC), IFlags::empty()));
        assert!(!copies_on_write(FileSystemKind::Ext4, IFlags::empty()));
    }
}
