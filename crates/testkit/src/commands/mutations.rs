//! `mutations`: a test that cannot fail proves nothing.

use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use pageseal_protections::{MUTABLE, Protection, VARIABLE};

/// Arguments of `mutations`.
#[derive(Args, Debug)]
pub struct Mutations {
    /// Random scenarios to play at most for each protection
    #[arg(long, default_value_t = 10000)]
    seeds: u64,
}

/// Syncs that are left out on the simulated disk.
const SYNCS: [&str; 4] = ["journal", "data", "folder", "first"];
/// What only a real kernel can miss.
const NOT_HERE: [Protection; 2] = [Protection::JournalFlush, Protection::FileSystemSync];

impl Mutations {
    /// Plays the simulation without each protection, and with all of them.
    pub fn run(&self) -> ExitCode {
        if !MUTABLE {
            eprintln!(
                "this build has no protection that can be switched off; build it with \
                 RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/with-mutations"
            );
            return ExitCode::from(2);
        }
        let mut all_caught = true;
        for sync in SYNCS {
            all_caught &= self.is_caught(&format!("sync of: {sync}"), &["--without-sync", sync], None);
        }
        for protection in Protection::ALL.into_iter().filter(|it| !NOT_HERE.contains(it)) {
            all_caught &= self.is_caught(protection.name(), runs_for(protection), Some(protection));
        }
        if all_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn is_caught(&self, name: &str, arguments: &[&str], off: Option<Protection>) -> bool {
        let Ok(program) = std::env::current_exe() else { return false };
        let mut command = Command::new(program);
        let seeds = self.seeds.to_string();
        command.args(["crash", "--stop-at-failure", "--seeds", &seeds]).args(arguments);
        command.env_remove(VARIABLE).stderr(Stdio::null());
        if let Some(protection) = off {
            command.env(VARIABLE, protection.name());
        }
        let Ok(output) = command.output() else { return false };
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.lines().find(|line| line.starts_with("FAILED"));
        match first {
            Some(line) => println!("without {name:<22} caught: {}", shortened(line)),
            None => println!("without {name:<22} NOT CAUGHT in {seeds} seeds"),
        }
        first.is_some() && !output.status.success()
    }
}

/// The runs that a protection is for; the others need not be played.
fn runs_for(protection: Protection) -> &'static [&'static str] {
    match protection {
        Protection::TileRecheck
        | Protection::NonceRule
        | Protection::GrowAtEnd
        | Protection::LengthBeforeCut => &["--only", "meddling"],
        Protection::RestoreOnRecovery | Protection::SayLost => &["--only", "faults"],
        Protection::AskBeforeSettling => &["--only", "pairs"],
        _ => &["--only", "crashes"],
    }
}

fn shortened(line: &str) -> String {
    line.chars().take(200).collect()
}
