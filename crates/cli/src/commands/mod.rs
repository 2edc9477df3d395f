//! One module a command, and what they share.

mod bench;
mod completions;
mod conversion;
mod decrypt;
mod demo;
mod each_file;
mod encrypt;
mod info;
mod key_sources;
mod keygen;
mod man;
mod resume;
mod session;
mod trailer;
mod verify;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print_failure, print_note};
use crate::remedies::Situation;

use session::Session;

/// Runs the command and returns how it ended; everything that failed has been printed.
pub fn run(arguments: Arguments) -> Exit {
    let Arguments { quiet, verbose, .. } = arguments;
    let talk = (quiet, verbose);
    if let Err(error) = pageseal::process::harden()
        && !quiet
    {
        print_note(&format!("core dumps stay on, and would hold keys: {error}"));
    }
    match &arguments.command {
        Command::Keygen(keygen) => report("keygen", keygen::run(keygen, quiet)),
        Command::Completions(completions) => report("completions", completions::run(completions)),
        Command::Man(man) => report("man", man::run(man)),
        Command::Bench(bench) => report("bench", bench::run(bench, quiet)),
        Command::Demo(demo) => report("demo", demo::run(demo, quiet)),
        Command::Encrypt(encrypt) => {
            with_session("encrypt", talk, encrypt.conversion.is_protected(), |session| {
                encrypt::run(encrypt, session)
            })
        }
        Command::Decrypt(decrypt) => {
            with_session("decrypt", talk, decrypt.conversion.is_protected(), |session| {
                decrypt::run(decrypt, session)
            })
        }
        Command::Verify(verify) => with_session("verify", talk, true, |session| verify::run(verify, session)),
        Command::Info(info) => with_session("info", talk, true, |session| Ok(info::run(info, session))),
        Command::Resume(resume) => {
            with_session("resume", talk, true, |session| resume::run_resume(resume, session))
        }
        Command::Rollback(rollback) => {
            with_session("rollback", talk, true, |session| resume::run_rollback(rollback, session))
        }
        Command::Trailer(trailer) => {
            with_session("trailer", talk, true, |session| trailer::run(&trailer.command, session))
        }
    }
}

/// Runs what works on files: with signal handlers, so that Ctrl-C stops it at a safe place.
fn with_session(
    command: &'static str,
    (quiet, verbose): (bool, bool),
    is_protected: bool,
    work: impl FnOnce(&Session) -> Result<Exit, Failure>,
) -> Exit {
    let session = match Session::start(quiet, verbose, is_protected) {
        Ok(session) => session,
        Err(failure) => return report(command, Err(failure)),
    };
    report(command, work(&session).map_err(|failure| session.cancelled_or(failure)))
}

fn report(command: &'static str, result: Result<Exit, Failure>) -> Exit {
    result.unwrap_or_else(|failure| {
        print_failure(&failure, &Situation::of(command));
        failure.exit()
    })
}
