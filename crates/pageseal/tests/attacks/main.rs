//! One test for each way in which somebody who writes to file and journal, but has no key, could try to have the tool open, cut off or
//! destroy something (invariant 8 of `docs/DESIGN.md`). Each tries every command, and asserts the class of the refusal and that no
//! byte, length or name changed. What single flipped bits do is in `bad_journal_forgeries.rs` and `bad_superblocks.rs`.

mod decryption_in_progress;
mod place;
mod planted_journals;
mod replays;
#[macro_use]
#[path = "../support/mod.rs"]
mod support;
mod swaps;
mod watermarks;
