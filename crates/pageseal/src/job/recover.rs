//! What a resumed job does before it goes on: windows in flight are settled, and what an earlier run claims to have done
//! is proved where a forged or outdated claim could destroy data.

use std::ops::Range;

use pageseal_format::TableEntry;
use pageseal_format::journal::{Direction, JobKind};
use pageseal_journal::{CommittedWindow, SettledMark};
use zeroize::{Zeroize, Zeroizing};

use super::active::ActiveJob;
use super::context::{JobContext, SYNCING, io_cause};
use super::convert::read_data;
use super::pipeline::{read_entries, recover_window};
use super::workers::Tile;
use crate::control::{Control, Stage};
use crate::error::{Damage, InterruptCause};

/// Chunks whose table entries are held in memory at a time.
const BATCH_CHUNKS: u64 = 4096;

/// Brings every window in flight to the form that it was on its way to, oldest first.
pub(crate) fn settle_in_flight(
    job: &mut ActiveJob,
    windows: Vec<CommittedWindow>,
    start: SettledMark,
    control: &Control<'_>,
) -> Result<SettledMark, InterruptCause> {
    let geometry = job.context.geometry;
    let bytes = |window: &CommittedWindow| {
        let record = window.record();
        geometry.bytes_of_chunks(record.first_chunk, record.chunks.len() as u64).1
    };
    if !windows.is_empty() {
        control.progress.stage(Stage::Recovering, windows.iter().map(bytes).sum(), 0);
    }
    let mut mark = start;
    for window in windows {
        let len = bytes(&window);
        mark = recover_window(&job.context, &job.journal, window)?;
        job.windows_recovered += 1;
        control.progress.advance(len);
    }
    if job.windows_recovered > 0 && !job.context.syncs_windows() {
        job.context.data.sync_all().map_err(|source| io_cause(SYNCING, 0, source))?;
    }
    Ok(mark)
}

/// Refuses a journal of an earlier time than the file, or of a later one: it would have chunks sealed twice, or the table
/// thrown away that some still need. `watermark` is that after the windows in flight.
///
/// An encrypt: nothing from the watermark on may be sealed, whichever way the job goes on, and if it goes on forward nothing
/// below may be plain. A decrypt that goes on: nothing below the watermark may be sealed. A decrypt that is undone: nothing below
/// the watermark may be sealed, and nothing from it on plain. A chunk without a table entry was never sealed. Where nothing may be
/// plain, a chunk that is neither is noted as damage.
pub(crate) fn refuse_outdated(
    job: &mut ActiveJob,
    direction: Direction,
    watermark: u64,
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    let chunks = job.context.geometry.chunk_count();
    match (job.context.kind, direction) {
        (JobKind::Encrypt, Direction::Forward) => {
            refuse_plain(job, 0..watermark, control)?;
            refuse_sealed(job, watermark..chunks, control)
        }
        (JobKind::Encrypt, Direction::Backward) => refuse_sealed(job, watermark..chunks, control),
        (JobKind::Decrypt, Direction::Forward) => refuse_sealed(job, 0..watermark, control),
        (JobKind::Decrypt, Direction::Backward) => {
            refuse_sealed(job, 0..watermark, control)?;
            refuse_plain(job, watermark..chunks, control)
        }
    }
}

/// Refuses to call a file sealed in which one of the chunks is the plaintext of its entry, or was never sealed. A chunk that is
/// neither is lost already, whatever is done now: the job may end, and says so then (see [`ActiveJob::note_damage`]).
pub(crate) fn refuse_plain(
    job: &mut ActiveJob,
    chunks: Range<u64>,
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    let context = &job.context;
    let damaged = for_each_chunk(context, chunks, control, |chunk, entry, bytes| {
        let cipher = &context.keys.chunk;
        let meta = context.meta(chunk, entry);
        let mut opened = Zeroizing::new(bytes.to_vec());
        if cipher.open_in_place(&meta, &entry.tag, &mut opened).is_ok() {
            return Ok(None);
        }
        // The ciphertext stays in the tile, so the nonce is not used twice outside of the process.
        if is_unused(entry) || cipher.seal_in_place(&meta, bytes) == entry.tag {
            return Err(not_as_claimed(context, chunk));
        }
        Ok(Some(chunk))
    })?;
    job.note_damage(&damaged.into_iter().flatten().collect::<Vec<_>>());
    Ok(())
}

/// Refuses to go on if one of the chunks still opens under its table entry: then throwing the table away would destroy it.
/// Without this, an outdated journal laid beside a sealed file could have it truncated to bare ciphertext. A chunk that
/// does *not* open loses nothing with the table, also when somebody changed its plaintext meanwhile.
pub(crate) fn refuse_sealed(
    job: &ActiveJob,
    chunks: Range<u64>,
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    let context = &job.context;
    for_each_chunk(context, chunks, control, |chunk, entry, bytes| {
        if is_unused(entry) {
            return Ok(());
        }
        let mut opened = Zeroizing::new(bytes.to_vec());
        let meta = context.meta(chunk, entry);
        let opens = context.keys.chunk.open_in_place(&meta, &entry.tag, &mut opened).is_ok();
        // A chunk of a few bytes can be the same in both forms: then nothing is lost with the entry.
        if opens && opened[..] != *bytes { Err(not_as_claimed(context, chunk)) } else { Ok(()) }
    })
    .map(|_| ())
}

/// Whether no chunk was ever sealed under this entry.
fn is_unused(entry: &TableEntry) -> bool {
    entry.nonce == [0; 24] && entry.tag == [0; 32]
}

fn not_as_claimed(context: &JobContext, chunk: u64) -> InterruptCause {
    let offset = context.geometry.chunk_offset(chunk);
    InterruptCause::Damaged(Damage::NotAsClaimed { chunk, offset })
}

/// Reads chunks and their entries, and looks at each in a tile, which is wiped.
fn for_each_chunk<T: Send>(
    context: &JobContext,
    chunks: Range<u64>,
    control: &Control<'_>,
    look: impl Fn(u64, &TableEntry, &mut [u8]) -> Result<T, InterruptCause> + Sync,
) -> Result<Vec<T>, InterruptCause> {
    let geometry = &context.geometry;
    let mut seen = Vec::new();
    if chunks.is_empty() {
        return Ok(seen);
    }
    let total = geometry.bytes_of_chunks(chunks.start, chunks.end - chunks.start).1;
    control.progress.stage(Stage::Verifying, total, 0);
    let mut first = chunks.start;
    while first < chunks.end {
        let count = BATCH_CHUNKS.min(chunks.end - first);
        let entries = read_entries(context, first, count)?;
        let look_at = |item: u64, tile: &mut Tile| {
            let (chunk, entry) = (first + item, &entries[item as usize]);
            let buffer = tile.slice(geometry.chunk_len(chunk) as usize);
            read_data(context, buffer, geometry.chunk_offset(chunk))?;
            let result = look(chunk, entry, buffer);
            buffer.zeroize();
            result
        };
        seen.extend(context.workers.for_each(count, look_at)?);
        control.progress.advance(geometry.bytes_of_chunks(first, count).1);
        first += count;
    }
    Ok(seen)
}
