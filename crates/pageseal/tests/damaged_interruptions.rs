//! Interrupted jobs with a damaged chunk: no command may lead to where nothing goes on any more.

#[macro_use]
mod support;

use std::fs;
use std::path::Path;

use pageseal::{
    Control, Damage, DecryptOptions, EncryptOptions, JobError, JobReport, OpenError, ResumeOptions,
    decrypt_in_place, encrypt_in_place, resume, rollback, verify,
};
use pageseal_format::Limits;
use pageseal_format::journal::{HEADER_LEN, JournalHeader, RING_OFFSET, WindowRecord};
use support::{
    Keys, Recorder, Snapshot, WINDOW, copy_as_killed, folder, interrupt_decrypt, interrupt_encrypt, read_at,
    write_at, write_content,
};

const CHUNK: u64 = 65_536;

fn accepting(decrypt: bool) -> ResumeOptions {
    ResumeOptions { accept_damage: true, decrypt, ..ResumeOptions::default() }
}

fn damage_of(result: Result<JobReport, JobError>, case: &str) -> Damage {
    match result.expect_err(case) {
        JobError::Open(OpenError::Damaged { damage, .. }) => damage,
        other => panic!("{case}: {other:?}"),
    }
}

fn flip(path: &Path, chunk: u64) {
    let offset = chunk * CHUNK + 5;
    let byte = read_at(path, offset, 1)[0];
    write_at(path, offset, &[byte ^ 1]);
}

/// An encrypt with a sealed chunk that does not open cannot become plain again. It is not turned round then, which would be for
/// good, and goes on to where all other chunks are whole.
#[test]
fn an_encrypt_with_a_damaged_chunk_is_not_turned_round() {
    let (place, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let path = place.path().join("file");
    write_content(&path, 8 * WINDOW, 3);
    interrupt_encrypt(&path, &keys, &EncryptOptions::default());
    flip(&path, 3);
    let before = Snapshot::of(place.path());
    for options in [ResumeOptions::default(), accepting(false)] {
        let damage = damage_of(rollback(&path, &keys.identities(), &options, &Control::silent()), "rollback");
        let expected =
            Damage::CannotBeOpened { count: 1, first_chunk: 3, offset: 3 * CHUNK, can_end_sealed: true };
        assert_eq!(damage, expected);
        before.assert_unchanged(place.path(), "rollback");
    }
    // The way that the remedy names.
    let damage =
        damage_of(resume(&path, &keys.identities(), &accepting(false), &Control::silent()), "resume");
    assert_eq!(damage, Damage::Chunk { chunk: 3, offset: 3 * CHUNK });
    let sealed = place.path().join("file.sealed");
    let found =
        verify(&sealed, &keys.identities(), None, &Control::silent()).expect_err("one chunk is damaged");
    assert!(matches!(found, OpenError::Damaged { damage: Damage::Chunk { chunk: 3, .. }, .. }), "{found:?}");
    flip(&sealed, 3);
    verify(&sealed, &keys.identities(), None, &Control::silent()).unwrap();
}

/// The same for a decrypt that cannot become plain: it is sealed again.
#[test]
fn a_decrypt_with_a_damaged_chunk_ends_sealed() {
    let (place, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let path = place.path().join("file");
    write_content(&path, 8 * WINDOW, 4);
    let recipients = std::slice::from_ref(&keys.recipient);
    encrypt_in_place(&path, recipients, &EncryptOptions::default(), &Control::silent()).unwrap();
    let sealed = place.path().join("file.sealed");
    let options = DecryptOptions { verify_first: false, ..DecryptOptions::default() };
    interrupt_decrypt(&sealed, &keys, &options);
    let last = 8 * WINDOW / CHUNK - 1;
    flip(&sealed, last);
    let before = Snapshot::of(place.path());
    let result = resume(&sealed, &keys.identities(), &accepting(true), &Control::silent());
    let damage = damage_of(result, "resume --decrypt");
    assert!(matches!(damage, Damage::CannotBeOpened { count: 1, can_end_sealed: true, .. }), "{damage:?}");
    before.assert_unchanged(place.path(), "resume --decrypt");
    let damage =
        damage_of(rollback(&sealed, &keys.identities(), &accepting(false), &Control::silent()), "rollback");
    assert!(matches!(damage, Damage::Chunk { chunk, .. } if chunk == last), "{damage:?}");
    flip(&sealed, last);
    decrypt_in_place(&sealed, &keys.identities(), &DecryptOptions::default(), &Control::silent()).unwrap();
}

/// The first chunk of the window that was committed last.
fn chunk_in_flight(journal: &Path) -> u64 {
    let bytes = fs::read(journal).unwrap();
    let header = JournalHeader::parse(&bytes[..HEADER_LEN], &Limits::PRODUCTION).unwrap();
    let slots = bytes[RING_OFFSET as usize..].chunks(header.slot_stride as usize);
    let records = slots.filter_map(|slot| WindowRecord::parse(slot, &header).ok());
    records.max_by_key(|record| record.sequence).expect("a window in flight").first_chunk
}

/// Somebody changes a byte of a window in flight. Without the word nothing is changed; with it the job ends, with all other chunks as
/// they should be.
fn damage_in_flight(decrypts: bool) {
    let (place, key_folder, copies) = (folder(), folder(), folder());
    let keys = Keys::new(key_folder.path());
    let (path, sealed) = (place.path().join("file"), place.path().join("file.sealed"));
    let journal = place.path().join("file.pageseal-journal");
    write_content(&path, 8 * WINDOW, 6);
    let content = fs::read(&path).unwrap();
    let recipients = std::slice::from_ref(&keys.recipient);
    let encrypt = |control: &Control<'_>| {
        let options = EncryptOptions { job_key: pageseal::JobKeyMode::Disk, ..EncryptOptions::default() };
        encrypt_in_place(&path, recipients, &options, control).unwrap();
    };
    if decrypts {
        encrypt(&Control::silent());
    }
    let subject = if decrypts { &sealed } else { &path };
    let kept = ["file", "journal"].map(|name| copies.path().join(name));
    let recorder = Recorder::at_first_window({
        let (subject, journal, kept) = (subject.clone(), journal.clone(), kept.clone());
        move || copy_as_killed([&subject, &journal], [&kept[0], &kept[1]], 2)
    });
    let result = if decrypts {
        decrypt_in_place(&sealed, &keys.identities(), &DecryptOptions::default(), &recorder.control())
            .unwrap();
        &path
    } else {
        encrypt(&recorder.control());
        &sealed
    };
    // The same inode, as after a kill.
    fs::rename(result, subject).unwrap();
    fs::copy(&kept[0], subject).unwrap();
    fs::copy(&kept[1], &journal).unwrap();
    let chunk = chunk_in_flight(&journal);
    flip(subject, chunk);
    let before = Snapshot::of(place.path());
    let go_on = |back: bool, options: &ResumeOptions| {
        let act = if back { rollback } else { resume };
        damage_of(act(subject, &keys.identities(), options, &Control::silent()), "goes on")
    };
    let refused = ResumeOptions { decrypt: decrypts, ..ResumeOptions::default() };
    for (back, options) in [(false, &refused), (true, &refused), (false, &accepting(false))] {
        // A decrypt that goes forward needs its own word.
        if decrypts && !back && !options.decrypt {
            continue;
        }
        let damage = go_on(back, options);
        assert!(
            matches!(damage, Damage::NeitherOldNorNew { chunk: found, .. } if found == chunk),
            "{damage:?}"
        );
        before.assert_unchanged(place.path(), "refused");
    }
    let damage = go_on(!decrypts, &accepting(decrypts));
    assert_eq!(damage, Damage::Chunk { chunk, offset: chunk * CHUNK });
    let found = fs::read(&path).unwrap();
    assert_eq!(found.len(), content.len());
    let at = (chunk * CHUNK) as usize..((chunk + 1) * CHUNK) as usize;
    assert!(found[..at.start] == content[..at.start] && found[at.end..] == content[at.end..]);
    assert!(!journal.exists());
}

#[test]
fn an_encrypt_with_a_damaged_window_in_flight_can_be_undone() {
    damage_in_flight(false);
}

#[test]
fn a_decrypt_with_a_damaged_window_in_flight_can_be_ended() {
    damage_in_flight(true);
}
