//! What the journal stands on: a file-like log, and a keyed MAC.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{JournalError, LogOperation};

/// The bytes of one journal. Offsets and lengths are in bytes.
#[allow(clippy::len_without_is_empty, reason = "a length that takes a system call, not a collection")]
pub trait Log: Send + Sync {
    /// Fills `buf` from `offset` on; an error if the log ends before.
    ///
    /// # Errors
    /// Those of the medium.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buf` at `offset`. Durable only after [`Log::sync`].
    ///
    /// # Errors
    /// Those of the medium; then any part of `buf` may have been written.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all that was written, and the length, durable.
    ///
    /// # Errors
    /// Those of the medium; then any part may be durable, and trying again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Length of the log.
    ///
    /// # Errors
    /// Those of the medium.
    fn len(&self) -> io::Result<u64>;

    /// Makes the log `len` bytes long, new bytes being zero, and allocates the space, so that later
    /// writes below `len` do not fail for want of it.
    ///
    /// # Errors
    /// Those of the medium, above all that there is no space.
    fn reserve(&self, len: u64) -> io::Result<()>;
}

/// HMAC-SHA-256 under the journal key.
pub trait Authenticator: Send + Sync {
    /// The MAC of `label || body`.
    fn mac(&self, label: &[u8], body: &[u8]) -> [u8; 32];

    /// Whether `mac` is that of `label || body`, in constant time.
    fn verify(&self, label: &[u8], body: &[u8], mac: &[u8; 32]) -> bool;
}

/// A log that refuses everything after its first error: after a failed sync nobody knows what is durable.
#[derive(Clone)]
pub(crate) struct LatchingLog {
    log: Arc<dyn Log>,
    failed: Arc<AtomicBool>,
}

impl LatchingLog {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self { log, failed: Arc::new(AtomicBool::new(false)) }
    }

    pub(crate) fn check(&self) -> Result<(), JournalError> {
        if self.failed.load(Ordering::SeqCst) { Err(JournalError::Latched) } else { Ok(()) }
    }

    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), JournalError> {
        self.attempt(LogOperation::Read, offset, |log| log.read_exact_at(buf, offset))
    }

    pub(crate) fn write(&self, buf: &[u8], offset: u64) -> Result<(), JournalError> {
        self.attempt(LogOperation::Write, offset, |log| log.write_all_at(buf, offset))
    }

    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.attempt(LogOperation::Sync, 0, |log| log.sync())
    }

    pub(crate) fn len(&self) -> Result<u64, JournalError> {
        self.attempt(LogOperation::Length, 0, |log| log.len())
    }

    pub(crate) fn reserve(&self, len: u64) -> Result<(), JournalError> {
        self.attempt(LogOperation::Reserve, len, |log| log.reserve(len))
    }

    /// Writes and syncs whatever has failed before. For a last word that may or may not arrive.
    pub(crate) fn try_regardless(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.log.write_all_at(buf, offset)?;
        self.log.sync()
    }

    fn attempt<T>(
        &self,
        operation: LogOperation,
        offset: u64,
        action: impl FnOnce(&dyn Log) -> io::Result<T>,
    ) -> Result<T, JournalError> {
        self.check()?;
        action(&*self.log).map_err(|source| {
            self.failed.store(true, Ordering::SeqCst);
            JournalError::Io { operation, offset, source }
        })
    }
}
