//! Many seeds on all cores: the order of work, the lines that are printed, and the verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pageseal::{JobError, Refusal};

use super::explore::{Depth, Explorer};
use super::scenario::{Cell, Scenario};
use super::site::Keys;
use super::start::Start;
use super::tally::Tally;
use super::{damage, faults, meddling, pairs};
use crate::disk::MissingSync;

/// What a campaign does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds, from `first_seed` on.
    pub seeds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// Threads; each plays seeds of its own.
    pub threads: usize,
    /// Small jobs in which every subset is tried; they go round through all cells.
    pub exhaustive: u64,
    /// States that every cell must have.
    pub floor: u64,
    /// Syncs that are switched off.
    pub missing: Missing,
    /// Only this kind of runs.
    pub only: Option<Runs>,
    /// Ends at the first failure.
    pub stop_at_failure: bool,
    /// Prints a line so often.
    pub report_every: Duration,
}

/// A kind of sync that is switched off for a whole campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// None is.
    #[default]
    Nothing,
    /// Of the journal.
    Journal,
    /// Of the file.
    Data,
    /// Of the folder.
    Folder,
    /// Of the file before the first window.
    First,
}

impl Missing {
    fn syncs(self, scenario: &Scenario) -> Vec<MissingSync> {
        let of = |name: &str| MissingSync::Of(name.into());
        match self {
            Missing::Nothing => Vec::new(),
            Missing::Journal => vec![of(""), of(super::site::JOURNAL)],
            Missing::Data => vec![of(super::site::PLAIN), of(super::site::SEALED)],
            Missing::Folder => vec![MissingSync::Folder],
            Missing::First => vec![MissingSync::OldContent(scenario.data_len)],
        }
    }
}

/// The kinds of runs that a seed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Crashes at every operation.
    Crashes,
    /// Faults while they go on.
    Faults,
    /// Another process at the file.
    Meddling,
    /// A file and a journal of different moments.
    Pairs,
}

/// Runs with faults for each seed.
const FAULTED_RUNS: u64 = 4;

/// Plays one seed.
///
/// # Errors
/// What was lost.
pub fn play_seed(
    seed: u64,
    keys: &Keys,
    tally: &Tally,
    missing: Missing,
    only: Option<Runs>,
) -> Result<(), String> {
    let wants = |runs| only.is_none_or(|only| only == runs);
    let scenario = Scenario::of(seed);
    let start = Protected::run(|| Start::of(scenario, keys, &missing.syncs(&scenario)))?;
    if scenario.hides_boot {
        return refused_or_explored(start, keys, tally);
    }
    if wants(Runs::Crashes) {
        Protected::run(|| Explorer::explore(start.clone(), keys, tally, Depth::RANDOM))?;
    }
    let start = start.synced();
    if scenario.sizes == pageseal::simulation::Sizes::Real {
        return faults::play(&start, keys, tally, 0);
    }
    if wants(Runs::Faults) {
        for number in 0..FAULTED_RUNS {
            faults::play(&start, keys, tally, number)?;
        }
    }
    if wants(Runs::Meddling) {
        meddling::play(&start, keys, tally)?;
        damage::play(&start, keys, tally)?;
    }
    if wants(Runs::Pairs) { pairs::play(&start, keys, tally) } else { Ok(()) }
}

/// A job that counts on the caches is refused, with nothing changed, where nothing tells whether they are the same. One that
/// is not refused had better survive everything all the same.
fn refused_or_explored(start: Start, keys: &Keys, tally: &Tally) -> Result<(), String> {
    let site = start.site(keys, start.scenario.seed ^ 3);
    match Protected::run(|| Ok(site.run()))? {
        Err(JobError::Refused(Refusal::CachesUnknown { .. })) => {
            let unchanged = site.disk.look(|state| state.looks_like(&start.state));
            unchanged.then_some(()).ok_or_else(|| "a refusal changed something".into())
        }
        Err(error) => Err(format!("without a boot id: {error:?}")),
        Ok(_) => Protected::run(|| Explorer::explore(start, keys, tally, Depth::RANDOM)),
    }
}

fn play_exhaustive(number: u64, keys: &Keys, tally: &Tally, missing: Missing) -> Result<(), String> {
    let scenario = Scenario::exhaustive(number);
    let start = Protected::run(|| Start::of(scenario, keys, &missing.syncs(&scenario)))?;
    Protected::run(|| Explorer::explore(start, keys, tally, Depth::EXHAUSTIVE))
}

/// A panic is a failure like any other.
#[derive(Debug)]
pub struct Protected;

impl Protected {
    /// Runs it.
    ///
    /// # Errors
    /// Its own, or that it panicked.
    pub fn run<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panic".into()))
    }
}

/// A campaign and how far it is.
#[derive(Debug)]
pub struct Campaign {
    options: Options,
    keys: Keys,
    /// What was covered.
    pub tally: Tally,
    failures: Mutex<Vec<String>>,
    played: AtomicU64,
    stop: AtomicBool,
    started: Instant,
}

impl Campaign {
    /// A campaign that has not begun.
    ///
    /// # Errors
    /// No keys could be made.
    pub fn new(options: Options) -> Result<Self, String> {
        Ok(Campaign {
            options,
            keys: Keys::new()?,
            tally: Tally::default(),
            failures: Mutex::default(),
            played: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            started: Instant::now(),
        })
    }

    /// Plays everything. Returns what failed.
    pub fn run(&self, print: &(dyn Fn(&str) + Sync)) -> Vec<String> {
        let next = AtomicU64::new(0);
        let finished = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.options.threads).map(|_| scope.spawn(|| self.work(&next, print))).collect();
            let reporter = scope.spawn(|| self.report(&finished, print));
            for worker in workers {
                let _ = worker.join();
            }
            finished.store(true, Ordering::SeqCst);
            reporter.thread().unpark();
        });
        self.failures.lock().map(|failures| failures.clone()).unwrap_or_default()
    }

    fn work(&self, next: &AtomicU64, print: &(dyn Fn(&str) + Sync)) {
        let Options { exhaustive, seeds, first_seed, missing, only, .. } = self.options;
        while !self.stop.load(Ordering::SeqCst) {
            let item = next.fetch_add(1, Ordering::SeqCst);
            let (name, result) = match item.checked_sub(exhaustive) {
                None => {
                    (format!("--small-job {item}"), play_exhaustive(item, &self.keys, &self.tally, missing))
                }
                Some(number) if number < seeds => {
                    let seed = first_seed + number;
                    (format!("--seed {seed}"), play_seed(seed, &self.keys, &self.tally, missing, only))
                }
                Some(_) => return,
            };
            self.played.fetch_add(1, Ordering::SeqCst);
            if let Err(error) = result {
                self.fail(&name, &error, print);
            }
        }
    }

    fn fail(&self, name: &str, error: &str, print: &(dyn Fn(&str) + Sync)) {
        let failure = format!("FAILED, play it again with `crash {name}`: {error}");
        print(&failure);
        if let Ok(mut failures) = self.failures.lock() {
            failures.push(failure);
        }
        if self.options.stop_at_failure {
            self.stop.store(true, Ordering::SeqCst);
        }
    }

    fn report(&self, finished: &AtomicBool, print: &(dyn Fn(&str) + Sync)) {
        let mut last = Instant::now();
        while !finished.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(200));
            if last.elapsed() >= self.options.report_every {
                last = Instant::now();
                print(&self.line());
            }
        }
    }

    /// How far it is.
    pub fn line(&self) -> String {
        let all = self.options.exhaustive + self.options.seeds;
        let failures = self.failures.lock().map_or(0, |failures| failures.len());
        let (seconds, played) = (self.started.elapsed().as_secs(), self.played.load(Ordering::SeqCst));
        format!("{seconds:5} s, {played} of {all} jobs and seeds: {}, {failures} failures", self.tally)
    }

    /// Cells that were not looked at enough.
    pub fn too_poor(&self) -> Vec<(Cell, u64)> {
        self.tally.below(self.options.floor)
    }

    /// Plays one small job again.
    ///
    /// # Errors
    /// What was lost.
    pub fn play_small_job(&self, number: u64) -> Result<(), String> {
        play_exhaustive(number, &self.keys, &self.tally, self.options.missing)
    }

    /// Plays one seed again.
    ///
    /// # Errors
    /// What was lost.
    pub fn play_seed(&self, seed: u64) -> Result<(), String> {
        play_seed(seed, &self.keys, &self.tally, self.options.missing, self.options.only)
    }
}
