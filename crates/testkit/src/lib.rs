//! Test tools, for development only: a simulated disk that loses, tears and reorders what was not synced, and the seeded
//! generator that decides what.

mod disk;
mod generator;
mod inode;

pub use disk::{Fault, SimDisk, SimFile, SimFolder};
pub use generator::Generator;
