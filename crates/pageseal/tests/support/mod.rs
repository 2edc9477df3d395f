//! What the integration tests share: folders, files of pseudo-random content, keys, digests.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal::{
    Identities, IdentitySource, KeyError, Passphrase, PassphrasePrompt, Recipient, generate_identity,
};
use sha2::{Digest, Sha256};

/// A key pair for tests.
pub struct Keys {
    pub recipient: Recipient,
    pub identity_file: PathBuf,
}

/// Nobody is there to ask.
pub struct NoPrompt;

impl PassphrasePrompt for NoPrompt {
    fn ask(&self, _: &str) -> Result<Option<Passphrase>, KeyError> {
        Ok(None)
    }
}

impl Keys {
    pub fn new(folder: &Path) -> Self {
        let made = generate_identity();
        let identity_file = folder.join(format!("identity-{}.txt", &made.public[4..20]));
        fs::write(&identity_file, made.file_contents().as_bytes()).unwrap();
        Keys { recipient: Recipient::parse(&made.public).unwrap(), identity_file }
    }

    pub fn identities(&self) -> Identities {
        Identities::load([IdentitySource::File(self.identity_file.clone())], Arc::new(NoPrompt)).unwrap()
    }
}

/// A folder on the file system of the build, which is a disk and not tmpfs.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A small fast generator (splitmix64, Steele et al. 2014): content that no two blocks share.
pub struct Generator(pub u64);

impl Generator {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Writes `len` bytes of content that depends on `seed` and returns their SHA-256.
pub fn write_content(path: &Path, len: u64, seed: u64) -> [u8; 32] {
    let mut generator = Generator(seed);
    let mut hash = Sha256::new();
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut left = len as usize;
    let mut piece = vec![0; 1 << 16];
    while left > 0 {
        for word in piece.chunks_exact_mut(8) {
            word.copy_from_slice(&generator.next().to_le_bytes());
        }
        let part = left.min(piece.len());
        hash.update(&piece[..part]);
        writer.write_all(&piece[..part]).unwrap();
        left -= part;
    }
    writer.flush().unwrap();
    hash.finalize().into()
}

/// SHA-256 of a file's content.
pub fn digest(path: &Path) -> [u8; 32] {
    let mut file = File::open(path).unwrap();
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut piece).unwrap();
        if count == 0 {
            return hash.finalize().into();
        }
        hash.update(&piece[..count]);
    }
}

/// The names in a folder, sorted.
pub fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What a test needs that not every machine has. Without it the test is skipped with a message, or fails where
/// `PAGESEAL_REQUIRE_OPTIONAL_TESTS=1` says that everything was installed.
pub fn skip(what: &str) {
    let required = std::env::var_os("PAGESEAL_REQUIRE_OPTIONAL_TESTS").is_some_and(|value| value == "1");
    assert!(!required, "{what} is missing, but PAGESEAL_REQUIRE_OPTIONAL_TESTS=1");
    println!("SKIPPED: {what} is missing");
}
