//! age identity files, plain or encrypted with a passphrase.

use std::path::Path;

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor, plugin, x25519};
use zeroize::Zeroizing;

use super::error::{IdentityFlaw, KeyError};
use super::lines::{meaningful_lines, starts_with_ignoring_case, utf8_or_line};
use super::passphrase::{ACCEPTED_LOG_N, Passphrase, PassphrasePrompt};
use super::secret_input::{read_secret, read_secret_file};

/// What age accepts too.
const FILE_LIMIT_BYTES: usize = 1 << 24;
const BINARY_MAGIC: &[u8] = b"age-encryption.org/";
const ARMOR_MAGIC: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// One line of an identity file.
pub(super) enum Identity {
    X25519(x25519::Identity),
    Plugin(plugin::Identity),
}

/// A flaw, and the number of the line it is in.
type Flawed = (Option<usize>, IdentityFlaw);

/// Reads the identities of a file. If it is encrypted, `passphrases` are tried first; `prompt` is asked,
/// once, if none of them opens it.
///
/// # Errors
/// [`KeyError::Io`], [`KeyError::IdentityFile`], or what the prompt says.
pub(super) fn read_identity_file(
    path: &Path,
    passphrases: &[Passphrase],
    prompt: &dyn PassphrasePrompt,
) -> Result<Vec<Identity>, KeyError> {
    let unusable = |(line, flaw)| KeyError::IdentityFile { path: path.into(), line, flaw };
    let bytes = read_secret_file(path, FILE_LIMIT_BYTES)?.ok_or_else(|| unusable((None, too_long())))?;
    let content = bytes.trim_ascii_start();
    if !content.starts_with(BINARY_MAGIC) && !content.starts_with(ARMOR_MAGIC) {
        return parse(&bytes).map_err(unusable);
    }
    for passphrase in passphrases {
        match decrypt(content, passphrase) {
            Ok(decrypted) => return parse(&decrypted).map_err(unusable),
            Err(IdentityFlaw::WrongPassphrase) => {}
            Err(flaw) => return Err(unusable((None, flaw))),
        }
    }
    let answer = prompt.ask(&format!("identity file {}", path.display()))?;
    let decrypted = match answer {
        Some(passphrase) => decrypt(content, &passphrase),
        None if passphrases.is_empty() => Err(IdentityFlaw::NoPassphrase),
        None => Err(IdentityFlaw::WrongPassphrase),
    };
    let decrypted = decrypted.map_err(|flaw| unusable((None, flaw)))?;
    parse(&decrypted).map_err(unusable)
}

/// Decrypts an identity file, binary or armored.
fn decrypt(content: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, IdentityFlaw> {
    let unreadable = |error: DecryptError| IdentityFlaw::Unreadable { source: Box::new(error) };
    let decryptor = Decryptor::new(ArmoredReader::new(content)).map_err(unreadable)?;
    if !decryptor.is_scrypt() {
        return Err(IdentityFlaw::NotPassphrase);
    }
    let identity = passphrase.age_identity();
    let reader =
        decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| match error {
            DecryptError::DecryptionFailed => IdentityFlaw::WrongPassphrase,
            DecryptError::ExcessiveWork { required, .. } => {
                IdentityFlaw::ExcessiveWork { log_n: required, limit: ACCEPTED_LOG_N }
            }
            other => unreadable(other),
        })?;
    read_secret(reader, FILE_LIMIT_BYTES)
        .map_err(|error| IdentityFlaw::Unreadable { source: Box::new(error) })?
        .ok_or_else(too_long)
}

fn parse(bytes: &[u8]) -> Result<Vec<Identity>, Flawed> {
    let text = utf8_or_line(bytes).map_err(|line| (Some(line), IdentityFlaw::NotUtf8))?;
    let identities = meaningful_lines(text)
        .map(|(number, line)| parse_line(line).map_err(|flaw| (Some(number), flaw)))
        .collect::<Result<Vec<_>, _>>()?;
    if identities.is_empty() {
        return Err((None, IdentityFlaw::Empty));
    }
    Ok(identities)
}

fn parse_line(line: &str) -> Result<Identity, IdentityFlaw> {
    if let Ok(identity) = line.parse() {
        return Ok(Identity::X25519(identity));
    }
    if let Ok(identity) = line.parse() {
        return Ok(Identity::Plugin(identity));
    }
    let begins = |prefix| starts_with_ignoring_case(line, prefix);
    Err(if begins("age1") {
        IdentityFlaw::Recipient
    } else if begins("AGE-SECRET-KEY-PQ-1") {
        IdentityFlaw::PostQuantum
    } else if line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY") {
        IdentityFlaw::Ssh
    } else {
        IdentityFlaw::Malformed
    })
}

fn too_long() -> IdentityFlaw {
    IdentityFlaw::TooLong { limit_bytes: FILE_LIMIT_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generate::generate_identity;
    use crate::keys::test_support::{
        FakePrompt, PLUGIN_IDENTITY, Scratch, TEST_LOG_N, armored, encrypted_with, passphrase,
        with_claimed_log_n,
    };

    /// The public keys of the file's X25519 identities, and what it cost in questions.
    fn read(content: &[u8], given: &[Passphrase], prompt: &FakePrompt) -> Result<Vec<String>, KeyError> {
        let scratch = Scratch::new();
        let identities = read_identity_file(&scratch.file("key.txt", content), given, prompt)?;
        Ok(identities
            .iter()
            .map(|identity| match identity {
                Identity::X25519(identity) => identity.to_public().to_string(),
                Identity::Plugin(identity) => identity.to_string(),
            })
            .collect())
    }

    fn flaw(content: &[u8], given: &[Passphrase], prompt: &FakePrompt) -> Flawed {
        match read(content, given, prompt).unwrap_err() {
            KeyError::IdentityFile { line, flaw, .. } => (line, flaw),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plain_files_ask_nothing() {
        let prompt = FakePrompt::absent();
        let generated = generate_identity();
        let content = format!("{}\n{PLUGIN_IDENTITY}\r\n", *generated.file_contents());
        let read = read(content.as_bytes(), &[], &prompt).unwrap();
        assert_eq!(read, [generated.public.as_str(), PLUGIN_IDENTITY]);
        assert!(prompt.log().is_empty());
    }

    #[test]
    fn encrypted_files_are_opened_binary_and_armored() {
        let generated = generate_identity();
        let binary = encrypted_with("open sesame", TEST_LOG_N, generated.file_contents().as_bytes());
        for content in [binary.clone(), armored(&binary)] {
            let prompt = FakePrompt::answering("open sesame");
            assert_eq!(read(&content, &[], &prompt).unwrap(), [generated.public.as_str()]);
            assert_eq!(prompt.log().len(), 1);
            assert!(prompt.log()[0].starts_with("asked: identity file /"));

            let silent = FakePrompt::absent();
            let given = [passphrase("another"), passphrase("open sesame")];
            assert_eq!(read(&content, &given, &silent).unwrap(), [generated.public.as_str()]);
            assert!(silent.log().is_empty());
        }
    }

    #[test]
    fn a_wrong_or_missing_passphrase_is_told_apart() {
        let contents = generate_identity().file_contents();
        let content = encrypted_with("open sesame", TEST_LOG_N, contents.as_bytes());
        let wrong = FakePrompt::answering("open barley");
        assert!(matches!(flaw(&content, &[], &wrong), (None, IdentityFlaw::WrongPassphrase)));
        assert_eq!(wrong.log().len(), 1);
        let absent = FakePrompt::absent();
        assert!(matches!(flaw(&content, &[], &absent), (None, IdentityFlaw::NoPassphrase)));
        let given = [passphrase("open barley")];
        assert!(matches!(flaw(&content, &given, &absent), (None, IdentityFlaw::WrongPassphrase)));
    }

    #[test]
    fn excessive_work_is_refused_without_doing_it() {
        let contents = generate_identity().file_contents();
        let content = encrypted_with("open sesame", TEST_LOG_N, contents.as_bytes());
        let content = with_claimed_log_n(&content, 30);
        let (_, flaw) = flaw(&content, &[passphrase("open sesame")], &FakePrompt::absent());
        assert!(matches!(flaw, IdentityFlaw::ExcessiveWork { log_n: 30, limit: 22 }));
    }

    #[test]
    fn damaged_encrypted_files_are_unreadable() {
        let given = [passphrase("open sesame")];
        let contents = generate_identity().file_contents();
        let whole = encrypted_with("open sesame", TEST_LOG_N, contents.as_bytes());
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for content in [&flipped[..], &whole[..whole.len() - 1], &whole[..30]] {
            let (_, flaw) = flaw(content, &given, &FakePrompt::absent());
            assert!(matches!(flaw, IdentityFlaw::Unreadable { .. }), "{flaw:?}");
        }
    }

    #[test]
    fn other_files_are_told_what_they_are() {
        let absent = FakePrompt::absent();
        let generated = generate_identity();
        let flaw = |text: &str| flaw(text.as_bytes(), &[], &absent);
        assert!(matches!(flaw(&generated.public), (Some(1), IdentityFlaw::Recipient)));
        assert!(matches!(flaw("# x\nhello"), (Some(2), IdentityFlaw::Malformed)));
        assert!(matches!(flaw("# nothing"), (None, IdentityFlaw::Empty)));
        assert!(matches!(flaw("AGE-SECRET-KEY-PQ-1ABC"), (Some(1), IdentityFlaw::PostQuantum)));
        let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nxyz";
        assert!(matches!(flaw(ssh), (Some(1), IdentityFlaw::Ssh)));
        let mistyped = generated.file_contents().replace("SECRET-KEY-1", "SECRET-KEY-1Q");
        let error = read(mistyped.as_bytes(), &[], &absent).unwrap_err();
        assert!(!format!("{error:?}").contains("SECRET-KEY-1Q"), "a secret was shown");
        assert!(matches!(flaw(&mistyped), (Some(3), IdentityFlaw::Malformed)));
    }

    #[test]
    fn a_file_encrypted_to_a_recipient_is_refused() {
        let generated = generate_identity();
        let recipient: x25519::Recipient = generated.public.parse().unwrap();
        let content = age::encrypt(&recipient, generated.file_contents().as_bytes()).unwrap();
        let (_, flaw) = flaw(&content, &[passphrase("x")], &FakePrompt::absent());
        assert!(matches!(flaw, IdentityFlaw::NotPassphrase));
    }
}
