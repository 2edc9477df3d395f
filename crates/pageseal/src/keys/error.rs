//! What can go wrong with keys. No variant carries a secret, or a piece of a file that may hold one.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error of the age crate or of a plugin, kept for its message.
type Cause = Box<dyn Error + Send + Sync>;

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// All identities and passphrases were tried and none opens a slot; so says a wrong passphrase too.
    #[error("no identity or passphrase fits; the file has {slot_types}")]
    NoKeyFits {
        /// What would have fitted.
        slot_types: SlotCounts,
    },
    /// A key is needed and none was given.
    #[error("no identity or passphrase was given")]
    NoIdentities,
    /// A passphrase is needed and there is no terminal to ask on.
    #[error("a passphrase is needed, and there is no terminal to ask for it")]
    NoPassphrase,
    /// The terminal failed while a passphrase was asked for.
    #[error("cannot ask for the passphrase")]
    Prompt {
        /// What the system said.
        source: io::Error,
    },
    /// A slot was opened or looked at, is not what the format says, and no other slot fits.
    #[error("key slot {slot} is damaged or of another file, and no other one fits")]
    SlotMismatch {
        /// Index of the slot, from 0.
        slot: usize,
        /// What is wrong with it.
        #[source]
        flaw: SlotFlaw,
    },
    /// A slot asks for more scrypt work than is accepted; it was not tried, and no other slot fits.
    #[error("the passphrase slot asks for a scrypt work factor of {log_n}; at most {limit} is accepted")]
    ExcessiveWork {
        /// Logarithm of the work that the slot asks for.
        log_n: u8,
        /// Highest logarithm accepted.
        limit: u8,
    },
    /// Together the passphrase slots ask for more scrypt work than is done for one file; the cheapest were tried.
    #[error(
        "{skipped} passphrase slots were not tried, because together they ask for more scrypt work than is accepted; \
         no other slot fits"
    )]
    SlotsSkipped {
        /// How many were not tried.
        skipped: usize,
    },
    /// A passphrase slot needs more memory than there is; it was not tried, and no other slot fits.
    #[error(
        "a passphrase slot needs {needed_bytes} bytes of memory, which are not available; no other slot fits"
    )]
    Memory {
        /// How much it needs.
        needed_bytes: u64,
    },
    /// The thread that a passphrase is tried in could not be started.
    #[error("cannot start a thread")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// The caller asked to stop before a key was found.
    #[error("stopped before a key was found")]
    Cancelled,
    /// An age plugin is missing or failed.
    #[error("the age plugin {name} failed")]
    Plugin {
        /// Name of the plugin, without `age-plugin-`.
        name: String,
        /// What it said.
        source: Cause,
    },
    /// A recipient that cannot be used.
    #[error("unusable recipient{}", shown(input))]
    BadRecipient {
        /// What was given, if it begins like a public key; else it might be a secret.
        input: Option<String>,
        /// Why not.
        #[source]
        flaw: RecipientFlaw,
    },
    /// A file of recipients that cannot be used.
    #[error("cannot use recipients file {}{}", path.display(), at_line(line))]
    RecipientsFile {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1, if one is at fault.
        line: Option<usize>,
        /// Why not.
        #[source]
        flaw: RecipientFlaw,
    },
    /// An identity file that cannot be used.
    #[error("cannot use identity file {}{}", path.display(), at_line(line))]
    IdentityFile {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1, if one is at fault.
        line: Option<usize>,
        /// Why not.
        #[source]
        flaw: IdentityFlaw,
    },
    /// A passphrase file that cannot be used.
    #[error("cannot use passphrase file {}", path.display())]
    PassphraseFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        flaw: PassphraseFlaw,
    },
    /// Sealing under an empty passphrase.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// A file with keys could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file key could not be wrapped for a recipient.
    #[error("cannot wrap the file key for {recipient}")]
    Wrap {
        /// The recipient string, or what stands for it.
        recipient: String,
        /// What failed.
        source: Cause,
    },
    /// A part of a slot is longer than the format allows.
    #[error("the key slot's {part} would be {len_bytes} bytes long, more than {limit_bytes}")]
    SlotTooBig {
        /// Which part.
        part: SlotTooBig,
        /// How long it is, in bytes.
        len_bytes: usize,
        /// The format's limit, in bytes.
        limit_bytes: usize,
    },
    /// A slot's label would steer the terminal that shows it.
    #[error("the key slot's label has control characters")]
    LabelControlCharacters,
    /// The system's random number generator failed.
    #[error("no random numbers from the system")]
    Random {
        /// What the system said.
        source: Cause,
    },
}

/// How many slots of each type a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotCounts {
    /// For age X25519 recipients.
    pub x25519: usize,
    /// For passphrases.
    pub passphrase: usize,
    /// For recipients that age plugins serve.
    pub plugin: usize,
}

impl fmt::Display for SlotCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.x25519, "age recipient"),
            (self.passphrase, "passphrase"),
            (self.plugin, "plugin recipient"),
        ];
        let mut separator = "key slots for ";
        for (count, kind) in kinds.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {kind}{}", if count == 1 { "" } else { "s" })?;
            separator = ", ";
        }
        if separator == ", " { Ok(()) } else { write!(f, "no key slots") }
    }
}

/// What is wrong with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotFlaw {
    /// The age file's header cannot be parsed.
    #[error("it holds no age file of version 1")]
    NotAgeFile,
    /// A passphrase slot without a passphrase, or the other way round.
    #[error("its age file is of another type than the slot says")]
    WrongType,
    /// The age header was changed.
    #[error("the header of its age file was tampered with")]
    ForgedHeader,
    /// The payload of the age file does not authenticate.
    #[error("its age file is damaged")]
    DamagedPayload,
    /// The payload is not 80 bytes long.
    #[error("its age file does not hold 80 bytes")]
    WrongLength,
    /// The payload names another file.
    #[error("it holds the key of another file")]
    OtherFile,
    /// The payload was made for another suite, chunk size or shard.
    #[error("it was made for other header fields")]
    OtherHeader,
}

/// Why a recipient cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipientFlaw {
    /// Neither an age X25519 recipient nor one of a plugin.
    #[error("it is no age recipient (age1...)")]
    Malformed,
    /// An identity where its public key belongs.
    #[error("it is a secret key, not a recipient: give its public key (age1...)")]
    SecretKey,
    /// An SSH public key.
    #[error("SSH keys are not supported as recipients")]
    Ssh,
    /// A file with no recipient in it.
    #[error("it has no recipient in it")]
    Empty,
    /// Not text.
    #[error("it is not UTF-8 text")]
    NotUtf8,
    /// Longer than any recipients file is.
    #[error("it is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit in bytes.
        limit_bytes: usize,
    },
}

/// Why an identity file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityFlaw {
    /// Neither an X25519 identity nor one of a plugin.
    #[error("it is no age identity (AGE-SECRET-KEY-1... or AGE-PLUGIN-...)")]
    Malformed,
    /// A public key where the identity belongs.
    #[error("it is a recipient (public key), not an identity")]
    Recipient,
    /// An SSH private key.
    #[error("SSH keys are not supported as identities")]
    Ssh,
    /// A post-quantum identity, which age calls hybrid.
    #[error("post-quantum age identities are not supported")]
    PostQuantum,
    /// A file with no identity in it.
    #[error("it has no identity in it")]
    Empty,
    /// Not text.
    #[error("it is not UTF-8 text")]
    NotUtf8,
    /// Longer than any identity file is.
    #[error("it is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// It is encrypted, and no passphrase opens it.
    #[error("it is encrypted and the passphrase does not open it")]
    WrongPassphrase,
    /// It is encrypted, and there is no terminal.
    #[error("it is encrypted and there is no terminal to ask for its passphrase")]
    NoPassphrase,
    /// It is encrypted with more scrypt work than is accepted, and was not tried.
    #[error("it asks for a scrypt work factor of {log_n}; at most {limit} is accepted")]
    ExcessiveWork {
        /// Logarithm of the work that it asks for.
        log_n: u8,
        /// Highest logarithm accepted.
        limit: u8,
    },
    /// It is encrypted to a recipient.
    #[error("it is encrypted, but not with a passphrase")]
    NotPassphrase,
    /// It is encrypted, and damaged.
    #[error("it is an encrypted file that cannot be read")]
    Unreadable {
        /// What is wrong with it.
        source: Cause,
    },
}

/// Why a passphrase file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseFlaw {
    /// Nothing in it but perhaps a newline.
    #[error("it is empty")]
    Empty,
    /// Not text.
    #[error("it is not UTF-8 text")]
    NotUtf8,
    /// Longer than any passphrase is: most likely another file.
    #[error("it is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit in bytes.
        limit_bytes: usize,
    },
}

/// A part of a key slot with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotTooBig {
    /// The label.
    Label,
    /// The age file; plugins decide on its length.
    AgeFile,
}

impl fmt::Display for SlotTooBig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SlotTooBig::Label => "label",
            SlotTooBig::AgeFile => "age file",
        })
    }
}

fn at_line(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |number| format!(" at line {number}"))
}

fn shown(input: &Option<String>) -> String {
    input.as_ref().map_or_else(String::new, |text| format!(" {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_like_a_sentence() {
        let text = |x25519, passphrase, plugin| SlotCounts { x25519, passphrase, plugin }.to_string();
        assert_eq!(text(1, 0, 0), "key slots for 1 age recipient");
        assert_eq!(text(2, 1, 3), "key slots for 2 age recipients, 1 passphrase, 3 plugin recipients");
        assert_eq!(text(0, 0, 0), "no key slots");
    }
}
