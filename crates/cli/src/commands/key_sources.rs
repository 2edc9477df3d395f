//! Reads every key that the command line names, before any file is touched.

use std::sync::Arc;

use pageseal::{Identities, IdentitySource, KeyError, Passphrase, Recipient, Refusal, read_recipients_file};

use crate::arguments::{EncryptArguments, KeyArguments};
use crate::failure::Failure;
use crate::prompt::{TerminalPrompt, ask_new_passphrase};

/// Whom to seal for. At least one is needed.
pub fn recipients(arguments: &EncryptArguments) -> Result<Vec<Recipient>, Failure> {
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
        recipients.push(Recipient::passphrase(ask_new_passphrase()?));
    }
    if recipients.is_empty() {
        return Err(Refusal::NoRecipients.into());
    }
    Ok(recipients)
}

/// Which keys to try. Without any, the passphrase is asked for when, and only if, it is needed.
pub fn identities(arguments: &KeyArguments) -> Result<Identities, KeyError> {
    let mut sources: Vec<IdentitySource> =
        arguments.identities.iter().map(|path| IdentitySource::File(path.clone())).collect();
    if let Some(path) = &arguments.passphrase_file {
        sources.push(IdentitySource::Passphrase(Passphrase::read_file(path)?));
    }
    if sources.is_empty() {
        sources.push(IdentitySource::Prompt);
    }
    Identities::load(sources, Arc::new(TerminalPrompt))
}
