//! A folder whose files have no names on the disk, so that a job that is measured leaves nothing there however the process ends.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pageseal_storage::{
    BufferedFile, Directory, FileIdentity, Folder, MountInstance, RealDirectory, Storage, UnnamedFile,
};

/// Files lie in a real folder, on its disk; their names are only kept here.
#[derive(Debug)]
pub(super) struct NamelessFolder {
    path: PathBuf,
    /// To be synced as often as that of a real job.
    directory: RealDirectory,
    names: Mutex<HashMap<OsString, FileIdentity>>,
}

impl NamelessFolder {
    /// With one file in it.
    pub(super) fn new(path: &Path, name: &OsStr, identity: FileIdentity) -> io::Result<Self> {
        let names = Mutex::new(HashMap::from([(name.to_os_string(), identity)]));
        Ok(NamelessFolder { path: path.into(), directory: RealDirectory::open(path)?, names })
    }

    /// Each change is one insert or remove, so a panic elsewhere leaves nothing half done.
    fn names(&self) -> MutexGuard<'_, HashMap<OsString, FileIdentity>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Folder for NamelessFolder {
    fn identity_of(&self, name: &OsStr) -> io::Result<Option<FileIdentity>> {
        Ok(self.names().get(name).copied())
    }

    fn own_identity(&self) -> io::Result<FileIdentity> {
        Directory::own_identity(&self.directory)
    }

    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let mut names = self.names();
        if names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let identity = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.into(), identity);
        Ok(())
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.names().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Directory::sync(&self.directory)
    }

    fn begin_file(&self) -> io::Result<Box<dyn UnnamedFile + '_>> {
        // A handle of its own: where files cannot be without a name, it takes the name away when it is dropped.
        let file = RealDirectory::open(&self.path)?.create_unnamed()?;
        let identity = FileIdentity::of(&file)?;
        Ok(Box::new(NewFile { folder: self, identity, storage: Arc::new(BufferedFile::new(file)) }))
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        Directory::mount_instance(&self.directory)
    }

    /// Only a job that is gone on with opens its journal again, and this one never is.
    fn open_storage(&self, _name: &OsStr) -> io::Result<Arc<dyn Storage>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A file that is in the list of names only when it gets one.
struct NewFile<'a> {
    folder: &'a NamelessFolder,
    identity: FileIdentity,
    storage: Arc<dyn Storage>,
}

impl UnnamedFile for NewFile<'_> {
    fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn link(&self, name: &OsStr) -> io::Result<()> {
        self.folder.names().insert(name.into(), self.identity);
        Ok(())
    }
}
