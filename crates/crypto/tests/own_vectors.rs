//! `docs/vectors/chunks.json`: fixed values for keys, chunks and fingerprints, by which another
//! implementation of the format can check itself.
//!
//! To write the file anew after a deliberate change of the format, run this test with
//! `PAGESEAL_WRITE_VECTORS=1`. It fails then, so that it cannot pass by accident.

use std::path::PathBuf;

use pageseal_crypto::{ChunkMeta, DerivedKeys, FileKey, KeyContext, Suite, block_count, header_hash};
use serde::Serialize;
use sha2::{Digest, Sha256};

const SHOWN_CIPHERTEXT_BYTES: usize = 64;

#[derive(Serialize)]
struct Document {
    about: [&'static str; 5],
    vectors: Vec<Vector>,
}

#[derive(Serialize)]
struct Vector {
    suite: u8,
    suite_name: &'static str,
    chunk_log2: u8,
    file_key: String,
    file_id: String,
    commitment: String,
    header_hash: String,
    metadata_mac: String,
    journal_mac: String,
    chunk_index: u64,
    is_final: bool,
    nonce: String,
    epoch: u32,
    flags: u16,
    plaintext_length: usize,
    tag_field: String,
    ciphertext_start: String,
    ciphertext_sha256: String,
    job_sequence: u64,
    first_block: u64,
    fingerprints: Vec<String>,
}

struct Input {
    chunk_log2: u8,
    chunk_index: u64,
    is_final: bool,
    flags: u16,
    plaintext_length: usize,
    job_sequence: u64,
}

const INPUTS: [Input; 5] = [
    Input { chunk_log2: 16, chunk_index: 0, is_final: true, flags: 0, plaintext_length: 0, job_sequence: 1 },
    Input { chunk_log2: 16, chunk_index: 0, is_final: true, flags: 0, plaintext_length: 1, job_sequence: 1 },
    Input {
        chunk_log2: 16,
        chunk_index: 7,
        is_final: false,
        flags: 0,
        plaintext_length: 65536,
        job_sequence: 2,
    },
    Input {
        chunk_log2: 17,
        chunk_index: 0x0001_0002_0003,
        is_final: true,
        flags: 1,
        plaintext_length: 70001,
        job_sequence: 3,
    },
    Input {
        chunk_log2: 20,
        chunk_index: 3,
        is_final: false,
        flags: 0,
        plaintext_length: 1 << 20,
        job_sequence: 0x0102_0304_0506_0708,
    },
];

fn vector(suite: Suite, input: &Input, number: u8) -> Vector {
    let file_key: [u8; 32] = std::array::from_fn(|i| i as u8 ^ 0xa5 ^ number);
    let file_id: [u8; 16] = std::array::from_fn(|i| 0x10 * suite.id() + i as u8);
    let context = KeyContext { suite, chunk_log2: input.chunk_log2, file_id };
    let keys = DerivedKeys::derive(&FileKey::from_bytes(file_key), &context);
    let meta = ChunkMeta {
        index: input.chunk_index,
        is_final: input.is_final,
        nonce: std::array::from_fn(|i| (7 * i) as u8 ^ number),
        epoch: 0,
        flags: input.flags,
    };
    let first_block = input.chunk_index << (input.chunk_log2 - 12);
    let mut bytes: Vec<u8> = (0..input.plaintext_length).map(|i| (i % 251) as u8).collect();
    let mut fingerprints = vec![[0; 16]; block_count(bytes.len())];
    keys.fingerprint.blocks(input.job_sequence, first_block, &bytes, &mut fingerprints);
    let tag = keys.chunk.seal_in_place(&meta, &mut bytes);
    // The first, second and last fingerprints: all of them would make a long file.
    let shown = fingerprints.iter().enumerate();
    let shown = shown.filter(|(i, _)| *i < 2 || i + 1 == fingerprints.len());
    Vector {
        suite: suite.id(),
        suite_name: suite.name(),
        chunk_log2: input.chunk_log2,
        file_key: hex(&file_key),
        file_id: hex(&file_id),
        commitment: hex(&keys.commitment()),
        header_hash: hex(&header_hash(suite, input.chunk_log2, &file_id, 0, 1)),
        metadata_mac: hex(&keys.metadata.mac(b"pageseal superblock v1", b"body")),
        journal_mac: hex(&keys.journal.mac(b"pageseal journal v1", b"body")),
        chunk_index: meta.index,
        is_final: meta.is_final,
        nonce: hex(&meta.nonce),
        epoch: meta.epoch,
        flags: meta.flags,
        plaintext_length: input.plaintext_length,
        tag_field: hex(&tag),
        ciphertext_start: hex(&bytes[..bytes.len().min(SHOWN_CIPHERTEXT_BYTES)]),
        ciphertext_sha256: hex(&Sha256::digest(&bytes)),
        job_sequence: input.job_sequence,
        first_block,
        fingerprints: shown.map(|(_, print)| hex(print)).collect(),
    }
}

fn document() -> String {
    let inputs = || (0u8..).zip(&INPUTS);
    let document = Document {
        about: [
            "Keys, chunks and fingerprints of pageseal, format version 1 (docs/FORMAT.md). Bytes are hexadecimal.",
            "Byte i of the plaintext is i mod 251. The chunk is sealed with the nonce, epoch and flags of its entry.",
            "ciphertext_start: the first 64 bytes, or all if there are fewer; ciphertext_sha256: of all of them.",
            "metadata_mac: key 'metadata', label 'pageseal superblock v1', body 'body'; journal_mac: key 'journal', label 'pageseal journal v1', body 'body'.",
            "fingerprints: of the first, the second and the last block of the chunk; first_block is the first one's index. header_hash: shard 0 of 1.",
        ],
        vectors: Suite::ALL
            .iter()
            .flat_map(|suite| inputs().map(|(number, input)| vector(*suite, input, number)))
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).expect("plain data");
    text.push('\n');
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_published_vectors_are_what_this_crate_computes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/chunks.json");
    let computed = document();
    if std::env::var_os("PAGESEAL_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        std::fs::write(&path, computed).unwrap();
        panic!("vectors written: look at the difference, then run the test without the variable");
    }
    let published = std::fs::read_to_string(&path).expect("docs/vectors/chunks.json");
    for (computed, published) in computed.lines().zip(published.lines()) {
        assert_eq!(computed, published);
    }
    assert!(computed == published, "a different number of lines");
}
