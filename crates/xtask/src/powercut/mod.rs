//! `cargo xtask powercut`: crashes of every kind below the real command, on the real kernel.

mod bench;
mod build;
mod disk;
mod faults;
mod file_system;
mod image;
mod job;
mod journal;
mod kills;
mod late;
mod needs;
mod private_mounts;
mod recording;
mod replay;
mod report;
mod shutdown;
mod stop;
mod subject;
mod tool;
mod victim;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bench::{Bench, Wish};
use clap::builder::PossibleValuesParser;
use file_system::FileSystem;
use pageseal_protections::Protection;
use report::Summary;
use stop::{Outcome, Stop};

/// What the exit code says, for `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 nothing was lost; 1 a check failed; 2 usage; 3 rights, devices or programs are \
missing (named); 4 a test could not be set up; 130 stopped as asked.\nEverything that is set up lies in temporary folders, \
loop devices and a mount namespace of its own, and is taken down at the end.";

/// `powercut`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Do only this part; can be repeated
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Use only this file system; can be repeated
    #[arg(long, value_enum, value_name = "NAME")]
    file_system: Vec<FileSystem>,
    /// A small share of everything, for every change
    #[arg(long)]
    share: bool,
    /// Power cuts on each file system (part shutdown) [default: 100]
    #[arg(long, value_name = "N")]
    cuts: Option<u64>,
    /// SIGKILLs (part kills) [default: 1000]
    #[arg(long, value_name = "N")]
    kills: Option<u64>,
    /// States of the disk that are tried of each recorded job (part replay) [default: 40]
    #[arg(long, value_name = "N")]
    states: Option<u64>,
    /// Only faults with these words in their names (part faults)
    #[arg(long, value_name = "WORDS")]
    fault: Option<String>,
    /// Repeat the choices of a run (not its timing)
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Part replay with this protection switched off: exit code 0 if the loss is detected
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Protection::ALL.map(Protection::name)))]
    mutation: Option<String>,
    /// Test this executable instead of building one
    #[arg(long, value_name = "PATH", conflicts_with = "mutation")]
    pageseal: Option<PathBuf>,
    /// Where images lie that shall be as slow as a disk [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// A kind of crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The file system drops all that is not on disk, at random moments
    Shutdown,
    /// SIGKILL at random moments
    Kills,
    /// Full disks, broken disks, other processes at the file, SIGTERM and SIGINT
    Faults,
    /// Writes past the page cache that land when the job that sent them was killed long ago
    Late,
    /// States that a lost cache can leave a disk in, made from a record of all its writes and flushes
    Replay,
}

impl Arguments {
    fn parts(&self) -> Vec<Part> {
        match (&self.mutation, &*self.only) {
            (Some(_), _) => vec![Part::Replay],
            (None, []) => vec![Part::Shutdown, Part::Replay, Part::Faults, Part::Late, Part::Kills],
            (None, only) => only.to_vec(),
        }
    }

    fn file_systems(&self) -> Vec<FileSystem> {
        if !self.file_system.is_empty() {
            return self.file_system.clone();
        }
        FileSystem::ALL.to_vec()
    }

    /// A number that was given, or the one of the share, or that of a whole run.
    fn number(&self, given: Option<u64>, share: u64, whole: u64) -> u64 {
        given.unwrap_or(if self.share { share } else { whole })
    }
}

/// Runs what was asked for.
pub fn run(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let mut summary = Summary::default();
    let result = run_parts(arguments, &mut summary);
    if !summary.is_empty() {
        println!("\n{summary}in {:.0} s", started.elapsed().as_secs_f64());
    }
    match result {
        Ok(()) if summary.has_failed() => ExitCode::from(1),
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("powercut: {stop}");
            ExitCode::from(match stop {
                Stop::Failed(_) => 1,
                Stop::Lacks(_) => 3,
                Stop::Setup(_) => 4,
                Stop::Interrupted => 130,
            })
        }
    }
}

fn run_parts(arguments: &Arguments, summary: &mut Summary) -> Outcome<()> {
    let (parts, file_systems) = (arguments.parts(), arguments.file_systems());
    needs::check(&parts, &file_systems)?;
    if parts != [Part::Kills] {
        private_mounts::enter()?;
    }
    let seed = arguments.seed.unwrap_or_else(seed_of_now);
    println!("powercut: --seed {seed}");
    let wish = Wish::listen()?;
    if parts != [Part::Kills] {
        run_on_disks(&parts, arguments, seed, &wish, summary)?;
    }
    if parts.contains(&Part::Kills) {
        let kills = arguments.number(arguments.kills, 20, 1000);
        summary.add(|report| kills::run(&wish, seed, kills, report))?;
    }
    Ok(())
}

/// The parts that make disks of their own.
fn run_on_disks(
    parts: &[Part],
    arguments: &Arguments,
    seed: u64,
    wish: &Wish,
    summary: &mut Summary,
) -> Outcome<()> {
    let program = match &arguments.pageseal {
        Some(path) => path.clone(),
        None => build::pageseal(arguments.mutation.as_deref())?,
    };
    let folder = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let bench = Bench::new(program, arguments.mutation.as_deref(), &folder, seed, wish.clone())?;
    for part in parts {
        run_part(*part, arguments, &bench, summary)?;
    }
    Ok(())
}

fn run_part(part: Part, arguments: &Arguments, bench: &Bench, summary: &mut Summary) -> Outcome<()> {
    match part {
        Part::Shutdown => {
            let cuts = arguments.number(arguments.cuts, 10, 100);
            // Btrfs has no such order, and others need a check before they are mounted; part replay has them.
            let has_one = [FileSystem::Ext4, FileSystem::Xfs];
            for file_system in arguments.file_systems().into_iter().filter(|name| has_one.contains(name)) {
                summary.add(|report| shutdown::run(bench, file_system, cuts, report))?;
            }
        }
        Part::Replay => {
            let states = arguments.number(arguments.states, 2, 40);
            for file_system in arguments.file_systems() {
                summary.add(|report| replay::run(bench, file_system, states, report))?;
            }
        }
        Part::Faults => {
            let words = arguments.fault.as_deref();
            summary.add(|report| faults::run(bench, arguments.share, words, report))?;
        }
        Part::Late => {
            summary.add(|report| late::run(bench, arguments.share, &arguments.file_systems(), report))?;
        }
        Part::Kills => {}
    }
    Ok(())
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64)
}
