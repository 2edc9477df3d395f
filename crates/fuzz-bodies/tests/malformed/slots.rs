//! Slot areas.

use pageseal_format::{SlotArea, labels};
use pageseal_fuzz_bodies::fixture::keys;

use super::example::{Repair, SLOTS, change, sealed};
use super::vectors::Vector;

const LEN: usize = 24576;
/// Where the slot records end in the example.
const USED: usize = 64 + 544;

pub fn vectors() -> Vec<Vector> {
    let mut all = refused_fields();
    all.extend(labels_that_are_no_text());
    all.extend(copies());
    all.extend(age_files());
    all
}

fn put_both(area: &[u8]) -> Vec<u8> {
    let mut file = sealed();
    for start in SLOTS {
        file[start..start + LEN].copy_from_slice(area);
    }
    file
}

fn example() -> Vec<u8> {
    sealed()[SLOTS[0]..SLOTS[0] + LEN].to_vec()
}

fn changed(mut area: Vec<u8>, at: usize, bytes: &[u8], repair: Repair) -> Vec<u8> {
    change(&mut area, (0, LEN), at, bytes, repair, labels::SLOTS);
    area
}

fn refused_fields() -> Vec<Vector> {
    let says = |field: &str, value: u64| format!("field \\\"{field}\\\" has the refused value {value}");
    let cases: [(&str, usize, Vec<u8>, String); 16] = [
        ("version-0", 8, vec![0, 0], says("version", 0)),
        ("version-2", 8, vec![2, 0], "made by a newer version (format 2)".into()),
        ("count-0", 10, vec![0, 0], says("slot count", 0)),
        ("count-33", 10, vec![33, 0], says("slot count", 33)),
        ("count-2", 10, vec![2, 0], says("slot record length", 16)),
        ("bytes-used-odd", 12, 545_u32.to_le_bytes().into(), says("slot bytes used", 545)),
        ("bytes-used-huge", 12, vec![0xF8, 0xFF, 0xFF, 0xFF], says("slot bytes used", 0xFFFF_FFF8)),
        ("bytes-used-less", 12, 536_u32.to_le_bytes().into(), says("slot record length", 544)),
        ("generation-0", 32, vec![0; 8], says("generation", 0)),
        ("type-0", 64, vec![0], says("slot type", 0)),
        ("type-4", 64, vec![4], says("slot type", 4)),
        ("label-65", 65, vec![65], says("label length", 65)),
        ("sealed-info-39", 66, vec![39, 0], says("sealed info length", 39)),
        ("sealed-info-1025", 66, vec![1, 4], says("sealed info length", 1025)),
        ("age-file-0", 68, vec![0; 4], says("age file length", 0)),
        ("age-file-16385", 68, vec![1, 64, 0, 0], says("age file length", 16385)),
    ];
    let mut all: Vec<Vector> = cases
        .into_iter()
        .map(|(name, at, bytes, what)| {
            let file = put_both(&changed(example(), at, &bytes, Repair::Mac));
            let expected = format!("Damaged SlotsUnreadable {{ what: \"{what}");
            Vector::sealed(format!("slots-{name}"), file, expected)
        })
        .collect();
    for (name, at) in [
        ("reserved-40", 40),
        ("reserved-63", 63),
        ("record-reserved", 72),
        ("record-padding", USED - 1),
        ("behind-the-records", USED),
        ("behind-the-records-end", 24511),
    ] {
        let file = put_both(&changed(example(), at, &[1], Repair::Mac));
        let expected = format!("Damaged SlotsUnreadable {{ what: \"reserved byte at offset {at} is not zero");
        all.push(Vector::sealed(format!("slots-{name}"), file, expected));
    }
    all
}

/// The example's slot with a label, of which one byte is changed.
fn labels_that_are_no_text() -> Vec<Vector> {
    let mut area = SlotArea::parse(&example()).unwrap();
    area.slots[0].label = "label".into();
    let bytes = area.encode(|body| keys().metadata.mac(labels::SLOTS, body)).unwrap().to_vec();
    let expected = "Damaged SlotsUnreadable { what: \"label of slot 0 is not clean UTF-8";
    [("control-character", 0x1B), ("delete", 0x7F), ("no-utf-8", 0xFF)]
        .into_iter()
        .map(|(name, byte)| {
            let file = put_both(&changed(bytes.clone(), 80, &[byte], Repair::Mac));
            Vector::sealed(format!("slots-label-{name}"), file, expected)
        })
        .collect()
}

fn copies() -> Vec<Vector> {
    let unreadable = |what: &str| format!("Damaged SlotsUnreadable {{ what: \"{what}");
    let one = |copy: usize, at: usize, bytes: &[u8], repair: Repair| {
        let mut file = sealed();
        change(&mut file, (SLOTS[copy], LEN), at, bytes, repair, labels::SLOTS);
        file
    };
    let both = |at: usize, bytes: &[u8], repair: Repair| put_both(&changed(example(), at, bytes, repair));
    let mac = "Damaged WrongMac { block: \"slot area\"";
    vec![
        Vector::sealed("slots-1-damaged", one(0, 100, &[0], Repair::None), "Accepted"),
        Vector::sealed("slots-2-damaged", one(1, 100, &[0], Repair::None), "Accepted"),
        Vector::sealed("slots-1-malformed", one(0, 10, &[0], Repair::Mac), "Accepted"),
        Vector::sealed("slots-differ", one(1, 32, &[2], Repair::Mac), unreadable("the two copies differ")),
        Vector::sealed("slots-both-damaged", both(100, &[0], Repair::None), unreadable("wrong checksum")),
        Vector::sealed("slots-both-magics", both(0, &[0], Repair::None), unreadable("wrong magic")),
        Vector::sealed("slots-mac", both(24512, &[0; 32], Repair::Checksum), mac),
        Vector::sealed("slots-forged-generation", both(32, &[2], Repair::Checksum), mac),
        Vector::sealed(
            "slots-of-another-file",
            both(16, &[9; 16], Repair::Mac),
            unreadable("they belong to another file"),
        ),
    ]
}

/// What lies in a slot is an age file, whose own checks come first.
fn age_files() -> Vec<Vector> {
    let start = 64 + 16 + 110;
    let spoiled = |at: usize| {
        let area = example();
        let byte = area[start + at] ^ 1;
        put_both(&changed(area, start + at, &[byte], Repair::Mac))
    };
    vec![
        Vector::sealed("slot-age-version-line", spoiled(3), "Damaged Key(SlotMismatch"),
        // As if it were for somebody else.
        Vector::sealed("slot-age-stanza", spoiled(40), "NoKey Key(NoKeyFits"),
        Vector::sealed("slot-age-payload", spoiled(414), "Damaged Key(SlotMismatch"),
    ]
}
