//! Each malformation is refused by its own name, also when the checksum is right.

mod common;

use common::{fix_checksum, header, mac, phase, slot_area, superblock, window};
use pageseal_format::journal::{JournalHeader, KeyArea, PhaseRecord, RecordKind, WindowRecord, slot_stride};
use pageseal_format::{FormatError, Geometry, Limits, SlotArea, Superblock, TableEntry};

/// Sets bytes at an offset and makes the checksum right again.
fn with(bytes: &[u8], offset: usize, value: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[offset..offset + value.len()].copy_from_slice(value);
    fix_checksum(&mut changed);
    changed
}

fn field_of<T: std::fmt::Debug>(result: Result<T, FormatError>) -> &'static str {
    match result {
        Err(FormatError::Field { name, .. }) => name,
        other => panic!("expected a refused field, got {other:?}"),
    }
}

/// What holds for every structure with a checksum: lengths, magic, damage, and damage before fields.
fn check_frame<T: std::fmt::Debug + PartialEq>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, FormatError>,
) {
    for len in [0, 1, 8, 63, 64, bytes.len() - 1] {
        let result = parse(&bytes[..len]);
        assert!(matches!(result, Err(FormatError::TooShort { .. })), "{result:?}");
    }
    assert_eq!(parse(&with(bytes, 0, b"p")), Err(FormatError::WrongMagic));
    assert_eq!(parse(&vec![0; bytes.len()]), Err(FormatError::WrongMagic));
    for at in [8, 200, bytes.len() - 64, bytes.len() - 1] {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1;
        let error = parse(&damaged).unwrap_err();
        assert_eq!(error, FormatError::Checksum, "byte {at}");
        assert!(error.is_damage());
    }
}

#[test]
fn superblock_by_name() {
    let parse = |bytes: &[u8]| Superblock::parse(bytes, &Limits::PRODUCTION);
    let good = superblock().encode(mac);
    check_frame(&good[..], parse);
    let mut long = good.to_vec();
    long.push(0);
    assert!(matches!(parse(&long), Err(FormatError::TooLong { .. })));

    let newer = with(&with(&good[..], 8, &[2, 0]), 88, &[1]);
    assert_eq!(parse(&newer), Err(FormatError::NewerVersion(2)));
    assert_eq!(field_of(parse(&with(&good[..], 8, &[0, 0]))), "version");
    let bits = with(&with(&good[..], 88, &[4]), 10, &[99]);
    assert_eq!(parse(&bits), Err(FormatError::UnknownIncompatBits(4)));
    for suite in [0, 4, 255] {
        let bytes = with(&good[..], 10, &[suite]);
        assert_eq!(parse(&bytes), Err(FormatError::UnknownSuite(suite)));
    }
    for (offset, value, name) in [
        (11, 15, "chunk_log2"),
        (11, 21, "chunk_log2"),
        (12, 0, "state"),
        (12, 4, "state"),
        (13, 1, "trailer location"),
        (39, 0xff, "L"),
        (64, 1, "shard index"),
        (68, 2, "shard count"),
        (128, 1, "data offset"),
        (136, 0, "data length"),
        (144, 1, "superblock A offset"),
        (152, 1, "superblock A length"),
        (160, 1, "slot area 1 offset"),
        (168, 1, "slot area 1 length"),
        (176, 1, "slot area 2 offset"),
        (184, 1, "slot area 2 length"),
        (192, 1, "table offset"),
        (200, 1, "table length"),
        (208, 1, "table extent 1 offset"),
        (232, 1, "table extent 2 length"),
        (248, 1, "table extent 3 length"),
        (256, 1, "superblock B offset"),
        (264, 1, "superblock B length"),
    ] {
        let name_found = field_of(parse(&with(&good[..], offset, &[value])));
        assert_eq!(name_found, name, "offset {offset}");
    }
    assert_eq!(field_of(parse(&with(&good[..], 40, &[0; 8]))), "job sequence");
    for offset in [14, 15, 272, 399, 400, 431, 432, 4031] {
        let result = parse(&with(&good[..], offset, &[1]));
        assert_eq!(result, Err(FormatError::Reserved { offset }));
    }
}

#[test]
fn slot_area_by_name() {
    let parse = SlotArea::parse;
    let good = slot_area().encode(mac).unwrap();
    check_frame(&good, parse);
    assert_eq!(parse(&with(&good, 8, &[9, 1])), Err(FormatError::NewerVersion(0x0109)));
    let used = u32::from_le_bytes(good[12..16].try_into().unwrap());
    for (offset, value, name) in [
        (10, vec![0, 0], "slot count"),
        (10, vec![33, 0], "slot count"),
        (10, vec![2, 0], "slot bytes used"),
        (10, vec![4, 0], "slot record length"),
        (12, (used + 1).to_le_bytes().to_vec(), "slot bytes used"),
        (12, (used + 8).to_le_bytes().to_vec(), "slot bytes used"),
        (12, (used - 8).to_le_bytes().to_vec(), "slot record length"),
        (12, vec![0xf8, 0xff, 0xff, 0xff], "slot bytes used"),
        (32, vec![0; 8], "generation"),
        (64, vec![0], "slot type"),
        (64, vec![4], "slot type"),
        (65, vec![65], "label length"),
        (66, vec![39, 0], "sealed info length"),
        (66, vec![1, 4], "sealed info length"),
        (68, vec![0; 4], "age file length"),
        (68, vec![1, 64, 0, 0], "age file length"),
        (68, vec![0xff; 4], "age file length"),
    ] {
        let result = parse(&with(&good, offset, &value));
        assert_eq!(field_of(result), name, "offset {offset} = {value:?}");
    }
    for offset in [40, 63, 72, 79, 64 + used as usize, 24511] {
        let result = parse(&with(&good, offset, &[1]));
        assert_eq!(result, Err(FormatError::Reserved { offset }));
    }
    // The first record has 16 + 5 + 103 + 281 = 405 bytes: three bytes of padding.
    let result = parse(&with(&good, 64 + 407, &[1]));
    assert_eq!(result, Err(FormatError::Reserved { offset: 64 + 407 }));
    for byte in [0x1b, 0xff, 0x7f] {
        let result = parse(&with(&good, 80, &[byte]));
        assert_eq!(result, Err(FormatError::Label { slot: 0 }));
    }
}

#[test]
fn slot_areas_that_do_not_fit_are_not_written() {
    let mut area = slot_area();
    area.slots = vec![area.slots[1].clone(); 33];
    let too_many = FormatError::TooManySlots { found: 33, max: 32 };
    assert_eq!(area.encode(mac), Err(too_many));
    area.slots.truncate(32);
    assert_eq!(SlotArea::parse(&area.encode(mac).unwrap()).unwrap(), area);

    area = slot_area();
    area.slots[0].age_file = vec![1; 16384];
    assert!(matches!(area.encode(mac), Err(FormatError::AreaFull { available: 24448, .. })));
    area = slot_area();
    area.slots[0].label = "a\u{85}".to_owned();
    assert_eq!(area.encode(mac), Err(FormatError::Label { slot: 0 }));
    area.slots[0].label = "x".repeat(65);
    assert_eq!(field_of(area.encode(mac)), "label length");
    area.slots.clear();
    assert_eq!(field_of(area.encode(mac)), "slot count");
}

#[test]
fn a_full_slot_area_is_read_back() {
    let mut area = slot_area();
    // 24448 = (16 + 16384) + (16 + 8032).
    area.slots.truncate(2);
    for (slot, len) in area.slots.iter_mut().zip([16384, 8032]) {
        slot.label.clear();
        slot.sealed_info.clear();
        slot.age_file = vec![5; len];
    }
    assert_eq!(SlotArea::parse(&area.encode(mac).unwrap()).unwrap(), area);
    area.slots[1].age_file.push(5);
    assert!(matches!(area.encode(mac), Err(FormatError::AreaFull { .. })));
}

#[test]
fn table_entry_by_name() {
    let mut bytes = [0xaa; 64];
    bytes[56..].fill(0);
    bytes[60] = 1;
    let good = TableEntry::parse(&bytes).unwrap();
    assert_eq!(good.encode(), bytes);
    assert_eq!(good.check_tag_len(32), Ok(()));
    assert_eq!(good.check_tag_len(16), Err(FormatError::Reserved { offset: 40 }));
    for (offset, name) in [(56, "epoch"), (59, "epoch"), (60, "entry flags"), (61, "entry flags")] {
        let mut bad = bytes;
        bad[offset] |= 2;
        assert_eq!(field_of(TableEntry::parse(&bad)), name);
    }
    for offset in [62, 63] {
        let mut bad = bytes;
        bad[offset] = 1;
        assert_eq!(TableEntry::parse(&bad), Err(FormatError::Reserved { offset }));
    }
}

#[test]
fn journal_header_by_name() {
    let parse = |bytes: &[u8]| JournalHeader::parse(bytes, &Limits::TEST);
    let good = header(RecordKind::FingerprintsAndPayload).encode(mac).unwrap();
    check_frame(&good[..], parse);
    assert_eq!(parse(&with(&good[..], 8, &[3])), Err(FormatError::NewerVersion(3)));
    assert_eq!(parse(&with(&good[..], 13, &[4])), Err(FormatError::UnknownSuite(4)));
    for (offset, value, name) in [
        (10, 0, "job"),
        (10, 3, "job"),
        (11, 0, "resilience"),
        (11, 5, "resilience"),
        (11, 1, "record kind"),
        (11, 4, "record kind"),
        (12, 0, "record kind"),
        (12, 1, "record kind"),
        (12, 3, "record kind"),
        (14, 11, "chunk_log2"),
        (15, 0, "ring slots"),
        (15, 1, "ring slots"),
        (15, 17, "ring slots"),
        (48, 0, "job sequence"),
        (63, 1 << 5, "L"),
        (64, 1, "window length"),
        (72, 1, "slot stride"),
        (73, 0x10, "slot stride"),
        (80, 4, "journal flags"),
    ] {
        let result = parse(&with(&good[..], offset, &[value]));
        assert_eq!(field_of(result), name, "offset {offset} = {value}");
    }
    assert_eq!(field_of(parse(&with(&good[..], 64, &[0; 8]))), "window length");
    for offset in [84, 87, 132, 4031] {
        let result = parse(&with(&good[..], offset, &[1]));
        assert_eq!(result, Err(FormatError::Reserved { offset }));
    }
}

#[test]
fn headers_that_would_not_open_again_are_not_written() {
    let mut bad = header(RecordKind::FingerprintsAndPayload);
    bad.slot_stride += 4096;
    assert_eq!(field_of(bad.encode(mac)), "slot stride");
    bad = header(RecordKind::None);
    bad.ring_slots = 2;
    assert_eq!(field_of(bad.encode(mac)), "ring slots");
    // 4 GiB blocks in one window: their number does not fit its field.
    bad = header(RecordKind::Fingerprints);
    bad.geometry = Geometry::new(1 << 60, 20, &Limits::PRODUCTION).unwrap();
    bad.window_len = 1 << 50;
    bad.slot_stride = slot_stride(&bad.geometry, bad.window_len, bad.record_kind);
    assert_eq!(field_of(bad.encode(mac)), "window length");
    // A window must be a multiple of 64 chunks in production.
    bad.window_len = 63 << 20;
    bad.slot_stride = slot_stride(&bad.geometry, bad.window_len, bad.record_kind);
    assert_eq!(field_of(bad.encode(mac)), "window length");
    bad.window_len = 64 << 20;
    bad.slot_stride = slot_stride(&bad.geometry, bad.window_len, bad.record_kind);
    assert!(bad.encode(mac).is_ok());
}

#[test]
fn phase_block_by_name() {
    let good = phase().encode(mac);
    check_frame(&good[..], PhaseRecord::parse);
    for (offset, value, name) in
        [(8, 0, "phase sequence"), (32, 0, "phase"), (32, 7, "phase"), (33, 2, "direction"), (34, 2, "clean")]
    {
        let result = PhaseRecord::parse(&with(&good[..], offset, &[value]));
        assert_eq!(field_of(result), name, "offset {offset} = {value}");
    }
    for offset in [35, 39, 72, 4031] {
        let result = PhaseRecord::parse(&with(&good[..], offset, &[1]));
        assert_eq!(result, Err(FormatError::Reserved { offset }));
    }
}

#[test]
fn window_record_by_name() {
    let header = header(RecordKind::FingerprintsAndPayload);
    let parse = |bytes: &[u8]| WindowRecord::parse(bytes, &header);
    let good = window(&header, 4, 4).encode(&header, mac).unwrap();
    check_frame(&good, parse);
    for (offset, value, name) in [
        (8, 0, "window sequence"),
        (32, 2, "direction"),
        (33, 1, "record kind"),
        (33, 0, "record kind"),
        (33, 3, "record kind"),
        (40, 8, "first chunk"),
        (47, 0xff, "first chunk"),
        (48, 7, "retired"),
        (48, 255, "retired"),
        (56, 12, "watermark"),
        (72, 1, "payload length"),
        (128 + 56, 1, "epoch"),
        (128 + 60, 2, "entry flags"),
    ] {
        let result = parse(&with(&good, offset, &[value]));
        assert_eq!(field_of(result), name, "offset {offset} = {value}");
    }
    for offset in [34, 35, 68, 71, 80, 127] {
        let result = parse(&with(&good, offset, &[1]));
        assert_eq!(result, Err(FormatError::Reserved { offset }));
    }
    // Counts that can not be: no chunk, more than a window, more fingerprints than blocks.
    for (offset, value) in [(36, 0), (36, 5), (39, 0x80), (64, 9), (67, 0xff)] {
        let error = parse(&with(&good, offset, &[value])).unwrap_err();
        assert!(matches!(error, FormatError::RecordBounds { .. }), "{error:?}");
        assert!(error.is_damage());
    }
    // The last window: chunks 8 to 10, of which the last has 5 bytes.
    let mut short = window(&header, 8, 3);
    short.fingerprints.pop();
    assert_eq!(field_of(short.encode(&header, mac)), "number of fingerprints");
    short = window(&header, 8, 3);
    short.payload_len += 1;
    assert_eq!(field_of(short.encode(&header, mac)), "payload length");
}

#[test]
fn key_area_by_name() {
    let good = KeyArea::Outside { wrapped: [7; 72] }.encode();
    let parse = |offset: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[offset] = value;
        KeyArea::parse(&bytes)
    };
    assert_eq!(field_of(parse(0, 3)), "key area mode");
    assert_eq!(parse(0, 0), Err(FormatError::Reserved { offset: 8 }));
    for offset in [1, 7, 80, 111, 112, 4095] {
        assert_eq!(parse(offset, 1), Err(FormatError::Reserved { offset }));
    }
    assert!(matches!(KeyArea::parse(&good[1..]), Err(FormatError::TooShort { .. })));
}
