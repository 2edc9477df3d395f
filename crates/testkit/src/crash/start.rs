//! What lies on the disk when the run that is looked at begins.

use std::sync::Arc;

use pageseal::Control;

use super::scenario::{Scenario, Survives};
use super::site::{History, Keys, PLAIN, SEALED, Site, StopAfter, plaintext_of};
use crate::Generator;
use crate::disk::{Fault, MissingSync, SimDisk, State};

/// The beginning of a run.
#[derive(Clone)]
pub struct Start {
    /// What is run.
    pub scenario: Scenario,
    /// The file's content before everything.
    pub plaintext: Arc<Vec<u8>>,
    /// The disk.
    pub state: State,
    /// What came before.
    pub history: History,
    /// Syncs that are switched off.
    pub missing: Vec<MissingSync>,
}

/// Moments that are tried before a job is simply asked to stop.
const ATTEMPTS: u64 = 8;

impl Start {
    /// Makes the file, and an interrupted job where the scenario wants one.
    ///
    /// # Errors
    /// A job that fails though nothing stopped it.
    pub fn of(scenario: Scenario, keys: &Keys, missing: &[MissingSync]) -> Result<Self, String> {
        let plaintext = Arc::new(plaintext_of(&scenario));
        let disk = SimDisk::new(scenario.seed);
        disk.install(PLAIN, plaintext.to_vec(), false);
        let state = disk.state();
        let mut start =
            Start { scenario, plaintext, state, history: History::default(), missing: missing.to_vec() };
        if scenario.cell.job.begins_sealed() {
            start.seal(keys)?;
        }
        if scenario.cell.job.is_continuation() {
            start.interrupt(keys)?;
        }
        Ok(start)
    }

    /// A machine as it is at the beginning.
    pub fn site<'k>(&self, keys: &'k Keys, seed: u64) -> Site<'k> {
        let site = self.site_at(keys, self.state.clone(), self.history.clone(), seed);
        site.disk.miss(&self.missing);
        site
    }

    /// The same, with everything on the medium: what was never synced before a job is not the job's to lose.
    #[must_use]
    pub fn synced(mut self) -> Self {
        self.state.sync();
        self
    }

    /// A machine in another state.
    pub fn site_at<'k>(&self, keys: &'k Keys, state: State, history: History, seed: u64) -> Site<'k> {
        Site::new(self.scenario, keys, Arc::clone(&self.plaintext), state, history, seed)
    }

    /// The sealed file lies in the cache only, like one that was just copied there.
    fn seal(&mut self, keys: &Keys) -> Result<(), String> {
        let site = self.site_at(keys, self.state.clone(), History::default(), self.scenario.seed ^ 1);
        let control = Control::silent();
        site.encrypt(&control).map_err(|error| format!("sealing the file: {error:?}"))?;
        let sealed = site.disk.state().content(SEALED).ok_or("no sealed file")?.to_vec();
        let disk = SimDisk::new(self.scenario.seed);
        disk.install(SEALED, sealed, false);
        self.state = disk.state();
        self.history = site.history(None);
        Ok(())
    }

    /// Stops the job somewhere in its windows, in a way that it promises to survive.
    fn interrupt(&mut self, keys: &Keys) -> Result<(), String> {
        let seed = self.scenario.seed ^ 2;
        let mut generator = Generator::new(seed);
        let fault = match self.scenario.cell.resilience {
            Survives::Checksum | Survives::Journal => {
                Some(*generator.pick(&[Fault::PowerCut, Fault::PowerCut, Fault::Kill]))
            }
            Survives::Process => Some(Fault::Kill),
            Survives::None => None,
        };
        let whole = self.begin(keys, seed);
        self.start_job(&whole, &Control::silent()).map_err(|error| format!("the first job: {error}"))?;
        let operations = whole.disk.operations();
        for _ in 0..ATTEMPTS {
            let Some(fault) = fault else { break };
            let mut site = self.begin(keys, seed);
            site.disk.fail_at(operations / 3 + generator.below(operations * 2 / 3), fault);
            let _ = self.start_job(&site, &Control::silent());
            site.come_back(fault);
            if self.begins_at(&site, keys) {
                return Ok(());
            }
        }
        let mut site = self.begin(keys, seed);
        let stop = StopAfter::new(1);
        let stopped = self.start_job(&site, &stop.control());
        site.restart();
        if stopped.is_err() && self.begins_at(&site, keys) {
            return Ok(());
        }
        // So small a file that the job was over before it could stop. Its journal, as a kill leaves it:
        self.interrupt_at_its_end(keys, seed, operations)
    }

    /// Takes this machine for the beginning, if there is something to be done on it that is still possible.
    fn begins_at(&mut self, site: &Site<'_>, keys: &Keys) -> bool {
        if !site.has_journal() {
            return false;
        }
        let (state, history) = (site.disk.state(), site.history(None));
        let trial = self.site_at(keys, state.clone(), history.clone(), self.scenario.seed);
        if trial.run().is_err() {
            return false;
        }
        (self.state, self.history) = (state, history);
        true
    }

    /// Kills the job as late as there still is something to be done.
    fn interrupt_at_its_end(&mut self, keys: &Keys, seed: u64, operations: u64) -> Result<(), String> {
        for at in (1..=operations).rev() {
            let mut site = self.begin(keys, seed);
            site.disk.fail_at(at, Fault::Kill);
            let _ = self.start_job(&site, &Control::silent());
            site.come_back(Fault::Kill);
            if self.begins_at(&site, keys) {
                return Ok(());
            }
        }
        Err("the job never had a journal to begin with".into())
    }

    fn begin<'k>(&self, keys: &'k Keys, seed: u64) -> Site<'k> {
        self.site_at(keys, self.state.clone(), self.history.clone(), seed)
    }

    fn start_job(&self, site: &Site<'_>, control: &Control<'_>) -> Result<(), String> {
        let result = match self.scenario.cell.job.begins_sealed() {
            false => site.encrypt(control),
            true => site.decrypt(control),
        };
        result.map(|_| ()).map_err(|error| format!("{error:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three threads, and yet the same operations in the same order.
    #[test]
    fn a_seed_decides_every_operation_of_a_run() {
        let keys = Keys::new().unwrap();
        // Where nothing tells which boot it is, such a job is refused and does nothing.
        for scenario in (0..42).map(Scenario::of).filter(|scenario| !scenario.hides_boot) {
            let seed = scenario.seed;
            let start = Start::of(scenario, &keys, &[]).unwrap();
            let operations = || {
                let site = start.site(&keys, seed);
                site.disk.record();
                site.run().unwrap();
                let moments = site.disk.take_record();
                moments.into_iter().map(|moment| moment.operation.place()).collect::<Vec<_>>()
            };
            assert_eq!(operations(), operations(), "seed {seed}");
        }
    }
}
