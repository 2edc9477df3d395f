//! `pageseal resume` and `pageseal rollback`

use std::slice;

use pageseal::ResumeOptions;

use crate::arguments::{ContinuationArguments, ResumeArguments, RollbackArguments};
use crate::exit::Exit;
use crate::failure::{Failure, UsageError};
use crate::remedies::Situation;

use super::each_file::{EachFile, JobDone};
use super::key_sources::identities;
use super::session::Session;

/// Goes on with the job of a file.
pub fn run_resume(arguments: &ResumeArguments, session: &Session) -> Result<Exit, Failure> {
    let continuation = &arguments.continuation;
    let options = options(continuation, arguments.decrypt)?;
    let identities = identities(&continuation.keys, session)?;
    let mut each_file = each_file("resume", continuation, session);
    each_file.situation.decrypt_word = arguments.decrypt;
    Ok(each_file.run(slice::from_ref(&continuation.file), |file, control| {
        let report = pageseal::resume(file, &identities, &options, control)?;
        Ok(JobDone { report, in_place: true })
    }))
}

/// Undoes the job of a file.
pub fn run_rollback(arguments: &RollbackArguments, session: &Session) -> Result<Exit, Failure> {
    let continuation = &arguments.continuation;
    let options = options(continuation, false)?;
    let identities = identities(&continuation.keys, session)?;
    let each_file = each_file("rollback", continuation, session);
    Ok(each_file.run(slice::from_ref(&continuation.file), |file, control| {
        let report = pageseal::rollback(file, &identities, &options, control)?;
        Ok(JobDone { report, in_place: true })
    }))
}

fn options(arguments: &ContinuationArguments, decrypt: bool) -> Result<ResumeOptions, UsageError> {
    Ok(ResumeOptions {
        io: arguments.io.into(),
        threads: arguments.run.threads,
        journal: arguments.journal.clone(),
        decrypt,
        accept_damage: arguments.accept_damage,
    })
}

fn each_file<'a>(
    command: &'static str,
    arguments: &'a ContinuationArguments,
    session: &'a Session,
) -> EachFile<'a> {
    EachFile {
        session,
        situation: Situation {
            journal: arguments.journal.as_deref(),
            keys: Some(&arguments.keys),
            ..Situation::of(command)
        },
        json: arguments.run.json,
        stdout_is_data: false,
    }
}
