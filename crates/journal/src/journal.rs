//! The journal of a running job.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pageseal_format::journal::{
    Direction, HEADER_OFFSET, JournalHeader, KEY_AREA_LEN, KEY_AREA_OFFSET, KeyArea, PHASE_OFFSETS,
    Phase, PhaseRecord, RecordKind, Resilience, SLOT_AREA_COPY_OFFSET, SUPERBLOCK_COPY_OFFSET,
    WindowRecord, payload_offset_in_slot,
};
use pageseal_format::limits::{BLOCK_LEN, SUPERBLOCK_LEN};
use pageseal_format::{FormatError, labels};

use crate::error::{JournalError, Part};
use crate::log::{Authenticator, LatchingLog, Log};
use crate::mark::{Ledger, SettledMark};
use crate::open::parse_copies;
use crate::payload::{PayloadWriter, check_range};
use crate::replay::{Inspection, Replay};
use crate::transitions::is_legal;
use crate::watermark::{start_of_window, watermark_after, watermark_at_end};
use crate::window::{CommittedWindow, Filling, LedgerHandle, RingSlot, WindowPlan};

/// Payload is written again in pieces of this many bytes.
const COPY_LEN: usize = 1 << 20;

/// The journal of one job, open for work. After the first I/O error it refuses everything.
pub struct Journal {
    log: LatchingLog,
    auth: Arc<dyn Authenticator>,
    header: JournalHeader,
    /// The last durable phase.
    phase: PhaseRecord,
    /// The highest mark that a durable record or phase states.
    retired: SettledMark,
    at_start: SettledMark,
    ledger: Ledger,
    /// The last committed window, and the watermark when it is settled.
    committed: Frontier,
    /// The same, with reserved ones.
    reserved: Frontier,
    /// Counts up when reservations are given up.
    era: u64,
}

#[derive(Debug, Clone, Copy)]
struct Frontier {
    sequence: u64,
    watermark: u64,
}

impl Journal {
    /// Makes a new journal in phase CREATED: reserves its whole length, writes it, syncs it. Durability of the
    /// *name* (the directory's fsync) is the caller's. `superblock_block` and `slot_area` are encoded copies.
    ///
    /// # Errors
    /// [`JournalError::NotEmpty`], [`JournalError::Invalid`] or [`JournalError::CopyMismatch`] for parts that could
    /// not be opened again, [`JournalError::Io`]. Then the log is of no use.
    pub fn create(
        log: Arc<dyn Log>,
        auth: Arc<dyn Authenticator>,
        header: JournalHeader,
        key_area: KeyArea,
        superblock_block: &[u8; SUPERBLOCK_LEN],
        slot_area: &[u8],
    ) -> Result<Self, JournalError> {
        let log = LatchingLog::new(log);
        let block = header
            .encode(|body| auth.mac(labels::JOURNAL, body))
            .map_err(JournalError::invalid(Part::Header))?;
        parse_copies(&header, superblock_block, slot_area)?;
        // Records of an earlier job of the same file would be authentic.
        let len = log.len()?;
        if len != 0 {
            return Err(JournalError::NotEmpty { len });
        }
        log.reserve(header.journal_len())?;
        log.write(&block[..], HEADER_OFFSET)?;
        log.write(&key_area.encode(), KEY_AREA_OFFSET)?;
        log.write(superblock_block, SUPERBLOCK_COPY_OFFSET)?;
        log.write(slot_area, SLOT_AREA_COPY_OFFSET)?;
        let phase = PhaseRecord {
            sequence: 1,
            job_id: header.job_id,
            phase: Phase::Created,
            direction: Direction::Forward,
            clean: true,
            watermark: 0,
            window_sequence: 0,
        };
        write_phase_block(&log, &*auth, &phase)?;
        log.sync()?;
        let start = Frontier {
            sequence: 0,
            watermark: 0,
        };
        Ok(Self::new(log, auth, header, phase, start, start))
    }

    /// Takes up a job at what an inspection found: writes the records that it rests on again, and syncs.
    pub(crate) fn resume(
        log: LatchingLog,
        auth: Arc<dyn Authenticator>,
        header: JournalHeader,
        found: Inspection,
    ) -> Result<(Self, Replay), JournalError> {
        for record in &found.in_flight {
            write_record(&log, &*auth, &header, record)?;
            copy_payload_onto_itself(&log, &header, record)?;
        }
        log.sync()?;
        let settled = Frontier {
            sequence: found.settled_sequence,
            watermark: found.watermark,
        };
        let newest = found.in_flight.last().map_or(settled, |record| Frontier {
            sequence: record.sequence,
            watermark: watermark_of(record),
        });
        let journal = Self::new(log, auth, header, found.phase, settled, newest);
        let in_flight = found.in_flight.into_iter();
        let replay = Replay {
            phase: found.phase,
            watermark: found.watermark,
            settled_sequence: found.settled_sequence,
            in_flight: in_flight.map(|record| journal.token(record)).collect(),
        };
        Ok((journal, replay))
    }

    fn new(
        log: LatchingLog,
        auth: Arc<dyn Authenticator>,
        header: JournalHeader,
        phase: PhaseRecord,
        settled: Frontier,
        committed: Frontier,
    ) -> Self {
        let mark = SettledMark {
            job_id: header.job_id,
            sequence: settled.sequence,
            watermark: settled.watermark,
        };
        Self {
            log,
            auth,
            header,
            phase,
            retired: mark,
            at_start: mark,
            ledger: Ledger::new(settled.sequence),
            committed,
            reserved: committed,
            era: 0,
        }
    }

    /// The job.
    #[must_use]
    pub fn header(&self) -> &JournalHeader {
        &self.header
    }

    /// The last phase that was made durable.
    #[must_use]
    pub fn phase(&self) -> &PhaseRecord {
        &self.phase
    }

    /// What was settled when this journal was made or opened: the mark to begin with.
    #[must_use]
    pub fn settled_at_start(&self) -> SettledMark {
        self.at_start
    }

    /// Reserves the ring slot of the next window, which has these chunks (the payload lies behind a record whose
    /// length follows from them). Several slots may be reserved at a time; they are committed in order.
    ///
    /// # Errors
    /// [`JournalError::RingFull`] as long as no durable record or phase retires the window that lies there.
    /// [`JournalError::NotNext`], [`JournalError::NoWindowsNow`], [`JournalError::Latched`].
    pub fn reserve_slot(
        &mut self,
        first_chunk: u64,
        chunk_count: u64,
    ) -> Result<RingSlot, JournalError> {
        self.check_can_have_window(true)?;
        let sequence = self.reserved.sequence + 1;
        let needed = sequence.saturating_sub(self.header.ring_slots.into());
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
        Ok(RingSlot {
            job_id: self.header.job_id,
            era: self.era,
            sequence,
            first_chunk,
            chunk_count,
            record_offset,
            payload_offset: record_offset + payload_offset_in_slot(chunk_count, blocks),
            payload_len: if has_payload { bytes } else { 0 },
            filling: Arc::new(Filling {
                open: AtomicBool::new(true),
                written: AtomicU64::new(0),
            }),
        })
    }

    /// Gives up all reservations that were not committed; their slots are free again, their tokens stale.
    pub fn abandon_reservations(&mut self) {
        self.era += 1;
        self.reserved = self.committed;
    }

    /// The window that should be settled, and given as `retired`, when the next one is committed: then the one
    /// after that finds its slot free. Otherwise a phase would have to retire it.
    #[must_use]
    pub fn must_settle_before_commit(&self) -> u64 {
        if self.header.record_kind == RecordKind::None {
            return 0;
        }
        (self.committed.sequence + 2).saturating_sub(self.header.ring_slots.into())
    }

    /// A writer for the payload of a reserved slot.
    #[must_use]
    pub fn payload_writer(&self, slot: &RingSlot) -> PayloadWriter {
        PayloadWriter::new(self.log.clone(), slot)
    }

    /// Reads back what was written by a [`PayloadWriter`]. In a replay the payload of the newest window may be
    /// incomplete: its tags tell. Then the commit had not returned, and nothing of the window was stored.
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

    /// Makes the record of a window durable, payload included, with one sync (none in resilience `process`), and
    /// only then returns the token that lets it be stored. The record retires all windows up to `retired`.
    ///
    /// # Errors
    /// [`JournalError::StaleReservation`] out of order, [`JournalError::WrongPlan`],
    /// [`JournalError::PayloadIncomplete`], [`JournalError::NotSettled`]: nothing was written, and the reservation is
    /// gone. [`JournalError::Io`]: the record may be durable or not; the window must not be stored.
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
        let written = slot.filling.written.load(Ordering::SeqCst);
        if written < slot.payload_len {
            let needed = slot.payload_len;
            return Err(JournalError::PayloadIncomplete { written, needed });
        }
        let mark = self.accept(retired)?;
        let record = self.record_of(slot.sequence, plan, &mark);
        write_record(&self.log, &*self.auth, &self.header, &record)?;
        if self.header.resilience != Resilience::Process {
            self.log.sync()?;
        }
        self.retired = mark;
        self.committed = self.frontier_after(slot.sequence, slot.first_chunk, slot.chunk_count);
        Ok(self.token(record))
    }

    /// The token for a window of a job without records. Before the first one, a durable phase says that the job is in
    /// progress and unprotected: from there until a clean stop nothing can be recovered.
    ///
    /// # Errors
    /// [`JournalError::NoWindowsNow`] unless the job has [`RecordKind::None`] and is running,
    /// [`JournalError::WrongPlan`], [`JournalError::NotNext`], [`JournalError::Io`], [`JournalError::Latched`].
    pub fn unprotected_window(
        &mut self,
        plan: WindowPlan,
    ) -> Result<CommittedWindow, JournalError> {
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

    /// Makes a phase durable before it returns (GROWN and RUNNING are only written in resilience `process`). Retires
    /// all windows up to `mark`. `clean` says that no window is in flight. The legal steps are in
    /// `transitions.rs`; changing the direction, `clean`, and everything from DATA_DONE on need all committed
    /// windows settled, and from DATA_DONE on the watermark must be at the job's end.
    ///
    /// # Errors
    /// [`JournalError::IllegalPhase`], [`JournalError::NotSettled`], [`JournalError::InFlight`],
    /// [`JournalError::NotAtEnd`]: nothing was written. [`JournalError::Io`]: either phase may be durable.
    pub fn set_phase(
        &mut self,
        phase: Phase,
        direction: Direction,
        clean: bool,
        mark: &SettledMark,
    ) -> Result<(), JournalError> {
        self.log.check()?;
        let (from, from_direction) = (self.phase.phase, self.phase.direction);
        let (to, to_direction) = (phase, direction);
        if !is_legal(self.header.job, (from, from_direction), (to, to_direction)) {
            return Err(JournalError::IllegalPhase {
                from,
                from_direction,
                to,
                to_direction,
            });
        }
        let mark = self.accept(mark)?;
        let reverses = from_direction != to_direction;
        let ends = phase as u8 >= Phase::DataDone as u8;
        if (clean || reverses || ends) && mark.sequence != self.committed.sequence {
            return Err(JournalError::InFlight {
                settled: mark.sequence,
                committed: self.committed.sequence,
            });
        }
        let end = watermark_at_end(direction, self.header.geometry.chunk_count());
        if ends && mark.watermark != end {
            let watermark = mark.watermark;
            return Err(JournalError::NotAtEnd { watermark, end });
        }
        self.write_phase(phase, direction, clean, mark)?;
        if reverses || ends {
            self.abandon_reservations();
        }
        Ok(())
    }

    /// Overwrites the key area with zeros and syncs. On flash the old bytes may survive.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::Latched`].
    pub fn wipe_key_area(&mut self) -> Result<(), JournalError> {
        self.log.write(&[0; KEY_AREA_LEN], KEY_AREA_OFFSET)?;
        self.log.sync()
    }

    /// Writes the next phase block. The one before stays whole, in the other block.
    fn write_phase(
        &mut self,
        phase: Phase,
        direction: Direction,
        clean: bool,
        mark: SettledMark,
    ) -> Result<(), JournalError> {
        let record = PhaseRecord {
            sequence: self.phase.sequence + 1,
            job_id: self.header.job_id,
            phase,
            direction,
            clean,
            watermark: mark.watermark,
            window_sequence: mark.sequence,
        };
        write_phase_block(&self.log, &*self.auth, &record)?;
        let may_wait = matches!(phase, Phase::Grown | Phase::Running);
        if !(may_wait && self.header.resilience == Resilience::Process) {
            self.log.sync()?;
        }
        self.phase = record;
        self.retired = mark;
        Ok(())
    }

    /// Checks a mark against what was really settled, and returns it or the one recorded last, whichever is higher:
    /// what is retired stays retired.
    fn accept(&self, mark: &SettledMark) -> Result<SettledMark, JournalError> {
        let settled = self.ledger.contiguous();
        if mark.job_id != self.header.job_id || mark.sequence > settled {
            let sequence = settled + 1;
            return Err(JournalError::NotSettled { sequence });
        }
        if mark.sequence > self.retired.sequence {
            Ok(*mark)
        } else {
            Ok(self.retired)
        }
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

    fn check_is_next(
        &self,
        after: Frontier,
        first_chunk: u64,
        chunk_count: u64,
    ) -> Result<(), JournalError> {
        let geometry = &self.header.geometry;
        let most = self.header.window_len / geometry.chunk_len_bytes();
        let exists = first_chunk
            .checked_add(chunk_count)
            .is_some_and(|end| end <= geometry.chunk_count());
        let start = start_of_window(self.phase.direction, first_chunk, chunk_count);
        if (1..=most).contains(&chunk_count) && exists && start == after.watermark {
            return Ok(());
        }
        Err(JournalError::NotNext {
            first_chunk,
            chunk_count,
            watermark: after.watermark,
        })
    }

    fn frontier_after(&self, sequence: u64, first_chunk: u64, chunk_count: u64) -> Frontier {
        Frontier {
            sequence,
            watermark: watermark_after(self.phase.direction, first_chunk, chunk_count),
        }
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

    /// The only place where tokens are made: for records that are durable, and windows of jobs without any.
    fn token(&self, record: WindowRecord) -> CommittedWindow {
        let payload_offset = match record.kind {
            RecordKind::None => 0,
            _ => payload_offset_of(&self.header, &record),
        };
        CommittedWindow {
            record,
            payload_offset,
            ledger: LedgerHandle(self.ledger.clone()),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("phase", &self.phase)
            .field("retired", &self.retired)
            .field("committed", &self.committed)
            .finish_non_exhaustive()
    }
}

fn wrong_plan(name: &'static str, value: u64) -> JournalError {
    let source = FormatError::Field { name, value };
    JournalError::WrongPlan { source }
}

fn check_plan(
    slot: &RingSlot,
    plan: &WindowPlan,
    direction: Direction,
) -> Result<(), JournalError> {
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

fn watermark_of(record: &WindowRecord) -> u64 {
    watermark_after(
        record.direction,
        record.first_chunk,
        record.chunks.len() as u64,
    )
}

fn payload_offset_of(header: &JournalHeader, record: &WindowRecord) -> u64 {
    let (chunks, prints) = (record.chunks.len(), record.fingerprints.len());
    header.slot_offset(record.sequence) + payload_offset_in_slot(chunks as u64, prints as u64)
}

fn write_phase_block(
    log: &LatchingLog,
    auth: &dyn Authenticator,
    record: &PhaseRecord,
) -> Result<(), JournalError> {
    let block = record.encode(|body| auth.mac(labels::PHASE, body));
    log.write(&block[..], PHASE_OFFSETS[(record.sequence % 2) as usize])
}

/// Writes a record in whole blocks, with zeros behind it: the disk need not read anything first.
fn write_record(
    log: &LatchingLog,
    auth: &dyn Authenticator,
    header: &JournalHeader,
    record: &WindowRecord,
) -> Result<(), JournalError> {
    let mut bytes = record
        .encode(header, |body| auth.mac(labels::WINDOW, body))
        .map_err(|source| JournalError::WrongPlan { source })?;
    bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
    log.write(&bytes, header.slot_offset(record.sequence))
}

/// Makes the payload dirty in the cache again, so that the next sync really writes it.
fn copy_payload_onto_itself(
    log: &LatchingLog,
    header: &JournalHeader,
    record: &WindowRecord,
) -> Result<(), JournalError> {
    let start = payload_offset_of(header, record);
    let mut buffer = vec![0; COPY_LEN.min(record.payload_len as usize)];
    let mut done = 0;
    while done < record.payload_len {
        let piece = (record.payload_len - done).min(COPY_LEN as u64) as usize;
        log.read(&mut buffer[..piece], start + done)?;
        log.write(&buffer[..piece], start + done)?;
        done += piece as u64;
    }
    Ok(())
}
