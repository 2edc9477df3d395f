//! The wrapping of keys and slot information under every suite, by XChaCha20-Poly1305.
//!
//! Not the code that seals chunks: few bytes do not need its speed, and this is all Rust, which Miri can run.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};

use crate::chunk::NONCE_BYTES;
use crate::error::{OpenError, RandomError};
use crate::random::random_nonce;
use crate::secret::{MemoryLock, Secret};
use zeroize::{Zeroize, Zeroizing};

pub(crate) const TAG_BYTES: usize = 16;

pub(crate) struct MessageCipher(Box<XChaCha20Poly1305>);

impl MessageCipher {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        lock.lock(&*self.0);
    }

    pub(crate) fn new(key: &Secret<32>) -> Self {
        Self(Box::new(XChaCha20Poly1305::new(key.bytes().into())))
    }

    pub(crate) fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], buf: &mut [u8]) -> [u8; TAG_BYTES] {
        // It fails beyond 256 GiB only, and nothing here is longer than a slot's information.
        self.0
            .encrypt_inout_detached(&XNonce::from(*nonce), aad, InOutBuf::from(buf))
            .expect("a message is within the limit of ChaCha20")
            .into()
    }

    /// On failure `buf` still holds what was given, or worse: the caller wipes it.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        tag: &[u8; TAG_BYTES],
        buf: &mut [u8],
    ) -> Result<(), OpenError> {
        self.0
            .decrypt_inout_detached(&XNonce::from(*nonce), aad, InOutBuf::from(buf), &Tag::from(*tag))
            .map_err(|_| OpenError::Authentication)
    }

    /// Seals under a fresh nonce, in the form nonce || ciphertext || tag.
    pub(crate) fn seal_message(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, RandomError> {
        let nonce = random_nonce()?;
        let mut message = Vec::with_capacity(NONCE_BYTES + plaintext.len() + TAG_BYTES);
        message.extend_from_slice(&nonce);
        message.extend_from_slice(plaintext);
        let tag = self.seal(&nonce, aad, &mut message[NONCE_BYTES..]);
        message.extend_from_slice(&tag);
        Ok(message)
    }

    /// Opens nonce || ciphertext || tag.
    pub(crate) fn open_message(&self, aad: &[u8], message: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let too_short =
            OpenError::Length { given: message.len(), min: NONCE_BYTES + TAG_BYTES, max: usize::MAX };
        let (nonce, rest) = message.split_first_chunk::<NONCE_BYTES>().ok_or(too_short.clone())?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(too_short)?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let opened = self.open(nonce, aad, tag, &mut plaintext);
        if opened.is_err() {
            plaintext.zeroize();
        }
        opened.map(|()| plaintext)
    }
}
