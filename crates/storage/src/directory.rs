//! Names in a directory, and the files behind them.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt::Debug,
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, RawMode, RenameFlags, fstat, fsync, linkat, open, openat, renameat_with,
        statat, unlinkat,
    },
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};

use crate::folder::{name_durably, rename_by_links};
use crate::{FileSystemKind, MountInstance};

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Which file it is, whatever its name. Inode numbers are used again once a file is gone, so an
/// identity means something only while the file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Device number (`st_dev`).
    pub device: u64,
    /// Inode number (`st_ino`).
    pub inode: u64,
}

impl FileIdentity {
    /// The identity of an open file.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// A directory. Names are single components; one with a `/`, or `.` or `..`, is
/// [`io::ErrorKind::InvalidInput`]. No symbolic link is followed. No change is durable before
/// [`sync`](Directory::sync).
pub trait Directory: Send + Sync + Debug {
    /// Opens a file. The name may be that of a FIFO or a device, which neither hangs nor is refused:
    /// look at the type before use.
    ///
    /// # Errors
    /// Those of `openat`, among them `ELOOP` for a symbolic link.
    fn open_file(&self, name: &OsStr, access: Access) -> io::Result<File>;

    /// Creates a file, open for reading and writing, with the given permission bits less the umask.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name exists, as whatever; others of `openat`.
    fn create_new(&self, name: &OsStr, mode: u32) -> io::Result<File>;

    /// Renames, never over an existing name.
    ///
    /// Where the file system cannot do this at once (`EINVAL`, `ENOSYS`), the new name is linked and
    /// the old one removed: a crash in between leaves both.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if `to` exists; others of `renameat2`, `linkat`, `unlinkat`.
    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()>;

    /// Removes the name of a file.
    ///
    /// # Errors
    /// Those of `unlinkat`.
    fn remove(&self, name: &OsStr) -> io::Result<()>;

    /// What lies under this name, without opening it; a symbolic link is not followed.
    ///
    /// # Errors
    /// Those of `openat` and `fstat`.
    fn look_at(&self, name: &OsStr) -> io::Result<Metadata>;

    /// Which directory it is.
    ///
    /// # Errors
    /// Those of `fstat`.
    fn own_identity(&self) -> io::Result<FileIdentity>;

    /// The file system that it lies on.
    ///
    /// # Errors
    /// Those of `fstatfs`.
    fn file_system(&self) -> io::Result<FileSystemKind>;

    /// Which file has this name; `None` if none has. A symbolic link has an identity of its own.
    ///
    /// # Errors
    /// Those of `fstatat`, except `ENOENT`.
    fn identity_of(&self, name: &OsStr) -> io::Result<Option<FileIdentity>>;

    /// Makes the names durable as they are now.
    ///
    /// # Errors
    /// Those of `fsync`.
    fn sync(&self) -> io::Result<()>;

    /// Creates a file, open for reading and writing by its owner only, that vanishes unless
    /// [`link_temporary`](Directory::link_temporary) gives it a name. On file systems without unnamed
    /// files it has a random name until then, which a crash leaves behind.
    ///
    /// # Errors
    /// Those of `openat`.
    fn create_unnamed(&self) -> io::Result<File>;

    /// Gives a file from [`create_unnamed`](Directory::create_unnamed) of this directory its name,
    /// never over an existing one. Sync the file first, else the name can become durable before the
    /// content.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name exists; others of `linkat` and `renameat2`.
    fn link_temporary(&self, file: &File, name: &OsStr) -> io::Result<()>;

    /// Which mounting of its file system the directory lies in; `None` where nobody can tell.
    fn mount_instance(&self) -> Option<MountInstance>;
    /// As [`link_temporary`](Directory::link_temporary), and makes the name durable.
    ///
    /// # Errors
    /// Those of [`link_temporary`](Directory::link_temporary) and `fsync`.
    fn publish(&self, file: &File, name: &OsStr) -> io::Result<()> {
        name_durably(|| self.link_temporary(file, name), || file.sync_all(), || self.sync())
    }
}

/// A directory of the file system, held open: it stays the same one when it is moved.
#[derive(Debug)]
pub struct RealDirectory {
    directory: OwnedFd,
    /// Random names of files that should have none; removed when this is dropped.
    stand_in_names: Mutex<HashMap<FileIdentity, OsString>>,
}

const OPEN_ALWAYS: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    // So that a FIFO does not wait for its other end, nor a terminal become ours.
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

const OWNER_ONLY: u32 = 0o600;

impl RealDirectory {
    /// Opens a directory. Symbolic links in `path` are followed; an empty path is the current
    /// directory, as the parent of a bare file name.
    ///
    /// # Errors
    /// Those of `open`; the directory must be readable.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty())?;
        Ok(Self { directory, stand_in_names: Mutex::default() })
    }

    fn create(&self, name: &OsStr, mode: Mode) -> io::Result<File> {
        let flags = OPEN_ALWAYS | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(openat(&self.directory, name, flags, mode)?))
    }

    /// As [`create_unnamed`](Directory::create_unnamed), with the given permission bits less the umask instead of the owner's alone.
    ///
    /// # Errors
    /// The same.
    pub fn create_unnamed_with(&self, mode: u32) -> io::Result<File> {
        let mode = Mode::from_raw_mode(mode as RawMode);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match openat(&self.directory, ".", flags, mode) {
            Ok(file) => Ok(File::from(file)),
            // What kernels and file systems say that do not know of unnamed files.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT | Errno::NOSYS) => {
                self.create_with_stand_in_name(mode)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn create_with_stand_in_name(&self, mode: Mode) -> io::Result<File> {
        let name = random_name()?;
        let file = self.create(&name, mode)?;
        self.stand_ins().insert(FileIdentity::of(&file)?, name);
        Ok(file)
    }

    /// Each change is one insert or remove, so a panic elsewhere leaves nothing half done.
    fn stand_ins(&self) -> MutexGuard<'_, HashMap<FileIdentity, OsString>> {
        self.stand_in_names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link_then_remove(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let moved = self.identity_of(from)?;
        rename_by_links(
            || Ok(linkat(&self.directory, from, &self.directory, to, AtFlags::empty())?),
            || self.sync(),
            // Somebody may have put another file under the old name, which then must stay.
            || match moved == self.identity_of(from)? && moved == self.identity_of(to)? {
                true => self.remove(from),
                false => Ok(()),
            },
        )
    }

    fn link_unnamed(&self, file: &File, name: &OsStr) -> rustix::io::Result<()> {
        match linkat(file, "", &self.directory, name, AtFlags::EMPTY_PATH) {
            // Needs a privilege, or a new kernel; the way through /proc does not.
            Err(Errno::NOENT | Errno::PERM | Errno::INVAL | Errno::ACCESS) => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(CWD, path, &self.directory, name, AtFlags::SYMLINK_FOLLOW)
            }
            other => other,
        }
    }
}

impl Directory for RealDirectory {
    fn open_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        refuse_path(name)?;
        let access = match access {
            Access::ReadOnly => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        Ok(File::from(openat(&self.directory, name, OPEN_ALWAYS | access, Mode::empty())?))
    }

    fn create_new(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        refuse_path(name)?;
        self.create(name, Mode::from_raw_mode(mode as RawMode))
    }

    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        refuse_path(from)?;
        refuse_path(to)?;
        let flags = RenameFlags::NOREPLACE;
        match renameat_with(&self.directory, from, &self.directory, to, flags) {
            Err(Errno::INVAL | Errno::NOSYS) => self.link_then_remove(from, to),
            other => Ok(other?),
        }
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        refuse_path(name)?;
        Ok(unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn identity_of(&self, name: &OsStr) -> io::Result<Option<FileIdentity>> {
        refuse_path(name)?;
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(FileIdentity { device: found.st_dev, inode: found.st_ino })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn look_at(&self, name: &OsStr) -> io::Result<Metadata> {
        refuse_path(name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        File::from(openat(&self.directory, name, flags, Mode::empty())?).metadata()
    }

    fn own_identity(&self) -> io::Result<FileIdentity> {
        let found = fstat(&self.directory)?;
        Ok(FileIdentity { device: found.st_dev, inode: found.st_ino })
    }

    fn file_system(&self) -> io::Result<FileSystemKind> {
        FileSystemKind::of(&self.directory)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.directory)?)
    }

    fn create_unnamed(&self) -> io::Result<File> {
        self.create_unnamed_with(OWNER_ONLY)
    }

    fn link_temporary(&self, file: &File, name: &OsStr) -> io::Result<()> {
        refuse_path(name)?;
        let identity = FileIdentity::of(file)?;
        let stand_in = self.stand_ins().get(&identity).cloned();
        match stand_in {
            Some(stand_in) => {
                self.rename_noreplace(&stand_in, name)?;
                self.stand_ins().remove(&identity);
                Ok(())
            }
            None => Ok(self.link_unnamed(file, name)?),
        }
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        crate::mount::mount_instance(&self.directory)
    }
}

impl Drop for RealDirectory {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.stand_ins());
        for (identity, name) in names {
            // Only if it still is the file made here; and what cannot be removed stays.
            if self.identity_of(&name).is_ok_and(|found| found == Some(identity)) {
                let _ = self.remove(&name);
            }
        }
    }
}

/// The name must stay in this directory.
fn refuse_path(name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(())
}

fn random_name() -> io::Result<OsString> {
    let mut random = [0; 16];
    let filled = getrandom(&mut random, GetRandomFlags::empty())?;
    // The kernel never gives less for so small a buffer.
    if filled != random.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(OsString::from(format!(".pageseal-{digits}.tmp")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The paths that a file system with all features never takes.

    #[test]
    fn a_stand_in_name_becomes_the_name_or_vanishes() {
        let temp = tempfile::tempdir().unwrap();
        let count = || std::fs::read_dir(temp.path()).unwrap().count();
        let directory = RealDirectory::open(temp.path()).unwrap();
        let kept = directory.create_with_stand_in_name(Mode::RUSR | Mode::WUSR).unwrap();
        let _forgotten = directory.create_with_stand_in_name(Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(count(), 2);
        directory.create_new(OsStr::new("taken"), 0o600).unwrap();
        let refused = directory.link_temporary(&kept, OsStr::new("taken")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        directory.link_temporary(&kept, OsStr::new("kept")).unwrap();
        let identity = FileIdentity::of(&kept).unwrap();
        assert_eq!(directory.identity_of(OsStr::new("kept")).unwrap(), Some(identity));
        drop(directory);
        assert_eq!(count(), 2, "kept and taken");
    }

    #[test]
    fn renaming_by_links_does_not_replace() {
        let temp = tempfile::tempdir().unwrap();
        let directory = RealDirectory::open(temp.path()).unwrap();
        let [a, b] = ["a", "b"].map(OsStr::new);
        let file = directory.create_new(a, 0o600).unwrap();
        directory.link_then_remove(a, b).unwrap();
        assert_eq!(directory.identity_of(a).unwrap(), None);
        assert_eq!(directory.identity_of(b).unwrap(), Some(FileIdentity::of(&file).unwrap()));
        directory.create_new(a, 0o600).unwrap();
        let refused = directory.link_then_remove(a, b).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(directory.identity_of(a).unwrap().is_some());
    }
}
