//! Reading AEGIS-256X2 without its tag, for rebuilding mixed chunks only.
//!
//! AEGIS absorbs the plaintext, so the keystream of a byte depends on all plaintext before it, and
//! libaegis shows no plaintext before the tag is checked, which a mixed chunk cannot pass. But an
//! encryptor that was fed all plaintext before a unit and then gets zeros puts out that unit's
//! keystream. The zeros spoil it for what follows, so each unit takes a new encryptor, fed from byte
//! 0: quadratic, which is the price of leaving the cipher's state to the library that is reviewed for
//! it.
//!
//! It seals nothing and makes no tags: nothing that it computes leaves the crate unless a keyed
//! fingerprint confirms it.

use aegis::aegis256x2::Aegis256X2;
use zeroize::Zeroizing;

use crate::aegis256x2::TAG_BYTES;
use crate::secret::Secret;

/// Bytes that one step encrypts.
pub(crate) const UNIT_BYTES: usize = 32;

/// Encryptors give as much as they take, and the ciphertext of known plaintext is of no use. Pieces
/// that stay in the first-level cache are faster than writing it out for a whole chunk.
const SINK_BYTES: usize = 8192;

/// One sealing, of which any part can be read if all plaintext before that part is known.
pub(crate) struct AegisRecovery<'a> {
    key: &'a Secret<32>,
    nonce: [u8; 32],
    aad: Vec<u8>,
    sink: Zeroizing<Vec<u8>>,
}

impl<'a> AegisRecovery<'a> {
    pub(crate) fn new(key: &'a Secret<32>, nonce: [u8; 32], aad: Vec<u8>) -> Self {
        Self { key, nonce, aad, sink: Zeroizing::new(vec![0; SINK_BYTES]) }
    }

    /// Turns `stored` into plaintext, placed at `start`, a multiple of [`UNIT_BYTES`]. `chunk` must hold
    /// plaintext up to there and reach to where the plaintext of `stored` ends.
    pub(crate) fn read(&mut self, chunk: &mut [u8], start: usize, stored: &[u8]) {
        debug_assert!(start.is_multiple_of(UNIT_BYTES));
        for (i, stored) in stored.chunks(UNIT_BYTES).enumerate() {
            let (known, unread) = chunk.split_at_mut(start + i * UNIT_BYTES);
            let keystream = self.keystream_after(known);
            for ((byte, stored), mask) in unread.iter_mut().zip(stored).zip(keystream.iter()) {
                *byte = stored ^ mask;
            }
        }
    }

    fn keystream_after(&mut self, known: &[u8]) -> Zeroizing<[u8; UNIT_BYTES]> {
        let cipher = Aegis256X2::<TAG_BYTES>::new(self.key.bytes(), &self.nonce);
        let mut encryptor = cipher.encryptor(&self.aad);
        for piece in known.chunks(SINK_BYTES) {
            encryptor.update(piece, &mut self.sink[..piece.len()]);
        }
        // Zeros XOR keystream.
        let mut keystream = Zeroizing::new([0; UNIT_BYTES]);
        encryptor.update_in_place(keystream.as_mut_slice());
        keystream
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_what_libaegis_sealed(
            key: [u8; 32],
            nonce: [u8; 32],
            aad in proptest::collection::vec(any::<u8>(), 0..100),
            plaintext in proptest::collection::vec(any::<u8>(), 0..2 * SINK_BYTES + 700),
            tail_units in 0usize..30,
        ) {
            let (ciphertext, _) = Aegis256X2::<32>::new(&key, &nonce).encrypt(&plaintext, &aad);
            let units = plaintext.len() / UNIT_BYTES;
            let start = units.saturating_sub(tail_units) * UNIT_BYTES;
            let mut chunk = plaintext.clone();
            chunk[start..].fill(0xee);
            let key = Secret::from_bytes(key);
            AegisRecovery::new(&key, nonce, aad).read(&mut chunk, start, &ciphertext[start..]);
            prop_assert_eq!(chunk, plaintext);
        }
    }
}
