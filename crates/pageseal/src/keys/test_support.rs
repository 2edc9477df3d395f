//! What the tests of this module share.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use age::armor::{ArmoredWriter, Format};
use age::secrecy::{ExposeSecret, SecretString};
use pageseal_crypto::{DerivedKeys, FileKey, KeyContext, SlotInfoKey, Suite, header_hash};
use pageseal_format::{Slot, SlotArea};

use super::error::KeyError;
use super::passphrase::{Passphrase, PassphrasePrompt};
use super::recipients::Recipient;
use super::wrap::wrap_slot;

/// Scrypt work that costs nothing.
pub(super) const TEST_LOG_N: u8 = 4;
/// A recipient of a plugin that nobody has.
pub(super) const PLUGIN_RECIPIENT: &str = "age1pagesealtest1wdhk6etzdaj8jttu55j";
pub(super) const PLUGIN_IDENTITY: &str = "AGE-PLUGIN-PAGESEALTEST-1WDHK6ETZDAJ8JSZXPS3";
/// The base point of P-256 (SEC 2, section 2.4.2), compressed, as a tagged recipient.
pub(super) const TAG_RECIPIENT: &str = "age1tag1qd43050juykyy3lchnnw2caygre8wqmasyk7kvaq7jsnj3wcnrpfvt5hxye";

/// 700 zero bytes as a plugin's recipient: longer than the sealed info of a slot.
pub(super) fn long_plugin_recipient() -> String {
    format!("age1pagesealtest1{}dcyrqa", "q".repeat(1120))
}

pub(super) fn passphrase(text: &str) -> Passphrase {
    Passphrase::from_string(text.to_owned())
}

pub(super) fn expose(passphrase: &Passphrase) -> String {
    passphrase.to_secret_string().expose_secret().to_owned()
}

/// The keys of one file; `seed` tells files apart.
pub(super) struct Keys {
    pub(super) file_key: FileKey,
    pub(super) file_id: [u8; 16],
    pub(super) header_hash: [u8; 32],
    derived: DerivedKeys,
}

impl Keys {
    /// 2033-05-18.
    pub(super) const NOW: u64 = 2_000_000_000;

    pub(super) fn new(seed: u8) -> Self {
        let file_key = FileKey::from_bytes([seed; 32]);
        let (suite, chunk_log2, file_id) = (Suite::XChaCha20Poly1305, 16, [seed ^ 0x55; 16]);
        let context = KeyContext { suite, chunk_log2, file_id };
        Keys {
            derived: DerivedKeys::derive(&file_key, &context),
            header_hash: header_hash(suite, chunk_log2, &file_id, 0, 1),
            file_key,
            file_id,
        }
    }

    pub(super) fn info_key(&self) -> &SlotInfoKey {
        &self.derived.slot_info
    }

    pub(super) fn wrap(&self, recipient: &Recipient) -> Result<Slot, KeyError> {
        self.wrap_labelled(recipient, "")
    }

    pub(super) fn wrap_labelled(&self, recipient: &Recipient, label: &str) -> Result<Slot, KeyError> {
        let (id, hash) = (&self.file_id, &self.header_hash);
        wrap_slot(recipient, label, &self.file_key, id, hash, self.info_key(), Self::NOW)
    }

    pub(super) fn area(&self, slots: impl Into<Vec<Slot>>) -> SlotArea {
        SlotArea { file_id: self.file_id, generation: 1, slots: slots.into() }
    }
}

/// A folder for the files of one test, removed at its end.
pub(super) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(super) fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    pub(super) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// Answers questions, and remembers them.
pub(super) struct FakePrompt {
    reply: Reply,
    log: Mutex<Vec<String>>,
}

enum Reply {
    Text(String),
    Nobody,
    Failure,
}

impl FakePrompt {
    pub(super) fn answering(text: &str) -> Arc<Self> {
        Self::with(Reply::Text(text.to_owned()))
    }

    pub(super) fn absent() -> Arc<Self> {
        Self::with(Reply::Nobody)
    }

    pub(super) fn failing() -> Arc<Self> {
        Self::with(Reply::Failure)
    }

    fn with(reply: Reply) -> Arc<Self> {
        Arc::new(FakePrompt { reply, log: Mutex::default() })
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn note(&self, what: &str, text: &str) {
        self.log.lock().unwrap().push(format!("{what}: {text}"));
    }
}

impl PassphrasePrompt for FakePrompt {
    fn ask(&self, what: &str) -> Result<Option<Passphrase>, KeyError> {
        self.note("asked", what);
        match &self.reply {
            Reply::Text(text) => Ok(Some(passphrase(text))),
            Reply::Nobody => Ok(None),
            Reply::Failure => Err(KeyError::Prompt { source: io::Error::other("terminal gone") }),
        }
    }

    fn show(&self, message: &str) {
        self.note("shown", message);
    }
}

/// An age file that a passphrase opens.
pub(super) fn encrypted_with(passphrase: &str, log_n: u8, plaintext: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(log_n);
    age::encrypt(&recipient, plaintext).unwrap()
}

pub(super) fn armored(age_file: &[u8]) -> Vec<u8> {
    let mut writer = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).unwrap();
    writer.write_all(age_file).unwrap();
    writer.finish().unwrap()
}

/// Where the digits of the work factor stand in a passphrase's age file: the last word of the second line.
fn log_n_digits(age_file: &[u8]) -> std::ops::Range<usize> {
    let mut lines = age_file.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap();
    let second = lines.next().unwrap();
    assert!(second.starts_with(b"-> scrypt "));
    let end = first.len() + second.len() - 1;
    let digits = second[..second.len() - 1].iter().rev().take_while(|byte| byte.is_ascii_digit());
    end - digits.count()..end
}

pub(super) fn scrypt_log_n(age_file: &[u8]) -> u8 {
    let digits = &age_file[log_n_digits(age_file)];
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

/// The same age file, but it claims another work factor.
pub(super) fn with_claimed_log_n(age_file: &[u8], log_n: u8) -> Vec<u8> {
    let mut forged = age_file.to_vec();
    forged.splice(log_n_digits(age_file), log_n.to_string().into_bytes());
    forged
}
