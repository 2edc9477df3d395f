//! The `pageseal` command: arguments, terminal, signals and exit codes around the `pageseal` library.

mod arguments;
mod bench_page;
mod commands;
mod examples;
mod exit;
mod failure;
mod json;
mod notices;
mod output;
mod progress;
mod prompt;
mod remedies;
mod shell_quote;
mod signals;
mod size;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use exit::Exit;

fn main() -> ExitCode {
    // Without it a limit ends the process, as it does by default.
    let _ = signals::outlive_size_limit();
    match Arguments::try_parse() {
        Ok(arguments) => commands::run(arguments).into(),
        Err(error) => {
            // A closed pipe (`pageseal --help | head -1`) is no reason to fail.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Done }.into()
        }
    }
}
