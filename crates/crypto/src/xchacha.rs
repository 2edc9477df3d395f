//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): ChaCha20-Poly1305 under a key that HChaCha20 derives,
//! for each nonce, from its first 16 bytes.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use chacha20::{R20, hchacha};
use zeroize::Zeroizing;

use crate::chunk::NONCE_BYTES;
use crate::error::OpenError;
use crate::secret::{MemoryLock, Secret};

pub(crate) const TAG_BYTES: usize = 16;

/// The part of the nonce that goes into the derived key; the other 8 bytes end the nonce of ChaCha20.
const DERIVATION_BYTES: usize = 16;

pub(crate) struct XChaCha(Secret<32>);

impl XChaCha {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        self.0.lock_with(lock);
    }

    pub(crate) fn new(key: &Secret<32>) -> Self {
        Self(key.clone())
    }

    pub(crate) fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], buf: &mut [u8]) -> [u8; TAG_BYTES] {
        let (key, nonce) = self.derive(nonce);
        // It fails beyond 256 GiB only, and nothing here is longer than a chunk.
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), buf)
            .expect("a chunk is within the limit of ChaCha20");
        tag.as_ref().try_into().expect("the tag of Poly1305 has 16 bytes")
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
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).expect("32 bytes are a key of ChaCha20");
        let mut ietf_nonce = [0; NONCE_LEN];
        ietf_nonce[NONCE_LEN - (NONCE_BYTES - DERIVATION_BYTES)..]
            .copy_from_slice(&nonce[DERIVATION_BYTES..]);
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(ietf_nonce))
    }

    fn derived_key(&self, nonce: &[u8; NONCE_BYTES]) -> Zeroizing<[u8; 32]> {
        let mut input = [0; DERIVATION_BYTES];
        input.copy_from_slice(&nonce[..DERIVATION_BYTES]);
        Zeroizing::new(hchacha::<R20>(self.0.bytes().into(), &input.into()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageCipher;

    const AAD: &[u8] = b"72 bytes are what a chunk has, and this is another length";
    const KEY: [u8; 32] = [0x5e; 32];

    fn noise(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect()
    }

    /// Where whole blocks of ChaCha20 and Poly1305 end, and where the assembly changes from one way to another.
    fn lengths() -> impl Iterator<Item = usize> {
        let ends = (1..=20).map(|blocks| blocks * 64).chain([16, 4096, 64 << 10, 1 << 20]);
        ends.flat_map(|end| [end - 1, end, end + 1]).chain(0..=130)
    }

    #[test]
    fn both_implementations_seal_to_the_same_bytes() {
        let (ours, other) =
            (XChaCha::new(&Secret::from_bytes(KEY)), MessageCipher::new(&Secret::from_bytes(KEY)));
        for len in lengths() {
            for aad in [&[][..], &AAD[..16], AAD] {
                let nonce = std::array::from_fn(|i| (len >> (i % 8)) as u8 ^ i as u8);
                let plaintext = noise(len);
                let (mut sealed, mut expected) = (plaintext.clone(), plaintext.clone());
                let tag = ours.seal(&nonce, aad, &mut sealed);
                assert_eq!(tag, other.seal(&nonce, aad, &mut expected), "{len}");
                assert!(sealed == expected, "{len}");
                ours.open(&nonce, aad, &tag, &mut sealed).unwrap();
                assert!(sealed == plaintext, "{len}");
                other.open(&nonce, aad, &tag, &mut expected).unwrap();
                assert!(expected == plaintext, "{len}");
            }
        }
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused() {
        let cipher = XChaCha::new(&Secret::from_bytes(KEY));
        let nonce = [3; NONCE_BYTES];
        for len in [0, 1, 15, 16, 63, 64, 65, 1000, (64 << 10) - 1, 64 << 10] {
            let mut sealed = noise(len);
            let tag = cipher.seal(&nonce, AAD, &mut sealed);
            let refused = |nonce: &_, aad: &[u8], tag: &_, sealed: &[u8]| {
                let opened = cipher.open(nonce, aad, tag, &mut sealed.to_vec());
                assert_eq!(opened, Err(OpenError::Authentication), "{len}");
            };
            for bit in 0..8 * TAG_BYTES {
                refused(&nonce, AAD, &flipped(tag, bit), &sealed);
            }
            for bit in 0..8 * NONCE_BYTES {
                refused(&flipped(nonce, bit), AAD, &tag, &sealed);
            }
            refused(&nonce, &AAD[1..], &tag, &sealed);
            for place in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|place| *place < len) {
                sealed[place] ^= 0x10;
                refused(&nonce, AAD, &tag, &sealed);
                sealed[place] ^= 0x10;
            }
            cipher.open(&nonce, AAD, &tag, &mut sealed).unwrap();
            assert!(sealed == noise(len), "{len}");
        }
    }

    fn flipped<const N: usize>(mut bytes: [u8; N], bit: usize) -> [u8; N] {
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }

    /// draft-irtf-cfrg-xchacha-03, section 2.2.1.
    #[test]
    fn the_derived_key_is_that_of_the_draft() {
        let cipher = XChaCha::new(&Secret::from_bytes(std::array::from_fn(|i| i as u8)));
        let mut nonce = [0xff; NONCE_BYTES];
        nonce[..DERIVATION_BYTES]
            .copy_from_slice(&[0, 0, 0, 0x09, 0, 0, 0, 0x4a, 0, 0, 0, 0, 0x31, 0x41, 0x59, 0x27]);
        let expected = [
            0x82, 0x41, 0x3b, 0x42, 0x27, 0xb2, 0x7b, 0xfe, 0xd3, 0x0e, 0x42, 0x50, 0x8a, 0x87, 0x7d, 0x73,
            0xa0, 0xf9, 0xe4, 0xd5, 0x8a, 0x74, 0xa8, 0x53, 0xc1, 0x2e, 0xc4, 0x13, 0x26, 0xd3, 0xec, 0xdc,
        ];
        assert_eq!(*cipher.derived_key(&nonce), expected);
    }
}
