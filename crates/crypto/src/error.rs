//! Errors of opening and of drawing random bytes.

/// Why something sealed could not be opened. No plaintext was released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The tag does not fit key, nonce, ciphertext and associated data.
    #[error("authentication failed: the data is not what was sealed with this key")]
    Authentication,
    /// The suite has a 16-byte tag, but the rest of the 32-byte tag field is not zero.
    #[error("the unused bytes of the tag field are not zero")]
    TagPadding,
    /// The input cannot have been sealed: it is shorter than nonce and tag, or longer than a chunk.
    #[error("{given} bytes given, between {min} and {max} expected")]
    Length {
        /// Bytes given.
        given: usize,
        /// Fewest bytes possible.
        min: usize,
        /// Most bytes possible.
        max: usize,
    },
}

/// The operating system gave no random bytes. Nothing may be sealed then.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct RandomError {
    #[from]
    source: getrandom::Error,
}
