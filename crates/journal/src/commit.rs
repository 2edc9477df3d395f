//! The way of a window through the journal: reserve, fill, commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pageseal_format::FormatError;
use pageseal_format::journal::{
    Direction, Phase, RecordKind, Resilience, WindowRecord, payload_offset_in_slot,
};

use pageseal_protections::{Protection, is_on};

use crate::blocks::write_record;
use crate::error::JournalError;
use crate::journal::{Frontier, Journal};
use crate::mark::SettledMark;
use crate::payload::{PayloadWriter, check_range};
use crate::watermark::{start_of_window, watermark_after};
use crate::window::{CommittedWindow, Filling, RingSlot, WindowPlan};

impl Journal {
    /// Reserves the ring slot of the next window, which has these chunks (the payload lies behind a record whose
    /// length follows from them). Several slots may be reserved at a time; they are committed in order.
    ///
    /// # Errors
    /// [`JournalError::RingFull`] as long as no durable record or phase retires the window that lies there.
    /// [`JournalError::NotNext`], [`JournalError::NoWindowsNow`], [`JournalError::Latched`].
    pub fn reserve_slot(&mut self, first_chunk: u64, chunk_count: u64) -> Result<RingSlot, JournalError> {
        #[cfg(pageseal_mutations)]
        self.write_late_record()?;
        self.check_can_have_window(true)?;
        let sequence = self.reserved.sequence + 1;
        let needed = sequence.saturating_sub(self.header.ring_slots.into());
        let needed = if is_on(Protection::RingReuse) { needed } else { 0 };
        if self.retired.sequence < needed {
            let retired = self.retired.sequence;
            return Err(JournalError::RingFull { needed, retired });
        }
        self.check_is_next(self.reserved, first_chunk, chunk_count)?;
        let geometry = &self.header.geometry;
        let (_, blocks) = geometry.blocks_of_chunks(first_chunk, chunk_count);
        let (_, bytes) = geometry.bytes_of_chunks(first_chunk, chunk_count);
        let has_payload = self.header.record_kind == RecordKind::FingerprintsAndPayload;
        let record_offset = self.header.slot_offset(sequence);
        self.reserved = self.frontier_after(sequence, first_chunk, chunk_count);
        let filling = Filling::new();
        self.outstanding.push(Arc::clone(&filling));
        Ok(RingSlot {
            job_id: self.header.job_id,
            era: self.era,
            sequence,
            first_chunk,
            chunk_count,
            payload_offset: record_offset + payload_offset_in_slot(chunk_count, blocks),
            payload_len: if has_payload { bytes } else { 0 },
            filling,
        })
    }

    /// Gives up all reservations that were not committed; their slots are free again, their tokens stale.
    pub fn abandon_reservations(&mut self) {
        self.era += 1;
        self.reserved = self.committed;
        for filling in self.outstanding.drain(..) {
            filling.close();
        }
    }

    /// The window that should be settled, and given as `retired`, when the next one is committed: then the one
    /// after that finds its slot free. Otherwise a phase would have to retire it.
    #[must_use]
    pub fn must_settle_before_commit(&self) -> u64 {
        if self.header.record_kind == RecordKind::None || !is_on(Protection::RingReuse) {
            return 0;
        }
        (self.committed.sequence + 2).saturating_sub(self.header.ring_slots.into())
    }

    /// A writer for the payload of a reserved slot.
    #[must_use]
    pub fn payload_writer(&self, slot: &RingSlot) -> PayloadWriter {
        PayloadWriter::new(self.log.clone(), slot)
    }

    /// Reads back what was written by a [`PayloadWriter`]. It was durable before the record was written, so a payload
    /// that its tags refuse is damaged.
    ///
    /// # Errors
    /// [`JournalError::PayloadRange`], [`JournalError::StaleReservation`] for a window of another job,
    /// [`JournalError::Io`], [`JournalError::Latched`].
    pub fn read_payload(
        &self,
        window: &CommittedWindow,
        relative_offset: u64,
        buf: &mut [u8],
    ) -> Result<(), JournalError> {
        if window.record.job_id != self.header.job_id {
            let sequence = window.record.sequence;
            return Err(JournalError::StaleReservation { sequence });
        }
        check_range(window.record.payload_len, relative_offset, buf.len())?;
        self.log.read(buf, window.payload_offset + relative_offset)
    }

    /// Makes the payload of a window durable, then its record, with a sync each (none in resilience `process`), and
    /// only then returns the token that lets it be stored. The record retires all windows up to `retired`.
    ///
    /// # Errors
    /// [`JournalError::StaleReservation`] out of order, [`JournalError::WrongPlan`],
    /// [`JournalError::PayloadIncomplete`], [`JournalError::NotSettled`]: nothing was written; the reservation is
    /// gone, and [`Journal::abandon_reservations`] makes the sequence available again. [`JournalError::Io`]: the record
    /// may be durable or not; the window must not be stored.
    pub fn commit(
        &mut self,
        slot: RingSlot,
        plan: WindowPlan,
        retired: &SettledMark,
    ) -> Result<CommittedWindow, JournalError> {
        self.check_can_have_window(true)?;
        let ours = slot.job_id == self.header.job_id && slot.era == self.era;
        if !ours || slot.sequence != self.committed.sequence + 1 {
            let sequence = slot.sequence;
            return Err(JournalError::StaleReservation { sequence });
        }
        check_plan(&slot, &plan, self.phase.direction)?;
        slot.filling.close();
        let written = slot.filling.written.load(Ordering::SeqCst);
        if written < slot.payload_len {
            let needed = slot.payload_len;
            return Err(JournalError::PayloadIncomplete { written, needed });
        }
        let mark = self.accept(retired)?;
        let record = self.record_of(slot.sequence, plan, &mark);
        let syncs = self.header.resilience != Resilience::Process;
        #[cfg(pageseal_mutations)]
        if !is_on(Protection::TokenOrder) {
            self.late = Some(record.clone());
            self.retired = mark;
            self.committed = self.frontier_after(slot.sequence, slot.first_chunk, slot.chunk_count);
            self.outstanding.retain(|filling| !Arc::ptr_eq(filling, &slot.filling));
            return Ok(self.token(record));
        }
        // A record that is found is replayed, so its payload must be whole by then. With one sync for both, a
        // replay could meet a whole record with a torn payload, begin to store, and at the next crash have
        // neither the payload nor an untouched window.
        if syncs && slot.payload_len > 0 {
            self.log.sync()?;
        }
        write_record(&self.log, &*self.auth, &self.header, &record)?;
        if syncs {
            self.log.sync()?;
        }
        self.retired = mark;
        self.committed = self.frontier_after(slot.sequence, slot.first_chunk, slot.chunk_count);
        self.outstanding.retain(|filling| !Arc::ptr_eq(filling, &slot.filling));
        Ok(self.token(record))
    }

    /// The token for a window of a job without records. Before the first one, a durable phase says that the job is in
    /// progress and unprotected: from there until a clean stop nothing can be recovered.
    ///
    /// # Errors
    /// [`JournalError::NoWindowsNow`] unless the job has [`RecordKind::None`] and is running,
    /// [`JournalError::WrongPlan`], [`JournalError::NotNext`], [`JournalError::Io`], [`JournalError::Latched`].
    pub fn unprotected_window(&mut self, plan: WindowPlan) -> Result<CommittedWindow, JournalError> {
        self.check_can_have_window(false)?;
        if plan.direction != self.phase.direction {
            return Err(wrong_plan("direction", plan.direction as u64));
        }
        if plan.payload_len != 0 {
            return Err(wrong_plan("payload length", plan.payload_len));
        }
        let (first_chunk, chunk_count) = (plan.first_chunk, plan.chunks.len() as u64);
        self.check_is_next(self.committed, first_chunk, chunk_count)?;
        if self.phase.clean {
            let (phase, direction) = (self.phase.phase, self.phase.direction);
            self.write_phase(phase, direction, false, self.retired)?;
        }
        let sequence = self.committed.sequence + 1;
        self.committed = self.frontier_after(sequence, first_chunk, chunk_count);
        self.reserved = self.committed;
        let mark = self.retired;
        let record = self.record_of(sequence, plan, &mark);
        Ok(self.token(record))
    }

    fn check_can_have_window(&self, with_record: bool) -> Result<(), JournalError> {
        self.log.check()?;
        let has_records = self.header.record_kind != RecordKind::None;
        if self.phase.phase != Phase::Running || has_records != with_record {
            let phase = self.phase.phase;
            return Err(JournalError::NoWindowsNow { phase });
        }
        Ok(())
    }

    fn check_is_next(&self, after: Frontier, first_chunk: u64, chunk_count: u64) -> Result<(), JournalError> {
        let geometry = &self.header.geometry;
        let most = self.header.window_len / geometry.chunk_len_bytes();
        let exists = first_chunk.checked_add(chunk_count).is_some_and(|end| end <= geometry.chunk_count());
        let start = start_of_window(self.phase.direction, first_chunk, chunk_count);
        if (1..=most).contains(&chunk_count) && exists && start == after.watermark {
            return Ok(());
        }
        Err(JournalError::NotNext { first_chunk, chunk_count, watermark: after.watermark })
    }

    fn frontier_after(&self, sequence: u64, first_chunk: u64, chunk_count: u64) -> Frontier {
        Frontier { sequence, watermark: watermark_after(self.phase.direction, first_chunk, chunk_count) }
    }

    fn record_of(&self, sequence: u64, plan: WindowPlan, mark: &SettledMark) -> WindowRecord {
        WindowRecord {
            sequence,
            job_id: self.header.job_id,
            direction: plan.direction,
            kind: self.header.record_kind,
            first_chunk: plan.first_chunk,
            retired: mark.sequence,
            watermark: mark.watermark,
            payload_len: plan.payload_len,
            chunks: plan.chunks,
            fingerprints: plan.fingerprints,
        }
    }
}

fn wrong_plan(name: &'static str, value: u64) -> JournalError {
    let source = FormatError::Field { name, value };
    JournalError::WrongPlan { source }
}

fn check_plan(slot: &RingSlot, plan: &WindowPlan, direction: Direction) -> Result<(), JournalError> {
    if plan.direction != direction {
        return Err(wrong_plan("direction", plan.direction as u64));
    }
    if plan.first_chunk != slot.first_chunk {
        return Err(wrong_plan("first chunk", plan.first_chunk));
    }
    if plan.chunks.len() as u64 != slot.chunk_count {
        return Err(wrong_plan("number of chunks", plan.chunks.len() as u64));
    }
    if plan.payload_len != slot.payload_len {
        return Err(wrong_plan("payload length", plan.payload_len));
    }
    Ok(())
}
