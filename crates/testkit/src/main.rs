//! `cargo run --release -p pageseal-testkit -- crash --seeds N`: crashes jobs on a simulated disk, and proves that nothing is lost.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;

/// Tests of pageseal that are too long for `cargo test`.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Crash jobs at every operation, with every kind of fault, and recover them
    Crash(commands::crash::Crash),
    /// Switch off each protection in turn, and show that `crash` notices
    Mutations(commands::mutations::Mutations),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Crash(crash) => crash.run(),
        Command::Mutations(mutations) => mutations.run(),
    }
}
