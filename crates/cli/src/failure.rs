//! Everything that can end a command other than well, with its exit code.

use std::io;
use std::path::PathBuf;

use pageseal::bench::BenchError;
use pageseal::demo::DemoError;
use pageseal::{ErrorClass, JobError, KeyError, OpenError, Refusal};

use crate::exit::Exit;

/// Why a command, or its work on one file, did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Options that contradict each other, found before any file is touched.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The library says so.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A key named on the command line cannot be used; no file is touched.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The demonstration failed.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A measurement was not made.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A chart of the report could not be drawn.
    #[error("cannot draw a chart of the report: {what}")]
    Chart {
        /// What the drawing library said.
        what: String,
    },
    /// A file other than the one worked on could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The result could not be printed.
    #[error("cannot write to standard output")]
    Stdout {
        /// What the system said.
        source: io::Error,
    },
    /// Ctrl-C could not be made safe, so nothing is begun.
    #[error("cannot install the signal handlers")]
    Signals {
        /// What the system said.
        source: io::Error,
    },
    /// The command was stopped before this file's turn.
    #[error("{} was not begun", path.display())]
    NotBegun {
        /// The file.
        path: PathBuf,
    },
}

/// Options that cannot be obeyed together.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// One output, several inputs.
    #[error("-o takes one FILE, not {files}")]
    OutputForSeveralFiles {
        /// How many were named.
        files: usize,
    },
    /// Standard input cannot be changed in place.
    #[error("standard input (-) cannot be converted in place")]
    StdinNeedsOutput,
    /// Two things on one pipe.
    #[error("--json and -o - would both write to standard output")]
    JsonAndDataOnStdout,
    /// Binary on a screen.
    #[error("refusing to write file contents to a terminal")]
    DataToTerminal,
    /// `-p` without anybody to ask.
    #[error("-p asks on the terminal, and there is none")]
    NoTerminal,
    /// The second typing differs.
    #[error("the two passphrases differ")]
    PassphrasesDiffer,
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Failure::Job(JobError::Open(error))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Job(JobError::Refused(refusal))
    }
}

impl Failure {
    /// The class, for scripts.
    pub fn class(&self) -> ErrorClass {
        match self {
            Failure::Usage(_) => ErrorClass::Usage,
            Failure::Job(error) => error.class(),
            Failure::Key(error) => key_class(error),
            Failure::Demo(error) => error.class(),
            Failure::Bench(error) => error.class(),
            Failure::Write { .. }
            | Failure::Chart { .. }
            | Failure::Stdout { .. }
            | Failure::Signals { .. }
            | Failure::NotBegun { .. } => ErrorClass::Refused,
        }
    }

    /// Whether only the program that reads our output has had enough, of which nobody wants to
    /// hear.
    pub fn is_of_reader(&self) -> bool {
        matches!(
            self,
            Failure::Job(JobError::Refused(Refusal::Output { source, .. }))
                if source.kind() == io::ErrorKind::BrokenPipe
        )
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.class().into()
    }

    /// The name of the class in JSON.
    pub fn class_name(&self) -> &'static str {
        match self.exit() {
            Exit::Done | Exit::Failed => "refused",
            Exit::Usage => "usage",
            Exit::NoKey => "no_key",
            Exit::Damaged => "damaged",
            Exit::Interrupted => "interrupted",
        }
    }

    /// What happened, with its causes, in one line.
    pub fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat the cause in the text of the error.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        message
    }
}

/// Files with keys fail like any other file; only a key that does not fit is "no key fits".
fn key_class(error: &KeyError) -> ErrorClass {
    match error {
        KeyError::BadRecipient { .. } => ErrorClass::Usage,
        KeyError::NoKeyFits { .. }
        | KeyError::NoIdentities
        | KeyError::NoPassphrase
        | KeyError::SlotMismatch { .. }
        | KeyError::SlotsSkipped { .. }
        | KeyError::Memory { .. }
        | KeyError::ExcessiveWork { .. } => ErrorClass::NoKey,
        _ => ErrorClass::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let failure =
            Failure::from(Refusal::Unopenable { path: "x".into(), source: io::Error::from_raw_os_error(2) });
        assert_eq!(failure.message(), "cannot open x: No such file or directory (os error 2)");
        let failure = Failure::Usage(UsageError::StdinNeedsOutput);
        assert_eq!(failure.message(), UsageError::StdinNeedsOutput.to_string());
    }

    #[test]
    fn a_missing_key_file_is_no_wrong_key() {
        let missing = KeyError::Io { path: "key.txt".into(), source: io::Error::from_raw_os_error(2) };
        assert_eq!(Failure::Key(missing).exit(), Exit::Failed);
        assert_eq!(Failure::Key(KeyError::NoIdentities).exit(), Exit::NoKey);
        let bad = "age1x".parse::<pageseal::Recipient>().unwrap_err();
        assert_eq!(Failure::Key(bad).exit(), Exit::Usage);
    }
}
