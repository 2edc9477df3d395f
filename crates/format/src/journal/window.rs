//! Window records.

use super::header::JournalHeader;
use super::kinds::{Direction, RecordKind};
use super::layout::{CHUNK_RECORD_LEN, FINGERPRINT_LEN, RECORD_HEAD_LEN, largest_window, record_len};
use crate::codec::{array_at, check_checksum, check_magic, check_zero, finish, put, u32_at, u64_at};
use crate::limits::{TABLE_ENTRY_LEN, TAIL_LEN};
use crate::{FormatError, Id, TableEntry};

const MAGIC: &[u8; 8] = b"PGSLWIND";
const AT_SEQUENCE: usize = 8;
const AT_JOB_ID: usize = 16;
const AT_DIRECTION: usize = 32;
const AT_KIND: usize = 33;
const AT_RESERVED_1: usize = 34;
const AT_CHUNKS: usize = 36;
const AT_FIRST_CHUNK: usize = 40;
const AT_RETIRED: usize = 48;
const AT_WATERMARK: usize = 56;
const AT_FINGERPRINTS: usize = 64;
const AT_RESERVED_2: usize = 68;
const AT_PAYLOAD_LEN: usize = 72;
const AT_RESERVED_3: usize = 80;

const _: () = assert!(AT_RESERVED_3 + 48 == RECORD_HEAD_LEN);

/// Both entries of one chunk; that of a plain side is all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkRecord {
    /// The entry after the window is settled.
    pub new: TableEntry,
    /// The entry before it.
    pub old: TableEntry,
}

/// All that is needed to bring one window to its new form from any mix of old and new sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRecord {
    /// Counts the windows of the job, in both directions, from 1.
    pub sequence: u64,
    /// The job.
    pub job_id: Id,
    /// Which way the job goes.
    pub direction: Direction,
    /// What this record holds, the same for all windows of a job.
    pub kind: RecordKind,
    /// First chunk of the window.
    pub first_chunk: u64,
    /// Windows up to this one are settled; below `sequence`.
    pub retired: u64,
    /// The watermark, in chunks, when those are settled.
    pub watermark: u64,
    /// Bytes of ciphertext behind the record.
    pub payload_len: u64,
    /// The window's chunks, from `first_chunk` on.
    pub chunks: Vec<ChunkRecord>,
    /// Fingerprints of the window's blocks, in order.
    pub fingerprints: Vec<[u8; FINGERPRINT_LEN]>,
}

impl WindowRecord {
    /// The bytes of the record, without what fills its last block. `mac` gets all bytes but the last 64,
    /// and returns the MAC of [`crate::labels::WINDOW`] and those under the journal key.
    ///
    /// # Errors
    /// What [`WindowRecord::parse`] would refuse in a journal with this header.
    pub fn encode(
        &self,
        header: &JournalHeader,
        mac: impl FnOnce(&[u8]) -> [u8; 32],
    ) -> Result<Vec<u8>, FormatError> {
        self.check(header)?;
        let entries_end = RECORD_HEAD_LEN + CHUNK_RECORD_LEN * self.chunks.len();
        let body_len = entries_end + FINGERPRINT_LEN * self.fingerprints.len();
        let mut bytes = vec![0; body_len + TAIL_LEN];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, AT_SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut bytes, AT_JOB_ID, &self.job_id);
        bytes[AT_DIRECTION] = self.direction as u8;
        bytes[AT_KIND] = self.kind as u8;
        // `check` has established that both counts fit.
        let (chunks, prints) = (self.chunks.len() as u32, self.fingerprints.len() as u32);
        put(&mut bytes, AT_CHUNKS, &chunks.to_le_bytes());
        put(&mut bytes, AT_FIRST_CHUNK, &self.first_chunk.to_le_bytes());
        put(&mut bytes, AT_RETIRED, &self.retired.to_le_bytes());
        put(&mut bytes, AT_WATERMARK, &self.watermark.to_le_bytes());
        put(&mut bytes, AT_FINGERPRINTS, &prints.to_le_bytes());
        put(&mut bytes, AT_PAYLOAD_LEN, &self.payload_len.to_le_bytes());
        let entries = bytes[RECORD_HEAD_LEN..entries_end].chunks_exact_mut(CHUNK_RECORD_LEN);
        for (out, chunk) in entries.zip(&self.chunks) {
            out[..TABLE_ENTRY_LEN].copy_from_slice(&chunk.new.encode());
            out[TABLE_ENTRY_LEN..].copy_from_slice(&chunk.old.encode());
        }
        let prints = bytes[entries_end..body_len].chunks_exact_mut(FINGERPRINT_LEN);
        for (out, print) in prints.zip(&self.fingerprints) {
            out.copy_from_slice(print);
        }
        finish(&mut bytes, mac);
        Ok(bytes)
    }

    /// Length in bytes of the record that begins with `head`, so that the rest can be read. Never more
    /// than the ring slot of a journal with this header.
    ///
    /// # Errors
    /// [`FormatError::TooShort`] below [`RECORD_HEAD_LEN`] bytes, [`FormatError::WrongMagic`] for a slot that
    /// was never written, [`FormatError::RecordBounds`].
    pub fn len_from_head(head: &[u8], header: &JournalHeader) -> Result<usize, FormatError> {
        if head.len() < RECORD_HEAD_LEN {
            return Err(FormatError::TooShort { needed: RECORD_HEAD_LEN as u64, found: head.len() as u64 });
        }
        check_magic(head, MAGIC)?;
        let chunks = u32_at(head, AT_CHUNKS);
        let fingerprints = u32_at(head, AT_FINGERPRINTS);
        let (max_chunks, max_blocks, _) = largest_window(&header.geometry, header.window_len);
        let len = record_len(chunks.into(), fingerprints.into());
        let possible = chunks > 0
            && u64::from(chunks) <= max_chunks
            && u64::from(fingerprints) <= max_blocks
            && len <= header.slot_stride;
        usize::try_from(len)
            .ok()
            .filter(|_| possible)
            .ok_or(FormatError::RecordBounds { chunks, fingerprints })
    }

    /// Reads the record at the start of `bytes`, in a journal with this header; bytes behind the record are
    /// not looked at. The MAC is *not* checked here: see [`crate::mac_of`], for the first
    /// [`WindowRecord::len_from_head`] bytes. Nor is the job id, which takes a MAC to mean anything.
    ///
    /// # Errors
    /// In this order: length, magic, counts, checksum, fields, entries.
    pub fn parse(bytes: &[u8], header: &JournalHeader) -> Result<Self, FormatError> {
        let len = Self::len_from_head(bytes, header)?;
        let bytes = bytes
            .get(..len)
            .ok_or(FormatError::TooShort { needed: len as u64, found: bytes.len() as u64 })?;
        check_checksum(bytes)?;
        check_zero(bytes, AT_RESERVED_1, AT_CHUNKS)?;
        check_zero(bytes, AT_RESERVED_2, AT_PAYLOAD_LEN)?;
        check_zero(bytes, AT_RESERVED_3, RECORD_HEAD_LEN)?;
        let entries_end = RECORD_HEAD_LEN + CHUNK_RECORD_LEN * u32_at(bytes, AT_CHUNKS) as usize;
        let chunks = bytes[RECORD_HEAD_LEN..entries_end]
            .chunks_exact(CHUNK_RECORD_LEN)
            .map(parse_chunk)
            .collect::<Result<_, _>>()?;
        let fingerprints = bytes[entries_end..len - TAIL_LEN]
            .chunks_exact(FINGERPRINT_LEN)
            .map(|print| array_at(print, 0))
            .collect();
        let record = Self {
            sequence: u64_at(bytes, AT_SEQUENCE),
            job_id: array_at(bytes, AT_JOB_ID),
            direction: Direction::try_from(bytes[AT_DIRECTION])?,
            kind: RecordKind::try_from(bytes[AT_KIND])?,
            first_chunk: u64_at(bytes, AT_FIRST_CHUNK),
            retired: u64_at(bytes, AT_RETIRED),
            watermark: u64_at(bytes, AT_WATERMARK),
            payload_len: u64_at(bytes, AT_PAYLOAD_LEN),
            chunks,
            fingerprints,
        };
        record.check(header)?;
        Ok(record)
    }

    /// What the fields say of each other and of the job.
    fn check(&self, header: &JournalHeader) -> Result<(), FormatError> {
        if self.kind != header.record_kind || self.kind == RecordKind::None {
            return Err(FormatError::field("record kind", self.kind as u8));
        }
        if self.sequence == 0 {
            return Err(FormatError::field("window sequence", 0_u64));
        }
        if self.retired >= self.sequence {
            return Err(FormatError::field("retired", self.retired));
        }
        let geometry = &header.geometry;
        if self.watermark > geometry.chunk_count() {
            return Err(FormatError::field("watermark", self.watermark));
        }
        let (max_chunks, _, _) = largest_window(geometry, header.window_len);
        let count = self.chunks.len() as u64;
        if !(1..=max_chunks).contains(&count) {
            return Err(FormatError::field("number of chunks", count));
        }
        if self.first_chunk > geometry.chunk_count() - count {
            return Err(FormatError::field("first chunk", self.first_chunk));
        }
        let (_, blocks) = geometry.blocks_of_chunks(self.first_chunk, count);
        if self.fingerprints.len() as u64 != blocks {
            let found = self.fingerprints.len() as u64;
            return Err(FormatError::field("number of fingerprints", found));
        }
        let (_, bytes) = geometry.bytes_of_chunks(self.first_chunk, count);
        let payload_len = if self.kind == RecordKind::FingerprintsAndPayload { bytes } else { 0 };
        if self.payload_len != payload_len {
            return Err(FormatError::field("payload length", self.payload_len));
        }
        for chunk in &self.chunks {
            chunk.new.check()?;
            chunk.old.check()?;
        }
        Ok(())
    }
}

fn parse_chunk(bytes: &[u8]) -> Result<ChunkRecord, FormatError> {
    Ok(ChunkRecord {
        new: TableEntry::parse(&array_at(bytes, 0))?,
        old: TableEntry::parse(&array_at(bytes, TABLE_ENTRY_LEN))?,
    })
}
