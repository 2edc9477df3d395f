//! What a run is about: a seed decides all of it.

use std::fmt;

use pageseal::simulation::journal::Resilience;
use pageseal::simulation::{Choices, SMALL_WINDOW_BYTES, Sizes};
use pageseal::{IoChoice, JobKeyMode, Suite};

use crate::Generator;
use crate::disk::Waits;

/// What is done to the file while crashes happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Seals a plain file.
    Encrypt,
    /// Opens a sealed file.
    Decrypt,
    /// Goes on with an interrupted encrypt.
    ResumeEncrypt,
    /// Goes on with an interrupted decrypt.
    ResumeDecrypt,
    /// Takes an interrupted encrypt back.
    UndoEncrypt,
    /// Takes an interrupted decrypt back.
    UndoDecrypt,
}

impl Job {
    /// All of them.
    pub const ALL: [Job; 6] = [
        Job::Encrypt,
        Job::Decrypt,
        Job::ResumeEncrypt,
        Job::ResumeDecrypt,
        Job::UndoEncrypt,
        Job::UndoDecrypt,
    ];

    /// Whether the file is sealed before the job that is done, gone on with or taken back.
    pub fn begins_sealed(self) -> bool {
        matches!(self, Job::Decrypt | Job::ResumeDecrypt | Job::UndoDecrypt)
    }

    /// Whether an interrupted job comes first.
    pub fn is_continuation(self) -> bool {
        !matches!(self, Job::Encrypt | Job::Decrypt)
    }
}

/// What must be covered: every job with every store, resilience and suite that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The job.
    pub job: Job,
    /// How it stores.
    pub store: Store,
    /// What it promises to survive.
    pub resilience: Survives,
    /// The suite, as its number.
    pub suite: u8,
}

/// [`IoChoice`], in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// Through the page cache, by copies.
    Buffered,
    /// Through a mapping.
    Mmap,
    /// Past the page cache: windows stay in memory between *prepare* and *store*.
    Direct,
}

impl Store {
    const ALL: [Store; 3] = [Store::Buffered, Store::Mmap, Store::Direct];

    /// As the engine takes it.
    pub fn io(self) -> IoChoice {
        match self {
            Store::Buffered => IoChoice::Buffered,
            Store::Mmap => IoChoice::Mmap,
            Store::Direct => IoChoice::Direct,
        }
    }
}

/// [`Resilience`], in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Survives {
    /// Kills and power cuts, by fingerprints.
    Checksum,
    /// Kills and power cuts, by logging windows.
    Journal,
    /// Kills.
    Process,
    /// Being asked to stop.
    None,
}

impl Survives {
    const ALL: [Survives; 4] = [Survives::Checksum, Survives::Journal, Survives::Process, Survives::None];

    fn resilience(self) -> Resilience {
        match self {
            Survives::Checksum => Resilience::Checksum,
            Survives::Journal => Resilience::Journal,
            Survives::Process => Resilience::Process,
            Survives::None => Resilience::None,
        }
    }
}

impl Cell {
    /// Every cell; a mapping with fingerprints alone is no sound pair, and refused.
    pub fn all() -> Vec<Cell> {
        let mut cells = Vec::new();
        for job in Job::ALL {
            for resilience in Survives::ALL {
                for store in Store::ALL {
                    for suite in Suite::ALL.map(Suite::id) {
                        cells.push(Cell { job, store, resilience, suite });
                    }
                }
            }
        }
        cells.retain(|cell| !(cell.store == Store::Mmap && cell.resilience == Survives::Checksum));
        cells
    }

    /// Whether the interrupted job was one that can only be gone on with after a stop on request. When it sees the request, three windows
    /// more are on their way; so there must be others.
    fn stops_on_request(&self) -> bool {
        self.job.is_continuation() && self.resilience == Survives::None
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        Suite::ALL.into_iter().find(|suite| suite.id() == self.suite).unwrap_or(Suite::ALL[0])
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = format!("{:?}", self.store).to_lowercase();
        write!(f, "{:?} {store} {:?} suite {}", self.job, self.resilience, self.suite)
    }
}

/// Everything that is decided before a run begins.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Decides what chance does.
    pub seed: u64,
    /// What is run.
    pub cell: Cell,
    /// How large chunks, windows and ring are.
    pub sizes: Sizes,
    /// Bytes of plaintext.
    pub data_len: u64,
    /// Where the job key of an encrypt goes.
    pub job_key: JobKeyMode,
    /// Whether an interrupted run is taken back rather than gone on with, where that is open.
    pub go_back: bool,
    /// Whether the file is one with holes.
    pub holes: bool,
    /// Whether a decrypt authenticates all of the file first.
    pub verify_first: bool,
    /// Whether the file is too long for the page cache, so that what is done leaves it.
    pub drops_behind: bool,
    /// Who can wait for requests of a process that is gone.
    pub waits: Waits,
    /// Whether nothing tells which boot this is.
    pub hides_boot: bool,
}

/// One in so many seeds has chunks and windows of the product's sizes.
const REAL_SIZES: u64 = 509;

impl Scenario {
    /// The scenario of a seed. Seeds go round through all cells.
    pub fn of(seed: u64) -> Self {
        let cells = Cell::all();
        let cell = cells[(seed % cells.len() as u64) as usize];
        let mut generator = Generator::new(seed);
        let window = SMALL_WINDOW_BYTES;
        let lengths = [0, 1, 4096, window + 1, 2 * window, 3 * window + 513, 5 * window, 7 * window - 4095];
        let ring_slots = *generator.pick(&[2, 3]);
        let sizes =
            if seed % REAL_SIZES == REAL_SIZES - 1 { Sizes::Real } else { Sizes::Small { ring_slots } };
        let data_len = match sizes {
            Sizes::Small { .. } if cell.stops_on_request() => {
                *generator.pick(&[7 * window + 513, 9 * window])
            }
            Sizes::Small { .. } => *generator.pick(&lengths),
            // Three windows of 4 MiB, the last one short.
            Sizes::Real => (9 << 20) + 12_345,
        };
        Scenario {
            seed,
            cell,
            sizes,
            data_len,
            job_key: *generator.pick(&[JobKeyMode::Runtime, JobKeyMode::Disk, JobKeyMode::None]),
            go_back: generator.below(2) == 0,
            holes: generator.below(4) == 0,
            verify_first: generator.below(2) == 0,
            drops_behind: cell.store == Store::Buffered && generator.below(2) == 0,
            waits: waits_of(seed / cells.len() as u64),
            hides_boot: cell.job == Job::Encrypt
                && cell.resilience == Survives::Process
                && generator.below(4) == 0,
        }
    }

    /// The small job of a cell in which every subset of sectors is tried: two whole windows and a short one.
    pub fn exhaustive(number: u64) -> Self {
        let cells = Cell::all();
        let cell = cells[(number % cells.len() as u64) as usize];
        let ring_slots = if number.is_multiple_of(2) { 2 } else { 3 };
        Scenario {
            seed: number,
            cell,
            sizes: Sizes::Small { ring_slots },
            data_len: if cell.stops_on_request() { 7 } else { 2 } * SMALL_WINDOW_BYTES + 513,
            job_key: [JobKeyMode::Runtime, JobKeyMode::Disk, JobKeyMode::None][(number % 3) as usize],
            go_back: number % 4 < 2,
            holes: false,
            verify_first: (number / cells.len() as u64).is_multiple_of(2),
            drops_behind: cell.store == Store::Buffered && (number / 3).is_multiple_of(2),
            waits: waits_of(number / 2),
            hides_boot: false,
        }
    }

    /// As the engine takes it.
    pub fn choices(&self) -> Choices {
        Choices {
            suite: self.cell.suite(),
            io: self.cell.store.io(),
            resilience: self.cell.resilience.resilience(),
            job_key: self.job_key,
            allow_sparse: self.holes,
            verify_first: self.verify_first,
        }
    }

    /// Whether the file system has no renaming that does not replace, so that a link and an unlink
    /// stand for it: one seed in five, which is every cell in five rounds.
    pub fn renames_by_links(&self) -> bool {
        self.seed % 5 == 1
    }

    /// Names the configuration, without the seed.
    pub fn configuration(&self) -> (Cell, Sizes, u64, u8, [bool; 6]) {
        let (drains, links) = (self.waits == Waits::Drain, self.renames_by_links());
        let flags = [self.go_back, self.holes, self.verify_first, self.drops_behind, drains, links];
        (self.cell, self.sizes, self.data_len, self.job_key as u8, flags)
    }
}

fn waits_of(number: u64) -> Waits {
    if number.is_multiple_of(2) { Waits::Lock } else { Waits::Drain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_go_round_through_every_cell() {
        let cells = Cell::all();
        assert_eq!(cells.len(), 6 * 11 * 3);
        let seen: std::collections::BTreeSet<_> =
            (0..cells.len() as u64).map(|seed| Scenario::of(seed).cell).collect();
        assert_eq!(seen.len(), cells.len());
    }
}
