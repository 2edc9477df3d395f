//! Slots are ordinary age files: the real `age` command opens one and finds the file key.

mod support;

use std::process::Command;
use std::sync::Arc;

use pageseal::{Control, EncryptOptions, Suite, encrypt_in_place};
use pageseal_crypto::{DerivedKeys, FileKey, KeyContext, header_hash};
use pageseal_format::limits::SLOT_AREA_LEN;
use pageseal_format::{Limits, SlotArea, Superblock};
use pageseal_storage::{BufferedFile, Storage};
use support::{Keys, folder, skip, write_content};

#[test]
fn the_age_command_finds_the_file_key() {
    if !Command::new("age").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("the command age");
    }
    let folder = folder();
    let keys = Keys::new(folder.path());
    let plain = folder.path().join("file");
    write_content(&plain, 100_000, 3);
    let options = EncryptOptions { suite: Some(Suite::Aegis256X2), ..EncryptOptions::default() };
    let recipients = [keys.recipient.clone()];
    let report = encrypt_in_place(&plain, &recipients, &options, &Control::silent()).unwrap();

    let data: Arc<dyn Storage> =
        Arc::new(BufferedFile::new(std::fs::File::open(report.path.unwrap()).unwrap()));
    let len = data.len().unwrap();
    let mut block = [0; 4096];
    data.read_exact_at(&mut block, len - 4096).unwrap();
    let superblock = Superblock::parse(&block, &Limits::PRODUCTION).unwrap();
    let mut area = vec![0; SLOT_AREA_LEN];
    data.read_exact_at(&mut area, superblock.geometry.slot_area_offset(0)).unwrap();
    let slots = SlotArea::parse(&area).unwrap().slots;
    assert_eq!(slots.len(), 1);

    let slot_file = folder.path().join("slot.age");
    std::fs::write(&slot_file, &slots[0].age_file).unwrap();
    let output =
        Command::new("age").arg("-d").arg("-i").arg(&keys.identity_file).arg(&slot_file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let payload = output.stdout;
    assert_eq!(payload.len(), 80);
    assert_eq!(payload[32..48], superblock.file_id);
    assert_eq!(payload[48..], header_hash(Suite::Aegis256X2, 16, &superblock.file_id, 0, 1));
    let file_key = FileKey::from_bytes(payload[..32].try_into().unwrap());
    let context = KeyContext { suite: Suite::Aegis256X2, chunk_log2: 16, file_id: superblock.file_id };
    assert!(DerivedKeys::derive(&file_key, &context).commitment_matches(&superblock.commitment));
}
