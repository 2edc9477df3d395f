//! The file that is measured: a temporary one without a name, or somebody's, which is only read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pageseal_crypto::fill_random;
use pageseal_storage::{
    BufferedFile, DirectError, DirectFile, Directory, FileSystemKind, Medium, RealDirectory, Storage,
};

use super::error::BenchError;

/// The smallest size; below it the clock and the start of threads are what is measured.
pub(super) const LEAST_BYTES: u64 = 1 << 20;
const FILL_STEP_BYTES: usize = 1 << 20;
/// So that opening a FIFO does not wait for its other end.
const O_NONBLOCK: i32 = 0o4000;

pub(super) struct Target {
    pub(super) file: File,
    /// As the caller named it.
    pub(super) path: PathBuf,
    pub(super) read_only: bool,
    pub(super) size_bytes: u64,
    pub(super) file_system: FileSystemKind,
}

impl Target {
    /// A folder gets a temporary file of `size_bytes`; of a file the first `size_bytes` are read.
    pub(super) fn open(path: &Path, size_bytes: u64) -> Result<Self, BenchError> {
        if size_bytes < LEAST_BYTES {
            return Err(BenchError::TooSmall { size_bytes, min_bytes: LEAST_BYTES });
        }
        // Whole pages, and whole units of direct access.
        let size_bytes = size_bytes / LEAST_BYTES * LEAST_BYTES;
        let metadata = std::fs::metadata(path).map_err(|source| failed("open", path, source))?;
        if metadata.is_dir() {
            Self::temporary(path, size_bytes)
        } else if metadata.is_file() {
            Self::existing(path, size_bytes)
        } else {
            Err(BenchError::NotMeasurable { path: path.into() })
        }
    }

    /// The file has no name, so the kernel removes it however the process ends. Where a file system cannot do that,
    /// it has one for a moment, until the folder is let go of.
    fn temporary(dir: &Path, size_bytes: u64) -> Result<Self, BenchError> {
        let create = || RealDirectory::open(dir)?.create_unnamed();
        let file = create().map_err(|source| failed("create a temporary file in", dir, source))?;
        let medium = Medium::of(&file).map_err(|source| failed("look at", dir, source))?;
        // Asked before reserving, because a reservation that fails has filled the disk for everybody in between.
        // A tmpfs without a limit says 0.
        let no_space = || BenchError::NoSpace {
            dir: dir.into(),
            needed_bytes: size_bytes,
            free_bytes: medium.free_bytes,
        };
        if medium.free_bytes > 0 && size_bytes > medium.free_bytes {
            return Err(no_space());
        }
        let file = BufferedFile::new(file);
        file.reserve(0, size_bytes).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                no_space()
            }
            _ => failed("reserve space in", dir, source),
        })?;
        fill(&file, size_bytes).map_err(|source| failed("fill a temporary file in", dir, source))?;
        Ok(Target {
            file: file.into_file(),
            path: dir.into(),
            read_only: false,
            size_bytes,
            file_system: medium.kind,
        })
    }

    fn existing(path: &Path, size_bytes: u64) -> Result<Self, BenchError> {
        let open = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
        let file = open.map_err(|source| failed("open", path, source))?;
        let metadata = file.metadata().map_err(|source| failed("look at", path, source))?;
        if !metadata.is_file() {
            return Err(BenchError::NotMeasurable { path: path.into() });
        }
        let len_bytes = metadata.len();
        if len_bytes < LEAST_BYTES {
            return Err(BenchError::FileTooShort { path: path.into(), len_bytes, min_bytes: LEAST_BYTES });
        }
        let medium = Medium::of(&file).map_err(|source| failed("look at", path, source))?;
        let size_bytes = size_bytes.min(len_bytes / LEAST_BYTES * LEAST_BYTES);
        Ok(Target { file, path: path.into(), read_only: true, size_bytes, file_system: medium.kind })
    }

    /// Whether taking pages out of the cache leaves them on a disk.
    pub(super) fn has_disk(&self) -> bool {
        self.file_system != FileSystemKind::Tmpfs
    }

    /// The same file past the page cache, as jobs have it.
    pub(super) fn direct(&self) -> Result<DirectFile, DirectError> {
        DirectFile::open(self.file.try_clone()?)
    }

    /// An error of a step on this file.
    pub(super) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> BenchError + '_ {
        move |source| failed(what, &self.path, source)
    }
}

/// Random bytes, the same MiB again and again: a disk that compresses must not win by it.
fn fill(file: &BufferedFile, size_bytes: u64) -> io::Result<()> {
    let mut random = vec![0; FILL_STEP_BYTES];
    fill_random(&mut random).map_err(io::Error::other)?;
    for offset in (0..size_bytes).step_by(FILL_STEP_BYTES) {
        let len = (size_bytes - offset).min(FILL_STEP_BYTES as u64) as usize;
        file.write_all_at(&random[..len], offset)?;
    }
    file.sync_all()
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> BenchError {
    BenchError::Io { what, path: path.into(), source }
}
