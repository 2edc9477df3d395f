//! The search behind [`rebuild_chunk`](crate::rebuild_chunk): which sectors of one block are old and
//! which are new.
//!
//! All-old and all-new are tried first. Only if neither fits, each sector is tried as either, depth
//! first, so that a reading's beginning is computed once for all its continuations.

use zeroize::Zeroizing;

use crate::chunk::RecoveryStream;
use crate::rebuild::{Form, RebuildError, SECTOR_BYTES};

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

/// Reads one form, from the start of the chunk onwards.
#[derive(Clone)]
enum Reader {
    Plain,
    Sealed(RecoveryStream),
}

impl Reader {
    fn new(form: &Form<'_>, chunk_bytes: usize) -> Self {
        match form {
            Form::Plain => Reader::Plain,
            Form::Sealed { cipher, meta } => {
                Reader::Sealed(cipher.recovery_stream(meta, chunk_bytes))
            }
        }
    }

    /// Reads bytes at `offset_bytes` of the chunk as if they had this form.
    fn read(&mut self, offset_bytes: usize, stored: &[u8], plaintext: &mut [u8]) {
        match self {
            Reader::Plain => plaintext.copy_from_slice(stored),
            Reader::Sealed(RecoveryStream::Keystream(keystream)) => {
                let keystream = &keystream[offset_bytes..][..stored.len()];
                for ((byte, stored), mask) in plaintext.iter_mut().zip(stored).zip(keystream) {
                    *byte = stored ^ mask;
                }
            }
            Reader::Sealed(RecoveryStream::Aegis(state)) => state.decrypt(stored, plaintext),
        }
    }

    /// Goes on over bytes that were read as the other form.
    fn follow(&mut self, plaintext: &[u8]) {
        if let Reader::Sealed(RecoveryStream::Aegis(state)) = self {
            state.follow(plaintext);
        }
    }
}

/// Readers of both forms at one place of the chunk.
#[derive(Clone)]
pub(crate) struct Readers {
    old: Reader,
    new: Reader,
}

impl Readers {
    /// At the start of a chunk of `chunk_bytes`.
    pub(crate) fn new(old: &Form<'_>, new: &Form<'_>, chunk_bytes: usize) -> Self {
        Self {
            old: Reader::new(old, chunk_bytes),
            new: Reader::new(new, chunk_bytes),
        }
    }

    fn read_as(&mut self, side: Side, offset_bytes: usize, stored: &[u8], plaintext: &mut [u8]) {
        let (reader, other) = match side {
            Side::Old => (&mut self.old, &mut self.new),
            Side::New => (&mut self.new, &mut self.old),
        };
        reader.read(offset_bytes, stored, plaintext);
        other.follow(plaintext);
    }
}

/// A reading of a block that its fingerprint confirms, and the readers behind it.
pub(crate) struct Found {
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    pub(crate) readers: Readers,
}

/// The search for the one reading of a block's bytes that its fingerprint confirms.
pub(crate) struct BlockSearch<'a> {
    /// The block as found; not longer than a block.
    pub(crate) stored: &'a [u8],
    /// Where it begins in the chunk.
    pub(crate) offset_bytes: usize,
    /// Its number in the file, for errors.
    pub(crate) number: u64,
    /// Whether a plaintext has the block's fingerprint.
    pub(crate) confirms: &'a dyn Fn(&[u8]) -> bool,
}

impl BlockSearch<'_> {
    pub(crate) fn run(&self, readers: &Readers) -> Result<(Found, Shape), RebuildError> {
        match (
            self.read_whole(Side::Old, readers),
            self.read_whole(Side::New, readers),
        ) {
            (Some(old), Some(new)) if old.plaintext != new.plaintext => Err(self.ambiguous()),
            (Some(old), _) => Ok((old, Shape::Old)),
            (None, Some(new)) => Ok((new, Shape::New)),
            (None, None) => Ok((self.read_mixed(readers)?, Shape::Mixed)),
        }
    }

    fn read_whole(&self, side: Side, readers: &Readers) -> Option<Found> {
        let mut readers = readers.clone();
        let mut plaintext = Zeroizing::new(vec![0; self.stored.len()]);
        readers.read_as(side, self.offset_bytes, self.stored, &mut plaintext);
        (self.confirms)(&plaintext).then_some(Found { plaintext, readers })
    }

    fn read_mixed(&self, readers: &Readers) -> Result<Found, RebuildError> {
        let mut found = None;
        let mut plaintext = Zeroizing::new(vec![0; self.stored.len()]);
        self.try_sectors(0, readers, &mut plaintext, &mut found)?;
        found.ok_or(RebuildError::NoMatch { block: self.number })
    }

    /// Tries both readings of the sector at `start` and all that follow from either: at most 2^8 ways
    /// through a block. It does not stop at the first match, so that a second one is noticed.
    fn try_sectors(
        &self,
        start: usize,
        readers: &Readers,
        plaintext: &mut [u8],
        found: &mut Option<Found>,
    ) -> Result<(), RebuildError> {
        if start >= self.stored.len() {
            return self.judge(readers, plaintext, found);
        }
        let end = (start + SECTOR_BYTES).min(self.stored.len());
        let mut first_reading = Zeroizing::new([0; SECTOR_BYTES]);
        for side in [Side::Old, Side::New] {
            let mut readers = readers.clone();
            let sector = &mut plaintext[start..end];
            readers.read_as(
                side,
                self.offset_bytes + start,
                &self.stored[start..end],
                sector,
            );
            match side {
                Side::Old => first_reading[..sector.len()].copy_from_slice(sector),
                // The same bytes either way: everything after them was tried already.
                Side::New if first_reading[..sector.len()] == *sector => continue,
                Side::New => {}
            }
            self.try_sectors(end, &readers, plaintext, found)?;
        }
        Ok(())
    }

    fn judge(
        &self,
        readers: &Readers,
        plaintext: &[u8],
        found: &mut Option<Found>,
    ) -> Result<(), RebuildError> {
        if !(self.confirms)(plaintext) {
            return Ok(());
        }
        match found {
            Some(earlier) if earlier.plaintext.as_slice() != plaintext => Err(self.ambiguous()),
            Some(_) => Ok(()),
            None => {
                *found = Some(Found {
                    plaintext: Zeroizing::new(plaintext.to_vec()),
                    readers: readers.clone(),
                });
                Ok(())
            }
        }
    }

    fn ambiguous(&self) -> RebuildError {
        RebuildError::Ambiguous { block: self.number }
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
        let key = Secret::from_bytes([1; 32]);
        let cipher = ChunkCipher::new(Suite::XChaCha20Poly1305, &key, [2; 16]);
        let meta = ChunkMeta {
            index: 0,
            is_final: true,
            nonce: [3; 24],
            epoch: 0,
            flags: 0,
        };
        let new = Form::Sealed {
            cipher: &cipher,
            meta,
        };
        let stored = [0; SECTORS * SECTOR_BYTES];
        let search = BlockSearch {
            stored: &stored,
            offset_bytes: 0,
            number: 77,
            confirms,
        };
        let found = search.run(&Readers::new(&Form::Plain, &new, stored.len()));
        found.map(|(_, shape)| shape)
    }

    fn new_sectors(plaintext: &[u8]) -> Vec<bool> {
        let sectors = plaintext.chunks(SECTOR_BYTES);
        sectors
            .map(|sector| sector.iter().any(|b| *b != 0))
            .collect()
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
    fn two_confirmed_mixtures_are_ambiguous() {
        let one_new =
            |plaintext: &[u8]| new_sectors(plaintext).iter().filter(|new| **new).count() == 1;
        assert_eq!(search(&one_new), Err(RebuildError::Ambiguous { block: 77 }));
    }

    #[test]
    fn the_only_confirmed_reading_is_found() {
        for mix in 0..1usize << SECTORS {
            let wanted: Vec<bool> = (0..SECTORS).map(|i| mix >> i & 1 == 1).collect();
            let shape = match mix {
                0 => Shape::Old,
                7 => Shape::New,
                _ => Shape::Mixed,
            };
            assert_eq!(
                search(&|plaintext| new_sectors(plaintext) == wanted),
                Ok(shape)
            );
        }
    }

    #[test]
    fn none_confirmed_is_reported() {
        assert_eq!(search(&|_| false), Err(RebuildError::NoMatch { block: 77 }));
    }
}
