//! Rebuilding of chunks that a crash left half old, half new (DESIGN.md, recovery).
//!
//! A disk writes sectors of 512 bytes whole, so each sector of the chunk holds either its old or its
//! new form, independently of the others. Both forms are made from one plaintext, and the journal
//! holds a keyed fingerprint of each 4096-byte block of it. Blocks are rebuilt in order, because with
//! AEGIS the keystream of a block depends on all plaintext before it. Nothing is accepted that its
//! fingerprint does not confirm.

use zeroize::{Zeroize, Zeroizing};

use crate::chunk::{ChunkCipher, ChunkMeta};
use crate::fingerprint::{BLOCK_BYTES, Fingerprint, FingerprintKey, block_count};
use crate::rebuild_search::{BlockSearch, Readers, Shape};

/// Bytes that a disk writes all or not at all.
pub const SECTOR_BYTES: usize = 512;

/// One of the two forms that the bytes of a chunk can have.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// The plaintext itself.
    Plain,
    /// The plaintext sealed by this cipher with these metadata, whatever its tag.
    Sealed {
        /// The cipher it was sealed by.
        cipher: &'a ChunkCipher,
        /// What it was sealed with.
        meta: ChunkMeta,
    },
}

/// How a chunk can have been left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// Each sector is whole, old or new: what a power cut leaves of whole-block writes.
    BySectors,
    /// That, or new up to one place in each block and old from there on: what a kill leaves of a store that goes by instructions in
    /// ascending order. The place is a multiple of [`TEAR_UNIT_BYTES`] from the block's start, or one of the last bytes of
    /// a block that is not.
    InOrder,
}

/// Bytes that one instruction of a store in order stores.
pub const TEAR_UNIT_BYTES: usize = 8;

/// What the journal knows of the plaintext of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedBlocks<'a> {
    /// The key that the fingerprints were made with.
    pub key: &'a FingerprintKey,
    /// The sequence of the job that made them.
    pub job_sequence: u64,
    /// Number, in the file, of the chunk's first block.
    pub first_block: u64,
    /// One for each block of the chunk.
    pub fingerprints: &'a [Fingerprint],
}

/// In which form the blocks of a rebuilt chunk were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Blocks wholly in the old form; also those that are the same in both.
    pub old_blocks: u32,
    /// Blocks wholly in the new form.
    pub new_blocks: u32,
    /// Blocks with parts of either form.
    pub mixed_blocks: u32,
}

/// Why a chunk could not be rebuilt. Block numbers count from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// No combination of old and new parts has the block's fingerprint: it was changed, or torn
    /// in another way.
    #[error("block {block} is neither old nor new nor a mix of both")]
    NoMatch {
        /// The first such block.
        block: u64,
    },
    /// Different plaintexts have the block's fingerprint, so none of them can be trusted.
    #[error("block {block} can be read in more than one way")]
    Ambiguous {
        /// The first such block.
        block: u64,
    },
    /// The journal has more or fewer fingerprints than the chunk has blocks.
    #[error("{given} fingerprints given for {blocks} blocks")]
    FingerprintCount {
        /// Blocks in the chunk.
        blocks: usize,
        /// Fingerprints given.
        given: usize,
    },
}

/// Turns a chunk, found in any mix of its two forms, into its plaintext.
///
/// `buf` holds the whole chunk and must be a private copy. It may be empty, and of any length.
///
/// A block is read as all-old, then as all-new, then in every combination of its sectors. A reading
/// that is confirmed ends this, except that all-new is compared with a confirmed all-old where it
/// costs nothing, and that all combinations are gone through. With [`Torn::InOrder`], a block that no combination
/// explains is read as torn at each place.
///
/// It can be slow with AEGIS, where reading 32 sealed bytes takes an encryption of all plaintext before
/// them in the chunk, so the time grows with the square of the chunk. On one core of Zen 4 (optimized
/// build), from plain to sealed:
///
/// | blocks found | 64 KiB | 1 MiB |
/// |---|---|---|
/// | all old | 0.02 ms | 0.2 ms |
/// | all new | 3.3 ms | 0.8 s |
/// | one mixed, the others old | at most 13 ms | at most 0.3 s |
/// | all mixed | 110 ms | 28 s |
///
/// A block torn in order costs 0.2 s more in a chunk of 64 KiB, and 3 s in one of 1 MiB, if the old form is sealed by AEGIS, and next to
/// nothing else; a store that goes in order leaves one such block for each of its threads.
///
/// If the old form is sealed, all-old blocks take what all-new ones take here; if both are, all-new and
/// mixed ones take twice as much. The other suites take about 0.1 ms for each mixed block.
///
/// # Errors
/// [`RebuildError::NoMatch`] and [`RebuildError::Ambiguous`] name the first block that could not be
/// decided; [`RebuildError::FingerprintCount`] if there is not one fingerprint for each block. In each
/// case `buf` is all zero afterwards.
///
/// # Panics
/// If a form is sealed and `buf` is longer than [`MAX_CHUNK_BYTES`](crate::MAX_CHUNK_BYTES).
pub fn rebuild_chunk(
    buf: &mut [u8],
    old: &Form<'_>,
    new: &Form<'_>,
    torn: Torn,
    expected: &ExpectedBlocks<'_>,
) -> Result<Rebuilt, RebuildError> {
    let rebuilt = rebuild_blocks(buf, old, new, torn, expected);
    if rebuilt.is_err() {
        buf.zeroize();
    }
    rebuilt
}

fn rebuild_blocks(
    buf: &mut [u8],
    old: &Form<'_>,
    new: &Form<'_>,
    torn: Torn,
    expected: &ExpectedBlocks<'_>,
) -> Result<Rebuilt, RebuildError> {
    let blocks = block_count(buf.len());
    if expected.fingerprints.len() != blocks {
        return Err(RebuildError::FingerprintCount { blocks, given: expected.fingerprints.len() });
    }
    let mut readers = Readers::new(old, new, buf.len());
    let mut rebuilt = Rebuilt::default();
    // Readings are made in `buf`, behind the plaintext of the blocks before.
    let mut found = Zeroizing::new([0; BLOCK_BYTES]);
    let numbered = (expected.first_block..).zip(expected.fingerprints);
    for (i, (number, fingerprint)) in numbered.enumerate() {
        let offset_bytes = i * BLOCK_BYTES;
        let end = (offset_bytes + BLOCK_BYTES).min(buf.len());
        let stored = &mut found[..end - offset_bytes];
        stored.copy_from_slice(&buf[offset_bytes..end]);
        let search = BlockSearch {
            stored,
            offset_bytes,
            number,
            torn,
            confirms: &|plaintext| {
                let (key, sequence) = (expected.key, expected.job_sequence);
                key.verify_block(sequence, number, plaintext, fingerprint)
            },
        };
        *match search.run(&mut readers, &mut buf[..end])? {
            Shape::Old => &mut rebuilt.old_blocks,
            Shape::New => &mut rebuilt.new_blocks,
            Shape::Mixed => &mut rebuilt.mixed_blocks,
        } += 1;
    }
    Ok(rebuilt)
}
