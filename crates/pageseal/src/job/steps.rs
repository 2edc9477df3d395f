//! Telling when a step of a window ran.

use std::time::Instant;

use super::context::JobContext;
use crate::control::{Progress, Step, StepSpan};

/// Does the work of a step on `count` chunks from `first` on, and tells of it if it did not fail. Whatever waits for another step
/// belongs outside of `work`.
pub(crate) fn timed<T, E>(
    job: &JobContext,
    progress: &dyn Progress,
    step: Step,
    (first_chunk, chunks): (u64, u64),
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let started = Instant::now();
    let done = work()?;
    let ended = Instant::now();
    let (_, bytes) = job.geometry.bytes_of_chunks(first_chunk, chunks);
    progress.step(&StepSpan { step, first_chunk, chunks, bytes, started, ended });
    Ok(done)
}
