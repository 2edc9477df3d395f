//! What the integration tests share: folders, files of pseudo-random content, keys, digests.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod mount;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal::{
    Identities, IdentitySource, KeyError, Passphrase, PassphrasePrompt, Recipient, generate_identity,
};
use pageseal_format::journal::RING_OFFSET;
pub use pageseal_testkit::Generator;
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
pub fn folder() -> Folder {
    Folder(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
}

/// A folder that is removed with the test, and with it the job keys of the jobs whose journals are in it then.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Deref for Folder {
    type Target = tempfile::TempDir;

    fn deref(&self) -> &tempfile::TempDir {
        &self.0
    }
}

impl From<tempfile::TempDir> for Folder {
    fn from(folder: tempfile::TempDir) -> Self {
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        forget_job_keys(self.path());
    }
}

/// Removes the job keys of the jobs whose journals are in a folder, by whatever name.
pub fn forget_job_keys(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let is_journal = || {
            let mut start = [0; 32];
            File::open(entry.path())?.read_exact(&mut start)?;
            std::io::Result::Ok(start.starts_with(b"PGSLJRNL"))
        };
        if is_file && is_journal().unwrap_or(false) {
            let _ = runtime_job_key(&entry.path()).map(fs::remove_file);
        }
    }
}

/// Writes `len` bytes of content that depends on `seed` and returns their SHA-256.
pub fn write_content(path: &Path, len: u64, seed: u64) -> [u8; 32] {
    let mut generator = Generator::new(seed);
    let mut hash = Sha256::new();
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut left = len as usize;
    let mut piece = vec![0; 1 << 16];
    while left > 0 {
        generator.fill(&mut piece);
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

// For the tests of bad input: what a folder looked like, who was told what, how to spoil a file.

/// One entry of a folder: everything that a refused operation must leave alone.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    kind: String,
    mode: u32,
    links: u64,
    inode: u64,
    content: Vec<u8>,
}

/// Names, kinds, lengths and content of everything in a folder (not below).
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(std::collections::BTreeMap<std::ffi::OsString, Seen>);

impl Snapshot {
    pub fn of(folder: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let see = |path: &Path| {
            let metadata = fs::symlink_metadata(path).unwrap();
            let content = if metadata.is_file() {
                fs::read(path).unwrap()
            } else if metadata.is_symlink() {
                use std::os::unix::ffi::OsStringExt;
                fs::read_link(path).unwrap().into_os_string().into_vec()
            } else {
                Vec::new()
            };
            let kind = format!("{:?}", metadata.file_type());
            Seen { kind, mode: metadata.mode(), links: metadata.nlink(), inode: metadata.ino(), content }
        };
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        Snapshot(entries.map(|entry| (entry.file_name(), see(&entry.path()))).collect())
    }

    /// Fails with the first difference. `case` says what was tried.
    pub fn assert_unchanged(&self, folder: &Path, case: &str) {
        let now = Snapshot::of(folder);
        let names = |snapshot: &Snapshot| snapshot.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(&now), "{case}: names changed");
        for (name, seen) in &self.0 {
            let found = &now.0[name];
            assert_eq!(seen.content.len(), found.content.len(), "{case}: the length of {name:?} changed");
            let at = seen.content.iter().zip(&found.content).position(|(one, other)| one != other);
            assert_eq!(at, None, "{case}: a byte of {name:?} changed");
            assert!(seen == found, "{case}: kind, mode, links or inode of {name:?} changed");
        }
    }
}

/// Asserts that a call fails with an error of this class and form, and changes nothing in the folder.
#[allow(unused_macros, reason = "each test binary uses its own part")]
macro_rules! assert_refused {
    ($folder:expr, $class:ident, $form:pat, $call:expr, $($case:tt)+) => {{
        let case = format!($($case)+);
        let before = $crate::support::Snapshot::of($folder);
        let error = $call.expect_err(&case);
        before.assert_unchanged($folder, &case);
        assert_eq!(error.class(), pageseal::ErrorClass::$class, "{case}: {error:?}");
        assert!(matches!(error, $form), "{case}: {error:?}");
    }};
}

type Deed = Box<dyn FnOnce() + Send>;

/// Collects notices, and does something when the first window is settled.
#[derive(Default)]
pub struct Recorder {
    notices: std::sync::Mutex<Vec<pageseal::Notice>>,
    deed: std::sync::Mutex<Option<Deed>>,
    windows_before: std::sync::atomic::AtomicUsize,
}

impl Recorder {
    /// Does `deed` in the thread that has just settled the first window.
    pub fn at_first_window(deed: impl FnOnce() + Send + 'static) -> Self {
        Recorder { deed: std::sync::Mutex::new(Some(Box::new(deed))), ..Self::default() }
    }

    pub fn control(&self) -> pageseal::Control<'_> {
        pageseal::Control { progress: self, cancellation: pageseal::Cancellation::new() }
    }

    pub fn notices(&self) -> Vec<pageseal::Notice> {
        self.notices.lock().unwrap().clone()
    }
}

impl pageseal::Progress for Recorder {
    fn stage(&self, stage: pageseal::Stage, _: u64, _: u64) {
        // The verification before a decrypt advances too; only converted windows count.
        let converting = matches!(stage, pageseal::Stage::Encrypting | pageseal::Stage::Decrypting);
        self.windows_before.store(usize::from(converting), std::sync::atomic::Ordering::SeqCst);
    }

    fn advance(&self, _: u64) {
        if self.windows_before.load(std::sync::atomic::Ordering::SeqCst) == 1
            && let Some(deed) = self.deed.lock().unwrap().take()
        {
            deed();
        }
    }

    fn notice(&self, notice: &pageseal::Notice) {
        self.notices.lock().unwrap().push(notice.clone());
    }
}

/// Where everything lies in the sealed form of a file of `len` bytes with default chunks.
pub fn layout(len: u64) -> pageseal_format::Geometry {
    pageseal_format::Geometry::new(len, 16, &pageseal_format::Limits::PRODUCTION).unwrap()
}

/// Makes `FOLDER/NAME` of pseudo-random content, seals it and returns the sealed name and the plaintext's SHA-256.
pub fn sealed_file(folder: &Path, keys: &Keys, name: &str, len: u64) -> (PathBuf, [u8; 32]) {
    let plain = folder.join(name);
    let content = write_content(&plain, len, len + name.len() as u64);
    let report = pageseal::encrypt_in_place(
        &plain,
        std::slice::from_ref(&keys.recipient),
        &pageseal::EncryptOptions { threads: Some(2), ..Default::default() },
        &pageseal::Control::silent(),
    )
    .unwrap();
    (report.path.unwrap(), content)
}

pub fn read_at(path: &Path, offset: u64, len: usize) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; len];
    File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

pub fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Flips the bits of `mask` in one byte.
pub fn flip(path: &Path, offset: u64, mask: u8) {
    let byte = read_at(path, offset, 1)[0];
    write_at(path, offset, &[byte ^ mask]);
}

pub fn set_len(path: &Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Puts the right SHA-256 at the end of a block, as a forger without the key can.
pub fn fix_checksum(block: &mut [u8]) {
    let body = block.len() - 32;
    let sum = Sha256::digest(&block[..body]);
    block[body..].copy_from_slice(&sum);
}

/// Where the job key of the interrupted job with this journal would lie in memory-backed storage.
pub fn runtime_job_key(journal: &Path) -> Option<PathBuf> {
    let name: String = read_at(journal, 16, 16).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(pageseal_storage::secrets::runtime_directory()?.join(name + ".job-key"))
}

/// Runs a helper program; `false` if it is missing or fails.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let result = std::process::Command::new(program).args(arguments).output();
    result.is_ok_and(|output| output.status.success())
}

/// A window of a small file: 64 chunks of 64 KiB.
pub const WINDOW: u64 = 4 << 20;

/// Seals `path` until the first window is settled, then stops it as Ctrl-C does. Returns where the journal lies.
pub fn interrupt_encrypt(path: &Path, keys: &Keys, options: &pageseal::EncryptOptions) -> PathBuf {
    let cancellation = pageseal::Cancellation::new();
    let flag = cancellation.clone();
    let recorder = Recorder::at_first_window(move || flag.cancel());
    let control = pageseal::Control { progress: &recorder, cancellation };
    let recipients = std::slice::from_ref(&keys.recipient);
    let error = pageseal::encrypt_in_place(path, recipients, options, &control).expect_err("was stopped");
    journal_of_stopped(error, pageseal::JobKind::Encrypt)
}

/// Copies the file and the journal of a job as a kill would leave them, when the journal has so many records. To be called by the
/// job itself, when a window is settled, so that no more of them come than are wanted. What is in flight may be copied in any
/// mixture; a record that came meanwhile would speak of more than was copied.
pub fn copy_as_killed([file, journal]: [&Path; 2], [to_file, to_journal]: [&Path; 2], records: usize) {
    loop {
        let before = fs::read(journal).unwrap();
        fs::copy(file, to_file).unwrap();
        let after = fs::read(journal).unwrap();
        let stride = u64::from_le_bytes(after[72..80].try_into().unwrap()) as usize;
        let slots = after[RING_OFFSET as usize..].chunks(stride);
        if before == after && slots.filter(|slot| slot.starts_with(b"PGSLWIND")).count() >= records {
            return fs::write(to_journal, after).unwrap();
        }
        std::thread::yield_now();
    }
}

/// Opens `path` until the first window is settled, then stops it as Ctrl-C does. Returns where the journal lies.
pub fn interrupt_decrypt(path: &Path, keys: &Keys, options: &pageseal::DecryptOptions) -> PathBuf {
    let cancellation = pageseal::Cancellation::new();
    let flag = cancellation.clone();
    let recorder = Recorder::at_first_window(move || flag.cancel());
    let control = pageseal::Control { progress: &recorder, cancellation };
    let error =
        pageseal::decrypt_in_place(path, &keys.identities(), options, &control).expect_err("was stopped");
    journal_of_stopped(error, pageseal::JobKind::Decrypt)
}

fn journal_of_stopped(error: pageseal::JobError, expected: pageseal::JobKind) -> PathBuf {
    assert_eq!(error.class(), pageseal::ErrorClass::Interrupted, "{error:?}");
    match error {
        pageseal::JobError::Interrupted {
            kind,
            rolling_back: false,
            done_bytes,
            total_bytes,
            journal,
            cause: pageseal::InterruptCause::Cancelled,
            ..
        } => {
            assert_eq!(kind, expected);
            assert!((WINDOW..total_bytes).contains(&done_bytes), "{done_bytes} of {total_bytes}");
            journal
        }
        other => panic!("{other:?}"),
    }
}
