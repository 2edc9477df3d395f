//! Making key slots: the file key, wrapped for one recipient each.

use std::io::{self, Write};

use age::{EncryptError, Encryptor};
use pageseal_crypto::{FileKey, SlotInfoKey};
use pageseal_format::Slot;
use pageseal_format::limits::{MAX_AGE_FILE_LEN, MAX_LABEL_LEN, MAX_SEALED_INFO_LEN, MIN_SEALED_INFO_LEN};
use zeroize::Zeroizing;

use super::error::{KeyError, SlotTooBig};
use super::recipients::Recipient;
use super::{FILE_ID_LEN, FILE_KEY_LEN, HEADER_HASH_LEN, PAYLOAD_LEN};

/// Wraps the file key for one recipient. Takes about a second for a passphrase.
///
/// # Errors
/// [`KeyError::SlotTooBig`] and [`KeyError::LabelControlCharacters`] for a label that the format has no
/// room for, [`KeyError::EmptyPassphrase`], [`KeyError::Plugin`], [`KeyError::Wrap`], [`KeyError::Random`].
pub(crate) fn wrap_slot(
    recipient: &Recipient,
    label: &str,
    file_key: &FileKey,
    file_id: &[u8; FILE_ID_LEN],
    header_hash: &[u8; HEADER_HASH_LEN],
    info_key: &SlotInfoKey,
    now_unix_seconds: u64,
) -> Result<Slot, KeyError> {
    check_label(label)?;
    let mut payload = Zeroizing::new([0; PAYLOAD_LEN]);
    let (key, binding) = payload.split_at_mut(FILE_KEY_LEN);
    key.copy_from_slice(file_key.expose());
    binding[..FILE_ID_LEN].copy_from_slice(file_id);
    binding[FILE_ID_LEN..].copy_from_slice(header_hash);
    Ok(Slot {
        kind: recipient.slot_kind(),
        label: label.to_owned(),
        sealed_info: seal_info(recipient, file_id, info_key, now_unix_seconds)?,
        age_file: wrap_payload(recipient, &payload)?,
    })
}

/// The format refuses such a label too, but only when the whole slot area is written.
fn check_label(label: &str) -> Result<(), KeyError> {
    check_len(SlotTooBig::Label, label.len(), MAX_LABEL_LEN)?;
    if label.chars().any(char::is_control) {
        return Err(KeyError::LabelControlCharacters);
    }
    Ok(())
}

fn check_len(part: SlotTooBig, len_bytes: usize, limit_bytes: usize) -> Result<(), KeyError> {
    if len_bytes > limit_bytes {
        return Err(KeyError::SlotTooBig { part, len_bytes, limit_bytes });
    }
    Ok(())
}

fn wrap_payload(recipient: &Recipient, payload: &[u8; PAYLOAD_LEN]) -> Result<Vec<u8>, KeyError> {
    let failed = |source: EncryptError| KeyError::Wrap {
        recipient: recipient.public_string().unwrap_or_else(|| "a passphrase".to_owned()),
        source: Box::new(source),
    };
    let wrapper = recipient.to_age()?;
    let encryptor = Encryptor::with_recipients(std::iter::once(&*wrapper)).map_err(failed)?;
    let age_file = write_age_file(encryptor, payload).map_err(|error| failed(error.into()))?;
    check_len(SlotTooBig::AgeFile, age_file.len(), MAX_AGE_FILE_LEN)?;
    Ok(age_file)
}

fn write_age_file(encryptor: Encryptor, payload: &[u8; PAYLOAD_LEN]) -> io::Result<Vec<u8>> {
    let mut writer = encryptor.wrap_output(Vec::new())?;
    writer.write_all(payload)?;
    writer.finish()
}

/// Date and recipient. A recipient string that the format has no room for (post-quantum ones are 2000
/// bytes long) is left out with the date: the slot is as good without, but cannot be made anew by a rekey
/// unless the recipient is given again.
fn seal_info(
    recipient: &Recipient,
    file_id: &[u8; FILE_ID_LEN],
    info_key: &SlotInfoKey,
    now_unix_seconds: u64,
) -> Result<Vec<u8>, KeyError> {
    let public = Zeroizing::new(recipient.public_string().unwrap_or_default());
    let date = now_unix_seconds.to_le_bytes();
    if MIN_SEALED_INFO_LEN + date.len() + public.len() > MAX_SEALED_INFO_LEN {
        return Ok(Vec::new());
    }
    let info = Zeroizing::new([&date, public.as_bytes()].concat());
    info_key.seal(file_id, &info).map_err(|source| KeyError::Random { source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use pageseal_format::SlotKind;

    use super::*;
    use crate::keys::generate::generate_identity;
    use crate::keys::test_support::{
        Keys, PLUGIN_RECIPIENT, TAG_RECIPIENT, TEST_LOG_N, long_plugin_recipient, passphrase, scrypt_log_n,
    };

    #[test]
    fn an_age_file_holds_key_id_and_hash() {
        let keys = Keys::new(1);
        let generated = generate_identity();
        let slot = keys.wrap(&Recipient::parse(&generated.public).unwrap()).unwrap();
        let identity: age::x25519::Identity =
            generated.file_contents().lines().last().unwrap().parse().unwrap();
        let payload = age::decrypt(&identity, &slot.age_file).unwrap();
        assert_eq!(payload.len(), 80);
        assert_eq!(payload[..32], keys.file_key.expose()[..]);
        assert_eq!(payload[32..48], keys.file_id);
        assert_eq!(payload[48..], keys.header_hash);
        assert_eq!((slot.kind, slot.label.as_str()), (SlotKind::X25519, ""));
    }

    #[test]
    fn the_info_tells_date_and_recipient() {
        let keys = Keys::new(1);
        let public = generate_identity().public;
        let slot = keys.wrap(&Recipient::parse(&public).unwrap()).unwrap();
        let info = keys.info_key().open(&keys.file_id, &slot.sealed_info).unwrap();
        assert_eq!(info[..8], Keys::NOW.to_le_bytes());
        assert_eq!(info[8..], *public.as_bytes());

        let secret = Recipient::passphrase_with_log_n(passphrase("open sesame"), TEST_LOG_N);
        let slot = keys.wrap(&secret).unwrap();
        let info = keys.info_key().open(&keys.file_id, &slot.sealed_info).unwrap();
        assert_eq!(*info, Keys::NOW.to_le_bytes());
    }

    #[test]
    fn an_overlong_recipient_is_left_out_of_the_info() {
        let keys = Keys::new(1);
        let info = |text: &str| {
            let recipient = Recipient::parse(text).unwrap();
            seal_info(&recipient, &keys.file_id, keys.info_key(), Keys::NOW).unwrap()
        };
        assert_eq!(info(PLUGIN_RECIPIENT).len(), 48 + PLUGIN_RECIPIENT.len());
        assert!(info(&long_plugin_recipient()).is_empty());
    }

    #[test]
    fn passphrases_get_the_work_of_production() {
        let slot = Keys::new(1).wrap(&Recipient::passphrase(passphrase("open sesame"))).unwrap();
        assert_eq!(scrypt_log_n(&slot.age_file), 18);
        assert_eq!(slot.kind, SlotKind::Passphrase);
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        let error = Keys::new(1).wrap(&Recipient::passphrase(passphrase(""))).unwrap_err();
        assert!(matches!(error, KeyError::EmptyPassphrase));
    }

    #[test]
    fn labels_stay_within_the_format() {
        let keys = Keys::new(1);
        let recipient = Recipient::parse(&generate_identity().public).unwrap();
        let label = "ü".repeat(32);
        assert_eq!(keys.wrap_labelled(&recipient, &label).unwrap().label, label);
        let error = keys.wrap_labelled(&recipient, &"x".repeat(65)).unwrap_err();
        assert!(matches!(
            error,
            KeyError::SlotTooBig { part: SlotTooBig::Label, len_bytes: 65, limit_bytes: 64 }
        ));
        let error = keys.wrap_labelled(&recipient, "a\x1b[2J").unwrap_err();
        assert!(matches!(error, KeyError::LabelControlCharacters));
    }

    #[test]
    fn tagged_recipients_are_wrapped_for_without_a_plugin() {
        let slot = Keys::new(1).wrap(&Recipient::parse(TAG_RECIPIENT).unwrap()).unwrap();
        assert_eq!(slot.kind, SlotKind::Plugin);
        assert!(slot.age_file.windows(10).any(|bytes| bytes == b"-> p256tag"));
    }
}
