//! The same job by authenticated encryption: every chunk sealed in the mapping.

use pageseal_crypto::{
    ChunkMeta, DerivedKeys, FileKey, KeyContext, NONCE_BYTES, Suite, TAG_FIELD_BYTES, fill_random,
    random_nonce,
};
use rayon::iter::IndexedParallelIterator;
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::error::{DemoError, DemoJob};
use super::scratch_file::Mapping;
use super::workers::{Part, Workers};
use super::{FILL_BYTE, Job, first_difference};

const CHUNK_LOG2: u8 = 16;
pub(super) const CHUNK_BYTES: usize = 1 << CHUNK_LOG2;

/// Chunks of a file; an empty file has one, which is empty.
pub(super) fn chunk_count(len_bytes: u64) -> u64 {
    len_bytes.div_ceil(CHUNK_BYTES as u64).max(1)
}

/// Seals under a key that is drawn for it and forgotten with it.
pub(super) struct SealJob {
    keys: DerivedKeys,
    len_bytes: u64,
    /// One for each chunk. All of it is there before the timed part.
    sealings: Vec<Sealing>,
}

#[derive(Clone, Copy)]
struct Sealing {
    nonce: [u8; NONCE_BYTES],
    /// Zeros until the chunk is sealed.
    tag: [u8; TAG_FIELD_BYTES],
}

impl SealJob {
    pub(super) fn new(suite: Suite, len_bytes: u64) -> Result<Self, DemoError> {
        let mut file_id = [0; 16];
        fill_random(&mut file_id)?;
        let context = KeyContext { suite, chunk_log2: CHUNK_LOG2, file_id };
        let keys = DerivedKeys::derive(&FileKey::random()?, &context);
        let sealings = (0..chunk_count(len_bytes))
            .map(|_| Ok(Sealing { nonce: random_nonce()?, tag: [0; TAG_FIELD_BYTES] }))
            .collect::<Result<_, DemoError>>()?;
        Ok(SealJob { keys, len_bytes, sealings })
    }

    fn place(&self, workers: &Workers) -> Place {
        Place { len_bytes: self.len_bytes, chunks_per_part: self.sealings.len().div_ceil(workers.threads()) }
    }

    /// Returns how many bytes were opened and found right.
    fn check_part(
        &self,
        place: &Place,
        part_index: usize,
        sealings: &[Sealing],
        mut bytes: &[u8],
        tile: &mut [u8],
    ) -> Result<u64, DemoError> {
        let mut checked_bytes = 0;
        for (index, sealing) in (place.first_chunk(part_index)..).zip(sealings) {
            let (chunk, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES));
            let opened = &mut tile[..chunk.len()];
            opened.copy_from_slice(chunk);
            let meta = place.meta(index, sealing);
            let wrong = match self.keys.chunk.open_in_place(&meta, &sealing.tag, opened) {
                Ok(()) => first_difference(opened, FILL_BYTE),
                Err(_) => Some(0),
            };
            if let Some(in_chunk) = wrong {
                let offset = index * CHUNK_BYTES as u64 + in_chunk as u64;
                return Err(DemoError::Verification { job: DemoJob::Aead, offset });
            }
            checked_bytes += chunk.len() as u64;
            bytes = rest;
        }
        Ok(checked_bytes)
    }
}

impl Job for SealJob {
    fn work(&mut self, mapping: &Mapping, workers: &Workers) -> Result<(), DemoError> {
        let place = self.place(workers);
        let cipher = &self.keys.chunk;
        let parts = self.sealings.par_chunks_mut(place.chunks_per_part).enumerate();
        workers.each(parts, |(part_index, sealings)| {
            mapping.with_part(&place.part(part_index, sealings.len()), &mut |mut bytes| {
                for (index, sealing) in (place.first_chunk(part_index)..).zip(sealings.iter_mut()) {
                    let (chunk, rest) = bytes.split_at_mut(bytes.len().min(CHUNK_BYTES));
                    sealing.tag = cipher.seal_in_place(&place.meta(index, sealing), chunk);
                    bytes = rest;
                }
            })
        })?;
        Ok(())
    }

    /// Opens copies in a private tile: what fails to open is wiped, and the file must not be.
    fn verify(&self, mapping: &Mapping, workers: &Workers) -> Result<u64, DemoError> {
        let place = self.place(workers);
        let parts = self.sealings.par_chunks(place.chunks_per_part).enumerate();
        let checked = workers.each(parts, |(part_index, sealings)| {
            let mut tile = vec![0; CHUNK_BYTES];
            let mut checked = Ok(0);
            mapping.with_part(&place.part(part_index, sealings.len()), &mut |bytes| {
                checked = self.check_part(&place, part_index, sealings, bytes, &mut tile);
            })?;
            checked
        })?;
        Ok(checked.iter().sum())
    }
}

/// Where chunks and parts lie.
struct Place {
    len_bytes: u64,
    /// Parts are cut between chunks only, and the last one may be shorter.
    chunks_per_part: usize,
}

impl Place {
    fn first_chunk(&self, part_index: usize) -> u64 {
        part_index as u64 * self.chunks_per_part as u64
    }

    fn part(&self, part_index: usize, chunks: usize) -> Part {
        let offset = self.first_chunk(part_index) * CHUNK_BYTES as u64;
        let full_bytes = chunks as u64 * CHUNK_BYTES as u64;
        Part { offset, len_bytes: full_bytes.min(self.len_bytes - offset) as usize }
    }

    fn meta(&self, index: u64, sealing: &Sealing) -> ChunkMeta {
        ChunkMeta {
            index,
            is_final: index + 1 == chunk_count(self.len_bytes),
            nonce: sealing.nonce,
            epoch: 0,
            flags: 0,
        }
    }
}
