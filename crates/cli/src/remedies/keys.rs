//! What to do about keys that cannot be used, do not fit, or are not given.

use std::io::ErrorKind;

use pageseal::{IdentityFlaw, KeyError};

use super::{MORE_THREADS, Situation, of_unopenable};
use crate::shell_quote::shell_quote;

pub fn of_key(error: &KeyError, situation: &Situation<'_>) -> String {
    let file = situation.file_word();
    match error {
        KeyError::NoKeyFits { .. } if situation.is_of_pipe() => {
            "try another -i IDENTITY or passphrase".into()
        }
        KeyError::NoKeyFits { .. } => {
            format!("try another -i IDENTITY or passphrase; `pageseal info {file}` lists the key slots")
        }
        KeyError::NoIdentities if matches!(situation.command, "resume" | "rollback") => {
            "add -i IDENTITY: without a key only an encrypt can go on or be undone, and only while its job key is in \
             memory, where a restart ends it and other users do not find it"
                .into()
        }
        KeyError::NoIdentities => "add -i IDENTITY, of one of those whom it was sealed for".into(),
        KeyError::NoPassphrase => {
            "give -i IDENTITY or --passphrase-file FILE, or run it on a terminal".into()
        }
        KeyError::Prompt { .. } => "give the passphrase with --passphrase-file FILE".into(),
        KeyError::SlotMismatch { .. } => format!(
            "put an exported trailer back: `pageseal trailer import --from TRAILER -i IDENTITY {file}`"
        ),
        KeyError::Memory { .. } => {
            "use an identity, or run it where more memory is free (`free -h`, `ulimit -v`)".into()
        }
        KeyError::Thread { .. } => MORE_THREADS.into(),
        KeyError::SlotsSkipped { .. } => {
            "use an identity; slots that ask for so much work were not made by pageseal".into()
        }
        KeyError::ExcessiveWork { .. } => {
            "use an identity; a slot that asks for so much work was not made by pageseal".into()
        }
        KeyError::Plugin { name, .. } => {
            format!("check that `age-plugin-{name}` is in $PATH and works")
        }
        KeyError::BadRecipient { .. } => {
            "give a public key (age1...); `pageseal keygen` prints one, `age-keygen -y key.txt` too".into()
        }
        KeyError::RecipientsFile { .. } => {
            "have one public key (age1...) on each line; # begins a comment".into()
        }
        KeyError::IdentityFile { flaw: IdentityFlaw::NoPassphrase, .. } => {
            "run it on a terminal, or add --passphrase-file FILE with its passphrase".into()
        }
        KeyError::IdentityFile { flaw: IdentityFlaw::WrongPassphrase, .. } => {
            "try again with the passphrase of the identity file itself".into()
        }
        KeyError::IdentityFile { flaw: IdentityFlaw::Recipient, .. } => {
            "give the file with the secret key (AGE-SECRET-KEY-1...); the public one only seals".into()
        }
        KeyError::IdentityFile { .. } => "give a file made by `pageseal keygen` or `age-keygen`".into(),
        KeyError::PassphraseFile { .. } => {
            "have the passphrase alone in the file, as one line of text".into()
        }
        KeyError::EmptyPassphrase => "choose a passphrase of several words".into(),
        KeyError::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            format!("check the name: {}", shell_quote(path))
        }
        KeyError::Io { path, source } => of_unopenable(path, source),
        KeyError::Wrap { .. } | KeyError::SlotTooBig { .. } => {
            "leave that recipient out, or check its plugin".into()
        }
        KeyError::Random { .. } => "check that /dev/urandom works, then run it again".into(),
        _ => format!("see `pageseal {} --help`", situation.command),
    }
}
