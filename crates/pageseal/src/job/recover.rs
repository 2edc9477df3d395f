//! What a resumed job does before it goes on: what an earlier run claims to have done is proved, because a forged or outdated
//! claim could destroy data; then windows in flight are settled.

use std::ops::Range;

use pageseal_format::TableEntry;
use pageseal_format::journal::{Direction, JobKind};
use pageseal_journal::{CommittedWindow, SettledMark};
use zeroize::{Zeroize, Zeroizing};

use super::active::ActiveJob;
use super::context::{JobContext, SYNCING, Side, io_cause};
use super::convert::read_data;
use super::pipeline::{prove_window, read_entries, recover_window};
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

/// Refuses a journal of another time than the file, an earlier or a later one: it would have chunks sealed twice, or left as they
/// are, or the table thrown away that some still need. **Reads only**, and so comes before anything is stored: what is refused
/// stays as it is, and fits its right partner.
///
/// Each chunk must be what the journal says: below the watermark in the form that the job leads to, above it in the one that it
/// comes from, whichever way the job goes now; and in a window in flight recoverable by its record, which is tried. A chunk in the
/// other form proves that file and journal are of different times. One in neither form is damaged, or was changed, or is half
/// stored by a run that this journal does not know: only with `accepts_damage` does the job go on then. It leaves such a chunk as
/// it is, unless it is plaintext to be sealed, and names it in the end.
pub(crate) fn refuse_outdated(
    job: &mut ActiveJob,
    in_flight: &[CommittedWindow],
    settled: &SettledMark,
    demand: Demand,
    control: &Control<'_>,
) -> Result<(), InterruptCause> {
    let context = &job.context;
    let (mut low, mut high) = (settled.watermark(), settled.watermark());
    let mut in_windows = Vec::new();
    for window in in_flight {
        check_cancelled(control)?;
        let record = window.record();
        let found = prove_window(context, &job.journal, window)?;
        // Left as it is, a chunk that was on its way from plain to sealed would be plaintext in a sealed file.
        let would_leak = context.kind == JobKind::Encrypt
            && record.direction == Direction::Forward
            && demand.ends == Side::Sealed;
        if let Some(first) = found.first()
            && (would_leak || !demand.accepts_damage)
        {
            return Err(InterruptCause::Damaged(first.damage.clone()));
        }
        in_windows.extend(found.iter().map(|found| found.chunk));
        low = low.min(record.first_chunk);
        high = high.max(record.first_chunk + record.chunks.len() as u64);
    }
    let has_entries_below = has_entries_below(context, demand.direction, settled);
    let (from, to) = context.sides(Direction::Forward);
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    for (chunks, form) in [(0..low, to), (high..context.geometry.chunk_count(), from)] {
        let found = find_in_neither_form(context, chunks, form, has_entries_below, control)?;
        if form == Side::Sealed { &mut sealed } else { &mut plain }.extend(found);
    }
    // Before the job is turned round, which cannot be taken back: where it can still end sealed, all other chunks stay authentic.
    let is_turned_round = demand.direction == Direction::Backward;
    let can_end_sealed = context.kind == JobKind::Decrypt || (!is_turned_round && in_windows.is_empty());
    if let (Side::Plain, Some(&first_chunk)) = (demand.ends, sealed.first())
        && (can_end_sealed || !demand.accepts_damage)
    {
        return Err(InterruptCause::Damaged(Damage::CannotBeOpened {
            count: sealed.len() as u64,
            first_chunk,
            offset: context.geometry.chunk_offset(first_chunk),
            can_end_sealed,
        }));
    }
    if let Some(&first_chunk) = sealed.iter().chain(&plain).min()
        && !demand.accepts_damage
    {
        let (count, offset) =
            ((sealed.len() + plain.len()) as u64, context.geometry.chunk_offset(first_chunk));
        return Err(InterruptCause::Damaged(Damage::InNeitherForm { count, first_chunk, offset }));
    }
    let mut lost = [in_windows.clone(), sealed.clone()].concat();
    if demand.ends == Side::Plain {
        // Plaintext that somebody changed would be sealed as it is; here nothing tells it from damage.
        lost.extend(plain);
        job.context.left = [in_windows, sealed].concat();
    } else {
        job.context.left = in_windows;
    }
    lost.sort_unstable();
    job.context.left.sort_unstable();
    job.note_damage(&lost);
    Ok(())
}

/// What the caller wants of a continued job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Which way the journal says that the job goes.
    pub(crate) direction: Direction,
    /// The form that the file will have.
    pub(crate) ends: Side,
    /// Whether it may go on although chunks are in neither form.
    pub(crate) accepts_damage: bool,
}

/// The chunk from which on an encrypt has not sealed any yet, so that they may have no entries. Each window is one in the order of
/// sequences; so if some were sealed and some of them opened again, their number and where that led tell how far it had come.
fn has_entries_below(context: &JobContext, direction: Direction, settled: &SettledMark) -> u64 {
    let at = settled.watermark();
    match (context.kind, direction) {
        (JobKind::Decrypt, _) => context.geometry.chunk_count(),
        (JobKind::Encrypt, Direction::Forward) => at,
        (JobKind::Encrypt, Direction::Backward) => {
            let windows = (settled.sequence() + at.div_ceil(context.window_chunks)) / 2;
            windows.saturating_mul(context.window_chunks).min(context.geometry.chunk_count())
        }
    }
}

fn check_cancelled(control: &Control<'_>) -> Result<(), InterruptCause> {
    if control.cancellation.is_cancelled() { Err(InterruptCause::Cancelled) } else { Ok(()) }
}

/// The chunks of the range that are in neither form. One that is in the other form than it should be is an error.
fn find_in_neither_form(
    context: &JobContext,
    chunks: Range<u64>,
    form: Side,
    has_entries_below: u64,
    control: &Control<'_>,
) -> Result<Vec<u64>, InterruptCause> {
    let geometry = &context.geometry;
    let mut neither = Vec::new();
    if chunks.is_empty() {
        return Ok(neither);
    }
    let total = geometry.bytes_of_chunks(chunks.start, chunks.end - chunks.start).1;
    control.progress.stage(Stage::Verifying, total, 0);
    let mut first = chunks.start;
    while first < chunks.end {
        check_cancelled(control)?;
        let count = BATCH_CHUNKS.min(chunks.end - first);
        let entries = read_entries(context, first, count)?;
        let look_at = |item: u64, tile: &mut Tile| {
            let (chunk, entry) = (first + item, &entries[item as usize]);
            // Most of a file that is being sealed for the first time.
            if form == Side::Plain && chunk >= has_entries_below && *entry == TableEntry::default() {
                return Ok(None);
            }
            let buffer = tile.slice(geometry.chunk_len(chunk) as usize);
            read_data(context, buffer, geometry.chunk_offset(chunk))?;
            let is_as_claimed = has_form(context, chunk, entry, form, buffer);
            buffer.zeroize();
            Ok((!is_as_claimed?).then_some(chunk))
        };
        neither.extend(context.workers.for_each(count, look_at)?.into_iter().flatten());
        control.progress.advance(geometry.bytes_of_chunks(first, count).1);
        first += count;
    }
    Ok(neither)
}

/// Whether a chunk has the form that it should have; an error if it has the other one. A chunk of a few bytes can be the same in
/// both. *Sealed* means that it opens under its entry, *plain* that sealing it with the nonce of its entry gives the entry's tag.
fn has_form(
    context: &JobContext,
    chunk: u64,
    entry: &TableEntry,
    form: Side,
    bytes: &[u8],
) -> Result<bool, InterruptCause> {
    // A window whose store has begun (see `pipeline::announce`), or one that was never sealed.
    if entry.tag == [0; 32] {
        return Err(not_as_claimed(context, chunk));
    }
    let cipher = &context.keys.chunk;
    let meta = context.meta(chunk, entry);
    let opens = || {
        let mut copy = Zeroizing::new(bytes.to_vec());
        cipher.open_in_place(&meta, &entry.tag, &mut copy).is_ok()
    };
    // The ciphertext stays in here, so the nonce is not used twice outside of the process.
    let seals = || cipher.seal_in_place(&meta, &mut Zeroizing::new(bytes.to_vec())) == entry.tag;
    let (is_right, is_other): (bool, &dyn Fn() -> bool) = match form {
        Side::Sealed => (opens(), &seals),
        Side::Plain => (seals(), &opens),
    };
    if !is_right && is_other() {
        return Err(not_as_claimed(context, chunk));
    }
    Ok(is_right)
}

fn not_as_claimed(context: &JobContext, chunk: u64) -> InterruptCause {
    let offset = context.geometry.chunk_offset(chunk);
    InterruptCause::Damaged(Damage::NotAsClaimed { chunk, offset })
}
