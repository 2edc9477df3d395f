//! Sealing and opening of chunks (FORMAT.md section 4).

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::aegis_recovery::AegisRecovery;
use crate::aegis256x2::{self, Aegis};
use crate::error::OpenError;
use crate::secret::{MemoryLock, Secret};
use crate::suite::Suite;
use crate::xaes::{self, Xaes};
use crate::xchacha::{self, XChaCha};

/// Bytes of a nonce in a table entry, with every suite.
pub const NONCE_BYTES: usize = 24;
/// Bytes of the tag field of a table entry, with every suite.
pub const TAG_FIELD_BYTES: usize = 32;
/// The longest chunk that the format knows.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;

const AAD_BYTES: usize = 72;
const AAD_MAGIC: [u8; 8] = *b"psealchk";

/// What, beside its bytes, a chunk is sealed with: everything in its table entry but the tag, and its
/// place in the file. All of it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Number of the chunk in the file, from 0.
    pub index: u64,
    /// Whether it is the last chunk of the file.
    pub is_final: bool,
    /// The nonce. For the first sealing of a chunk it must be fresh; for a repetition of the same
    /// sealing (same plaintext) it must be the same.
    pub nonce: [u8; NONCE_BYTES],
    /// Generation of the file key.
    pub epoch: u32,
    /// Flags of the table entry.
    pub flags: u16,
}

/// The cipher of all chunks of one file. It holds the key; every call stands alone, so one of it
/// serves any number of threads.
pub struct ChunkCipher {
    file_id: [u8; 16],
    aead: Aead,
}

enum Aead {
    Aegis(Aegis),
    Xaes(Xaes),
    XChaCha(XChaCha),
}

/// What the bytes of one sealing are made from, for rebuilding; it can read them without the tag.
pub(crate) enum RecoveryStream<'a> {
    /// The keystream of the whole chunk.
    Keystream(Zeroizing<Vec<u8>>),
    /// The keystream depends on the plaintext before it.
    Aegis(AegisRecovery<'a>),
}

impl ChunkCipher {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        match &self.aead {
            Aead::Aegis(aead) => aead.lock_with(lock),
            Aead::Xaes(aead) => aead.lock_with(lock),
            Aead::XChaCha(aead) => aead.lock_with(lock),
        }
    }

    pub(crate) fn new(suite: Suite, key: &Secret<32>, file_id: [u8; 16]) -> Self {
        let aead = match suite {
            Suite::Aegis256X2 => Aead::Aegis(Aegis::new(key)),
            Suite::Xaes256Gcm => Aead::Xaes(Xaes::new(key)),
            Suite::XChaCha20Poly1305 => Aead::XChaCha(XChaCha::new(key)),
        };
        Self { file_id, aead }
    }

    /// The suite that the cipher seals with.
    #[must_use]
    pub fn suite(&self) -> Suite {
        match self.aead {
            Aead::Aegis(_) => Suite::Aegis256X2,
            Aead::Xaes(_) => Suite::Xaes256Gcm,
            Aead::XChaCha(_) => Suite::XChaCha20Poly1305,
        }
    }

    /// Turns the plaintext in `buf` into ciphertext and returns the tag, zeros behind a 16-byte one.
    ///
    /// The caller answers for the nonce: two different plaintexts sealed with the same `meta.nonce` and
    /// both shown outside the process give both away.
    ///
    /// # Panics
    /// If `buf` is longer than [`MAX_CHUNK_BYTES`].
    #[must_use]
    pub fn seal_in_place(&self, meta: &ChunkMeta, buf: &mut [u8]) -> [u8; TAG_FIELD_BYTES] {
        assert!(
            buf.len() <= MAX_CHUNK_BYTES,
            "a chunk of {} bytes is longer than the format allows",
            buf.len()
        );
        let aad = self.associated_data(meta, buf.len() as u32);
        match &self.aead {
            Aead::Aegis(aead) => aead.seal(&meta.nonce, &aad, buf),
            Aead::Xaes(aead) => pad_tag(aead.seal(&meta.nonce, &aad, buf)),
            Aead::XChaCha(aead) => pad_tag(aead.seal(&meta.nonce, &aad, buf)),
        }
    }

    /// Turns the ciphertext in `buf` into plaintext if, and only if, `tag` is right for it and `meta`.
    ///
    /// # Errors
    /// [`OpenError::Authentication`] if it is not, [`OpenError::TagPadding`] if bytes of the tag field
    /// that the suite does not use are not zero, [`OpenError::Length`] if `buf` is longer than
    /// [`MAX_CHUNK_BYTES`]. In each case `buf` is all zero afterwards: pass a copy, never the file's
    /// own pages.
    pub fn open_in_place(
        &self,
        meta: &ChunkMeta,
        tag: &[u8; TAG_FIELD_BYTES],
        buf: &mut [u8],
    ) -> Result<(), OpenError> {
        let opened = self.try_open(meta, tag, buf);
        if opened.is_err() {
            buf.zeroize();
        }
        opened
    }

    fn try_open(
        &self,
        meta: &ChunkMeta,
        tag: &[u8; TAG_FIELD_BYTES],
        buf: &mut [u8],
    ) -> Result<(), OpenError> {
        if buf.len() > MAX_CHUNK_BYTES {
            return Err(OpenError::Length { given: buf.len(), min: 0, max: MAX_CHUNK_BYTES });
        }
        let aad = self.associated_data(meta, buf.len() as u32);
        match &self.aead {
            Aead::Aegis(aead) => aead.open(&meta.nonce, &aad, tag, buf),
            Aead::Xaes(aead) => aead.open(&meta.nonce, &aad, unpad_tag(tag)?, buf),
            Aead::XChaCha(aead) => aead.open(&meta.nonce, &aad, unpad_tag(tag)?, buf),
        }
    }

    /// Reads a sealing of `len` bytes without its tag. What it yields is unauthenticated.
    pub(crate) fn recovery_stream(&self, meta: &ChunkMeta, len: usize) -> RecoveryStream<'_> {
        if let Aead::Aegis(aead) = &self.aead {
            let aad = self.associated_data(meta, len as u32);
            return RecoveryStream::Aegis(aead.recovery(&meta.nonce, &aad));
        }
        // The other two XOR a keystream that depends on the nonce alone, and zeros sealed are that
        // keystream. It reuses the nonce, which is why this buffer must stay in here.
        let mut keystream = Zeroizing::new(vec![0; len]);
        let _tag = self.seal_in_place(meta, &mut keystream);
        RecoveryStream::Keystream(keystream)
    }

    fn associated_data(&self, meta: &ChunkMeta, len: u32) -> [u8; AAD_BYTES] {
        let mut aad = [0; AAD_BYTES];
        aad[0..8].copy_from_slice(&AAD_MAGIC);
        aad[8..24].copy_from_slice(&self.file_id);
        aad[24..32].copy_from_slice(&meta.index.to_le_bytes());
        aad[32..36].copy_from_slice(&len.to_le_bytes());
        aad[36] = meta.is_final.into();
        aad[37] = self.suite().id();
        aad[40..64].copy_from_slice(&meta.nonce);
        aad[64..68].copy_from_slice(&meta.epoch.to_le_bytes());
        aad[68..70].copy_from_slice(&meta.flags.to_le_bytes());
        aad
    }
}

impl fmt::Debug for ChunkCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkCipher")
            .field("suite", &self.suite())
            .field("file_id", &self.file_id)
            .finish_non_exhaustive()
    }
}

const _: () = {
    assert!(aegis256x2::TAG_BYTES == TAG_FIELD_BYTES);
    assert!(xaes::TAG_BYTES == SHORT_TAG_BYTES);
    assert!(xchacha::TAG_BYTES == SHORT_TAG_BYTES);
    // The AAD holds a chunk's length in four bytes.
    assert!(MAX_CHUNK_BYTES <= u32::MAX as usize);
};

const SHORT_TAG_BYTES: usize = 16;

fn pad_tag(tag: [u8; SHORT_TAG_BYTES]) -> [u8; TAG_FIELD_BYTES] {
    let mut field = [0; TAG_FIELD_BYTES];
    field[..SHORT_TAG_BYTES].copy_from_slice(&tag);
    field
}

fn unpad_tag(field: &[u8; TAG_FIELD_BYTES]) -> Result<&[u8; SHORT_TAG_BYTES], OpenError> {
    match field.split_first_chunk::<SHORT_TAG_BYTES>() {
        Some((tag, padding)) if padding.iter().all(|byte| *byte == 0) => Ok(tag),
        _ => Err(OpenError::TagPadding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn associated_data_has_the_documented_layout() {
        let cipher = ChunkCipher::new(
            Suite::XChaCha20Poly1305,
            &Secret::from_bytes([0; 32]),
            std::array::from_fn(|i| 0xa0 + i as u8),
        );
        let meta = ChunkMeta {
            index: 0x0102_0304_0506_0708,
            is_final: true,
            nonce: std::array::from_fn(|i| 0x40 + i as u8),
            epoch: 0x1112_1314,
            flags: 0x2122,
        };
        let mut expected = b"psealchk".to_vec();
        expected.extend(0xa0..0xb0);
        expected.extend([8, 7, 6, 5, 4, 3, 2, 1]);
        expected.extend([0x33, 0x22, 0x11, 0x00]);
        expected.extend([1, 3, 0, 0]);
        expected.extend(0x40..0x58);
        expected.extend([0x14, 0x13, 0x12, 0x11]);
        expected.extend([0x22, 0x21, 0, 0]);
        assert_eq!(cipher.associated_data(&meta, 0x0011_2233).as_slice(), expected);
    }
}
