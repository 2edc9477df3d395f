//! Journals that are missing, cut, planted, out of date or another file's.

#[macro_use]
mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, Damage, DecryptOptions, EncryptOptions, Identities, JobError, JobKeyMode, JobReport, OpenError,
    Refusal, ResumeOptions, decrypt_in_place, encrypt_in_place, resume, rollback, verify,
};
use support::{Keys, WINDOW, digest, folder, interrupt_decrypt, interrupt_encrypt, write_content};

const LEN: u64 = 7 * WINDOW + 5000;

struct Place {
    folder: support::Folder,
    _keys: support::Folder,
    keys: Keys,
    identities: Identities,
}

impl Place {
    fn new() -> Self {
        let (folder, key_folder) = (folder(), folder());
        let keys = Keys::new(key_folder.path());
        let identities = keys.identities();
        Place { folder, _keys: key_folder, keys, identities }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn plain(&self, name: &str, len: u64) -> PathBuf {
        let path = self.path().join(name);
        write_content(&path, len, len ^ name.len() as u64);
        path
    }

    fn encrypt(&self, path: &Path) -> Result<JobReport, JobError> {
        let recipients = std::slice::from_ref(&self.keys.recipient);
        encrypt_in_place(path, recipients, &EncryptOptions::default(), &Control::silent())
    }

    fn decrypt(&self, path: &Path) -> Result<JobReport, JobError> {
        decrypt_in_place(path, &self.identities, &DecryptOptions::default(), &Control::silent())
    }

    fn encrypt_half(&self, path: &Path) -> PathBuf {
        let options = EncryptOptions { job_key: JobKeyMode::None, ..EncryptOptions::default() };
        interrupt_encrypt(path, &self.keys, &options)
    }

    fn resume(&self, path: &Path) -> Result<JobReport, JobError> {
        let options = ResumeOptions { decrypt: true, ..ResumeOptions::default() };
        resume(path, &self.identities, &options, &Control::silent())
    }

    fn rollback(&self, path: &Path) -> Result<JobReport, JobError> {
        rollback(path, &self.identities, &ResumeOptions::default(), &Control::silent())
    }

    /// Neither `resume` nor `rollback` does anything, for a reason that `expected` accepts.
    fn assert_both_refuse(&self, path: &Path, case: &str, expected: fn(&JobError) -> bool) {
        let before = support::Snapshot::of(self.path());
        for (name, result) in [("resume", self.resume(path)), ("rollback", self.rollback(path))] {
            let error = result.expect_err(&format!("{name}, {case}"));
            assert!(expected(&error), "{name}, {case}: {error:?}");
            before.assert_unchanged(self.path(), &format!("{name}, {case}"));
        }
    }
}

fn is_stale(error: &JobError) -> bool {
    matches!(error, JobError::Refused(Refusal::StaleJournal { .. }))
}

fn is_foreign(error: &JobError) -> bool {
    matches!(error, JobError::Refused(Refusal::ForeignJournal { .. }))
}

fn is_bad_journal(error: &JobError) -> bool {
    matches!(error, JobError::Open(OpenError::Damaged { damage: Damage::Journal { .. }, .. }))
}

fn is_wrong_length(error: &JobError) -> bool {
    matches!(error, JobError::Open(OpenError::Damaged { damage: Damage::Length { .. }, .. }))
}

#[test]
fn without_a_journal_there_is_nothing_to_resume_or_no_way_to() {
    let place = Place::new();
    let nothing = |error: &JobError| matches!(error, JobError::Refused(Refusal::NothingToResume { .. }));
    for len in [0, 1, 5000, LEN] {
        place.assert_both_refuse(&place.plain("plain", len), "plain", nothing);
    }
    place.encrypt(&place.path().join("plain")).unwrap();
    place.assert_both_refuse(&place.path().join("plain.sealed"), "sealed", nothing);
    place.assert_both_refuse(&place.path().join("missing"), "no file", |error| {
        matches!(error, JobError::Refused(Refusal::Unopenable { .. }))
    });

    let missing = |error: &JobError| {
        matches!(error, JobError::Open(OpenError::Damaged { damage: Damage::JournalMissing { .. }, .. }))
    };
    let file = place.plain("file", LEN);
    let journal = place.encrypt_half(&file);
    let kept = place._keys.path().join("kept");
    fs::rename(&journal, &kept).unwrap();
    place.assert_both_refuse(&file, "half encrypted", missing);
    assert_refused!(
        place.path(),
        Interrupted,
        OpenError::Interrupted { journal_found: false, .. },
        verify(&file, &place.identities, None, &Control::silent()),
        "verify"
    );
    assert_refused!(
        place.path(),
        Interrupted,
        JobError::Open(OpenError::Interrupted { journal_found: false, .. }),
        place.encrypt(&file),
        "encrypt"
    );
    // Found again where it was moved to.
    let options = ResumeOptions { journal: Some(kept), ..ResumeOptions::default() };
    resume(&file, &place.identities, &options, &Control::silent()).unwrap();
    let sealed = place.path().join("file.sealed");
    let journal = interrupt_decrypt(&sealed, &place.keys, &DecryptOptions::default());
    fs::remove_file(journal).unwrap();
    place.assert_both_refuse(&sealed, "half decrypted", missing);
}

#[test]
fn a_truncated_journal_is_not_used() {
    let place = Place::new();
    let file = place.plain("file", LEN);
    let content = digest(&file);
    let journal = place.encrypt_half(&file);
    let whole = fs::read(&journal).unwrap();
    let lens = [
        0,
        1,
        4095,
        4096,
        8192,
        36864,
        45055,
        45056,
        45057,
        whole.len() / 2,
        whole.len() - 4096,
        whole.len() - 1,
    ];
    for len in lens {
        fs::write(&journal, &whole[..len]).unwrap();
        place.assert_both_refuse(&file, &format!("{len} of {} bytes", whole.len()), is_bad_journal);
    }
    fs::write(&journal, &whole).unwrap();
    place.rollback(&file).unwrap();
    assert_eq!(digest(&file), content);
}

#[test]
fn a_planted_journal_stops_every_job_and_nothing_else() {
    let place = Place::new();
    let file = place.plain("file", 200_000);
    let journal = place.path().join("file.pageseal-journal");
    let mut garbage = vec![0; 100_000];
    let mut generator = support::Generator::new(3);
    garbage.fill_with(|| generator.next_u64() as u8);
    let mut with_magic = garbage.clone();
    with_magic[..10].copy_from_slice(b"PGSLJRNL\x01\x00");
    let mut with_checksum = vec![0; 100_000];
    with_checksum[..10].copy_from_slice(b"PGSLJRNL\x01\x00");
    support::fix_checksum(&mut with_checksum[..4096]);
    for (case, bytes) in [
        ("empty", &[][..]),
        ("zeros", &[0; 100_000]),
        ("garbage", &garbage),
        ("garbage with magic", &with_magic),
        ("empty header with a right checksum", &with_checksum),
    ] {
        fs::write(&journal, bytes).unwrap();
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JobOpen { .. }),
            place.encrypt(&file),
            "encrypt, {case}"
        );
        place.assert_both_refuse(&file, case, is_bad_journal);
        fs::remove_file(&journal).unwrap();
        let sealed = place.encrypt(&file).unwrap().path.unwrap();
        fs::write(&journal, bytes).unwrap();
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JobOpen { .. }),
            place.decrypt(&sealed),
            "decrypt, {case}"
        );
        place.assert_both_refuse(&sealed, case, is_bad_journal);
        verify(&sealed, &place.identities, None, &Control::silent()).unwrap();
        assert_eq!(pageseal::info(&sealed, None).unwrap().journal, None, "{case}");
        fs::remove_file(&journal).unwrap();
        place.decrypt(&sealed).unwrap();
    }
}

#[test]
fn what_is_no_file_is_no_journal() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let file = place.plain("file", 200_000);
    let journal = place.path().join("file.pageseal-journal");
    let elsewhere = place.plain("elsewhere", 50_000);
    let refused = |error: &JobError| {
        matches!(
            error,
            JobError::Refused(Refusal::NotRegular { .. } | Refusal::SymbolicLink { .. })
                | JobError::Open(OpenError::Io { .. } | OpenError::Damaged { .. })
        )
    };
    let tried = |case: &str| {
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JobOpen { .. }),
            place.encrypt(&file),
            "{case}"
        );
        place.assert_both_refuse(&file, case, refused);
        pageseal::info(&file, None).unwrap();
    };
    fs::create_dir(&journal).unwrap();
    tried("directory");
    fs::remove_dir(&journal).unwrap();
    symlink(&elsewhere, &journal).unwrap();
    tried("link to another file");
    fs::remove_file(&journal).unwrap();
    symlink("nowhere", &journal).unwrap();
    tried("dangling link");
    fs::remove_file(&journal).unwrap();
    if support::succeeds("mkfifo", &[journal.to_str().unwrap()]) {
        tried("FIFO");
    } else {
        support::skip("mkfifo");
    }
}

#[test]
fn the_journal_of_a_finished_encrypt_is_stale() {
    let place = Place::new();
    let file = place.plain("file", LEN);
    let journal = place.encrypt_half(&file);
    let old = fs::read(&journal).unwrap();
    place.resume(&file).unwrap();
    let sealed = place.path().join("file.sealed");
    fs::write(&journal, &old).unwrap();
    place.assert_both_refuse(&sealed, "sealed by the same job", is_stale);
    fs::remove_file(&journal).unwrap();
    // Opened again, or sealed anew: the old job's file is no more.
    place.decrypt(&sealed).unwrap();
    fs::write(&journal, &old).unwrap();
    place.assert_both_refuse(&file, "opened since", is_wrong_length);
    fs::remove_file(&journal).unwrap();
    place.encrypt(&file).unwrap();
    fs::write(&journal, &old).unwrap();
    place.assert_both_refuse(&sealed, "sealed anew", is_foreign);
    fs::remove_file(&journal).unwrap();
    verify(&sealed, &place.identities, None, &Control::silent()).unwrap();
}

#[test]
fn the_journal_of_a_rolled_back_job_is_stale() {
    let place = Place::new();
    let file = place.plain("file", LEN);
    let content = digest(&file);
    let journal = place.encrypt_half(&file);
    let old = fs::read(&journal).unwrap();
    place.rollback(&file).unwrap();
    fs::write(&journal, &old).unwrap();
    place.assert_both_refuse(&file, "encrypt rolled back", is_wrong_length);
    fs::remove_file(&journal).unwrap();
    assert_eq!(digest(&file), content);

    let sealed = place.encrypt(&file).unwrap().path.unwrap();
    interrupt_decrypt(&sealed, &place.keys, &DecryptOptions::default());
    let old = fs::read(&journal).unwrap();
    place.rollback(&sealed).unwrap();
    fs::write(&journal, &old).unwrap();
    place.assert_both_refuse(&sealed, "decrypt rolled back", is_stale);
    // And while a later job is open: it has another id.
    fs::remove_file(&journal).unwrap();
    interrupt_decrypt(&sealed, &place.keys, &DecryptOptions::default());
    let new = fs::read(&journal).unwrap();
    fs::write(&journal, &old).unwrap();
    place.assert_both_refuse(&sealed, "a later job is open", is_stale);
    fs::write(&journal, new).unwrap();
    place.resume(&sealed).unwrap();
    assert_eq!(digest(&file), content);
}

#[test]
fn a_finished_decrypts_journal_does_not_touch_the_plain_file() {
    let place = Place::new();
    let file = place.plain("file", LEN);
    let content = digest(&file);
    let sealed = place.encrypt(&file).unwrap().path.unwrap();
    let journal = interrupt_decrypt(&sealed, &place.keys, &DecryptOptions::default());
    let old = fs::read(&journal).unwrap();
    place.resume(&sealed).unwrap();
    fs::write(&journal, &old).unwrap();
    place.assert_both_refuse(&file, "decrypt finished", is_wrong_length);
    assert_eq!(digest(&file), content);
}

/// Runs `call` until the first window is settled.
fn stop(call: impl FnOnce(&Control<'_>) -> Result<JobReport, JobError>) {
    let cancellation = pageseal::Cancellation::new();
    let flag = cancellation.clone();
    let recorder = support::Recorder::at_first_window(move || flag.cancel());
    let error = call(&Control { progress: &recorder, cancellation }).expect_err("was stopped");
    assert!(matches!(error, JobError::Interrupted { .. }), "{error:?}");
}

/// An earlier journal of a job that is still open: all its MACs are right, and it says that less is converted
/// than is. Whoever believes it seals ciphertext again, or takes it for plaintext.
fn replay_earlier_journal(decrypting: bool, backward: bool) {
    let place = Place::new();
    let file = place.plain("file", 16 * WINDOW + 1);
    let content = digest(&file);
    let options = ResumeOptions { decrypt: true, ..ResumeOptions::default() };
    let (name, journal) = if decrypting {
        let sealed = place.encrypt(&file).unwrap().path.unwrap();
        let journal = interrupt_decrypt(&sealed, &place.keys, &DecryptOptions::default());
        (sealed, journal)
    } else {
        (file.clone(), place.encrypt_half(&file))
    };
    let early = fs::read(&journal).unwrap();
    stop(|control| resume(&name, &place.identities, &options, control));
    let (late, half) = (fs::read(&journal).unwrap(), fs::read(&name).unwrap());
    fs::write(&journal, &early).unwrap();
    let before = support::Snapshot::of(place.path());
    let error =
        if backward { place.rollback(&name) } else { place.resume(&name) }.expect_err("an earlier journal");
    assert!(
        matches!(
            error,
            JobError::Open(OpenError::Damaged { .. })
                | JobError::Interrupted { cause: pageseal::InterruptCause::Damaged(_), .. }
        ),
        "{error:?}"
    );
    assert!(fs::read(&name).unwrap() == half, "the file was changed");
    if matches!(error, JobError::Open(_)) {
        before.assert_unchanged(place.path(), "replayed journal");
    }
    fs::write(&journal, &late).unwrap();
    place.resume(&name).unwrap();
    if !decrypting {
        place.decrypt(&place.path().join("file.sealed")).unwrap();
    }
    assert_eq!(digest(&file), content);
}

#[test]
fn an_earlier_journal_of_an_encrypt_does_not_seal_twice() {
    replay_earlier_journal(false, false);
}

#[test]
fn an_earlier_journal_of_an_encrypt_does_not_roll_back() {
    replay_earlier_journal(false, true);
}

#[test]
fn an_earlier_journal_of_a_decrypt_does_not_go_on() {
    replay_earlier_journal(true, false);
}

#[test]
fn an_earlier_journal_of_a_decrypt_does_not_roll_back() {
    replay_earlier_journal(true, true);
}

#[test]
fn another_files_journal_is_foreign() {
    let place = Place::new();
    let (one, other) = (place.plain("one", LEN), place.plain("other", LEN));
    let contents = [digest(&one), digest(&other)];
    let journals = [place.encrypt_half(&one), place.encrypt_half(&other)];
    let kept = fs::read(&journals[0]).unwrap();
    fs::copy(&journals[1], &journals[0]).unwrap();
    place.assert_both_refuse(&one, "both half encrypted", is_foreign);
    fs::write(&journals[0], kept).unwrap();
    let options = ResumeOptions { journal: Some(journals[0].clone()), ..ResumeOptions::default() };
    let before = support::Snapshot::of(place.path());
    let error = rollback(&other, &place.identities, &options, &Control::silent()).unwrap_err();
    assert!(is_foreign(&error), "{error:?}");
    before.assert_unchanged(place.path(), "named by --journal");

    // Beside a plain file of the same or another length.
    let (same, short) = (place.plain("same", LEN), place.plain("short", 1000));
    for plain in [&same, &short] {
        let path = PathBuf::from(format!("{}.pageseal-journal", plain.display()));
        fs::copy(&journals[1], path).unwrap();
        place.assert_both_refuse(plain, "plain", is_wrong_length);
    }
    place.rollback(&one).unwrap();
    place.rollback(&other).unwrap();
    assert_eq!([digest(&one), digest(&other)], contents);
}

#[test]
fn a_copied_file_goes_on_with_its_copied_journal() {
    let place = Place::new();
    let file = place.plain("file", LEN);
    let content = digest(&file);
    let journal = place.encrypt_half(&file);
    let (copy, copied_journal) = (place.path().join("copy"), place.path().join("copy.pageseal-journal"));
    fs::copy(&file, &copy).unwrap();
    fs::copy(&journal, &copied_journal).unwrap();
    assert_ne!(fs::metadata(&file).unwrap().ino(), fs::metadata(&copy).unwrap().ino());
    place.rollback(&copy).unwrap();
    assert_eq!(digest(&copy), content, "the inode is advice only");
    place.resume(&file).unwrap();
    place.decrypt(&place.path().join("file.sealed")).unwrap();
    assert_eq!(digest(&file), content);
}
