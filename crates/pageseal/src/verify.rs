//! Authenticates every chunk of a sealed file without changing any.

mod large_reads;

use std::path::Path;
use std::time::Instant;

use pageseal_crypto::DerivedKeys;
use pageseal_format::limits::BLOCK;
use pageseal_format::{Geometry, Limits, TableEntry};
use pageseal_storage::Storage;

use crate::ahead::LARGE_READ_BYTES;
use crate::control::{Control, Stage};
use crate::damaged_chunks::DamagedChunks;
use crate::error::{Damage, InterruptCause, OpenError, Refusal};
use crate::job::{Parts, Reads, Tile, Workers, chunk_meta, storage_for_reading};
use crate::keys::Identities;
use crate::open_job::Asks;
use crate::read_target::ReadTarget;
use crate::report::VerifyReport;
use crate::sealed::{SealedFile, read_entries};
use large_reads::{Batch, LargeReads};

/// Chunks whose table entries are held in memory at a time.
const BATCH_CHUNKS: u64 = 4096;

/// Opens every chunk of the sealed file at `path` and returns what it is, or the damage. Reads the whole file;
/// writes nothing.
///
/// # Errors
/// [`OpenError::Damaged`] if a chunk, the table or the padding was changed; all chunks are looked at, and all
/// damaged ones are named ([`Damage::Chunks`]).
pub fn verify(
    path: &Path,
    identities: &Identities,
    threads: Option<usize>,
    control: &Control<'_>,
) -> Result<VerifyReport, OpenError> {
    let start = Instant::now();
    let target = ReadTarget::open(path)?;
    let data = storage_for_reading(target.owned_file()?, Reads::Twice, control.progress);
    target.refuse_open_job(Asks::Read, &*data, None)?;
    let sealed = SealedFile::open(path, data, identities, &Limits::PRODUCTION, &control.cancellation)?;
    for notice in &sealed.notices {
        control.progress.notice(notice);
    }
    let geometry = sealed.superblock.geometry;
    let workers = Workers::start_alone(threads, geometry.chunk_len_bytes())?;
    target.explain(verify_chunks(path, &*sealed.data, &geometry, &sealed.keys, &workers, control))?;
    Ok(VerifyReport {
        data_len_bytes: geometry.data_len(),
        chunks: geometry.chunk_count(),
        suite: sealed.suite,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Checks all chunks, the padding after the data and that of the table.
pub(crate) fn verify_chunks(
    path: &Path,
    data: &dyn Storage,
    geometry: &Geometry,
    keys: &DerivedKeys,
    workers: &Workers,
    control: &Control<'_>,
) -> Result<(), OpenError> {
    control.progress.stage(Stage::Verifying, geometry.data_len(), 0);
    check_paddings(path, data, geometry)?;
    let verifier = Verifier { path, data, geometry, keys, workers };
    let bad = match data.prefers_large_requests() {
        true => verifier.bad_chunks_by_large_reads(control),
        false => verifier.bad_chunks_by_tiles(control),
    }?;
    match bad.into_damage(geometry) {
        Some(damage) => Err(OpenError::Damaged { path: path.into(), damage }),
        None => Ok(()),
    }
}

/// A sealed file and what opens its chunks.
struct Verifier<'a> {
    path: &'a Path,
    data: &'a dyn Storage,
    geometry: &'a Geometry,
    keys: &'a DerivedKeys,
    workers: &'a Workers,
}

impl Verifier<'_> {
    /// Every worker reads into its tile what it opens next.
    fn bad_chunks_by_tiles(&self, control: &Control<'_>) -> Result<DamagedChunks, OpenError> {
        let Verifier { path, data, geometry, workers, .. } = *self;
        let step = workers.chunks_per_tile(geometry.chunk_len_bytes());
        let mut bad = DamagedChunks::default();
        self.for_each_batch(BATCH_CHUNKS, control, |first, count| {
            let entries =
                read_entries(data, geometry, first, count).map_err(|error| error.into_open_error(path))?;
            let found = workers.for_each(count.div_ceil(step), |item, tile| {
                let (first, entries) = part_of(first, &entries, item, step);
                let (offset, len) = geometry.bytes_of_chunks(first, entries.len() as u64);
                let buffer = tile.slice(len as usize);
                self.read(buffer, offset)?;
                Ok(self.bad_chunks(first, entries, buffer))
            });
            bad.add(&found.map_err(|cause| self.error(cause))?.concat());
            Ok(())
        })?;
        Ok(bad)
    }

    /// A store that wants large requests gets them, and the workers look at what is in memory then.
    fn bad_chunks_by_large_reads(&self, control: &Control<'_>) -> Result<DamagedChunks, OpenError> {
        let Verifier { geometry, workers, .. } = *self;
        let step = workers.chunks_per_tile(geometry.chunk_len_bytes());
        let batch_chunks = (LARGE_READ_BYTES / geometry.chunk_len_bytes()).max(1);
        let mut bad = DamagedChunks::default();
        std::thread::scope(|scope| {
            let mut reads = LargeReads::new(scope, self, batch_chunks);
            self.for_each_batch(batch_chunks, control, |first, count| {
                let mut batch = reads.take(first)?;
                let parts = Parts::new(batch.tile.slice(batch.len), step * geometry.chunk_len_bytes());
                let found = workers.for_each(count.div_ceil(step), |item, _| {
                    let (first, entries) = part_of(first, &batch.entries, item, step);
                    Ok(self.bad_chunks(first, entries, &mut parts.part(item)))
                });
                drop(parts);
                bad.add(&found.map_err(|cause| self.error(cause))?.concat());
                reads.give_back(batch);
                Ok(())
            })
        })?;
        Ok(bad)
    }

    /// Calls `look_at` with the first chunk and the number of chunks of each batch.
    fn for_each_batch(
        &self,
        batch_chunks: u64,
        control: &Control<'_>,
        mut look_at: impl FnMut(u64, u64) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let chunks = self.geometry.chunk_count();
        let mut first = 0;
        while first < chunks {
            if control.cancellation.is_cancelled() {
                return Err(OpenError::Refused(Refusal::Cancelled));
            }
            let count = batch_chunks.min(chunks - first);
            look_at(first, count)?;
            control.progress.advance(self.geometry.bytes_of_chunks(first, count).1);
            first += count;
        }
        Ok(())
    }

    /// Table entries and bytes of a batch, into a tile that is long enough.
    fn read_batch(&self, first: u64, count: u64, mut tile: Tile) -> Result<Batch, OpenError> {
        let entries = read_entries(self.data, self.geometry, first, count)
            .map_err(|error| error.into_open_error(self.path))?;
        let (offset, len) = self.geometry.bytes_of_chunks(first, count);
        let len = len as usize;
        self.read(tile.slice(len), offset).map_err(|cause| self.error(cause))?;
        Ok(Batch { entries, tile, len })
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), InterruptCause> {
        let read = self.data.read_exact_at(buffer, offset);
        read.map_err(|source| InterruptCause::Io { what: "reading", offset, source })
    }

    /// Opens the chunks that the buffer holds.
    fn bad_chunks(&self, first: u64, entries: &[TableEntry], buffer: &mut [u8]) -> Vec<u64> {
        let mut bad = Vec::new();
        let mut rest = buffer;
        for (chunk, entry) in (first..).zip(entries) {
            let piece;
            (piece, rest) = rest.split_at_mut(self.geometry.chunk_len(chunk) as usize);
            let meta = chunk_meta(self.geometry, chunk, entry);
            if self.keys.chunk.open_in_place(&meta, &entry.tag, piece).is_err() {
                bad.push(chunk);
            }
        }
        bad
    }

    fn error(&self, cause: InterruptCause) -> OpenError {
        let path = self.path.into();
        match cause {
            InterruptCause::Io { offset, source, .. } => OpenError::Io { path, offset, source },
            other => OpenError::Io { path, offset: 0, source: std::io::Error::other(other.to_string()) },
        }
    }
}

/// The first chunk and the table entries of a worker's part, `step` chunks long, of the batch that begins with chunk `first`.
fn part_of(first: u64, entries: &[TableEntry], item: u64, step: u64) -> (u64, &[TableEntry]) {
    let (start, end) = (item * step, ((item + 1) * step).min(entries.len() as u64));
    (first + start, &entries[start as usize..end as usize])
}

/// Bytes that nothing authenticates must be zero, so that nothing can hide there.
pub(crate) fn check_paddings(path: &Path, data: &dyn Storage, geometry: &Geometry) -> Result<(), OpenError> {
    let table_used = geometry.table_entry_offset(geometry.chunk_count() - 1) + 64;
    let ranges = [
        (geometry.data_len(), geometry.trailer_offset()),
        (table_used, geometry.table_offset() + geometry.table_len()),
    ];
    for (start, end) in ranges {
        let mut bytes = [0; BLOCK as usize];
        let bytes = &mut bytes[..(end - start) as usize];
        data.read_exact_at(bytes, start).map_err(|source| OpenError::Io {
            path: path.into(),
            offset: start,
            source,
        })?;
        if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
            let damage = Damage::Padding { offset: start + at as u64 };
            return Err(OpenError::Damaged { path: path.into(), damage });
        }
    }
    Ok(())
}
