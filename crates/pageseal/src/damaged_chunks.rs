//! Which chunks are damaged, as ranges: all of them are named, in bounded memory.

use std::fmt;

use pageseal_format::Geometry;

use crate::error::Damage;

/// Ranges that are kept, with 32 bytes each. Damage that is in more pieces is counted on, and said not to be named.
const RANGES_KEPT: usize = 65_536;
/// Ranges that a message names. The rest is in [`Damage::Chunks`].
const RANGES_SHOWN: usize = 16;

/// Damaged chunks that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedRange {
    /// Index of the first chunk.
    pub first_chunk: u64,
    /// How many chunks.
    pub chunks: u64,
    /// Offset of the first one in bytes.
    pub offset: u64,
    /// Length of them all in bytes.
    pub len_bytes: u64,
}

impl fmt::Display for DamagedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DamagedRange { first_chunk, chunks, offset, len_bytes } = self;
        match chunks {
            1 => write!(f, "chunk {first_chunk}")?,
            _ => write!(f, "chunks {first_chunk} to {}", first_chunk + chunks - 1)?,
        }
        write!(f, " ({len_bytes} bytes at offset {offset})")
    }
}

/// The ranges as a message names them.
pub(crate) fn shown_ranges(ranges: &[DamagedRange], left_out: u64) -> String {
    let mut text: Vec<String> = ranges.iter().take(RANGES_SHOWN).map(ToString::to_string).collect();
    let more = ranges.len().saturating_sub(RANGES_SHOWN) as u64 + left_out;
    if more > 0 {
        text.push(format!("and {more} more ranges"));
    }
    text.join(", ")
}

/// Collects damaged chunks in ascending order.
#[derive(Default)]
pub(crate) struct DamagedChunks {
    count: u64,
    ranges: Vec<(u64, u64)>,
    ranges_left_out: u64,
    last: Option<u64>,
}

impl DamagedChunks {
    pub(crate) fn add(&mut self, chunks: &[u64]) {
        for &chunk in chunks {
            let follows = self.last.is_some_and(|last| last + 1 == chunk);
            self.last = Some(chunk);
            self.count += 1;
            if self.ranges_left_out == 0
                && follows
                && let Some((_, count)) = self.ranges.last_mut()
            {
                *count += 1;
            } else if !follows && self.ranges.len() < RANGES_KEPT {
                self.ranges.push((chunk, 1));
            } else if !follows {
                self.ranges_left_out += 1;
            }
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn into_damage(self, geometry: &Geometry) -> Option<Damage> {
        let range = |&(first_chunk, chunks): &(u64, u64)| {
            let (offset, len_bytes) = geometry.bytes_of_chunks(first_chunk, chunks);
            DamagedRange { first_chunk, chunks, offset, len_bytes }
        };
        let (&(chunk, _), count) = (self.ranges.first()?, self.count);
        Some(match count {
            1 => Damage::Chunk { chunk, offset: geometry.chunk_offset(chunk) },
            _ => Damage::Chunks {
                count,
                ranges: self.ranges.iter().map(range).collect(),
                ranges_left_out: self.ranges_left_out,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use pageseal_format::Limits;

    use super::*;

    fn damage_of(chunks: impl IntoIterator<Item = u64>) -> Option<Damage> {
        let geometry = Geometry::new((1 << 40) + 5, 16, &Limits::PRODUCTION).unwrap();
        let mut found = DamagedChunks::default();
        // In the batches of somebody who reads piece by piece, a range can go over a border.
        chunks.into_iter().for_each(|chunk| found.add(&[chunk]));
        found.into_damage(&geometry)
    }

    #[test]
    fn neighbours_are_one_range() {
        assert_eq!(damage_of([]), None);
        assert_eq!(damage_of([7]), Some(Damage::Chunk { chunk: 7, offset: 7 << 16 }));
        let damage = damage_of([2, 5, 6, 1 << 24]).unwrap();
        assert_eq!(
            damage.to_string(),
            "4 chunks are damaged or were tampered with: chunk 2 (65536 bytes at offset 131072), \
             chunks 5 to 6 (131072 bytes at offset 327680), chunk 16777216 (5 bytes at offset 1099511627776)"
        );
    }

    #[test]
    fn a_message_names_some_ranges_and_counts_the_rest() {
        let text = damage_of((0..40).map(|index| 2 * index)).unwrap().to_string();
        assert!(text.ends_with("chunk 30 (65536 bytes at offset 1966080), and 24 more ranges"), "{text}");
    }

    #[test]
    fn memory_is_bounded_and_what_is_left_out_is_told() {
        let alternating = (0..RANGES_KEPT as u64 + 10).map(|index| 2 * index);
        // One that follows the last of those that are left out belongs to none of those that are kept.
        let last = 2 * (RANGES_KEPT as u64 + 9) + 1;
        let Some(Damage::Chunks { count, ranges, ranges_left_out }) = damage_of(alternating.chain([last]))
        else {
            panic!("several chunks");
        };
        assert_eq!((count, ranges_left_out), (RANGES_KEPT as u64 + 11, 10));
        assert_eq!(ranges.len(), RANGES_KEPT);
        assert!(ranges.iter().all(|range| range.chunks == 1));
    }
}
