//! Telling one mounting of a file system from the next.
//!
//! What was written and not synced lies in caches that go with the mounted file system. Whoever counts on it must know that it still
//! is the same one: neither device number, nor mount point, nor `STATX_MNT_ID` changes when a file system is unmounted (or told to
//! shut down) and mounted again.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, StatxFlags, fstat, fstatfs, major, minor, statx};

use crate::medium::{FileSystemKind, running_kernel};

/// `statfs` of sysfs, linux/magic.h.
const SYSFS_MAGIC: u64 = 0x6265_6572;
/// From this kernel on the nodes of sysfs have numbers of 64 bits, none of which comes twice.
const NODES_ARE_NUMBERED_SINCE: (u32, u32) = (5, 5);
/// `STATX_MNT_ID_UNIQUE`, linux/stat.h: since Linux 6.8.
const UNIQUE_MOUNT_ID: u32 = 0x4000;
/// `BTRFS_IOC_FS_INFO`, linux/btrfs.h: `_IOR(0x94, 31, struct btrfs_ioctl_fs_info_args)`.
const BTRFS_IOC_FS_INFO: u32 = 0x8400_941F;
const BTRFS_FSID_OFFSET: usize = 16;

/// What a file system that is mounted has until it is unmounted everywhere, and never again before the next boot. Means nothing
/// after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountInstance {
    /// The file system itself, the same through all of its mounts: the number of the node that the kernel makes for it in sysfs.
    FileSystem(u64),
    /// One mount; others of the same file system, as bind mounts and those of containers, have other numbers.
    Mount(u64),
}

/// Of an open file or directory; `None` where the system tells neither: without sysfs, or on another file system than ext4, XFS,
/// F2FS and Btrfs, before Linux 6.8.
pub(crate) fn mount_instance(file: impl AsFd) -> Option<MountInstance> {
    let file = file.as_fd();
    node_in_sysfs(file)
        .map(MountInstance::FileSystem)
        .or_else(|| unique_mount(file).map(MountInstance::Mount))
}

fn node_in_sysfs(file: BorrowedFd<'_>) -> Option<u64> {
    if running_kernel() < NODES_ARE_NUMBERED_SINCE {
        return None;
    }
    #[allow(clippy::unnecessary_cast)]
    let magic = |fd: BorrowedFd<'_>| fstatfs(fd).ok().map(|found| u64::from(found.f_type as u32));
    let (family, name) = match FileSystemKind::from_magic(magic(file)?) {
        FileSystemKind::Ext4 => ("ext4", device_name(file)?),
        FileSystemKind::Xfs => ("xfs", device_name(file)?),
        FileSystemKind::F2fs => ("f2fs", device_name(file)?),
        FileSystemKind::Btrfs => ("btrfs", btrfs_id(file)?),
        _ => return None,
    };
    let node = File::open(Path::new("/sys/fs").join(family).join(name)).ok()?;
    // Something else may lie there, in a container for example, with numbers that mean nothing.
    (magic(node.as_fd())? == SYSFS_MAGIC).then_some(node.metadata().ok()?.ino())
}

/// Whether the ext4 that a file or folder lies on has a journal of its own; `None` where sysfs does not tell.
pub(crate) fn ext4_has_journal(file: impl AsFd) -> Option<bool> {
    let device = device_name(file.as_fd())?;
    // The process that commits the file system's journal, or that there is none.
    let task = fs::read_to_string(format!("/sys/fs/ext4/{device}/journal_task")).ok()?;
    Some(task.trim() != "<none>")
}

/// The kernel's name of the block device that the file lies on.
fn device_name(file: BorrowedFd<'_>) -> Option<String> {
    let device = fstat(file).ok()?.st_dev;
    let link = fs::read_link(format!("/sys/dev/block/{}:{}", major(device), minor(device))).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn btrfs_id(file: BorrowedFd<'_>) -> Option<String> {
    let mut answer = [0_u8; 1024];
    // SAFETY: the descriptor is open, being borrowed. The number says that the kernel writes 1024 bytes, which the exclusively
    // borrowed array has; any bytes are valid in it.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), BTRFS_IOC_FS_INFO as _, answer.as_mut_ptr()) };
    if result != 0 {
        return None;
    }
    let hex: Vec<String> =
        answer[BTRFS_FSID_OFFSET..][..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..4], &hex[4..6], &hex[6..8], &hex[8..10], &hex[10..]];
    Some(parts.map(|part| part.concat()).join("-"))
}

fn unique_mount(file: BorrowedFd<'_>) -> Option<u64> {
    let wanted = StatxFlags::from_bits_retain(UNIQUE_MOUNT_ID);
    let found = statx(file, "", AtFlags::EMPTY_PATH, wanted).ok()?;
    (found.stx_mask & UNIQUE_MOUNT_ID != 0).then_some(found.stx_mnt_id)
}

/// Where the file system is mounted that a path leads to, as this process sees it.
///
/// # Errors
/// Those of `statx` and of reading `/proc/self/mountinfo`; [`io::ErrorKind::NotFound`] if the mount is not listed there.
pub fn mount_point_of(path: &Path) -> io::Result<PathBuf> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?;
    let wanted = found.stx_mnt_id.to_string();
    let mounts = fs::read("/proc/self/mountinfo")?;
    let point = mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        (fields.next()? == wanted.as_bytes()).then(|| fields.nth(3)).flatten()
    });
    point.map(unescaped).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Blanks, tabs, ends of lines and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..3).filter(|digits| digits.iter().all(|digit| matches!(digit, b'0'..=b'7')));
        match (first, digits) {
            (b'\\', Some(digits)) => {
                bytes.push(digits.iter().fold(0_u8, |value, digit| (value << 3) | (digit - b'0')));
                rest = &others[3..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_its_folder_are_of_the_same_mount() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = tempfile::tempfile_in(folder.path()).unwrap();
        let of_file = mount_instance(&file);
        assert_eq!(of_file, mount_instance(File::open(folder.path()).unwrap()));
        assert_eq!(of_file, mount_instance(&file), "asked again");
    }

    #[test]
    fn mount_points_are_found() {
        assert_eq!(mount_point_of(Path::new("/proc/self")).unwrap(), Path::new("/proc"));
        assert!(mount_point_of(Path::new("/no/such/file")).is_err());
        assert_eq!(unescaped(br"/a\040b\134c\9"), Path::new(r"/a b\c\9"));
    }
}
