//! Which phase may follow which.
//!
//! | from | to | who, and why |
//! |---|---|---|
//! | CREATED forward | GROWN forward | encrypt: the file has its length |
//! | CREATED forward | RUNNING forward | decrypt: the file does not grow |
//! | CREATED forward | RUNNING backward | decrypt, taken back before it began |
//! | GROWN forward | RUNNING, either way | encrypt |
//! | CREATED, GROWN forward | TRUNCATING backward | encrypt, taken back before it began |
//! | RUNNING forward | RUNNING, either way | a clean stop, a checkpoint, the reversal |
//! | RUNNING backward | RUNNING backward | a clean stop, a checkpoint |
//! | RUNNING | DATA_DONE, same way | all windows of that way are settled |
//! | DATA_DONE forward | RUNNING backward | undone at the last moment, before anything is cut off |
//! | DATA_DONE | TRUNCATING, same way | the result is plain: the trailer goes |
//! | DATA_DONE | FINISHED, same way | the result is sealed: the trailer stays |
//! | TRUNCATING | FINISHED, same way | |
//! | any but CREATED | itself, same way | a resume repeats its step |
//!
//! The result is plain after a decrypt forward and an encrypt backward. No other job ever truncates, so
//! that no mistake of a caller can cut off the trailer of a sealed file.

use pageseal_format::journal::{Direction, JobKind, JournalHeader, Phase, PhaseRecord};

use crate::error::Contradiction;
use crate::watermark::watermark_at_end;

/// No job gets here; below it sequences can be counted up without overflow.
pub(crate) const SEQUENCE_END: u64 = 1 << 63;

pub(crate) fn is_legal(
    job: JobKind,
    (from, from_direction): (Phase, Direction),
    (to, to_direction): (Phase, Direction),
) -> bool {
    use Direction::{Backward, Forward};
    use Phase::{Created, DataDone, Finished, Grown, Running, Truncating};
    let same_way = from_direction == to_direction;
    let encrypts = job == JobKind::Encrypt;
    match (from, to) {
        (Created, Grown) => encrypts && same_way,
        (Created, Running) => !encrypts,
        (Grown, Running) => encrypts,
        (Created | Grown, Truncating) => encrypts && to_direction == Backward,
        (Running, Running) => same_way || from_direction == Forward,
        (Running, DataDone) => same_way,
        (DataDone, Running) => from_direction == Forward && to_direction == Backward,
        (DataDone, Truncating) => same_way && ends_plain(job, to_direction),
        (DataDone, Finished) => same_way && !ends_plain(job, to_direction),
        (Truncating, Finished) => same_way,
        (Grown, Grown) | (DataDone, DataDone) | (Truncating, Truncating) | (Finished, Finished) => same_way,
        _ => false,
    }
}

/// Whether a phase, authentic as it is, can be one of such a job.
pub(crate) fn check_phase(header: &JournalHeader, record: &PhaseRecord) -> Result<(), Contradiction> {
    let n = header.geometry.chunk_count();
    let forward = record.direction == Direction::Forward;
    let at_end = record.watermark == watermark_at_end(record.direction, n);
    let possible = match record.phase {
        Phase::Created => forward && record.watermark == 0 && record.window_sequence == 0,
        Phase::Grown => {
            forward && record.watermark == 0 && record.window_sequence == 0 && header.job == JobKind::Encrypt
        }
        Phase::Running => record.watermark <= n,
        Phase::DataDone | Phase::Finished => at_end,
        Phase::Truncating => at_end && ends_plain(header.job, record.direction),
    };
    if possible && record.sequence.max(record.window_sequence) < SEQUENCE_END {
        Ok(())
    } else {
        Err(Contradiction::PhaseOfJob)
    }
}

fn ends_plain(job: JobKind, direction: Direction) -> bool {
    matches!(
        (job, direction),
        (JobKind::Encrypt, Direction::Backward) | (JobKind::Decrypt, Direction::Forward)
    )
}
