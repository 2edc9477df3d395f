//! AEGIS-256X2 with 256-bit tags (RFC 10032), by libaegis.

use aegis::aegis256x2::Aegis256X2;

use crate::aegis_recovery::AegisRecovery;
use crate::chunk::NONCE_BYTES;
use crate::error::OpenError;
use crate::secret::{MemoryLock, Secret};

pub(crate) const TAG_BYTES: usize = 32;

pub(crate) struct Aegis(Secret<32>);

impl Aegis {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        self.0.lock_with(lock);
    }

    pub(crate) fn new(key: &Secret<32>) -> Self {
        Self(key.clone())
    }

    pub(crate) fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], buf: &mut [u8]) -> [u8; TAG_BYTES] {
        Aegis256X2::<TAG_BYTES>::new(self.0.bytes(), &widen(nonce)).encrypt_in_place(buf, aad)
    }

    /// On failure `buf` holds anything: the caller wipes it.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        tag: &[u8; TAG_BYTES],
        buf: &mut [u8],
    ) -> Result<(), OpenError> {
        Aegis256X2::<TAG_BYTES>::new(self.0.bytes(), &widen(nonce))
            .decrypt_in_place(buf, tag, aad)
            .map_err(|_| OpenError::Authentication)
    }

    pub(crate) fn recovery(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8]) -> AegisRecovery<'_> {
        AegisRecovery::new(&self.0, widen(nonce), aad.to_vec())
    }
}

/// The 24 bytes of a table entry, then 8 zeros (FORMAT.md section 4).
fn widen(nonce: &[u8; NONCE_BYTES]) -> [u8; 32] {
    let mut wide = [0; 32];
    wide[..NONCE_BYTES].copy_from_slice(nonce);
    wide
}
