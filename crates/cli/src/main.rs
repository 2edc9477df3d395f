//! The pageseal command.
fn main() {}
