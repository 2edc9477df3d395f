//! The state of AEGIS-256X2 as a value that can be copied, for rebuilding mixed chunks only.
//!
//! AEGIS absorbs the plaintext, so the keystream of a byte depends on all plaintext before it. To
//! rebuild a chunk one must try both readings of a sector and go on from either, which takes a state
//! that can be copied and a decryption that has no tag to check. libaegis offers neither, and
//! restarting an encryptor for each 32 bytes is quadratic. So this is the state update of RFC 10032
//! (sections 2.4 and 4), on the AES round of the `aes` crate, which runs in constant time with and without
//! AES instructions.
//!
//! It seals nothing and makes no tags: nothing that it computes leaves the crate unless a keyed
//! fingerprint confirms it. Tests compare it with libaegis.

use aes::Block;
use aes::hazmat::{Block8, cipher_round_par};
use zeroize::{Zeroize, Zeroizing};

/// Bytes that one step encrypts.
pub(crate) const UNIT_BYTES: usize = 32;

/// Both lanes of the six rows V[0] to V[5]: row `i` of lane `j` is block `LANES * i + j`.
const LANES: usize = 2;
const BLOCKS: usize = 6 * LANES;

const C0: [u8; 16] = [
    0x00, 0x01, 0x01, 0x02, 0x03, 0x05, 0x08, 0x0d, 0x15, 0x22, 0x37, 0x59, 0x90, 0xe9, 0x79, 0x62,
];
const C1: [u8; 16] = [
    0xdb, 0x3d, 0x18, 0x55, 0x6d, 0xc2, 0x2f, 0xf1, 0x20, 0x11, 0x31, 0x42, 0x73, 0xb5, 0x28, 0xdd,
];

type Unit = [u8; UNIT_BYTES];

/// Where a sealing stands after some of its plaintext.
#[derive(Clone)]
pub(crate) struct RecoveryState {
    blocks: [Block; BLOCKS],
}

impl RecoveryState {
    pub(crate) fn new(key: &[u8; 32], nonce: &[u8; 32], aad: &[u8]) -> Self {
        let mut state = Self::initialized(key, nonce);
        let (units, rest) = aad.as_chunks::<UNIT_BYTES>();
        for unit in units {
            state.absorb(unit);
        }
        if !rest.is_empty() {
            state.absorb(&padded(rest));
        }
        state
    }

    fn initialized(key: &[u8; 32], nonce: &[u8; 32]) -> Self {
        let (k0, k1) = halves(key);
        let (n0, n1) = halves(nonce);
        let (k0n0, k1n1) = (xor(&k0, &n0), xor(&k1, &n1));
        let rows = [k0n0, k1n1, C1, C0, xor(&k0, &C0), xor(&k1, &C1)];
        let mut state = Self {
            blocks: std::array::from_fn(|i| Block::from(rows[i / LANES])),
        };
        for _ in 0..4 {
            for message in [k0, k1, k0n0, k1n1] {
                state.separate_lanes();
                state.absorb(&both_lanes(&message));
            }
        }
        state
    }

    /// Mixes the lane's number and the highest lane's number into rows 3 and 5.
    fn separate_lanes(&mut self) {
        for row in [3, 5] {
            for lane in 0..LANES {
                let block = &mut self.blocks[LANES * row + lane];
                block[0] ^= lane as u8;
                block[1] ^= (LANES - 1) as u8;
            }
        }
    }

    /// Plaintext of `stored`, which must be the ciphertext that comes next. A length that is no
    /// multiple of [`UNIT_BYTES`] is allowed at the end of the message only.
    pub(crate) fn decrypt(&mut self, stored: &[u8], plaintext: &mut [u8]) {
        debug_assert_eq!(stored.len(), plaintext.len());
        for (stored, plaintext) in stored
            .chunks(UNIT_BYTES)
            .zip(plaintext.chunks_mut(UNIT_BYTES))
        {
            let keystream = self.keystream();
            for (i, byte) in plaintext.iter_mut().enumerate() {
                *byte = stored[i] ^ keystream[i];
            }
            self.absorb(&padded(plaintext));
        }
    }

    /// Goes on over plaintext that is known; the same rule for the length.
    pub(crate) fn follow(&mut self, plaintext: &[u8]) {
        for unit in plaintext.chunks(UNIT_BYTES) {
            self.absorb(&padded(unit));
        }
    }

    /// V[1] ^ V[4] ^ V[5] ^ (V[2] & V[3]) of each lane.
    fn keystream(&self) -> Zeroizing<Unit> {
        let mut keystream = Zeroizing::new([0; UNIT_BYTES]);
        for (lane, out) in keystream.chunks_exact_mut(16).enumerate() {
            let row = |i: usize| &self.blocks[LANES * i + lane];
            for (i, byte) in out.iter_mut().enumerate() {
                *byte = row(1)[i] ^ row(4)[i] ^ row(5)[i] ^ (row(2)[i] & row(3)[i]);
            }
        }
        keystream
    }

    /// Update(M): each row becomes the AES round of the row before it, keyed with itself; the message
    /// goes into row 0.
    fn absorb(&mut self, message: &Unit) {
        let previous = |i: usize| self.blocks[(i + BLOCKS - LANES) % BLOCKS];
        // Twelve rounds in two calls of eight; the last four of the second are idle.
        let mut low = Block8::from_fn(previous);
        let mut high = Block8::from_fn(|i| previous(8 + i % 4));
        cipher_round_par(&mut low, &Block8::from_fn(|i| self.blocks[i]));
        cipher_round_par(&mut high, &Block8::from_fn(|i| self.blocks[8 + i % 4]));
        self.blocks[..8].copy_from_slice(&low);
        self.blocks[8..].copy_from_slice(&high[..BLOCKS - 8]);
        for (block, message) in self.blocks.iter_mut().zip(message.chunks_exact(16)) {
            for (byte, message) in block.iter_mut().zip(message) {
                *byte ^= message;
            }
        }
    }
}

#[cfg(test)]
impl RecoveryState {
    /// The blocks of the state, row by row, for the vectors of the RFC.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(|block| block.as_slice())
    }
}

impl Drop for RecoveryState {
    fn drop(&mut self) {
        for block in &mut self.blocks {
            block.as_mut_slice().zeroize();
        }
    }
}

fn halves(bytes: &[u8; 32]) -> ([u8; 16], [u8; 16]) {
    let (blocks, _) = bytes.as_chunks::<16>();
    (blocks[0], blocks[1])
}

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

fn both_lanes(block: &[u8; 16]) -> Unit {
    std::array::from_fn(|i| block[i % 16])
}

fn padded(bytes: &[u8]) -> Unit {
    let mut unit = [0; UNIT_BYTES];
    unit[..bytes.len()].copy_from_slice(bytes);
    unit
}

#[cfg(test)]
mod tests {
    use aegis::aegis256x2::Aegis256X2;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decrypts_what_libaegis_sealed(
            key: [u8; 32],
            nonce: [u8; 32],
            aad in proptest::collection::vec(any::<u8>(), 0..100),
            plaintext in proptest::collection::vec(any::<u8>(), 0..700),
            known_units in 0usize..22,
        ) {
            let (ciphertext, _) = Aegis256X2::<32>::new(&key, &nonce).encrypt(&plaintext, &aad);
            let known = (known_units * UNIT_BYTES).min(plaintext.len());
            let mut state = RecoveryState::new(&key, &nonce, &aad);
            state.follow(&plaintext[..known]);
            let mut decrypted = vec![0; plaintext.len() - known];
            state.decrypt(&ciphertext[known..], &mut decrypted);
            prop_assert_eq!(&decrypted, &plaintext[known..]);
        }
    }
}
