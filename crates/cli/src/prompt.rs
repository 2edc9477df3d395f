//! Asks for passphrases on the terminal, whatever standard input and output are.

use std::io;

use pageseal::{KeyError, Passphrase, PassphrasePrompt};

use crate::failure::{Failure, UsageError};
use crate::output::print_note;
use crate::shell_quote::printable;

/// Asks on `/dev/tty`. Answers `None` where there is none, so that no script hangs.
pub struct TerminalPrompt;

impl PassphrasePrompt for TerminalPrompt {
    fn ask(&self, what: &str) -> Result<Option<Passphrase>, KeyError> {
        // `what` can hold a name that others chose.
        ask(&format!("Passphrase of {}: ", printable(what)))
    }

    fn show(&self, message: &str) {
        print_note(message);
    }
}

/// Asks twice for a passphrase to seal with.
pub fn ask_new_passphrase() -> Result<Passphrase, Failure> {
    let first = ask("New passphrase: ")?.ok_or(UsageError::NoTerminal)?;
    if first.is_empty() {
        return Err(KeyError::EmptyPassphrase.into());
    }
    let second = ask("The same again: ")?.ok_or(UsageError::NoTerminal)?;
    if !first.is_same(&second) {
        return Err(UsageError::PassphrasesDiffer.into());
    }
    Ok(first)
}

fn ask(prompt: &str) -> Result<Option<Passphrase>, KeyError> {
    match rpassword::prompt_password(prompt) {
        Ok(typed) => Ok(Some(Passphrase::from_string(typed))),
        Err(error) if means_no_terminal(&error) => Ok(None),
        Err(source) => Err(KeyError::Prompt { source }),
    }
}

fn means_no_terminal(error: &io::Error) -> bool {
    const ENXIO: i32 = 6;
    const EIO: i32 = 5;
    // ENXIO: no controlling terminal; EIO: in the background of one that is gone.
    matches!(error.raw_os_error(), Some(ENXIO | EIO))
        || matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::UnexpectedEof
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_terminal_is_told_from_a_broken_one() {
        for errno in [2, 5, 6, 13] {
            assert!(means_no_terminal(&io::Error::from_raw_os_error(errno)));
        }
        assert!(!means_no_terminal(&io::ErrorKind::Interrupted.into()));
    }
}
