//! Writing the payload of a reserved slot, from several threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::JournalError;
use crate::log::LatchingLog;
use crate::window::{Filling, RingSlot};

/// Writes ciphertext into one reserved ring slot. What it writes is durable when the slot is committed.
#[derive(Clone)]
pub struct PayloadWriter {
    log: LatchingLog,
    sequence: u64,
    offset: u64,
    len: u64,
    filling: Arc<Filling>,
}

impl PayloadWriter {
    pub(crate) fn new(log: LatchingLog, slot: &RingSlot) -> Self {
        Self {
            log,
            sequence: slot.sequence,
            offset: slot.payload_offset,
            len: slot.payload_len,
            filling: Arc::clone(&slot.filling),
        }
    }

    /// Writes `bytes` at `relative_offset` of the payload. Each byte of the payload is to be written once:
    /// the commit counts them. Must not run at the same time as the commit of its slot.
    ///
    /// # Errors
    /// [`JournalError::PayloadRange`], [`JournalError::StaleReservation`] once the slot is committed or dropped,
    /// [`JournalError::Io`], [`JournalError::Latched`].
    pub fn write_at(&self, relative_offset: u64, bytes: &[u8]) -> Result<(), JournalError> {
        if !self.filling.open.load(Ordering::SeqCst) {
            return Err(JournalError::StaleReservation { sequence: self.sequence });
        }
        check_range(self.len, relative_offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.log.write(bytes, self.offset + relative_offset)?;
        self.filling.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}

pub(crate) fn check_range(payload_len: u64, offset: u64, len: usize) -> Result<(), JournalError> {
    let len = len as u64;
    match offset.checked_add(len) {
        Some(end) if end <= payload_len => Ok(()),
        _ => Err(JournalError::PayloadRange { offset, len }),
    }
}
