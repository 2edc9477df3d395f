//! "Decryption in progress" (CVE-2021-4122 of LUKS2): metadata that was never authenticated made the tool decrypt.

use std::fs;

use pageseal::ErrorClass::{Damaged, Interrupted, NoKey, Refused};
use pageseal_format::journal::{HEADER_LEN, PHASE_LEN, PHASE_OFFSETS};

use crate::place::{Decrypt, Encrypt, LEN, Place, Resume, ResumeDecrypt, Rollback, Verify};
use crate::support::{fix_checksum, layout, read_at, write_at};

/// Both superblock copies with the state *decrypting* and a right checksum.
fn forge_state(place: &Place) {
    let geometry = layout(LEN);
    let mut block = read_at(&place.sealed(), geometry.superblock_a_offset(), 4096);
    block[12] = 3;
    fix_checksum(&mut block);
    for offset in [geometry.superblock_a_offset(), geometry.superblock_b_offset()] {
        write_at(&place.sealed(), offset, &block);
    }
}

/// The journal of the file's own encrypt, made over into one of a decrypt in the given phase, with right checksums.
fn forged_journal(own: &[u8], phase: u8, watermark: u64) -> Vec<u8> {
    let mut journal = own.to_vec();
    journal[10] = 2;
    fix_checksum(&mut journal[..HEADER_LEN]);
    for offset in PHASE_OFFSETS.map(|offset| offset as usize) {
        journal[offset + 32] = phase;
        journal[offset + 33] = 0;
        journal[offset + 40..offset + 48].copy_from_slice(&watermark.to_le_bytes());
        fix_checksum(&mut journal[offset..offset + PHASE_LEN]);
    }
    journal
}

#[test]
fn a_forged_decryption_in_progress_decrypts_nothing() {
    let place = Place::new();
    let content = place.make(LEN);
    let own = place.encrypt_half();
    place.run(Resume, &place.file()).unwrap();
    let sealed = fs::read(place.sealed()).unwrap();

    forge_state(&place);
    let in_between = [(Encrypt, Interrupted), (Decrypt, Interrupted), (Verify, Interrupted)];
    place.assert_refused(&place.sealed(), "state alone", &in_between);
    let no_journal = [(Resume, Damaged), (ResumeDecrypt, Damaged), (Rollback, Damaged)];
    place.assert_refused(&place.sealed(), "state alone", &no_journal);
    let chunks = layout(LEN).chunk_count();
    for (phase, name) in [(1, "CREATED"), (3, "RUNNING"), (4, "DATA_DONE"), (5, "TRUNCATING")] {
        for watermark in [0, 64, chunks] {
            fs::write(place.journal(), forged_journal(&own, phase, watermark)).unwrap();
            let case = format!("{name}, watermark {watermark}");
            place.assert_refused(&place.sealed(), &case, &in_between);
            place.assert_refused(&place.sealed(), &case, &no_journal);
        }
    }
    // FINISHED is believed without a key, so the file must agree, and a file that is in between does not.
    fs::write(place.journal(), forged_journal(&own, 6, chunks)).unwrap();
    let stale = [(Resume, Refused), (ResumeDecrypt, Refused), (Rollback, Refused)];
    place.assert_refused(&place.sealed(), "FINISHED", &stale);
    fs::write(place.sealed(), &sealed).unwrap();
    place.assert_refused(&place.sealed(), "FINISHED, at rest", &stale);

    fs::remove_file(place.journal()).unwrap();
    place.assert_opens(content);
}

#[test]
fn a_forged_decryption_in_progress_needs_a_key_before_anything_else() {
    let place = Place::new();
    let content = place.make(LEN);
    let own = place.encrypt_half();
    place.run(Resume, &place.file()).unwrap();
    let sealed = fs::read(place.sealed()).unwrap();
    forge_state(&place);
    fs::write(place.journal(), forged_journal(&own, 5, layout(LEN).chunk_count())).unwrap();
    let stranger = Place::new();
    let before = crate::support::Snapshot::of(place.path());
    for command in [Resume, ResumeDecrypt, Rollback] {
        let error = stranger.run(command, &place.sealed()).expect_err("no key");
        assert_eq!(error.class(), NoKey, "{command:?}: {error:?}");
        before.assert_unchanged(place.path(), &format!("{command:?} without a key"));
    }
    fs::write(place.sealed(), sealed).unwrap();
    fs::remove_file(place.journal()).unwrap();
    place.assert_opens(content);
}
