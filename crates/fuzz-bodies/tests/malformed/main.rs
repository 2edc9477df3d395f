//! Makes `docs/vectors/malformed/`: a named file for each way to be malformed, with what a reader must say to it. The files there are
//! fixed; this test fails if they are not what it makes. After a change here:
//!
//! ```text
//! PAGESEAL_WRITE_VECTORS=1 cargo test -p pageseal-fuzz-bodies --test malformed
//! ```
//!
//! `crates/pageseal/tests/malformed_files.rs` runs them.

mod example;
mod journal_parts;
mod journals;
mod sealed_files;
mod slots;
mod vectors;

use std::fs;
use std::path::Path;

use vectors::Vector;

fn compare(name: &str, vectors: &[Vector]) {
    let mut names: Vec<_> = vectors.iter().map(|vector| vector.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), vectors.len(), "two vectors have one name");
    let text = vectors::manifest(vectors);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/malformed").join(name);
    if std::env::var_os("PAGESEAL_WRITE_VECTORS").is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} is not what this test makes", path.display());
}

#[test]
fn sealed_files_are_as_kept() {
    let mut all = sealed_files::vectors();
    all.extend(slots::vectors());
    compare("sealed.json", &all);
}

#[test]
fn journals_are_as_kept() {
    let mut all = journals::vectors();
    all.extend(journal_parts::vectors());
    compare("journals.json", &all);
}
