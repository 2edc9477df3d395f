//! A share of the campaign that `cargo run --release -p pageseal-testkit -- crash` plays in full.

use std::time::Duration;

use pageseal_testkit::crash::{Campaign, Cell, Missing, Options};

fn options(seeds: u64) -> Options {
    Options {
        seeds,
        first_seed: 0,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        exhaustive: 0,
        floor: 0,
        missing: Missing::Nothing,
        only: None,
        stop_at_failure: false,
        report_every: Duration::from_secs(20),
    }
}

fn failures_of(options: Options) -> (Campaign, Vec<String>) {
    let campaign = Campaign::new(options).unwrap();
    let failures = campaign.run(&|line| println!("{line}"));
    (campaign, failures)
}

#[test]
fn whatever_stops_a_job_nothing_is_lost() {
    // A seed for each cell, and small jobs of every kind of job, store and resilience with every subset of sectors.
    let cells = Cell::all().len() as u64;
    let (campaign, failures) = failures_of(Options { exhaustive: 42, ..options(cells) });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{}", campaign.tally.table());
    assert!(campaign.tally.states() > 20_000, "{} states", campaign.tally.states());
}

/// Without each of these syncs it must fail: a simulation that cannot proves nothing. What is not a sync is switched off by
/// `mutations`, in a build of its own.
#[test]
fn a_missing_sync_is_noticed() {
    for missing in [Missing::Journal, Missing::Data, Missing::Folder, Missing::First] {
        let (_, failures) = failures_of(Options { missing, stop_at_failure: true, ..options(50) });
        assert!(!failures.is_empty(), "nothing is lost without {missing:?}");
    }
}
