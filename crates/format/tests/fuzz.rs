//! No bytes make a parser panic, and what parses encodes to the same bytes again.
#![cfg(not(miri))] // Thousands of checksums, each of which takes Miri seconds.

mod common;

use common::{fix_checksum, header, mac, phase, slot_area, superblock, window};
use pageseal_format::journal::{JournalHeader, KeyArea, PhaseRecord, RecordKind, WindowRecord};
use pageseal_format::{Limits, SlotArea, Superblock, TableEntry, mac_of};
use proptest::collection::vec;
use proptest::prelude::*;

/// Parses with every parser. A structure that is accepted must be what its bytes say, to the last one.
fn parse_all(bytes: &[u8]) {
    let (_, tag) = mac_of(bytes);
    let same_mac = |_: &[u8]| tag;
    for limits in [Limits::PRODUCTION, Limits::TEST] {
        if let Ok(block) = Superblock::parse(bytes, &limits) {
            assert_eq!(block.encode(same_mac)[..], bytes[..]);
        }
        if let Ok(header) = JournalHeader::parse(bytes, &limits) {
            assert_eq!(header.encode(same_mac).unwrap()[..], bytes[..]);
        }
    }
    if let Ok(area) = SlotArea::parse(bytes) {
        assert_eq!(area.encode(same_mac).unwrap()[..], bytes[..]);
    }
    if let Ok(phase) = PhaseRecord::parse(bytes) {
        assert_eq!(phase.encode(same_mac)[..], bytes[..]);
    }
    if let Ok(area) = KeyArea::parse(bytes) {
        assert_eq!(area.encode()[..], bytes[..]);
    }
    for kind in [RecordKind::None, RecordKind::Fingerprints, RecordKind::FingerprintsAndPayload] {
        let header = header(kind);
        if let Ok(record) = WindowRecord::parse(bytes, &header) {
            let len = WindowRecord::len_from_head(bytes, &header).unwrap();
            let (_, tag) = mac_of(&bytes[..len]);
            assert_eq!(record.encode(&header, |_| tag).unwrap(), bytes[..len]);
        }
    }
}

fn samples() -> Vec<Vec<u8>> {
    let journal = header(RecordKind::FingerprintsAndPayload);
    vec![
        superblock().encode(mac).to_vec(),
        slot_area().encode(mac).unwrap().into_vec(),
        journal.encode(mac).unwrap().to_vec(),
        header(RecordKind::None).encode(mac).unwrap().to_vec(),
        phase().encode(mac).to_vec(),
        KeyArea::Outside { wrapped: [3; 72] }.encode().to_vec(),
        window(&journal, 8, 3).encode(&journal, mac).unwrap(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..5000)) {
        parse_all(&bytes);
    }

    #[test]
    fn mutated_structures(
        which in 0_usize..7,
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
        right_checksum in any::<bool>(),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value, in_head) in changes {
            // Most fields are in the first 300 bytes; a change there is worth more.
            let range = if in_head { bytes.len().min(300) } else { bytes.len() };
            bytes[at.index(range)] = value;
        }
        if right_checksum {
            fix_checksum(&mut bytes);
        }
        parse_all(&bytes);
    }

    #[test]
    fn truncated_and_lengthened(which in 0_usize..7, len in 0_usize..30_000) {
        let mut bytes = samples().swap_remove(which);
        bytes.resize(len, 0);
        if len >= 32 {
            fix_checksum(&mut bytes);
        }
        parse_all(&bytes);
    }

    #[test]
    fn table_entries(bytes in any::<[u8; 32]>(), tail in any::<[bool; 8]>()) {
        let mut entry = [0; 64];
        entry[..32].copy_from_slice(&bytes);
        entry[56..].copy_from_slice(&tail.map(u8::from));
        if let Ok(parsed) = TableEntry::parse(&entry) {
            prop_assert_eq!(parsed.encode(), entry);
        }
    }
}
