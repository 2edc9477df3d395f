//! Cryptography of pageseal: suites, key derivation, key commitment, sealing and opening of chunks,
//! fingerprints of blocks, and the rebuilding of chunks that a crash left half old, half new.
//!
//! The crate knows no files and no threads: everything works on byte slices that the caller owns.
//! Byte layouts, labels and nonces are those of `docs/FORMAT.md`, sections 2 to 6; the section is
//! named where it matters.
//!
//! ```
//! use pageseal_crypto::{ChunkMeta, DerivedKeys, FileKey, KeyContext, Suite, random_nonce};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file_key = FileKey::random()?;
//! let context = KeyContext { suite: Suite::default_for_cpu(), chunk_log2: 16, file_id: [7; 16] };
//! let keys = DerivedKeys::derive(&file_key, &context);
//!
//! let meta = ChunkMeta { index: 0, is_final: true, nonce: random_nonce()?, epoch: 0, flags: 0 };
//! let mut tile = b"the last chunk of the file".to_vec();
//! let tag = keys.chunk.seal_in_place(&meta, &mut tile);
//! keys.chunk.open_in_place(&meta, &tag, &mut tile)?;
//! assert_eq!(tile, b"the last chunk of the file");
//! # Ok(())
//! # }
//! ```

mod aegis256x2;
mod aegis_recovery;
mod chunk;
mod error;
mod fingerprint;
mod header_hash;
mod job_key;
mod keys;
mod mac;
mod message;
mod random;
mod rebuild;
mod rebuild_search;
mod secret;
mod slot_info;
mod suite;
mod tear_search;
mod xaes;
mod xchacha;

#[cfg(test)]
mod vector_tests;

pub use chunk::{ChunkCipher, ChunkMeta, MAX_CHUNK_BYTES, NONCE_BYTES, TAG_FIELD_BYTES};
pub use error::{OpenError, RandomError};
pub use fingerprint::{BLOCK_BYTES, Fingerprint, FingerprintError, FingerprintKey, block_count};
pub use header_hash::header_hash;
pub use job_key::{JobKey, WRAPPED_FILE_KEY_BYTES};
pub use keys::{DerivedKeys, FileKey, KeyContext};
pub use mac::MacKey;
pub use random::{fill_random, random_nonce};
pub use rebuild::{
    ExpectedBlocks, Form, RebuildError, Rebuilt, SECTOR_BYTES, TEAR_UNIT_BYTES, Torn, rebuild_chunk,
};
pub use secret::MemoryLock;
pub use slot_info::SlotInfoKey;
pub use suite::{Suite, UnknownSuite, UnknownSuiteName};
