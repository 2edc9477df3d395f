//! Asks for passphrases on the terminal, whatever standard input and output are.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pageseal::{Cancellation, KeyError, Passphrase, PassphrasePrompt};
use rpassword::ConfigBuilder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::failure::{Failure, UsageError};
use crate::output::print_note;
use crate::shell_quote::printable;

const TERMINAL: &str = "/dev/tty";

/// How long nobody looks whether somebody wants to stop.
pub const PATIENCE: Duration = Duration::from_millis(50);

/// Held while a terminal does not show what is typed.
static ASKING: Mutex<()> = Mutex::new(());

/// Asks on `/dev/tty`. Answers `None` where there is none, so that no script hangs.
pub struct TerminalPrompt {
    /// Ends the waiting for somebody to type.
    pub cancellation: Cancellation,
}

impl PassphrasePrompt for TerminalPrompt {
    fn ask(&self, what: &str) -> Result<Option<Passphrase>, KeyError> {
        // `what` can hold a name that others chose.
        ask(&format!("Passphrase of {}: ", printable(what)), &self.cancellation)
    }

    fn show(&self, message: &str) {
        print_note(message);
    }
}

/// Asks twice for a passphrase to seal with.
pub fn ask_new_passphrase(cancellation: &Cancellation) -> Result<Passphrase, Failure> {
    let first = ask("New passphrase: ", cancellation)?.ok_or(UsageError::NoTerminal)?;
    if first.is_empty() {
        return Err(KeyError::EmptyPassphrase.into());
    }
    let second = ask("The same again: ", cancellation)?.ok_or(UsageError::NoTerminal)?;
    if !first.is_same(&second) {
        return Err(UsageError::PassphrasesDiffer.into());
    }
    Ok(first)
}

/// After a cancellation: returns once the terminal shows again what is typed. From then on nobody is asked.
pub fn wait_for_terminal() {
    mem::forget(lock());
}

fn lock() -> MutexGuard<'static, ()> {
    ASKING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ask(prompt: &str, cancellation: &Cancellation) -> Result<Option<Passphrase>, KeyError> {
    let _asking = lock();
    let typed = match cancellation.is_cancelled() {
        true => Err(io::ErrorKind::Interrupted.into()),
        false => ask_terminal(prompt, cancellation),
    };
    // Whatever became of it: nothing is begun with the answer.
    if cancellation.is_cancelled() {
        return Err(KeyError::Cancelled);
    }
    match typed {
        Ok(typed) => Ok(Some(Passphrase::from_string(typed))),
        Err(error) if means_no_terminal(&error) => Ok(None),
        Err(source) => Err(KeyError::Prompt { source }),
    }
}

fn ask_terminal(prompt: &str, cancellation: &Cancellation) -> io::Result<String> {
    let terminal = File::options().read(true).write(true).open(TERMINAL)?;
    let hidden = Hidden::begin(&terminal)?;
    (&terminal).write_all(prompt.as_bytes())?;
    let typing = Typing { terminal: terminal.try_clone()?, cancellation: cancellation.clone() };
    let config = ConfigBuilder::new().input_reader(typing).output_discard().build();
    let typed = rpassword::read_password_with_config(config);
    // Enter was not shown either.
    let shown = (&terminal).write_all(b"\n");
    drop(hidden);
    let typed = typed?;
    shown.map(|()| typed)
}

/// A terminal that does not show what is typed and gives every key as it is, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// What is typed, waited for no longer than somebody wants to.
struct Typing {
    terminal: File,
    cancellation: Cancellation,
}

impl Read for Typing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let patience = Timespec::try_from(PATIENCE).map_err(|_| io::ErrorKind::InvalidInput)?;
        while !self.cancellation.is_cancelled() {
            match poll(&mut [PollFd::new(&self.terminal, PollFlags::IN)], Some(&patience)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.terminal.read(buffer),
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::ErrorKind::Interrupted.into())
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

    #[test]
    fn nobody_waits_for_keys_after_a_cancellation() {
        let (never, _writer) = io::pipe().unwrap();
        let cancellation = Cancellation::new();
        cancellation.cancel();
        let mut typing = Typing { terminal: File::from(std::os::fd::OwnedFd::from(never)), cancellation };
        assert_eq!(typing.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
