//! `pageseal completions`

use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::write_stdout;

/// Prints the script.
pub fn run(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    // Into memory first: clap_complete panics if its writer fails, as a closed pipe does.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "pageseal", &mut script);
    write_stdout(&script)?;
    Ok(Exit::Done)
}
