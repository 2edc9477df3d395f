//! The bodies of the fuzz targets on random inputs, and on those that fuzzing kept. A failure's input belongs into
//! `fuzz/findings/TARGET/`.

use std::fs;
use std::path::PathBuf;

use pageseal_fuzz_bodies::BODIES;
use proptest::collection::vec;
use proptest::prelude::*;

/// Random inputs a body, unless `PAGESEAL_FUZZ_CASES` says how many.
const CASES: u32 = 400;

fn config() -> ProptestConfig {
    let given =
        std::env::var("PAGESEAL_FUZZ_CASES").ok().map(|value| value.parse().expect("a number of cases"));
    // Failures are kept as findings, not as seeds of this generator.
    ProptestConfig { cases: given.unwrap_or(CASES), failure_persistence: None, ..ProptestConfig::default() }
}

fn kept(folder: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder).join(target);
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn every_target_has_a_corpus() {
    for (target, _) in BODIES {
        assert!(!kept("corpus", target).is_empty(), "fuzz/corpus/{target} is empty");
    }
}

#[test]
fn corpora_and_findings_hold() {
    for (target, body) in BODIES {
        for folder in ["corpus", "findings"] {
            for (path, bytes) in kept(folder, target) {
                println!("{}", path.display());
                body(&bytes);
            }
        }
    }
}

/// An input that reaches deep: a base, the choice to fix checksums more often than not, and some edits.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<u8>(), any::<u8>(), any::<u16>(), vec(any::<u8>(), 0..12)).prop_map(
        |(op, region, at, more)| {
            let mut bytes = vec![op, region];
            bytes.extend(at.to_le_bytes());
            bytes.extend(more);
            bytes
        },
    );
    (any::<u8>(), any::<u8>(), vec(edit, 0..5)).prop_map(|(base, choice, edits)| {
        let mut bytes = vec![base, choice];
        bytes.extend(edits.concat());
        bytes
    })
}

macro_rules! property {
    ($name:ident) => {
        proptest! {
            #![proptest_config(config())]

            #[test]
            fn $name(bytes in input()) {
                pageseal_fuzz_bodies::bodies::$name(&bytes);
            }
        }
    };
}

property!(trailer_parse);
property!(journal_parse);
property!(sealed_open);
property!(journal_resume);
property!(trailer_import);
