//! Passphrases, and how a library without a terminal asks for one.

use std::fmt;
use std::path::Path;

use age::scrypt;
use age::secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::error::{KeyError, PassphraseFlaw};
use super::secret_input::read_secret_file;

/// Logarithm of the scrypt work that new passphrase slots ask for: about a second, 256 MiB.
pub(super) const WRITTEN_LOG_N: u8 = 18;
/// Highest logarithm of scrypt work that is accepted: 4 GiB. A file must not name its price.
pub(super) const ACCEPTED_LOG_N: u8 = 22;
/// A passphrase file longer than this is another file, given by mistake.
const FILE_LIMIT_BYTES: usize = 1 << 20;

/// A passphrase. Wiped when dropped; `Debug` does not show it.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes a passphrase as it is, and wipes the string that it came in.
    pub fn from_string(passphrase: String) -> Self {
        let passphrase = Zeroizing::new(passphrase);
        // From a `&str`: shrinking the string itself to its length could leave a copy behind.
        Passphrase(SecretString::from(passphrase.as_str()))
    }

    /// Reads a passphrase from a file: all of it, less one newline (`\n`) at its end if there is one.
    ///
    /// # Errors
    /// [`KeyError::Io`]; [`KeyError::PassphraseFile`] if the file is empty, longer than 1 MiB or not UTF-8.
    pub fn read_file(path: &Path) -> Result<Self, KeyError> {
        let unusable = |flaw| KeyError::PassphraseFile { path: path.into(), flaw };
        let bytes = read_secret_file(path, FILE_LIMIT_BYTES)?
            .ok_or_else(|| unusable(PassphraseFlaw::TooLong { limit_bytes: FILE_LIMIT_BYTES }))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable(PassphraseFlaw::NotUtf8))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.is_empty() {
            return Err(unusable(PassphraseFlaw::Empty));
        }
        Ok(Passphrase(SecretString::from(text)))
    }

    /// Whether there is nothing in it. Nothing can be sealed with such a passphrase.
    pub fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }

    /// Whether both are the same: to compare what was typed twice.
    pub fn is_same(&self, other: &Passphrase) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }

    pub(super) fn age_recipient(&self, log_n: u8) -> scrypt::Recipient {
        let mut recipient = scrypt::Recipient::new(self.0.clone());
        recipient.set_work_factor(log_n);
        recipient
    }

    pub(super) fn age_identity(&self) -> scrypt::Identity {
        let mut identity = scrypt::Identity::new(self.0.clone());
        identity.set_max_work_factor(ACCEPTED_LOG_N);
        identity
    }

    pub(super) fn to_secret_string(&self) -> SecretString {
        self.0.clone()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Asks somebody for a passphrase. The library has no terminal; its caller may.
pub trait PassphrasePrompt: Send + Sync {
    /// Asks for the passphrase of `what`, which fits into "passphrase of ...". `None` if there is nobody
    /// to ask, as without a terminal.
    ///
    /// # Errors
    /// [`KeyError::Prompt`] if asking failed.
    fn ask(&self, what: &str) -> Result<Option<Passphrase>, KeyError>;

    /// Shows a message of an age plugin, such as "touch your key". Does nothing by default.
    fn show(&self, message: &str) {
        let _ = message;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::test_support::{Scratch, expose};

    fn read(content: &[u8]) -> Result<Passphrase, KeyError> {
        let scratch = Scratch::new();
        Passphrase::read_file(&scratch.file("passphrase", content))
    }

    fn flaw(content: &[u8]) -> PassphraseFlaw {
        match read(content).unwrap_err() {
            KeyError::PassphraseFile { flaw, .. } => flaw,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exactly_one_newline_is_stripped() {
        assert_eq!(expose(&read(b"open sesame").unwrap()), "open sesame");
        assert_eq!(expose(&read(b"open sesame\n").unwrap()), "open sesame");
        assert_eq!(expose(&read(b"open sesame\n\n").unwrap()), "open sesame\n");
        assert_eq!(expose(&read(b" open\nsesame \n").unwrap()), " open\nsesame ");
    }

    #[test]
    fn unusable_files_are_refused() {
        assert_eq!(flaw(b""), PassphraseFlaw::Empty);
        assert_eq!(flaw(b"\n"), PassphraseFlaw::Empty);
        assert_eq!(flaw(b"a\xff"), PassphraseFlaw::NotUtf8);
        assert!(read(&vec![b'x'; 1 << 20]).is_ok());
        assert_eq!(flaw(&vec![b'x'; (1 << 20) + 1]), PassphraseFlaw::TooLong { limit_bytes: 1 << 20 });
    }

    #[test]
    fn debug_does_not_show_it() {
        let passphrase = Passphrase::from_string("open sesame".into());
        assert!(!format!("{passphrase:?}").contains("sesame"));
        assert!(passphrase.is_same(&passphrase.clone()));
        assert!(!passphrase.is_same(&Passphrase::from_string("open sesam".into())));
        assert!(!passphrase.is_empty());
    }
}
