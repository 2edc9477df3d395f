//! The job key: lets an interrupted job go on without the recipient's identity (FORMAT.md section 6.2).

use crate::chunk::NONCE_BYTES;
use crate::error::{OpenError, RandomError};
use crate::keys::FileKey;
use crate::message::{self, MessageCipher};
use crate::random::fill_random;
use crate::secret::Secret;
use zeroize::Zeroize;

/// Bytes of a file key wrapped under a job key: nonce, ciphertext, tag.
pub const WRAPPED_FILE_KEY_BYTES: usize = NONCE_BYTES + 32 + message::TAG_BYTES;

const _: () = assert!(WRAPPED_FILE_KEY_BYTES == 72);

/// 32 random bytes that belong to one job and wrap its file key. Wiped when dropped.
#[derive(Debug, Clone)]
pub struct JobKey(Secret<32>);

impl JobKey {
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

    /// A key that was kept somewhere. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The key itself, to be kept. Every copy of it must be wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.bytes()
    }

    /// Wraps the file key for this job and file, under a fresh nonce.
    ///
    /// # Errors
    /// [`RandomError`] if the system has no random bytes to give.
    pub fn wrap(
        &self,
        job_id: &[u8; 16],
        file_id: &[u8; 16],
        file_key: &FileKey,
    ) -> Result<[u8; WRAPPED_FILE_KEY_BYTES], RandomError> {
        let message =
            MessageCipher::new(&self.0).seal_message(&associated_data(job_id, file_id), file_key.expose())?;
        let mut wrapped = [0; WRAPPED_FILE_KEY_BYTES];
        wrapped.copy_from_slice(&message);
        Ok(wrapped)
    }

    /// Unwraps the file key of this job and file.
    ///
    /// # Errors
    /// [`OpenError::Authentication`] if it was wrapped under another key, for another job or file, or
    /// changed.
    pub fn unwrap(
        &self,
        job_id: &[u8; 16],
        file_id: &[u8; 16],
        wrapped: &[u8; WRAPPED_FILE_KEY_BYTES],
    ) -> Result<FileKey, OpenError> {
        let plaintext =
            MessageCipher::new(&self.0).open_message(&associated_data(job_id, file_id), wrapped)?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&plaintext);
        let file_key = FileKey::from_bytes(bytes);
        bytes.zeroize();
        Ok(file_key)
    }
}

fn associated_data(job_id: &[u8; 16], file_id: &[u8; 16]) -> Vec<u8> {
    [b"pageseal job key v1".as_slice(), job_id, file_id].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapping_is_bound_to_key_job_and_file() -> Result<(), RandomError> {
        let file_key = FileKey::random()?;
        let key = JobKey::random()?;
        let wrapped = key.wrap(&[1; 16], &[2; 16], &file_key)?;
        let unwrapped = key.unwrap(&[1; 16], &[2; 16], &wrapped);
        assert_eq!(unwrapped.unwrap().expose(), file_key.expose());
        assert!(key.unwrap(&[0; 16], &[2; 16], &wrapped).is_err());
        assert!(key.unwrap(&[1; 16], &[0; 16], &wrapped).is_err());
        let other = JobKey::random()?;
        assert!(other.unwrap(&[1; 16], &[2; 16], &wrapped).is_err());
        for byte in 0..wrapped.len() {
            let mut forged = wrapped;
            forged[byte] ^= 0x10;
            assert!(key.unwrap(&[1; 16], &[2; 16], &forged).is_err());
        }
        Ok(())
    }
}
