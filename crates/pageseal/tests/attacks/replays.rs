//! Authentic bytes of another time: every MAC is right.

use std::fs;

use std::path::PathBuf;
use std::sync::Mutex;

use pageseal::ErrorClass::{Damaged, Interrupted, Refused};
use pageseal::{
    Cancellation, Control, Damage, DecryptOptions, JobError, OpenError, Progress, ResumeOptions, Stage,
};
use pageseal_format::journal::{PHASE_LEN, PHASE_OFFSETS};

use crate::place::{Command, Decrypt, Encrypt, LEN, Place, Resume, ResumeDecrypt, Rollback, Verify};
use crate::support::{digest, flip, layout, read_at, write_at, write_content};

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
    let trailer_alone = [(ResumeDecrypt, Damaged), (Decrypt, Interrupted), (Verify, Interrupted)];
    place.assert_refused(&place.sealed(), "the trailer alone", &trailer_alone);

    // Without a journal every chunk is authenticated under that trailer, and only the superblocks are written: so the file
    // is sealed again, with the same content, as it was before.
    place.run(Rollback, &place.sealed()).unwrap();
    place.run(Verify, &place.sealed()).unwrap();
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

/// Copies the journal of a decrypt when no window of it is committed yet, and stops it at the first one.
struct Copier {
    journal: PathBuf,
    copied: Mutex<Vec<u8>>,
    cancellation: Cancellation,
}

impl Progress for Copier {
    fn stage(&self, stage: Stage, _total_bytes: u64, _done_bytes: u64) {
        if stage == Stage::Decrypting {
            *self.copied.lock().unwrap() = fs::read(&self.journal).unwrap();
        }
    }

    fn advance(&self, _bytes: u64) {
        if !self.copied.lock().unwrap().is_empty() {
            self.cancellation.cancel();
        }
    }
}

/// The journal as it was when no chunk was opened yet says that there is nothing to take back. Believed, plaintext would be called
/// sealed and the journal that knows better thrown away. (Found by the fuzzer, which destroyed the newer phase and the records.)
#[test]
fn the_first_journal_of_a_decrypt_calls_no_plaintext_sealed() {
    let place = Place::new();
    let content = place.make(LEN);
    place.encrypt();
    let cancellation = Cancellation::new();
    let copier =
        Copier { journal: place.journal(), copied: Mutex::default(), cancellation: cancellation.clone() };
    let control = Control { progress: &copier, cancellation };
    pageseal::decrypt_in_place(&place.sealed(), &place.identities, &DecryptOptions::default(), &control)
        .unwrap_err();
    let own = fs::read(place.journal()).unwrap();

    let mut first = copier.copied.lock().unwrap().clone();
    fs::write(place.journal(), &first).unwrap();
    place.assert_refused(&place.sealed(), "RUNNING, no window", &[(Resume, Refused), (Rollback, Damaged)]);
    // And when not even that it runs was durable: CREATED is its first phase, RUNNING its second.
    let running = PHASE_OFFSETS[0] as usize;
    first[running..running + PHASE_LEN].fill(0);
    fs::write(place.journal(), &first).unwrap();
    place.assert_refused(&place.sealed(), "CREATED", &[(Resume, Refused), (Rollback, Damaged)]);

    fs::write(place.journal(), &own).unwrap();
    place.run(Rollback, &place.sealed()).unwrap();
    place.assert_opens(content);
}

/// A chunk that was changed while the decrypt was interrupted is in neither form, as one that another journal could mend: so nothing
/// is done. Told to accept it, the decrypt is undone for the sake of the others, and ends with the damage, not with success.
#[test]
fn an_undone_decrypt_tells_of_a_chunk_that_is_lost() {
    let place = Place::new();
    let content = place.make(LEN);
    place.encrypt();
    place.decrypt_half();
    let (chunk, offset) = (4 * 64 + 3, (4 * 64 + 3) << 16);
    flip(&place.sealed(), offset + 17, 0x40);
    place.assert_refused(&place.sealed(), "not accepted", &[(Rollback, Damaged), (ResumeDecrypt, Damaged)]);
    let options = ResumeOptions { accept_damage: true, ..ResumeOptions::default() };
    let error = pageseal::rollback(&place.sealed(), &place.identities, &options, &Control::silent());
    let error = error.unwrap_err();
    let JobError::Open(OpenError::Damaged { path, damage }) = error else { panic!("{error:?}") };
    assert_eq!(path, place.sealed());
    assert!(
        matches!(damage, Damage::Chunk { chunk: found, offset: at } if found == chunk && at == offset),
        "{damage:?}"
    );
    assert!(!place.journal().exists());
    flip(&place.sealed(), offset + 17, 0x40);
    place.assert_opens(content);
    assert_eq!(digest(&place.file()), content);
}
