//! `pageseal decrypt`

use pageseal::{DecryptOptions, decrypt_in_place, decrypt_to};

use crate::arguments::DecryptArguments;
use crate::exit::Exit;
use crate::failure::{Failure, UsageError};
use crate::remedies::Situation;

use super::conversion::input;
use super::each_file::{EachFile, JobDone};
use super::key_sources::identities;
use super::session::Session;

/// Opens the files.
pub fn run(arguments: &DecryptArguments, session: &Session) -> Result<Exit, Failure> {
    let conversion = &arguments.conversion;
    conversion.check()?;
    let options = options(arguments)?;
    let identities = identities(&arguments.keys, session)?;
    let output = conversion.output();
    let each_file = EachFile {
        session,
        situation: Situation {
            journal: conversion.journal.as_deref(),
            keys: Some(&arguments.keys),
            ..Situation::of("decrypt")
        },
        json: conversion.run.json,
        stdout_is_data: conversion.stdout_is_data(),
    };
    Ok(each_file.run(&conversion.files, |file, control| {
        let report = match &output {
            Some(output) => decrypt_to(&input(file), output, &identities, &options, control)?,
            None => decrypt_in_place(file, &identities, &options, control)?,
        };
        Ok(JobDone { report, in_place: output.is_none() })
    }))
}

fn options(arguments: &DecryptArguments) -> Result<DecryptOptions, UsageError> {
    let conversion = &arguments.conversion;
    Ok(DecryptOptions {
        io: conversion.io.into(),
        resilience: conversion.resilience.into(),
        threads: conversion.run.threads,
        journal: conversion.journal.clone(),
        keep_name: conversion.keep_name,
        verify_first: !arguments.no_verify_first,
        allow_links: conversion.allow_links,
        accept_data_loss: conversion.accept_data_loss,
        preserve: conversion.preserve,
    })
}
