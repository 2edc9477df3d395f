//! The steps that turn chunks of one form into the other, a tile at a time: *prepare* (nothing is changed) and *store*. All jobs
//! in both directions are these two, and `rebuild`, a store that cannot trust what it finds.

use pageseal_crypto::Fingerprint;
use pageseal_format::journal::{ChunkRecord, Direction, RecordKind, WindowRecord};
use pageseal_format::limits::BLOCK;
use pageseal_format::{FLAG_HOLE, TableEntry};
use pageseal_journal::PayloadWriter;
use pageseal_protections::{Protection, is_on};
use pageseal_storage::MappedRange;
use zeroize::{Zeroize, Zeroizing};

use super::context::{JobContext, Side, io_cause};
use super::workers::Tile;
use crate::error::{Damage, InterruptCause};
use crate::surroundings::Draw;

/// What *prepare* found for a run of chunks.
#[derive(Default)]
pub(crate) struct PreparedChunks {
    pub(crate) chunks: Vec<ChunkRecord>,
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// Chunks whose plaintext is no longer what was sealed (rollback of a decrypt).
    pub(crate) changed: Vec<u64>,
}

/// Consecutive chunks of a window that is being prepared.
pub(crate) struct Run<'a> {
    pub(crate) direction: Direction,
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Their entries in the table, where it has some.
    pub(crate) old_entries: &'a [TableEntry],
    /// Which of them are holes; to be asked before they are read, because pages that a read brings into the cache would count as
    /// data.
    pub(crate) holes: &'a [bool],
    /// Where the ciphertext is logged to, and the offset of the window's first byte.
    pub(crate) payload: Option<(&'a PayloadWriter, u64)>,
    /// Whether chunks that become sealed are sealed at once: to be logged, or because they stay in memory until they are stored.
    pub(crate) seals: bool,
}

/// Reads a run of chunks into a buffer of its length and prepares it there.
pub(crate) fn prepare(
    job: &JobContext,
    run: &Run<'_>,
    buffer: &mut [u8],
) -> Result<PreparedChunks, InterruptCause> {
    let (offset, _) = job.geometry.bytes_of_chunks(run.first, run.count);
    match job.data.as_mapped() {
        // Pages that a mapping brings in for writing count as dirty from then on, so a sync of the window before would write
        // these once more than needed, as they still are.
        Some(mapped) if run.seals && prepare_brings_in(job) && !buffer.is_empty() => {
            mapped.copy_out(offset, buffer).map_err(|source| io_cause("reading", offset, source))?;
        }
        _ => read_data(job, buffer, offset)?,
    }
    prepare_in(job, run, buffer)
}

/// Whether the pages of a window that is sealed in private memory and stored into the mapping are in the page tables, writable, from
/// *prepare* on. Where windows are synced, that comes between and takes them away again.
fn prepare_brings_in(job: &JobContext) -> bool {
    !job.syncs_windows()
}

/// Authenticates the chunks that the buffer holds, if they are sealed, fingerprints their plaintext and chooses the entries that they
/// will be sealed under. With `payload`, the ciphertext goes to the journal. With `seals`, the buffer holds the ciphertext
/// afterwards, without, the plaintext.
pub(crate) fn prepare_in(
    job: &JobContext,
    run: &Run<'_>,
    buffer: &mut [u8],
) -> Result<PreparedChunks, InterruptCause> {
    let &Run { direction, first, count, old_entries, holes, payload, seals } = run;
    let (offset, _) = job.geometry.bytes_of_chunks(first, count);
    let (from, to) = job.sides(direction);
    let mut nonces = vec![[0_u8; 24]; count as usize];
    if to == Side::Sealed {
        job.surroundings
            .fill_random(Draw::Nonces, nonces.as_flattened_mut())
            .map_err(|_| InterruptCause::Worker("no random numbers".into()))?;
    }
    let mut prepared = PreparedChunks::default();
    let chunk_len = job.geometry.chunk_len_bytes() as usize;
    if let (Some((writer, window_offset)), Side::Sealed) = (payload, from) {
        write_payload(writer, offset - window_offset, buffer)?;
    }
    let mut pieces: Vec<&mut [u8]> = buffer.chunks_mut(chunk_len).collect();
    if pieces.is_empty() {
        pieces.push(&mut []);
    }
    for ((chunk, piece), nonce) in (first..).zip(pieces).zip(&nonces) {
        let table = old_entries.get((chunk - first) as usize).copied().unwrap_or_default();
        let old = if from == Side::Sealed { table } else { TableEntry::default() };
        if from == Side::Sealed && !job.is_left(chunk) {
            open(job, chunk, &old, piece)?;
        }
        fingerprint(job, chunk, piece, &mut prepared.fingerprints);
        let new = match to {
            Side::Plain => TableEntry::default(),
            Side::Sealed => {
                let hole = holes.get((chunk - first) as usize).is_some_and(|hole| *hole)
                    && piece.iter().all(|byte| *byte == 0);
                let flags = if hole { FLAG_HOLE } else { 0 };
                let fresh = TableEntry { nonce: *nonce, tag: [0; 32], epoch: table.epoch, flags };
                let (entry, changed) = choose_entry(job, chunk, fresh, &table, direction, piece);
                prepared.changed.extend(changed.then_some(chunk));
                entry
            }
        };
        let new = if seals && to == Side::Sealed {
            let tag = seal(job, chunk, &new, piece);
            if let Some((writer, window_offset)) = payload {
                write_payload(writer, job.geometry.chunk_offset(chunk) - window_offset, piece)?;
            }
            TableEntry { tag, ..new }
        } else {
            new
        };
        prepared.chunks.push(ChunkRecord { new, old });
    }
    Ok(prepared)
}

/// The entry that a plain chunk is to be sealed under, and whether it was changed. An encrypt takes the fresh one. The rollback
/// of a decrypt takes the original one if its tag shows that the plaintext is unchanged (then the ciphertext is the old one, bit for
/// bit), else a fresh one: the original nonce must not protect two different plaintexts.
fn choose_entry(
    job: &JobContext,
    chunk: u64,
    fresh: TableEntry,
    original: &TableEntry,
    direction: Direction,
    plaintext: &[u8],
) -> (TableEntry, bool) {
    if direction == Direction::Forward {
        return (fresh, false);
    }
    // This ciphertext never leaves the process, so the original nonce is not used twice.
    let mut copy = Zeroizing::new(plaintext.to_vec());
    let tag = job.keys.chunk.seal_in_place(&job.meta(chunk, original), &mut copy);
    if tag == original.tag {
        (*original, false)
    } else if is_on(Protection::NonceRule) {
        (fresh, true)
    } else {
        (TableEntry { tag: [0; 32], ..*original }, true)
    }
}

/// Stores the chunks `[first, first + count)` of a committed window in their new form and returns their entries, and which of
/// them are to be holes again. Every byte is
/// compared with the record first, or authenticated under its entry: a difference means that somebody writes to the file.
pub(crate) fn store(
    job: &JobContext,
    record: &WindowRecord,
    first: u64,
    count: u64,
    tile: &mut Tile,
) -> Result<(Vec<TableEntry>, Vec<u64>), InterruptCause> {
    let (offset, len) = job.geometry.bytes_of_chunks(first, count);
    let (from, to) = job.sides(record.direction);
    // A tag that is known beforehand (rollback of a decrypt) must be compared before anything is stored, in a tile.
    let tags_are_free = record.chunks.iter().all(|chunk| chunk.new.tag == [0; 32]);
    if record.kind == RecordKind::None
        && to == Side::Sealed
        && tags_are_free
        && job.data.as_mapped().is_some()
    {
        return Ok((seal_in_mapping(job, record, first, count)?, Vec::new()));
    }
    let buffer = tile.slice(len as usize);
    let step = job.workers.chunks_per_tile(job.geometry.chunk_len_bytes());
    let mut entries = Vec::with_capacity(count as usize);
    let mut rest = &mut buffer[..];
    for skip in (0..count).step_by(step as usize) {
        let part = step.min(count - skip);
        let (start, part_len) = job.geometry.bytes_of_chunks(first + skip, part);
        let piece;
        (piece, rest) = rest.split_at_mut(part_len as usize);
        read_data(job, piece, start)?;
        if from == Side::Sealed {
            // The tag says that this is what was recorded, just as fingerprints would.
            open_all(job, record, first + skip, part, piece)?;
            entries.resize(entries.len() + part as usize, TableEntry::default());
        } else {
            entries.extend(convert_in(job, record, first + skip, part, piece)?);
        }
    }
    write_data(job, buffer, offset)?;
    let holes = empty_chunks(job, record, first, count, buffer);
    // What will be a hole need not be written.
    let is_kept = (holes.len() as u64) < count;
    if is_kept && (job.syncs_windows() || job.drops_behind) {
        job.data.start_write_back(offset, len).map_err(|source| io_cause("writing", offset, source))?;
    }
    Ok((entries, holes))
}

fn open_all(
    job: &JobContext,
    record: &WindowRecord,
    first: u64,
    count: u64,
    buffer: &mut [u8],
) -> Result<(), InterruptCause> {
    let mut rest = buffer;
    for chunk in first..first + count {
        let piece;
        (piece, rest) = rest.split_at_mut(job.geometry.chunk_len(chunk) as usize);
        if job.is_left(chunk) {
            check_fingerprints(job, record, chunk, piece)?;
        } else {
            open(job, chunk, &record.chunks[(chunk - record.first_chunk) as usize].old, piece)?;
        }
    }
    Ok(())
}

/// Turns the plaintext of chunks, in private memory, into the form that the record gives them. It is compared with the record
/// first: what was read may be what somebody else wrote meanwhile.
pub(crate) fn convert_in(
    job: &JobContext,
    record: &WindowRecord,
    first: u64,
    count: u64,
    buffer: &mut [u8],
) -> Result<Vec<TableEntry>, InterruptCause> {
    let (_, to) = job.sides(record.direction);
    let mut entries = Vec::with_capacity(count as usize);
    let mut rest = buffer;
    for chunk in first..first + count {
        let piece;
        (piece, rest) = rest.split_at_mut(job.geometry.chunk_len(chunk) as usize);
        let planned = &record.chunks[(chunk - record.first_chunk) as usize];
        check_fingerprints(job, record, chunk, piece)?;
        entries.push(finish_chunk(job, to, chunk, &planned.new, piece)?);
    }
    Ok(entries)
}

/// Stores ciphertext that was sealed for the record and kept in memory, over the plaintext in the mapping, which is compared with
/// the record first. The bytes that are stored do not depend on what is compared, so looking at the mapping itself is enough.
pub(crate) fn store_sealed(
    job: &JobContext,
    record: &WindowRecord,
    first: u64,
    count: u64,
    sealed: &[u8],
) -> Result<(), InterruptCause> {
    let Some(mapped) = job.data.as_mapped() else {
        return Err(InterruptCause::Worker("the store is not a mapping".into()));
    };
    if !prepare_brings_in(job) {
        bring_in(job, mapped, first, count)?;
    }
    let mut rest = sealed;
    for chunk in first..first + count {
        let piece;
        (piece, rest) = rest.split_at(job.geometry.chunk_len(chunk) as usize);
        let offset = job.geometry.chunk_offset(chunk);
        // A chunk at a time: what was compared is still in the processor's cache when it is stored over.
        let mut compared = Ok(());
        let stored = replace(mapped, offset, piece, &mut |bytes| {
            compared = compare(job, record, chunk, bytes);
            compared.is_ok()
        });
        stored.map_err(|source| io_cause("writing", offset, source))?;
        compared?;
    }
    Ok(())
}

/// Brings the pages of chunks in at once, as that costs less than chunk by chunk.
fn bring_in(
    job: &JobContext,
    mapped: &dyn MappedRange,
    first: u64,
    count: u64,
) -> Result<(), InterruptCause> {
    let (offset, len) = job.geometry.bytes_of_chunks(first, count);
    mapped.bring_in(offset, len as usize).map_err(|source| io_cause("writing", offset, source))
}

/// Stores into the mapping if `check` agrees with what is there, in order, so that a kill leaves what fingerprints can tell apart.
fn replace(
    mapped: &dyn MappedRange,
    offset: u64,
    bytes: &[u8],
    check: &mut dyn FnMut(&[u8]) -> bool,
) -> std::io::Result<()> {
    if is_on(Protection::StoreInOrder) {
        return mapped.replace(offset, bytes, check).map(drop);
    }
    mapped.with_range_again(offset, bytes.len(), &mut |range| {
        if check(range) {
            range.copy_from_slice(bytes);
        }
    })
}

/// The zero-copy store: the cipher works on the file's own pages. Only for a job without records, which promises nothing about
/// an interruption: a page can be written back while the cipher is in it.
fn seal_in_mapping(
    job: &JobContext,
    record: &WindowRecord,
    first: u64,
    count: u64,
) -> Result<Vec<TableEntry>, InterruptCause> {
    let Some(mapped) = job.data.as_mapped() else {
        return Err(InterruptCause::Worker("the store is not a mapping".into()));
    };
    bring_in(job, mapped, first, count)?;
    let mut entries = Vec::with_capacity(count as usize);
    for chunk in first..first + count {
        let planned = record.chunks[(chunk - record.first_chunk) as usize].new;
        let (offset, len) = (job.geometry.chunk_offset(chunk), job.geometry.chunk_len(chunk));
        let mut tag = [0; 32];
        mapped
            .with_range_again(offset, len as usize, &mut |bytes| {
                tag = seal(job, chunk, &planned, bytes);
            })
            .map_err(|source| io_cause("sealing in the mapping", offset, source))?;
        entries.push(TableEntry { tag, ..planned });
    }
    Ok(entries)
}

/// Seals bytes that leave the process.
fn seal(job: &JobContext, chunk: u64, entry: &TableEntry, piece: &mut [u8]) -> [u8; 32] {
    let tag = job.keys.chunk.seal_in_place(&job.meta(chunk, entry), piece);
    job.surroundings.chunk_leaves(&entry.nonce, &tag);
    tag
}

/// Turns the checked plaintext of a chunk into its new form, in the private tile.
pub(super) fn finish_chunk(
    job: &JobContext,
    to: Side,
    chunk: u64,
    planned: &TableEntry,
    piece: &mut [u8],
) -> Result<TableEntry, InterruptCause> {
    if to == Side::Plain {
        return Ok(TableEntry::default());
    }
    let tag = job.keys.chunk.seal_in_place(&job.meta(chunk, planned), piece);
    // A tag that the record already names proves that the same bytes are stored under the same nonce.
    if planned.tag != [0; 32] && planned.tag != tag {
        piece.zeroize();
        return Err(InterruptCause::Worker(format!("chunk {chunk} sealed to another tag than was recorded")));
    }
    job.surroundings.chunk_leaves(&planned.nonce, &tag);
    Ok(TableEntry { tag, ..*planned })
}

fn open(job: &JobContext, chunk: u64, entry: &TableEntry, piece: &mut [u8]) -> Result<(), InterruptCause> {
    let offset = job.geometry.chunk_offset(chunk);
    job.keys
        .chunk
        .open_in_place(&job.meta(chunk, entry), &entry.tag, piece)
        .map_err(|_| InterruptCause::Damaged(Damage::Chunk { chunk, offset }))
}

fn fingerprint(job: &JobContext, chunk: u64, plaintext: &[u8], out: &mut Vec<Fingerprint>) {
    if job.record_kind == RecordKind::None {
        return;
    }
    let (first_block, blocks) = job.geometry.blocks_of_chunks(chunk, 1);
    let start = out.len();
    out.resize(start + blocks as usize, Fingerprint::default());
    job.keys.fingerprint.blocks(job.job_sequence, first_block, plaintext, &mut out[start..]);
}

pub(super) fn fingerprints_of<'r>(
    job: &JobContext,
    record: &'r WindowRecord,
    chunk: u64,
) -> (u64, &'r [Fingerprint]) {
    let (first_block, blocks) = job.geometry.blocks_of_chunks(chunk, 1);
    let (window_block, _) = job.geometry.blocks_of_chunks(record.first_chunk, record.chunks.len() as u64);
    let start = (first_block - window_block) as usize;
    (first_block, &record.fingerprints[start..start + blocks as usize])
}

/// Compares plaintext in private memory with the record, and wipes it if it is not the one.
pub(super) fn check_fingerprints(
    job: &JobContext,
    record: &WindowRecord,
    chunk: u64,
    plaintext: &mut [u8],
) -> Result<(), InterruptCause> {
    compare(job, record, chunk, plaintext).inspect_err(|_| plaintext.zeroize())
}

fn compare(
    job: &JobContext,
    record: &WindowRecord,
    chunk: u64,
    plaintext: &[u8],
) -> Result<(), InterruptCause> {
    if record.kind == RecordKind::None || !is_on(Protection::TileRecheck) {
        return Ok(());
    }
    let (first_block, expected) = fingerprints_of(job, record, chunk);
    let mut found = vec![Fingerprint::default(); expected.len()];
    job.keys.fingerprint.blocks(job.job_sequence, first_block, plaintext, &mut found);
    match found.iter().zip(expected).position(|(found, expected)| found != expected) {
        None => Ok(()),
        Some(block) => {
            let offset = (first_block + block as u64) * BLOCK;
            Err(InterruptCause::ChangedByOthers {
                what: format!("the block at offset {offset} has other content"),
            })
        }
    }
}

/// Which of the chunks were holes of a sparse file and are to be such again.
pub(super) fn empty_chunks(
    job: &JobContext,
    record: &WindowRecord,
    first: u64,
    count: u64,
    stored: &[u8],
) -> Vec<u64> {
    let (_, to) = job.sides(record.direction);
    if to != Side::Plain {
        return Vec::new();
    }
    let (start, _) = job.geometry.bytes_of_chunks(first, count);
    let is_empty = |chunk: &u64| {
        let flagged = record.chunks[(chunk - record.first_chunk) as usize].old.flags & FLAG_HOLE != 0;
        let (offset, len) = (job.geometry.chunk_offset(*chunk), job.geometry.chunk_len(*chunk));
        flagged && stored[(offset - start) as usize..][..len as usize].iter().all(|byte| *byte == 0)
    };
    (first..first + count).filter(is_empty).collect()
}

/// Gives the holes of a sparse file back, a run of chunks at a time: a call for each chunk took longer than opening them. Best effort:
/// zeros on disk read the same.
pub(super) fn punch_holes(job: &JobContext, chunks: impl IntoIterator<Item = u64>) {
    let mut run = 0..0;
    for chunk in chunks.into_iter().chain([u64::MAX]) {
        if chunk == run.end && !run.is_empty() {
            run.end += 1;
            continue;
        }
        if !run.is_empty() {
            let (offset, len) = job.geometry.bytes_of_chunks(run.start, run.end - run.start);
            // Refused by some file systems; the content is right either way.
            let _ = job.data.punch_hole(offset, len);
        }
        run = chunk..chunk.saturating_add(1);
    }
}

pub(super) fn read_data(job: &JobContext, buffer: &mut [u8], offset: u64) -> Result<(), InterruptCause> {
    job.data.read_exact_at(buffer, offset).map_err(|source| io_cause("reading", offset, source))
}

pub(super) fn write_data(job: &JobContext, bytes: &[u8], offset: u64) -> Result<(), InterruptCause> {
    if bytes.is_empty() {
        return Ok(());
    }
    let result = match job.data.as_mapped() {
        Some(mapped) => {
            mapped.bring_in(offset, bytes.len()).and_then(|()| replace(mapped, offset, bytes, &mut |_| true))
        }
        None => job.data.write_all_at(bytes, offset),
    };
    result.map_err(|source| io_cause("writing", offset, source))
}

fn write_payload(writer: &PayloadWriter, offset: u64, bytes: &[u8]) -> Result<(), InterruptCause> {
    writer.write_at(offset, bytes).map_err(|source| InterruptCause::Journal { source: Box::new(source) })
}
