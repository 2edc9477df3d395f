//! Superblock, slot area, table entry.

use std::sync::OnceLock;

use pageseal_format::{Limits, SlotArea, Superblock, TableEntry, mac_of, trailer_candidates};

use crate::edits::{Document, Input, Region, fix_checksum};
use crate::fixture::{Sealed, slot_area};

/// Parses the input as each structure of the trailer, as it is and as edits of a good one. What is accepted is encoded again and
/// must give the same bytes: then no byte was passed over, and no two byte strings mean the same.
pub fn trailer_parse(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let fix = choice & 0x80 != 0;
    match choice % 6 {
        0 => superblock(&edited(good_superblock(), &mut input, fix)),
        1 => slots(&edited(slot_area().to_vec(), &mut input, fix)),
        2 => {
            let mut bytes = input.rest().to_vec();
            superblock(&bytes);
            slots(&bytes);
            fix_checksum(&mut bytes);
            superblock(&bytes);
            slots(&bytes);
        }
        3 => {
            let mut bytes = vec![0; 4096];
            put_front(&mut bytes, b"PAGESEAL\x01\x00", input.rest());
            superblock(&bytes);
        }
        4 => {
            let mut bytes = vec![0; 24576];
            put_front(&mut bytes, b"PGSLSLOT\x01\x00", input.rest());
            slots(&bytes);
        }
        _ => {
            let mut entry = [0; 64];
            let given = input.take(64);
            entry[..given.len()].copy_from_slice(given);
            if let Ok(parsed) = TableEntry::parse(&entry) {
                assert_eq!(parsed.encode(), entry, "a table entry is not what was parsed");
            }
            let mut len = [0; 8];
            len.copy_from_slice(&entry[..8]);
            let candidates = trailer_candidates(u64::from_le_bytes(len), &Limits::PRODUCTION);
            assert!(candidates.len() <= 5, "one place a chunk size");
        }
    }
}

fn superblock(bytes: &[u8]) {
    for limits in [Limits::PRODUCTION, Limits::TEST] {
        if let Ok(parsed) = Superblock::parse(bytes, &limits) {
            let (_, mac) = mac_of(bytes);
            assert!(parsed.encode(|_| mac)[..] == *bytes, "a superblock is not what was parsed");
            assert!(parsed.geometry.sealed_len() > parsed.geometry.data_len(), "an impossible geometry");
        }
    }
}

fn slots(bytes: &[u8]) {
    if let Ok(parsed) = SlotArea::parse(bytes) {
        let (_, mac) = mac_of(bytes);
        let encoded = parsed.encode(|_| mac).expect("what was parsed can be encoded");
        assert!(*encoded == *bytes, "a slot area is not what was parsed");
    }
}

fn edited(bytes: Vec<u8>, input: &mut Input<'_>, fix: bool) -> Vec<u8> {
    let len = bytes.len();
    let regions = vec![
        Region { offset: 0, len, has_checksum: true },
        Region { offset: 0, len: 280, has_checksum: false },
        Region { offset: 64, len: 16, has_checksum: false },
    ];
    let mut document = Document { bytes, regions };
    document.edit(input, fix);
    document.bytes
}

fn good_superblock() -> Vec<u8> {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let sealed = Sealed::new(70_000);
        let at = sealed.geometry.superblock_a_offset() as usize;
        sealed.file()[at..at + 4096].to_vec()
    };
    GOOD.get_or_init(make).clone()
}

/// Magic and version, what is given, zeros, and a right checksum.
fn put_front(bytes: &mut [u8], magic: &[u8], given: &[u8]) {
    bytes[..magic.len()].copy_from_slice(magic);
    let room = bytes.len() - 64 - magic.len();
    let given = &given[..given.len().min(room)];
    bytes[magic.len()..magic.len() + given.len()].copy_from_slice(given);
    fix_checksum(bytes);
}
