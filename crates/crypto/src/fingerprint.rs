//! Fingerprints of plaintext blocks (FORMAT.md section 5): how recovery knows the old content again.

use aegis::aegis128x2::Aegis128X2Mac;
use subtle::ConstantTimeEq;

use crate::secret::{MemoryLock, Secret};

/// Bytes of the file that one fingerprint covers; the last block of a file may be shorter.
pub const BLOCK_BYTES: usize = 4096;

const FINGERPRINT_BYTES: usize = 16;

/// The 16-byte MAC of one block of plaintext.
pub type Fingerprint = [u8; FINGERPRINT_BYTES];

/// How many blocks `len` bytes from the start of a block cover.
#[must_use]
pub const fn block_count(len: usize) -> usize {
    len.div_ceil(BLOCK_BYTES)
}

/// Makes fingerprints: AEGIS-128X2 as a MAC (RFC 10032). The nonce is the job sequence and the block
/// index, so equal blocks have unequal fingerprints, and so has the same block in two jobs.
#[derive(Debug)]
pub struct FingerprintKey(Secret<16>);

/// Why blocks are not those that were fingerprinted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// A block has another content than when its fingerprint was taken.
    #[error("block {block} is not what its fingerprint was taken of")]
    Mismatch {
        /// Number of the first such block in the file.
        block: u64,
    },
    /// There are more or fewer fingerprints than blocks.
    #[error("{given} fingerprints given for {blocks} blocks")]
    Count {
        /// Blocks that the bytes cover.
        blocks: usize,
        /// Fingerprints given.
        given: usize,
    },
}

impl FingerprintKey {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        self.0.lock_with(lock);
    }

    pub(crate) fn new(key: Secret<16>) -> Self {
        Self(key)
    }

    /// The fingerprint of one block.
    ///
    /// # Panics
    /// If `plaintext` is longer than [`BLOCK_BYTES`].
    #[must_use]
    pub fn block(&self, job_sequence: u64, block_index: u64, plaintext: &[u8]) -> Fingerprint {
        assert!(plaintext.len() <= BLOCK_BYTES, "longer than a block");
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&job_sequence.to_le_bytes());
        nonce[8..].copy_from_slice(&block_index.to_le_bytes());
        let mut mac = Aegis128X2Mac::<FINGERPRINT_BYTES>::new_with_nonce(self.0.bytes(), &nonce);
        mac.update(plaintext);
        mac.finalize()
    }

    /// The fingerprints of consecutive blocks, `first_block` being the number of the first.
    ///
    /// # Panics
    /// If `out` has not exactly [`block_count`] elements.
    pub fn blocks(&self, job_sequence: u64, first_block: u64, plaintext: &[u8], out: &mut [Fingerprint]) {
        assert_eq!(out.len(), block_count(plaintext.len()), "one fingerprint for each block");
        let blocks = plaintext.chunks(BLOCK_BYTES).zip(first_block..);
        for ((block, index), out) in blocks.zip(out) {
            *out = self.block(job_sequence, index, block);
        }
    }

    /// Whether a block has this fingerprint, compared in constant time.
    #[must_use]
    pub fn verify_block(
        &self,
        job_sequence: u64,
        block_index: u64,
        plaintext: &[u8],
        expected: &Fingerprint,
    ) -> bool {
        self.block(job_sequence, block_index, plaintext).ct_eq(expected).into()
    }

    /// Whether consecutive blocks have these fingerprints.
    ///
    /// # Errors
    /// [`FingerprintError::Mismatch`] with the first block that has not, [`FingerprintError::Count`] if
    /// there is not one fingerprint for each block.
    pub fn verify_blocks(
        &self,
        job_sequence: u64,
        first_block: u64,
        plaintext: &[u8],
        expected: &[Fingerprint],
    ) -> Result<(), FingerprintError> {
        if expected.len() != block_count(plaintext.len()) {
            return Err(FingerprintError::Count {
                blocks: block_count(plaintext.len()),
                given: expected.len(),
            });
        }
        let blocks = plaintext.chunks(BLOCK_BYTES).zip(first_block..);
        for ((bytes, block), expected) in blocks.zip(expected) {
            if !self.verify_block(job_sequence, block, bytes, expected) {
                return Err(FingerprintError::Mismatch { block });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_index_and_content_all_count() {
        let key = FingerprintKey::new(Secret::from_bytes([5; 16]));
        let bytes = vec![0x41; 2 * BLOCK_BYTES + 1];
        let mut prints = [[0; 16]; 3];
        key.blocks(7, 100, &bytes, &mut prints);
        assert_eq!(key.verify_blocks(7, 100, &bytes, &prints), Ok(()));
        assert_ne!(prints[0], prints[1]);
        assert_eq!(prints[2], key.block(7, 102, &[0x41]));
        let mismatch = |block| Err(FingerprintError::Mismatch { block });
        assert_eq!(key.verify_blocks(8, 100, &bytes, &prints), mismatch(100));
        assert_eq!(key.verify_blocks(7, 101, &bytes, &prints), mismatch(101));
        for (position, block) in [(0, 100), (BLOCK_BYTES, 101), (2 * BLOCK_BYTES, 102)] {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert_eq!(key.verify_blocks(7, 100, &changed, &prints), mismatch(block));
        }
        let count = FingerprintError::Count { blocks: 3, given: 2 };
        assert_eq!(key.verify_blocks(7, 100, &bytes, &prints[..2]), Err(count));
    }

    #[test]
    fn a_short_block_is_not_a_block_padded_with_zeros() {
        let key = FingerprintKey::new(Secret::from_bytes([5; 16]));
        assert_ne!(key.block(1, 0, &[0; 31]), key.block(1, 0, &[0; 32]));
        assert_ne!(key.block(1, 0, &[]), key.block(1, 0, &[0]));
    }
}
