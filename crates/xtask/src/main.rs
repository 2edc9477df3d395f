//! Development tasks that are programs: `cargo xtask powercut` crashes the `pageseal` command on a real kernel.

mod powercut;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of pageseal
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true, max_term_width = 100)]
struct Arguments {
    /// What to do.
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Cut the power, kill, fill and break disks below the pageseal command, and check that nothing is lost
    #[command(after_help = powercut::EXIT_CODES)]
    Powercut(powercut::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().task {
        Task::Powercut(arguments) => powercut::run(&arguments),
    }
}
