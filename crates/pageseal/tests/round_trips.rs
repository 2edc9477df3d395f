//! Every suite, store and resilience mode at the lengths where mistakes live, against SHA-256.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, IoChoice, JobOutcome, ResilienceChoice, Suite, decrypt_in_place,
    encrypt_in_place, verify,
};
use support::{Generator, Keys, digest, folder, names_in, write_content};

const CHUNK: u64 = 64 * 1024;
/// Window of files up to 128 MiB: 64 chunks.
const WINDOW: u64 = 64 * CHUNK;

const PAIRS: [(IoChoice, ResilienceChoice); 11] = [
    (IoChoice::Buffered, ResilienceChoice::Checksum),
    (IoChoice::Buffered, ResilienceChoice::Journal),
    (IoChoice::Buffered, ResilienceChoice::Process),
    (IoChoice::Buffered, ResilienceChoice::None),
    (IoChoice::Mmap, ResilienceChoice::Journal),
    (IoChoice::Mmap, ResilienceChoice::Process),
    (IoChoice::Mmap, ResilienceChoice::None),
    (IoChoice::Direct, ResilienceChoice::Checksum),
    (IoChoice::Direct, ResilienceChoice::Journal),
    (IoChoice::Direct, ResilienceChoice::Process),
    (IoChoice::Direct, ResilienceChoice::None),
];

fn round_trip(
    folder: &Path,
    keys: &Keys,
    len: u64,
    suite: Suite,
    (io, resilience): (IoChoice, ResilienceChoice),
    chunk_len_bytes: u64,
) {
    let case = format!("{len} bytes, {suite:?}, {io:?}, {resilience:?}, chunk {chunk_len_bytes}");
    let plain = folder.join("file");
    let sealed = folder.join("file.sealed");
    let expected = write_content(&plain, len, len ^ u64::from(suite.id()));
    let inode = fs::metadata(&plain).unwrap().ino();
    let before = names_in(folder);
    let options = EncryptOptions {
        suite: Some(suite),
        io,
        resilience,
        chunk_len_bytes,
        threads: Some(2),
        accept_data_loss: resilience == ResilienceChoice::None,
        ..EncryptOptions::default()
    };
    let report =
        encrypt_in_place(&plain, std::slice::from_ref(&keys.recipient), &options, &Control::silent())
            .unwrap_or_else(|error| panic!("encrypt of {case}: {error:?}"));
    assert_eq!(report.outcome, JobOutcome::Sealed, "{case}");
    assert_eq!(report.path.as_deref(), Some(sealed.as_path()), "{case}");
    assert!(!plain.exists(), "{case}");
    assert_eq!(fs::metadata(&sealed).unwrap().ino(), inode, "{case}: inode");
    assert_ciphertext(&sealed, len, expected, &case);

    let identities = keys.identities();
    let verified = verify(&sealed, &identities, Some(2), &Control::silent())
        .unwrap_or_else(|error| panic!("verify of {case}: {error:?}"));
    assert_eq!(verified.data_len_bytes, len, "{case}");

    let options = DecryptOptions {
        io,
        resilience,
        threads: Some(2),
        accept_data_loss: resilience == ResilienceChoice::None,
        ..DecryptOptions::default()
    };
    decrypt_in_place(&sealed, &identities, &options, &Control::silent())
        .unwrap_or_else(|error| panic!("decrypt of {case}: {error:?}"));
    assert_eq!(digest(&plain), expected, "{case}: content");
    assert_eq!(fs::metadata(&plain).unwrap().len(), len, "{case}: length");
    assert_eq!(fs::metadata(&plain).unwrap().ino(), inode, "{case}: inode");
    assert_eq!(names_in(folder), before, "{case}: something was left over");
    fs::remove_file(&plain).unwrap();
}

/// The data region is no longer the plaintext, and as long as the bound on extra disk allows.
fn assert_ciphertext(sealed: &Path, len: u64, plaintext: [u8; 32], case: &str) {
    let sealed_len = fs::metadata(sealed).unwrap().len();
    assert!(sealed_len - len <= len * 11 / 10_000 + 65536, "{case}: trailer of {}", sealed_len - len);
    if len >= 16 {
        use sha2::{Digest, Sha256};
        let bytes = fs::read(sealed).unwrap();
        let found: [u8; 32] = Sha256::digest(&bytes[..len as usize]).into();
        assert_ne!(found, plaintext, "{case}: data was left in the clear");
    }
}

fn small_lengths() -> Vec<u64> {
    vec![0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, WINDOW + 1]
}

fn all_small(suite: Suite) {
    let folder = folder();
    let keys_folder = support::folder();
    let keys = Keys::new(keys_folder.path());
    for pair in PAIRS {
        for len in small_lengths() {
            round_trip(folder.path(), &keys, len, suite, pair, CHUNK);
        }
    }
}

#[test]
fn aegis_at_all_borders() {
    all_small(Suite::Aegis256X2);
}

#[test]
fn xaes_at_all_borders() {
    all_small(Suite::Xaes256Gcm);
}

#[test]
fn xchacha_at_all_borders() {
    all_small(Suite::XChaCha20Poly1305);
}

#[test]
fn large_chunks_at_their_borders() {
    let folder = folder();
    let keys_folder = support::folder();
    let keys = Keys::new(keys_folder.path());
    let chunk = 1 << 20;
    for len in [0, 1, chunk - 1, chunk, chunk + 1, 64 * chunk + 1] {
        round_trip(folder.path(), &keys, len, Suite::Aegis256X2, PAIRS[0], chunk);
    }
    round_trip(folder.path(), &keys, 64 * chunk + 1, Suite::Xaes256Gcm, PAIRS[4], chunk);
}

#[test]
fn random_lengths_up_to_300_mib() {
    let folder = folder();
    let keys_folder = support::folder();
    let keys = Keys::new(keys_folder.path());
    let mut generator = Generator::new(20_261_123);
    for (index, suite) in Suite::ALL.into_iter().cycle().take(6).enumerate() {
        let len = generator.below(300 << 20);
        round_trip(folder.path(), &keys, len, suite, PAIRS[index % 3 + if index < 3 { 0 } else { 3 }], CHUNK);
    }
    round_trip(folder.path(), &keys, 300 << 20, Suite::Aegis256X2, PAIRS[0], CHUNK);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let folder = folder();
    let keys_folder = support::folder();
    let keys = Keys::new(keys_folder.path());
    let len = 3 * WINDOW + 12345;
    for threads in [1, 2, 7] {
        let plain = folder.path().join("threads");
        let expected = write_content(&plain, len, 7);
        let options = EncryptOptions { threads: Some(threads), ..EncryptOptions::default() };
        let report =
            encrypt_in_place(&plain, std::slice::from_ref(&keys.recipient), &options, &Control::silent())
                .unwrap();
        assert_eq!(report.threads, threads);
        let sealed: PathBuf = report.path.unwrap();
        let options = DecryptOptions { threads: Some(8 - threads), ..DecryptOptions::default() };
        decrypt_in_place(&sealed, &keys.identities(), &options, &Control::silent()).unwrap();
        assert_eq!(digest(&plain), expected, "{threads} threads");
    }
}
