//! What is encoded is read back, at the offsets of FORMAT.md.

mod common;

use common::{header, mac, phase, slot_area, superblock, window};
use pageseal_format::journal::{
    JournalHeader, KeyArea, PhaseRecord, RecordKind, WindowRecord, payload_offset_in_slot, record_len,
};
use pageseal_format::{Limits, SlotArea, Superblock, mac_of};

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn check_mac(bytes: &[u8]) {
    let (body, tag) = mac_of(bytes);
    assert_eq!(body.len(), bytes.len() - 64);
    assert_eq!(tag, mac(body));
    assert_eq!(tag, bytes[bytes.len() - 64..bytes.len() - 32]);
}

#[test]
fn superblock_is_read_back() {
    let block = superblock();
    let bytes = block.encode(mac);
    check_mac(&bytes[..]);
    assert_eq!(Superblock::parse(&bytes[..], &Limits::PRODUCTION), Ok(block));
    assert_eq!(&bytes[..16], b"PAGESEAL\x01\0\x01\x10\x02\0\0\0");
    assert_eq!(u64_at(&bytes[..], 32), 1_000_001);
    // T0 = 1003520, 16 chunks, one block of table.
    let extents: Vec<u64> = (0..18).map(|i| u64_at(&bytes[..], 128 + 8 * i)).collect();
    let t0 = 1_003_520;
    let mut expected = vec![0, 1_000_001, t0, 4096, t0 + 4096, 24576, t0 + 28672, 24576];
    expected.extend([t0 + 53248, 4096, 0, 0, 0, 0, 0, 0, t0 + 57344, 4096]);
    assert_eq!(extents, expected);
}

#[test]
fn slot_area_is_read_back() {
    let area = slot_area();
    let bytes = area.encode(mac).unwrap();
    assert_eq!(bytes.len(), 24576);
    check_mac(&bytes);
    assert_eq!(SlotArea::parse(&bytes), Ok(area));
    assert_eq!(&bytes[..12], b"PGSLSLOT\x01\0\x03\0");
    assert_eq!(&bytes[64..80], &[1, 5, 103, 0, 25, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&bytes[80..85], "büro".as_bytes());
}

#[test]
fn journal_header_is_read_back() {
    for kind in [RecordKind::None, RecordKind::Fingerprints, RecordKind::FingerprintsAndPayload] {
        let header = header(kind);
        let bytes = header.encode(mac).unwrap();
        check_mac(&bytes[..]);
        assert_eq!(JournalHeader::parse(&bytes[..], &Limits::TEST), Ok(header));
    }
    let payload = header(RecordKind::FingerprintsAndPayload);
    // Record: 128 + 4 * 128 + 8 * 16 + 64 bytes, one block; payload: 4 chunks of 8192.
    assert_eq!(payload.slot_stride, 4096 + 32768);
    assert_eq!(payload.slot_offset(7), 45056 + payload.slot_stride);
    assert_eq!(payload.journal_len(), 45056 + 3 * payload.slot_stride);
    assert_eq!(header(RecordKind::Fingerprints).slot_stride, 4096);
    assert_eq!(header(RecordKind::None).journal_len(), 45056);
}

#[test]
fn phase_is_read_back() {
    let bytes = phase().encode(mac);
    check_mac(&bytes[..]);
    assert_eq!(PhaseRecord::parse(&bytes[..]), Ok(phase()));
    assert_eq!(&bytes[32..40], &[3, 0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn window_record_is_read_back_and_needs_no_more_than_its_own_bytes() {
    for kind in [RecordKind::Fingerprints, RecordKind::FingerprintsAndPayload] {
        let header = header(kind);
        for (first, count) in [(0, 1), (0, 4), (7, 4), (8, 3), (10, 1)] {
            let record = window(&header, first, count);
            let mut bytes = record.encode(&header, mac).unwrap();
            check_mac(&bytes);
            let prints = record.fingerprints.len() as u64;
            assert_eq!(bytes.len() as u64, record_len(count, prints));
            assert_eq!(WindowRecord::len_from_head(&bytes[..128], &header), Ok(bytes.len()));
            bytes.resize(9000, 0xff);
            assert_eq!(WindowRecord::parse(&bytes, &header), Ok(record));
        }
    }
    assert_eq!(payload_offset_in_slot(1024, 16384), 397_312);
    assert_eq!(record_len(u64::MAX, u64::MAX), u64::MAX);
}

#[test]
fn key_area_is_read_back_and_shows_no_key() {
    let inside = KeyArea::Inside { wrapped: [0xab; 72], job_key: [0xcd; 32].into() };
    assert_eq!(format!("{inside:?}"), "KeyArea::Inside");
    for area in [KeyArea::Empty, KeyArea::Outside { wrapped: [1; 72] }, inside] {
        assert_eq!(KeyArea::parse(&area.encode()), Ok(area));
    }
    assert_eq!(KeyArea::parse(&[0; 4096]), Ok(KeyArea::Empty));
}

#[test]
fn mac_of_too_few_bytes_has_no_body() {
    assert_eq!(mac_of(&[1; 63]), (&[][..], [0; 32]));
    assert_eq!(mac_of(&[1; 64]), (&[][..], [1; 32]));
}
