//! What encrypt and decrypt check and choose alike, before any file is touched.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};

use pageseal::{Input, IoChoice, JobKeyMode, Output, Refusal, ResilienceChoice, Suite};

use crate::arguments::{ConversionArguments, Io, JobKey, Resilience, SuiteName};
use crate::failure::{Failure, UsageError};

impl ConversionArguments {
    /// Whether an interruption leaves something to go on with.
    pub fn is_protected(&self) -> bool {
        self.resilience != Resilience::None
    }

    /// Refuses what contradicts itself.
    pub fn check(&self) -> Result<(), Failure> {
        if self.io == Io::Mmap && self.resilience == Resilience::Checksum {
            return Err(Refusal::UnsoundPair.into());
        }
        if self.resilience == Resilience::None && !self.accept_data_loss {
            return Err(Refusal::DataLossNotAccepted.into());
        }
        let Some(output) = &self.output else {
            if self.files.iter().any(|file| is_dash(file)) {
                return Err(UsageError::StdinNeedsOutput.into());
            }
            return Ok(());
        };
        if self.files.len() != 1 {
            let files = self.files.len();
            return Err(UsageError::OutputForSeveralFiles { files }.into());
        }
        if is_dash(output) && self.run.json {
            return Err(UsageError::JsonAndDataOnStdout.into());
        }
        if is_dash(output) && stdout().is_terminal() {
            return Err(UsageError::DataToTerminal.into());
        }
        Ok(())
    }

    /// Where the result goes; `None` is in place.
    pub fn output(&self) -> Option<Output> {
        self.output.as_ref().map(|path| match path {
            dash if is_dash(dash) => Output::Stdout,
            path => Output::File(path.clone()),
        })
    }

    /// Whether results must stay away from standard output.
    pub fn stdout_is_data(&self) -> bool {
        self.output.as_deref().is_some_and(is_dash)
    }
}

/// The input that `file` names.
pub fn input(file: &Path) -> Input {
    if is_dash(file) { Input::Stdin } else { Input::File(PathBuf::from(file)) }
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl From<Io> for IoChoice {
    fn from(io: Io) -> Self {
        match io {
            Io::Auto => IoChoice::Auto,
            Io::Mmap => IoChoice::Mmap,
            Io::Buffered => IoChoice::Buffered,
            Io::Direct => IoChoice::Direct,
        }
    }
}

impl From<Resilience> for ResilienceChoice {
    fn from(resilience: Resilience) -> Self {
        match resilience {
            Resilience::Auto => ResilienceChoice::Auto,
            Resilience::Checksum => ResilienceChoice::Checksum,
            Resilience::Journal => ResilienceChoice::Journal,
            Resilience::Process => ResilienceChoice::Process,
            Resilience::None => ResilienceChoice::None,
        }
    }
}

impl From<JobKey> for JobKeyMode {
    fn from(job_key: JobKey) -> Self {
        match job_key {
            JobKey::Runtime => JobKeyMode::Runtime,
            JobKey::Disk => JobKeyMode::Disk,
            JobKey::None => JobKeyMode::None,
        }
    }
}

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::Aegis256X2 => Suite::Aegis256X2,
            SuiteName::Xaes256Gcm => Suite::Xaes256Gcm,
            SuiteName::XChaCha20Poly1305 => Suite::XChaCha20Poly1305,
        }
    }
}
