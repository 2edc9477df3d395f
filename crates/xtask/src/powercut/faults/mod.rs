//! Full disks, broken disks, and other processes at the file. No fault may kill the command; each one is told with what to do
//! about it; and what can be had again is had again.

mod broken_disk;
mod company;
mod scene;
mod space;

use super::bench::Bench;
use super::job::{MODES, Mode};
use super::report::Report;
use super::stop::Outcome;

/// One fault.
struct Case {
    name: &'static str,
    /// With every store and record, or with the first only.
    modes: &'static [Mode],
    /// Returns what was observed.
    run: fn(&Bench, Mode) -> Outcome<String>,
}

const EVERY: &[Mode] = &MODES;
const FIRST: &[Mode] = MODES.split_at(1).0;

const CASES: &[Case] = &[
    Case { name: "truncated by another process", modes: EVERY, run: company::truncated },
    Case { name: "grown by another process", modes: EVERY, run: company::grown },
    Case { name: "written before its turn", modes: EVERY, run: company::written_before_its_turn },
    Case { name: "written after its turn", modes: EVERY, run: company::written_after_its_turn },
    Case { name: "renamed", modes: EVERY, run: company::renamed },
    Case { name: "deleted", modes: EVERY, run: company::deleted },
    Case { name: "name given to another file", modes: EVERY, run: company::name_given_away },
    Case { name: "replaced by rename", modes: EVERY, run: company::replaced },
    Case { name: "new name taken", modes: EVERY, run: company::new_name_taken },
    Case { name: "a second job", modes: FIRST, run: company::second_job },
    Case { name: "SIGTERM and SIGINT", modes: EVERY, run: company::asked_to_stop },
    Case { name: "ext4 full before the job", modes: FIRST, run: space::full_before },
    Case { name: "ext4 fills up during the job", modes: EVERY, run: space::fills_up_reserved },
    Case { name: "Btrfs fills up during an encrypt", modes: EVERY, run: space::fills_up_encrypt },
    Case { name: "Btrfs fills up during a decrypt", modes: EVERY, run: space::fills_up_decrypt },
    Case { name: "XFS reflink, fills up", modes: EVERY, run: space::fills_up_shared },
    Case { name: "the journal's disk fills up", modes: EVERY, run: space::journal_disk_fills_up },
    Case { name: "loop backing file truncated", modes: EVERY, run: broken_disk::backing_truncated },
    Case { name: "reads fail", modes: EVERY, run: broken_disk::reads_fail },
    Case { name: "writes fail", modes: EVERY, run: broken_disk::writes_fail },
    Case { name: "flushes fail, cache lost", modes: EVERY, run: broken_disk::flushes_fail },
    Case { name: "ext4 turns read-only", modes: EVERY, run: broken_disk::turns_read_only },
];

/// Runs all cases; of a share, each with the first of its modes only.
pub fn run(bench: &Bench, is_share: bool, words: Option<&str>, report: &mut Report) -> Outcome<()> {
    report.begin("faults");
    let is_meant = |case: &&Case| words.is_none_or(|words| case.name.contains(words));
    for (index, case) in CASES.iter().filter(is_meant).enumerate() {
        let modes = if is_share { &case.modes[..1] } else { case.modes };
        for &mode in modes {
            bench.go_on()?;
            let result = (case.run)(bench, mode);
            let line = format!("{}, {mode}", case.name);
            let result = result.map(|observed| report.note(format!("{line:<52} {observed}")));
            report.keep(&format!("--seed {} {line}", bench.seed), result)?;
        }
        report.progress(index as u64 + 1, CASES.len() as u64);
    }
    Ok(())
}
