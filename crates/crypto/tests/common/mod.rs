//! What the tests of this crate share.
#![allow(dead_code)] // Each test binary uses its own part.

use pageseal_crypto::{
    BLOCK_BYTES, ChunkMeta, DerivedKeys, FileKey, Fingerprint, KeyContext, Suite, block_count,
};

pub const FILE_ID: [u8; 16] = [0x1d; 16];

pub fn keys(suite: Suite) -> DerivedKeys {
    keys_of(suite, 0x6b)
}

pub fn keys_of(suite: Suite, file_key_byte: u8) -> DerivedKeys {
    let context = KeyContext { suite, chunk_log2: 16, file_id: FILE_ID };
    DerivedKeys::derive(&FileKey::from_bytes([file_key_byte; 32]), &context)
}

pub fn meta(index: u64) -> ChunkMeta {
    ChunkMeta {
        index,
        is_final: false,
        nonce: std::array::from_fn(|i| i as u8 ^ index as u8),
        epoch: 0,
        flags: 0,
    }
}

/// Bytes of a small generator (xorshift): no two blocks or sectors are alike.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub fn fingerprints(keys: &DerivedKeys, job: u64, first: u64, plaintext: &[u8]) -> Vec<Fingerprint> {
    let mut prints = vec![[0; 16]; block_count(plaintext.len())];
    keys.fingerprint.blocks(job, first, plaintext, &mut prints);
    prints
}

/// Lengths at which something begins or ends: sectors, blocks, units of AEGIS.
pub fn lengths() -> impl Iterator<Item = usize> {
    [0, 1, 31, 32, 33, 511, 512, 513].into_iter().chain([1, 2, 16].into_iter().flat_map(|blocks| {
        let len = blocks * BLOCK_BYTES;
        [len - 1, len, len + 1]
    }))
}
