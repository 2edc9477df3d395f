//! Sealed files: lengths, superblocks, table, data, paddings.

use pageseal_format::{Geometry, Limits, Superblock, labels};
use pageseal_fuzz_bodies::fixture::keys;

use super::example::{A, B, DATA_LEN, Repair, SLOTS, TABLE, change, sealed};
use super::vectors::Vector;

pub fn vectors() -> Vec<Vector> {
    let mut all = lengths();
    all.extend(refused_fields());
    all.extend(newer_versions());
    all.extend(right_fields_of_somebody_else());
    all.extend(copies());
    all.extend(table_and_data());
    all
}

fn lengths() -> Vec<Vector> {
    let cut = |len: usize| sealed()[..len].to_vec();
    let longer = |more: usize| {
        let mut file = sealed();
        file.resize(file.len() + more, 0);
        file
    };
    let truncated = |missing: usize| format!("Damaged Truncated {{ missing_bytes: {missing}");
    let foreign =
        |bytes: usize| format!("Damaged ForeignBytes {{ trailer_end: 65536, foreign_bytes: {bytes}");
    vec![
        Vector::sealed("empty", cut(0), "Refused NotSealed"),
        Vector::sealed("only-data", cut(DATA_LEN), "Refused NotSealed"),
        Vector::sealed("only-data-and-padding", cut(A), "Refused NotSealed"),
        Vector::sealed("last-byte-missing", cut(65535), truncated(1)),
        Vector::sealed("copy-b-missing", cut(B), truncated(4096)),
        Vector::sealed("table-missing", cut(TABLE), truncated(8192)),
        Vector::sealed("slots-cut", cut(SLOTS[0] + 5000), truncated(65536 - SLOTS[0] - 5000)),
        Vector::sealed("a-byte-behind-the-trailer", longer(1), foreign(1)),
        Vector::sealed("a-block-behind-the-trailer", longer(4096), foreign(4096)),
    ]
}

/// Both copies with a change.
fn both(at: usize, bytes: &[u8], repair: Repair) -> Vec<u8> {
    let mut file = sealed();
    for start in [A, B] {
        change(&mut file, (start, 4096), at, bytes, repair, labels::SUPERBLOCK);
    }
    file
}

/// Values that version 1 refuses, whoever wrote them: in a superblock with a right MAC.
fn refused_fields() -> Vec<Vector> {
    let mut all = Vec::new();
    let mut field = |name: &str, at: usize, bytes: &[u8], what: &str| {
        let file = both(at, bytes, Repair::Mac);
        // Copy B is at the end of the file and is read first; what it says is not followed to copy A.
        let expected = format!("Damaged SuperblockMalformed {{ copy: 'B', what: \"{what}");
        all.push(Vector::sealed(format!("superblock-{name}"), file, expected));
    };
    let says = |field: &str, value: u64| format!("field \\\"{field}\\\" has the refused value {value}");
    field("version-0", 8, &[0, 0], &says("version", 0));
    field("chunk-size-too-small", 11, &[15], &says("chunk_log2", 15));
    field("chunk-size-too-large", 11, &[21], &says("chunk_log2", 21));
    field("state-0", 12, &[0], &says("state", 0));
    field("state-rekeying", 12, &[4], &says("state", 4));
    field("detached-trailer", 13, &[1], &says("trailer location", 1));
    field("length-beyond-the-limit", 32, &((1_u64 << 60) + 1).to_le_bytes(), &says("L", (1 << 60) + 1));
    field("length-all-ones", 32, &[0xFF; 8], &says("L", u64::MAX));
    field("job-sequence-0", 40, &[0; 8], &says("job sequence", 0));
    field("shard-index-1", 64, &[1], &says("shard index", 1));
    field("shard-count-0", 68, &[0], &says("shard count", 0));
    field("shard-count-2", 68, &[2], &says("shard count", 2));
    let extents = [
        ("data", 128, "data"),
        ("copy-a", 144, "superblock A"),
        ("slot-area-1", 160, "slot area 1"),
        ("slot-area-2", 176, "slot area 2"),
        ("table", 192, "table"),
        ("table-extent-1", 208, "table extent 1"),
        ("table-extent-2", 224, "table extent 2"),
        ("table-extent-3", 240, "table extent 3"),
        ("copy-b", 256, "superblock B"),
    ];
    for (name, at, text) in extents {
        for (kind, skip) in [("offset", 0), ("length", 8)] {
            let value = 0x7FFF_FFFF_FFFF_F000_u64;
            let what = says(&format!("{text} {kind}"), value);
            field(&format!("{name}-{kind}"), at + skip, &value.to_le_bytes(), &what);
        }
    }
    for (name, at) in [
        ("reserved-14", 14),
        ("rekey-descriptor", 272),
        ("rekey-descriptor-end", 399),
        ("table-digest", 400),
        ("reserved-432", 432),
        ("reserved-end", 4031),
    ] {
        field(name, at, &[1], &format!("reserved byte at offset {at} is not zero"));
    }
    all
}

fn newer_versions() -> Vec<Vector> {
    let newer = |name: &str, at: usize, bytes: &[u8]| {
        Vector::sealed(format!("newer-{name}"), both(at, bytes, Repair::Mac), "Refused Newer")
    };
    vec![
        newer("version-2", 8, &[2, 0]),
        newer("version-65535", 8, &[0xFF, 0xFF]),
        newer("suite-0", 10, &[0]),
        newer("suite-4", 10, &[4]),
        newer("incompatible-bit", 88, &[1]),
        newer("incompatible-bit-63", 95, &[0x80]),
    ]
}

/// Possible values that are not this file's.
fn right_fields_of_somebody_else() -> Vec<Vector> {
    let forged = |name: &str, at: usize, bytes: &[u8], expected: &str| {
        Vector::sealed(format!("forged-{name}"), both(at, bytes, Repair::Checksum), expected)
    };
    let mac = |block: &str| format!("Damaged WrongMac {{ block: \"{block}\"");
    let mut all = vec![
        forged("job-sequence", 40, &[9], &mac("superblock")),
        forged("job-id", 48, &[9], &mac("superblock")),
        forged("compatible-bit", 72, &[1], &mac("superblock")),
        forged("read-only-compatible-bit", 80, &[1], &mac("superblock")),
        forged("superblock-mac", 4032, &[0; 32], &mac("superblock")),
        forged("commitment", 96, &[0; 32], &mac("key commitment")),
        forged("state-encrypting", 12, &[2], "Interrupted Interrupted"),
        forged("state-decrypting", 12, &[3], "Interrupted Interrupted"),
        forged("file-id", 16, &[9; 16], "Damaged SlotsUnreadable { what: \"they belong to another file\""),
        // Keys and slots are bound to these two.
        forged("suite", 10, &[3], "Damaged Key(SlotMismatch"),
        forged("chunk-size", 11, &[17], "Damaged Key(SlotMismatch"),
    ];
    // One byte longer: it is the first of the padding. By a forger, and with the key.
    for (name, repair, expected) in [
        ("forged-length", Repair::Checksum, mac("superblock")),
        ("length-of-another-file", Repair::Mac, "Damaged Chunk { chunk: 0, offset: 0".to_owned()),
    ] {
        let mut file = sealed();
        for start in [A, B] {
            for at in [32, 136] {
                change(&mut file, (start, 4096), at, &[46], repair, labels::SUPERBLOCK);
            }
        }
        all.push(Vector::sealed(name, file, expected));
    }
    all
}

fn copies() -> Vec<Vector> {
    let with = |changes: &[(usize, usize, &[u8], Repair)]| {
        let mut file = sealed();
        for (start, at, bytes, repair) in changes {
            change(&mut file, (*start, 4096), *at, bytes, *repair, labels::SUPERBLOCK);
        }
        file
    };
    let none = Repair::None;
    let malformed = |copy: char| format!("Damaged SuperblockMalformed {{ copy: '{copy}'");
    let two = "Damaged SuperblocksUnreadable";
    vec![
        Vector::sealed("copy-a-damaged", with(&[(A, 100, &[0], none)]), "Accepted"),
        Vector::sealed("copy-b-damaged", with(&[(B, 100, &[0], none)]), "Accepted"),
        Vector::sealed("copy-a-magic", with(&[(A, 0, &[0], none)]), "Accepted"),
        Vector::sealed("copy-b-magic", with(&[(B, 0, &[0], none)]), "Accepted"),
        Vector::sealed("both-copies-damaged", with(&[(A, 100, &[0], none), (B, 100, &[0], none)]), two),
        Vector::sealed(
            "both-copies-damaged-one-magic",
            with(&[(A, 0, &[0], none), (B, 100, &[0], none)]),
            two,
        ),
        Vector::sealed("both-magics", with(&[(A, 0, &[0], none), (B, 0, &[0], none)]), "Refused NotSealed"),
        Vector::sealed("copies-differ", with(&[(A, 40, &[2], Repair::Mac)]), "Damaged SuperblocksDiffer"),
        Vector::sealed(
            "copies-differ-forged",
            with(&[(B, 40, &[2], Repair::Checksum)]),
            "Damaged SuperblocksDiffer",
        ),
        Vector::sealed("copy-a-malformed", with(&[(A, 12, &[0], Repair::Mac)]), malformed('A')),
        Vector::sealed("copy-b-malformed", with(&[(B, 12, &[0], Repair::Mac)]), malformed('B')),
        Vector::sealed("copy-a-newer", with(&[(A, 8, &[2], Repair::Mac)]), "Refused Newer"),
        Vector::sealed("copy-b-newer", with(&[(B, 8, &[2], Repair::Mac)]), "Refused Newer"),
        Vector::sealed(
            "copy-a-malformed-b-damaged",
            with(&[(A, 12, &[0], Repair::Mac), (B, 100, &[0], none)]),
            malformed('A'),
        ),
    ]
}

fn table_and_data() -> Vec<Vector> {
    let with = |at: usize, mask: u8| {
        let mut file = sealed();
        file[at] ^= mask;
        file
    };
    let chunk = "Damaged Chunk { chunk: 0, offset: 0";
    let table = "Damaged Table { chunk: 0";
    let padding = |at: usize| format!("Damaged Padding {{ offset: {at}");
    vec![
        Vector::sealed("data-first-byte", with(0, 1), chunk),
        Vector::sealed("data-last-byte", with(DATA_LEN - 1, 0x80), chunk),
        Vector::sealed("entry-nonce", with(TABLE, 1), chunk),
        Vector::sealed("entry-tag", with(TABLE + 24, 1), chunk),
        Vector::sealed("entry-tag-end", with(TABLE + 55, 1), chunk),
        Vector::sealed("entry-epoch", with(TABLE + 56, 1), table),
        Vector::sealed("entry-hole-flag", with(TABLE + 60, 1), chunk),
        Vector::sealed("entry-unknown-flag", with(TABLE + 60, 2), table),
        Vector::sealed("entry-reserved", with(TABLE + 62, 1), table),
        Vector::sealed("table-padding", with(TABLE + 64, 1), padding(TABLE + 64)),
        Vector::sealed("table-padding-end", with(B - 1, 1), padding(B - 1)),
        Vector::sealed("data-padding", with(DATA_LEN, 1), padding(DATA_LEN)),
        Vector::sealed("data-padding-end", with(A - 1, 1), padding(A - 1)),
        Vector::sealed(
            "two-chunks-of-zeros",
            unsealed_chunks(65537),
            "Damaged Chunks { count: 2, ranges: [DamagedRange { first_chunk: 0",
        ),
        Vector::sealed("an-empty-file-without-its-tag", unsealed_chunks(0), chunk),
    ]
}

/// Authentic metadata for `len` bytes, with a table of zeros behind zeros: no chunk is what its entry says.
fn unsealed_chunks(len: u64) -> Vec<u8> {
    let example = sealed();
    let geometry = Geometry::new(len, 16, &Limits::PRODUCTION).unwrap();
    let superblock =
        Superblock { geometry, ..Superblock::parse(&example[A..A + 4096], &Limits::PRODUCTION).unwrap() };
    let block = superblock.encode(|body| keys().metadata.mac(labels::SUPERBLOCK, body));
    let mut file = vec![0; geometry.sealed_len() as usize];
    let mut put = |offset: u64, bytes: &[u8]| file[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    put(geometry.superblock_a_offset(), &block[..]);
    put(geometry.superblock_b_offset(), &block[..]);
    for copy in 0..2 {
        put(geometry.slot_area_offset(copy), &example[SLOTS[0]..SLOTS[1]]);
    }
    file
}
