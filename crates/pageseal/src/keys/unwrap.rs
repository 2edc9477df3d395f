//! Finding the file key: which slot does which key open?

use std::io::{self, Read};

use age::{DecryptError, Decryptor, plugin};
use pageseal_crypto::FileKey;
use pageseal_format::{Slot, SlotArea, SlotKind};
use zeroize::{Zeroize, Zeroizing};

use super::error::{KeyError, SlotCounts, SlotFlaw};
use super::identities::Identities;
use super::passphrase::{ACCEPTED_LOG_N, Passphrase};
use super::plugin_callbacks::PluginCallbacks;
use super::{FILE_ID_LEN, FILE_KEY_LEN, HEADER_HASH_LEN, PAYLOAD_LEN};

/// Unwraps the file key with the first key that fits. Cheap ones come first: X25519, then the passphrases
/// that are at hand (up to seconds each), then one that is typed, then plugins, which may want a finger on
/// a hardware key.
///
/// The slots need not be authenticated yet: what they hold is bound to file id and header hash, and the
/// caller checks the key commitment.
///
/// # Errors
/// [`KeyError::NoIdentities`] if there is nothing to try; what the prompt says; else why nothing fits:
/// [`KeyError::SlotMismatch`], [`KeyError::ExcessiveWork`], [`KeyError::Plugin`],
/// [`KeyError::NoPassphrase`] or [`KeyError::NoKeyFits`], the first of these that is true.
pub(crate) fn unwrap_slots(
    area: &SlotArea,
    header_hash: &[u8; HEADER_HASH_LEN],
    identities: &Identities,
) -> Result<FileKey, KeyError> {
    if identities.is_empty() {
        return Err(KeyError::NoIdentities);
    }
    let mut search = Search { area, header_hash, obstacles: Obstacles::default() };
    if let Some(file_key) = search.with_native(identities) {
        return Ok(file_key);
    }
    if let Some(file_key) = search.with_passphrases(&identities.passphrases) {
        return Ok(file_key);
    }
    if let Some(file_key) = search.with_typed_passphrase(identities)? {
        return Ok(file_key);
    }
    if let Some(file_key) = search.with_plugins(identities) {
        return Ok(file_key);
    }
    Err(search.obstacles.into_error(area))
}

struct Search<'a> {
    area: &'a SlotArea,
    header_hash: &'a [u8; HEADER_HASH_LEN],
    obstacles: Obstacles,
}

/// Why keys were not usable, other than by not fitting; the first of each sort.
#[derive(Default)]
struct Obstacles {
    flaw: Option<(usize, SlotFlaw)>,
    excessive_log_n: Option<u8>,
    plugin: Option<(String, Box<dyn std::error::Error + Send + Sync>)>,
    nobody_to_ask: bool,
}

/// Why one key did not open one slot.
enum Miss {
    NoFit,
    Flaw(SlotFlaw),
    Excessive(u8),
    Plugin(DecryptError),
}

impl Search<'_> {
    fn with_native(&mut self, identities: &Identities) -> Option<FileKey> {
        let native: Vec<&dyn age::Identity> =
            identities.native.iter().map(|identity| identity as _).collect();
        if native.is_empty() {
            return None;
        }
        self.slots_of(SlotKind::X25519).find_map(|(index, slot)| self.attempt(index, slot, &native, ""))
    }

    fn with_passphrases(&mut self, passphrases: &[Passphrase]) -> Option<FileKey> {
        passphrases.iter().find_map(|passphrase| {
            let identity = passphrase.age_identity();
            self.slots_of(SlotKind::Passphrase)
                .find_map(|(index, slot)| self.attempt(index, slot, &[&identity], ""))
        })
    }

    fn with_typed_passphrase(&mut self, identities: &Identities) -> Result<Option<FileKey>, KeyError> {
        if !identities.may_ask || self.slots_of(SlotKind::Passphrase).next().is_none() {
            return Ok(None);
        }
        let Some(passphrase) = identities.typed_passphrase()? else {
            self.obstacles.nobody_to_ask = true;
            return Ok(None);
        };
        Ok(self.with_passphrases(&[passphrase]))
    }

    /// Plugins are given the X25519 slots too: some of them keep ordinary age keys.
    fn with_plugins(&mut self, identities: &Identities) -> Option<FileKey> {
        let callbacks = PluginCallbacks(identities.prompt.clone()?);
        let mut names: Vec<&str> = Vec::new();
        for identity in &identities.plugins {
            if !names.contains(&identity.plugin()) {
                names.push(identity.plugin());
            }
        }
        let slots = self.slots_of(SlotKind::Plugin).chain(self.slots_of(SlotKind::X25519));
        let slots: Vec<_> = slots.collect();
        if slots.is_empty() {
            return None;
        }
        names.into_iter().find_map(|name| {
            let plugin = plugin::IdentityPluginV1::new(name, &identities.plugins, callbacks.clone())
                .map_err(|error| self.obstacles.note_plugin(name, Box::new(error)))
                .ok()?;
            slots.iter().find_map(|(index, slot)| self.attempt(*index, slot, &[&plugin], name))
        })
    }

    fn attempt(
        &mut self,
        index: usize,
        slot: &Slot,
        keys: &[&dyn age::Identity],
        plugin: &str,
    ) -> Option<FileKey> {
        match open_slot(slot, keys, &self.area.file_id, self.header_hash) {
            Ok(file_key) => return Some(file_key),
            Err(Miss::NoFit) => {}
            Err(Miss::Flaw(flaw)) => {
                self.obstacles.flaw.get_or_insert((index, flaw));
            }
            Err(Miss::Excessive(log_n)) => {
                self.obstacles.excessive_log_n.get_or_insert(log_n);
            }
            Err(Miss::Plugin(error)) => self.obstacles.note_plugin(plugin, Box::new(error)),
        }
        None
    }
}

impl<'a> Search<'a> {
    fn slots_of(&self, kind: SlotKind) -> impl Iterator<Item = (usize, &'a Slot)> + use<'a> {
        self.area.slots.iter().enumerate().filter(move |(_, slot)| slot.kind == kind)
    }
}

impl Obstacles {
    fn note_plugin(&mut self, name: &str, error: Box<dyn std::error::Error + Send + Sync>) {
        self.plugin.get_or_insert_with(|| (name.to_owned(), error));
    }

    fn into_error(self, area: &SlotArea) -> KeyError {
        if let Some((slot, flaw)) = self.flaw {
            return KeyError::SlotMismatch { slot, flaw };
        }
        if let Some(log_n) = self.excessive_log_n {
            return KeyError::ExcessiveWork { log_n, limit: ACCEPTED_LOG_N };
        }
        if let Some((name, source)) = self.plugin {
            return KeyError::Plugin { name, source };
        }
        if self.nobody_to_ask {
            return KeyError::NoPassphrase;
        }
        let count = |kind| area.slots.iter().filter(|slot| slot.kind == kind).count();
        KeyError::NoKeyFits {
            slot_types: SlotCounts {
                x25519: count(SlotKind::X25519),
                passphrase: count(SlotKind::Passphrase),
                plugin: count(SlotKind::Plugin),
            },
        }
    }
}

fn open_slot(
    slot: &Slot,
    keys: &[&dyn age::Identity],
    file_id: &[u8; FILE_ID_LEN],
    header_hash: &[u8; HEADER_HASH_LEN],
) -> Result<FileKey, Miss> {
    let decryptor =
        Decryptor::new_buffered(&slot.age_file[..]).map_err(|_| Miss::Flaw(SlotFlaw::NotAgeFile))?;
    if decryptor.is_scrypt() != (slot.kind == SlotKind::Passphrase) {
        return Err(Miss::Flaw(SlotFlaw::WrongType));
    }
    let reader = decryptor.decrypt(keys.iter().copied()).map_err(|error| match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Miss::NoFit
        }
        DecryptError::ExcessiveWork { required, .. } => Miss::Excessive(required),
        DecryptError::InvalidMac => Miss::Flaw(SlotFlaw::ForgedHeader),
        DecryptError::Plugin(_) | DecryptError::PluginResolve(_) | DecryptError::Io(_) => Miss::Plugin(error),
        _ => Miss::Flaw(SlotFlaw::NotAgeFile),
    })?;
    let payload = read_payload(reader).map_err(Miss::Flaw)?;
    let (key, binding) = payload.split_at(FILE_KEY_LEN);
    if binding[..FILE_ID_LEN] != file_id[..] {
        return Err(Miss::Flaw(SlotFlaw::OtherFile));
    }
    if binding[FILE_ID_LEN..] != header_hash[..] {
        return Err(Miss::Flaw(SlotFlaw::OtherHeader));
    }
    let mut bytes = [0; FILE_KEY_LEN];
    bytes.copy_from_slice(key);
    let file_key = FileKey::from_bytes(bytes);
    // An array is copied when it is passed on: this is the copy that is left.
    bytes.zeroize();
    Ok(file_key)
}

/// Reads to the end, which authenticates the end: 80 bytes and no more.
fn read_payload(mut reader: impl Read) -> Result<Zeroizing<[u8; PAYLOAD_LEN]>, SlotFlaw> {
    let mut payload = Zeroizing::new([0; PAYLOAD_LEN]);
    reader.read_exact(&mut payload[..]).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SlotFlaw::WrongLength,
        _ => SlotFlaw::DamagedPayload,
    })?;
    let mut beyond = Zeroizing::new([0; 1]);
    match reader.read(&mut beyond[..]) {
        Ok(0) => Ok(payload),
        Ok(_) => Err(SlotFlaw::WrongLength),
        Err(_) => Err(SlotFlaw::DamagedPayload),
    }
}

#[cfg(test)]
mod tests;
