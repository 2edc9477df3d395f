//! The numbers of `docs/FORMAT.md`, named, and checked against each other at compile time.

/// Unit of alignment of all metadata, and of one fingerprint, in bytes.
pub const BLOCK: u64 = 4096;
/// [`BLOCK`] as a length in memory.
pub const BLOCK_LEN: usize = 4096;
/// What a disk writes atomically, in bytes.
pub const SECTOR: u64 = 512;
/// The format version that this crate writes.
pub const VERSION: u16 = 1;
/// Length of a superblock in bytes.
pub const SUPERBLOCK_LEN: usize = 4096;
/// Length of a slot area in bytes.
pub const SLOT_AREA_LEN: usize = 24576;
/// Where slot records begin in their area.
pub const SLOT_RECORDS_OFFSET: usize = 64;
/// Key slots that one area may have.
pub const MAX_SLOTS: usize = 32;
/// Bytes of a slot's label.
pub const MAX_LABEL_LEN: usize = 64;
/// Bytes of a slot's sealed info, at least (nonce and tag), unless there is none.
pub const MIN_SEALED_INFO_LEN: usize = 40;
/// Bytes of a slot's sealed info, at most.
pub const MAX_SEALED_INFO_LEN: usize = 1024;
/// Bytes of a slot's age file, at most.
pub const MAX_AGE_FILE_LEN: usize = 16384;
/// Length of an entry of the chunk table in bytes.
pub const TABLE_ENTRY_LEN: usize = 64;
/// Longest plaintext in bytes.
pub const MAX_DATA_LEN: u64 = 1 << 60;
/// MAC and checksum that end every structure, in bytes.
pub const TAIL_LEN: usize = MAC_LEN + CHECKSUM_LEN;
/// HMAC-SHA-256, in bytes.
pub const MAC_LEN: usize = 32;
/// SHA-256, in bytes.
pub const CHECKSUM_LEN: usize = 32;
/// Lowest suite.
pub const MIN_SUITE: u8 = 1;
/// Highest suite.
pub const MAX_SUITE: u8 = 3;

/// No limits may go below: a chunk of less than a block would share its block with another.
pub const LOWEST_CHUNK_LOG2: u8 = 12;
/// No limits may go above.
pub const HIGHEST_CHUNK_LOG2: u8 = 20;

/// From the end of the data (rounded up) to the chunk table: superblock A and both slot areas.
pub(crate) const TABLE_DISTANCE: u64 = SUPERBLOCK_LEN as u64 + 2 * SLOT_AREA_LEN as u64;

const _: () = {
    assert!(BLOCK == BLOCK_LEN as u64);
    assert!(BLOCK.is_multiple_of(SECTOR));
    assert!(SUPERBLOCK_LEN as u64 == BLOCK);
    assert!((SLOT_AREA_LEN as u64).is_multiple_of(BLOCK));
    assert!(TABLE_DISTANCE == 53248);
    assert!(BLOCK_LEN.is_multiple_of(TABLE_ENTRY_LEN));
    assert!(1 << LOWEST_CHUNK_LOG2 == BLOCK);
    assert!(Limits::PRODUCTION.min_chunk_log2 == 16 && Limits::PRODUCTION.max_chunk_log2 == 20);
    assert!(Limits::TEST.min_chunk_log2 >= LOWEST_CHUNK_LOG2);
    // The longest sealed file, with the smallest chunks, has offsets that fit.
    assert!(MAX_DATA_LEN + (MAX_DATA_LEN >> LOWEST_CHUNK_LOG2) * 64 < 1 << 61);
};

/// What a reader accepts. Files in the wild are read with [`Limits::PRODUCTION`] and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Smallest chunk, as the logarithm of its bytes.
    pub min_chunk_log2: u8,
    /// Largest chunk, as the logarithm of its bytes.
    pub max_chunk_log2: u8,
    /// A window is a multiple of this many chunks.
    pub window_chunk_multiple: u64,
}

impl Limits {
    /// The limits of format version 1.
    pub const PRODUCTION: Self = Self { min_chunk_log2: 16, max_chunk_log2: 20, window_chunk_multiple: 64 };

    /// Small chunks and windows, so that a simulation of many windows runs through the same code fast.
    pub const TEST: Self = Self { min_chunk_log2: 12, max_chunk_log2: 20, window_chunk_multiple: 1 };

    /// Every chunk size that these limits allow, as logarithms, smallest first.
    pub fn chunk_log2s(&self) -> impl Iterator<Item = u8> + use<> {
        self.min_chunk_log2.max(LOWEST_CHUNK_LOG2)..=self.max_chunk_log2.min(HIGHEST_CHUNK_LOG2)
    }
}
