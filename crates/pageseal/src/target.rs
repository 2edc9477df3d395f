//! Opening the file that an operation works on, with every check that can be made before a byte changes.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal_storage::directory::{Access, Directory, FileIdentity, RealDirectory};
use pageseal_storage::lock::{FileLock, LockError, WriterProbe, probe_writers};
use pageseal_storage::medium::Medium;
use pageseal_storage::watch::ChangeWatch;

use crate::error::Refusal;
use crate::names::Names;

/// A regular file, opened for changing in place, locked against other jobs.
pub(crate) struct Target {
    pub(crate) names: Names,
    pub(crate) path: PathBuf,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
    pub(crate) identity: FileIdentity,
    pub(crate) medium: Medium,
    pub(crate) watch: Option<ChangeWatch>,
    /// Held until the job is over.
    pub(crate) lock: FileLock,
}

/// Opens `names.given` for changing. Nothing is changed yet.
pub(crate) fn open_for_change(names: Names, allow_links: bool) -> Result<Target, Refusal> {
    let path = names.given_path();
    check_type(&path)?;
    let unopenable = |source| Refusal::Unopenable { path: path.clone(), source };
    let directory = Arc::new(RealDirectory::open(&names.directory).map_err(unopenable)?);
    let reader = directory.open_file(&names.given, Access::ReadOnly).map_err(unopenable)?;
    let metadata = reader.metadata().map_err(unopenable)?;
    check_regular(&path, &metadata)?;
    let medium = Medium::of(&reader).map_err(unopenable)?;
    check_changeable(&path, &metadata, &medium)?;
    if metadata.nlink() > 1 && !allow_links {
        return Err(Refusal::HardLinks { path, links: metadata.nlink() });
    }
    // Must come before we hold a writing descriptor ourselves.
    if probe_writers(&reader) == WriterProbe::OpenForWriting {
        return Err(Refusal::OpenForWriting { path });
    }
    drop(reader);
    let file = directory.open_file(&names.given, Access::ReadWrite).map_err(unopenable)?;
    let lock = FileLock::exclusive(&file).map_err(|error| match error {
        LockError::Io(source) => Refusal::Unopenable { path: path.clone(), source },
        _ => Refusal::Locked { path: path.clone() },
    })?;
    let metadata_now = file.metadata().map_err(unopenable)?;
    let identity = FileIdentity { device: metadata_now.dev(), inode: metadata_now.ino() };
    if metadata_now.ino() != metadata.ino() || metadata_now.dev() != metadata.dev() {
        return Err(Refusal::Locked { path });
    }
    let watch = ChangeWatch::new(&file).ok();
    Ok(Target { names, path, directory, file, metadata: metadata_now, identity, medium, watch, lock })
}

/// Opens a regular file for reading only.
pub(crate) fn open_for_reading(path: &Path) -> Result<File, Refusal> {
    check_type(path)?;
    let names = Names::of(path)?;
    let unopenable = |source| Refusal::Unopenable { path: path.into(), source };
    let directory = RealDirectory::open(&names.directory).map_err(unopenable)?;
    let file = directory.open_file(&names.given, Access::ReadOnly).map_err(unopenable)?;
    check_regular(path, &file.metadata().map_err(unopenable)?)?;
    Ok(file)
}

/// Looks at the name itself first, so that a symbolic link is named as such and a FIFO is never opened.
fn check_type(path: &Path) -> Result<(), Refusal> {
    let metadata =
        path.symlink_metadata().map_err(|source| Refusal::Unopenable { path: path.into(), source })?;
    if metadata.file_type().is_symlink() {
        return Err(Refusal::SymbolicLink { path: path.into() });
    }
    check_regular(path, &metadata)
}

fn check_regular(path: &Path, metadata: &Metadata) -> Result<(), Refusal> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Refusal::NotRegular { path: path.into(), what })
}

fn check_changeable(path: &Path, metadata: &Metadata, medium: &Medium) -> Result<(), Refusal> {
    let attribute = if medium.immutable {
        "immutable"
    } else if medium.append_only {
        "append-only"
    } else if medium.read_only_mount {
        "on a file system that is mounted read-only"
    } else if metadata.mode() & 0o222 == 0 {
        // Root could write all the same, but nobody expects a read-only file to be overwritten.
        "read-only"
    } else {
        return Ok(());
    };
    Err(Refusal::Immutable { path: path.into(), attribute })
}
