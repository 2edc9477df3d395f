//! The files of `docs/vectors/example` and the keys that FORMAT.md section 8 prints for them.

use pageseal_crypto::{DerivedKeys, FileKey, KeyContext};
use pageseal_format::labels;
use pageseal_fuzz_bodies::edits::fix_checksum;
use pageseal_fuzz_bodies::fixture::{CHUNK_LOG2, SUITE, keys};

pub const A: usize = 4096;
pub const B: usize = 61440;
pub const SLOTS: [usize; 2] = [8192, 32768];
pub const TABLE: usize = 57344;
pub const DATA_LEN: usize = 45;

pub const SUPERBLOCK_COPY: usize = 8192;
pub const SLOT_COPY: usize = 12288;
pub const PHASES: [usize; 2] = [36864, 40960];
pub const RING: usize = 45056;

const INTERRUPTED_ID: [u8; 16] =
    [0x13, 0x8a, 0x7f, 0xe6, 0x0d, 0x00, 0x35, 0xe9, 0x1a, 0xcd, 0x89, 0x91, 0x97, 0xef, 0x80, 0x5e];
const INTERRUPTED_KEY: [u8; 32] = [
    0xc8, 0x11, 0x1a, 0x87, 0x09, 0x4f, 0xeb, 0x6e, 0xb0, 0x52, 0xad, 0xf6, 0x6b, 0x7a, 0xaf, 0xa8, 0xd6,
    0x4f, 0xff, 0xb8, 0x2b, 0xae, 0x75, 0x41, 0x2f, 0x06, 0x0b, 0x27, 0xfc, 0xf6, 0x3c, 0xcb,
];

pub fn sealed() -> Vec<u8> {
    include_bytes!("../../../../docs/vectors/example/sealed.bin").to_vec()
}

pub fn interrupted() -> Vec<u8> {
    include_bytes!("../../../../docs/vectors/example/interrupted.bin").to_vec()
}

pub fn journal() -> Vec<u8> {
    include_bytes!("../../../../docs/vectors/example/interrupted.journal").to_vec()
}

/// Keys of `interrupted.bin`.
pub fn interrupted_keys() -> DerivedKeys {
    let context = KeyContext { suite: SUITE, chunk_log2: CHUNK_LOG2, file_id: INTERRUPTED_ID };
    DerivedKeys::derive(&FileKey::from_bytes(INTERRUPTED_KEY), &context)
}

/// What is made right again after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing: damage.
    None,
    /// The checksum, as anybody can.
    Checksum,
    /// MAC and checksum, as only the owner of the key can.
    Mac,
}

/// Changes `bytes` of the structure at `start`, `len` long.
pub fn change(
    file: &mut [u8],
    (start, len): (usize, usize),
    at: usize,
    bytes: &[u8],
    repair: Repair,
    label: &[u8],
) {
    let part = &mut file[start..start + len];
    part[at..at + bytes.len()].copy_from_slice(bytes);
    match repair {
        Repair::None => {}
        Repair::Checksum => fix_checksum(part),
        Repair::Mac => sign(part, label),
    }
}

/// MAC and checksum of a structure: of `sealed.bin` for the labels of a trailer, of the journal for others.
fn sign(part: &mut [u8], label: &[u8]) {
    let body = part.len() - 64;
    let mac = match label {
        labels::SUPERBLOCK | labels::SLOTS => keys().metadata.mac(label, &part[..body]),
        _ => interrupted_keys().journal.mac(label, &part[..body]),
    };
    part[body..body + 32].copy_from_slice(&mac);
    fix_checksum(part);
}

/// The same for the copies of superblock and slots in the journal, whose file has another key.
pub fn sign_copy(part: &mut [u8], label: &[u8]) {
    let body = part.len() - 64;
    let mac = interrupted_keys().metadata.mac(label, &part[..body]);
    part[body..body + 32].copy_from_slice(&mac);
    fix_checksum(part);
}
