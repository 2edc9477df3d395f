//! Why the demonstration failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use pageseal_crypto::RandomError;

use crate::ErrorClass;

/// One of the two jobs of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoJob {
    /// XOR with a constant.
    Xor,
    /// Authenticated encryption.
    Aead,
}

impl fmt::Display for DemoJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DemoJob::Xor => "XOR",
            DemoJob::Aead => "authenticated encryption",
        })
    }
}

/// Why the demonstration failed. Its files are removed in every case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// No work can be done by zero threads.
    #[error("at least one thread is needed")]
    NoThreads,
    /// More threads than this is a mistake, and could starve the system.
    #[error("{threads} threads are too many, {max} are the most")]
    TooManyThreads {
        /// Threads asked for.
        threads: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads")]
    Pool {
        /// Threads asked for.
        threads: usize,
        /// What the pool said.
        source: rayon::ThreadPoolBuildError,
    },
    /// The file system has no room for a file of this length.
    #[error("no space for a file of {needed_bytes} bytes in {}", dir.display())]
    NoSpace {
        /// The directory.
        dir: PathBuf,
        /// Length of the file in bytes.
        needed_bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A step on a file failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// Which step, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Page faults and memory of the process could not be read.
    #[error("cannot read the page faults and the memory of this process")]
    Usage(#[source] io::Error),
    /// The system gave no random bytes for a file name, the key or the nonces.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A byte is not what the job must have made of it.
    #[error("verification of {job} failed at offset {offset}")]
    Verification {
        /// Which job.
        job: DemoJob,
        /// First wrong byte; the first byte of the chunk where a whole chunk does not authenticate.
        offset: u64,
    },
}

impl DemoError {
    /// The class of the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            DemoError::NoThreads | DemoError::TooManyThreads { .. } => ErrorClass::Usage,
            DemoError::Verification { .. } => ErrorClass::Damaged,
            _ => ErrorClass::Refused,
        }
    }
}
