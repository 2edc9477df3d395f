//! The simulation: jobs are stopped at every operation, recovered, and judged.

mod campaign;
mod damage;
#[cfg(test)]
mod endings;
mod explore;
mod faults;
#[cfg(test)]
mod found;
mod meddling;
mod pairs;
mod scenario;
mod site;
mod start;
mod tally;

pub use campaign::{Campaign, Missing, Options, Runs, play_seed};
pub use scenario::{Cell, Job, Scenario, Survives};
pub use site::Keys;
pub use tally::Tally;
