//! `pageseal keygen`

use std::io::{IsTerminal, stdout};

use pageseal::generate_identity;

use crate::arguments::KeygenArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print_aside, print_note, print_result, shown_path, write_stdout};

/// Makes an identity. The public key is the result: on standard output if the secret went into a file.
pub fn run(arguments: &KeygenArguments, quiet: bool) -> Result<Exit, Failure> {
    let identity = generate_identity();
    match arguments.output.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            identity.write_new_file(path).map_err(|source| Failure::Write { path: path.into(), source })?;
            print_result(&identity.public)?;
            if !quiet {
                print_note(&format!(
                    "{} is the only key to what is sealed for this recipient; keep a copy of it",
                    shown_path(path)
                ));
            }
        }
        None => {
            write_stdout(identity.file_contents().as_bytes())?;
            if !quiet && !stdout().is_terminal() {
                print_aside(&format!("public key: {}", identity.public));
            }
        }
    }
    Ok(Exit::Done)
}
