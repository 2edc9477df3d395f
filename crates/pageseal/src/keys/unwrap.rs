//! Finding the file key: which slot does which key open?

use std::io::{self, Read};

use age::{DecryptError, Decryptor, plugin};
use pageseal_crypto::FileKey;
use pageseal_format::{Slot, SlotArea, SlotKind};
use zeroize::{Zeroize, Zeroizing};

use crate::control::Cancellation;

use super::error::{KeyError, SlotCounts, SlotFlaw};
use super::identities::Identities;
use super::passphrase::{ACCEPTED_LOG_N, Passphrase};
use super::passphrase_work::{TOTAL_WORK, check_memory, run_stoppably, work_of};
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
/// [`KeyError::NoIdentities`] if there is nothing to try, or only somebody to ask for a passphrase that no
/// slot takes; [`KeyError::Cancelled`]; what the prompt says; else why nothing fits:
/// [`KeyError::SlotMismatch`], [`KeyError::ExcessiveWork`], [`KeyError::SlotsSkipped`], [`KeyError::Memory`],
/// [`KeyError::Plugin`], [`KeyError::NoPassphrase`] or [`KeyError::NoKeyFits`], the first of these that is true.
pub(crate) fn unwrap_slots(
    area: &SlotArea,
    header_hash: &[u8; HEADER_HASH_LEN],
    identities: &Identities,
    cancellation: &Cancellation,
) -> Result<FileKey, KeyError> {
    let passphrase_slots = area.slots.iter().filter(|slot| slot.kind == SlotKind::Passphrase).count();
    // Nobody is asked for a passphrase that fits nowhere.
    if identities.is_empty() || (identities.only_asks() && passphrase_slots == 0) {
        return Err(KeyError::NoIdentities);
    }
    let mut search =
        Search { area, header_hash, cancellation, total_work: TOTAL_WORK, obstacles: Obstacles::default() };
    if let Some(file_key) = search.with_native(identities) {
        return Ok(file_key);
    }
    if let Some(file_key) = search.with_passphrases(&identities.passphrases)? {
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
    cancellation: &'a Cancellation,
    /// Scrypt work that a passphrase is tried with.
    total_work: u64,
    obstacles: Obstacles,
}

/// Why keys were not usable, other than by not fitting; the first of each sort.
#[derive(Default)]
struct Obstacles {
    flaw: Option<(usize, SlotFlaw)>,
    excessive_log_n: Option<u8>,
    /// Slots with a passphrase that were not tried, because the others asked for so much work.
    skipped: usize,
    /// Needed for a slot with a passphrase that was not tried for want of it.
    memory_bytes: Option<u64>,
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

    /// Tries the cheap slots first, so that dear ones that somebody added do not keep the others from being tried.
    fn with_passphrases(&mut self, passphrases: &[Passphrase]) -> Result<Option<FileKey>, KeyError> {
        let mut slots: Vec<_> = self.slots_of(SlotKind::Passphrase).collect();
        slots.sort_by_key(|(_, slot)| work_of(slot));
        for passphrase in passphrases {
            let mut left = self.total_work;
            self.obstacles.skipped = 0;
            for &(index, slot) in &slots {
                let work = work_of(slot);
                let Some(rest) = left.checked_sub(work) else {
                    self.obstacles.skipped += 1;
                    continue;
                };
                left = rest;
                if let Err(needed) = check_memory(work) {
                    self.obstacles.memory_bytes.get_or_insert(needed);
                    continue;
                }
                let (file_id, header_hash) = (self.area.file_id, *self.header_hash);
                let (owned, identity) = (slot.clone(), passphrase.age_identity());
                let opened = run_stoppably(self.cancellation, move || {
                    open_slot(&owned, &[&identity], &file_id, &header_hash)
                })?;
                if let Some(file_key) = self.note(index, opened, "") {
                    return Ok(Some(file_key));
                }
            }
        }
        Ok(None)
    }

    fn with_typed_passphrase(&mut self, identities: &Identities) -> Result<Option<FileKey>, KeyError> {
        if !identities.may_ask || self.slots_of(SlotKind::Passphrase).next().is_none() {
            return Ok(None);
        }
        let Some(passphrase) = identities.typed_passphrase()? else {
            self.obstacles.nobody_to_ask = true;
            return Ok(None);
        };
        self.with_passphrases(&[passphrase])
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
        let opened = open_slot(slot, keys, &self.area.file_id, self.header_hash);
        self.note(index, opened, plugin)
    }

    fn note(&mut self, index: usize, opened: Result<FileKey, Miss>, plugin: &str) -> Option<FileKey> {
        match opened {
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
        if self.skipped > 0 {
            return KeyError::SlotsSkipped { skipped: self.skipped };
        }
        if let Some(needed_bytes) = self.memory_bytes {
            return KeyError::Memory { needed_bytes };
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
