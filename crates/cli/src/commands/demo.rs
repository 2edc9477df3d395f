//! `pageseal demo`

use pageseal::demo::{self, DemoOptions};

use crate::arguments::DemoArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::print_result;

/// Runs the demonstration and prints its figures.
pub fn run(arguments: &DemoArguments, quiet: bool) -> Result<Exit, Failure> {
    let report = demo::run(&DemoOptions {
        len_bytes: arguments.size,
        threads: arguments.threads,
        dir: arguments.dir.clone(),
        keep: arguments.keep,
    })?;
    if arguments.json {
        let text =
            serde_json::to_string(&report).map_err(|error| Failure::Stdout { source: error.into() })?;
        print_result(&text)?;
    } else if !quiet {
        print_result(&report.to_string())?;
    }
    Ok(Exit::Done)
}
