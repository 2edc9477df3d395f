//! What a key slot says of its recipient, sealed (FORMAT.md section 2.2).

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{OpenError, RandomError};
use crate::message::MessageCipher;
use crate::secret::{MemoryLock, Secret};

/// Seals and opens the information of key slots.
pub struct SlotInfoKey(MessageCipher);

impl SlotInfoKey {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        self.0.lock_with(lock);
    }

    pub(crate) fn new(key: &Secret<32>) -> Self {
        Self(MessageCipher::new(key))
    }

    /// Seals under a fresh nonce: nonce (24 bytes), ciphertext, tag (16 bytes).
    ///
    /// # Errors
    /// [`RandomError`] if the system has no random bytes to give.
    pub fn seal(&self, file_id: &[u8; 16], plaintext: &[u8]) -> Result<Vec<u8>, RandomError> {
        self.0.seal_message(&associated_data(file_id), plaintext)
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// [`OpenError::Authentication`] if it belongs to another key or file or was changed,
    /// [`OpenError::Length`] if it is shorter than 40 bytes.
    pub fn open(&self, file_id: &[u8; 16], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.0.open_message(&associated_data(file_id), sealed)
    }
}

impl fmt::Debug for SlotInfoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotInfoKey").finish_non_exhaustive()
    }
}

fn associated_data(file_id: &[u8; 16]) -> Vec<u8> {
    [b"pageseal slot info v1".as_slice(), file_id].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_untouched_bytes_open_for_their_file() -> Result<(), RandomError> {
        let key = SlotInfoKey::new(&Secret::from_bytes([6; 32]));
        for plaintext in [b"".as_slice(), b"age1 and a date"] {
            let sealed = key.seal(&[1; 16], plaintext)?;
            assert_eq!(sealed.len(), 40 + plaintext.len());
            assert_eq!(key.open(&[1; 16], &sealed).unwrap().as_slice(), plaintext);
            assert!(key.open(&[2; 16], &sealed).is_err());
            for len in 0..sealed.len() {
                let expected_length_error = len < 40;
                let error = key.open(&[1; 16], &sealed[..len]).unwrap_err();
                assert_eq!(matches!(error, OpenError::Length { .. }), expected_length_error);
            }
            for byte in 0..sealed.len() {
                let mut forged = sealed.clone();
                forged[byte] ^= 1;
                assert_eq!(key.open(&[1; 16], &forged).unwrap_err(), OpenError::Authentication);
            }
        }
        Ok(())
    }
}
