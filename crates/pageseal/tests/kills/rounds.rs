//! One round: a job, a kill, a recovery that may be killed too, and the proof that nothing was lost.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use pageseal::{IoChoice, JobKeyMode, JobKind, JobOutcome, ResilienceChoice, Suite};
use pageseal_format::journal::Phase;
use tempfile::TempDir;

use super::child::{Answer, Order, Running, Task};
use super::found::{Found, Place};
use super::moment::{Moment, Pace, below, kill_at};
use super::subject::Subject;
use super::support::{self, Generator, Keys, names_in};
use super::tally::Tally;

const MIB: u64 = 1 << 20;
/// No multiple of a chunk, nor of a block; windows of 4 MiB.
const LEN_BYTES: u64 = 96 * MIB - 12_345;
/// Attempts to kill a job before it is done.
const ATTEMPTS: u64 = 6;

const PAIRS: [(IoChoice, ResilienceChoice); 5] = [
    (IoChoice::Buffered, ResilienceChoice::Checksum),
    (IoChoice::Buffered, ResilienceChoice::Process),
    (IoChoice::Buffered, ResilienceChoice::Journal),
    (IoChoice::Mmap, ResilienceChoice::Journal),
    (IoChoice::Mmap, ResilienceChoice::Process),
];

/// What a recovery is given to get at the file key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlock {
    JobKeyInMemory,
    JobKeyOnDisk,
    /// The job key is gone, as after a power cut.
    IdentityOnly,
}

/// The state of the whole test.
pub struct Rounds {
    generator: Generator,
    seed: u64,
    keys: Keys,
    _keys_folder: TempDir,
    /// Stands for `$XDG_RUNTIME_DIR`, so nobody else's job keys are counted.
    runtime: TempDir,
    plain: Subject,
    /// One for each suite, sealed between the rounds.
    sealed: Vec<Subject>,
    paces: HashMap<(JobKind2, usize, u8), Pace>,
    tally: Tally,
}
