//! What a finished operation returns.

use std::path::PathBuf;

use pageseal_crypto::Suite;

/// What a job converts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobKind {
    /// Plain to sealed.
    Encrypt,
    /// Sealed to plain.
    Decrypt,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobOutcome {
    /// The file is sealed.
    Sealed,
    /// The file is plain.
    Plain,
}

/// A finished in-place or out-of-place job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobReport {
    /// Kind of the job that was run or finished.
    pub kind: JobKind,
    /// What the file is now.
    pub outcome: JobOutcome,
    /// Where the result lies; `None` for a pipe, or if the name went to another file meanwhile.
    pub path: Option<PathBuf>,
    /// The file kept its old name although the job asked for another, because that name was taken while the job
    /// ran, or the old name went to another file. A [`crate::Notice`] says which.
    pub name_kept: bool,
    /// Plaintext length in bytes.
    pub data_len_bytes: u64,
    /// Bytes of plaintext that this run converted. Less than all where it went on with an interrupted job; 0 where only
    /// names were left to settle.
    pub converted_bytes: u64,
    /// Chunks of the file.
    pub chunks: u64,
    /// Suite.
    pub suite: Suite,
    /// Threads that worked.
    pub threads: usize,
    /// Name of the store, as on the command line.
    pub io: &'static str,
    /// Name of the resilience mode, as on the command line; `"none"` out of place.
    pub resilience: &'static str,
    /// Windows that were settled from an interrupted run before this one went on.
    pub windows_recovered: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// A sealed file in which every chunk was authenticated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Plaintext length in bytes.
    pub data_len_bytes: u64,
    /// Chunks of the file, all of them good.
    pub chunks: u64,
    /// Suite.
    pub suite: Suite,
    /// Wall time in seconds.
    pub seconds: f64,
}
