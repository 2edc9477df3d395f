//! Authenticates every chunk of a sealed file without changing any.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pageseal_crypto::DerivedKeys;
use pageseal_format::limits::BLOCK;
use pageseal_format::{Geometry, Limits};
use pageseal_storage::{BufferedFile, Storage};
use zeroize::Zeroize;

use crate::control::{Control, Stage};
use crate::error::{Damage, InterruptCause, OpenError, Refusal};
use crate::job::{Tile, Workers, chunk_meta};
use crate::keys::Identities;
use crate::report::VerifyReport;
use crate::sealed::{SealedFile, read_entries};
use crate::surroundings::System;
use crate::target::open_for_reading;

/// Chunks whose table entries are held in memory at a time.
const BATCH_CHUNKS: u64 = 4096;

/// Opens every chunk of the sealed file at `path` and returns what it is, or the damage. Reads the whole file;
/// writes nothing.
///
/// # Errors
/// [`OpenError::Damaged`] if a chunk, the table or the padding was changed; all chunks are looked at, and the first
/// damaged one and their number are named.
pub fn verify(
    path: &Path,
    identities: &Identities,
    threads: Option<usize>,
    control: &Control<'_>,
) -> Result<VerifyReport, OpenError> {
    let start = Instant::now();
    let data: Arc<dyn Storage> = Arc::new(BufferedFile::new(open_for_reading(path)?));
    let sealed = SealedFile::open(path, data, identities, &Limits::PRODUCTION)?;
    for notice in &sealed.notices {
        control.progress.notice(notice);
    }
    let geometry = sealed.superblock.geometry;
    let workers = Workers::start(threads, geometry.chunk_len_bytes(), &System)?;
    verify_chunks(path, &*sealed.data, &geometry, &sealed.keys, &workers, control)?;
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
    let chunks = geometry.chunk_count();
    let mut bad: Option<(u64, u64)> = None;
    let mut first = 0;
    while first < chunks {
        if control.cancellation.is_cancelled() {
            return Err(OpenError::Refused(Refusal::Cancelled));
        }
        let count = BATCH_CHUNKS.min(chunks - first);
        for chunk in verify_batch(path, data, geometry, keys, workers, first, count)? {
            let (_, number) = bad.get_or_insert((chunk, 0));
            *number += 1;
        }
        control.progress.advance(geometry.bytes_of_chunks(first, count).1);
        first += count;
    }
    let Some((chunk, count)) = bad else { return Ok(()) };
    let offset = geometry.chunk_offset(chunk);
    let damage = match count {
        1 => Damage::Chunk { chunk, offset },
        _ => Damage::Chunks { count, first_chunk: chunk, offset },
    };
    Err(OpenError::Damaged { path: path.into(), damage })
}

/// The damaged chunks among `[first, first + count)`, in order.
fn verify_batch(
    path: &Path,
    data: &dyn Storage,
    geometry: &Geometry,
    keys: &DerivedKeys,
    workers: &Workers,
    first: u64,
    count: u64,
) -> Result<Vec<u64>, OpenError> {
    let entries = read_entries(data, geometry, first, count).map_err(|error| error.into_open_error(path))?;
    let step = workers.chunks_per_tile(geometry.chunk_len_bytes());
    let check = |item: u64, tile: &mut Tile| {
        let skip = item * step;
        let part = step.min(count - skip);
        let (offset, len) = geometry.bytes_of_chunks(first + skip, part);
        let buffer = tile.slice(len as usize);
        data.read_exact_at(buffer, offset).map_err(|source| InterruptCause::Io {
            what: "reading",
            offset,
            source,
        })?;
        let mut bad = Vec::new();
        for chunk in first + skip..first + skip + part {
            let start = (geometry.chunk_offset(chunk) - offset) as usize;
            let piece = &mut buffer[start..start + geometry.chunk_len(chunk) as usize];
            let entry = &entries[(chunk - first) as usize];
            if keys.chunk.open_in_place(&chunk_meta(geometry, chunk, entry), &entry.tag, piece).is_err() {
                bad.push(chunk);
            }
        }
        buffer.zeroize();
        Ok(bad)
    };
    let found = workers.for_each(count.div_ceil(step), check).map_err(|cause| match cause {
        InterruptCause::Io { offset, source, .. } => OpenError::Io { path: path.into(), offset, source },
        other => {
            OpenError::Io { path: path.into(), offset: 0, source: std::io::Error::other(other.to_string()) }
        }
    })?;
    Ok(found.concat())
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
