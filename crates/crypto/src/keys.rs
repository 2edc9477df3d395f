//! The file key and the keys that are derived from it (FORMAT.md section 3).

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::chunk::ChunkCipher;
use crate::error::RandomError;
use crate::fingerprint::FingerprintKey;
use crate::mac::MacKey;
use crate::random::fill_random;
use crate::secret::{MemoryLock, Secret};
use crate::slot_info::SlotInfoKey;
use crate::suite::Suite;

const SALT: &[u8] = b"pageseal v1";

/// The 32 random bytes that everything in a sealed file hangs on. Wiped when dropped.
#[derive(Debug, Clone)]
pub struct FileKey(Secret<32>);

impl FileKey {
    /// Locks its memory.
    pub fn lock_with(&self, lock: &impl MemoryLock) {
        self.0.lock_with(lock);
    }

    /// A new key from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomError`] if the system has no random bytes to give.
    pub fn random() -> Result<Self, RandomError> {
        Self::filled(fill_random)
    }

    /// A new key whose bytes `fill` draws, in the memory that the key stays in.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn filled<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = Secret::zeroed();
        fill(key.bytes_mut())?;
        Ok(Self(key))
    }

    /// A key that was unwrapped from a slot. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The key itself, to be wrapped. Every copy of it must be wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.bytes()
    }
}

/// The unchanging header fields that go into every derived key, so that none of them can be altered
/// without all keys becoming others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyContext {
    /// The suite of the file.
    pub suite: Suite,
    /// Binary logarithm of the chunk size in bytes.
    pub chunk_log2: u8,
    /// The random id of the file.
    pub file_id: [u8; 16],
}

/// All keys of one sealed file.
#[derive(Debug)]
pub struct DerivedKeys {
    /// Seals and opens chunks.
    pub chunk: ChunkCipher,
    /// MACs of superblock and slot area.
    pub metadata: MacKey,
    /// Seals what a slot says of its recipient.
    pub slot_info: SlotInfoKey,
    /// MACs of the journal.
    pub journal: MacKey,
    /// Fingerprints of plaintext blocks.
    pub fingerprint: FingerprintKey,
    commitment: [u8; 32],
}

impl DerivedKeys {
    /// Locks the memory of all of them.
    pub fn lock_with(&self, lock: &impl MemoryLock) {
        self.chunk.lock_with(lock);
        self.metadata.lock_with(lock);
        self.slot_info.lock_with(lock);
        self.journal.lock_with(lock);
        self.fingerprint.lock_with(lock);
    }

    /// Derives them with HKDF-SHA-256 (RFC 5869), each under a label of its own.
    #[must_use]
    pub fn derive(file_key: &FileKey, context: &KeyContext) -> Self {
        let kdf = Kdf::new(file_key, context);
        Self {
            chunk: ChunkCipher::new(context.suite, &kdf.key(b"chunk"), context.file_id),
            metadata: MacKey::new(kdf.key(b"metadata")),
            slot_info: SlotInfoKey::new(&kdf.key(b"slot info")),
            journal: MacKey::new(kdf.key(b"journal")),
            fingerprint: FingerprintKey::new(kdf.key(b"fingerprint")),
            commitment: *kdf.key(b"commitment").bytes(),
        }
    }

    /// What stands in the superblock so that only this very file key fits the file. Not secret.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        self.commitment
    }

    /// Whether a superblock's commitment is that of this key, compared in constant time. Until it is,
    /// nothing else in the file may be used.
    #[must_use]
    pub fn commitment_matches(&self, stored: &[u8; 32]) -> bool {
        self.commitment.ct_eq(stored).into()
    }
}

struct Kdf<'a> {
    hkdf: Hkdf<Sha256>,
    context: &'a KeyContext,
}

impl<'a> Kdf<'a> {
    fn new(file_key: &FileKey, context: &'a KeyContext) -> Self {
        Self { hkdf: Hkdf::new(Some(SALT), file_key.expose()), context }
    }

    fn key<const N: usize>(&self, label: &[u8]) -> Secret<N> {
        let mut key = Secret::zeroed();
        let header = [self.context.suite.id(), self.context.chunk_log2];
        self.hkdf
            .expand_multi_info(&[label, &header, &self.context.file_id], key.bytes_mut())
            .expect("HKDF-SHA-256 gives up to 8160 bytes");
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::hmac_sha256;

    /// RFC 5869 written out once more, for keys of at most one hash.
    fn expected(file_key: &[u8], label: &[u8], context: &KeyContext) -> [u8; 32] {
        let prk = hmac_sha256(SALT, &[file_key]);
        let header = [context.suite.id(), context.chunk_log2];
        hmac_sha256(&prk, &[label, &header, &context.file_id, &[1]])
    }

    #[test]
    fn keys_are_those_of_rfc_5869_with_the_documented_info() {
        let context = KeyContext { suite: Suite::Xaes256Gcm, chunk_log2: 18, file_id: [3; 16] };
        let file_key = FileKey::from_bytes([4; 32]);
        let kdf = Kdf::new(&file_key, &context);
        for label in ["chunk", "metadata", "slot info", "journal", "commitment"] {
            assert_eq!(
                *kdf.key::<32>(label.as_bytes()).bytes(),
                expected(&[4; 32], label.as_bytes(), &context)
            );
        }
        assert_eq!(
            *kdf.key::<16>(b"fingerprint").bytes(),
            expected(&[4; 32], b"fingerprint", &context)[..16]
        );
    }

    #[test]
    fn no_key_shows_in_debug_output() {
        let file_key = FileKey::from_bytes([0xab; 32]);
        assert_eq!(format!("{file_key:?}"), "FileKey([32 secret bytes])");
    }
}
