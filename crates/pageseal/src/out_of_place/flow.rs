//! What every worker of an out-of-place run does until the input ends: read a piece into its tile, convert it there, write it. No
//! worker waits for another, but for its turn at a pipe, and for what was read by a large request.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sink::Sink;
use super::source::Piece;
use crate::control::Control;
use crate::error::{JobError, Refusal};
use crate::job::{Tile, Workers};

/// Runs `read` and `convert` in all workers until one reads the end or fails.
///
/// Of several failures the one of the foremost piece is returned, so that a damaged file is always told by its first damage. A piece that
/// could not be read comes behind all others.
///
/// `read` is also given a question, whether the run is over: a stream that has nothing to say must not keep it.
pub(super) fn run(
    workers: &Workers,
    sink: &Sink,
    control: &Control<'_>,
    read: impl Fn(&mut Tile, &dyn Fn() -> bool) -> Result<Option<Piece>, JobError> + Sync,
    convert: impl Fn(&Piece, &mut [u8]) -> Result<(), JobError> + Sync,
) -> Result<(), JobError> {
    let flow = Flow { sink, control, failed: AtomicBool::new(false), failure: Mutex::new(None) };
    let panicked = workers.for_each(workers.threads() as u64, |_, tile| {
        // A panic must not leave the others waiting for their turn.
        let guard = GiveUp(&flow);
        flow.work(tile, &read, &convert);
        std::mem::forget(guard);
        Ok(())
    });
    let failure = flow.failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    match (failure, panicked) {
        (Some((_, error)), _) => Err(error),
        (None, Err(cause)) => {
            let source = std::io::Error::other(cause.to_string());
            Err(Refusal::Output { path: sink.path().into(), source }.into())
        }
        (None, Ok(_)) => Ok(()),
    }
}

struct Flow<'a> {
    sink: &'a Sink,
    control: &'a Control<'a>,
    failed: AtomicBool,
    /// The piece and what went wrong with it.
    failure: Mutex<Option<(u64, JobError)>>,
}

impl Flow<'_> {
    fn work(
        &self,
        tile: &mut Tile,
        read: &impl Fn(&mut Tile, &dyn Fn() -> bool) -> Result<Option<Piece>, JobError>,
        convert: &impl Fn(&Piece, &mut [u8]) -> Result<(), JobError>,
    ) {
        while !self.failed.load(Ordering::Relaxed) {
            if self.control.cancellation.is_cancelled() {
                return self.fail(u64::MAX, Refusal::Cancelled.into());
            }
            let is_over = || self.failed.load(Ordering::Relaxed) || self.control.cancellation.is_cancelled();
            let piece = match read(tile, &is_over) {
                Ok(Some(piece)) => piece,
                // The end, or nobody wants more; if somebody asked to stop, that is told.
                Ok(None) if self.control.cancellation.is_cancelled() => {
                    return self.fail(u64::MAX, Refusal::Cancelled.into());
                }
                Ok(None) => return,
                Err(error) => return self.fail(u64::MAX, error),
            };
            let bytes = tile.slice(piece.len);
            if let Err(error) = convert(&piece, bytes) {
                return self.fail(piece.number, error);
            }
            match self.sink.write(&piece, bytes) {
                Ok(true) => self.control.progress.advance(piece.len as u64),
                Ok(false) => return,
                Err(source) => return self.fail(piece.number, unwritable(self.sink.path(), source)),
            }
        }
    }

    fn fail(&self, number: u64, error: JobError) {
        {
            let mut failure = self.failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if failure.as_ref().is_none_or(|(first, _)| number < *first) {
                *failure = Some((number, error));
            }
        }
        self.failed.store(true, Ordering::Relaxed);
        self.sink.give_up();
    }
}

struct GiveUp<'a>(&'a Flow<'a>);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.0.failed.store(true, Ordering::Relaxed);
        self.0.sink.give_up();
    }
}

pub(super) fn unwritable(path: &Path, source: std::io::Error) -> JobError {
    Refusal::Output { path: path.into(), source }.into()
}
