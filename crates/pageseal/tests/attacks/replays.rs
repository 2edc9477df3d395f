//! Authentic bytes of another time: every MAC is right.

use std::fs;

use pageseal::ErrorClass::{Damaged, Interrupted, Refused};

use crate::place::{Command, Decrypt, Encrypt, LEN, Place, Resume, ResumeDecrypt, Rollback, Verify};
use crate::support::{layout, read_at, write_at, write_content};

fn trailer_of(place: &Place) -> Vec<u8> {
    let start = layout(LEN).trailer_offset();
    read_at(&place.sealed(), start, (layout(LEN).sealed_len() - start) as usize)
}

fn superblock_of(path: &std::path::Path) -> Vec<u8> {
    read_at(path, layout(LEN).superblock_a_offset(), 4096)
}

fn put_superblocks(path: &std::path::Path, block: &[u8]) {
    for offset in [layout(LEN).superblock_a_offset(), layout(LEN).superblock_b_offset()] {
        write_at(path, offset, block);
    }
}

/// Both of a decrypt that was undone: together they say that the first window is plain. Whoever believed them would go on and
/// throw the table away.
#[test]
fn journal_and_trailer_of_an_aborted_decrypt_are_refused() {
    let place = Place::new();
    let content = place.make(LEN);
    place.encrypt();
    let journal = place.decrypt_half();
    let trailer = trailer_of(&place);
    place.run(Rollback, &place.sealed()).unwrap();
    let at_rest = trailer_of(&place);
    assert_ne!(trailer, at_rest);

    fs::write(place.journal(), &journal).unwrap();
    let journal_alone =
        [(Resume, Refused), (ResumeDecrypt, Refused), (Rollback, Refused), (Decrypt, Refused)];
    place.assert_refused(&place.sealed(), "the journal alone", &journal_alone);

    write_at(&place.sealed(), layout(LEN).trailer_offset(), &trailer);
    let both = [
        (Resume, Refused),
        (ResumeDecrypt, Damaged),
        (Rollback, Damaged),
        (Decrypt, Interrupted),
        (Encrypt, Interrupted),
        (Verify, Interrupted),
    ];
    place.assert_refused(&place.sealed(), "both", &both);

    fs::remove_file(place.journal()).unwrap();
    let trailer_alone =
        [(ResumeDecrypt, Damaged), (Rollback, Damaged), (Decrypt, Interrupted), (Verify, Interrupted)];
    place.assert_refused(&place.sealed(), "the trailer alone", &trailer_alone);

    write_at(&place.sealed(), layout(LEN).trailer_offset(), &at_rest);
    place.assert_opens(content);
}

/// The superblock says that a job is running which was finished long ago, and its journal is there again too.
#[test]
fn an_older_superblock_of_a_running_job_is_refused() {
    let place = Place::new();
    let content = place.make(LEN);
    let journal = place.encrypt_half();
    let encrypting = superblock_of(&place.file());
    place.run(Resume, &place.file()).unwrap();
    let at_rest = superblock_of(&place.sealed());

    write_at(&place.sealed(), layout(LEN).superblock_a_offset(), &encrypting);
    let differ =
        [(Encrypt, Damaged), (Decrypt, Damaged), (Verify, Damaged), (Resume, Damaged), (Rollback, Damaged)];
    place.assert_refused(&place.sealed(), "one copy", &differ);
    fs::write(place.journal(), &journal).unwrap();
    let stale = [(Resume, Refused), (Rollback, Refused)];
    place.assert_refused(&place.sealed(), "one copy, with its journal", &stale);

    put_superblocks(&place.sealed(), &encrypting);
    // The chunks from its watermark on are sealed, and the journal says that they are not.
    let with_journal =
        [(Resume, Damaged), (Rollback, Damaged), (Decrypt, Interrupted), (Verify, Interrupted)];
    place.assert_refused(&place.sealed(), "both copies, with its journal", &with_journal);
    fs::remove_file(place.journal()).unwrap();
    place.assert_refused(&place.sealed(), "both copies", &[(Resume, Damaged), (Rollback, Damaged)]);

    put_superblocks(&place.sealed(), &at_rest);
    place.assert_opens(content);
}

/// The superblock of the file at rest, put over those of a job that runs.
#[test]
fn an_older_superblock_at_rest_does_not_end_a_job() {
    let place = Place::new();
    let content = place.make(LEN);
    place.encrypt();
    let at_rest = superblock_of(&place.sealed());
    place.decrypt_half();
    let decrypting = superblock_of(&place.sealed());

    put_superblocks(&place.sealed(), &at_rest);
    let half_plain = [
        (Resume, Refused),
        (ResumeDecrypt, Refused),
        (Rollback, Refused),
        (Decrypt, Refused),
        (Verify, Damaged),
    ];
    place.assert_refused(&place.sealed(), "both copies", &half_plain);
    let journal = fs::read(place.journal()).unwrap();
    fs::remove_file(place.journal()).unwrap();
    place.assert_refused(
        &place.sealed(),
        "both copies, journal gone",
        &[(Decrypt, Damaged), (Verify, Damaged)],
    );

    put_superblocks(&place.sealed(), &decrypting);
    fs::write(place.journal(), journal).unwrap();
    place.run(Rollback, &place.sealed()).unwrap();
    place.assert_opens(content);
}

/// The trailer of an earlier sealing behind the data of a later one, for the same recipient.
#[test]
fn an_old_trailer_opens_no_new_data() {
    let place = Place::new();
    place.make(LEN);
    place.encrypt();
    let old = trailer_of(&place);
    place.run(Decrypt, &place.sealed()).unwrap();
    let content = write_content(&place.file(), LEN, 78);
    place.encrypt();
    let own = trailer_of(&place);

    write_at(&place.sealed(), layout(LEN).trailer_offset(), &old);
    let damaged: [(Command, _); 2] = [(Verify, Damaged), (Decrypt, Damaged)];
    place.assert_refused(&place.sealed(), "written behind the data", &damaged);
    place.assert_refused(
        &place.sealed(),
        "no job",
        &[(Resume, Refused), (Rollback, Refused), (Encrypt, Refused)],
    );
    let kept = place.elsewhere("trailer");
    fs::write(&kept, &old).unwrap();
    let before = crate::support::Snapshot::of(place.path());
    let silent = pageseal::Control::silent();
    let error = pageseal::import_trailer(&place.sealed(), &kept, &place.identities, &silent).unwrap_err();
    assert_eq!(error.class(), Damaged, "{error:?}");
    before.assert_unchanged(place.path(), "import");

    write_at(&place.sealed(), layout(LEN).trailer_offset(), &own);
    place.assert_opens(content);
}
