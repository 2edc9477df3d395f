//! The journal as a file: where it lies, and the small log that the journal crate asks for.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use pageseal_crypto::DerivedKeys;
use pageseal_journal::{Authenticator, Log};
use pageseal_storage::{Folder, RealDirectory, Storage};

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

/// In the folder that the file was opened in, or where the caller says; but never under a name of
/// the file itself.
pub(crate) fn journal_place(
    folder: &Arc<dyn Folder>,
    names: &Names,
    elsewhere: Option<&Path>,
) -> Result<JournalPlace, Refusal> {
    let unmakable = |path: &Path, source| Refusal::JournalUnmakable { path: path.into(), source };
    let (folder, name, path): (Arc<dyn Folder>, _, _) = match elsewhere {
        // By no path: whoever may rename the folder could have put another one there meanwhile.
        None => (Arc::clone(folder), names.journal(), names.path_of(&names.journal())),
        Some(path) => {
            let chosen = Names::of(path)?;
            let opened: Arc<dyn Folder> =
                Arc::new(RealDirectory::open(&chosen.directory).map_err(|source| unmakable(path, source))?);
            let is_name_of_file = is_name_of_file(&**folder, names, &*opened, &chosen.given);
            if is_name_of_file.map_err(|source| unmakable(path, source))? {
                return Err(Refusal::JournalIsFile { journal: path.into(), path: names.given_path() });
            }
            (opened, chosen.given, path.to_path_buf())
        }
    };
    let file_system = folder.file_system().map_err(|source| unmakable(&path, source))?;
    Ok(JournalPlace { folder, name, path, file_system })
}

/// As [`journal_place`], of a file whose folder is not open.
pub(crate) fn journal_place_of(names: &Names, elsewhere: Option<&Path>) -> Result<JournalPlace, Refusal> {
    let folder: Arc<dyn Folder> = Arc::new(
        RealDirectory::open(&names.directory)
            .map_err(|source| Refusal::JournalUnmakable { path: names.path_of(&names.journal()), source })?,
    );
    journal_place(&folder, names, elsewhere)
}

/// Whether a name in `other` is one that the file has or will have, or leads to it in another way.
fn is_name_of_file(folder: &dyn Folder, names: &Names, other: &dyn Folder, name: &OsStr) -> io::Result<bool> {
    let its_own = [&names.given, &names.plain, &names.sealed];
    if its_own.iter().any(|its_own| *its_own == name) && folder.own_identity()? == other.own_identity()? {
        return Ok(true);
    }
    let found = other.identity_of(name)?;
    Ok(found.is_some() && found == folder.identity_of(&names.given)?)
}
