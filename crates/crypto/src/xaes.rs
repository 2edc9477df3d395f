//! XAES-256-GCM (C2SP `XAES-256-GCM.md`): AES-256-GCM under a key that is derived, for each nonce,
//! from its first half.
//!
//! The derivation is one AES-256 block for each half of the derived key: CMAC of a single whole block,
//! whose subkey K1 depends on the key only and is computed once.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use crate::chunk::NONCE_BYTES;
use crate::error::OpenError;
use crate::secret::{MemoryLock, Secret};

pub(crate) const TAG_BYTES: usize = 16;

/// The part of the nonce that goes into the derived key; the other 12 bytes are the GCM nonce.
const DERIVATION_BYTES: usize = 12;

/// x^128 = x^7 + x^2 + x + 1 in the field that CMAC doubles in (NIST SP 800-38B, section 5.3).
const REDUCTION: u128 = 0b1000_0111;

pub(crate) struct Xaes {
    aes: Box<Aes256>,
    cmac_k1: Secret<16>,
}

impl Xaes {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        lock.lock(&*self.aes);
        self.cmac_k1.lock_with(lock);
    }

    pub(crate) fn new(key: &Secret<32>) -> Self {
        let aes = Box::new(Aes256::new(key.bytes().into()));
        let mut cmac_k1 = Secret::zeroed();
        aes.encrypt_block(cmac_k1.bytes_mut().into());
        double(cmac_k1.bytes_mut());
        Self { aes, cmac_k1 }
    }

    pub(crate) fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], buf: &mut [u8]) -> [u8; TAG_BYTES] {
        let (key, nonce) = self.derive(nonce);
        // It fails beyond 64 GiB only, and nothing here is longer than a chunk.
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), buf)
            .expect("a chunk is within the limit of GCM");
        tag.as_ref().try_into().expect("the tag of AES-256-GCM has 16 bytes")
    }

    /// On failure `buf` holds anything: the caller wipes it.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        tag: &[u8; TAG_BYTES],
        buf: &mut [u8],
    ) -> Result<(), OpenError> {
        let (key, nonce) = self.derive(nonce);
        key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, buf)
            .map(|_| ())
            .map_err(|_| OpenError::Authentication)
    }

    fn derive(&self, nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
        let key = self.derived_key(nonce);
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("32 bytes are a key of AES-256-GCM");
        let mut gcm_nonce = [0; NONCE_BYTES - DERIVATION_BYTES];
        gcm_nonce.copy_from_slice(&nonce[DERIVATION_BYTES..]);
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(gcm_nonce))
    }

    fn derived_key(&self, nonce: &[u8; NONCE_BYTES]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let (halves, _) = key.as_chunks_mut::<16>();
        for (counter, half) in (1u8..).zip(halves) {
            // SP 800-108: 16-bit counter (the high byte first), label "X", zero, context.
            half[..4].copy_from_slice(&[0, counter, b'X', 0]);
            half[4..].copy_from_slice(&nonce[..DERIVATION_BYTES]);
            for (byte, mask) in half.iter_mut().zip(self.cmac_k1.bytes()) {
                *byte ^= mask;
            }
            self.aes.encrypt_block(half.into());
        }
        key
    }
}

/// Multiplies by x in the field of CMAC, without a branch on the secret.
fn double(block: &mut [u8; 16]) {
    // The block is a number with its highest byte first, which is how NIST writes it.
    let mut value = block.iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
    let carry_mask = (value >> 127).wrapping_neg();
    value = (value << 1) ^ (carry_mask & REDUCTION);
    for (i, byte) in block.iter_mut().enumerate() {
        *byte = (value >> (120 - 8 * i)) as u8;
    }
    value.zeroize();
}

#[cfg(test)]
impl Xaes {
    /// K1 and the derived key, for the vectors of the specification.
    pub(crate) fn internals(&self, nonce: &[u8; NONCE_BYTES]) -> ([u8; 16], [u8; 32]) {
        (*self.cmac_k1.bytes(), *self.derived_key(nonce))
    }
}
