//! Opening a journal that somebody left: first what it says, then whether a key holder said it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pageseal_format::journal::{
    HEADER_LEN, HEADER_OFFSET, JournalHeader, KEY_AREA_LEN, KEY_AREA_OFFSET, KeyArea, PHASE_LEN,
    PHASE_OFFSETS, PhaseRecord, RECORD_HEAD_LEN, RING_OFFSET, RecordKind, Resilience, SLOT_AREA_COPY_OFFSET,
    SUPERBLOCK_COPY_OFFSET, WindowRecord,
};
use pageseal_format::limits::{SLOT_AREA_LEN, SUPERBLOCK_LEN};
use pageseal_format::{FileState, FormatError, Limits, SlotArea, Superblock, labels, mac_of};
use zeroize::Zeroizing;

use crate::blocks::try_to_say_lost;
use crate::error::{Contradiction, JournalError, LogOperation, Part};
use crate::journal::Journal;
use crate::log::{Authenticator, LatchingLog, Log};
use crate::replay::{Inspection, Replay, UnverifiedProgress, decide};

/// A journal as it lies there. **Nothing of it is to be believed** before [`UnverifiedJournal::verify`], except for
/// finding the key: superblock, slots and key area are what that takes.
pub struct UnverifiedJournal {
    log: LatchingLog,
    /// All before the ring. May hold the job key.
    fixed: Zeroizing<Vec<u8>>,
    header: JournalHeader,
    key_area: KeyArea,
    superblock: Superblock,
    slot_area: SlotArea,
    phases: [Result<PhaseRecord, FormatError>; 2],
}

impl Journal {
    /// Reads a journal without a key and without changing it.
    ///
    /// # Errors
    /// [`JournalError::Truncated`], [`JournalError::Invalid`] for the first bad part,
    /// [`JournalError::CopyMismatch`], [`JournalError::Io`]. A journal whose making was cut short may show any
    /// of these; so may a damaged one.
    pub fn open(log: Arc<dyn Log>, limits: &Limits) -> Result<UnverifiedJournal, JournalError> {
        let log = LatchingLog::new(log);
        let len = log.len()?;
        let check_len = |needed| {
            if len < needed {
                return Err(JournalError::Truncated { len, needed });
            }
            Ok(())
        };
        check_len(RING_OFFSET)?;
        let mut fixed = Zeroizing::new(vec![0; RING_OFFSET as usize]);
        log.read(&mut fixed, 0)?;
        let header = JournalHeader::parse(part(&fixed, HEADER_OFFSET, HEADER_LEN), limits)
            .map_err(JournalError::invalid(Part::Header))?;
        let key_area = KeyArea::parse(part(&fixed, KEY_AREA_OFFSET, KEY_AREA_LEN))
            .map_err(JournalError::invalid(Part::KeyArea))?;
        let (superblock, slot_area) = parse_copies(
            &header,
            part(&fixed, SUPERBLOCK_COPY_OFFSET, SUPERBLOCK_LEN),
            part(&fixed, SLOT_AREA_COPY_OFFSET, SLOT_AREA_LEN),
        )?;
        check_len(header.journal_len())?;
        let phases = PHASE_OFFSETS.map(|at| PhaseRecord::parse(part(&fixed, at, PHASE_LEN)));
        Ok(UnverifiedJournal { log, fixed, header, key_area, superblock, slot_area, phases })
    }
}

impl UnverifiedJournal {
    /// The job, as the header has it.
    #[must_use]
    pub fn header(&self) -> &JournalHeader {
        &self.header
    }

    /// The wrapped file key, if there is one.
    #[must_use]
    pub fn key_area(&self) -> &KeyArea {
        &self.key_area
    }

    /// The copy of the superblock. Its MAC is under the metadata key, so the caller checks it.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The bytes of that copy.
    #[must_use]
    pub fn superblock_block(&self) -> &[u8] {
        part(&self.fixed, SUPERBLOCK_COPY_OFFSET, SUPERBLOCK_LEN)
    }

    /// The copy of the slot area. Its MAC is under the metadata key, so the caller checks it.
    #[must_use]
    pub fn slot_area(&self) -> &SlotArea {
        &self.slot_area
    }

    /// The bytes of that copy.
    #[must_use]
    pub fn slot_area_bytes(&self) -> &[u8] {
        part(&self.fixed, SLOT_AREA_COPY_OFFSET, SLOT_AREA_LEN)
    }

    /// The intact phase block with the highest sequence; none if the journal was never completely made.
    #[must_use]
    pub fn phase_unverified(&self) -> Option<PhaseRecord> {
        let intact = self.phases.iter().filter_map(|phase| phase.ok());
        intact.max_by_key(|phase| phase.sequence)
    }

    /// How far the job is, by its phase and its newest intact record, without a key. Also of a job that is running:
    /// the phase is that of when the journal was opened, the records are read now, and one that is being written is
    /// passed over. `None` if the journal was never completely made.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn progress_unverified(&self) -> Result<Option<UnverifiedProgress>, JournalError> {
        let Some(phase) = self.phase_unverified() else { return Ok(None) };
        let mut records = Vec::new();
        if self.header.record_kind != RecordKind::None {
            for slot in 0..self.header.ring_slots {
                let bytes = self.read_record(slot)?;
                records.extend(bytes.and_then(|bytes| WindowRecord::parse(&bytes, &self.header).ok()));
            }
        }
        Ok(Some(UnverifiedProgress::new(&self.header, phase, records)))
    }

    /// Checks all MACs and says what the job is at, without writing a byte.
    ///
    /// # Errors
    /// As [`UnverifiedJournal::verify`].
    pub fn inspect(&self, auth: &dyn Authenticator) -> Result<Inspection, JournalError> {
        let (body, mac) = mac_of(part(&self.fixed, HEADER_OFFSET, HEADER_LEN));
        if !auth.verify(labels::JOURNAL, body, &mac) {
            return Err(JournalError::Forged { part: Part::Header });
        }
        let phase = self.verified_phase(auth)?;
        let records = self.verified_records(auth)?;
        decide(&self.header, phase, records)
    }

    /// Checks all MACs, decides what is in flight, and **writes all that the decision rests on again and syncs
    /// it**: what is read may come from a cache whose write to the disk had failed, and the tokens that this
    /// returns promise durable records. A log that can not be written to gives an error.
    ///
    /// # Errors
    /// [`JournalError::Forged`], [`JournalError::ForeignJob`] or [`JournalError::Misplaced`] for intact parts that are
    /// not what they should be, [`JournalError::NoPhase`], [`JournalError::MissingWindow`],
    /// [`JournalError::Inconsistent`], [`JournalError::Unprotected`], [`JournalError::Io`]. Half-written ring
    /// slots are passed over: they were never committed.
    pub fn verify(self, auth: Arc<dyn Authenticator>) -> Result<(Journal, Replay), JournalError> {
        let found = self.inspect(&*auth)?;
        // The current phase and all before the phases. The other phase block is left alone: it is the
        // older one, or torn.
        self.log.write(&self.fixed[..PHASE_OFFSETS[0] as usize], 0)?;
        let at = PHASE_OFFSETS[(found.phase.sequence % 2) as usize];
        self.log.write(part(&self.fixed, at, PHASE_LEN), at)?;
        let (log, phase) = (self.log.clone(), found.phase);
        let not_synced = self.header.resilience == Resilience::Process;
        let resumed = Journal::resume(self.log, Arc::clone(&auth), self.header, found);
        if not_synced && matches!(resumed, Err(JournalError::Io { operation: LogOperation::Sync, .. })) {
            try_to_say_lost(&log, &*auth, &phase, phase.window_sequence, phase.watermark);
        }
        resumed
    }

    fn verified_phase(&self, auth: &dyn Authenticator) -> Result<PhaseRecord, JournalError> {
        let mut newest: Option<PhaseRecord> = None;
        for (block, (parsed, at)) in (0..).zip(self.phases.iter().zip(PHASE_OFFSETS)) {
            let part_name = Part::Phase(block);
            let bytes = part(&self.fixed, at, PHASE_LEN);
            let Some(phase) = authentic(*parsed, bytes, labels::PHASE, part_name, auth)? else {
                continue;
            };
            if phase.job_id != self.header.job_id {
                let (part, found) = (part_name, phase.job_id);
                return Err(JournalError::ForeignJob { part, found });
            }
            if phase.sequence % 2 != u64::from(block) {
                let (part, sequence) = (part_name, phase.sequence);
                return Err(JournalError::Misplaced { part, sequence });
            }
            if let Some(other) = newest
                && other.sequence.abs_diff(phase.sequence) != 1
            {
                return Err(JournalError::Inconsistent {
                    what: Contradiction::PhaseOrder,
                    sequence: other.sequence.max(phase.sequence),
                });
            }
            newest = newest.filter(|other| other.sequence > phase.sequence).or(Some(phase));
        }
        newest.ok_or(JournalError::NoPhase)
    }

    /// The records of all intact ring slots, settled ones too.
    fn verified_records(
        &self,
        auth: &dyn Authenticator,
    ) -> Result<BTreeMap<u64, WindowRecord>, JournalError> {
        let mut records = BTreeMap::new();
        if self.header.record_kind == RecordKind::None {
            return Ok(records);
        }
        for slot in 0..self.header.ring_slots {
            let part = Part::RingSlot(slot);
            let Some(bytes) = self.read_record(slot)? else {
                continue;
            };
            let parsed = WindowRecord::parse(&bytes, &self.header);
            let Some(record) = authentic(parsed, &bytes, labels::WINDOW, part, auth)? else {
                continue;
            };
            if record.job_id != self.header.job_id {
                let found = record.job_id;
                return Err(JournalError::ForeignJob { part, found });
            }
            let sequence = record.sequence;
            if sequence % u64::from(self.header.ring_slots) != u64::from(slot) {
                return Err(JournalError::Misplaced { part, sequence });
            }
            records.insert(sequence, record);
        }
        Ok(records)
    }

    /// The bytes of the record in a slot, if there is something like one.
    fn read_record(&self, slot: u8) -> Result<Option<Vec<u8>>, JournalError> {
        let offset = self.header.slot_offset(slot.into());
        let mut head = [0; RECORD_HEAD_LEN];
        self.log.read(&mut head, offset)?;
        let Ok(len) = WindowRecord::len_from_head(&head, &self.header) else {
            return Ok(None);
        };
        let mut bytes = vec![0; len];
        self.log.read(&mut bytes, offset)?;
        Ok(Some(bytes))
    }
}

impl fmt::Debug for UnverifiedJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedJournal")
            .field("header", &self.header)
            .field("phases", &self.phases)
            .finish_non_exhaustive()
    }
}

/// `None` for bytes that are not intact, which a crash explains. Intact bytes are authentic and valid, or an error:
/// no crash makes a checksum fit.
fn authentic<T>(
    parsed: Result<T, FormatError>,
    bytes: &[u8],
    label: &[u8],
    part: Part,
    auth: &dyn Authenticator,
) -> Result<Option<T>, JournalError> {
    if matches!(&parsed, Err(error) if error.is_damage()) {
        return Ok(None);
    }
    let (body, mac) = mac_of(bytes);
    if !auth.verify(label, body, &mac) {
        return Err(JournalError::Forged { part });
    }
    parsed.map(Some).map_err(JournalError::invalid(part))
}

/// Parses the two copies and checks that they are of the header's file.
pub(crate) fn parse_copies(
    header: &JournalHeader,
    superblock: &[u8],
    slot_area: &[u8],
) -> Result<(Superblock, SlotArea), JournalError> {
    let superblock = Superblock::parse(superblock, header.geometry.limits())
        .map_err(JournalError::invalid(Part::SuperblockCopy))?;
    let slot_area = SlotArea::parse(slot_area).map_err(JournalError::invalid(Part::SlotAreaCopy))?;
    let same_file = superblock.file_id == header.file_id
        && superblock.suite == header.suite
        && superblock.geometry == header.geometry
        && superblock.state == FileState::Sealed;
    if !same_file {
        let part = Part::SuperblockCopy;
        return Err(JournalError::CopyMismatch { part });
    }
    if slot_area.file_id != header.file_id {
        let part = Part::SlotAreaCopy;
        return Err(JournalError::CopyMismatch { part });
    }
    Ok((superblock, slot_area))
}

fn part(fixed: &[u8], offset: u64, len: usize) -> &[u8] {
    let offset = offset as usize;
    &fixed[offset..offset + len]
}
