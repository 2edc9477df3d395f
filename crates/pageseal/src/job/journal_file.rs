//! The journal as a file: where it lies, and the small log that the journal crate asks for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal_crypto::DerivedKeys;
use pageseal_journal::{Authenticator, Log};
use pageseal_storage::{RealDirectory, Storage};

use super::active::JournalPlace;
use crate::error::Refusal;
use crate::names::Names;

/// A log on any storage.
#[derive(Debug)]
pub(crate) struct FileLog(pub(crate) Arc<dyn Storage>);

impl Log for FileLog {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.0.reserve(0, len)
    }
}

/// MACs of the journal under the journal key.
pub(crate) struct JournalAuthenticator(pub(crate) Arc<DerivedKeys>);

impl Authenticator for JournalAuthenticator {
    fn mac(&self, label: &[u8], body: &[u8]) -> [u8; 32] {
        self.0.journal.mac(label, body)
    }

    fn verify(&self, label: &[u8], body: &[u8], mac: &[u8; 32]) -> bool {
        self.0.journal.verify(label, body, mac)
    }
}

/// Beside the file, or where the caller says.
pub(crate) fn journal_place(names: &Names, elsewhere: Option<&Path>) -> Result<JournalPlace, Refusal> {
    let (directory, name, path) = match elsewhere {
        None => (names.directory.clone(), names.journal(), names.path_of(&names.journal())),
        Some(path) => {
            let given = Names::of(path)?;
            (given.directory, given.given, path.to_path_buf())
        }
    };
    let opened = RealDirectory::open(&directory)
        .map_err(|source| Refusal::JournalUnmakable { path: path.clone(), source })?;
    let file_system =
        opened.file_system().map_err(|source| Refusal::JournalUnmakable { path: path.clone(), source })?;
    let (folder, file_system) = (Arc::new(opened), Some(file_system));
    Ok(JournalPlace { folder, name, path: PathBuf::from(&path), file_system })
}
