//! `-o`: the input stays, the output appears whole or not at all.

mod support;

use std::fs;
use std::path::Path;

use pageseal::{
    Cancellation, Control, Damage, DecryptOptions, EncryptOptions, ErrorClass, Input, JobError, OpenError,
    Output, Progress, Refusal, Suite, decrypt_in_place, decrypt_to, encrypt_to, verify,
};
use support::{Keys, digest, folder, names_in, write_content};

const CHUNK: u64 = 64 * 1024;
/// What a worker converts at a time.
const PIECE: u64 = 512 << 10;

fn seal(keys: &Keys, plain: &Path, sealed: &Path, suite: Suite) -> Result<(), JobError> {
    let options = EncryptOptions { suite: Some(suite), ..EncryptOptions::default() };
    let (input, output) = (Input::File(plain.into()), Output::File(sealed.into()));
    encrypt_to(&input, &output, std::slice::from_ref(&keys.recipient), &options, &Control::silent())
        .map(|_| ())
}

fn open(keys: &Keys, sealed: &Path, plain: &Path) -> Result<(), JobError> {
    let (input, output) = (Input::File(sealed.into()), Output::File(plain.into()));
    decrypt_to(&input, &output, &keys.identities(), &DecryptOptions::default(), &Control::silent())
        .map(|_| ())
}

#[test]
fn both_directions_at_all_borders_and_in_place_reads_the_result() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = |name| folder.path().join(name);
    for suite in Suite::ALL {
        for len in [0, 1, 4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1, PIECE - 1, PIECE, PIECE + 1, 9 * PIECE] {
            let expected = write_content(&path("plain"), len, len);
            seal(&keys, &path("plain"), &path("copy.sealed"), suite).unwrap();
            assert_eq!(digest(&path("plain")), expected, "the input was changed");
            verify(&path("copy.sealed"), &keys.identities(), None, &Control::silent()).unwrap();
            open(&keys, &path("copy.sealed"), &path("again")).unwrap();
            assert_eq!(digest(&path("again")), expected, "{suite:?}, {len} bytes");
            let options = DecryptOptions::default();
            decrypt_in_place(&path("copy.sealed"), &keys.identities(), &options, &Control::silent()).unwrap();
            assert_eq!(digest(&path("copy")), expected, "{suite:?}, {len} bytes, in place");
            for name in ["plain", "again", "copy"] {
                fs::remove_file(path(name)).unwrap();
            }
        }
    }
}

#[test]
fn an_existing_output_is_refused_and_kept() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = |name| folder.path().join(name);
    write_content(&path("plain"), 1000, 1);
    fs::write(path("taken"), "mine").unwrap();
    let refused = seal(&keys, &path("plain"), &path("taken"), Suite::Aegis256X2);
    assert!(matches!(refused, Err(JobError::Refused(Refusal::TargetExists { .. }))));
    seal(&keys, &path("plain"), &path("sealed"), Suite::Aegis256X2).unwrap();
    let refused = open(&keys, &path("sealed"), &path("taken"));
    assert!(matches!(refused, Err(JobError::Refused(Refusal::TargetExists { .. }))));
    assert_eq!(fs::read(path("taken")).unwrap(), b"mine");
}

#[test]
fn nothing_appears_when_a_chunk_is_damaged() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = |name| folder.path().join(name);
    write_content(&path("plain"), 9 * PIECE, 1);
    seal(&keys, &path("plain"), &path("sealed"), Suite::Aegis256X2).unwrap();
    let mut bytes = fs::read(path("sealed")).unwrap();
    for piece in [3, 4, 7] {
        bytes[(piece * PIECE + CHUNK) as usize + 77] ^= 4;
    }
    fs::write(path("sealed"), bytes).unwrap();
    let before = names_in(folder.path());
    let error = open(&keys, &path("sealed"), &path("out")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Damaged);
    // Several workers may meet damage at the same time; the first in the file is told.
    let first = 3 * PIECE / CHUNK + 1;
    assert!(matches!(
        error,
        JobError::Open(OpenError::Damaged { damage: Damage::Chunk { chunk, .. }, .. }) if chunk == first
    ));
    assert_eq!(names_in(folder.path()), before);
}

#[test]
fn nothing_appears_when_the_run_is_stopped() {
    struct StopSoon(Cancellation);
    impl Progress for StopSoon {
        fn advance(&self, _: u64) {
            self.0.cancel();
        }
    }
    let folder = folder();
    let keys = Keys::new(folder.path());
    let plain = folder.path().join("plain");
    write_content(&plain, 3 * PIECE, 1);
    let before = names_in(folder.path());
    let cancellation = Cancellation::new();
    let progress = StopSoon(cancellation.clone());
    let control = Control { progress: &progress, cancellation };
    let output = Output::File(folder.path().join("out"));
    let recipients = [keys.recipient.clone()];
    let error = encrypt_to(&Input::File(plain), &output, &recipients, &EncryptOptions::default(), &control);
    assert!(matches!(error, Err(JobError::Refused(Refusal::Cancelled))));
    assert_eq!(names_in(folder.path()), before);
}

#[test]
fn a_file_that_grows_meanwhile_is_refused() {
    struct Append<'a>(&'a Path, std::sync::Once);
    impl Progress for Append<'_> {
        fn advance(&self, _: u64) {
            self.1.call_once(|| {
                let mut file = fs::OpenOptions::new().append(true).open(self.0).unwrap();
                std::io::Write::write_all(&mut file, b"more").unwrap();
            });
        }
    }
    let folder = folder();
    let keys = Keys::new(folder.path());
    let plain = folder.path().join("plain");
    write_content(&plain, 3 * PIECE, 1);
    let before = names_in(folder.path());
    let progress = Append(&plain, std::sync::Once::new());
    let control = Control { progress: &progress, cancellation: Cancellation::new() };
    let output = Output::File(folder.path().join("out"));
    let recipients = [keys.recipient.clone()];
    let options = EncryptOptions::default();
    let error =
        encrypt_to(&Input::File(plain.clone()), &output, &recipients, &options, &control).unwrap_err();
    assert!(matches!(error, JobError::Refused(Refusal::Input { .. })), "{error}");
    assert_eq!(names_in(folder.path()), before);
}

#[test]
fn a_file_that_has_content_and_no_length_is_sealed_whole() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = |name| folder.path().join(name);
    let proc = Path::new("/proc/version");
    seal(&keys, proc, &path("sealed"), Suite::Aegis256X2).unwrap();
    open(&keys, &path("sealed"), &path("again")).unwrap();
    let expected = fs::read(proc).unwrap();
    assert!(!expected.is_empty());
    assert_eq!(fs::read(path("again")).unwrap(), expected);
}
