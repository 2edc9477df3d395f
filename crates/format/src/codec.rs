//! Little-endian fields at fixed offsets, reserved bytes, and the tail of MAC and checksum.
//!
//! The accessors index without a check of their own: each caller has established the length first.

use sha2::{Digest, Sha256};

use crate::FormatError;
use crate::limits::{CHECKSUM_LEN, MAC_LEN, TAIL_LEN};

pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, offset))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}

pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

pub(crate) fn check_len(bytes: &[u8], needed: usize) -> Result<(), FormatError> {
    let (needed, found) = (needed as u64, bytes.len() as u64);
    match found.cmp(&needed) {
        std::cmp::Ordering::Less => Err(FormatError::TooShort { needed, found }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(FormatError::TooLong { needed, found }),
    }
}

pub(crate) fn check_magic(bytes: &[u8], magic: &[u8; 8]) -> Result<(), FormatError> {
    if bytes.starts_with(magic) { Ok(()) } else { Err(FormatError::WrongMagic) }
}

/// Refuses any nonzero byte in `[start, end)`, and says where the first one is.
pub(crate) fn check_zero(bytes: &[u8], start: usize, end: usize) -> Result<(), FormatError> {
    match bytes[start..end].iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => Err(FormatError::Reserved { offset: start + at }),
    }
}

pub(crate) fn check_version(version: u16) -> Result<(), FormatError> {
    match version {
        crate::limits::VERSION => Ok(()),
        0 => Err(FormatError::field("version", 0_u64)),
        newer => Err(FormatError::NewerVersion(newer)),
    }
}

pub(crate) fn check_suite(suite: u8) -> Result<(), FormatError> {
    if (crate::limits::MIN_SUITE..=crate::limits::MAX_SUITE).contains(&suite) {
        Ok(())
    } else {
        Err(FormatError::UnknownSuite(suite))
    }
}

/// Checks the SHA-256 in the last 32 bytes over all bytes before it.
pub(crate) fn check_checksum(bytes: &[u8]) -> Result<(), FormatError> {
    let (body, stored) = bytes.split_at(bytes.len() - CHECKSUM_LEN);
    if Sha256::digest(body).as_slice() == stored { Ok(()) } else { Err(FormatError::Checksum) }
}

/// Fills in the last 64 bytes: the MAC of what is before them, then the checksum of all before itself.
pub(crate) fn finish(bytes: &mut [u8], mac: impl FnOnce(&[u8]) -> [u8; 32]) {
    let body_len = bytes.len() - TAIL_LEN;
    let tag = mac(&bytes[..body_len]);
    put(bytes, body_len, &tag);
    let checksum = Sha256::digest(&bytes[..body_len + MAC_LEN]);
    put(bytes, body_len + MAC_LEN, checksum.as_slice());
}

/// Splits an encoded structure (superblock, slot area, journal header, phase block, window record) into
/// the bytes under its MAC and the MAC, so that the caller can verify it. The caller adds the label.
///
/// Bytes too short to hold a MAC give an empty body and a MAC of zeros, which no key verifies.
#[must_use]
pub fn mac_of(block: &[u8]) -> (&[u8], [u8; 32]) {
    match block.len().checked_sub(TAIL_LEN) {
        Some(body_len) => (&block[..body_len], array_at(block, body_len)),
        None => (&[], [0; 32]),
    }
}
