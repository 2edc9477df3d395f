//! A file that exists for the demonstration only, and its mapping.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pageseal_crypto::fill_random;
use pageseal_storage::{BufferedFile, MappedFile, MappedRange, Medium, Storage};

use super::error::DemoError;
use super::workers::Part;

/// Removes the file when dropped, so that no error and no panic leaves one behind.
pub(super) struct ScratchFile {
    /// `None` once the file is deleted or given to the caller.
    path: Option<PathBuf>,
}

impl ScratchFile {
    /// Makes a new file of `len_bytes` in `dir`, with a name that nobody can guess, readable by its owner
    /// alone. All of its space is reserved: a mapping of a file with holes would end in SIGBUS on a full disk.
    pub(super) fn create(dir: &Path, len_bytes: u64) -> Result<(Self, File), DemoError> {
        let mut suffix = [0; 8];
        fill_random(&mut suffix)?;
        let path = dir.join(format!("pageseal-demo-{:016x}.bin", u64::from_le_bytes(suffix)));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| DemoError::Io { what: "create", path: path.clone(), source })?;
        let scratch = ScratchFile { path: Some(path) };

        let file = BufferedFile::new(file);
        refuse_more_than_is_free(file.file(), len_bytes).and_then(|()| file.reserve(0, len_bytes)).map_err(
            |source| match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    DemoError::NoSpace { dir: dir.into(), needed_bytes: len_bytes, source }
                }
                _ => scratch.error("reserve space for", source),
            },
        )?;
        Ok((scratch, file.into_file()))
    }

    /// Deletes the file now, and says whether that worked.
    pub(super) fn delete(mut self) -> Result<(), DemoError> {
        match self.path.take() {
            Some(path) => {
                std::fs::remove_file(&path).map_err(|source| DemoError::Io { what: "delete", path, source })
            }
            None => Ok(()),
        }
    }

    /// Leaves the file there and returns its path.
    pub(super) fn keep(mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }

    fn path(&self) -> PathBuf {
        self.path.clone().unwrap_or_default()
    }

    fn error(&self, what: &'static str, source: io::Error) -> DemoError {
        DemoError::Io { what, path: self.path(), source }
    }
}

/// Asked before reserving, because a reservation that fails has filled the disk for everybody in between.
fn refuse_more_than_is_free(file: &File, len_bytes: u64) -> io::Result<()> {
    match Medium::of(file) {
        // A tmpfs without a limit says 0, and on a full disk the reservation fails at once anyway.
        Ok(medium) if medium.free_bytes > 0 && len_bytes > medium.free_bytes => {
            Err(io::ErrorKind::StorageFull.into())
        }
        // Where nothing is known, the reservation decides.
        _ => Ok(()),
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // An error is on its way already, and it is the one to hear about.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The file's own pages.
pub(super) struct Mapping {
    file: MappedFile,
    path: PathBuf,
}

impl Mapping {
    pub(super) fn new(scratch: &ScratchFile, file: File, len_bytes: u64) -> Result<Self, DemoError> {
        let file = MappedFile::new(file, len_bytes).map_err(|source| scratch.error("map", source))?;
        Ok(Mapping { file, path: scratch.path() })
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.file.mapped_len()
    }

    /// Brings the pages of `part` in and runs `work` once over them.
    pub(super) fn fill_part(&self, part: &Part, work: &mut dyn FnMut(&mut [u8])) -> Result<(), DemoError> {
        self.file.with_range(part.offset, part.len_bytes, work).map_err(|source| self.error(source))
    }

    /// Runs `work` once over the bytes of `part`, which was filled before, in the mapping.
    pub(super) fn with_part(&self, part: &Part, work: &mut dyn FnMut(&mut [u8])) -> Result<(), DemoError> {
        self.file.with_range_again(part.offset, part.len_bytes, work).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> DemoError {
        DemoError::Io { what: "use the mapping of", path: self.path.clone(), source }
    }
}
