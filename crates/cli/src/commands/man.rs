//! `pageseal man`

use clap::CommandFactory;
use clap_mangen::Man;

use crate::arguments::{Arguments, ManArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::write_stdout;

/// Prints the page of the whole command, or writes one page for every command into a folder.
pub fn run(arguments: &ManArguments) -> Result<Exit, Failure> {
    match &arguments.dir {
        Some(dir) => clap_mangen::generate_to(Arguments::command(), dir)
            .map_err(|source| Failure::Write { path: dir.clone(), source })?,
        None => {
            let mut page = Vec::new();
            Man::new(Arguments::command()).render(&mut page).map_err(|source| Failure::Stdout { source })?;
            write_stdout(&page)?;
        }
    }
    Ok(Exit::Done)
}
