//! What a campaign has covered.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scenario::Cell;

/// Counts, shared by all threads of a campaign.
#[derive(Debug)]
pub struct Tally {
    cells: BTreeMap<Cell, Counts>,
    /// What was looked at, in parts so that threads seldom wait for each other.
    seen: Vec<Mutex<HashSet<u64>>>,
    faulted: AtomicU64,
    meddled: AtomicU64,
    pairs: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    states: AtomicU64,
    recoveries: AtomicU64,
    said_to_be_lost: AtomicU64,
}

const PARTS: u64 = 64;

impl Default for Tally {
    fn default() -> Self {
        Tally {
            cells: Cell::all().into_iter().map(|cell| (cell, Counts::default())).collect(),
            seen: (0..PARTS).map(|_| Mutex::default()).collect(),
            faulted: AtomicU64::new(0),
            meddled: AtomicU64::new(0),
            pairs: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Counts a state that a crash left, if it is a new one. `signature` names configuration, operation and surviving subset.
    pub fn count_state(&self, cell: &Cell, signature: u64) -> bool {
        let part = &self.seen[(signature % PARTS) as usize];
        let is_new = part.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(signature);
        if is_new && let Some(counts) = self.cells.get(cell) {
            counts.states.fetch_add(1, Ordering::Relaxed);
        }
        is_new
    }

    /// Counts a recovery that came out as it must.
    pub fn count_recovery(&self, cell: &Cell, said_to_be_lost: bool) {
        let Some(counts) = self.cells.get(cell) else { return };
        counts.recoveries.fetch_add(1, Ordering::Relaxed);
        counts.said_to_be_lost.fetch_add(u64::from(said_to_be_lost), Ordering::Relaxed);
    }

    /// Counts a run with faults while it was going on.
    pub fn count_faulted(&self) {
        self.faulted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a run with which somebody meddled.
    pub fn count_meddled(&self) {
        self.meddled.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a file and a journal of different moments.
    pub fn count_pair(&self) {
        self.pairs.fetch_add(1, Ordering::Relaxed);
    }

    /// Distinct states.
    pub fn states(&self) -> u64 {
        self.sum(|counts| &counts.states)
    }

    fn sum(&self, of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        self.cells.values().map(|counts| of(counts).load(Ordering::Relaxed)).sum()
    }

    /// Cells with fewer states than `floor`.
    pub fn below(&self, floor: u64) -> Vec<(Cell, u64)> {
        let states = self.cells.iter().map(|(cell, counts)| (*cell, counts.states.load(Ordering::Relaxed)));
        states.filter(|(_, states)| *states < floor).collect()
    }

    /// The cell with the fewest states.
    pub fn poorest(&self) -> Option<(Cell, u64)> {
        let states = self.cells.iter().map(|(cell, counts)| (*cell, counts.states.load(Ordering::Relaxed)));
        states.min_by_key(|(_, states)| *states)
    }

    /// A line for each job, store and resilience, suites added up.
    pub fn table(&self) -> String {
        let mut rows: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for (cell, counts) in &self.cells {
            let name = cell.to_string();
            let name = name.split(" suite").next().unwrap_or("").to_owned();
            let row = rows.entry(name).or_default();
            row[0] += counts.states.load(Ordering::Relaxed);
            row[1] += counts.recoveries.load(Ordering::Relaxed);
            row[2] += counts.said_to_be_lost.load(Ordering::Relaxed);
        }
        let mut table = format!("{:<34} {:>10} {:>10} {:>13}\n", "", "states", "recoveries", "said lost");
        for (name, [states, recoveries, lost]) in rows {
            table += &format!("{name:<34} {states:>10} {recoveries:>10} {lost:>13}\n");
        }
        table
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} distinct states, {} recoveries ({} said to be lost, as promised), {} runs with faults, {} meddled with, {} pairs",
            self.states(),
            self.sum(|counts| &counts.recoveries),
            self.sum(|counts| &counts.said_to_be_lost),
            self.faulted.load(Ordering::Relaxed),
            self.meddled.load(Ordering::Relaxed),
            self.pairs.load(Ordering::Relaxed),
        )
    }
}
