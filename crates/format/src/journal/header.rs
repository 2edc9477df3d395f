//! The journal's header.

use super::kinds::{JobKind, RecordKind, Resilience};
use super::layout::{HEADER_LEN, MAX_RING_SLOTS, MIN_RING_SLOTS, RING_OFFSET, largest_window, slot_stride};
use crate::codec::{
    array_at, check_checksum, check_len, check_magic, check_suite, check_version, check_zero, finish, put,
    u16_at, u32_at, u64_at,
};
use crate::limits::{BLOCK, TAIL_LEN, VERSION};
use crate::{FormatError, Geometry, Id, Limits};

const MAGIC: &[u8; 8] = b"PGSLJRNL";
const AT_VERSION: usize = 8;
const AT_JOB: usize = 10;
const AT_RESILIENCE: usize = 11;
const AT_RECORD_KIND: usize = 12;
const AT_SUITE: usize = 13;
const AT_CHUNK_LOG2: usize = 14;
const AT_RING_SLOTS: usize = 15;
const AT_JOB_ID: usize = 16;
const AT_FILE_ID: usize = 32;
const AT_JOB_SEQUENCE: usize = 48;
const AT_DATA_LEN: usize = 56;
const AT_WINDOW_LEN: usize = 64;
const AT_STRIDE: usize = 72;
const AT_FLAGS: usize = 80;
const AT_RESERVED_1: usize = 84;
const AT_DEVICE: usize = 88;
const AT_INODE: usize = 96;
const AT_BOOT_ID: usize = 104;
const AT_MTIME_SECONDS: usize = 120;
const AT_MTIME_NANOSECONDS: usize = 128;
const AT_RESERVED_2: usize = 132;
const AT_MAC: usize = HEADER_LEN - TAIL_LEN;

const FLAG_KEEP_NAME: u32 = 1;
const FLAG_HOLES: u32 = 2;

/// What a job is, written once when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalHeader {
    /// What the job does.
    pub job: JobKind,
    /// What it survives.
    pub resilience: Resilience,
    /// What its window records hold.
    pub record_kind: RecordKind,
    /// AEAD of the chunks, 1..=3.
    pub suite: u8,
    /// Layout of the sealed file.
    pub geometry: Geometry,
    /// Slots of the ring, 2..=16, or 0 with [`RecordKind::None`].
    pub ring_slots: u8,
    /// Random name of the job.
    pub job_id: Id,
    /// Random name of the sealed file.
    pub file_id: Id,
    /// Counts the jobs that touched the file, from 1.
    pub job_sequence: u64,
    /// Length of a window in bytes, a multiple of 64 chunks.
    pub window_len: u64,
    /// Length of a ring slot in bytes: what [`slot_stride`] returns.
    pub slot_stride: u64,
    /// Whether the file keeps its name at the end.
    pub keep_name: bool,
    /// Whether chunks that were holes are flagged.
    pub holes_flagged: bool,
    /// Device of the file: advice only.
    pub device: u64,
    /// Inode of the file: advice only.
    pub inode: u64,
    /// Boot id of the system that the job began on.
    pub boot_id: [u8; 16],
    /// Modification time of the file before the job, in seconds since 1970.
    pub mtime_seconds: i64,
    /// Nanoseconds that belong to it.
    pub mtime_nanoseconds: u32,
}

impl JournalHeader {
    /// Length in bytes of the whole journal.
    #[must_use]
    pub fn journal_len(&self) -> u64 {
        // `check` has refused a sum that does not fit.
        RING_OFFSET.saturating_add(self.slot_stride.saturating_mul(u64::from(self.ring_slots)))
    }

    /// Where the ring slot of window `sequence` begins in the journal, in bytes.
    ///
    /// # Panics
    /// If the journal has no ring.
    #[must_use]
    pub fn slot_offset(&self, sequence: u64) -> u64 {
        assert!(self.ring_slots > 0, "a journal without records has no ring");
        RING_OFFSET + self.slot_stride * (sequence % u64::from(self.ring_slots))
    }

    /// The 4096 bytes. `mac` gets the body, bytes [0, 4032), and returns the MAC of
    /// [`crate::labels::JOURNAL`] and that body under the journal key.
    ///
    /// # Errors
    /// What [`JournalHeader::parse`] would refuse under the same limits: a journal that can not be
    /// opened again must not be begun.
    pub fn encode(&self, mac: impl FnOnce(&[u8]) -> [u8; 32]) -> Result<Box<[u8; HEADER_LEN]>, FormatError> {
        self.check()?;
        let mut block = Box::new([0; HEADER_LEN]);
        let bytes = &mut block[..];
        put(bytes, 0, MAGIC);
        put(bytes, AT_VERSION, &VERSION.to_le_bytes());
        bytes[AT_JOB] = self.job as u8;
        bytes[AT_RESILIENCE] = self.resilience as u8;
        bytes[AT_RECORD_KIND] = self.record_kind as u8;
        bytes[AT_SUITE] = self.suite;
        bytes[AT_CHUNK_LOG2] = self.geometry.chunk_log2();
        bytes[AT_RING_SLOTS] = self.ring_slots;
        put(bytes, AT_JOB_ID, &self.job_id);
        put(bytes, AT_FILE_ID, &self.file_id);
        put(bytes, AT_JOB_SEQUENCE, &self.job_sequence.to_le_bytes());
        put(bytes, AT_DATA_LEN, &self.geometry.data_len().to_le_bytes());
        put(bytes, AT_WINDOW_LEN, &self.window_len.to_le_bytes());
        put(bytes, AT_STRIDE, &self.slot_stride.to_le_bytes());
        put(bytes, AT_FLAGS, &self.flags().to_le_bytes());
        put(bytes, AT_DEVICE, &self.device.to_le_bytes());
        put(bytes, AT_INODE, &self.inode.to_le_bytes());
        put(bytes, AT_BOOT_ID, &self.boot_id);
        put(bytes, AT_MTIME_SECONDS, &self.mtime_seconds.to_le_bytes());
        put(bytes, AT_MTIME_NANOSECONDS, &self.mtime_nanoseconds.to_le_bytes());
        finish(bytes, mac);
        Ok(block)
    }

    /// Reads a header. The MAC is *not* checked here: see [`crate::mac_of`].
    ///
    /// # Errors
    /// In this order: length, magic, checksum, version, fields, and what they say of each other.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, FormatError> {
        check_len(bytes, HEADER_LEN)?;
        check_magic(bytes, MAGIC)?;
        check_checksum(bytes)?;
        check_version(u16_at(bytes, AT_VERSION))?;
        let flags = u32_at(bytes, AT_FLAGS);
        if flags & !(FLAG_KEEP_NAME | FLAG_HOLES) != 0 {
            return Err(FormatError::field("journal flags", flags));
        }
        let header = Self {
            job: JobKind::try_from(bytes[AT_JOB])?,
            resilience: Resilience::try_from(bytes[AT_RESILIENCE])?,
            record_kind: RecordKind::try_from(bytes[AT_RECORD_KIND])?,
            suite: bytes[AT_SUITE],
            geometry: Geometry::new(u64_at(bytes, AT_DATA_LEN), bytes[AT_CHUNK_LOG2], limits)?,
            ring_slots: bytes[AT_RING_SLOTS],
            job_id: array_at(bytes, AT_JOB_ID),
            file_id: array_at(bytes, AT_FILE_ID),
            job_sequence: u64_at(bytes, AT_JOB_SEQUENCE),
            window_len: u64_at(bytes, AT_WINDOW_LEN),
            slot_stride: u64_at(bytes, AT_STRIDE),
            keep_name: flags & FLAG_KEEP_NAME != 0,
            holes_flagged: flags & FLAG_HOLES != 0,
            device: u64_at(bytes, AT_DEVICE),
            inode: u64_at(bytes, AT_INODE),
            boot_id: array_at(bytes, AT_BOOT_ID),
            mtime_seconds: i64::from_le_bytes(array_at(bytes, AT_MTIME_SECONDS)),
            mtime_nanoseconds: u32_at(bytes, AT_MTIME_NANOSECONDS),
        };
        check_zero(bytes, AT_RESERVED_1, AT_DEVICE)?;
        check_zero(bytes, AT_RESERVED_2, AT_MAC)?;
        header.check()?;
        Ok(header)
    }

    fn flags(&self) -> u32 {
        let keep_name = if self.keep_name { FLAG_KEEP_NAME } else { 0 };
        let holes = if self.holes_flagged { FLAG_HOLES } else { 0 };
        keep_name | holes
    }

    fn check(&self) -> Result<(), FormatError> {
        check_suite(self.suite)?;
        if self.job_sequence == 0 {
            return Err(FormatError::field("job sequence", 0_u64));
        }
        self.check_kinds()?;
        self.check_ring()
    }

    /// A resilience is only as good as its records: `journal` needs payloads, `none` has no records.
    fn check_kinds(&self) -> Result<(), FormatError> {
        let fits = match self.resilience {
            Resilience::Checksum => self.record_kind == RecordKind::Fingerprints,
            Resilience::Journal => self.record_kind == RecordKind::FingerprintsAndPayload,
            Resilience::Process => self.record_kind != RecordKind::None,
            Resilience::None => self.record_kind == RecordKind::None,
        };
        if fits { Ok(()) } else { Err(FormatError::field("record kind", self.record_kind as u8)) }
    }

    fn check_ring(&self) -> Result<(), FormatError> {
        let chunk_len = self.geometry.chunk_len_bytes();
        let multiple = self.geometry.limits().window_chunk_multiple;
        let unit = chunk_len.saturating_mul(multiple);
        if self.window_len == 0 || unit == 0 || !self.window_len.is_multiple_of(unit) {
            return Err(FormatError::field("window length", self.window_len));
        }
        let (chunks, blocks, _) = largest_window(&self.geometry, self.window_len);
        if chunks.max(blocks) > u64::from(u32::MAX) {
            return Err(FormatError::field("window length", self.window_len));
        }
        let slots_fit = match self.record_kind {
            RecordKind::None => self.ring_slots == 0,
            _ => (MIN_RING_SLOTS..=MAX_RING_SLOTS).contains(&self.ring_slots),
        };
        if !slots_fit {
            return Err(FormatError::field("ring slots", self.ring_slots));
        }
        let stride = slot_stride(&self.geometry, self.window_len, self.record_kind);
        let ring_fits = stride
            .checked_mul(u64::from(MAX_RING_SLOTS))
            .and_then(|ring| ring.checked_add(RING_OFFSET))
            .is_some();
        if self.slot_stride != stride || !stride.is_multiple_of(BLOCK) || !ring_fits {
            return Err(FormatError::field("slot stride", self.slot_stride));
        }
        Ok(())
    }
}
