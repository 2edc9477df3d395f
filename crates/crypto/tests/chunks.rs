//! Sealing and opening of chunks: round trips, and every way in which a chunk must not open.

mod common;

use common::{FILE_ID, keys, keys_of, lengths, meta, noise};
use pageseal_crypto::{
    ChunkMeta, DerivedKeys, FileKey, KeyContext, MAX_CHUNK_BYTES, OpenError, Suite, random_nonce,
};
use proptest::prelude::*;

/// Opens a copy and demands that it fails and leaves nothing.
fn assert_refused(keys: &DerivedKeys, meta: &ChunkMeta, tag: &[u8; 32], ciphertext: &[u8]) -> OpenError {
    let mut buf = ciphertext.to_vec();
    let error = keys.chunk.open_in_place(meta, tag, &mut buf).unwrap_err();
    assert!(buf.iter().all(|byte| *byte == 0), "not wiped");
    error
}

#[test]
fn every_length_goes_round() {
    for suite in Suite::ALL {
        let keys = keys(suite);
        assert_eq!(keys.chunk.suite(), suite);
        for len in lengths().chain([MAX_CHUNK_BYTES]) {
            let plaintext = noise(len as u64, len);
            let mut buf = plaintext.clone();
            let tag = keys.chunk.seal_in_place(&meta(3), &mut buf);
            assert!(len < 32 || buf != plaintext);
            assert!(tag[suite.tag_len()..].iter().all(|byte| *byte == 0));
            keys.chunk.open_in_place(&meta(3), &tag, &mut buf).unwrap();
            assert_eq!(buf, plaintext);
        }
    }
}

#[test]
fn every_field_of_the_associated_data_is_bound() {
    let sealed = meta(5);
    let others = [
        ChunkMeta { index: 6, ..sealed },
        ChunkMeta { index: 5 + (1 << 40), ..sealed },
        ChunkMeta { is_final: true, ..sealed },
        ChunkMeta { epoch: 1, ..sealed },
        ChunkMeta { flags: 1, ..sealed },
        ChunkMeta { nonce: meta(4).nonce, ..sealed },
    ];
    for suite in Suite::ALL {
        let keys = keys(suite);
        let mut ciphertext = noise(1, 5000);
        let tag = keys.chunk.seal_in_place(&sealed, &mut ciphertext);
        for other in &others {
            let error = assert_refused(&keys, other, &tag, &ciphertext);
            assert_eq!(error, OpenError::Authentication);
        }
        for byte in 0..24 {
            let mut other = sealed;
            other.nonce[byte] ^= 0x80;
            assert_refused(&keys, &other, &tag, &ciphertext);
        }
        // Another length: shorter, and longer by a zero.
        assert_refused(&keys, &sealed, &tag, &ciphertext[..4999]);
        assert_refused(&keys, &sealed, &tag, &[&ciphertext[..], &[0]].concat());
    }
}

#[test]
fn key_suite_chunk_size_and_file_are_bound() {
    let context = KeyContext { suite: Suite::Xaes256Gcm, chunk_log2: 16, file_id: FILE_ID };
    let file_key = FileKey::from_bytes([1; 32]);
    let keys = DerivedKeys::derive(&file_key, &context);
    let mut ciphertext = noise(2, 700);
    let tag = keys.chunk.seal_in_place(&meta(0), &mut ciphertext);
    let others = [
        KeyContext { suite: Suite::XChaCha20Poly1305, ..context },
        KeyContext { chunk_log2: 17, ..context },
        KeyContext { file_id: [0; 16], ..context },
    ];
    for other in others.map(|context| DerivedKeys::derive(&file_key, &context)) {
        assert!(!other.commitment_matches(&keys.commitment()));
        assert_refused(&other, &meta(0), &tag, &ciphertext);
    }
    let same = DerivedKeys::derive(&FileKey::from_bytes([1; 32]), &context);
    assert!(same.commitment_matches(&keys.commitment()));
    same.chunk.open_in_place(&meta(0), &tag, &mut ciphertext).unwrap();
    assert_eq!(ciphertext, noise(2, 700));
}

#[test]
fn every_bit_of_the_tag_and_every_byte_of_a_short_chunk_is_checked() {
    for suite in Suite::ALL {
        let keys = keys(suite);
        let mut ciphertext = noise(3, 100);
        let tag = keys.chunk.seal_in_place(&meta(0), &mut ciphertext);
        for bit in 0..256 {
            let mut forged = tag;
            forged[bit / 8] ^= 1 << (bit % 8);
            let error = assert_refused(&keys, &meta(0), &forged, &ciphertext);
            let in_padding = bit / 8 >= suite.tag_len();
            assert_eq!(error == OpenError::TagPadding, in_padding);
        }
        for byte in 0..ciphertext.len() {
            let mut forged = ciphertext.clone();
            forged[byte] ^= 1;
            assert_refused(&keys, &meta(0), &tag, &forged);
        }
    }
}

#[test]
fn a_chunk_longer_than_the_format_allows_is_refused() {
    for suite in Suite::ALL {
        let error = assert_refused(&keys(suite), &meta(0), &[0; 32], &vec![1; MAX_CHUNK_BYTES + 1]);
        assert!(matches!(error, OpenError::Length { .. }));
    }
}

#[test]
#[should_panic(expected = "longer than the format allows")]
fn a_chunk_longer_than_the_format_allows_is_not_sealed() {
    let _tag = keys(Suite::Aegis256X2).chunk.seal_in_place(&meta(0), &mut vec![0; MAX_CHUNK_BYTES + 1]);
}

#[test]
fn one_cipher_serves_many_threads() {
    for suite in Suite::ALL {
        let keys = keys(suite);
        std::thread::scope(|scope| {
            for index in 0..4 {
                let keys = &keys;
                scope.spawn(move || {
                    for round in 0..20 {
                        let mut buf = noise(round, 9000);
                        let tag = keys.chunk.seal_in_place(&meta(index), &mut buf);
                        keys.chunk.open_in_place(&meta(index), &tag, &mut buf).unwrap();
                        assert_eq!(buf, noise(round, 9000));
                    }
                });
            }
        });
    }
}

#[test]
fn no_key_shows_in_debug_output() {
    let shown = format!("{:?}", keys_of(Suite::Aegis256X2, 0xee));
    assert!(shown.contains("secret bytes"));
    assert!(!shown.contains("238"));
}

#[test]
fn nonces_differ() {
    assert_ne!(random_nonce().unwrap(), random_nonce().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_byte_is_always_noticed(
        suite in proptest::sample::select(Suite::ALL.to_vec()),
        plaintext in proptest::collection::vec(any::<u8>(), 1..9000),
        index: u64, is_final: bool, nonce: [u8; 24], epoch: u32, flags: u16,
        position: proptest::sample::Index, change in 1u8..,
    ) {
        let keys = keys(suite);
        let meta = ChunkMeta { index, is_final, nonce, epoch, flags };
        let mut buf = plaintext.clone();
        let tag = keys.chunk.seal_in_place(&meta, &mut buf);
        let mut forged = buf.clone();
        forged[position.index(plaintext.len())] ^= change;
        assert_refused(&keys, &meta, &tag, &forged);
        keys.chunk.open_in_place(&meta, &tag, &mut buf).unwrap();
        prop_assert_eq!(buf, plaintext);
    }
}
