//! Reading the next window while the one before it is prepared and committed, so that the disk is not idle meanwhile. Only for
//! jobs that keep windows in memory.

use std::thread::Scope;

use super::context::{JobContext, Keeps};
use super::convert::read_data;
use super::steps::timed;
use super::workers::Tile;
use crate::ahead::Ahead;
use crate::control::{Progress, Step};
use crate::error::InterruptCause;

type Read = Result<Tile, InterruptCause>;

/// The window that is read ahead, by its first chunk.
pub(crate) struct ReadAhead<'scope, 'env> {
    job: &'scope JobContext,
    progress: &'scope dyn Progress,
    ahead: Ahead<'scope, 'env, Read>,
}

impl<'scope, 'env> ReadAhead<'scope, 'env> {
    /// Nothing is read yet.
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        job: &'scope JobContext,
        progress: &'scope dyn Progress,
    ) -> Self {
        ReadAhead { job, progress, ahead: Ahead::new(scope) }
    }

    /// Begins to read a window, if windows are kept. Its bytes may be read long before its record is written: what matters is
    /// that record and store use the same ones.
    pub(crate) fn start(&mut self, first: u64, count: u64) {
        let (job, progress) = (self.job, self.progress);
        if !matches!(job.keeps, Keeps::Windows(_)) {
            return;
        }
        let read = move || read(job, progress, first, count);
        match job.surroundings.schedule() {
            Some(_) => self.ahead.read_now(first, read),
            None => self.ahead.start(first, read),
        }
    }

    /// The bytes of a window, read ahead or now; `None` where windows are not kept.
    pub(crate) fn take(&mut self, first: u64, count: u64) -> Result<Option<Tile>, InterruptCause> {
        if !matches!(self.job.keeps, Keeps::Windows(_)) {
            return Ok(None);
        }
        let read = match self.ahead.take(first) {
            Some(Ok(read)) => read,
            Some(Err(_)) => Err(InterruptCause::Worker("the reading thread panicked".into())),
            None => read(self.job, self.progress, first, count),
        };
        read.map(Some)
    }
}

fn read(job: &JobContext, progress: &dyn Progress, first: u64, count: u64) -> Read {
    let Keeps::Windows(windows) = &job.keeps else {
        return Err(InterruptCause::Worker("no buffer for a window".into()));
    };
    let (offset, len) = job.geometry.bytes_of_chunks(first, count);
    let mut tile = windows.take();
    timed(job, progress, Step::ReadAhead, (first, count), || {
        read_data(job, tile.slice(len as usize), offset)
    })?;
    Ok(tile)
}
