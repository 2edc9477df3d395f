//! The journal of a running job.

use std::fmt;
use std::sync::Arc;

use pageseal_format::journal::{
    Direction, HEADER_OFFSET, JournalHeader, KEY_AREA_LEN, KEY_AREA_OFFSET, KeyArea, Phase, PhaseRecord,
    RecordKind, SLOT_AREA_COPY_OFFSET, SUPERBLOCK_COPY_OFFSET, WindowRecord,
};
use pageseal_format::labels;
use pageseal_format::limits::SUPERBLOCK_LEN;

use crate::blocks::{payload_offset_of, rewrite_record, try_to_say_lost, watermark_of, write_phase_block};
use crate::error::{JournalError, Part};
use crate::log::{Authenticator, LatchingLog, Log};
use crate::mark::{Ledger, SettledMark};
use crate::open::parse_copies;
use crate::replay::{Inspection, Replay};
use crate::transitions::is_legal;
use crate::watermark::watermark_at_end;
use crate::window::{CommittedWindow, Filling, LedgerHandle};

/// The journal of one job, open for work. After the first I/O error it refuses everything.
pub struct Journal {
    pub(crate) log: LatchingLog,
    pub(crate) auth: Arc<dyn Authenticator>,
    pub(crate) header: JournalHeader,
    /// The last durable phase.
    pub(crate) phase: PhaseRecord,
    /// What the next phases say of the boot that writes them.
    boot_id: pageseal_format::Id,
    /// The highest mark that a durable record or phase states.
    pub(crate) retired: SettledMark,
    at_start: SettledMark,
    ledger: Ledger,
    /// The last committed window, and the watermark when it is settled.
    pub(crate) committed: Frontier,
    /// The same, with reserved ones.
    pub(crate) reserved: Frontier,
    /// Counts up when reservations are given up.
    pub(crate) era: u64,
    /// Of the reserved slots.
    pub(crate) outstanding: Vec<Arc<Filling>>,
    /// A record whose token was given too early.
    #[cfg(pageseal_mutations)]
    pub(crate) late: Option<WindowRecord>,
}

/// A window, and the watermark when all up to it are settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frontier {
    pub(crate) sequence: u64,
    pub(crate) watermark: u64,
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
            boot_id: header.boot_id,
        };
        write_phase_block(&log, &*auth, &phase)?;
        log.sync()?;
        let start = Frontier { sequence: 0, watermark: 0 };
        Ok(Self::new(log, auth, header, phase, start, start))
    }

    /// Takes up a job at what an inspection found: writes the records that it rests on again, and syncs.
    pub(crate) fn resume(
        log: LatchingLog,
        auth: Arc<dyn Authenticator>,
        header: JournalHeader,
        found: Inspection,
    ) -> Result<(Self, Replay), JournalError> {
        // Not their payloads: a record is written only once its payload is durable.
        for record in &found.in_flight {
            rewrite_record(&log, &*auth, &header, record)?;
        }
        log.sync()?;
        let settled = Frontier { sequence: found.settled_sequence, watermark: found.watermark };
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
        let mark =
            SettledMark { job_id: header.job_id, sequence: settled.sequence, watermark: settled.watermark };
        Self {
            boot_id: phase.boot_id,
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
            outstanding: Vec::new(),
            #[cfg(pageseal_mutations)]
            late: None,
        }
    }

    /// The job.
    #[must_use]
    pub fn header(&self) -> &JournalHeader {
        &self.header
    }

    /// What phases say from now on: the boot of the running system. A new journal takes the
    /// header's, an opened one that of its last phase.
    pub fn set_boot_id(&mut self, boot_id: pageseal_format::Id) {
        self.boot_id = boot_id;
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

    /// Makes a phase durable before it returns, in every resilience: phases are few, and in `process` the one that is not
    /// `clean` must outlive a power cut to tell of it. Retires all windows up to `mark`. `clean` says that no window is in flight. The legal steps are in
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
            return Err(JournalError::IllegalPhase { from, from_direction, to, to_direction });
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

    /// Says that windows were lost which nothing can store again, so that nobody goes on with the job. For a job whose records are
    /// not synced (resilience `process`) after a sync has failed, also one of the journal itself; so this is tried although the
    /// journal refuses everything else by then, and may not arrive. Nothing is said unless windows may be in flight.
    pub fn try_to_say_lost(&mut self) {
        let SettledMark { sequence, watermark, .. } = self.retired;
        try_to_say_lost(&self.log, &*self.auth, &self.phase, sequence, watermark);
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
    pub(crate) fn write_phase(
        &mut self,
        phase: Phase,
        direction: Direction,
        clean: bool,
        mark: SettledMark,
    ) -> Result<(), JournalError> {
        #[cfg(pageseal_mutations)]
        self.write_late_record()?;
        let record = PhaseRecord {
            sequence: self.phase.sequence + 1,
            job_id: self.header.job_id,
            phase,
            direction,
            clean,
            watermark: mark.watermark,
            window_sequence: mark.sequence,
            boot_id: self.boot_id,
        };
        write_phase_block(&self.log, &*self.auth, &record)?;
        self.log.sync()?;
        self.phase = record;
        self.retired = mark;
        Ok(())
    }

    /// For the mutation check: what a commit left for later.
    #[cfg(pageseal_mutations)]
    pub(crate) fn write_late_record(&mut self) -> Result<(), JournalError> {
        match self.late.take() {
            Some(record) => {
                crate::blocks::write_record(&self.log, &*self.auth, &self.header, &record)?;
                self.log.sync()
            }
            None => Ok(()),
        }
    }

    /// Checks a mark against what was really settled, and returns it or the one recorded last, whichever is higher:
    /// what is retired stays retired.
    pub(crate) fn accept(&self, mark: &SettledMark) -> Result<SettledMark, JournalError> {
        let settled = self.ledger.contiguous();
        if mark.job_id != self.header.job_id || mark.sequence > settled {
            let sequence = settled + 1;
            return Err(JournalError::NotSettled { sequence });
        }
        if mark.sequence > self.retired.sequence { Ok(*mark) } else { Ok(self.retired) }
    }

    /// The only place where tokens are made: for records that are durable, and windows of jobs without any.
    pub(crate) fn token(&self, record: WindowRecord) -> CommittedWindow {
        let payload_offset = match record.kind {
            RecordKind::None => 0,
            _ => payload_offset_of(&self.header, &record),
        };
        CommittedWindow { record, payload_offset, ledger: LedgerHandle(self.ledger.clone()) }
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
