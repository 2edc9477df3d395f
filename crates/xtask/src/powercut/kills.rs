//! SIGKILL at random moments: the test `kills` of the library, in batches, with its counts added up. It checks by itself that
//! at least 80 % of the kills land between the first window's commit and FINISHED.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::bench::Wish;
use super::build::{cargo, workspace};
use super::report::Report;
use super::stop::{Outcome, Stop, check};

/// Kills of each of the two jobs in one run of the test.
const BATCH: u64 = 50;
const TEST: [&str; 9] = [
    "test",
    "--locked",
    "--quiet",
    "-p",
    "pageseal",
    "--test",
    "kills",
    "survives_kills_at_random_moments",
    "--",
];

/// Kills `kills` times, half of them encrypts.
pub fn run(wish: &Wish, seed: u64, kills: u64, report: &mut Report) -> Outcome<()> {
    report.begin("kills");
    let mut left = kills.div_ceil(2);
    let mut batch = 0;
    while left > 0 {
        wish.go_on()?;
        let of_each = left.min(BATCH);
        let batch_seed = seed.wrapping_add(batch);
        let mut command = test(batch_seed, of_each);
        let output = command.output().map_err(|error| Stop::Setup(format!("cargo test: {error}")))?;
        let told = String::from_utf8_lossy(&output.stdout);
        let case = format!("PAGESEAL_SEED={batch_seed} PAGESEAL_KILLS={of_each}");
        let result =
            check(output.status.success(), || format!("{told}\n{}", String::from_utf8_lossy(&output.stderr)));
        if report.keep(&case, result)? {
            add_up(&told, report);
        }
        left -= of_each;
        batch += 1;
        report.progress(kills - 2 * left.min(kills / 2), kills);
    }
    let (all, between) = (report.counted(ALL), report.counted(BETWEEN));
    report.note(format!(
        "{} % of the kills between the first window's commit and FINISHED",
        100 * between / all.max(1)
    ));
    check(all >= kills, || format!("only {all} kills were counted"))
}

const ALL: &str = "SIGKILLs";
const BETWEEN: &str = "found after the kill: Between";

fn test(seed: u64, kills: u64) -> Command {
    let mut command = cargo();
    command.args(TEST).args(["--nocapture", "--test-threads=1"]).current_dir(workspace());
    command.env("PAGESEAL_SEED", seed.to_string()).env("PAGESEAL_KILLS", kills.to_string());
    // Ctrl-C reaches this program alone, which goes on to the end of the batch.
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// Lines like `encrypt  kill landed      Between                            41`.
fn add_up(told: &str, report: &mut Report) {
    for line in told.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [job, words @ .., count] = &*words else { continue };
        let Ok(count) = count.parse() else { continue };
        match words {
            ["kill", "landed", place] => {
                report.add(ALL, count);
                report.add(&format!("SIGKILLs of {job}"), count);
                report.add(&format!("found after the kill: {place}"), count);
            }
            ["phase", "found", phase] => report.add(&format!("phase found: {phase}"), count),
            ["in", "flight", windows, _] => report.add(&format!("windows in flight: {windows}"), count),
            ["then", then @ ..] => report.add(&format!("then {}", then.join(" ")), count),
            _ => {}
        }
    }
}
