//! What a command that works on files holds from start to end.

use pageseal::{Cancellation, JobError, KeyError, OpenError, Refusal};

use crate::failure::Failure;
use crate::signals;

/// The run of one command.
pub struct Session {
    /// Print errors only.
    pub quiet: bool,
    /// Print plans.
    pub verbose: bool,
    /// Set by Ctrl-C, SIGTERM and SIGHUP.
    pub cancellation: Cancellation,
}

impl Session {
    /// Installs the handlers. `is_protected` says that the process may be ended at any moment without loss.
    pub fn start(quiet: bool, verbose: bool, is_protected: bool) -> Result<Self, Failure> {
        let failed = |source| Failure::Signals { source };
        pageseal::process::install_sigbus_handler().map_err(failed)?;
        let cancellation = signals::install(is_protected).map_err(failed)?;
        Ok(Session { quiet, verbose, cancellation })
    }

    /// A wish to stop that came while keys were read. A prompt that it ended can look like a missing passphrase.
    pub fn cancelled_or(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Key(KeyError::Cancelled)) {
            return Refusal::Cancelled.into();
        }
        let asked = match &failure {
            Failure::Key(error) | Failure::Job(JobError::Open(OpenError::Key(error))) => {
                matches!(error, KeyError::Prompt { .. } | KeyError::NoPassphrase)
            }
            _ => false,
        };
        if asked && self.cancellation.is_cancelled() { Refusal::Cancelled.into() } else { failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_at_the_prompt_is_no_wrong_key() {
        let session = Session { quiet: true, verbose: false, cancellation: Cancellation::new() };
        let no_passphrase = || Failure::Key(KeyError::NoPassphrase);
        assert!(matches!(session.cancelled_or(no_passphrase()), Failure::Key(_)));
        session.cancellation.cancel();
        let failure = session.cancelled_or(no_passphrase());
        assert!(matches!(failure, Failure::Job(JobError::Refused(Refusal::Cancelled))));
        let failure = session.cancelled_or(Failure::Key(KeyError::Cancelled));
        assert!(matches!(failure, Failure::Job(JobError::Refused(Refusal::Cancelled))));
        let other = session.cancelled_or(Failure::Key(KeyError::NoIdentities));
        assert!(matches!(other, Failure::Key(KeyError::NoIdentities)));
    }
}
