//! Runs the malformed files of `docs/vectors/malformed`: each is refused with its own error by every command that reads it, and left
//! as it was; the reference reader refuses it too. `crates/fuzz-bodies/tests/malformed` makes them.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use pageseal::{
    Control, DecryptOptions, Identities, IdentitySource, Input, JobError, OpenError, Output, ResumeOptions,
    decrypt_in_place, decrypt_to, info, resume, rollback, verify,
};
use pageseal_crypto::{DerivedKeys, FileKey, KeyContext, Suite};
use pageseal_format::journal::{JournalHeader, RING_OFFSET, WindowRecord};
use pageseal_format::{FormatError, Limits, SlotArea, Superblock, TableEntry};
use pageseal_journal::{Authenticator, Journal, JournalError, Log};
use serde_json::Value;
use support::{NoPrompt, Snapshot, folder, skip};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/");

struct Vector {
    name: String,
    expected: String,
    file: Vec<u8>,
    journal: Option<Vec<u8>>,
    journal_error: Option<String>,
}

fn vectors(manifest: &str) -> Vec<Vector> {
    let text = fs::read_to_string(Path::new(VECTORS).join("malformed").join(manifest)).unwrap();
    let Value::Array(lines) = serde_json::from_str(&text).unwrap() else { panic!("{manifest} is no list") };
    let read = |line: &Value| {
        let text = |field: &str| line[field].as_str().map(str::to_owned);
        Vector {
            name: text("name").unwrap(),
            expected: text("expected").unwrap(),
            file: bytes_of(&line["file"]).unwrap(),
            journal: bytes_of(&line["journal"]),
            journal_error: text("journal_error"),
        }
    };
    lines.iter().map(read).collect()
}

/// The base, cut or filled up with zeros to its length, with its edits.
fn bytes_of(difference: &Value) -> Option<Vec<u8>> {
    let base = Path::new(VECTORS).join("example").join(difference["base"].as_str()?);
    let mut bytes = fs::read(base).unwrap();
    bytes.resize(difference["len"].as_u64().unwrap() as usize, 0);
    for edit in difference["edits"].as_array().unwrap() {
        let (at, hex) = (edit[0].as_u64().unwrap() as usize, edit[1].as_str().unwrap());
        for (index, pair) in hex.as_bytes().chunks(2).enumerate() {
            bytes[at + index] = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
    }
    Some(bytes)
}

fn identity() -> PathBuf {
    Path::new(VECTORS).join("example/identity.txt")
}

fn identities() -> Identities {
    Identities::load([IdentitySource::File(identity())], Arc::new(NoPrompt)).unwrap()
}

/// Class, form, and what is in it, as the manifests have it.
fn describe(error: &JobError) -> String {
    let form = match error {
        JobError::Open(OpenError::Damaged { damage, .. }) => format!("{damage:?}"),
        JobError::Open(OpenError::Key(key)) => format!("Key({key:?})"),
        JobError::Open(OpenError::Refused(refusal)) => first_word(&format!("{refusal:?}")),
        JobError::Open(open) => first_word(&format!("{open:?}")),
        JobError::Refused(refusal) => first_word(&format!("{refusal:?}")),
        other => first_word(&format!("{other:?}")),
    };
    format!("{:?} {form}", error.class())
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric()).collect()
}

#[test]
fn malformed_sealed_files_are_refused_by_name() {
    let (folder, identities) = (folder(), identities());
    let sealed = folder.path().join("file.sealed");
    for vector in vectors("sealed.json") {
        fs::write(&sealed, &vector.file).unwrap();
        let before = Snapshot::of(folder.path());
        let _ = info(&sealed, None);
        let silent = Control::silent();
        let verified = verify(&sealed, &identities, Some(1), &silent).map(|_| ()).map_err(JobError::Open);
        let (from, to) = (Input::File(sealed.clone()), Output::File(folder.path().join("out")));
        let options = DecryptOptions { threads: Some(1), ..DecryptOptions::default() };
        let copied = decrypt_to(&from, &to, &identities, &options, &silent).map(|_| ());
        if vector.expected == "Accepted" {
            assert!(verified.is_ok() && copied.is_ok(), "{}: {verified:?}, {copied:?}", vector.name);
            fs::remove_file(folder.path().join("out")).unwrap();
            continue;
        }
        let opened = decrypt_in_place(&sealed, &identities, &options, &silent).map(|_| ());
        for (command, result) in [("verify", verified), ("decrypt -o", copied), ("decrypt", opened)] {
            let found = describe(&result.expect_err(&vector.name));
            // Out of place it ends at the first bad chunk and does not count the others.
            let first_only = command == "decrypt -o" && vector.expected.starts_with("Damaged Chunks");
            let expected = if first_only { "Damaged Chunk {" } else { &vector.expected };
            assert!(found.starts_with(expected), "{command}, {}: {found}", vector.name);
        }
        let going_on = ResumeOptions { decrypt: true, ..ResumeOptions::default() };
        resume(&sealed, &identities, &going_on, &silent).expect_err(&vector.name);
        before.assert_unchanged(folder.path(), &vector.name);
        let undone = rollback(&sealed, &identities, &going_on, &silent);
        if vector.name == "copies-differ" {
            // A decrypt that was cut off between the two copies: nothing was opened yet.
            undone.expect(&vector.name);
            verify(&sealed, &identities, Some(1), &silent).expect(&vector.name);
            continue;
        }
        undone.expect_err(&vector.name);
        before.assert_unchanged(folder.path(), &vector.name);
    }
}

#[test]
fn malformed_journals_are_refused_by_name() {
    let identities = identities();
    for vector in vectors("journals.json") {
        let folder = folder();
        let file = folder.path().join("file");
        fs::write(&file, &vector.file).unwrap();
        if let Some(journal) = &vector.journal {
            fs::write(folder.path().join("file.pageseal-journal"), journal).unwrap();
            let found = journal_error(journal).map(|error| format!("{error:?}"));
            if let Some(expected) = &vector.journal_error {
                assert_eq!(found.as_ref(), Some(expected), "{}", vector.name);
            }
        }
        let before = Snapshot::of(folder.path());
        let _ = info(&file, None);
        let options = ResumeOptions { decrypt: true, threads: Some(1), ..ResumeOptions::default() };
        for (command, call) in [("resume", resume as fn(&_, &_, &_, &_) -> _), ("rollback", rollback)] {
            let error: JobError =
                call(&file, &identities, &options, &Control::silent()).expect_err(&vector.name);
            before.assert_unchanged(folder.path(), &format!("{command}, {}", vector.name));
            let found = describe(&error);
            assert!(found.starts_with(&vector.expected), "{command}, {}: {found}", vector.name);
        }
    }
}

/// Where the reader's exit code is another: it calls values that are reserved for later versions too new, and the library that opens
/// age files for it does not tell a slot for somebody else from one with a spoiled payload.
const READER_DIFFERS: [(&str, i32); 6] = [
    ("superblock-state-rekeying", 1),
    ("superblock-detached-trailer", 1),
    ("slots-version-2", 1),
    ("slots-type-0", 1),
    ("slots-type-4", 1),
    ("slot-age-payload", 3),
];

#[test]
fn the_reference_reader_refuses_what_is_malformed() {
    let python = std::env::var("PAGESEAL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = Command::new(&python).args(["-c", "import pyaegis, cryptography, nacl, pyrage"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        return skip("Python 3 with the packages of reference/requirements.txt");
    }
    let (folder, mut wrong) = (folder(), Vec::new());
    for vector in vectors("sealed.json") {
        let sealed = folder.path().join("file.sealed");
        fs::write(&sealed, &vector.file).unwrap();
        let output = Command::new(&python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/pageseal_reader.py"))
            .arg("decrypt")
            .arg("-i")
            .arg(identity())
            .args([&sealed, Path::new("-")])
            .output()
            .unwrap();
        let differs = READER_DIFFERS.iter().find(|(name, _)| *name == vector.name);
        let by_class = match vector.expected.split(' ').next() {
            Some("Accepted") => 0,
            Some("NoKey") => 3,
            Some("Damaged") => 4,
            // It knows nothing of jobs.
            Some("Refused" | "Interrupted") => 1,
            other => panic!("{}: {other:?}", vector.name),
        };
        let expected = differs.map_or(by_class, |(_, code)| *code);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(expected) {
            wrong.push(format!("{}: {:?}, not {expected}: {said}", vector.name, output.status.code()));
        }
        // Nothing that was not authenticated comes out, whatever is refused later.
        assert!(expected == 0 || output.stdout.is_empty(), "{}: it wrote plaintext", vector.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Variants that no file can cause, each with the reason.
const NOT_BY_BYTES: [(&str, &str, &[&str]); 4] = [
    (
        "FormatError",
        "slices are cut to measure by the caller; the last two are of the encoder",
        &["TooShort", "TooLong", "TooManySlots", "AreaFull"],
    ),
    (
        "Damage",
        "takes two texts with one 128-bit MAC; the journal's absence is no malformation",
        &["Ambiguous", "JournalMissing"],
    ),
    (
        "Damage",
        "the vectors want one answer of resume and rollback, and this is that of one of them: damaged_interruptions.rs",
        &["CannotBeOpened"],
    ),
    (
        "JournalError",
        "the medium, or a wrong call",
        &[
            "Io",
            "Latched",
            "NotEmpty",
            "RingFull",
            "NotNext",
            "StaleReservation",
            "WrongPlan",
            "PayloadIncomplete",
            "PayloadRange",
            "NotSettled",
            "InFlight",
            "IllegalPhase",
            "NotAtEnd",
            "NoWindowsNow",
        ],
    ),
];

/// A new variant of an error that bytes can cause fails here until a file causes it. Rust does not list an enum's variants, so
/// they are read off its source.
#[test]
fn every_way_to_be_malformed_has_a_file() {
    let format = include_str!("../../format/src/error.rs");
    let journal = include_str!("../../journal/src/error.rs");
    let own = include_str!("../src/error.rs");
    let found = causes();
    for (source, name) in [
        (format, "FormatError"),
        (journal, "JournalError"),
        (journal, "Contradiction"),
        (journal, "Part"),
        (own, "Damage"),
    ] {
        let all = variants(source, name);
        assert!(all.len() > 5, "{name}: {all:?}");
        let excepted: Vec<&str> = NOT_BY_BYTES
            .iter()
            .filter(|(of, ..)| *of == name)
            .flat_map(|(_, _, list)| *list)
            .copied()
            .collect();
        for variant in &all {
            let covered = found.contains(variant);
            let is_excepted = excepted.contains(&variant.as_str());
            assert!(covered || is_excepted, "{name}::{variant} has no malformed file");
        }
        for variant in excepted {
            assert!(all.contains(variant), "{name}::{variant} is excepted and does not exist");
        }
    }
}

fn variants(source: &str, name: &str) -> BTreeSet<String> {
    let start = source.find(&format!("pub enum {name} {{")).unwrap();
    let body = source[start..].lines().skip(1).take_while(|line| *line != "}");
    let declared =
        body.filter_map(|line| line.strip_prefix("    ").filter(|rest| rest.starts_with(char::is_uppercase)));
    declared.map(first_word).collect()
}

/// The names of all that is found wrong in the vectors, in any layer.
fn causes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut note = |text: &str| {
        let words = text.split(|letter: char| !letter.is_alphanumeric());
        found.extend(words.filter(|word| word.starts_with(char::is_uppercase)).map(str::to_owned));
    };
    for vector in vectors("sealed.json") {
        note(&vector.expected);
        for error in structure_errors(&vector.file) {
            note(&format!("{error:?}"));
        }
    }
    for vector in vectors("journals.json") {
        note(&vector.expected);
        let Some(journal) = vector.journal else { continue };
        if let Some(error) = journal_error(&journal) {
            note(&format!("{error:?}"));
        }
        if let Some(error) = record_error(&journal) {
            note(&format!("{error:?}"));
        }
    }
    found
}

/// What the parsers say to the parts of a file of the example's layout.
fn structure_errors(file: &[u8]) -> Vec<FormatError> {
    let mut found = Vec::new();
    for at in [4096, 61440] {
        found.extend(
            file.get(at..at + 4096).and_then(|part| Superblock::parse(part, &Limits::PRODUCTION).err()),
        );
    }
    for at in [8192, 32768] {
        found.extend(file.get(at..at + 24576).and_then(|part| SlotArea::parse(part).err()));
    }
    found.extend(file.get(57344..57408).and_then(|part| TableEntry::parse(part.try_into().unwrap()).err()));
    found
}

fn record_error(journal: &[u8]) -> Option<FormatError> {
    let header = JournalHeader::parse(journal.get(..4096)?, &Limits::PRODUCTION).ok()?;
    WindowRecord::parse(journal.get(RING_OFFSET as usize + 4096..)?, &header).err()
}

fn journal_error(bytes: &[u8]) -> Option<JournalError> {
    let opened = match Journal::open(Arc::new(Bytes(bytes.to_vec())), &Limits::PRODUCTION) {
        Ok(opened) => opened,
        Err(error) => return Some(error),
    };
    opened.inspect(&ExampleKey(example_keys())).err()
}

/// From the file key that FORMAT.md section 8.2 prints.
fn example_keys() -> DerivedKeys {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let key = bytes("c8111a87094feb6eb052adf66b7aafa8d64fffb82bae75412f060b27fcf63ccb");
    let file_id = bytes("138a7fe60d0035e91acd899197ef805e");
    let context =
        KeyContext { suite: Suite::Aegis256X2, chunk_log2: 16, file_id: file_id.try_into().unwrap() };
    DerivedKeys::derive(&FileKey::from_bytes(key.try_into().unwrap()), &context)
}

struct ExampleKey(DerivedKeys);

impl Authenticator for ExampleKey {
    fn mac(&self, label: &[u8], body: &[u8]) -> [u8; 32] {
        self.0.journal.mac(label, body)
    }

    fn verify(&self, label: &[u8], body: &[u8], mac: &[u8; 32]) -> bool {
        self.0.journal.verify(label, body, mac)
    }
}

/// A journal to be looked at only.
struct Bytes(Vec<u8>);

impl Log for Bytes {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = offset as usize;
        buf.copy_from_slice(self.0.get(start..start + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
