//! What an opened journal means: which windows are in flight, and from where.

use std::collections::BTreeMap;

use pageseal_format::journal::{JournalHeader, Phase, PhaseRecord, RecordKind, WindowRecord};

use crate::error::{Contradiction, JournalError};
use crate::transitions::{SEQUENCE_END, check_phase};
use crate::watermark::{start_of_window, watermark_after};
use crate::window::CommittedWindow;

/// What has to be done before a job goes on: store each window of `in_flight` again, whole and in order, and
/// settle it.
#[derive(Debug)]
pub struct Replay {
    /// The phase that counts.
    pub phase: PhaseRecord,
    /// Chunks, from the start of the file, in the job's new form when all windows up to `settled_sequence` are
    /// settled; from the newest record or the phase.
    pub watermark: u64,
    /// Windows up to this one are settled.
    pub settled_sequence: u64,
    /// The windows after that, without a gap, in ascending sequence.
    pub in_flight: Vec<CommittedWindow>,
}

/// The same for somebody who only looks: records instead of tokens. Nothing may be stored upon it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The phase that counts.
    pub phase: PhaseRecord,
    /// As in [`Replay::watermark`].
    pub watermark: u64,
    /// As in [`Replay::settled_sequence`].
    pub settled_sequence: u64,
    /// The records of the windows after that, in ascending sequence.
    pub in_flight: Vec<WindowRecord>,
}

/// How far a job is, as somebody sees who has no key. Nothing of it is authenticated, so it is for telling people only;
/// nothing may be stored upon it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnverifiedProgress {
    /// The phase that counts.
    pub phase: PhaseRecord,
    /// Chunks, from the start of the file, that are in the job's new form, at least. `None` while a job without
    /// records is between two phases: nothing says it then.
    pub watermark: Option<u64>,
    /// The watermark when all windows are settled that are recorded. The same as `watermark` where none is in flight.
    pub frontier: Option<u64>,
}

impl UnverifiedProgress {
    /// Of a job that may be running while it is looked at, so the records may be newer than the phase, and need not
    /// follow on one another: the newest of them says all.
    pub(crate) fn new(
        header: &JournalHeader,
        phase: PhaseRecord,
        records: impl IntoIterator<Item = WindowRecord>,
    ) -> Self {
        let chunks = header.geometry.chunk_count();
        let in_windows = phase.phase == Phase::Running;
        if header.record_kind == RecordKind::None && in_windows && !phase.clean {
            return Self { phase, watermark: None, frontier: None };
        }
        let of_this_job =
            |record: &WindowRecord| record.job_id == header.job_id && record.direction == phase.direction;
        let newest = records
            .into_iter()
            .filter(|record| in_windows && of_this_job(record) && record.sequence > phase.window_sequence)
            .max_by_key(|record| record.sequence);
        let by_phase = phase.watermark.min(chunks);
        let (watermark, frontier) = newest.map_or((by_phase, by_phase), |record| {
            let count = record.chunks.len() as u64;
            let settled = if record.retired > phase.window_sequence { record.watermark } else { by_phase };
            (settled.min(chunks), watermark_after(record.direction, record.first_chunk, count).min(chunks))
        });
        Self { phase, watermark: Some(watermark), frontier: Some(frontier) }
    }
}

/// Draws the conclusion from authentic parts. `records` are those of all intact ring slots, by sequence.
pub(crate) fn decide(
    header: &JournalHeader,
    phase: PhaseRecord,
    mut records: BTreeMap<u64, WindowRecord>,
) -> Result<Inspection, JournalError> {
    let inconsistent = |what, sequence| JournalError::Inconsistent { what, sequence };
    check_phase(header, &phase).map_err(|what| inconsistent(what, phase.sequence))?;
    let running = phase.phase == Phase::Running;
    if header.record_kind == RecordKind::None && running && !phase.clean {
        return Err(JournalError::Unprotected { watermark: phase.watermark });
    }
    let newest = records.last_key_value().map(|(_, newest)| newest);
    let (settled_sequence, watermark) = settled_state(&phase, newest)?;
    // Slots of windows that are settled keep their records until they are needed again.
    let unsettled = records.split_off(&(settled_sequence + 1));
    let mut in_flight = Vec::with_capacity(unsettled.len());
    let mut frontier = watermark;
    let newest = unsettled.last_key_value().map(|(&sequence, _)| sequence);
    for (expected, (sequence, record)) in (settled_sequence + 1..).zip(unsettled) {
        if sequence != expected {
            return Err(JournalError::MissingWindow {
                sequence: expected,
                newest: newest.unwrap_or(sequence),
            });
        }
        if !running {
            return Err(inconsistent(Contradiction::WindowsOutsideRunning, sequence));
        }
        if record.direction != phase.direction {
            return Err(inconsistent(Contradiction::WindowDirection, sequence));
        }
        if record.retired > settled_sequence {
            return Err(inconsistent(Contradiction::RetiredOrder, sequence));
        }
        let count = record.chunks.len() as u64;
        let start = start_of_window(record.direction, record.first_chunk, count);
        if start != frontier || sequence >= SEQUENCE_END {
            return Err(inconsistent(Contradiction::WindowOrder, sequence));
        }
        frontier = watermark_after(record.direction, record.first_chunk, count);
        in_flight.push(record);
    }
    Ok(Inspection { phase, watermark, settled_sequence, in_flight })
}

/// The settled sequence and its watermark, from whichever of phase and newest record knows more.
fn settled_state(phase: &PhaseRecord, newest: Option<&WindowRecord>) -> Result<(u64, u64), JournalError> {
    let by_phase = (phase.window_sequence, phase.watermark);
    match newest {
        // Also a record that the phase retires: all it says is old.
        None => Ok(by_phase),
        Some(record) if record.retired < phase.window_sequence => Ok(by_phase),
        Some(record) if record.retired > phase.window_sequence => Ok((record.retired, record.watermark)),
        Some(record) if record.watermark == phase.watermark => Ok(by_phase),
        Some(record) => {
            Err(JournalError::Inconsistent { what: Contradiction::Watermark, sequence: record.sequence })
        }
    }
}
