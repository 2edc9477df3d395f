//! A crash at every operation of a run: what the medium may then hold is chosen, over and over, and each time the file must be
//! recovered.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::campaign::Protected;
use super::scenario::Cell;
use super::site::{Ending, History, Keys, Site};
use super::start::Start;
use super::tally::Tally;
use crate::Generator;
use crate::disk::{Choices, Fault, Moment, Operation, SECTOR, State, Storing, combinations, places_of_a_cut};
use pageseal::simulation::Sizes;

/// How thoroughly a run is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// All subsets are tried where there are no more than this.
    pub exhaustive: usize,
    /// Else so many of them.
    pub samples: u64,
    /// One recovery in so many is crashed too.
    pub again: u64,
    /// Crashes in a row.
    pub most_crashes: usize,
}

impl Depth {
    /// Every subset of up to 12 sectors.
    pub const EXHAUSTIVE: Depth = Depth { exhaustive: 1 << 12, samples: 24, again: 64, most_crashes: 2 };
    /// A few subsets of each moment, and more crashes in a row.
    pub const RANDOM: Depth = Depth { exhaustive: 6, samples: 4, again: 6, most_crashes: 4 };
}

/// One power cut in so many is also tried as a shutdown of the file system, which is then mounted again in the same boot.
const ONE_SHUTDOWN_IN: u64 = 4;
/// Moments of a recovery that is crashed too.
const MOMENTS_AGAIN: usize = 2;
/// Files of the product's sizes: so many moments of a run are looked at.
const REAL_MOMENTS: u64 = 6;

/// Explores one run.
pub struct Explorer<'a> {
    start: Start,
    keys: &'a Keys,
    tally: &'a Tally,
    depth: Depth,
    /// Before and after the run.
    ends: [State; 2],
    cell: Cell,
}

impl<'a> Explorer<'a> {
    /// Runs the job once, undisturbed, and then crashes it everywhere.
    ///
    /// # Errors
    /// What was lost, and where.
    pub fn explore(start: Start, keys: &'a Keys, tally: &'a Tally, depth: Depth) -> Result<(), String> {
        let mut moments = Self::moments(&start, keys)?;
        let cell = start.scenario.cell;
        let site = Self::whole_run(&start, keys, |_| {})?;
        let ends = [start.state.clone(), site.disk.state()];
        let history = site.history(None);
        // What was never synced before the job is not the job's to lose.
        let subject = site.inode();
        let synced = |moment: &Moment| moment.operation == Operation::Sync { inode: subject };
        let first = if cell.job.is_continuation() { 0 } else { moments.iter().position(synced).unwrap_or(0) };
        moments.drain(..first);
        let explorer = Explorer { start, keys, tally, depth, ends, cell };
        let mut path = DefaultHasher::new();
        explorer.start.scenario.configuration().hash(&mut path);
        if cell.job.is_continuation() {
            // Each seed interrupts the job somewhere else.
            explorer.start.scenario.seed.hash(&mut path);
        }
        for moment in &moments {
            explorer.crash_at(moment, &history, &path, 1)?;
        }
        Ok(())
    }

    fn whole_run<'k>(
        start: &Start,
        keys: &'k Keys,
        prepare: impl FnOnce(&Site<'_>),
    ) -> Result<Site<'k>, String> {
        let site = start.site(keys, start.scenario.seed ^ 3);
        prepare(&site);
        site.run().map_err(|error| format!("undisturbed, the job fails: {error:?}"))?;
        Ok(site)
    }

    /// All moments of the undisturbed run; of large files, which take long to copy, some of them.
    fn moments(start: &Start, keys: &Keys) -> Result<Vec<Moment>, String> {
        if start.scenario.sizes != Sizes::Real {
            let site = Self::whole_run(start, keys, |site| site.disk.record())?;
            return Ok(site.disk.take_record());
        }
        let changes = Self::whole_run(start, keys, |_| {})?.disk.changes();
        let mut generator = Generator::new(start.scenario.seed ^ 0x2EA1);
        let numbers =
            (0..REAL_MOMENTS).map(|_| changes / 8 + generator.below(changes - changes / 8)).collect();
        let site = Self::whole_run(start, keys, |site| site.disk.record_only(numbers))?;
        Ok(site.disk.take_record())
    }

    fn crash_at(
        &self,
        moment: &Moment,
        history: &History,
        path: &DefaultHasher,
        crashes: usize,
    ) -> Result<(), String> {
        let mut path = path.clone();
        moment.number.hash(&mut path);
        moment.operation.place().hash(&mut path);
        // Chance depends on where this is and on nothing that came before, so that one state more or less changes no other.
        let generator = &mut Generator::new(path.finish() ^ self.start.scenario.seed);
        for mut choices in self.power_cuts(moment, generator) {
            let mut state = moment.after.clone();
            state.cut(&mut choices);
            let made: Vec<_> = choices.made().iter().filter(|choice| choice.chosen > 0).copied().collect();
            let what = || format!("power cut after change {} {:?}", moment.number, moment.operation.place());
            let signature = hash_of(&path, &made);
            self.check(state, history, Fault::PowerCut, signature, crashes, &what)?;
            if signature.is_multiple_of(ONE_SHUTDOWN_IN) {
                let mut state = moment.after.clone();
                let given = choices.made().iter().map(|choice| choice.chosen).collect();
                state.shut_down(&mut Choices::given(given, 0));
                let what =
                    || format!("shut down after change {} {:?}", moment.number, moment.operation.place());
                let signature = hash_of(&path, &(made, "shut down"));
                self.check(state, history, Fault::Shutdown, signature, crashes, &what)?;
            }
        }
        for (part, mut state) in killed_states(moment, generator) {
            state.end_process();
            let what = || format!("killed in change {} {:?}", moment.number, moment.operation.place());
            self.check(state, history, Fault::Kill, hash_of(&path, &part), crashes, &what)?;
        }
        Ok(())
    }

    /// The choices to try at one moment.
    fn power_cuts(&self, moment: &Moment, generator: &mut Generator) -> Vec<Choices> {
        let mut probe = Choices::given(Vec::new(), 0);
        moment.after.clone().cut(&mut probe);
        let counts: Vec<usize> = probe.made().iter().map(|choice| choice.count).collect();
        if let Some(all) = combinations(&counts, self.depth.exhaustive) {
            return all.into_iter().map(|given| Choices::given(given, generator.next_u64())).collect();
        }
        let leanings = [16, 128, 240];
        (0..self.depth.samples)
            .map(|_| Choices::leaning(generator.next_u64(), *generator.pick(&leanings)))
            .collect()
    }

    fn check(
        &self,
        state: State,
        history: &History,
        fault: Fault,
        signature: u64,
        crashes: usize,
        what: &dyn Fn() -> String,
    ) -> Result<(), String> {
        let is_an_end = self.ends.iter().any(|end| state.looks_like(end));
        if !is_an_end && !self.tally.count_state(&self.cell, signature) {
            // Looked at before.
            return Ok(());
        }
        let mut history = history.clone();
        history.faults.push(fault);
        let mut generator = Generator::new(signature ^ self.start.scenario.seed);
        let seed = generator.next_u64();
        let mut site = self.start.site_at(self.keys, state, history, seed);
        site.disk.miss(&self.start.missing);
        let again = crashes < self.depth.most_crashes && generator.below(self.depth.again) == 0;
        if again {
            site.disk.record_sample(MOMENTS_AGAIN, generator.next_u64());
        }
        // A power cut that the judge adds is not one that the recovery had.
        let before = site.history(None);
        let ending =
            Protected::run(|| site.recover_and_judge()).map_err(|error| format!("{}: {error}", what()))?;
        self.tally.count_recovery(&self.cell, ending == Ending::SaidToBeLost);
        if again {
            let moments = site.disk.take_record();
            let mut path = DefaultHasher::new();
            signature.hash(&mut path);
            let sparser = Depth { exhaustive: 2, samples: 1, ..self.depth };
            let next = Explorer {
                start: self.start.clone(),
                keys: self.keys,
                tally: self.tally,
                depth: sparser,
                ends: self.ends.clone(),
                cell: self.cell,
            };
            let history = History { past: site.history(None).past, ..before };
            for moment in &moments {
                next.crash_at(moment, &history, &path, crashes + 1)
                    .map_err(|error| format!("{}, and then {error}", what()))?;
            }
        }
        Ok(())
    }
}

fn hash_of(path: &DefaultHasher, part: &impl Hash) -> u64 {
    let mut hasher = path.clone();
    part.hash(&mut hasher);
    hasher.finish()
}

/// Places of each store in order at which a kill is tried.
const CUTS_IN_ORDER: usize = 3;

/// Kills in each write past the cache.
const DIRECT_KILLS: u64 = 2;

/// What a process leaves that is killed at this operation: a write past the cache may still be on its way, another may have done whole pages of it, a store into a mapping any
/// bytes, or those up to some place if it goes in order.
pub(super) fn killed_states(moment: &Moment, generator: &mut Generator) -> Vec<((u8, u64), State)> {
    let mut states = vec![((0, 0), moment.after.clone())];
    let (Operation::Write { inode, offset, bytes, how }, Some(before)) = (&moment.operation, &moment.before)
    else {
        return states;
    };
    let mut leave = |kind: u8, number: u64, bytes: &[u8]| {
        let mut state = before.clone();
        state.write(*inode, *offset, bytes, *how);
        states.push(((kind, number), state));
    };
    match how {
        Storing::Mapped => {
            let number = generator.next_u64();
            let mut mixed = before.bytes_of(*inode, *offset as usize, bytes.len());
            let mut coins = Generator::new(number);
            for (byte, after) in mixed.iter_mut().zip(bytes) {
                if coins.below(2) == 0 {
                    *byte = *after;
                }
            }
            leave(1, number, &mixed);
        }
        Storing::MappedInOrder => {
            let places = places_of_a_cut(bytes.len());
            for _ in 0..CUTS_IN_ORDER {
                let end = *generator.pick(&places);
                leave(3, end as u64, &bytes[..end]);
            }
        }
        Storing::Direct => {
            for number in 0..DIRECT_KILLS {
                let mut state = before.clone();
                let seed = generator.next_u64();
                state.write_direct_killed(*inode, *offset, bytes, &mut Generator::new(seed));
                states.push(((4, number), state));
            }
        }
        Storing::Call if bytes.len() > 8 * SECTOR => {
            let pages = generator.below((bytes.len() / (8 * SECTOR)) as u64);
            leave(2, pages, &bytes[..pages as usize * 8 * SECTOR]);
        }
        Storing::Call => {}
    }
    states
}
