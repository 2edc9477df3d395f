//! A window on its way: planned, reserved, committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pageseal_format::Id;
use pageseal_format::journal::{ChunkRecord, Direction, WindowRecord};

use crate::mark::{Ledger, SettledMark};
use crate::watermark_after;

/// What *prepare* found out about a window: the part of its record that the journal does not know itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowPlan {
    /// Which way the job goes.
    pub direction: Direction,
    /// First chunk of the window.
    pub first_chunk: u64,
    /// Bytes of ciphertext that were given to the [`crate::PayloadWriter`], 0 without payload.
    pub payload_len: u64,
    /// Both entries of each chunk.
    pub chunks: Vec<ChunkRecord>,
    /// Fingerprints of the window's blocks.
    pub fingerprints: Vec<[u8; 16]>,
}

/// A reserved ring slot, to be given back to [`crate::Journal::commit`]. Dropping it leaves the slot unused, and
/// every later reservation stale: see [`crate::Journal::abandon_reservations`].
#[derive(Debug)]
pub struct RingSlot {
    pub(crate) job_id: Id,
    pub(crate) era: u64,
    pub(crate) sequence: u64,
    pub(crate) first_chunk: u64,
    pub(crate) chunk_count: u64,
    pub(crate) payload_offset: u64,
    pub(crate) payload_len: u64,
    pub(crate) filling: Arc<Filling>,
}

/// What the writers of a slot's payload share with the slot.
#[derive(Debug)]
pub(crate) struct Filling {
    /// Whether the slot is still reserved.
    pub(crate) open: AtomicBool,
    /// Payload bytes written so far.
    pub(crate) written: AtomicU64,
}

impl Filling {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { open: AtomicBool::new(true), written: AtomicU64::new(0) })
    }

    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
    }
}

impl RingSlot {
    /// The window that the slot is for.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where the payload goes, in bytes from the start of the journal.
    #[must_use]
    pub fn payload_offset(&self) -> u64 {
        self.payload_offset
    }
}

/// Writers must not reach a slot that is no longer reserved: it may hold a committed window.
impl Drop for RingSlot {
    fn drop(&mut self) {
        self.filling.close();
    }
}

/// **The token that *store* needs**: the record of this window is durable (as durable as the job's resilience asks
/// for), so from now on any mix of old and new bytes in it can be brought to the new form.
///
/// There is one per window, it can not be copied, and only a commit or a replay makes it.
#[derive(Debug)]
pub struct CommittedWindow {
    pub(crate) record: WindowRecord,
    pub(crate) payload_offset: u64,
    pub(crate) ledger: LedgerHandle,
}

/// Keeps `Debug` of the token short.
pub(crate) struct LedgerHandle(pub(crate) Ledger);

impl std::fmt::Debug for LedgerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl CommittedWindow {
    /// What is recorded of the window.
    #[must_use]
    pub fn record(&self) -> &WindowRecord {
        &self.record
    }

    /// Where its payload lies, in bytes from the start of the journal.
    #[must_use]
    pub fn payload_offset(&self) -> u64 {
        self.payload_offset
    }

    /// To be called when data and table entries of the window are durable: from here on the journal may
    /// overwrite the record. In resilience `process` and `none`, when they are written.
    #[must_use = "only a mark that reaches a commit or a phase frees the ring slot"]
    pub fn settled(self) -> SettledMark {
        self.ledger.0.settle(self.record.sequence);
        SettledMark {
            job_id: self.record.job_id,
            sequence: self.record.sequence,
            watermark: watermark_after(
                self.record.direction,
                self.record.first_chunk,
                self.record.chunks.len() as u64,
            ),
        }
    }
}
