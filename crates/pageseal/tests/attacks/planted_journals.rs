//! A journal beside a file that has no job. A tool that believed its length would cut the file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use pageseal::ErrorClass::{Damaged, Refused};
use pageseal_format::journal::{HEADER_LEN, KEY_AREA_LEN, KEY_AREA_OFFSET, PHASE_LEN, PHASE_OFFSETS};

use crate::place::{Command, Decrypt, Encrypt, LEN, Place, Resume, ResumeDecrypt, Rollback, Verify};
use crate::support::{digest, fix_checksum, skip, write_content};

const GOING_ON: [(Command, pageseal::ErrorClass); 3] =
    [(Resume, Damaged), (ResumeDecrypt, Damaged), (Rollback, Damaged)];
const PLAIN: [(Command, pageseal::ErrorClass); 3] =
    [(Encrypt, Refused), (Decrypt, Refused), (Verify, Refused)];

/// Whoever may write to the folder and not to the file could leave an authentic journal there, under a file key of its own, and the file
/// would be sealed for it. What gives it away is who could have written the journal.
#[test]
fn a_journal_that_others_could_have_written_is_refused() {
    let place = Place::new();
    place.make(LEN);
    let content = digest(&place.file());
    fs::write(place.journal(), place.encrypt_half()).unwrap();
    let refused = [(Resume, Refused), (ResumeDecrypt, Refused), (Rollback, Refused)];
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(place.journal(), fs::Permissions::from_mode(mode)).unwrap();
        place.assert_refused(&place.file(), &format!("mode {mode:o}"), &refused);
    }
    fs::set_permissions(place.journal(), fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(place.journal()).unwrap().uid();
    if chown(place.journal(), Some(owner + 12_345), None).is_ok() {
        place.assert_refused(&place.file(), "somebody else's", &refused);
        // Who owns the file may.
        chown(place.file(), Some(owner + 12_345), None).unwrap();
    } else {
        skip("the right to give files away");
    }
    place.run(Rollback, &place.file()).unwrap();
    assert_eq!(digest(&place.file()), content);
}

/// That some group may write to the file does not make a journal trusted that another group may
/// write to.
#[test]
fn a_journal_that_another_group_could_have_written_is_refused() {
    let place = Place::new();
    place.make(LEN);
    let content = digest(&place.file());
    fs::write(place.journal(), place.encrypt_half()).unwrap();
    let groups = |file, journal| {
        chown(place.file(), None, Some(file)).and_then(|()| chown(place.journal(), None, Some(journal)))
    };
    if groups(3000, 3001).is_err() {
        skip("the right to give files to any group");
        return;
    }
    for path in [place.file(), place.journal()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).unwrap();
    }
    let refused = [(Resume, Refused), (ResumeDecrypt, Refused), (Rollback, Refused)];
    place.assert_refused(&place.file(), "another group's", &refused);
    groups(3000, 3000).unwrap();
    place.run(Rollback, &place.file()).unwrap();
    assert_eq!(digest(&place.file()), content);
}

/// An empty file under the journal's name.
#[test]
fn an_empty_journal_beside_a_plain_file_truncates_nothing() {
    for len in [0, 1, 4096, 70_000, LEN] {
        let place = Place::new();
        let content = place.make(len);
        fs::write(place.journal(), []).unwrap();
        place.assert_refused(&place.file(), &format!("{len} bytes"), &GOING_ON);
        place.assert_refused(&place.file(), &format!("{len} bytes"), &PLAIN);
        assert_eq!(digest(&place.file()), content);
    }
}

/// A journal that says that the plaintext has no byte, in every phase, with right checksums and no right MAC.
#[test]
fn a_forged_journal_of_length_zero_beside_a_plain_file_truncates_nothing() {
    let place = Place::new();
    place.make(LEN);
    let real = place.encrypt_half();
    place.run(Rollback, &place.file()).unwrap();
    let content = digest(&place.file());
    for job in [1, 2] {
        for phase in 1..=6_u8 {
            for direction in [0, 1] {
                let forged = of_length_zero(&real, job, phase, direction);
                fs::write(place.journal(), forged).unwrap();
                let case = format!("job {job}, phase {phase}, direction {direction}");
                // What FINISHED says is compared with the file: it is not empty.
                let class = if phase == 6 { Refused } else { Damaged };
                let expected = [(Resume, class), (ResumeDecrypt, class), (Rollback, class)];
                place.assert_refused(&place.file(), &case, &expected);
                place.assert_refused(&place.file(), &case, &PLAIN);
            }
        }
    }
    assert_eq!(digest(&place.file()), content);
}

fn of_length_zero(real: &[u8], job: u8, phase: u8, direction: u8) -> Vec<u8> {
    use pageseal_format::{Geometry, Limits, journal::RecordKind, journal::slot_stride};
    let geometry = Geometry::new(0, 16, &Limits::PRODUCTION).unwrap();
    let window_len = 4_u64 << 20;
    let mut journal = real.to_vec();
    journal[10] = job;
    journal[56..64].fill(0);
    journal[64..72].copy_from_slice(&window_len.to_le_bytes());
    let stride = slot_stride(&geometry, window_len, RecordKind::Fingerprints);
    journal[72..80].copy_from_slice(&stride.to_le_bytes());
    fix_checksum(&mut journal[..HEADER_LEN]);
    // The copy of the superblock must be of the same geometry.
    let at = pageseal_format::journal::SUPERBLOCK_COPY_OFFSET as usize;
    let mut block = pageseal_format::Superblock::parse(&journal[at..at + 4096], &Limits::PRODUCTION).unwrap();
    block.geometry = geometry;
    journal[at..at + 4096].copy_from_slice(&block.encode(|_| [0; 32])[..]);
    for offset in PHASE_OFFSETS.map(|offset| offset as usize) {
        journal[offset + 32] = phase;
        journal[offset + 33] = direction;
        journal[offset + 40..offset + 56].fill(0);
        fix_checksum(&mut journal[offset..offset + PHASE_LEN]);
    }
    journal
}

/// The real journal of an empty file, by the same owner, beside another file: all its MACs are right.
#[test]
fn the_authentic_journal_of_an_empty_file_truncates_no_other() {
    let place = Place::new();
    place.make(0);
    // An empty file has no window at which to stop, so the journal is copied while the job runs.
    let (journal, kept) = (place.journal(), place.elsewhere("journal"));
    let copy = kept.clone();
    let recorder = CopyEarly(Box::new(move || {
        if journal.exists() && !copy.exists() {
            fs::copy(&journal, &copy).unwrap();
        }
    }));
    let options = pageseal::EncryptOptions { job_key: pageseal::JobKeyMode::Disk, ..Default::default() };
    let control = pageseal::Control { progress: &recorder, ..pageseal::Control::silent() };
    let recipients = std::slice::from_ref(&place.keys.recipient);
    pageseal::encrypt_in_place(&place.file(), recipients, &options, &control).unwrap();
    fs::remove_file(place.sealed()).unwrap();
    for len in [1, 4096, 61_440, LEN] {
        let content = write_content(&place.file(), len, 79);
        fs::copy(&kept, place.journal()).unwrap();
        let before = crate::support::Snapshot::of(place.path());
        for command in [Resume, ResumeDecrypt, Rollback, Encrypt, Decrypt, Verify] {
            place.run(command, &place.file()).expect_err("a foreign journal");
            before.assert_unchanged(place.path(), &format!("{command:?}, {len} bytes"));
        }
        assert_eq!(digest(&place.file()), content);
    }
}

/// A journal in phase FINISHED is believed without a key, and job ids are public. One that names
/// somebody else's job must not take that job's key away, without which it cannot go on.
#[test]
fn a_planted_finished_journal_takes_no_other_jobs_key_away() {
    let place = Place::new();
    place.make(LEN);
    let options = pageseal::EncryptOptions::default();
    let journal = crate::support::interrupt_encrypt(&place.file(), &place.keys, &options);
    let Some(job_key) = crate::support::runtime_job_key(&journal).filter(|path| path.exists()) else {
        skip("memory-backed storage of one's own");
        return;
    };
    let real = fs::read(&journal).unwrap();
    let other = place.path().join("other");
    let planted = place.path().join("other.pageseal-journal");
    let content = write_content(&other, LEN, 80);
    for wiped in [false, true] {
        let mut forged = real.clone();
        for offset in PHASE_OFFSETS.map(|offset| offset as usize) {
            forged[offset + 32] = 6;
            forged[offset + 33] = 1;
            fix_checksum(&mut forged[offset..offset + PHASE_LEN]);
        }
        if wiped {
            forged[KEY_AREA_OFFSET as usize..][..KEY_AREA_LEN].fill(0);
        }
        fs::write(&planted, &forged).unwrap();
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o600)).unwrap();
        place.run(Rollback, &other).expect("a job that is over");
        assert!(!planted.exists());
        assert!(job_key.exists(), "the key of another job is gone (key area wiped: {wiped})");
    }
    assert_eq!(digest(&other), content);
    let nobody = pageseal::Identities::none();
    pageseal::resume(&place.file(), &nobody, &Default::default(), &pageseal::Control::silent()).unwrap();
    assert!(!job_key.exists());
}

/// Does something at every report of progress.
struct CopyEarly(Box<dyn Fn() + Send + Sync>);

impl pageseal::Progress for CopyEarly {
    fn stage(&self, _: pageseal::Stage, _: u64, _: u64) {
        self.0();
    }

    fn advance(&self, _: u64) {
        self.0();
    }

    fn notice(&self, _: &pageseal::Notice) {}
}
