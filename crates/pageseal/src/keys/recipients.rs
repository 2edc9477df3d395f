//! Recipients: whom a file is sealed for.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use age::{NoCallbacks, plugin, tag, tagpq, x25519};
use pageseal_format::SlotKind;

use super::error::{KeyError, RecipientFlaw};
use super::lines::{meaningful_lines, starts_with_ignoring_case, utf8_or_line};
use super::passphrase::{Passphrase, WRITTEN_LOG_N};
use super::secret_input::read_secret_file;

/// What age accepts too.
const FILE_LIMIT_BYTES: usize = 1 << 24;

/// Somebody who will be able to open a file: the holder of an age identity, or of a passphrase.
///
/// ```
/// # use std::str::FromStr;
/// # fn main() -> Result<(), pageseal::KeyError> {
/// let text = "age1ysxuaeqlk7xd8uqsh8lsnfwt9jzzjlqf49ruhpjrrj5yatlcuf7qke4pqe";
/// let recipient = pageseal::Recipient::from_str(text)?;
/// assert_eq!(recipient.public_string().as_deref(), Some(text));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Recipient(Kind);

#[derive(Clone)]
enum Kind {
    X25519(x25519::Recipient),
    /// `age1tag1...`: wrapped without the plugin, unwrapped with it.
    Tag(tag::Recipient),
    /// `age1tagpq1...`, likewise. Boxed, because its key is long.
    TagPq(Box<tagpq::Recipient>),
    Plugin(plugin::Recipient),
    Passphrase {
        passphrase: Passphrase,
        log_n: u8,
    },
}

impl Recipient {
    /// Reads a recipient string: `age1...`, of X25519 or of a plugin. White space around it is ignored.
    ///
    /// # Errors
    /// [`KeyError::BadRecipient`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        parse_line(text).map_err(|flaw| KeyError::BadRecipient {
            input: starts_with_ignoring_case(text, "age1").then(|| text.to_owned()),
            flaw,
        })
    }

    /// The holder of a passphrase.
    pub fn passphrase(passphrase: Passphrase) -> Self {
        Recipient(Kind::Passphrase { passphrase, log_n: WRITTEN_LOG_N })
    }

    /// Scrypt with the work of production takes a second and 256 MiB, each time.
    #[cfg(test)]
    pub(super) fn passphrase_with_log_n(passphrase: Passphrase, log_n: u8) -> Self {
        Recipient(Kind::Passphrase { passphrase, log_n })
    }

    /// The recipient string; `None` for a passphrase.
    pub fn public_string(&self) -> Option<String> {
        match &self.0 {
            Kind::X25519(recipient) => Some(recipient.to_string()),
            Kind::Tag(recipient) => Some(recipient.to_string()),
            Kind::TagPq(recipient) => Some(recipient.to_string()),
            Kind::Plugin(recipient) => Some(recipient.to_string()),
            Kind::Passphrase { .. } => None,
        }
    }

    /// The type of slot that it gets.
    pub(super) fn slot_kind(&self) -> SlotKind {
        match &self.0 {
            Kind::X25519(_) => SlotKind::X25519,
            Kind::Tag(_) | Kind::TagPq(_) | Kind::Plugin(_) => SlotKind::Plugin,
            Kind::Passphrase { .. } => SlotKind::Passphrase,
        }
    }

    /// What the age crate wraps with. Finds the program of a plugin.
    pub(super) fn to_age(&self) -> Result<Box<dyn age::Recipient>, KeyError> {
        Ok(match &self.0 {
            Kind::X25519(recipient) => Box::new(recipient.clone()),
            Kind::Tag(recipient) => Box::new(recipient.clone()),
            Kind::TagPq(recipient) => recipient.clone(),
            Kind::Plugin(recipient) => {
                // A recipient is public: a plugin that must ask something to wrap for one is refused.
                let one = std::slice::from_ref(recipient);
                Box::new(plugin::RecipientPluginV1::new(recipient.plugin(), one, &[], NoCallbacks).map_err(
                    |source| KeyError::Plugin {
                        name: recipient.plugin().to_owned(),
                        source: Box::new(source),
                    },
                )?)
            }
            Kind::Passphrase { passphrase, .. } if passphrase.is_empty() => {
                return Err(KeyError::EmptyPassphrase);
            }
            Kind::Passphrase { passphrase, log_n } => Box::new(passphrase.age_recipient(*log_n)),
        })
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Recipient::parse(text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.public_string() {
            Some(public) => write!(f, "Recipient({public})"),
            None => f.write_str("Recipient(passphrase)"),
        }
    }
}

/// Reads a file of recipients as `age -R` does: one a line, `#` begins a comment.
///
/// # Errors
/// [`KeyError::Io`], [`KeyError::RecipientsFile`] with the number of the first bad line.
pub fn read_recipients_file(path: &Path) -> Result<Vec<Recipient>, KeyError> {
    let unusable = |line, flaw| KeyError::RecipientsFile { path: path.into(), line, flaw };
    // Read like a secret, because an identity file may be given by mistake.
    let bytes = read_secret_file(path, FILE_LIMIT_BYTES)?
        .ok_or_else(|| unusable(None, RecipientFlaw::TooLong { limit_bytes: FILE_LIMIT_BYTES }))?;
    let text = utf8_or_line(&bytes).map_err(|line| unusable(Some(line), RecipientFlaw::NotUtf8))?;
    let recipients = meaningful_lines(text)
        .map(|(number, line)| parse_line(line).map_err(|flaw| unusable(Some(number), flaw)))
        .collect::<Result<Vec<_>, _>>()?;
    if recipients.is_empty() {
        return Err(unusable(None, RecipientFlaw::Empty));
    }
    Ok(recipients)
}

fn parse_line(text: &str) -> Result<Recipient, RecipientFlaw> {
    if let Ok(recipient) = text.parse() {
        return Ok(Recipient(Kind::X25519(recipient)));
    }
    if let Ok(recipient) = text.parse() {
        return Ok(Recipient(Kind::Tag(recipient)));
    }
    if let Ok(recipient) = text.parse() {
        return Ok(Recipient(Kind::TagPq(Box::new(recipient))));
    }
    if let Ok(recipient) = text.parse() {
        return Ok(Recipient(Kind::Plugin(recipient)));
    }
    let begins = |prefix| starts_with_ignoring_case(text, prefix);
    Err(if begins("AGE-SECRET-KEY-") || begins("AGE-PLUGIN-") {
        RecipientFlaw::SecretKey
    } else if begins("ssh-") || begins("ecdsa-sha2-") {
        RecipientFlaw::Ssh
    } else {
        RecipientFlaw::Malformed
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generate::generate_identity;
    use crate::keys::test_support::{PLUGIN_RECIPIENT, Scratch, TAG_RECIPIENT, passphrase};

    fn flaw_of(text: &str) -> (Option<String>, RecipientFlaw) {
        match Recipient::parse(text).unwrap_err() {
            KeyError::BadRecipient { input, flaw } => (input, flaw),
            other => panic!("{other:?}"),
        }
    }

    fn file_flaw(content: &[u8]) -> (Option<usize>, RecipientFlaw) {
        let scratch = Scratch::new();
        match read_recipients_file(&scratch.file("recipients", content)).unwrap_err() {
            KeyError::RecipientsFile { line, flaw, .. } => (line, flaw),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_type_gets_its_slot() {
        let public = generate_identity().public;
        let native = Recipient::parse(&public).unwrap();
        assert_eq!(native.slot_kind(), SlotKind::X25519);
        assert_eq!(native.public_string(), Some(public));
        let plugin = Recipient::parse(PLUGIN_RECIPIENT).unwrap();
        assert_eq!(plugin.slot_kind(), SlotKind::Plugin);
        assert_eq!(plugin.public_string().as_deref(), Some(PLUGIN_RECIPIENT));
        let secret = Recipient::passphrase(passphrase("open sesame"));
        assert_eq!(secret.slot_kind(), SlotKind::Passphrase);
        assert_eq!(secret.public_string(), None);
        assert_eq!(format!("{secret:?}"), "Recipient(passphrase)");
    }

    #[test]
    fn a_wrong_character_is_noticed() {
        let public = generate_identity().public;
        let wrong = if public.ends_with('q') { 'p' } else { 'q' };
        let mistyped = format!("{}{wrong}", &public[..public.len() - 1]);
        assert_eq!(flaw_of(&mistyped), (Some(mistyped.clone()), RecipientFlaw::Malformed));
        assert_eq!(flaw_of("age1"), (Some("age1".into()), RecipientFlaw::Malformed));
        assert_eq!(flaw_of(""), (None, RecipientFlaw::Malformed));
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        let contents = generate_identity().file_contents();
        let secret = contents.lines().last().unwrap();
        for text in [secret, &secret.to_lowercase(), &secret[..40]] {
            let error = Recipient::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(&text[20..30]), "{error:?}");
            assert_eq!(flaw_of(text), (None, RecipientFlaw::SecretKey));
        }
        assert_eq!(flaw_of("AGE-PLUGIN-YUBIKEY-1XYZ"), (None, RecipientFlaw::SecretKey));
        assert_eq!(flaw_of("correct horse").0, None);
        assert_eq!(flaw_of("ssh-ed25519 AAAA").1, RecipientFlaw::Ssh);
    }

    #[test]
    fn a_file_has_one_a_line() {
        let (one, other) = (generate_identity().public, generate_identity().public);
        let content = format!("# team\r\n{one}\r\n\n  {other}\n{PLUGIN_RECIPIENT}");
        let scratch = Scratch::new();
        let read = read_recipients_file(&scratch.file("recipients", content.as_bytes())).unwrap();
        let strings: Vec<_> = read.iter().filter_map(Recipient::public_string).collect();
        assert_eq!(strings, [one.as_str(), other.as_str(), PLUGIN_RECIPIENT]);
    }

    #[test]
    fn a_bad_line_is_numbered() {
        let generated = generate_identity();
        let good = format!("# a comment\n\n{}\n", generated.public);
        let with = |last: &str| file_flaw(format!("{good}{last}").as_bytes());
        assert_eq!(with("age1nonsense"), (Some(4), RecipientFlaw::Malformed));
        assert_eq!(with("\nssh-rsa AAAA"), (Some(5), RecipientFlaw::Ssh));
        let identity_file = generated.file_contents();
        assert_eq!(file_flaw(identity_file.as_bytes()), (Some(3), RecipientFlaw::SecretKey));
        assert_eq!(file_flaw(b"# x\n\xff"), (Some(2), RecipientFlaw::NotUtf8));
        assert_eq!(file_flaw(b"# nobody\n"), (None, RecipientFlaw::Empty));
        assert_eq!(file_flaw(b""), (None, RecipientFlaw::Empty));
    }

    #[test]
    fn a_missing_plugin_is_named() {
        let Err(error) = Recipient::parse(PLUGIN_RECIPIENT).unwrap().to_age() else {
            panic!("there is no such plugin");
        };
        assert!(matches!(error, KeyError::Plugin { name, .. } if name == "pagesealtest"));
    }

    #[test]
    fn tagged_recipients_need_no_plugin_to_wrap_for() {
        let recipient = Recipient::parse(TAG_RECIPIENT).unwrap();
        assert_eq!(recipient.slot_kind(), SlotKind::Plugin);
        assert_eq!(recipient.public_string().as_deref(), Some(TAG_RECIPIENT));
        assert!(recipient.to_age().is_ok());
    }
}
