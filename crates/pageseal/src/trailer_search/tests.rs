//! Sealed files of any size, whose bytes are made when they are read.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use pageseal_format::{FileState, Geometry};

use super::*;

const GIB: u64 = 1 << 30;
/// Blocks that may be read beside the end.
const FEW_BYTES: u64 = 1 << 20;

/// The first `len` bytes of a sealed file, or more: zeros behind its end.
#[derive(Debug)]
struct Made {
    geometry: Geometry,
    superblock: Vec<u8>,
    len: u64,
    /// Entries from here on are zeros.
    sealed_chunks: u64,
    /// Whether what lies behind the end is a hole.
    hole: bool,
    read_bytes: AtomicU64,
}

impl Made {
    fn new(data_len: u64, chunk_log2: u8) -> Self {
        let geometry = Geometry::new(data_len, chunk_log2, &Limits::PRODUCTION).unwrap();
        let superblock = Superblock {
            suite: 1,
            geometry,
            state: FileState::Sealed,
            file_id: [7; 16],
            job_sequence: 1,
            job_id: [8; 16],
            commitment: [9; 32],
            compat: 0,
            ro_compat: 0,
            incompat: 0,
        };
        Made {
            geometry,
            superblock: superblock.encode(|_| [3; 32]).to_vec(),
            len: geometry.sealed_len(),
            sealed_chunks: u64::MAX,
            hole: true,
            read_bytes: AtomicU64::new(0),
        }
    }

    fn damage(&self) -> Option<Damage> {
        search(self, self.len, &Limits::PRODUCTION).unwrap().map(|(_, damage)| damage)
    }

    fn fill_block(&self, block: &mut [u8], offset: u64) {
        let geometry = &self.geometry;
        let noise = |salt: u64| (offset ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) | 1;
        if offset >= geometry.sealed_len() {
            block.fill(0);
        } else if offset == geometry.superblock_a_offset() || offset == geometry.superblock_b_offset() {
            block.copy_from_slice(&self.superblock);
        } else if offset >= geometry.table_offset() {
            block.fill(0);
            let first = (offset - geometry.table_offset()) / TABLE_ENTRY_LEN as u64;
            let sealed = geometry.chunk_count().min(self.sealed_chunks);
            for (chunk, entry) in (first..sealed).zip(block.as_chunks_mut::<TABLE_ENTRY_LEN>().0) {
                entry[..8].copy_from_slice(&noise(chunk).to_le_bytes());
                entry[24..32].copy_from_slice(&noise(!chunk).to_le_bytes());
            }
        } else if offset >= geometry.trailer_offset() {
            // Mostly zeros, and a checksum at the end of the area.
            block.fill(0);
            let in_area = (offset + BLOCK - geometry.slot_area_offset(0)) % SLOT_AREA_LEN as u64;
            if in_area == 0 {
                block[BLOCK_LEN - 8..].copy_from_slice(&noise(1).to_le_bytes());
            }
        } else {
            for (index, word) in block.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                *word = noise(index as u64 | 1 << 50).to_le_bytes();
            }
        }
    }
}

impl Storage for Made {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        assert!(offset.is_multiple_of(BLOCK) && buffer.len().is_multiple_of(BLOCK_LEN));
        assert!(offset + buffer.len() as u64 <= self.len, "beyond the end");
        self.read_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        for (index, block) in buffer.chunks_exact_mut(BLOCK_LEN).enumerate() {
            self.fill_block(block, offset + index as u64 * BLOCK);
        }
        Ok(())
    }

    fn next_hole(&self, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
        let start = offset.max(self.geometry.sealed_len());
        Ok((self.hole && start < end).then_some(start..end))
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn sync_data(&self) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn sync_all(&self) -> io::Result<()> {
        unreachable!("nothing is written")
    }

    fn punch_hole(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }
}

/// (length of the plaintext, logarithm of the chunk size)
const LARGE: [(u64, u8); 5] =
    [(GIB, 16), (200 * GIB + 4097, 16), (2048 * GIB + 1, 16), (10_000 * GIB, 20), (1 << 59, 18)];

#[test]
fn a_large_file_that_was_cut_anywhere_in_its_trailer_is_found() {
    for (data_len, chunk_log2) in LARGE {
        let mut file = Made::new(data_len, chunk_log2);
        let (start, end) = (file.geometry.trailer_offset(), file.geometry.sealed_len());
        let table_len = file.geometry.table_len();
        let cuts = [1, 4095, 4096, 4097, 8192, 8193, 65536, table_len / 3, table_len / 2 + 77, table_len];
        for cut in cuts.into_iter().chain([end - start - 4096]) {
            file.len = end - cut;
            file.read_bytes.store(0, Ordering::Relaxed);
            let case = format!("{data_len} bytes, chunks of 2^{chunk_log2}, {cut} cut off");
            assert_eq!(file.damage(), Some(Damage::Truncated { missing_bytes: cut }), "{case}");
            let read = file.read_bytes.load(Ordering::Relaxed);
            assert!(read <= SEARCH_LEN_BYTES + FEW_BYTES, "{case}: {read} bytes were read");
        }
    }
}

#[test]
fn one_in_the_middle_of_a_job_too_as_far_as_its_table_has_entries() {
    let mut file = Made::new(2048 * GIB, 16);
    let end = file.geometry.sealed_len();
    file.sealed_chunks = file.geometry.chunk_count() / 2;
    for cut in [1, file.geometry.table_len() / 4, file.geometry.table_len() * 3 / 4] {
        file.len = end - cut;
        assert_eq!(file.damage(), Some(Damage::Truncated { missing_bytes: cut }), "{cut}");
    }
}

#[test]
fn one_that_grew_is_found_behind_a_hole_of_any_length() {
    for (data_len, chunk_log2) in LARGE {
        let mut file = Made::new(data_len, chunk_log2);
        let trailer_end = file.geometry.sealed_len();
        for (grown, hole) in [(1, false), (4096, false), (100 << 20, false), (4096 * GIB + 5, true)] {
            file.len = trailer_end + grown;
            file.hole = hole;
            let expected = Damage::ForeignBytes { trailer_end, foreign_bytes: grown };
            assert_eq!(file.damage(), Some(expected), "{data_len} bytes and {grown} more");
        }
    }
}

#[test]
fn of_a_plain_file_little_more_than_the_end_is_read() {
    for (data_len, chunk_log2) in LARGE {
        let mut file = Made::new(data_len, chunk_log2);
        // Only the ciphertext, which nothing tells from content.
        file.len = data_len;
        assert_eq!(file.damage(), None);
        let read = file.read_bytes.load(Ordering::Relaxed);
        assert!(read <= SEARCH_LEN_BYTES + FEW_BYTES, "{read} bytes were read");
    }
}
