//! What the kills hit, as a table.

use std::collections::BTreeMap;
use std::fmt;

use super::found::{Found, Place};

/// Counts of everything that happened.
#[derive(Default)]
pub struct Tally {
    places: BTreeMap<(&'static str, Place), u64>,
    phases: BTreeMap<(&'static str, String), u64>,
    in_flight: BTreeMap<(&'static str, u64), u64>,
    events: BTreeMap<(&'static str, String), u64>,
}

impl Tally {
    /// A kill of a job: what it left.
    pub fn kill(&mut self, job: &'static str, place: Place, found: Option<&Found>) {
        *self.places.entry((job, place)).or_default() += 1;
        if let Some(found) = found {
            *self.phases.entry((job, format!("{:?}", found.phase.phase))).or_default() += 1;
            *self.in_flight.entry((job, found.windows_in_flight())).or_default() += 1;
        }
    }

    /// Anything else that is worth a line.
    pub fn event(&mut self, job: &'static str, what: impl Into<String>) {
        *self.events.entry((job, what.into())).or_default() += 1;
    }

    pub fn kills(&self) -> u64 {
        self.places.values().sum()
    }

    /// Kills between the first window's commit and FINISHED.
    pub fn kills_between(&self) -> u64 {
        self.places.iter().filter(|((_, place), _)| *place == Place::Between).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((job, place), count) in &self.places {
            writeln!(f, "{job:8} kill landed      {:32} {count:4}", format!("{place:?}"))?;
        }
        for ((job, phase), count) in &self.phases {
            writeln!(f, "{job:8} phase found      {phase:32} {count:4}")?;
        }
        for ((job, windows), count) in &self.in_flight {
            writeln!(f, "{job:8} in flight        {:32} {count:4}", format!("{windows} windows"))?;
        }
        for ((job, what), count) in &self.events {
            writeln!(f, "{job:8} then             {what:32} {count:4}")?;
        }
        let (between, all) = (self.kills_between(), self.kills());
        writeln!(f, "{between} of {all} kills between the first window's commit and FINISHED")
    }
}
