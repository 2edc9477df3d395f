//! The bodies.

mod journal_parse;
mod journal_resume;
mod sealed_open;
mod trailer_import;
mod trailer_parse;

pub use journal_parse::journal_parse;
pub use journal_resume::journal_resume;
pub use sealed_open::sealed_open;
pub use trailer_import::trailer_import;
pub use trailer_parse::trailer_parse;
