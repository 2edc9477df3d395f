//! HMAC-SHA-256 over metadata and journal records.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::{MemoryLock, Secret};

/// A key for HMAC-SHA-256 (RFC 2104) over `label || body`.
///
/// The label says what kind of block is authenticated, so that no block passes for another. No label
/// may be the beginning of another one followed by that block's first bytes; FORMAT.md's labels all
/// differ before their ends.
#[derive(Debug)]
pub struct MacKey(Secret<32>);

impl MacKey {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        self.0.lock_with(lock);
    }

    pub(crate) fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// The MAC of `body` under `label`.
    #[must_use]
    pub fn mac(&self, label: &[u8], body: &[u8]) -> [u8; 32] {
        hmac_sha256(self.0.bytes(), &[label, body])
    }

    /// Whether `mac` is the MAC of `body` under `label`, in time that tells nothing about the right one.
    #[must_use]
    pub fn verify(&self, label: &[u8], body: &[u8], mac: &[u8; 32]) -> bool {
        self.mac(label, body).ct_eq(mac).into()
    }
}

pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // RFC 2104 allows keys of every length, so there is no failure to report.
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_body_and_key_all_count() {
        let key = MacKey::new(Secret::from_bytes([1; 32]));
        let mac = key.mac(b"label", b"body");
        assert!(key.verify(b"label", b"body", &mac));
        assert!(!key.verify(b"labem", b"body", &mac));
        assert!(!key.verify(b"label", b"bodz", &mac));
        assert!(!MacKey::new(Secret::from_bytes([2; 32])).verify(b"label", b"body", &mac));
        for bit in 0..256 {
            let mut forged = mac;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify(b"label", b"body", &forged));
        }
    }
}
