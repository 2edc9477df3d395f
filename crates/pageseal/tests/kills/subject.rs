//! A file that jobs are killed on, and what must be true of it afterwards.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, FileStatus, JobKeyMode, JobOutcome, ResilienceChoice, Suite,
    decrypt_in_place, encrypt_in_place, info, verify,
};
use pageseal_format::{Geometry, Limits};
use sha2::{Digest, Sha256};

use super::support::{self, Keys, digest, names_in, write_content};

const NAME: &str = "file";
const CHUNK_LOG2: u8 = 16;

/// The file, alone in a folder.
pub struct Subject {
    folder: support::Folder,
    pub plain: PathBuf,
    pub sealed: PathBuf,
    pub journal: PathBuf,
    geometry: Geometry,
    digest: [u8; 32],
    inode: u64,
    modified: (i64, i64),
    /// Of the sealed file as it is at rest, but for the superblocks, which count jobs.
    sealed_digest: Option<[u8; 32]>,
}

impl Subject {
    pub fn new(place: &Path, len: u64, seed: u64) -> Self {
        let folder = support::Folder::from(tempfile::tempdir_in(place).unwrap());
        let plain = folder.path().join(NAME);
        let digest = write_content(&plain, len, seed);
        let metadata = fs::metadata(&plain).unwrap();
        Subject {
            sealed: folder.path().join(format!("{NAME}.sealed")),
            journal: folder.path().join(format!("{NAME}.pageseal-journal")),
            geometry: Geometry::new(len, CHUNK_LOG2, &Limits::PRODUCTION).unwrap(),
            digest,
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            sealed_digest: None,
            plain,
            folder,
        }
    }

    /// What the file's name says that it is; [`Subject::check`] is the proof.
    pub fn form(&self) -> JobOutcome {
        if self.sealed.exists() { JobOutcome::Sealed } else { JobOutcome::Plain }
    }

    /// Seals the file without being interrupted.
    pub fn seal(&mut self, keys: &Keys, suite: Suite) {
        let options = EncryptOptions {
            suite: Some(suite),
            resilience: ResilienceChoice::Process,
            threads: Some(2),
            job_key: JobKeyMode::None,
            ..EncryptOptions::default()
        };
        let recipients = std::slice::from_ref(&keys.recipient);
        encrypt_in_place(&self.plain, recipients, &options, &Control::silent()).unwrap();
        self.remember_sealed();
    }

    /// Opens the sealed file without being interrupted, and compares.
    pub fn open(&mut self, keys: &Keys, case: &str) {
        let options = DecryptOptions {
            resilience: ResilienceChoice::Process,
            threads: Some(2),
            // `check` has just verified every chunk; each is authenticated again when it is converted.
            verify_first: false,
            ..DecryptOptions::default()
        };
        decrypt_in_place(&self.sealed, &keys.identities(), &options, &Control::silent())
            .unwrap_or_else(|error| panic!("{case}: decrypt after recovery: {error:?}"));
        self.check(JobOutcome::Plain, keys, case);
        self.sealed_digest = None;
    }

    /// From now on a rollback must give these bytes.
    pub fn remember_sealed(&mut self) {
        self.sealed_digest = Some(self.digest_of_sealed());
    }

    /// The file is whole, in this form and of this name, and nothing else lies in its folder.
    pub fn check(&self, form: JobOutcome, keys: &Keys, case: &str) {
        let (path, status, len) = match form {
            JobOutcome::Sealed => (&self.sealed, FileStatus::Sealed, self.geometry.sealed_len()),
            _ => (&self.plain, FileStatus::Plain, self.geometry.data_len()),
        };
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(names_in(self.folder.path()), [name], "{case}: names");
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.len(), len, "{case}: length");
        assert_eq!(metadata.ino(), self.inode, "{case}: inode");
        // After a kill it cannot always be told whether somebody else wrote; then the new time stays.
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        assert!(modified >= self.modified, "{case}: modification time");
        let told = info(path, None).unwrap();
        assert_eq!(told.status, status, "{case}: status");
        assert!(told.notices.is_empty(), "{case}: {:?}", told.notices);
        if form == JobOutcome::Plain {
            assert_eq!(digest(path), self.digest, "{case}: SHA-256 of the plaintext");
            return;
        }
        let verified = verify(path, &keys.identities(), Some(2), &Control::silent())
            .unwrap_or_else(|error| panic!("{case}: verify after recovery: {error:?}"));
        assert_eq!(verified.data_len_bytes, self.geometry.data_len(), "{case}: length in verify");
        if let Some(before) = self.sealed_digest {
            assert_eq!(self.digest_of_sealed(), before, "{case}: the sealed file is not what it was");
        }
    }

    /// A half converted file must not be taken for anything else.
    pub fn check_half_converted(&self, case: &str) {
        let path = if self.sealed.exists() { &self.sealed } else { &self.plain };
        let told = info(path, None).unwrap_or_else(|error| panic!("{case}: info: {error:?}"));
        assert!(told.journal.is_some(), "{case}: info does not see the journal");
        assert_eq!(fs::metadata(path).unwrap().ino(), self.inode, "{case}: inode");
    }

    fn digest_of_sealed(&self) -> [u8; 32] {
        let file = File::open(&self.sealed).unwrap();
        let (a, b) = (self.geometry.superblock_a_offset(), self.geometry.superblock_b_offset());
        let mut hash = Sha256::new();
        let mut piece = vec![0; 1 << 20];
        for (start, end) in [(0, a), (a + 4096, b)] {
            let mut at = start;
            while at < end {
                let part = piece.len().min((end - at) as usize);
                file.read_exact_at(&mut piece[..part], at).unwrap();
                hash.update(&piece[..part]);
                at += part as u64;
            }
        }
        hash.finalize().into()
    }
}
