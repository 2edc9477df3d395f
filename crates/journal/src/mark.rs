//! Which windows are settled, and the proof of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pageseal_format::Id;

/// All windows up to [`SettledMark::sequence`] are settled: their data and table entries are durable.
///
/// Comes from [`crate::CommittedWindow::settled`] and [`crate::Journal::settled_at_start`] only. A mark of a
/// window that overtook an earlier one is refused until that one is settled too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettledMark {
    pub(crate) job_id: Id,
    pub(crate) sequence: u64,
    pub(crate) watermark: u64,
}

impl SettledMark {
    /// The last settled window, 0 if there is none yet.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Chunks, from the start of the file, that are in the job's new form.
    #[must_use]
    pub fn watermark(&self) -> u64 {
        self.watermark
    }
}

/// Remembers the settled windows of one journal, in whatever order they settle.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Mutex<State>>);

struct State {
    /// All windows up to this one are settled.
    contiguous: u64,
    /// Settled windows beyond a gap.
    ahead: BTreeSet<u64>,
}

impl Ledger {
    pub(crate) fn new(contiguous: u64) -> Self {
        Self(Arc::new(Mutex::new(State { contiguous, ahead: BTreeSet::new() })))
    }

    pub(crate) fn settle(&self, sequence: u64) {
        let mut state = self.state();
        state.ahead.insert(sequence);
        while state.ahead.first() == Some(&(state.contiguous + 1)) {
            state.ahead.pop_first();
            state.contiguous += 1;
        }
    }

    pub(crate) fn contiguous(&self) -> u64 {
        self.state().contiguous
    }

    /// The state is whole at every point where a panic could poison the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
