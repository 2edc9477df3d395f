//! Shared by the tests of this crate.
#![allow(dead_code, missing_docs)]

use pageseal_format::journal::{
    ChunkRecord, Direction, JobKind, JournalHeader, Phase, PhaseRecord, RecordKind, Resilience, WindowRecord,
    slot_stride,
};
use pageseal_format::{FileState, Geometry, Limits, Slot, SlotArea, SlotKind, Superblock, TableEntry};
use sha2::{Digest, Sha256};

pub fn mac(body: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(b"test key").chain_update(body).finalize().into()
}

/// Makes the checksum in the last 32 bytes right again after a change.
pub fn fix_checksum(bytes: &mut [u8]) {
    let at = bytes.len() - 32;
    let sum = Sha256::digest(&bytes[..at]);
    bytes[at..].copy_from_slice(&sum);
}

pub fn superblock() -> Superblock {
    Superblock {
        suite: 1,
        geometry: Geometry::new(1_000_001, 16, &Limits::PRODUCTION).unwrap(),
        state: FileState::Encrypting,
        file_id: [1; 16],
        job_sequence: 3,
        job_id: [2; 16],
        commitment: [3; 32],
        compat: 5,
        ro_compat: 6,
        incompat: 0,
    }
}

pub fn slot_area() -> SlotArea {
    let slot = |kind, label: &str, info: usize, age: usize| Slot {
        kind,
        label: label.to_owned(),
        sealed_info: vec![7; info],
        age_file: vec![8; age],
    };
    SlotArea {
        file_id: [1; 16],
        generation: 2,
        slots: vec![
            slot(SlotKind::X25519, "büro", 103, 281),
            slot(SlotKind::Passphrase, "", 0, 1),
            slot(SlotKind::Plugin, "key", 40, 16384),
        ],
    }
}

pub fn header(kind: RecordKind) -> JournalHeader {
    // 10 chunks and a bit, windows of 4: the last window has 3 chunks, the last chunk 5 bytes.
    let geometry = Geometry::new(10 * 8192 + 5, 13, &Limits::TEST).unwrap();
    let window_len = 4 * 8192;
    JournalHeader {
        job: JobKind::Encrypt,
        resilience: match kind {
            RecordKind::None => Resilience::None,
            RecordKind::Fingerprints => Resilience::Checksum,
            RecordKind::FingerprintsAndPayload => Resilience::Journal,
        },
        record_kind: kind,
        suite: 2,
        geometry,
        ring_slots: if kind == RecordKind::None { 0 } else { 3 },
        job_id: [9; 16],
        file_id: [1; 16],
        job_sequence: 4,
        window_len,
        slot_stride: slot_stride(&geometry, window_len, kind),
        keep_name: true,
        holes_flagged: false,
        device: 11,
        inode: 12,
        boot_id: [13; 16],
        mtime_seconds: -1,
        mtime_nanoseconds: 999_999_999,
    }
}

pub fn window(header: &JournalHeader, first_chunk: u64, count: u64) -> WindowRecord {
    let (_, blocks) = header.geometry.blocks_of_chunks(first_chunk, count);
    let (_, bytes) = header.geometry.bytes_of_chunks(first_chunk, count);
    let entry =
        |i: u64| TableEntry { nonce: [i as u8; 24], tag: [i as u8 + 1; 32], epoch: 0, flags: (i % 2) as u16 };
    WindowRecord {
        sequence: 7,
        job_id: header.job_id,
        direction: Direction::Backward,
        kind: header.record_kind,
        first_chunk,
        retired: 5,
        watermark: 8,
        payload_len: if header.record_kind == RecordKind::FingerprintsAndPayload { bytes } else { 0 },
        chunks: (0..count).map(|i| ChunkRecord { new: entry(i), old: TableEntry::default() }).collect(),
        fingerprints: (0..blocks).map(|b| [b as u8; 16]).collect(),
    }
}

pub fn phase() -> PhaseRecord {
    PhaseRecord {
        sequence: 3,
        job_id: [9; 16],
        phase: Phase::Running,
        direction: Direction::Forward,
        clean: true,
        watermark: 4,
        window_sequence: 1,
        boot_id: [9; 16],
    }
}
