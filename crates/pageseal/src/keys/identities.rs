//! Everything that the user gave to open files with.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use age::{plugin, x25519};

use super::error::KeyError;
use super::identity_file::{Identity, read_identity_file};
use super::passphrase::{Passphrase, PassphrasePrompt};

/// Where a key comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IdentitySource {
    /// An age identity file, which may be encrypted with a passphrase.
    File(PathBuf),
    /// A passphrase. It is tried on encrypted identity files too.
    Passphrase(Passphrase),
    /// A passphrase that is asked for when, and only if, it is needed.
    Prompt,
}

/// Keys to open sealed files with. Secrets are wiped when it is dropped; `Debug` shows none.
pub struct Identities {
    pub(super) native: Vec<x25519::Identity>,
    pub(super) plugins: Vec<plugin::Identity>,
    pub(super) passphrases: Vec<Passphrase>,
    /// Serves plugins even when no passphrase may be asked for.
    pub(super) prompt: Option<Arc<dyn PassphrasePrompt>>,
    pub(super) may_ask: bool,
    answer: Mutex<Answer>,
}

/// What the prompt said about the passphrase of sealed files.
enum Answer {
    NotAsked,
    Said(Option<Passphrase>),
}

impl Identities {
    /// No keys: for files whose job key is at hand.
    pub fn none() -> Self {
        Identities {
            native: Vec::new(),
            plugins: Vec::new(),
            passphrases: Vec::new(),
            prompt: None,
            may_ask: false,
            answer: Mutex::new(Answer::NotAsked),
        }
    }

    /// Reads all identity files. `prompt` is asked here only for the passphrases of encrypted ones that
    /// no [`IdentitySource::Passphrase`] opens; [`IdentitySource::Prompt`] asks it later, and at most once.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::IdentityFile`], or what the prompt says.
    pub fn load(
        sources: impl IntoIterator<Item = IdentitySource>,
        prompt: Arc<dyn PassphrasePrompt>,
    ) -> Result<Self, KeyError> {
        let mut identities = Identities::none();
        let mut files = Vec::new();
        for source in sources {
            match source {
                IdentitySource::File(path) => files.push(path),
                IdentitySource::Passphrase(passphrase) => identities.passphrases.push(passphrase),
                IdentitySource::Prompt => identities.may_ask = true,
            }
        }
        for path in files {
            for identity in read_identity_file(&path, &identities.passphrases, &*prompt)? {
                match identity {
                    Identity::X25519(identity) => identities.native.push(identity),
                    Identity::Plugin(identity) => identities.plugins.push(identity),
                }
            }
        }
        identities.prompt = Some(prompt);
        Ok(identities)
    }

    /// Whether there is nothing to open a file with, not even somebody to ask.
    pub fn is_empty(&self) -> bool {
        self.native.is_empty() && self.plugins.is_empty() && self.passphrases.is_empty() && !self.may_ask
    }

    /// Whether no key was given, and there is only somebody to ask for a passphrase.
    pub(super) fn only_asks(&self) -> bool {
        self.may_ask && self.native.is_empty() && self.plugins.is_empty() && self.passphrases.is_empty()
    }

    /// The passphrase that the user types, asked for on the first call only. `None` without a terminal.
    pub(super) fn typed_passphrase(&self) -> Result<Option<Passphrase>, KeyError> {
        // Held while asking, so that two threads do not ask at the same time.
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Answer::Said(said) = &*answer {
            return Ok(said.clone());
        }
        // A prompt that fails is not asked again either.
        *answer = Answer::Said(None);
        let said = match &self.prompt {
            Some(prompt) if self.may_ask => prompt.ask("the sealed file")?,
            _ => None,
        };
        *answer = Answer::Said(said.clone());
        Ok(said)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities")
            .field("native", &self.native.len())
            .field("plugins", &self.plugins.len())
            .field("passphrases", &self.passphrases.len())
            .field("may_ask", &self.may_ask)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generate::generate_identity;
    use crate::keys::test_support::{
        FakePrompt, PLUGIN_IDENTITY, Scratch, TEST_LOG_N, encrypted_with, expose, passphrase,
    };

    #[test]
    fn sources_are_sorted_by_what_they_are() {
        let scratch = Scratch::new();
        let one = scratch.file("one", generate_identity().file_contents().as_bytes());
        let other = scratch.file("other", PLUGIN_IDENTITY.as_bytes());
        let prompt = FakePrompt::absent();
        let sources = [
            IdentitySource::File(one),
            IdentitySource::Passphrase(passphrase("open sesame")),
            IdentitySource::File(other),
        ];
        let identities = Identities::load(sources, prompt.clone()).unwrap();
        assert_eq!(
            format!("{identities:?}"),
            "Identities { native: 1, plugins: 1, passphrases: 1, may_ask: false, .. }"
        );
        assert!(!identities.is_empty());
        assert!(prompt.log().is_empty());
    }

    #[test]
    fn a_passphrase_given_after_the_file_opens_it() {
        let scratch = Scratch::new();
        let contents = generate_identity().file_contents();
        let content = encrypted_with("open sesame", TEST_LOG_N, contents.as_bytes());
        let sources = [
            IdentitySource::File(scratch.file("key", &content)),
            IdentitySource::Passphrase(passphrase("open sesame")),
        ];
        let prompt = FakePrompt::answering("not asked");
        let identities = Identities::load(sources, prompt.clone()).unwrap();
        assert_eq!(identities.native.len(), 1);
        assert!(prompt.log().is_empty());
    }

    #[test]
    fn the_prompt_is_asked_once_and_only_on_demand() {
        let prompt = FakePrompt::answering("open sesame");
        let identities = Identities::load([IdentitySource::Prompt], prompt.clone()).unwrap();
        assert!(prompt.log().is_empty() && !identities.is_empty());
        for _ in 0..2 {
            let typed = identities.typed_passphrase().unwrap().unwrap();
            assert_eq!(expose(&typed), "open sesame");
        }
        assert_eq!(prompt.log(), ["asked: the sealed file"]);
    }

    #[test]
    fn a_failing_prompt_is_not_asked_again() {
        let prompt = FakePrompt::failing();
        let identities = Identities::load([IdentitySource::Prompt], prompt.clone()).unwrap();
        assert!(matches!(identities.typed_passphrase(), Err(KeyError::Prompt { .. })));
        assert!(identities.typed_passphrase().unwrap().is_none());
        assert_eq!(prompt.log().len(), 1);
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(Identities::none().is_empty());
        assert!(Identities::load([], FakePrompt::absent()).unwrap().is_empty());
        assert!(Identities::none().typed_passphrase().unwrap().is_none());
    }

    #[test]
    fn they_can_be_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Identities>();
    }
}
