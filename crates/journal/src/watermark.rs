//! How windows move the watermark: the number of chunks, from the start of the file, in the job's new form.

use pageseal_format::journal::Direction;

/// The watermark after a window is settled: its far end on the way forward, its first chunk on the way back.
#[must_use]
pub fn watermark_after(direction: Direction, first_chunk: u64, chunk_count: u64) -> u64 {
    match direction {
        Direction::Forward => first_chunk.saturating_add(chunk_count),
        Direction::Backward => first_chunk,
    }
}

/// The watermark that a window begins at: the other end of it.
#[must_use]
pub fn start_of_window(direction: Direction, first_chunk: u64, chunk_count: u64) -> u64 {
    match direction {
        Direction::Forward => first_chunk,
        Direction::Backward => first_chunk.saturating_add(chunk_count),
    }
}

/// The watermark of a job that has gone all the way in this direction.
pub(crate) fn watermark_at_end(direction: Direction, chunk_count: u64) -> u64 {
    match direction {
        Direction::Forward => chunk_count,
        Direction::Backward => 0,
    }
}
