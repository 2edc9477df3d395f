//! What a job is going to do, and why: told to whoever asks, before anything is changed.

use std::path::Path;

use serde::Serialize;

use crate::error::JobError;
use crate::job::plan_of_encrypt;
use crate::options::EncryptOptions;

/// How an in-place job goes about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobPlan {
    /// The store: `buffered`, `direct` or `mmap`.
    pub io: &'static str,
    /// Why this one.
    pub io_reason: String,
    /// The resilience mode: `checksum`, `journal`, `process` or `none`.
    pub resilience: &'static str,
    /// Why this one.
    pub resilience_reason: String,
    /// Bytes of a window, which is recorded, stored and made durable as one.
    pub window_len_bytes: u64,
    /// Windows that the journal holds at a time; 0 without records.
    pub ring_slots: u8,
    /// Bytes of the journal while the job runs.
    pub journal_len_bytes: u64,
    /// Bytes that the file grows by when it is sealed.
    pub trailer_len_bytes: u64,
}

/// What [`crate::encrypt_in_place`] would do with the file at `path` now. Opens the file for reading only and changes nothing; the
/// choice depends on the memory that is available and on what is in the page cache, and can be another one a moment later.
///
/// # Errors
/// The refusals of an encrypt that can be told from looking at the file; those that need it open for writing, such as a lock, come
/// with the encrypt itself.
pub fn plan_encrypt(path: &Path, options: &EncryptOptions) -> Result<JobPlan, JobError> {
    plan_of_encrypt(path, options)
}
