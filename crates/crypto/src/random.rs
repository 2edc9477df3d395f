//! Random bytes, from the operating system only.

use crate::chunk::NONCE_BYTES;
use crate::error::RandomError;

/// Fills `bytes` from the operating system's generator.
///
/// # Errors
/// [`RandomError`] if the system has none to give; `bytes` must not be used then.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), RandomError> {
    Ok(getrandom::fill(bytes)?)
}

/// A fresh 24-byte nonce. At this length random nonces may be drawn without a counter or a limit
/// that matters: after 2^80 of them under one key the chance of a repetition is 2^-32.
///
/// # Errors
/// [`RandomError`] if the system has no random bytes to give.
pub fn random_nonce() -> Result<[u8; NONCE_BYTES], RandomError> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    Ok(nonce)
}
