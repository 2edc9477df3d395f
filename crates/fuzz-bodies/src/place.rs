//! A folder in memory in which an operation is tried, and what was in it before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use pageseal::{
    Control, DecryptOptions, ErrorClass, FileStatus, Identities, IdentitySource, Input, JobError, KeyError,
    OpenError, Output, Passphrase, PassphrasePrompt, decrypt_to, info, verify,
};

use crate::fixture::IDENTITY;

/// A folder of its own, removed with its content.
pub struct Place(tempfile::TempDir);

impl Place {
    /// An empty folder on tmpfs, if there is one: syncing costs nothing there.
    ///
    /// # Panics
    /// If no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        Place(folder.expect("a folder for temporary files"))
    }

    /// Where a name in it lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a file and returns its inode.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> u64 {
        fs::write(self.path(name), bytes).expect("room for a small file");
        fs::metadata(self.path(name)).expect("the file just made").ino()
    }

    /// Everything that a refusal must leave alone.
    ///
    /// # Panics
    /// If the folder cannot be read.
    #[must_use]
    pub fn look(&self) -> Seen {
        let entries = fs::read_dir(self.0.path()).expect("the folder").map(|entry| entry.expect("an entry"));
        Seen(
            entries
                .map(|entry| {
                    let inode = entry.metadata().expect("its metadata").ino();
                    (entry.file_name(), (inode, fs::read(entry.path()).expect("its content")))
                })
                .collect(),
        )
    }
}

impl Default for Place {
    fn default() -> Self {
        Place::new()
    }
}

/// Names, inodes and content of a folder.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen(BTreeMap<OsString, (u64, Vec<u8>)>);

impl Seen {
    /// The names, for messages and for those who look for what is left.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The content of a file.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        self.0.get(&OsString::from(name)).map(|(_, bytes)| &bytes[..])
    }

    /// Fails with the first difference; `what` says what was tried.
    ///
    /// # Panics
    /// If anything is not as before.
    pub fn assert_same(&self, now: &Seen, what: &str) {
        assert_eq!(self.names(), now.names(), "{what}: names changed");
        for (name, (inode, bytes)) in &self.0 {
            let (inode_now, bytes_now) = &now.0[name];
            assert_eq!(bytes.len(), bytes_now.len(), "{what}: the length of {name:?} changed");
            let at = bytes.iter().zip(bytes_now).position(|(one, other)| one != other);
            assert_eq!(at, None, "{what}: a byte of {name:?} changed");
            assert_eq!(inode, inode_now, "{what}: {name:?} is another file");
        }
    }
}

struct NoPrompt;

impl PassphrasePrompt for NoPrompt {
    fn ask(&self, _: &str) -> Result<Option<Passphrase>, KeyError> {
        Ok(None)
    }
}

/// The identity that opens the fixtures.
///
/// # Panics
/// If it cannot be read.
pub fn identities() -> &'static Identities {
    static IDENTITIES: OnceLock<Identities> = OnceLock::new();
    IDENTITIES.get_or_init(|| {
        let place = Place::new();
        place.write("identity", IDENTITY.as_bytes());
        let source = IdentitySource::File(place.path("identity"));
        Identities::load([source], Arc::new(NoPrompt)).expect("the example's identity")
    })
}

/// A refusal of bytes is one of these: damage, no fitting key, a job in between, or not a sealed file at all. It is never the
/// caller's mistake.
///
/// # Panics
/// If it is.
pub fn assert_refusal(error: &JobError, what: &str) {
    assert_ne!(error.class(), ErrorClass::Usage, "{what}: {error:?}");
}

/// What the file holds, whether sealed or not.
///
/// # Errors
/// Why it does not open, if it is sealed.
///
/// # Panics
/// If what was verified does not open.
pub fn plaintext(place: &Place, name: &str) -> Result<Vec<u8>, OpenError> {
    let path = place.path(name);
    if info(&path, None)?.status == FileStatus::Plain {
        return Ok(fs::read(&path).expect("a file that is there"));
    }
    verify(&path, identities(), Some(1), &Control::silent())?;
    let out = place.path("opened");
    let options = DecryptOptions { threads: Some(1), ..DecryptOptions::default() };
    decrypt_to(&Input::File(path), &Output::File(out.clone()), identities(), &options, &Control::silent())
        .expect("what was verified opens");
    let opened = fs::read(&out).expect("the opened file");
    fs::remove_file(&out).expect("the opened file");
    Ok(opened)
}
