//! `crash`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pageseal_testkit::crash::{Campaign, Missing, Options, Runs};

/// Arguments of `crash`.
#[derive(Args, Debug)]
pub struct Crash {
    /// Random scenarios to play
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Small jobs in which every subset of up to 12 sectors is tried; 198 are one for each cell
    #[arg(long, default_value_t = 0)]
    small_jobs: u64,
    /// Distinct states that every cell of job, store, resilience and suite must have
    #[arg(long, default_value_t = 0)]
    floor: u64,
    /// Threads; all cores if not given
    #[arg(long)]
    threads: Option<usize>,
    /// Play this seed again and nothing else
    #[arg(long)]
    seed: Option<u64>,
    /// Play this small job again and nothing else
    #[arg(long)]
    small_job: Option<u64>,
    /// End at the first failure
    #[arg(long)]
    stop_at_failure: bool,
    /// Leave a kind of sync out, to see that it is missed
    #[arg(long, value_enum, default_value_t = WithoutSync::Nothing)]
    without_sync: WithoutSync,
    /// Play only this kind of runs
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Seconds between two lines
    #[arg(long, default_value_t = 60)]
    report_every: u64,
}

/// A kind of sync.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum WithoutSync {
    /// None is left out
    Nothing,
    /// Of the journal
    Journal,
    /// Of the file
    Data,
    /// Of the folder
    Folder,
    /// Of the file before the first window
    First,
}

/// A kind of runs.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Only {
    /// Crashes at every operation
    Crashes,
    /// Faults while they go on
    Faults,
    /// Another process at the file
    Meddling,
    /// A file and a journal of different moments
    Pairs,
}

impl From<Only> for Runs {
    fn from(only: Only) -> Self {
        match only {
            Only::Crashes => Runs::Crashes,
            Only::Faults => Runs::Faults,
            Only::Meddling => Runs::Meddling,
            Only::Pairs => Runs::Pairs,
        }
    }
}

impl From<WithoutSync> for Missing {
    fn from(without: WithoutSync) -> Self {
        match without {
            WithoutSync::Nothing => Missing::Nothing,
            WithoutSync::Journal => Missing::Journal,
            WithoutSync::Data => Missing::Data,
            WithoutSync::Folder => Missing::Folder,
            WithoutSync::First => Missing::First,
        }
    }
}

impl Crash {
    /// Runs the campaign. Fails if anything was lost, or a cell was not looked at enough.
    pub fn run(&self) -> ExitCode {
        let campaign = match Campaign::new(self.options()) {
            Ok(campaign) => campaign,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        let again = match (self.seed, self.small_job) {
            (Some(seed), _) => Some(campaign.play_seed(seed)),
            (None, Some(job)) => Some(campaign.play_small_job(job)),
            (None, None) => None,
        };
        if let Some(result) = again {
            println!("{}", result.as_ref().map_or_else(Clone::clone, |()| campaign.tally.to_string()));
            return if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        self.campaign(&campaign)
    }

    fn campaign(&self, campaign: &Campaign) -> ExitCode {
        // A panic is caught and told like any other failure, with its seed.
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
        let started = Instant::now();
        let failures = campaign.run(&|line| println!("{line}"));
        println!("{}", campaign.line());
        print!("{}", campaign.tally.table());
        let poor = campaign.too_poor();
        for (cell, states) in &poor {
            println!("{cell}: {states} states, fewer than the floor of {}", self.floor);
        }
        if let Some((cell, states)) = campaign.tally.poorest() {
            println!("fewest states of a cell: {states} ({cell})");
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{} failures, {seconds:.0} s", failures.len());
        if failures.is_empty() && poor.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn options(&self) -> Options {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Options {
            seeds: self.seeds,
            first_seed: self.first_seed,
            threads: self.threads.unwrap_or(cores),
            exhaustive: self.small_jobs,
            floor: self.floor,
            missing: self.without_sync.into(),
            only: self.only.map(Runs::from),
            stop_at_failure: self.stop_at_failure,
            report_every: Duration::from_secs(self.report_every),
        }
    }
}
