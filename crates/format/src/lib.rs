//! The bytes of sealed files and journals: structs, geometry and limits, no I/O and no keys.
//!
//! The byte tables are in `docs/FORMAT.md`; this crate is their only implementation in Rust. A parser
//! here returns a struct that is valid in every field or an error that names the first flaw, and never
//! panics. What it can not know is whether a key holder wrote the bytes: [`mac_of`] gives the caller
//! the two parts to compare, and nothing that was parsed may be acted upon before that.

mod codec;
mod error;
mod geometry;
pub mod journal;
pub mod labels;
pub mod limits;
mod slots;
mod superblock;
mod table;

pub use codec::mac_of;
pub use error::FormatError;
pub use geometry::{Geometry, trailer_candidates};
pub use limits::Limits;
pub use slots::{Slot, SlotArea, SlotKind};
pub use superblock::{FileState, Superblock};
pub use table::{FLAG_HOLE, TableEntry};

/// A random 16-byte name of a file or of a job.
pub type Id = [u8; 16];
