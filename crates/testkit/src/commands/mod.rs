//! The commands.

pub mod crash;
pub mod mutations;
