//! Where the parts of a journal lie, and how large the largest window makes a ring slot.

use super::RecordKind;
use crate::Geometry;
use crate::limits::{BLOCK, BLOCK_LEN, SLOT_AREA_LEN, SUPERBLOCK_LEN, TABLE_ENTRY_LEN, TAIL_LEN};

/// Offset of the header in the journal.
pub const HEADER_OFFSET: u64 = 0;
/// Length of the header in bytes.
pub const HEADER_LEN: usize = BLOCK_LEN;
/// Offset of the key area.
pub const KEY_AREA_OFFSET: u64 = 4096;
/// Length of the key area in bytes.
pub const KEY_AREA_LEN: usize = BLOCK_LEN;
/// Offset of the copy of the superblock.
pub const SUPERBLOCK_COPY_OFFSET: u64 = 8192;
/// Offset of the copy of the slot area.
pub const SLOT_AREA_COPY_OFFSET: u64 = 12288;
/// Offsets of the two phase blocks; phase `s` goes into block `s mod 2`.
pub const PHASE_OFFSETS: [u64; 2] = [36864, 40960];
/// Length of a phase block in bytes.
pub const PHASE_LEN: usize = BLOCK_LEN;
/// Offset of the ring of window slots.
pub const RING_OFFSET: u64 = 45056;
/// Ring slots of a job with window records, at least.
pub const MIN_RING_SLOTS: u8 = 2;
/// Ring slots of a job with window records, at most.
pub const MAX_RING_SLOTS: u8 = 16;
/// Length of a window record before its entries, in bytes.
pub const RECORD_HEAD_LEN: usize = 128;

/// New and old entry of one chunk.
pub(crate) const CHUNK_RECORD_LEN: usize = 2 * TABLE_ENTRY_LEN;
/// One fingerprint.
pub(crate) const FINGERPRINT_LEN: usize = 16;

const _: () = {
    assert!(HEADER_OFFSET + HEADER_LEN as u64 == KEY_AREA_OFFSET);
    assert!(KEY_AREA_OFFSET + KEY_AREA_LEN as u64 == SUPERBLOCK_COPY_OFFSET);
    assert!(SUPERBLOCK_COPY_OFFSET + SUPERBLOCK_LEN as u64 == SLOT_AREA_COPY_OFFSET);
    assert!(SLOT_AREA_COPY_OFFSET + SLOT_AREA_LEN as u64 == PHASE_OFFSETS[0]);
    assert!(PHASE_OFFSETS[0] + PHASE_LEN as u64 == PHASE_OFFSETS[1]);
    assert!(PHASE_OFFSETS[1] + PHASE_LEN as u64 == RING_OFFSET);
    assert!(RING_OFFSET.is_multiple_of(BLOCK));
};

/// Length in bytes of a window record with so many chunks and fingerprints, from its magic to the end
/// of its checksum.
#[must_use]
pub fn record_len(chunks: u64, fingerprints: u64) -> u64 {
    let entries = chunks.saturating_mul(CHUNK_RECORD_LEN as u64);
    let fingerprints = fingerprints.saturating_mul(FINGERPRINT_LEN as u64);
    entries.saturating_add(fingerprints).saturating_add((RECORD_HEAD_LEN + TAIL_LEN) as u64)
}

/// Where the payload begins, in bytes from the start of the ring slot: the record's own length, rounded up.
#[must_use]
pub fn payload_offset_in_slot(chunks: u64, fingerprints: u64) -> u64 {
    // Saturated far above any length that a file can have.
    record_len(chunks, fingerprints).checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX)
}

/// The largest window of a job with windows of `window_len` bytes: its chunks, its blocks and its bytes.
#[must_use]
pub fn largest_window(geometry: &Geometry, window_len: u64) -> (u64, u64, u64) {
    let chunks = (window_len / geometry.chunk_len_bytes()).min(geometry.chunk_count());
    let (_, bytes) = geometry.bytes_of_chunks(0, chunks);
    let (_, blocks) = geometry.blocks_of_chunks(0, chunks);
    (chunks, blocks, bytes)
}

/// Length in bytes of one ring slot: what the largest window of the job needs, 0 without records.
#[must_use]
pub fn slot_stride(geometry: &Geometry, window_len: u64, kind: RecordKind) -> u64 {
    let (chunks, blocks, bytes) = largest_window(geometry, window_len);
    let record = payload_offset_in_slot(chunks, blocks);
    match kind {
        RecordKind::None => 0,
        RecordKind::Fingerprints => record,
        RecordKind::FingerprintsAndPayload => record.saturating_add(bytes.next_multiple_of(BLOCK)),
    }
}
