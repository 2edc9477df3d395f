//! What a resumed job does before it goes on: windows in flight are settled, and what an earlier run claims to have done
//! is proved where a forged or outdated claim could destroy data.

use std::ops::Range;

use pageseal_crypto::{ChunkCipher, ChunkMeta};
use pageseal_format::journal::{Direction, JobKind};
use pageseal_journal::{CommittedWindow, SettledMark};
use zeroize::{Zeroize, Zeroizing};

use super::active::ActiveJob;
use super::context::{SYNCING, io_cause};
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
/// the watermark may be sealed, and nothing from it on plain. A chunk without a table entry was never sealed.
pub(crate) fn refuse_outdated(
    job: &ActiveJob,
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

/// Refuses to go on if one of the chunks still opens under its table entry: then throwing the table away would destroy it.
/// Without this, an outdated journal laid beside a sealed file could have it truncated to bare ciphertext. A chunk that
/// does *not* open loses nothing with the table, also when somebody changed its plaintext meanwhile.
pub(crate) fn refuse_sealed(
    job: &ActiveJob,
    chunks: Range<u64>,
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    refuse(job, chunks, false, is_sealed, control)
}

/// Whether the bytes are ciphertext that only this entry turns into something else. A chunk of a few bytes can
/// be the same in both forms: then nothing is lost with the entry.
fn is_sealed(cipher: &ChunkCipher, meta: &ChunkMeta, tag: &[u8; 32], bytes: &mut [u8]) -> bool {
    let mut opened = Zeroizing::new(bytes.to_vec());
    cipher.open_in_place(meta, tag, &mut opened).is_ok() && opened[..] != *bytes
}

/// Refuses to call a file sealed in which one of the chunks is the plaintext of its entry, or was never sealed.
pub(crate) fn refuse_plain(
    job: &ActiveJob,
    chunks: Range<u64>,
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    refuse(job, chunks, true, is_plain, control)
}

/// Whether the bytes are the plaintext that the entry belongs to. The ciphertext stays in the tile, so the
/// nonce is not used twice outside of the process.
fn is_plain(cipher: &ChunkCipher, meta: &ChunkMeta, tag: &[u8; 32], bytes: &mut [u8]) -> bool {
    let before = Zeroizing::new(bytes.to_vec());
    cipher.seal_in_place(meta, bytes) == *tag && before[..] != *bytes
}

fn refuse(
    job: &ActiveJob,
    chunks: Range<u64>,
    zero_is_wrong: bool,
    is_wrong: impl Fn(&ChunkCipher, &ChunkMeta, &[u8; 32], &mut [u8]) -> bool + Sync,
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    let context = &job.context;
    let geometry = &context.geometry;
    if chunks.is_empty() {
        return Ok(());
    }
    let total = geometry.bytes_of_chunks(chunks.start, chunks.end - chunks.start).1;
    control.progress.stage(Stage::Verifying, total, 0);
    let mut first = chunks.start;
    while first < chunks.end {
        let count = BATCH_CHUNKS.min(chunks.end - first);
        let entries = read_entries(context, first, count)?;
        let check = |item: u64, tile: &mut Tile| {
            let (chunk, entry) = (first + item, &entries[item as usize]);
            let (offset, len) = (geometry.chunk_offset(chunk), geometry.chunk_len(chunk));
            if entry.nonce == [0; 24] && entry.tag == [0; 32] {
                // Never sealed.
                let damage = Damage::NotAsClaimed { chunk, offset };
                return if zero_is_wrong { Err(InterruptCause::Damaged(damage)) } else { Ok(()) };
            }
            let buffer = tile.slice(len as usize);
            read_data(context, buffer, offset)?;
            let wrong = is_wrong(&context.keys.chunk, &context.meta(chunk, entry), &entry.tag, buffer);
            buffer.zeroize();
            if wrong { Err(InterruptCause::Damaged(Damage::NotAsClaimed { chunk, offset })) } else { Ok(()) }
        };
        context.workers.for_each(count, check)?;
        control.progress.advance(geometry.bytes_of_chunks(first, count).1);
        first += count;
    }
    Ok(())
}
