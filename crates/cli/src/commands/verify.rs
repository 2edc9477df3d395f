//! `pageseal verify`

use crate::arguments::VerifyArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remedies::Situation;

use super::each_file::EachFile;
use super::key_sources::identities;
use super::session::Session;

/// Authenticates the files.
pub fn run(arguments: &VerifyArguments, session: &Session) -> Result<Exit, Failure> {
    let identities = identities(&arguments.keys, session)?;
    let each_file = EachFile {
        session,
        situation: Situation { keys: Some(&arguments.keys), ..Situation::of("verify") },
        json: arguments.run.json,
        stdout_is_data: false,
    };
    Ok(each_file.run(&arguments.files, |file, control| {
        Ok(pageseal::verify(file, &identities, arguments.run.threads, control)?)
    }))
}
