//! Malformed parts of a journal, each in one that is otherwise right.

use pageseal_format::labels;

use super::example::{
    PHASES, RING, Repair, SLOT_COPY, SUPERBLOCK_COPY, change, interrupted, journal, sign_copy,
};
use super::vectors::Vector;

/// Window 1 lies in ring slot 1: a record of one chunk and one block.
const RECORD: (usize, usize) = (RING + 4096, 128 + 128 + 16 + 64);
const HEADER: (usize, usize) = (0, 4096);
const PHASE: (usize, usize) = (PHASES[1], 4096);

pub fn vectors() -> Vec<Vector> {
    let mut all = headers();
    all.extend(key_areas());
    all.extend(copies());
    all.extend(phases());
    all.extend(records());
    all
}

fn refused(name: String, journal: Vec<u8>, error: String) -> Vector {
    Vector {
        name,
        file: interrupted(),
        journal: Some(journal),
        expected: "Damaged Journal".into(),
        journal_error: Some(error),
    }
}

fn changed(place: (usize, usize), at: usize, bytes: &[u8], repair: Repair, label: &[u8]) -> Vec<u8> {
    let mut journal = journal();
    change(&mut journal, place, at, bytes, repair, label);
    journal
}

fn invalid(part: &str, source: &str) -> String {
    format!("Invalid {{ part: {part}, source: {source} }}")
}

fn field(name: &str, value: u64) -> String {
    format!("Field {{ name: \"{name}\", value: {value} }}")
}

fn headers() -> Vec<Vector> {
    let part = |name: &str, at: usize, bytes: &[u8], repair: Repair, source: String| {
        let bytes = changed(HEADER, at, bytes, repair, labels::JOURNAL);
        refused(format!("header-{name}"), bytes, invalid("Header", &source))
    };
    let mac = Repair::Mac;
    let mut all = vec![
        part("magic", 0, b"p", Repair::Mac, "WrongMagic".into()),
        part("damaged", 200, &[1], Repair::None, "Checksum".into()),
        part("version-0", 8, &[0], mac, field("version", 0)),
        part("version-2", 8, &[2], mac, "NewerVersion(2)".into()),
        part("job-0", 10, &[0], mac, field("job", 0)),
        part("job-rekey", 10, &[3], mac, field("job", 3)),
        part("resilience-0", 11, &[0], mac, field("resilience", 0)),
        part("resilience-5", 11, &[5], mac, field("resilience", 5)),
        part("resilience-without-its-records", 11, &[2], mac, field("record kind", 1)),
        part("record-kind-3", 12, &[3], mac, field("record kind", 3)),
        part("suite-0", 13, &[0], mac, "UnknownSuite(0)".into()),
        part("suite-4", 13, &[4], mac, "UnknownSuite(4)".into()),
        part("chunk-size-too-small", 14, &[15], mac, field("chunk_log2", 15)),
        part("chunk-size-too-large", 14, &[21], mac, field("chunk_log2", 21)),
        part("one-ring-slot", 15, &[1], mac, field("ring slots", 1)),
        part("17-ring-slots", 15, &[17], mac, field("ring slots", 17)),
        part("job-sequence-0", 48, &[0; 8], mac, field("job sequence", 0)),
        part("length-beyond-the-limit", 63, &[0x20], mac, field("L", 45 | 0x20 << 56)),
        part("window-0", 64, &[0; 8], mac, field("window length", 0)),
        part("window-of-63-chunks", 64, &(63_u64 << 16).to_le_bytes(), mac, field("window length", 63 << 16)),
        part("stride-huge", 72, &u64::MAX.to_le_bytes(), mac, field("slot stride", u64::MAX)),
        part("stride-0", 72, &[0; 8], mac, field("slot stride", 0)),
        part("unknown-flag", 80, &[4], mac, field("journal flags", 4)),
    ];
    for at in [84, 132, 4031] {
        all.push(part(&format!("reserved-{at}"), at, &[1], mac, format!("Reserved {{ offset: {at} }}")));
    }
    let forged = |name: &str, at: usize, bytes: &[u8]| {
        let bytes = changed(HEADER, at, bytes, Repair::Checksum, labels::JOURNAL);
        refused(format!("header-forged-{name}"), bytes, "Forged { part: Header }".into())
    };
    all.extend([
        forged("mac", 4032, &[0; 32]),
        forged("inode", 96, &[1, 2, 3]),
        forged("keep-name", 80, &[0]),
    ]);
    // An encrypt made into a decrypt.
    all.push(forged("job", 10, &[2]));
    all
}

fn key_areas() -> Vec<Vector> {
    let part = |name: &str, at: usize, byte: u8, source: String| {
        let mut bytes = journal();
        bytes[4096 + at] = byte;
        refused(format!("key-area-{name}"), bytes, invalid("KeyArea", &source))
    };
    vec![
        part("mode-3", 0, 3, field("key area mode", 3)),
        part("mode-0-with-a-key", 0, 0, "Reserved { offset: 8 }".into()),
        part("mode-1-with-the-job-key", 0, 1, "Reserved { offset: 80 }".into()),
        part("reserved-1", 1, 1, "Reserved { offset: 1 }".into()),
        part("reserved-112", 112, 1, "Reserved { offset: 112 }".into()),
        part("reserved-end", 4095, 1, "Reserved { offset: 4095 }".into()),
    ]
}

/// The copies are under the metadata key.
fn copies() -> Vec<Vector> {
    let copy = |start: usize, len: usize, label: &[u8], at: usize, bytes: &[u8], sign: bool| {
        let mut journal = journal();
        let part = &mut journal[start..start + len];
        part[at..at + bytes.len()].copy_from_slice(bytes);
        match sign {
            true => sign_copy(part, label),
            false => pageseal_fuzz_bodies::edits::fix_checksum(part),
        }
        journal
    };
    let superblock =
        |at, bytes: &[u8], sign| copy(SUPERBLOCK_COPY, 4096, labels::SUPERBLOCK, at, bytes, sign);
    let slots = |at, bytes: &[u8], sign| copy(SLOT_COPY, 24576, labels::SLOTS, at, bytes, sign);
    let mut damaged = [journal(), journal()];
    damaged[0][SUPERBLOCK_COPY + 300] = 1;
    damaged[1][SLOT_COPY + 50] = 1;
    let [damaged_superblock, damaged_slots] = damaged;
    let mismatch = |part: &str| format!("CopyMismatch {{ part: {part} }}");
    let named = |name: &str, bytes: Vec<u8>, error: String| refused(name.into(), bytes, error);
    let mac = |name: &str, bytes: Vec<u8>, block: &str| Vector {
        name: name.into(),
        file: interrupted(),
        journal: Some(bytes),
        expected: format!("Damaged WrongMac {{ block: \"{block}\""),
        journal_error: None,
    };
    vec![
        named("superblock-copy-damaged", damaged_superblock, invalid("SuperblockCopy", "Checksum")),
        named("slot-copy-damaged", damaged_slots, invalid("SlotAreaCopy", "Checksum")),
        named(
            "superblock-copy-version",
            superblock(8, &[2], true),
            invalid("SuperblockCopy", "NewerVersion(2)"),
        ),
        named(
            "superblock-copy-incompatible-bit",
            superblock(88, &[2], true),
            invalid("SuperblockCopy", "UnknownIncompatBits(2)"),
        ),
        named("superblock-copy-state", superblock(12, &[2], true), mismatch("SuperblockCopy")),
        named("superblock-copy-of-another-file", superblock(16, &[9; 16], true), mismatch("SuperblockCopy")),
        named("superblock-copy-of-another-suite", superblock(10, &[3], true), mismatch("SuperblockCopy")),
        named("slot-copy-of-another-file", slots(16, &[9; 16], true), mismatch("SlotAreaCopy")),
        named("slot-copy-count", slots(10, &[0], true), invalid("SlotAreaCopy", &field("slot count", 0))),
        mac("superblock-copy-forged", superblock(40, &[9], false), "superblock"),
        mac("superblock-copy-commitment", superblock(96, &[9; 32], false), "key commitment"),
        mac("slot-copy-forged", slots(32, &[9], false), "slot area"),
    ]
}

fn phases() -> Vec<Vector> {
    let part = |name: &str, at: usize, bytes: &[u8], source: String| {
        let bytes = changed(PHASE, at, bytes, Repair::Mac, labels::PHASE);
        refused(format!("phase-{name}"), bytes, invalid("Phase(1)", &source))
    };
    let mut all = vec![
        part("sequence-0", 8, &[0; 8], field("phase sequence", 0)),
        part("0", 32, &[0], field("phase", 0)),
        part("7", 32, &[7], field("phase", 7)),
        part("direction-2", 33, &[2], field("direction", 2)),
        part("clean-2", 34, &[2], field("clean", 2)),
    ];
    for at in [35, 39, 72, 4031] {
        all.push(part(&format!("reserved-{at}"), at, &[1], format!("Reserved {{ offset: {at} }}")));
    }
    for (name, at, byte) in [
        ("mac", 4032, 0),
        ("watermark", 40, 1),
        ("direction", 33, 1),
        ("data-done", 32, 4),
        ("truncating", 32, 5),
    ] {
        let bytes = changed(PHASE, at, &[byte], Repair::Checksum, labels::PHASE);
        all.push(refused(format!("phase-forged-{name}"), bytes, "Forged { part: Phase(1) }".into()));
    }
    // Believed without a key, but the file does not agree.
    let finished = changed(PHASE, 32, &[6], Repair::Checksum, labels::PHASE);
    all.push(Vector {
        name: "phase-forged-finished".into(),
        file: interrupted(),
        journal: Some(finished),
        expected: "Refused StaleJournal".into(),
        journal_error: Some("Forged { part: Phase(1) }".into()),
    });
    all
}

fn records() -> Vec<Vector> {
    let part = |name: &str, at: usize, bytes: &[u8], source: String| {
        let bytes = changed(RECORD, at, bytes, Repair::Mac, labels::WINDOW);
        refused(format!("record-{name}"), bytes, invalid("RingSlot(1)", &source))
    };
    let mut all = vec![
        part("sequence-0", 8, &[0; 8], field("window sequence", 0)),
        part("direction-2", 32, &[2], field("direction", 2)),
        part("kind-0", 33, &[0], field("record kind", 0)),
        part("kind-2", 33, &[2], field("record kind", 2)),
        part("kind-3", 33, &[3], field("record kind", 3)),
        part("chunk-beyond-the-end", 40, &[1], field("first chunk", 1)),
        part("chunk-all-ones", 40, &[0xFF; 8], field("first chunk", u64::MAX)),
        part("retires-itself", 48, &[1], field("retired", 1)),
        part("watermark-beyond-the-end", 56, &[2], field("watermark", 2)),
        part("payload-that-is-not-there", 72, &[45], field("payload length", 45)),
        part("new-entry-epoch", 128 + 56, &[1], field("epoch", 1)),
        part("new-entry-flags", 128 + 60, &[2], field("entry flags", 2)),
        part("new-entry-reserved", 128 + 62, &[1], "Reserved { offset: 62 }".into()),
        part("old-entry-epoch", 192 + 56, &[1], field("epoch", 1)),
    ];
    for at in [34, 68, 80, 127] {
        all.push(part(&format!("reserved-{at}"), at, &[1], format!("Reserved {{ offset: {at} }}")));
    }
    for (name, at) in [("mac", 272), ("nonce", 128), ("fingerprint", 256), ("watermark", 56)] {
        let byte = journal()[RECORD.0 + at] ^ 1;
        let bytes = changed(RECORD, at, &[byte], Repair::Checksum, labels::WINDOW);
        all.push(refused(format!("record-forged-{name}"), bytes, "Forged { part: RingSlot(1) }".into()));
    }
    // Not intact: as if the crash had come while it was written. Here its chunk is sealed already, and that shows.
    for (name, at, bytes) in [
        ("torn", 200, &[0xAA][..]),
        ("magic-gone", 0, &[0]),
        ("of-no-chunk", 36, &[0; 4]),
        ("of-too-many-chunks", 36, &[0xFF; 4]),
        ("of-too-many-fingerprints", 64, &[0xFF; 4]),
    ] {
        all.push(Vector {
            name: format!("record-{name}"),
            file: interrupted(),
            journal: Some(changed(RECORD, at, bytes, Repair::None, labels::WINDOW)),
            expected: "Damaged NotAsClaimed { chunk: 0".into(),
            journal_error: None,
        });
    }
    all
}
