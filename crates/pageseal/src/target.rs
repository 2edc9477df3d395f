//! Opening the file that an operation works on, with every check that can be made before a byte changes.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pageseal_format::Limits;
use pageseal_storage::attributes::FileAttributes;
use pageseal_storage::directory::{Access, Directory, FileIdentity, RealDirectory};
use pageseal_storage::lock::{FileLock, LockError, LockHolder, WriterProbe, lock_holder, probe_writers};
use pageseal_storage::medium::Medium;
use pageseal_storage::watch::ChangeWatch;
use pageseal_storage::{BufferedFile, Folder, MappedFile, Storage};

use crate::control::Control;
use crate::error::{JobError, Refusal};
use crate::late_requests::{PAUSE, drain_requests, wait_for_requests};
use crate::names::Names;
use crate::open_job::{Asks, Subject};
use crate::surroundings::{Surroundings, System};

const WRITER_PROBES: u32 = 5;
const SET_ID_BITS: u32 = 0o6000;
const WRITER_PROBE_PAUSE: Duration = Duration::from_millis(20);

/// The file that a job works on, and the folder that it lies in. Nothing in here is a system's file alone, so that a
/// simulated disk runs through the same jobs.
pub(crate) struct Target {
    pub(crate) names: Names,
    pub(crate) path: PathBuf,
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) data: Arc<dyn Storage>,
    pub(crate) identity: FileIdentity,
    /// Modification time before the job: seconds since 1970, nanoseconds.
    pub(crate) modified: (i64, u32),
    /// What a reader of this file's formats accepts.
    pub(crate) limits: Limits,
    /// Maps so many bytes of the file; `None` where there is nothing to map.
    pub(crate) map: Option<Mapper>,
    /// The file past the page cache, if it was opened so.
    pub(crate) direct: Option<Arc<dyn Storage>>,
    /// Whether the page cache gets the pages of what is done back.
    pub(crate) drops_behind: bool,
    /// What a pass that only reads, before the job, reads through, if not through the store.
    pub(crate) reader: Option<Arc<dyn Storage>>,
    /// What spoke for the store that was chosen, for people.
    pub(crate) store_reason: String,
    /// Random bytes, boot, job keys.
    pub(crate) surroundings: Arc<dyn Surroundings>,
    pub(crate) watch: Option<ChangeWatch>,
    /// Held until the job is over, and by requests past the page cache until they are complete.
    pub(crate) lock: Option<FileLock>,
}

/// Makes the store over a mapping.
pub(crate) type Mapper = Box<dyn FnOnce(u64) -> io::Result<Arc<dyn Storage>> + Send>;

fn mapper(file: File) -> Mapper {
    Box::new(|len_bytes| Ok(Arc::new(MappedFile::new(file, len_bytes)?)))
}

/// A target on a real file system, with what was found out about it.
pub(crate) struct OpenedTarget {
    pub(crate) target: Target,
    pub(crate) file: File,
    pub(crate) medium: Medium,
}

/// Opens `names.given` for changing, once no request of a killed job is on its way to it any more. Nothing is
/// changed yet.
pub(crate) fn open_for_change(
    names: Names,
    allow_links: bool,
    control: &Control<'_>,
) -> Result<OpenedTarget, Refusal> {
    let path = names.given_path();
    let unopenable = |source| Refusal::Unopenable { path: path.clone(), source };
    let directory = Arc::new(RealDirectory::open(&names.directory).map_err(unopenable)?);
    check_type(&path, &directory, &names.given)?;
    let reader = directory.open_file(&names.given, Access::ReadOnly).map_err(unopenable)?;
    let metadata = reader.metadata().map_err(unopenable)?;
    check_regular(&path, &metadata)?;
    let medium = Medium::of(&reader).map_err(unopenable)?;
    check_changeable(&path, &metadata, &medium)?;
    if metadata.nlink() > 1 && !allow_links {
        return Err(Refusal::HardLinks { path, links: metadata.nlink() });
    }
    refuse_privileges(&path, &reader)?;
    // Must come before we hold a writing descriptor ourselves.
    let reader = BufferedFile::new(reader);
    wait_for_requests(&path, &reader, PAUSE, control)?;
    let reader = reader.into_file();
    if lock_holder(&reader).is_ok_and(|holder| holder != LockHolder::Nobody) {
        return Err(Refusal::Locked { path });
    }
    let writers = probe_for_writers(&reader);
    if writers == WriterProbe::OpenForWriting {
        return Err(Refusal::OpenForWriting { path });
    }
    let identity = FileIdentity::of(&reader).map_err(unopenable)?;
    drop(reader);
    let file = directory.open_file(&names.given, Access::ReadWrite).map_err(unopenable)?;
    let lock = FileLock::exclusive(&file).map_err(|error| match error {
        LockError::Io(source) => Refusal::Unopenable { path: path.clone(), source },
        _ => Refusal::Locked { path: path.clone() },
    })?;
    if FileIdentity::of(&file).map_err(unopenable)? != identity {
        return Err(Refusal::Locked { path });
    }
    let opened = OpenedTarget::new(names, directory, file, medium, Some(lock)).map_err(unopenable)?;
    // A request in flight keeps the file open for writing. Where the kernel says that nobody has it open, there is
    // none; it does not say so to everybody.
    if writers != WriterProbe::None {
        drain_requests(&path, &*opened.target.data)?;
    }
    Ok(opened)
}

impl OpenedTarget {
    /// Refuses a file that a job is open on, as far as that can be told without a key.
    pub(crate) fn refuse_open_job(&self, asks: Asks, journal: Option<&Path>) -> Result<(), JobError> {
        let Target { path, data, identity, .. } = &self.target;
        let subject = Subject { path, data: &**data, inode: identity.inode, journal };
        subject.refuse_open_job(asks).map_err(JobError::of_open)
    }

    /// Around a file that is open for reading and writing, and nobody else's as far as the caller could find out.
    pub(crate) fn new(
        names: Names,
        folder: Arc<dyn Folder>,
        file: File,
        medium: Medium,
        lock: Option<FileLock>,
    ) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let target = Target {
            path: names.given_path(),
            names,
            folder,
            data: Arc::new(BufferedFile::new(file.try_clone()?)),
            identity: FileIdentity::of(&file)?,
            modified: (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap_or(0)),
            limits: Limits::PRODUCTION,
            map: Some(mapper(file.try_clone()?)),
            direct: None,
            drops_behind: false,
            reader: None,
            store_reason: String::new(),
            surroundings: Arc::new(System),
            watch: ChangeWatch::new(&file).ok(),
            lock,
        };
        Ok(OpenedTarget { target, file, medium })
    }
}

/// Refuses what a write takes away from a file for good: the kernel drops capabilities and, for most users, set-id bits, and after a
/// crash nobody would know them any more. So does a drain, and so it comes before that.
fn refuse_privileges(path: &Path, file: &File) -> Result<(), Refusal> {
    let attributes = FileAttributes::read(file)
        .map_err(|source| Refusal::Unopenable { path: path.to_path_buf(), source })?;
    let what = if attributes.xattrs.iter().any(|(name, _)| name == "security.capability") {
        "has capabilities"
    } else if attributes.mode & SET_ID_BITS != 0 {
        "has a set-user-id or set-group-id bit"
    } else {
        return Ok(());
    };
    Err(Refusal::Privileges { path: path.to_path_buf(), what })
}

/// A process that is just being started holds copies of its parent's descriptors for a moment, so a writer must be seen
/// several times.
fn probe_for_writers(reader: &File) -> WriterProbe {
    let mut probe = probe_writers(reader);
    for _ in 1..WRITER_PROBES {
        if probe != WriterProbe::OpenForWriting {
            break;
        }
        std::thread::sleep(WRITER_PROBE_PAUSE);
        probe = probe_writers(reader);
    }
    probe
}

/// Opens a regular file for reading only.
pub(crate) fn open_for_reading(path: &Path) -> Result<File, Refusal> {
    let names = Names::of(path)?;
    let unopenable = |source| Refusal::Unopenable { path: path.into(), source };
    let directory = RealDirectory::open(&names.directory).map_err(unopenable)?;
    check_type(path, &directory, &names.given)?;
    let file = directory.open_file(&names.given, Access::ReadOnly).map_err(unopenable)?;
    check_regular(path, &file.metadata().map_err(unopenable)?)?;
    Ok(file)
}

/// Looks at the name itself first, so that a symbolic link is named as such and a FIFO is never opened.
fn check_type(path: &Path, directory: &RealDirectory, name: &OsStr) -> Result<(), Refusal> {
    let metadata =
        directory.look_at(name).map_err(|source| Refusal::Unopenable { path: path.into(), source })?;
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
    let path = path.to_path_buf();
    if medium.immutable {
        return Err(Refusal::Immutable { path, attribute: "immutable" });
    }
    if medium.append_only {
        return Err(Refusal::Immutable { path, attribute: "append-only" });
    }
    if medium.read_only_mount {
        return Err(Refusal::ReadOnlyMount { path });
    }
    // Root could write all the same, but nobody expects a read-only file to be overwritten.
    if metadata.mode() & 0o222 == 0 {
        return Err(Refusal::ReadOnlyFile { path });
    }
    Ok(())
}
