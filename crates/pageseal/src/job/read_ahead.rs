//! Reading the next window while the one before it is prepared and committed, so that the disk is not idle meanwhile. Only for
//! jobs that keep windows in memory.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::context::{JobContext, Keeps};
use super::convert::read_data;
use super::steps::timed;
use super::workers::Tile;
use crate::control::{Progress, Step};
use crate::error::InterruptCause;

type Read = Result<Tile, InterruptCause>;

/// The window that is read ahead.
pub(crate) struct ReadAhead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    job: &'scope JobContext,
    progress: &'scope dyn Progress,
    /// Its first chunk, and how far the reading is.
    pending: Option<(u64, Reading<'scope>)>,
}

enum Reading<'scope> {
    UnderWay(ScopedJoinHandle<'scope, Read>),
    Done(Read),
}

impl<'scope, 'env> ReadAhead<'scope, 'env> {
    /// Nothing is read yet.
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        job: &'scope JobContext,
        progress: &'scope dyn Progress,
    ) -> Self {
        ReadAhead { scope, job, progress, pending: None }
    }

    /// Begins to read a window, if windows are kept. Its bytes may be read long before its record is written: what matters is
    /// that record and store use the same ones.
    pub(crate) fn start(&mut self, first: u64, count: u64) {
        let (job, progress) = (self.job, self.progress);
        if !matches!(job.keeps, Keeps::Windows(_)) {
            return;
        }
        let read = move || read(job, progress, first, count);
        let reading = match job.surroundings.schedule() {
            // A thread more would run at a time that nobody can repeat; in the same order it is all the same.
            Some(_) => Reading::Done(read()),
            None => match Builder::new().name("pageseal-read".into()).spawn_scoped(self.scope, read) {
                Ok(thread) => Reading::UnderWay(thread),
                // Without a thread it is read when it is needed.
                Err(_) => return,
            },
        };
        self.pending = Some((first, reading));
    }

    /// The bytes of a window, read ahead or now; `None` where windows are not kept.
    pub(crate) fn take(&mut self, first: u64, count: u64) -> Result<Option<Tile>, InterruptCause> {
        if !matches!(self.job.keeps, Keeps::Windows(_)) {
            return Ok(None);
        }
        let read = match self.pending.take() {
            Some((pending, Reading::Done(read))) if pending == first => read,
            Some((pending, Reading::UnderWay(thread))) if pending == first => thread
                .join()
                .unwrap_or_else(|_| Err(InterruptCause::Worker("the reading thread panicked".into()))),
            _ => read(self.job, self.progress, first, count),
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
