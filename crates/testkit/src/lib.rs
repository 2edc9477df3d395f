//! Test tools, for development only.
//!
//! [`disk`] is a disk that loses, tears and reorders what was not synced. [`crash`] runs the engine's jobs on it, stops them at
//! every operation, recovers them, and looks whether anything was lost. Everything is decided by a seed.

pub mod crash;
pub mod disk;
mod generator;
mod surroundings;
mod turns;

pub use generator::Generator;
pub use surroundings::{Ledger, Past, SimSurroundings};
pub use turns::Turns;
