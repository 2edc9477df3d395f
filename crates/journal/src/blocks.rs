//! Parts of the journal on their way to the log.

use pageseal_format::journal::{
    JournalHeader, PHASE_OFFSETS, Phase, PhaseRecord, WindowRecord, payload_offset_in_slot,
};
use pageseal_format::labels;
use pageseal_format::limits::BLOCK_LEN;

use crate::error::JournalError;
use crate::log::{Authenticator, LatchingLog};
use crate::watermark::watermark_after;

pub(crate) fn watermark_of(record: &WindowRecord) -> u64 {
    watermark_after(record.direction, record.first_chunk, record.chunks.len() as u64)
}

pub(crate) fn payload_offset_of(header: &JournalHeader, record: &WindowRecord) -> u64 {
    let (chunks, prints) = (record.chunks.len(), record.fingerprints.len());
    header.slot_offset(record.sequence) + payload_offset_in_slot(chunks as u64, prints as u64)
}

pub(crate) fn write_phase_block(
    log: &LatchingLog,
    auth: &dyn Authenticator,
    record: &PhaseRecord,
) -> Result<(), JournalError> {
    let (offset, block) = phase_block(auth, record);
    log.write(&block[..], offset)
}

/// Where a phase goes, and its bytes.
fn phase_block(auth: &dyn Authenticator, record: &PhaseRecord) -> (u64, Vec<u8>) {
    let block = record.encode(|body| auth.mac(labels::PHASE, body));
    (PHASE_OFFSETS[(record.sequence % 2) as usize], block.to_vec())
}

/// Writes a phase that says that windows were lost, if any may be in flight. Best effort, on a log that has failed already.
pub(crate) fn try_to_say_lost(
    log: &LatchingLog,
    auth: &dyn Authenticator,
    phase: &PhaseRecord,
    window_sequence: u64,
    watermark: u64,
) {
    if phase.phase != Phase::Running || phase.clean {
        return;
    }
    let sequence = phase.sequence + 1;
    let boot_id = PhaseRecord::DATA_LOST;
    let record = PhaseRecord { sequence, boot_id, watermark, window_sequence, ..*phase };
    let (offset, block) = phase_block(auth, &record);
    // What is wrong with the log was said already.
    let _ = log.try_regardless(&block, offset);
}

/// Writes a record in whole blocks, with zeros behind it: the disk need not read anything first.
pub(crate) fn write_record(
    log: &LatchingLog,
    auth: &dyn Authenticator,
    header: &JournalHeader,
    record: &WindowRecord,
) -> Result<(), JournalError> {
    let mut bytes = encode(auth, header, record)?;
    bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
    log.write(&bytes, header.slot_offset(record.sequence))
}

/// Writes a record that was read once more, and nothing behind it: what is there is not covered by the record, and whoever
/// refuses the job after this must have changed no byte.
pub(crate) fn rewrite_record(
    log: &LatchingLog,
    auth: &dyn Authenticator,
    header: &JournalHeader,
    record: &WindowRecord,
) -> Result<(), JournalError> {
    log.write(&encode(auth, header, record)?, header.slot_offset(record.sequence))
}

fn encode(
    auth: &dyn Authenticator,
    header: &JournalHeader,
    record: &WindowRecord,
) -> Result<Vec<u8>, JournalError> {
    record
        .encode(header, |body| auth.mac(labels::WINDOW, body))
        .map_err(|source| JournalError::WrongPlan { source })
}
