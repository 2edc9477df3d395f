//! Storing a window that an earlier run left in flight: its sectors are in any mixture of old and new.

use pageseal_crypto::{ExpectedBlocks, Form, RebuildError, TEAR_UNIT_BYTES, Torn, rebuild_chunk};
use pageseal_format::TableEntry;
use pageseal_format::journal::{ChunkRecord, RecordKind, Resilience};
use pageseal_format::limits::BLOCK;
use pageseal_journal::{CommittedWindow, Journal};
use pageseal_protections::{Protection, is_on};
use pageseal_storage::STORE_UNIT_BYTES;
use zeroize::{Zeroize, Zeroizing};

use super::context::{JobContext, Side};
use super::convert::{
    check_fingerprints, empty_chunks, fingerprints_of, finish_chunk, punch_holes, read_data, write_data,
};
use super::pipeline::read_entries;
use super::workers::Tile;
use crate::error::{Damage, InterruptCause};

// Recovery looks for a tear at just those places where a store in order can have stopped.
const _: () = assert!(STORE_UNIT_BYTES == TEAR_UNIT_BYTES);

/// Recovers one chunk of a window in flight and stores **all** of it again, whatever it looks like: after a failed sync the
/// cache may show bytes that the disk never got.
pub(crate) fn rebuild(
    job: &JobContext,
    journal: &Journal,
    window: &CommittedWindow,
    chunk: u64,
    tile: &mut Tile,
) -> Result<TableEntry, InterruptCause> {
    let record = window.record();
    let (_, to) = job.sides(record.direction);
    let offset = job.geometry.chunk_offset(chunk);
    let planned = planned(window, chunk);
    if job.is_left(chunk) {
        return Ok(entry_of_left(job, to, chunk, planned));
    }
    let (buffer, spare) = tile_pair(job, chunk, tile);
    recover_plaintext(job, journal, window, chunk, buffer, spare)?;
    let entry = finish_chunk(job, to, chunk, &planned.new, buffer)?;
    if is_on(Protection::RestoreOnRecovery) || looks_different(job, buffer, offset, spare)? {
        write_data(job, buffer, offset)?;
    }
    punch_holes(job, empty_chunks(job, record, chunk, 1, buffer));
    buffer.zeroize();
    Ok(entry)
}

/// A tag that no chunk has. (Zeros say that a chunk is about to be sealed, which is refused outside of the windows in flight.)
const NO_TAG: [u8; 32] = [0xFF; 32];

/// The entry of a chunk that stays as it is. Nothing is sealed, so no nonce is used; and it does not open under this entry.
fn entry_of_left(job: &JobContext, to: Side, chunk: u64, planned: &ChunkRecord) -> TableEntry {
    if to == Side::Plain {
        return TableEntry::default();
    }
    // Under the tag that the table has already, it opens again if what was changed is put back.
    let found = read_entries(job, chunk, 1).unwrap_or_default();
    let sealed = |entry: &&TableEntry| entry.nonce == planned.new.nonce && entry.tag != [0; 32];
    let known = [planned.new].iter().chain(&found).find(sealed).map(|entry| entry.tag);
    TableEntry { tag: known.unwrap_or(NO_TAG), ..planned.new }
}

/// A chunk that is neither in its old nor in its new form, nor in a mixture of them.
pub(crate) struct Unrecoverable {
    pub(crate) chunk: u64,
    pub(crate) damage: Damage,
}

/// Whether [`rebuild`] will recover the chunk. Stores nothing.
pub(crate) fn prove(
    job: &JobContext,
    journal: &Journal,
    window: &CommittedWindow,
    chunk: u64,
    tile: &mut Tile,
) -> Result<Option<Unrecoverable>, InterruptCause> {
    let (buffer, spare) = tile_pair(job, chunk, tile);
    refuse_other_run(job, window, chunk, buffer)?;
    let damage = match recover_plaintext(job, journal, window, chunk, buffer, spare) {
        Ok(()) => find_left_before(job, window, chunk, buffer),
        Err(InterruptCause::Damaged(
            damage @ (Damage::NeitherOldNorNew { .. } | Damage::Ambiguous { .. }),
        )) => Some(damage),
        Err(cause) => return Err(cause),
    };
    buffer.zeroize();
    Ok(damage.map(|damage| Unrecoverable { chunk, damage }))
}

/// Whether an earlier run left a chunk as it was, in a window that becomes plain: its bytes are those of the record, but they are not
/// what its entry sealed.
fn find_left_before(
    job: &JobContext,
    window: &CommittedWindow,
    chunk: u64,
    plaintext: &[u8],
) -> Option<Damage> {
    if job.sides(window.record().direction).0 == Side::Plain {
        return None;
    }
    let entry = &planned(window, chunk).old;
    let tag = job.keys.chunk.seal_in_place(&job.meta(chunk, entry), &mut Zeroizing::new(plaintext.to_vec()));
    let offset = job.geometry.chunk_offset(chunk);
    (tag != entry.tag).then_some(Damage::NeitherOldNorNew { chunk, offset })
}

/// A chunk that opens under an entry of the table that is not the record's was sealed by a run that this journal does not know:
/// the file, or a copy of it, went on with another journal.
fn refuse_other_run(
    job: &JobContext,
    window: &CommittedWindow,
    chunk: u64,
    buffer: &mut [u8],
) -> Result<(), InterruptCause> {
    // A torn table block may not even parse.
    let Ok(entries) = read_entries(job, chunk, 1) else { return Ok(()) };
    let planned = planned(window, chunk);
    let is_known = |entry: &TableEntry| [planned.old.nonce, planned.new.nonce].contains(&entry.nonce);
    for entry in entries.iter().filter(|entry| entry.tag != [0; 32] && !is_known(entry)) {
        let offset = job.geometry.chunk_offset(chunk);
        read_data(job, buffer, offset)?;
        let mut opened = Zeroizing::new(buffer.to_vec());
        let opens = job.keys.chunk.open_in_place(&job.meta(chunk, entry), &entry.tag, &mut opened).is_ok();
        if opens && opened[..] != *buffer {
            return Err(InterruptCause::Damaged(Damage::NotAsClaimed { chunk, offset }));
        }
    }
    Ok(())
}

/// Two buffers of the chunk's length.
fn tile_pair<'t>(job: &JobContext, chunk: u64, tile: &'t mut Tile) -> (&'t mut [u8], &'t mut [u8]) {
    let len = job.geometry.chunk_len(chunk) as usize;
    let (buffer, spare) = tile.pair(job.geometry.chunk_len_bytes() as usize);
    (&mut buffer[..len], &mut spare[..len])
}

/// The chunk's plaintext, from whatever is in the file and the journal.
fn recover_plaintext(
    job: &JobContext,
    journal: &Journal,
    window: &CommittedWindow,
    chunk: u64,
    buffer: &mut [u8],
    spare: &mut [u8],
) -> Result<(), InterruptCause> {
    if from_payload(job, journal, window, chunk, buffer)? {
        refuse_foreign(job, window, chunk, buffer, spare)?;
    } else {
        read_data(job, buffer, job.geometry.chunk_offset(chunk))?;
        let is_whole = from_whole_form(job, window, chunk, buffer, spare)?;
        if !is_whole && is_on(Protection::FingerprintCheck) {
            from_mixture(job, window, chunk, buffer)?;
        }
    }
    if is_on(Protection::FingerprintCheck) {
        check_fingerprints(job, window.record(), chunk, buffer)?;
    }
    Ok(())
}

/// Whether the file shows other bytes. What it shows proves nothing, so only the mutation check asks.
fn looks_different(
    job: &JobContext,
    wanted: &[u8],
    offset: u64,
    found: &mut [u8],
) -> Result<bool, InterruptCause> {
    read_data(job, found, offset)?;
    Ok(found != wanted)
}

/// Opens the journal's copy of the chunk, if the job logs whole windows. The payload was durable before its record, so one
/// that does not open was damaged since; then the fingerprints may still tell.
fn from_payload(
    job: &JobContext,
    journal: &Journal,
    window: &CommittedWindow,
    chunk: u64,
    buffer: &mut [u8],
) -> Result<bool, InterruptCause> {
    let record = window.record();
    if record.kind != RecordKind::FingerprintsAndPayload {
        return Ok(false);
    }
    let planned = planned(window, chunk);
    let entry = if job.sides(record.direction).1 == Side::Sealed { &planned.new } else { &planned.old };
    let offset = job.geometry.chunk_offset(chunk) - job.geometry.chunk_offset(record.first_chunk);
    journal
        .read_payload(window, offset, buffer)
        .map_err(|source| InterruptCause::Journal { source: Box::new(source) })?;
    Ok(job.keys.chunk.open_in_place(&job.meta(chunk, entry), &entry.tag, buffer).is_ok())
}

/// As long as the system runs, every byte of the file is old or new, however a store was interrupted. Another byte is somebody
/// else's, and the log must not go over it. After a restart a medium that does not write sectors whole may have left anything,
/// and the log is there to mend just that.
fn refuse_foreign(
    job: &JobContext,
    window: &CommittedWindow,
    chunk: u64,
    plaintext: &[u8],
    stored: &mut [u8],
) -> Result<(), InterruptCause> {
    if job.restarted {
        return Ok(());
    }
    let planned = planned(window, chunk);
    let entry =
        if job.sides(window.record().direction).1 == Side::Sealed { &planned.new } else { &planned.old };
    let offset = job.geometry.chunk_offset(chunk);
    read_data(job, stored, offset)?;
    let mut sealed = Zeroizing::new(plaintext.to_vec());
    // The ciphertext that the log has, under the same nonce.
    let _tag = job.keys.chunk.seal_in_place(&job.meta(chunk, entry), &mut sealed);
    let foreign = (0..stored.len()).find(|&at| stored[at] != plaintext[at] && stored[at] != sealed[at]);
    stored.zeroize();
    match foreign {
        None => Ok(()),
        Some(at) => {
            let offset = (offset + at as u64) / BLOCK * BLOCK;
            Err(InterruptCause::Damaged(Damage::NeitherOldNorNew { chunk, offset }))
        }
    }
}

/// The common case, at full speed: the whole chunk is in one sealed form whose tag is known, from the record or (unproved, so
/// the tag itself is the proof) from the table.
fn from_whole_form(
    job: &JobContext,
    window: &CommittedWindow,
    chunk: u64,
    buffer: &mut [u8],
    spare: &mut [u8],
) -> Result<bool, InterruptCause> {
    let planned = planned(window, chunk);
    let (from, to) = job.sides(window.record().direction);
    let mut known = Vec::new();
    if from == Side::Sealed {
        known.push(planned.old);
    }
    if to == Side::Sealed {
        known.push(planned.new);
        // A torn table block may not even parse; it is only a hint.
        if let Ok(entries) = read_entries(job, chunk, 1) {
            known.extend(entries.into_iter().filter(|entry| entry.nonce == planned.new.nonce));
        }
    }
    for entry in known.iter().filter(|entry| entry.tag != [0; 32]) {
        spare.copy_from_slice(buffer);
        if job.keys.chunk.open_in_place(&job.meta(chunk, entry), &entry.tag, spare).is_ok() {
            buffer.copy_from_slice(spare);
            spare.zeroize();
            return Ok(true);
        }
    }
    Ok(false)
}

/// Part by part, each block against its fingerprint.
fn from_mixture(
    job: &JobContext,
    window: &CommittedWindow,
    chunk: u64,
    buffer: &mut [u8],
) -> Result<(), InterruptCause> {
    let record = window.record();
    let planned = planned(window, chunk);
    let (from, to) = job.sides(record.direction);
    let form = |side: Side, entry: &TableEntry| match side {
        Side::Plain => Form::Plain,
        Side::Sealed => Form::Sealed { cipher: &job.keys.chunk, meta: job.meta(chunk, entry) },
    };
    let (first_block, fingerprints) = fingerprints_of(job, record, chunk);
    let expected = ExpectedBlocks {
        key: &job.keys.fingerprint,
        job_sequence: job.job_sequence,
        first_block,
        fingerprints,
    };
    // Only a job of this resilience stores into a mapping without a logged window, and whoever goes on with it may store otherwise.
    let torn = match job.resilience {
        Resilience::Process if is_on(Protection::TearSearch) => Torn::InOrder,
        _ => Torn::BySectors,
    };
    rebuild_chunk(buffer, &form(from, &planned.old), &form(to, &planned.new), torn, &expected)
        .map(|_| ())
        .map_err(|error| InterruptCause::Damaged(damage(chunk, &error)))
}

fn planned(window: &CommittedWindow, chunk: u64) -> &ChunkRecord {
    &window.record().chunks[(chunk - window.record().first_chunk) as usize]
}

fn damage(chunk: u64, error: &RebuildError) -> Damage {
    match *error {
        RebuildError::Ambiguous { block } => Damage::Ambiguous { chunk, offset: block * BLOCK },
        RebuildError::NoMatch { block } => Damage::NeitherOldNorNew { chunk, offset: block * BLOCK },
        _ => Damage::Journal { what: error.to_string() },
    }
}
