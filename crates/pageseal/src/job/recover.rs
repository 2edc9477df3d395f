//! What a resumed job does before it goes on: windows in flight are settled, and what an earlier run claims to have done
//! is proved where a forged or outdated claim could destroy data.

use std::ops::Range;

use pageseal_crypto::{ChunkCipher, ChunkMeta};
use pageseal_format::TableEntry;
use pageseal_format::journal::{Direction, Resilience};
use pageseal_journal::{CommittedWindow, SettledMark};
use pageseal_storage::available;
use zeroize::{Zeroize, Zeroizing};

use super::active::ActiveJob;
use super::context::{Side, io_cause};
use super::pipeline::{read_entries, recover_window};
use super::workers::Tile;
use crate::control::{Control, Notice, Stage};
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
    Ok(mark)
}

/// Whether the system was restarted since a job began that is not safe against that.
pub(crate) fn restarted_unsafely(job: &ActiveJob) -> bool {
    job.header.resilience == Resilience::Process && available::boot_id() != Some(job.header.boot_id)
}

/// After a restart: proves that the chunks on both sides of the watermark are what the journal says. Windows in flight are left
/// to their records.
pub(crate) fn prove_claims(
    job: &ActiveJob,
    direction: Direction,
    watermark: u64,
    in_flight: &[CommittedWindow],
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    control.progress.notice(&Notice::RestartDuringProcessJob);
    let lowest = in_flight.iter().map(|window| window.record().first_chunk).min();
    let (old, new) = job.context.sides(Direction::Forward);
    prove(job, 0..watermark.min(lowest.unwrap_or(watermark)), Proof::of(new), control)?;
    if direction == Direction::Backward {
        prove(job, watermark..job.context.geometry.chunk_count(), Proof::of(old), control)?;
    }
    Ok(())
}

/// Refuses to go on if a chunk below `end` still opens under its table entry: then throwing the table away would destroy it. Without
/// this, an outdated journal laid beside a sealed file could have it truncated to bare ciphertext. A chunk
/// that does *not* open loses nothing with the table, also when somebody changed its plaintext meanwhile.
pub(crate) fn refuse_sealed(job: &ActiveJob, end: u64, control: &Control<'_>) -> Result<(), InterruptCause> {
    prove(job, 0..end, Proof::NotSealed, control)
}

/// What is to be shown of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It opens under its entry.
    Sealed,
    /// Sealing it under its entry gives the entry's tag.
    Plain,
    /// It does not open under its entry.
    NotSealed,
}

impl Proof {
    fn of(side: Side) -> Self {
        match side {
            Side::Sealed => Proof::Sealed,
            Side::Plain => Proof::Plain,
        }
    }

    fn holds(self, job: &ActiveJob, chunk: u64, entry: &TableEntry, bytes: &mut [u8]) -> bool {
        let never_sealed = entry.nonce == [0; 24] && entry.tag == [0; 32];
        let cipher = &job.context.keys.chunk;
        let meta = job.context.meta(chunk, entry);
        match self {
            Proof::Sealed => cipher.open_in_place(&meta, &entry.tag, bytes).is_ok(),
            // The ciphertext stays in the tile, so the nonce is not used twice outside of the process.
            Proof::Plain => never_sealed || cipher.seal_in_place(&meta, bytes) == entry.tag,
            Proof::NotSealed => never_sealed || !loses_something(cipher, &meta, &entry.tag, bytes),
        }
    }
}

/// Whether the bytes are ciphertext that only this entry turns into something else. A chunk of a few bytes can
/// be the same in both forms: then nothing is lost with the entry.
fn loses_something(cipher: &ChunkCipher, meta: &ChunkMeta, tag: &[u8; 32], bytes: &[u8]) -> bool {
    let mut opened = Zeroizing::new(bytes.to_vec());
    cipher.open_in_place(meta, tag, &mut opened).is_ok() && opened[..] != *bytes
}

fn prove(
    job: &ActiveJob,
    chunks: Range<u64>,
    proof: Proof,
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
            let chunk = first + item;
            let (offset, len) = (geometry.chunk_offset(chunk), geometry.chunk_len(chunk));
            let buffer = tile.slice(len as usize);
            context
                .data
                .read_exact_at(buffer, offset)
                .map_err(|source| io_cause("reading", offset, source))?;
            let holds = proof.holds(job, chunk, &entries[item as usize], buffer);
            buffer.zeroize();
            if holds { Ok(()) } else { Err(InterruptCause::Damaged(Damage::NotAsClaimed { chunk, offset })) }
        };
        context.workers.for_each(count, check)?;
        control.progress.advance(geometry.bytes_of_chunks(first, count).1);
        first += count;
    }
    Ok(())
}
