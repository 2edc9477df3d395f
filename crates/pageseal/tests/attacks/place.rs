//! A folder under attack, and all that its owner could do in it.

use std::fs;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, ErrorClass, Identities, JobError, JobKeyMode, ResumeOptions,
    decrypt_in_place, encrypt_in_place, info, resume, rollback, verify,
};

use crate::support::{self, Keys, Snapshot, WINDOW, digest, write_content};

/// Several windows, and padding behind them.
pub const LEN: u64 = 5 * WINDOW + 5000;

/// What the owner of a file may do on seeing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Encrypt,
    Decrypt,
    Verify,
    Resume,
    ResumeDecrypt,
    Rollback,
}

pub use Command::{Decrypt, Encrypt, Resume, ResumeDecrypt, Rollback, Verify};

pub struct Place {
    folder: crate::support::Folder,
    elsewhere: crate::support::Folder,
    pub keys: Keys,
    pub identities: Identities,
}

impl Place {
    pub fn new() -> Self {
        let (folder, elsewhere) = (support::folder(), support::folder());
        let keys = Keys::new(elsewhere.path());
        let identities = keys.identities();
        Place { folder, elsewhere, keys, identities }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join("file")
    }

    pub fn sealed(&self) -> PathBuf {
        self.path().join("file.sealed")
    }

    pub fn journal(&self) -> PathBuf {
        self.path().join("file.pageseal-journal")
    }

    /// Where the attacker keeps what it has copied.
    pub fn elsewhere(&self, name: &str) -> PathBuf {
        self.elsewhere.path().join(name)
    }

    /// Makes `file` and returns its digest.
    pub fn make(&self, len: u64) -> [u8; 32] {
        write_content(&self.file(), len, 77)
    }

    pub fn encrypt(&self) {
        self.run(Encrypt, &self.file()).unwrap();
    }

    /// Encrypts a part of the file and returns the journal's bytes.
    pub fn encrypt_half(&self) -> Vec<u8> {
        let options = EncryptOptions { job_key: JobKeyMode::None, ..EncryptOptions::default() };
        fs::read(support::interrupt_encrypt(&self.file(), &self.keys, &options)).unwrap()
    }

    /// Decrypts a part of the file and returns the journal's bytes.
    pub fn decrypt_half(&self) -> Vec<u8> {
        let options = DecryptOptions::default();
        fs::read(support::interrupt_decrypt(&self.sealed(), &self.keys, &options)).unwrap()
    }

    pub fn run(&self, command: Command, path: &Path) -> Result<(), JobError> {
        let silent = Control::silent();
        let options = ResumeOptions { decrypt: command == ResumeDecrypt, ..ResumeOptions::default() };
        match command {
            Encrypt => {
                let recipients = std::slice::from_ref(&self.keys.recipient);
                encrypt_in_place(path, recipients, &EncryptOptions::default(), &silent).map(|_| ())
            }
            Decrypt => {
                decrypt_in_place(path, &self.identities, &DecryptOptions::default(), &silent).map(|_| ())
            }
            Verify => verify(path, &self.identities, None, &silent).map(|_| ()).map_err(JobError::Open),
            Resume | ResumeDecrypt => resume(path, &self.identities, &options, &silent).map(|_| ()),
            Rollback => rollback(path, &self.identities, &options, &silent).map(|_| ()),
        }
    }

    /// Each command is refused with its class, `info` shows something, and nothing changes.
    pub fn assert_refused(&self, path: &Path, case: &str, expected: &[(Command, ErrorClass)]) {
        let before = Snapshot::of(self.path());
        for (command, class) in expected {
            let case = format!("{command:?}, {case}");
            let error = self.run(*command, path).expect_err(&case);
            before.assert_unchanged(self.path(), &case);
            assert_eq!(error.class(), *class, "{case}: {error:?}");
        }
        let _ = info(path, None);
        before.assert_unchanged(self.path(), &format!("info, {case}"));
    }

    /// What was tried before has destroyed nothing: the sealed file still opens to this content.
    pub fn assert_opens(&self, content: [u8; 32]) {
        self.run(Decrypt, &self.sealed()).unwrap();
        assert_eq!(digest(&self.file()), content);
    }
}
