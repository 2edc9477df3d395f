//! The search behind [`rebuild_chunk`](crate::rebuild_chunk): which sectors of one block are old and
//! which are new.
//!
//! All-old is tried first, then all-new. Only if neither fits, each sector is tried as either, depth
//! first, so that the sectors behind each different beginning are read once. This matters for AEGIS,
//! where each unit costs a restart from byte 0 (see `aegis_recovery`); all else is cheap.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::aegis_recovery::UNIT_BYTES;
use crate::chunk::RecoveryStream;
use crate::fingerprint::BLOCK_BYTES;
use crate::rebuild::{Form, RebuildError, SECTOR_BYTES, Torn};
use crate::tear_search::find_tear;

// Whatever comes before a sector is whole units.
const _: () = assert!(SECTOR_BYTES.is_multiple_of(UNIT_BYTES));
const _: () = assert!(BLOCK_BYTES.is_multiple_of(SECTOR_BYTES));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// In which form the sectors of a block were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Old,
    New,
    Mixed,
}

/// Reads one form of the chunk.
pub(crate) enum Reader<'a> {
    Plain,
    Sealed(RecoveryStream<'a>),
}

impl<'a> Reader<'a> {
    fn new(form: &Form<'a>, chunk_bytes: usize) -> Self {
        match form {
            Form::Plain => Reader::Plain,
            Form::Sealed { cipher, meta } => Reader::Sealed(cipher.recovery_stream(meta, chunk_bytes)),
        }
    }

    /// Reads the bytes at `start` of the chunk, which are `stored`, as if they had this form. `chunk`
    /// holds the plaintext before them and takes theirs.
    pub(crate) fn read(&mut self, chunk: &mut [u8], start: usize, stored: &[u8]) {
        let range = start..start + stored.len();
        match self {
            Reader::Plain => chunk[range].copy_from_slice(stored),
            Reader::Sealed(RecoveryStream::Keystream(keystream)) => {
                let masked = stored.iter().zip(&keystream[range.clone()]);
                for (byte, (stored, mask)) in chunk[range].iter_mut().zip(masked) {
                    *byte = stored ^ mask;
                }
            }
            Reader::Sealed(RecoveryStream::Aegis(recovery)) => recovery.read(chunk, start, stored),
        }
    }

    fn is_cheap(&self) -> bool {
        !matches!(self, Reader::Sealed(RecoveryStream::Aegis(_)))
    }
}

/// Readers of both forms of a chunk.
pub(crate) struct Readers<'a> {
    pub(crate) old: Reader<'a>,
    new: Reader<'a>,
}

impl<'a> Readers<'a> {
    pub(crate) fn new(old: &Form<'a>, new: &Form<'a>, chunk_bytes: usize) -> Self {
        Self { old: Reader::new(old, chunk_bytes), new: Reader::new(new, chunk_bytes) }
    }

    fn of(&mut self, side: Side) -> &mut Reader<'a> {
        match side {
            Side::Old => &mut self.old,
            Side::New => &mut self.new,
        }
    }
}

/// The search for the one reading of a block's bytes that its fingerprint confirms.
pub(crate) struct BlockSearch<'a> {
    /// The block as found; not longer than a block.
    pub(crate) stored: &'a [u8],
    /// Where it begins in the chunk.
    pub(crate) offset_bytes: usize,
    /// Its number in the file, for errors.
    pub(crate) number: u64,
    /// Which mixtures there can be.
    pub(crate) torn: Torn,
    /// Whether a plaintext has the block's fingerprint.
    pub(crate) confirms: &'a dyn Fn(&[u8]) -> bool,
}

impl BlockSearch<'_> {
    /// `chunk` ends with the block and holds the plaintext of all blocks before it. On success it holds
    /// that of this block too; on failure, the block's bytes are of any reading.
    pub(crate) fn run(&self, readers: &mut Readers<'_>, chunk: &mut [u8]) -> Result<Shape, RebuildError> {
        let (old, old_confirmed) = self.read_whole(Side::Old, readers, chunk);
        // What a keyed MAC of 16 bytes confirms is right. Whether it confirms the other reading too is
        // asked where the answer is free, not at the price of a restart for each unit of the block.
        if old_confirmed && !readers.new.is_cheap() {
            return Ok(Shape::Old);
        }
        let (new, new_confirmed) = self.read_whole(Side::New, readers, chunk);
        match (old_confirmed, new_confirmed) {
            (true, true) if old != new => Err(self.ambiguous()),
            (true, _) => {
                chunk[self.offset_bytes..].copy_from_slice(&old);
                Ok(Shape::Old)
            }
            (false, true) => Ok(Shape::New),
            (false, false) => {
                self.find_mixed(readers, chunk, [old, new])?;
                Ok(Shape::Mixed)
            }
        }
    }

    /// The whole block read as one form, also left in `chunk`, and whether that is confirmed.
    fn read_whole(
        &self,
        side: Side,
        readers: &mut Readers<'_>,
        chunk: &mut [u8],
    ) -> (Zeroizing<Vec<u8>>, bool) {
        let reader = readers.of(side);
        reader.read(chunk, self.offset_bytes, self.stored);
        let plaintext = Zeroizing::new(chunk[self.offset_bytes..].to_vec());
        let confirmed = (self.confirms)(&plaintext);
        (plaintext, confirmed)
    }

    fn find_mixed(
        &self,
        readers: &mut Readers<'_>,
        chunk: &mut [u8],
        whole: [Zeroizing<Vec<u8>>; 2],
    ) -> Result<(), RebuildError> {
        let mut search = MixedSearch { block: self, readers, chunk, whole, found: None };
        search.try_sectors(0)?;
        let MixedSearch { found, whole: [_, new], .. } = search;
        let found = match (found, self.torn) {
            (None, Torn::InOrder) => find_tear(self, readers, chunk, &new)?,
            (found, _) => found,
        };
        let found = found.ok_or(RebuildError::NoMatch { block: self.number })?;
        chunk[self.offset_bytes..].copy_from_slice(&found);
        Ok(())
    }

    pub(crate) fn ambiguous(&self) -> RebuildError {
        RebuildError::Ambiguous { block: self.number }
    }
}

/// The walk through the sector combinations of one block.
struct MixedSearch<'a, 'b> {
    block: &'a BlockSearch<'a>,
    readers: &'a mut Readers<'b>,
    /// As in [`BlockSearch::run`]; the block's bytes are the reading that is being tried.
    chunk: &'a mut [u8],
    /// The block read as all-old and as all-new.
    whole: [Zeroizing<Vec<u8>>; 2],
    found: Option<Zeroizing<Vec<u8>>>,
}

impl MixedSearch<'_, '_> {
    /// Tries both readings of the sector at `start` of the block and all that follow from either: at
    /// most 2^8 ways through a block. It does not stop at the first match, so that a second one is
    /// noticed.
    fn try_sectors(&mut self, start: usize) -> Result<(), RebuildError> {
        let block_bytes = self.block.stored.len();
        if start >= block_bytes {
            return self.judge();
        }
        let sector = start..(start + SECTOR_BYTES).min(block_bytes);
        let mut first_reading = Zeroizing::new([0; SECTOR_BYTES]);
        let first_reading = &mut first_reading[..sector.len()];
        for side in [Side::Old, Side::New] {
            self.read_sector(side, sector.clone());
            let reading = &self.reading()[sector.clone()];
            match side {
                Side::Old => first_reading.copy_from_slice(reading),
                // The same bytes either way: everything after them was tried already.
                Side::New if first_reading == reading => continue,
                Side::New => {}
            }
            self.try_sectors(sector.end)?;
        }
        Ok(())
    }

    fn read_sector(&mut self, side: Side, sector: Range<usize>) {
        let whole = &self.whole[side as usize];
        let block = &mut self.chunk[self.block.offset_bytes..];
        if block[..sector.start] == whole[..sector.start] {
            // This sector was read behind the same beginning before.
            block[sector.clone()].copy_from_slice(&whole[sector]);
        } else {
            let start = self.block.offset_bytes + sector.start;
            let stored = &self.block.stored[sector];
            self.readers.of(side).read(self.chunk, start, stored);
        }
    }

    fn judge(&mut self) -> Result<(), RebuildError> {
        if !(self.block.confirms)(self.reading()) {
            return Ok(());
        }
        match &self.found {
            Some(earlier) if earlier.as_slice() != self.reading() => Err(self.block.ambiguous()),
            Some(_) => Ok(()),
            None => {
                self.found = Some(Zeroizing::new(self.reading().to_vec()));
                Ok(())
            }
        }
    }

    fn reading(&self) -> &[u8] {
        &self.chunk[self.block.offset_bytes..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{ChunkCipher, ChunkMeta};
    use crate::secret::Secret;
    use crate::suite::Suite;

    const SECTORS: usize = 3;

    /// Runs a search over stored zeros whose new form is sealed and whose old form is plain, so that
    /// every sector has two different readings; zeros are the old one.
    fn search(confirms: &dyn Fn(&[u8]) -> bool) -> Result<Shape, RebuildError> {
        search_in(Suite::XChaCha20Poly1305, confirms)
    }

    fn search_in(suite: Suite, confirms: &dyn Fn(&[u8]) -> bool) -> Result<Shape, RebuildError> {
        let key = Secret::from_bytes([1; 32]);
        let cipher = ChunkCipher::new(suite, &key, [2; 16]);
        let meta = ChunkMeta { index: 0, is_final: true, nonce: [3; 24], epoch: 0, flags: 0 };
        let new = Form::Sealed { cipher: &cipher, meta };
        let stored = [0; SECTORS * SECTOR_BYTES];
        let search =
            BlockSearch { stored: &stored, offset_bytes: 0, number: 77, torn: Torn::BySectors, confirms };
        let mut readers = Readers::new(&Form::Plain, &new, stored.len());
        search.run(&mut readers, &mut [0; SECTORS * SECTOR_BYTES])
    }

    fn new_sectors(plaintext: &[u8]) -> Vec<bool> {
        let sectors = plaintext.chunks(SECTOR_BYTES);
        sectors.map(|sector| sector.iter().any(|b| *b != 0)).collect()
    }

    #[test]
    fn old_and_new_both_confirmed_are_ambiguous() {
        let uniform = |plaintext: &[u8]| {
            let new = new_sectors(plaintext);
            new == [true; SECTORS] || new == [false; SECTORS]
        };
        assert_eq!(search(&uniform), Err(RebuildError::Ambiguous { block: 77 }));
    }

    #[test]
    fn a_confirmed_old_block_is_not_read_as_new_where_that_is_slow() {
        let readings = std::cell::Cell::new(0);
        let shape = search_in(Suite::Aegis256X2, &|_| {
            readings.set(readings.get() + 1);
            true
        });
        assert_eq!((shape, readings.get()), (Ok(Shape::Old), 1));
    }

    #[test]
    fn two_confirmed_mixtures_are_ambiguous() {
        let one_new = |plaintext: &[u8]| new_sectors(plaintext).iter().filter(|new| **new).count() == 1;
        assert_eq!(search(&one_new), Err(RebuildError::Ambiguous { block: 77 }));
    }

    #[test]
    fn the_only_confirmed_reading_is_found() {
        let mixes = 0..1usize << SECTORS;
        for (suite, mix) in
            Suite::ALL.into_iter().flat_map(|suite| mixes.clone().map(move |mix| (suite, mix)))
        {
            let wanted: Vec<bool> = (0..SECTORS).map(|i| mix >> i & 1 == 1).collect();
            let shape = match mix {
                0 => Shape::Old,
                7 => Shape::New,
                _ => Shape::Mixed,
            };
            assert_eq!(search_in(suite, &|plaintext| new_sectors(plaintext) == wanted), Ok(shape));
        }
    }

    #[test]
    fn none_confirmed_is_reported() {
        assert_eq!(search(&|_| false), Err(RebuildError::NoMatch { block: 77 }));
    }
}
