//! The independent reader in `reference/` decrypts what this library seals. It needs Python 3 with the packages
//! of `reference/requirements.txt`; `PAGESEAL_PYTHON` names the interpreter.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pageseal::{
    Control, EncryptOptions, Input, Output, Passphrase, Recipient, Suite, encrypt_in_place, encrypt_to,
};
use support::{Generator, Keys, digest, folder, skip, write_content};

const CHUNK: u64 = 64 * 1024;
const WINDOW: u64 = 64 * CHUNK;

fn reader() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/pageseal_reader.py")
}

/// The interpreter, if it has what the reader imports.
fn python() -> Option<String> {
    let python = std::env::var("PAGESEAL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = "import pyaegis, cryptography, nacl, pyrage";
    let found = Command::new(&python).args(["-c", imports]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skip("Python 3 with the packages of reference/requirements.txt");
    None
}

fn decrypt_with_reader(python: &str, arguments: &[&str], sealed: &Path, out: &Path) {
    let output = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(reader())
        .arg("decrypt")
        .args(arguments)
        .args([sealed, out])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", sealed.display());
    assert!(errors.is_empty(), "{}: {errors}", sealed.display());
}

fn agree(python: &str, suite: Suite, lengths: &[u64], chunk_len_bytes: u64) {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let identity = keys.identity_file.to_str().unwrap();
    for len in lengths {
        let plain = folder.path().join("file");
        let out = folder.path().join("out");
        let expected = write_content(&plain, *len, *len + 1);
        let options = EncryptOptions { suite: Some(suite), chunk_len_bytes, ..EncryptOptions::default() };
        let recipients = std::slice::from_ref(&keys.recipient);
        let report = encrypt_in_place(&plain, recipients, &options, &Control::silent()).unwrap();
        let sealed = report.path.unwrap();
        decrypt_with_reader(python, &["-i", identity], &sealed, &out);
        assert_eq!(digest(&out), expected, "{suite:?}, {len} bytes");
        fs::remove_file(&sealed).unwrap();
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn every_suite_at_every_border() {
    let Some(python) = python() else { return };
    let mut generator = Generator::new(99);
    for suite in Suite::ALL {
        let lengths =
            [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, WINDOW + 1, generator.below(40 << 20)];
        agree(&python, suite, &lengths, CHUNK);
    }
}

#[test]
fn other_chunk_sizes() {
    let Some(python) = python() else { return };
    for chunk_log2 in 17..=20 {
        let chunk = 1 << chunk_log2;
        agree(&python, Suite::Aegis256X2, &[chunk - 1, 3 * chunk + 5], chunk);
    }
}

#[test]
fn a_large_file() {
    let Some(python) = python() else { return };
    agree(&python, Suite::Aegis256X2, &[300 << 20], CHUNK);
}

#[test]
fn a_passphrase_and_a_stream() {
    let Some(python) = python() else { return };
    let folder = folder();
    let plain = folder.path().join("file");
    let expected = write_content(&plain, 1_000_000, 5);
    let secret = folder.path().join("passphrase");
    fs::write(&secret, "correct horse\n").unwrap();
    let recipient = Recipient::passphrase(Passphrase::read_file(&secret).unwrap());
    let sealed = folder.path().join("copy.sealed");
    let output = Output::File(sealed.clone());
    encrypt_to(&Input::File(plain), &output, &[recipient], &EncryptOptions::default(), &Control::silent())
        .unwrap();
    let out = folder.path().join("out");
    decrypt_with_reader(&python, &["--passphrase-file", secret.to_str().unwrap()], &sealed, &out);
    assert_eq!(digest(&out), expected);
}
