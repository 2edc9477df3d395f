//! Who may open a sealed file: recipients, identities, passphrases, and the key slots made from them.
//!
//! Everything in here is age's (C2SP `age.md`): recipients and identity files are taken as they are, and
//! each slot holds an ordinary age file that anyone's `age` can unwrap. The slot's layout is in
//! `docs/FORMAT.md`, section 2.2.
//!
//! Secrets are wiped when they are dropped, as far as this side of the age crate can see to it: its
//! encrypting writer, and its plugin identities, are freed without being wiped.

mod error;
mod generate;
mod identities;
mod identity_file;
mod lines;
mod passphrase;
mod passphrase_work;
mod plugin_callbacks;
mod recipients;
mod rfc3339;
mod secret_input;
mod unwrap;
mod wrap;

#[cfg(test)]
mod test_support;

pub use error::{IdentityFlaw, KeyError, PassphraseFlaw, RecipientFlaw, SlotCounts, SlotFlaw, SlotTooBig};
pub use generate::{GeneratedIdentity, generate_identity};
pub use identities::{Identities, IdentitySource};
pub use passphrase::{Passphrase, PassphrasePrompt};
pub use recipients::{Recipient, read_recipients_file};
pub(crate) use unwrap::unwrap_slots;
pub(crate) use wrap::wrap_slot;

/// Length of the plaintext in a slot's age file, in bytes: file key, file id, header hash.
const PAYLOAD_LEN: usize = FILE_KEY_LEN + FILE_ID_LEN + HEADER_HASH_LEN;
const FILE_KEY_LEN: usize = 32;
const FILE_ID_LEN: usize = 16;
const HEADER_HASH_LEN: usize = 32;

const _: () = assert!(PAYLOAD_LEN == 80);
