//! What an age plugin may ask of the user, passed on to the caller's prompt.

use std::sync::Arc;

use age::Callbacks;
use age::secrecy::SecretString;

use super::passphrase::PassphrasePrompt;

/// Passes messages and questions for secrets (PINs) on; declines everything else.
#[derive(Clone)]
pub(super) struct PluginCallbacks(pub(super) Arc<dyn PassphrasePrompt>);

impl Callbacks for PluginCallbacks {
    fn display_message(&self, message: &str) {
        self.0.show(message);
    }

    fn confirm(&self, _message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _description: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        // The protocol has no word for a failed terminal: the plugin hears that there is no answer.
        let answer = self.0.ask(description).ok().flatten()?;
        Some(answer.to_secret_string())
    }
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;

    use super::*;
    use crate::keys::test_support::FakePrompt;

    #[test]
    fn questions_and_messages_reach_the_prompt() {
        let prompt = FakePrompt::answering("1234");
        let callbacks = PluginCallbacks(prompt.clone());
        callbacks.display_message("touch it");
        let answer = callbacks.request_passphrase("PIN of the key").unwrap();
        assert_eq!(answer.expose_secret(), "1234");
        assert_eq!(prompt.log(), ["shown: touch it", "asked: PIN of the key"]);
        assert!(PluginCallbacks(FakePrompt::absent()).request_passphrase("PIN").is_none());
    }
}
