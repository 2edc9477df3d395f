//! Looking for a superblock that is not where it should be, to tell a sealed file that was cut or that grew from a plain one.
//!
//! Of a file that grew, both copies are whole and the second lies before what was added. Of one that was cut, the first may be far
//! from the end: behind it lies the chunk table, up to a thousandth of the file. So the end is looked through, then the places are
//! tried that follow from the length, and last the beginning of a table that the file ends in is found by halving, which takes a
//! few dozen blocks of a file of any length.

use std::io;

use pageseal_format::limits::{BLOCK, BLOCK_LEN, SLOT_AREA_LEN, SUPERBLOCK_LEN, TABLE_ENTRY_LEN};
use pageseal_format::{Limits, Superblock, TableEntry, trailer_candidates};
use pageseal_storage::Storage;

use crate::error::Damage;

/// How much before the end is looked through, and before the end of what is no hole.
const SEARCH_LEN_BYTES: u64 = 128 << 20;
const SEARCH_STEP_BYTES: u64 = 1 << 20;
pub(crate) const MAGIC: &[u8; 8] = b"PAGESEAL";

/// Superblock A and both slot areas, which lie before the table.
const BEFORE_TABLE_BYTES: u64 = (SUPERBLOCK_LEN + 2 * SLOT_AREA_LEN) as u64;

/// A superblock, and what is wrong with the file that has it where it was found.
type Found = Option<(Superblock, Damage)>;

/// Where reading failed, and why.
type ReadError = (u64, io::Error);

/// Looks for a superblock of this very file, which has `len` bytes and does not end with one.
pub(crate) fn search(data: &dyn Storage, len: u64, limits: &Limits) -> Result<Found, ReadError> {
    let file = File { data, len, limits };
    let found = file.look_through(len.saturating_sub(SEARCH_LEN_BYTES), len)?;
    if found.is_some() {
        return Ok(found);
    }
    let data_end = file.data_end()?;
    if data_end < len.saturating_sub(SEARCH_LEN_BYTES) {
        let found = file.look_through(data_end.saturating_sub(SEARCH_LEN_BYTES), data_end)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    match file.cut_by_little()? {
        None => file.cut_in_table(),
        found => Ok(found),
    }
}

struct File<'a> {
    data: &'a dyn Storage,
    len: u64,
    limits: &'a Limits,
}

impl File<'_> {
    /// Looks at every block that begins in the range, from its end on.
    fn look_through(&self, start: u64, end: u64) -> Result<Found, ReadError> {
        let floor = start / BLOCK * BLOCK;
        let mut piece = vec![0; SEARCH_STEP_BYTES as usize];
        let mut end = end.min(self.len) / BLOCK * BLOCK;
        while end > floor {
            let start = end.saturating_sub(SEARCH_STEP_BYTES).max(floor);
            let bytes = &mut piece[..(end - start) as usize];
            self.read(bytes, start)?;
            for (index, block) in bytes.chunks_exact(BLOCK_LEN).enumerate().rev() {
                let found = self.superblock_in(block, start + index as u64 * BLOCK);
                if found.is_some() {
                    return Ok(found);
                }
            }
            end = start;
        }
        Ok(None)
    }

    /// The superblock that a block holds, if it is this file's own and not, for example, that of a sealed file inside an archive.
    fn superblock_in(&self, block: &[u8], offset: u64) -> Found {
        if !block.starts_with(MAGIC) {
            return None;
        }
        let superblock = Superblock::parse(block, self.limits).ok()?;
        let geometry = &superblock.geometry;
        if offset != geometry.superblock_a_offset() && offset != geometry.superblock_b_offset() {
            return None;
        }
        let trailer_end = geometry.sealed_len();
        let damage = if trailer_end > self.len {
            Damage::Truncated { missing_bytes: trailer_end - self.len }
        } else {
            Damage::ForeignBytes { trailer_end, foreign_bytes: self.len - trailer_end }
        };
        Some((superblock, damage))
    }

    /// The end of the last bytes that are no hole, to a block: what `truncate` added is one.
    fn data_end(&self) -> Result<u64, ReadError> {
        let (mut low, mut high) = (0, self.len / BLOCK);
        while low < high {
            let middle = low + (high - low) / 2;
            let offset = middle * BLOCK;
            let hole = self.data.next_hole(offset, self.len).map_err(|error| (offset, error))?;
            if hole == Some(offset..self.len) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok((low * BLOCK).min(self.len))
    }

    /// Copy A of a file that lost at most the last block, or a part of it: the length leads to it, whatever became of the table.
    fn cut_by_little(&self) -> Result<Found, ReadError> {
        let whole = self.len.next_multiple_of(BLOCK);
        for sealed_len in [whole, whole + BLOCK] {
            for (_, offset) in trailer_candidates(sealed_len, self.limits) {
                if offset + BLOCK > self.len {
                    continue;
                }
                let found = self.superblock_in(&self.block(offset)?, offset);
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Copy A of a file that ends in its table. No table that reaches to the end begins before the floor.
    fn cut_in_table(&self) -> Result<Found, ReadError> {
        let longest_table = (self.len >> self.limits.min_chunk_log2) * TABLE_ENTRY_LEN as u64 + 4 * BLOCK;
        let floor = self.len.saturating_sub(longest_table) / BLOCK;
        // Entries of zeros are those of chunks that a job has not sealed yet. But so are zeros of any kind.
        for zeros_count in [false, true] {
            let (mut outside, mut inside) = (floor, (self.len / BLOCK).saturating_sub(1));
            if inside <= outside || !self.is_table(inside, zeros_count)? {
                continue;
            }
            while inside - outside > 1 {
                let middle = outside + (inside - outside) / 2;
                match self.is_table(middle, zeros_count)? {
                    true => inside = middle,
                    false => outside = middle,
                }
            }
            // Empty blocks of the slot areas look like those of a table, too.
            let offset = inside * BLOCK;
            let found = self.look_through(offset.saturating_sub(BEFORE_TABLE_BYTES), offset + BLOCK)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether a block could be one of a chunk table.
    fn is_table(&self, index: u64, zeros_count: bool) -> Result<bool, ReadError> {
        let block = self.block(index * BLOCK)?;
        let (entries, _) = block.as_chunks::<TABLE_ENTRY_LEN>();
        Ok(entries.iter().all(|entry| TableEntry::parse(entry).is_ok())
            && (zeros_count || block.iter().any(|byte| *byte != 0)))
    }

    fn block(&self, offset: u64) -> Result<Vec<u8>, ReadError> {
        let mut block = vec![0; BLOCK_LEN];
        self.read(&mut block, offset)?;
        Ok(block)
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.data.read_exact_at(bytes, offset).map_err(|error| (offset, error))
    }
}

#[cfg(test)]
mod tests;
