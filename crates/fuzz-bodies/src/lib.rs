//! What a fuzz target runs: a function from bytes to nothing, which panics if something happened that must not.
//!
//! The targets of `fuzz/` call these functions, and so do the tests of this crate, which replay the kept corpus and play
//! random inputs on a stable compiler. An input is first a choice (which file or journal to begin with, what to do with it) and then a
//! list of edits of that file, see [`edits`]. The files to begin with are computed and always the same, see [`fixture`], so a
//! finding of one machine is one on every machine.
//!
//! What must hold is the same everywhere: no panic; no memory for a length that nobody checked (the callers limit what may be
//! allocated); what is accepted is what the owner of the key wrote; what is refused is left as it was, in every byte and name.

pub mod bodies;
pub mod edits;
pub mod fixture;
pub mod place;

/// One body: its name, which is also that of its target and corpus, and the function.
pub type Body = (&'static str, fn(&[u8]));

/// All bodies.
pub const BODIES: [Body; 5] = [
    ("trailer_parse", bodies::trailer_parse),
    ("journal_parse", bodies::journal_parse),
    ("sealed_open", bodies::sealed_open),
    ("journal_resume", bodies::journal_resume),
    ("trailer_import", bodies::trailer_import),
];
