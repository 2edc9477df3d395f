//! `pageseal demo`

use pageseal::demo::{self, DemoOptions};

use crate::arguments::DemoArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print_json, print_result};

/// Runs the demonstration and prints its figures.
pub fn run(arguments: &DemoArguments, quiet: bool) -> Result<Exit, Failure> {
    let report = demo::run(&DemoOptions {
        len_bytes: arguments.size,
        threads: arguments.threads,
        dir: arguments.dir.clone(),
        keep: arguments.keep,
    })?;
    if arguments.json {
        print_json(&report)?;
    } else if !quiet {
        print_result(&report.to_string())?;
    }
    Ok(Exit::Done)
}
