//! Where everything lies in a sealed file of a given length and chunk size.

use crate::FormatError;
use crate::limits::{
    BLOCK, HIGHEST_CHUNK_LOG2, LOWEST_CHUNK_LOG2, Limits, MAX_DATA_LEN, SLOT_AREA_LEN, SUPERBLOCK_LEN,
    TABLE_DISTANCE, TABLE_ENTRY_LEN,
};

/// The layout of one sealed file. All offsets and lengths are in bytes unless a name says otherwise.
///
/// It remembers the limits it was made under, so that what is encoded from it can be parsed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    data_len: u64,
    chunk_log2: u8,
    limits: Limits,
}

impl Geometry {
    /// The layout of `data_len` bytes in chunks of 2^`chunk_log2`.
    ///
    /// # Errors
    /// [`FormatError::Field`] if either is outside of `limits`.
    pub fn new(data_len: u64, chunk_log2: u8, limits: &Limits) -> Result<Self, FormatError> {
        let in_limits = (limits.min_chunk_log2..=limits.max_chunk_log2).contains(&chunk_log2);
        let possible = (LOWEST_CHUNK_LOG2..=HIGHEST_CHUNK_LOG2).contains(&chunk_log2);
        if !(in_limits && possible) {
            return Err(FormatError::field("chunk_log2", chunk_log2));
        }
        if data_len > MAX_DATA_LEN {
            return Err(FormatError::field("L", data_len));
        }
        Ok(Self { data_len, chunk_log2, limits: *limits })
    }

    /// Length of the plaintext, `L`.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// Logarithm of the chunk size.
    #[must_use]
    pub fn chunk_log2(&self) -> u8 {
        self.chunk_log2
    }

    /// The limits that this layout was checked against.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Length of every chunk but the last.
    #[must_use]
    pub fn chunk_len_bytes(&self) -> u64 {
        1 << self.chunk_log2
    }

    /// Number of chunks, at least 1.
    #[must_use]
    pub fn chunk_count(&self) -> u64 {
        chunks_in(self.data_len, self.chunk_log2)
    }

    /// Where chunk `i` begins.
    ///
    /// # Panics
    /// If there is no chunk `i`: an offset beyond the data would lead to the trailer.
    #[must_use]
    pub fn chunk_offset(&self, i: u64) -> u64 {
        assert!(i < self.chunk_count(), "chunk {i} does not exist");
        i << self.chunk_log2
    }

    /// Length of the plaintext of chunk `i`, which is that of its ciphertext too.
    ///
    /// # Panics
    /// If there is no chunk `i`.
    #[must_use]
    pub fn chunk_len(&self, i: u64) -> u64 {
        (self.data_len - self.chunk_offset(i)).min(self.chunk_len_bytes())
    }

    /// Whether chunk `i` is the last one.
    #[must_use]
    pub fn is_final(&self, i: u64) -> bool {
        i == self.chunk_count() - 1
    }

    /// Where the trailer begins, `T0`: the end of the data, rounded up to a block.
    #[must_use]
    pub fn trailer_offset(&self) -> u64 {
        self.data_len.next_multiple_of(BLOCK)
    }

    /// Where copy A of the superblock lies.
    #[must_use]
    pub fn superblock_a_offset(&self) -> u64 {
        self.trailer_offset()
    }

    /// Where a slot area lies: `copy` 0 is the first, 1 the second.
    ///
    /// # Panics
    /// If `copy` is neither.
    #[must_use]
    pub fn slot_area_offset(&self, copy: usize) -> u64 {
        assert!(copy < 2, "there are two slot areas");
        self.trailer_offset() + (SUPERBLOCK_LEN + copy * SLOT_AREA_LEN) as u64
    }

    /// Where the chunk table begins.
    #[must_use]
    pub fn table_offset(&self) -> u64 {
        self.trailer_offset() + TABLE_DISTANCE
    }

    /// Length of the chunk table with its padding, `TL`.
    #[must_use]
    pub fn table_len(&self) -> u64 {
        table_len_of(self.chunk_count())
    }

    /// Where the entry of chunk `i` lies.
    ///
    /// # Panics
    /// If there is no chunk `i`.
    #[must_use]
    pub fn table_entry_offset(&self, i: u64) -> u64 {
        assert!(i < self.chunk_count(), "chunk {i} does not exist");
        self.table_offset() + i * TABLE_ENTRY_LEN as u64
    }

    /// Where copy B of the superblock lies.
    #[must_use]
    pub fn superblock_b_offset(&self) -> u64 {
        self.table_offset() + self.table_len()
    }

    /// Length of the sealed file, `E`.
    #[must_use]
    pub fn sealed_len(&self) -> u64 {
        self.superblock_b_offset() + SUPERBLOCK_LEN as u64
    }

    /// The bytes of `count` chunks from chunk `first` on, as (offset, length).
    ///
    /// # Panics
    /// If not all of these chunks exist.
    #[must_use]
    pub fn bytes_of_chunks(&self, first: u64, count: u64) -> (u64, u64) {
        let n = self.chunk_count();
        assert!(first <= n && count <= n - first, "chunks {first}+{count} of {n} do not exist");
        let start = (first << self.chunk_log2).min(self.data_len);
        let end = ((first + count) << self.chunk_log2).min(self.data_len);
        (start, end - start)
    }

    /// The blocks that `count` chunks from chunk `first` on cover, as (first block, number of blocks).
    ///
    /// # Panics
    /// If not all of these chunks exist.
    #[must_use]
    pub fn blocks_of_chunks(&self, first: u64, count: u64) -> (u64, u64) {
        let (_, len) = self.bytes_of_chunks(first, count);
        ((first << self.chunk_log2) / BLOCK, len.div_ceil(BLOCK))
    }
}

/// Where copy A of the superblock would lie in a sealed file of `file_len` bytes, for each chunk size that
/// `limits` allows: pairs of `chunk_log2` and offset. At most one offset fits each chunk size; different
/// sizes often agree.
#[must_use]
pub fn trailer_candidates(file_len: u64, limits: &Limits) -> Vec<(u8, u64)> {
    limits.chunk_log2s().filter_map(|log2| Some((log2, trailer_offset_in(file_len, log2)?))).collect()
}

/// Solves `file_len = T0 + 53248 + TL(T0) + 4096`. The right side grows strictly with `T0`, so a binary
/// search over the block number of `T0` finds the only solution.
fn trailer_offset_in(file_len: u64, chunk_log2: u8) -> Option<u64> {
    let rest = file_len.checked_sub(TABLE_DISTANCE + SUPERBLOCK_LEN as u64)?;
    if !rest.is_multiple_of(BLOCK) {
        return None;
    }
    let (mut low, mut high) = (0, rest.min(MAX_DATA_LEN) / BLOCK);
    while low <= high {
        let middle = low + (high - low) / 2;
        let t0 = middle * BLOCK;
        match (t0 + table_len_of(chunks_in(t0, chunk_log2))).cmp(&rest) {
            std::cmp::Ordering::Equal => return Some(t0),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle.checked_sub(1)?,
        }
    }
    None
}

fn chunks_in(data_len: u64, chunk_log2: u8) -> u64 {
    data_len.div_ceil(1 << chunk_log2).max(1)
}

fn table_len_of(chunk_count: u64) -> u64 {
    (chunk_count * TABLE_ENTRY_LEN as u64).next_multiple_of(BLOCK)
}
