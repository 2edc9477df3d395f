//! Reads every key that the command line names, before any file is touched.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use pageseal::{
    Cancellation, Identities, IdentitySource, KeyError, Passphrase, Recipient, Refusal, read_recipients_file,
};

use crate::arguments::{EncryptArguments, KeyArguments};
use crate::failure::Failure;
use crate::prompt::{PATIENCE, TerminalPrompt, ask_new_passphrase, wait_for_terminal};

use super::session::Session;

/// Whom to seal for. At least one is needed.
pub fn recipients(arguments: &EncryptArguments, session: &Session) -> Result<Vec<Recipient>, Failure> {
    let (arguments, cancellation) = (arguments.clone(), session.cancellation.clone());
    read_stoppably(session, move || read_recipients(&arguments, &cancellation))
}

fn read_recipients(
    arguments: &EncryptArguments,
    cancellation: &Cancellation,
) -> Result<Vec<Recipient>, Failure> {
    let mut recipients = Vec::new();
    for text in &arguments.recipients {
        recipients.push(text.parse::<Recipient>()?);
    }
    for path in &arguments.recipients_files {
        recipients.extend(read_recipients_file(path)?);
    }
    if let Some(path) = &arguments.passphrase_file {
        recipients.push(Recipient::passphrase(Passphrase::read_file(path)?));
    }
    // Asked last, so that nobody types a passphrase only to learn of a misspelt option.
    if arguments.passphrase {
        recipients.push(Recipient::passphrase(ask_new_passphrase(cancellation)?));
    }
    if recipients.is_empty() {
        return Err(Refusal::NoRecipients.into());
    }
    Ok(recipients)
}

/// Which keys to try. Without any, the passphrase is asked for when, and only if, it is needed.
pub fn identities(arguments: &KeyArguments, session: &Session) -> Result<Identities, Failure> {
    let (arguments, cancellation) = (arguments.clone(), session.cancellation.clone());
    read_stoppably(session, move || Ok(read_identities(&arguments, &cancellation)?))
}

fn read_identities(arguments: &KeyArguments, cancellation: &Cancellation) -> Result<Identities, KeyError> {
    let mut sources: Vec<IdentitySource> =
        arguments.identities.iter().map(|path| IdentitySource::File(path.clone())).collect();
    if let Some(path) = &arguments.passphrase_file {
        sources.push(IdentitySource::Passphrase(Passphrase::read_file(path)?));
    }
    if sources.is_empty() {
        sources.push(IdentitySource::Prompt);
    }
    Identities::load(sources, Arc::new(TerminalPrompt { cancellation: cancellation.clone() }))
}

/// Reads keys in a thread of its own, which is left to itself if somebody wants to stop: opening and reading may never end, as of a FIFO
/// that nobody writes to. No other file is touched yet, so the process may end at any moment.
fn read_stoppably<T: Send + 'static>(
    session: &Session,
    read: impl FnOnce() -> Result<T, Failure> + Clone + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = channel();
    let in_thread = read.clone();
    let thread = thread::Builder::new().name("pageseal-keys".into());
    // Without threads it cannot be stopped, and is read all the same.
    let Ok(thread) = thread.spawn(move || drop(sender.send(in_thread()))) else {
        return read();
    };
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(result) => {
                // A limit on processes counts it as long as it is there.
                let _ = thread.join();
                return result;
            }
            Err(RecvTimeoutError::Timeout) if session.cancellation.is_cancelled() => {
                wait_for_terminal();
                return Err(Refusal::Cancelled.into());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("it sends before it ends"),
            },
        }
    }
}
