//! Windows in flight: *prepare* > *commit* > *store* > *settle*, each stage on a window of its own.
//!
//! The thread that calls [`run`] prepares and commits; one thread stores; one waits for the disk. A window enters
//! the store stage only as a [`CommittedWindow`], which nothing but a durable journal commit can make.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Scope;

use pageseal_format::TableEntry;
use pageseal_format::journal::{ChunkRecord, Direction, JobKind, RecordKind, WindowRecord};
use pageseal_format::limits::BLOCK;
use pageseal_journal::{CommittedWindow, Journal, JournalError, RingSlot, SettledMark, WindowPlan};
use pageseal_storage::Storage;

use super::context::{JobContext, Keeps, SYNCING, Side, io_cause};
use super::convert::{self, empty_chunks, punch_holes, write_data};
use super::handover::Handover;
use super::read_ahead::ReadAhead;
use super::rebuild::{Unrecoverable, prove, rebuild};
use super::steps::timed;
use super::workers::{Parts, Tile, Tiles};
use crate::control::{Control, Notice, Step};
use crate::error::InterruptCause;
use crate::surroundings::Schedule;

/// Threads of a run.
const STAGES: usize = 3;

/// How a run over the windows ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// All windows are settled.
    Completed,
    /// Stopped at a window border because the caller asked.
    Cancelled,
}

/// A window that may be stored, and its plaintext if that stayed in memory.
struct ReadyWindow {
    window: CommittedWindow,
    kept: Option<Tile>,
}

/// A window whose bytes have been given to the kernel but are not known to be on the medium.
pub(crate) struct StoredWindow(CommittedWindow);

/// What the stages share.
type Windows<'s> = Handover<'s, ReadyWindow, StoredWindow, SettledMark, InterruptCause>;

/// A stage that panics (in the caller's callback, say) fails the job; the others must not wait for it for ever.
fn guard(windows: &Windows<'_>, stage: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(stage)).is_err() {
        windows.fail(InterruptCause::Worker("a stage of the pipeline panicked".into()));
    }
}

/// Starts the thread of a stage. If the system has none to give, the job fails, and so the other stages do not wait for this one.
fn start_stage<'scope>(
    scope: &'scope Scope<'scope, '_>,
    windows: &Windows<'_>,
    name: &str,
    stage: impl FnOnce() + Send + 'scope,
) {
    if let Err(source) = std::thread::Builder::new().name(name.into()).spawn_scoped(scope, stage) {
        windows.fail(InterruptCause::Threads { source });
    }
}

/// Gives the turn away for good when a stage ends, however it does.
struct Turn<'s>(Option<&'s dyn Schedule>);

impl<'s> Turn<'s> {
    fn enter(schedule: Option<&'s dyn Schedule>, stage: usize) -> Self {
        if let Some(schedule) = schedule {
            schedule.enter(stage);
        }
        Turn(schedule)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(schedule) = self.0 {
            schedule.leave();
        }
    }
}

/// Converts all windows from the settled watermark to the end of the direction. Returns the last settled mark with
/// the result, so that a failed run can still say how far it came.
pub(crate) fn run(
    job: &JobContext,
    journal: &mut Journal,
    start: SettledMark,
    direction: Direction,
    control: &Control<'_>,
) -> (SettledMark, Result<RunEnd, InterruptCause>) {
    let first_watermark = start.watermark();
    let schedule = job.surroundings.schedule();
    let windows = Windows::new(start, schedule);
    if let Some(schedule) = schedule {
        schedule.begin(STAGES);
    }
    let end = std::thread::scope(|scope| {
        let stages = &windows;
        start_stage(scope, stages, "pageseal-store", move || {
            let _turn = Turn::enter(schedule, 1);
            guard(stages, || store_stage(job, stages, control));
            stages.close_stored();
        });
        start_stage(scope, stages, "pageseal-settle", move || {
            let _turn = Turn::enter(schedule, 2);
            guard(stages, || settle_stage(job, stages, control));
        });
        let _turn = Turn(schedule);
        let mut end = RunEnd::Completed;
        let mut ahead = ReadAhead::new(scope, job, control.progress);
        guard(stages, || {
            end = commit_stage(job, journal, stages, &mut ahead, direction, first_watermark, control);
        });
        stages.close_committed();
        end
    });
    let (mark, failure) = windows.end();
    (mark, failure.map_or(Ok(end), Err))
}

fn commit_stage(
    job: &JobContext,
    journal: &mut Journal,
    windows: &Windows<'_>,
    ahead: &mut ReadAhead<'_, '_>,
    direction: Direction,
    first_watermark: u64,
    control: &Control<'_>,
) -> RunEnd {
    let mut watermark = first_watermark;
    while let Some((first, count)) = job.next_window(direction, watermark) {
        if control.cancellation.is_cancelled() {
            return RunEnd::Cancelled;
        }
        if windows.has_failed() {
            break;
        }
        let next = job.next_window(direction, watermark_after(direction, first, count));
        let window = Window { direction, first, count, next };
        let committed = prepare_and_commit(job, journal, windows, ahead, &window, control);
        match committed {
            Ok(Some(window)) => {
                if !windows.give_committed(window) {
                    break;
                }
            }
            Ok(None) => break,
            Err(cause) => {
                windows.fail(cause);
                break;
            }
        }
        watermark = watermark_after(direction, first, count);
    }
    RunEnd::Completed
}

fn watermark_after(direction: Direction, first: u64, count: u64) -> u64 {
    if direction == Direction::Forward { first + count } else { first }
}

/// A window that is to be prepared, and the one after it.
struct Window {
    direction: Direction,
    first: u64,
    count: u64,
    next: Option<(u64, u64)>,
}

/// `None` if another stage failed meanwhile.
fn prepare_and_commit(
    job: &JobContext,
    journal: &mut Journal,
    windows: &Windows<'_>,
    ahead: &mut ReadAhead<'_, '_>,
    window: &Window,
    control: &Control<'_>,
) -> Result<Option<ReadyWindow>, InterruptCause> {
    let &Window { direction, first, count, next } = window;
    job.check_undisturbed()?;
    let slot = if job.record_kind == RecordKind::None {
        None
    } else {
        Some(journal.reserve_slot(first, count).map_err(journal_cause)?)
    };
    let mut kept = match &job.keeps {
        Keeps::Sealed(tiles) if job.sides(direction).1 == Side::Sealed => Some(tiles.take()),
        _ => ahead.take(first, count)?,
    };
    if let Some((first, count)) = next {
        ahead.start(first, count);
    }
    let PreparedWindow { plan, changed } =
        timed(job, control.progress, Step::Prepare, (first, count), || {
            prepare_window(job, journal, slot.as_ref(), window, kept.as_mut())
        })?;
    for chunk in changed {
        control.progress.notice(&Notice::ChunkChangedSinceOpened { chunk });
    }
    // The record of this window carries the retirement that lets the next one take its ring slot.
    let needed = journal.must_settle_before_commit();
    let Some(mark) = windows.wait_until(|mark| mark.sequence() >= needed) else { return Ok(None) };
    let window = timed(job, control.progress, Step::Commit, (first, count), || match slot {
        Some(slot) => journal.commit(slot, plan, &mark),
        None => journal.unprotected_window(plan),
    });
    window.map(|window| Some(ReadyWindow { window, kept })).map_err(journal_cause)
}

/// What *prepare* found for a window.
struct PreparedWindow {
    plan: WindowPlan,
    /// Chunks whose plaintext is no longer what was sealed.
    changed: Vec<u64>,
}

fn prepare_window(
    job: &JobContext,
    journal: &Journal,
    slot: Option<&RingSlot>,
    window: &Window,
    kept: Option<&mut Tile>,
) -> Result<PreparedWindow, InterruptCause> {
    let &Window { direction, first, count, .. } = window;
    let needs_table = !(job.sides(direction).0 == Side::Plain && direction == Direction::Forward);
    let entries = if needs_table { read_entries(job, first, count)? } else { Vec::new() };
    let writer = match slot {
        Some(slot) if job.record_kind == RecordKind::FingerprintsAndPayload => {
            Some(journal.payload_writer(slot))
        }
        _ => None,
    };
    let holes = job.holes_in(first, count)?;
    let (window_offset, window_len) = job.geometry.bytes_of_chunks(first, count);
    let payload = writer.as_ref().map(|writer| (writer, window_offset));
    let seals = writer.is_some() || (kept.is_some() && matches!(job.keeps, Keeps::Sealed(_)));
    let run_of = |skip: u64, part: u64| {
        let range = skip as usize..(skip + part) as usize;
        let (old_entries, holes) = (entries.get(range.clone()).unwrap_or(&[]), &holes[range]);
        convert::Run { direction, first: first + skip, count: part, old_entries, holes, payload, seals }
    };
    let step = job.workers.chunks_per_tile(job.geometry.chunk_len_bytes());
    let items = count.div_ceil(step);
    let prepared = match kept {
        Some(tile) => {
            let buffer = tile.slice(window_len as usize);
            let parts = Parts::new(buffer, step * job.geometry.chunk_len_bytes());
            let was_read = matches!(job.keeps, Keeps::Windows(_));
            let prepare = if was_read { convert::prepare_in } else { convert::prepare };
            job.workers.for_each(items, |item, _| {
                let (skip, part) = part_of(item, step, count);
                prepare(job, &run_of(skip, part), &mut parts.part(item))
            })?
        }
        None => job.workers.for_each(items, |item, tile| {
            let (skip, part) = part_of(item, step, count);
            let (_, len) = job.geometry.bytes_of_chunks(first + skip, part);
            convert::prepare(job, &run_of(skip, part), tile.slice(len as usize))
        })?,
    };
    let mut changed = Vec::new();
    let mut plan = WindowPlan {
        direction,
        first_chunk: first,
        payload_len: if writer.is_some() { window_len } else { 0 },
        chunks: Vec::with_capacity(count as usize),
        fingerprints: Vec::new(),
    };
    for part in prepared {
        plan.chunks.extend(part.chunks);
        plan.fingerprints.extend(part.fingerprints);
        changed.extend(part.changed);
    }
    Ok(PreparedWindow { plan, changed })
}

fn store_stage(job: &JobContext, windows: &Windows<'_>, control: &Control<'_>) {
    while let Some(ready) = windows.take_committed() {
        let range = chunks_of(&ready.window);
        match timed(job, control.progress, Step::Store, range, || store_window(job, ready)) {
            Ok(stored) => {
                if !windows.give_stored(stored) {
                    return;
                }
            }
            Err(cause) => return windows.fail(cause),
        }
    }
}

fn settle_stage(job: &JobContext, windows: &Windows<'_>, control: &Control<'_>) {
    let mut behind = Behind::default();
    while let Some(window) = windows.take_stored() {
        let range = chunks_of(&window.0);
        let (_, bytes) = job.geometry.bytes_of_chunks(range.0, range.1);
        match timed(job, control.progress, Step::Settle, range, || settle(job, window, &mut behind)) {
            Ok(mark) => {
                control.progress.advance(bytes);
                windows.settled(mark);
            }
            Err(cause) => return windows.fail(cause),
        }
    }
}

/// First chunk and count.
fn chunks_of(window: &CommittedWindow) -> (u64, u64) {
    let record = window.record();
    (record.first_chunk, record.chunks.len() as u64)
}

/// Stores a window. The committed record is consumed: no window is stored without one.
fn store_window(job: &JobContext, ready: ReadyWindow) -> Result<StoredWindow, InterruptCause> {
    let ReadyWindow { window, kept } = ready;
    let record = window.record();
    let (first, count) = (record.first_chunk, record.chunks.len() as u64);
    let step = job.workers.chunks_per_tile(job.geometry.chunk_len_bytes());
    let items = count.div_ceil(step);
    announce(job, record, &[])?;
    let entries = match (kept, &job.keeps) {
        (Some(tile), Keeps::Windows(tiles)) => store_kept(job, record, tile, tiles)?,
        (Some(mut tile), Keeps::Sealed(tiles)) => {
            let (_, len) = job.geometry.bytes_of_chunks(first, count);
            let parts = Parts::new(tile.slice(len as usize), step * job.geometry.chunk_len_bytes());
            job.workers.for_each(items, |item, _| {
                let (skip, part) = part_of(item, step, count);
                convert::store_sealed(job, record, first + skip, part, &parts.part(item))
            })?;
            drop(parts);
            tiles.give_back(tile);
            entries_of(record)
        }
        _ => {
            // The mapping is written by the processor, which likes what it has just read.
            let step = match job.data.as_mapped() {
                Some(_) => step,
                None => job.workers.chunks_per_store(job.geometry.chunk_len_bytes(), count),
            };
            let stored = job.workers.for_each(count.div_ceil(step), |item, tile| {
                let (skip, part) = part_of(item, step, count);
                convert::store(job, record, first + skip, part, tile)
            })?;
            let (entries, holes): (Vec<_>, Vec<_>) = stored.into_iter().unzip();
            punch_holes(job, holes.into_iter().flatten());
            entries.concat()
        }
    };
    write_entries(job, record.direction, first, &entries)?;
    Ok(StoredWindow(window))
}

/// Stores a window that stayed in memory, as *prepare* left it: sealed, if it was logged in this form, else plain.
fn store_kept(
    job: &JobContext,
    record: &WindowRecord,
    mut tile: Tile,
    tiles: &Tiles,
) -> Result<Vec<TableEntry>, InterruptCause> {
    let (first, count) = (record.first_chunk, record.chunks.len() as u64);
    let (offset, len) = job.geometry.bytes_of_chunks(first, count);
    let buffer = tile.slice(len as usize);
    let is_sealed =
        record.kind == RecordKind::FingerprintsAndPayload && job.sides(record.direction).1 == Side::Sealed;
    let entries = if is_sealed {
        entries_of(record)
    } else {
        let step = job.workers.chunks_per_tile(job.geometry.chunk_len_bytes());
        let parts = Parts::new(buffer, step * job.geometry.chunk_len_bytes());
        let entries = job.workers.for_each(count.div_ceil(step), |item, _| {
            let (skip, part) = part_of(item, step, count);
            convert::convert_in(job, record, first + skip, part, &mut parts.part(item))
        })?;
        drop(parts);
        entries.concat()
    };
    write_data(job, buffer, offset)?;
    punch_holes(job, empty_chunks(job, record, first, count, buffer));
    tiles.give_back(tile);
    Ok(entries)
}

/// The entries that the record gives the window's chunks.
fn entries_of(record: &WindowRecord) -> Vec<TableEntry> {
    record.chunks.iter().map(|chunk| chunk.new).collect()
}

/// Brings a window that an earlier run left in flight to its new form, from whatever it is in, and settles it.
pub(crate) fn recover_window(
    job: &JobContext,
    journal: &Journal,
    window: CommittedWindow,
) -> Result<SettledMark, InterruptCause> {
    let record = window.record();
    let (first, count) = (record.first_chunk, record.chunks.len() as u64);
    // A torn block of the table has no hints to keep.
    announce(job, record, &read_entries(job, first, count).unwrap_or_default())?;
    let entries =
        job.workers.for_each(count, |item, tile| rebuild(job, journal, &window, first + item, tile))?;
    write_entries(job, record.direction, first, &entries)?;
    settle(job, StoredWindow(window), &mut Behind::default())
}

/// Whether [`recover_window`] will succeed, as far as the bytes decide it: the chunks that it cannot recover. Stores nothing.
pub(crate) fn prove_window(
    job: &JobContext,
    journal: &Journal,
    window: &CommittedWindow,
) -> Result<Vec<Unrecoverable>, InterruptCause> {
    let (first, count) = chunks_of(window);
    let proved = job.workers.for_each(count, |item, tile| prove(job, journal, window, first + item, tile))?;
    Ok(proved.into_iter().flatten().collect())
}

/// Says in the table, before the first chunk of a window is stored that was never sealed, that this is about to happen: by entries
/// without a tag. Else nothing in the file would tell chunks that are half stored from plaintext, if a journal is laid beside it that
/// does not know of the window. Best effort: it is not synced before the store. `found` is what recovery needs to be kept.
fn announce(job: &JobContext, record: &WindowRecord, found: &[TableEntry]) -> Result<(), InterruptCause> {
    let never_sealed = job.kind == JobKind::Encrypt && record.direction == Direction::Forward;
    if !never_sealed {
        return Ok(());
    }
    let announced = |(number, chunk): (usize, &ChunkRecord)| match found.get(number) {
        Some(entry) if entry.nonce == chunk.new.nonce => *entry,
        _ => TableEntry { tag: [0; 32], ..chunk.new },
    };
    let entries: Vec<_> = record.chunks.iter().enumerate().map(announced).collect();
    write_entries(job, record.direction, record.first_chunk, &entries)
}

/// Waits for the medium where the job promises that; only then does the window count as settled.
fn settle(
    job: &JobContext,
    window: StoredWindow,
    behind: &mut Behind,
) -> Result<SettledMark, InterruptCause> {
    let record = window.0.record();
    let (offset, len) = job.geometry.bytes_of_chunks(record.first_chunk, record.chunks.len() as u64);
    if job.syncs_windows() {
        job.data.sync_data().map_err(|source| io_cause(SYNCING, 0, source))?;
    }
    if let Some(mapped) = job.data.as_mapped() {
        mapped.release(offset, len as usize);
    }
    if job.drops_behind {
        behind.leave_cache(&*job.data, offset, len);
    }
    Ok(window.0.settled())
}

/// The windows that were settled last, whose pages may still be in the page cache.
#[derive(Default)]
struct Behind(VecDeque<(u64, u64)>);

impl Behind {
    /// So many windows are on their way to the disk at most, as good as always: submitting a tile waits while the disk has enough to do.
    const WINDOWS: usize = 8;

    /// Gives up the pages of this window and of those before it. Without a sync, some are still to be written, and stay until a later
    /// call. They are not waited for: whoever waits is told of an error that the sync in the end must tell of, and if the process
    /// is killed meanwhile, nobody knows of it.
    fn leave_cache(&mut self, data: &dyn Storage, offset: u64, len: u64) {
        self.0.truncate(Self::WINDOWS - 1);
        self.0.push_front((offset, len));
        for (offset, len) in &self.0 {
            data.forget(*offset, *len);
        }
    }
}

/// The `part`-th run of `step` out of `count` chunks: how many to skip and how many it has.
fn part_of(item: u64, step: u64, count: u64) -> (u64, u64) {
    let skip = item * step;
    (skip, step.min(count - skip))
}

/// Reads table entries and checks their form.
pub(crate) fn read_entries(
    job: &JobContext,
    first: u64,
    count: u64,
) -> Result<Vec<TableEntry>, InterruptCause> {
    crate::sealed::read_entries(&*job.data, &job.geometry, first, count).map_err(|error| match error {
        crate::sealed::TableError::Io { offset, source } => {
            io_cause("reading the chunk table", offset, source)
        }
        crate::sealed::TableError::Malformed { chunk } => {
            InterruptCause::Damaged(crate::error::Damage::Table { chunk })
        }
    })
}

/// Writes the entries of a window, in whole blocks: a window's entries share no block with another's.
fn write_entries(
    job: &JobContext,
    direction: Direction,
    first: u64,
    entries: &[TableEntry],
) -> Result<(), InterruptCause> {
    if job.sides(direction).1 == Side::Plain {
        return Ok(());
    }
    let offset = job.geometry.table_entry_offset(first);
    let table_end = job.geometry.table_offset() + job.geometry.table_len();
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.encode()).collect();
    let is_last = first + entries.len() as u64 == job.geometry.chunk_count();
    if is_last {
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize).min((table_end - offset) as usize), 0);
    }
    job.data
        .write_all_at(&bytes, offset)
        .map_err(|source| io_cause("writing the chunk table", offset, source))
}

fn journal_cause(source: JournalError) -> InterruptCause {
    InterruptCause::Journal { source: Box::new(source) }
}
