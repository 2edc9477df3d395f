//! `pageseal encrypt`

use pageseal::{EncryptOptions, encrypt_in_place, encrypt_to};

use crate::arguments::EncryptArguments;
use crate::exit::Exit;
use crate::failure::{Failure, UsageError};
use crate::remedies::Situation;

use super::conversion::input;
use super::each_file::{EachFile, JobDone};
use super::key_sources::recipients;
use super::session::Session;

/// Seals the files.
pub fn run(arguments: &EncryptArguments, session: &Session) -> Result<Exit, Failure> {
    let conversion = &arguments.conversion;
    conversion.check()?;
    let options = options(arguments)?;
    let recipients = recipients(arguments, session)?;
    let output = conversion.output();
    let each_file = EachFile {
        session,
        situation: Situation { journal: conversion.journal.as_deref(), ..Situation::of("encrypt") },
        json: conversion.run.json,
        stdout_is_data: conversion.stdout_is_data(),
    };
    Ok(each_file.run(&conversion.files, |file, control| {
        let report = match &output {
            Some(output) => encrypt_to(&input(file), output, &recipients, &options, control)?,
            None => encrypt_in_place(file, &recipients, &options, control)?,
        };
        Ok(JobDone { report, in_place: output.is_none() })
    }))
}

fn options(arguments: &EncryptArguments) -> Result<EncryptOptions, UsageError> {
    let conversion = &arguments.conversion;
    Ok(EncryptOptions {
        suite: arguments.suite.map(Into::into),
        chunk_len_bytes: arguments.chunk_size,
        io: conversion.io.into(),
        resilience: conversion.resilience.into(),
        threads: conversion.run.threads,
        job_key: arguments.job_key.into(),
        journal: conversion.journal.clone(),
        keep_name: conversion.keep_name,
        allow_links: conversion.allow_links,
        allow_sparse: arguments.allow_sparse,
        accept_data_loss: conversion.accept_data_loss,
        preserve: conversion.preserve,
    })
}
