//! Why a measurement was not made.

use std::io;
use std::path::PathBuf;

use pageseal_crypto::RandomError;

use crate::{ErrorClass, JobError};

/// Why a measurement was not made. A file that was there before is never changed; a temporary one is gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// No work can be done by zero threads, and more than the limit is a mistake.
    #[error("cannot measure with {threads} threads, 1 to {max} are possible")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// Too few bytes for a time that says anything.
    #[error("{size_bytes} bytes are too few to measure with, {min_bytes} are the least")]
    TooSmall {
        /// Bytes asked for.
        size_bytes: u64,
        /// The least.
        min_bytes: u64,
    },
    /// The file to read is too short for a time that says anything.
    #[error("{} has {len_bytes} bytes, too few to measure with; {min_bytes} are the least", path.display())]
    FileTooShort {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len_bytes: u64,
        /// The least.
        min_bytes: u64,
    },
    /// Neither a folder nor a regular file.
    #[error("{} is neither a folder nor a regular file", path.display())]
    NotMeasurable {
        /// What was named.
        path: PathBuf,
    },
    /// A job is measured on a temporary file only.
    #[error("{} is no folder; a job is measured on a temporary file only", path.display())]
    NotAFolder {
        /// What was named.
        path: PathBuf,
    },
    /// The job that was to be measured failed.
    #[error("the job that was to be measured failed")]
    Job {
        /// Why. The file that it speaks of was a temporary one and is gone, and so there is nothing to resume.
        source: Box<JobError>,
    },
    /// The temporary file does not fit.
    #[error("no space for a temporary file of {needed_bytes} bytes in {}, {free_bytes} are free", dir.display())]
    NoSpace {
        /// The folder.
        dir: PathBuf,
        /// Length of the file in bytes.
        needed_bytes: u64,
        /// What the file system says is free for this user, in bytes.
        free_bytes: u64,
    },
    /// A step on the file failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// Which step, as a verb.
        what: &'static str,
        /// The file, or the folder of the temporary one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads")]
    Pool {
        /// Threads asked for.
        threads: usize,
        /// What the pool said.
        source: rayon::ThreadPoolBuildError,
    },
    /// Page faults of the process could not be read.
    #[error("cannot read the page faults of this process")]
    Usage(#[source] io::Error),
    /// The system gave no random bytes for a key.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl BenchError {
    /// The class of the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            BenchError::Threads { .. } | BenchError::TooSmall { .. } => ErrorClass::Usage,
            _ => ErrorClass::Refused,
        }
    }
}
