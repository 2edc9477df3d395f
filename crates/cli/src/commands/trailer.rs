//! `pageseal trailer export` and `pageseal trailer import`

use std::path::Path;

use pageseal::{Control, export_trailer, import_trailer};

use crate::arguments::{TrailerCommand, TrailerExportArguments, TrailerImportArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print_failure, print_note, print_result, shown_path};
use crate::progress::Display;
use crate::remedies::Situation;
use crate::size::format_size;

use super::key_sources::identities;
use super::session::Session;

/// Copies or puts back a trailer.
pub fn run(command: &TrailerCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        TrailerCommand::Export(arguments) => {
            Ok(ended("trailer export", &arguments.file, export(arguments, session)))
        }
        TrailerCommand::Import(arguments) => {
            let identities = identities(&arguments.keys, session)?;
            let display = Display::new(session.quiet, session.verbose);
            let control = Control { progress: &display, cancellation: session.cancellation.clone() };
            let result = import(arguments, &identities, &control);
            display.finish();
            let result = result
                .map(|line| print_unless(session.quiet, &line))
                .map_err(|failure| session.cancelled_or(failure));
            Ok(ended("trailer import", &arguments.file, result))
        }
    }
}

fn export(arguments: &TrailerExportArguments, session: &Session) -> Result<(), Failure> {
    let len_bytes = export_trailer(&arguments.file, &arguments.output)?;
    let line = format!("exported  {}  {}", shown_path(&arguments.output), format_size(len_bytes));
    print_unless(session.quiet, &line);
    Ok(())
}

fn import(
    arguments: &TrailerImportArguments,
    identities: &pageseal::Identities,
    control: &Control<'_>,
) -> Result<String, Failure> {
    let len_bytes = import_trailer(&arguments.file, &arguments.from, identities, control)?;
    Ok(format!("imported  {}  {}", shown_path(&arguments.file), format_size(len_bytes)))
}

/// The work is done whether somebody can read about it or not.
fn print_unless(quiet: bool, line: &str) {
    if !quiet && let Err(failure) = print_result(line) {
        print_note(&format!("it is done all the same: {}", failure.message()));
    }
}

fn ended(command: &'static str, file: &Path, result: Result<(), Failure>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(failure) => {
            print_failure(&failure, &Situation::of(command).on(file));
            failure.exit()
        }
    }
}
