//! What a job does with the folder that its file and journal lie in. Less than a [`Directory`], and in terms of
//! [`Storage`], so that a simulated folder can stand in for a real one.

use std::{ffi::OsStr, fmt::Debug, fs::File, io, sync::Arc};

use pageseal_protections::{Protection, is_on};

use crate::lock::{FileLock, LockError};
use crate::{
    Access, BufferedFile, Directory, FileIdentity, FileSystemKind, MountInstance, Storage, Writers,
    inline_data,
};

/// A folder with files in it. Every [`Directory`] is one. Names are single components.
pub trait Folder: Send + Sync + Debug {
    /// As [`Directory::identity_of`].
    ///
    /// # Errors
    /// Those of `fstatat`, except `ENOENT`.
    fn identity_of(&self, name: &OsStr) -> io::Result<Option<FileIdentity>>;

    /// As [`Directory::own_identity`].
    ///
    /// # Errors
    /// Those of `fstat`.
    fn own_identity(&self) -> io::Result<FileIdentity>;

    /// The file system that it lies on; `None` where that makes no difference.
    ///
    /// # Errors
    /// Those of `fstatfs`.
    fn file_system(&self) -> io::Result<Option<FileSystemKind>> {
        Ok(None)
    }

    /// As [`Directory::rename_noreplace`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if `to` exists.
    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()>;

    /// Removes the name of a file.
    ///
    /// # Errors
    /// Those of `unlinkat`.
    fn remove(&self, name: &OsStr) -> io::Result<()>;

    /// Removes a name if it still is that of this file. Returns whether it was. (Another file that gets the name between the
    /// look and the removal loses it: no system call does both.)
    ///
    /// # Errors
    /// Those of [`identity_of`](Folder::identity_of) and [`remove`](Folder::remove).
    fn remove_if(&self, name: &OsStr, identity: FileIdentity) -> io::Result<bool> {
        let is_still = self.identity_of(name)? == Some(identity);
        if is_still {
            self.remove(name)?;
        }
        Ok(is_still)
    }

    /// Makes the names durable as they are now.
    ///
    /// # Errors
    /// Those of `fsync`.
    fn sync(&self) -> io::Result<()>;

    /// Makes a file without a name, locked as one from [`Folder::open_storage`] is.
    ///
    /// # Errors
    /// Those of the system.
    fn begin_file(&self) -> io::Result<Box<dyn UnnamedFile + '_>>;

    /// Makes a file that has its name only once `fill` has written and synced it, and makes the name durable. If
    /// anything fails no name is left, or if only making it durable fails, one of a whole file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name exists; those of `fill`; those of the system.
    fn create_whole(
        &self,
        name: &OsStr,
        fill: &mut dyn FnMut(&Arc<dyn Storage>) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = self.begin_file()?;
        let storage = Arc::clone(file.storage());
        fill(&storage)?;
        name_durably(|| file.link(name), || storage.sync_all(), || self.sync())
    }

    /// Which mounting of its file system the folder lies in; `None` where nobody can tell.
    fn mount_instance(&self) -> Option<MountInstance>;

    /// Whether the file system of `file` puts small files into their inodes (see [`inline_data`](crate::inline_data));
    /// `None` if that cannot be told, and here least of all if the folder lies on another one.
    fn takes_small_files_into_inodes(&self, _file: &File) -> Option<bool> {
        Some(false)
    }

    /// Opens a regular file for reading and writing, locked as long as the storage lives, as one from
    /// [`Folder::create_whole`] is.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody else has it locked; those of `openat`; [`io::ErrorKind::InvalidInput`] for anything but a regular file.
    fn open_storage(&self, name: &OsStr) -> io::Result<Arc<dyn Storage>>;
}

/// A file that is gone with the process unless it gets a name.
pub trait UnnamedFile {
    /// The file.
    fn storage(&self) -> &Arc<dyn Storage>;

    /// Gives it a name in its folder, never over an existing one. Nothing is durable by this.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name exists; those of the system.
    fn link(&self, name: &OsStr) -> io::Result<()>;
}

/// Gives a file, whose content is durable, its name, and makes that durable.
///
/// The file is synced again when it has the name. Where there is no journal (ext4 without one), its inode says "deleted" on
/// the medium until it is written once more, however durable the entry in the folder is; the check that comes before the
/// next mount then clears the entry.
pub(crate) fn name_durably(
    link: impl FnOnce() -> io::Result<()>,
    sync_file: impl FnOnce() -> io::Result<()>,
    sync_folder: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    link()?;
    if is_on(Protection::LinkSync) {
        sync_file()?;
    }
    sync_folder()
}

/// Renames where a file system has no call that does so without replacing. A crash in between
/// leaves both names. Not every file system keeps the order of the two changes, and a file without
/// a name is lost.
///
/// # Errors
/// Those of the three steps.
pub fn rename_by_links(
    link: impl FnOnce() -> io::Result<()>,
    sync_folder: impl FnOnce() -> io::Result<()>,
    unlink: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    link()?;
    if is_on(Protection::LinkBeforeUnlink) {
        sync_folder()?;
    }
    unlink()
}

/// A file of a real directory that has no name yet.
struct RealUnnamedFile<'a, D: Directory> {
    directory: &'a D,
    file: File,
    storage: Arc<dyn Storage>,
}

impl<D: Directory> UnnamedFile for RealUnnamedFile<'_, D> {
    fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn link(&self, name: &OsStr) -> io::Result<()> {
        self.directory.link_temporary(&self.file, name)
    }
}

impl<D: Directory> Folder for D {
    fn identity_of(&self, name: &OsStr) -> io::Result<Option<FileIdentity>> {
        Directory::identity_of(self, name)
    }

    fn own_identity(&self) -> io::Result<FileIdentity> {
        Directory::own_identity(self)
    }

    fn file_system(&self) -> io::Result<Option<FileSystemKind>> {
        Directory::file_system(self).map(Some)
    }

    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Directory::rename_noreplace(self, from, to)
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        Directory::remove(self, name)
    }

    fn sync(&self) -> io::Result<()> {
        Directory::sync(self)
    }

    fn begin_file(&self) -> io::Result<Box<dyn UnnamedFile + '_>> {
        let file = self.create_unnamed()?;
        let storage: Arc<dyn Storage> = Arc::new(Locked::new(file.try_clone()?)?);
        Ok(Box::new(RealUnnamedFile { directory: self, file, storage }))
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        Directory::mount_instance(self)
    }

    fn takes_small_files_into_inodes(&self, file: &File) -> Option<bool> {
        inline_data::takes_small_files(file, self)
    }

    fn open_storage(&self, name: &OsStr) -> io::Result<Arc<dyn Storage>> {
        let file: File = self.open_file(name, Access::ReadWrite)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(Locked::new(file)?))
    }
}

/// A file that is locked against other users of the same lock until it is dropped.
#[derive(Debug)]
struct Locked {
    file: BufferedFile,
    _lock: FileLock,
}

impl Locked {
    fn new(file: File) -> io::Result<Self> {
        let lock = FileLock::exclusive(&file).map_err(|error| match error {
            LockError::Io(source) => source,
            LockError::HeldElsewhere => io::Error::from(io::ErrorKind::WouldBlock),
        })?;
        Ok(Locked { file: BufferedFile::new(file), _lock: lock })
    }
}

impl Storage for Locked {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.reserve(offset, len)
    }

    fn grow(&self, holes_from: u64, from: u64, to: u64) -> io::Result<()> {
        self.file.grow(holes_from, from, to)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(pageseal_mutations)]
        if !is_on(Protection::JournalFlush) {
            return crate::unflushed_sync::sync_without_flush(self.file.file());
        }
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.punch_hole(offset, len)
    }

    fn modified(&self) -> io::Result<Option<(i64, u32)>> {
        self.file.modified()
    }

    fn writers(&self) -> io::Result<Option<Writers>> {
        self.file.writers()
    }
}
