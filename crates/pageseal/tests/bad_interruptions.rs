//! Jobs that were stopped in the middle: what the file is called then, what refuses it, and what brings it forward or back.

#[macro_use]
mod support;

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, FileStatus, Identities, IoChoice, JobError, JobKeyMode, JobKind,
    JobOutcome, OpenError, Refusal, ResilienceChoice, ResumeOptions, decrypt_in_place, encrypt_in_place,
    info, resume, rollback, verify,
};
use support::{
    Keys, WINDOW, digest, folder, interrupt_decrypt, interrupt_encrypt, names_in, runtime_job_key,
    write_content,
};

/// Eight windows, the last of them short and not whole blocks.
const LEN: u64 = 7 * WINDOW + 70_001;

struct Place {
    folder: support::Folder,
    _keys: support::Folder,
    keys: Keys,
    plain: PathBuf,
    sealed: PathBuf,
    content: [u8; 32],
    before: Metadata,
}

impl Place {
    fn new() -> Self {
        Self::of_length(LEN)
    }

    fn of_length(len: u64) -> Self {
        let (folder, key_folder) = (folder(), folder());
        let keys = Keys::new(key_folder.path());
        let (plain, sealed) = (folder.path().join("file"), folder.path().join("file.sealed"));
        let content = write_content(&plain, len, 11);
        let long_ago =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
        fs::File::options().write(true).open(&plain).unwrap().set_modified(long_ago).unwrap();
        let before = fs::metadata(&plain).unwrap();
        Place { folder, _keys: key_folder, keys, plain, sealed, content, before }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn encrypt_half(&self, job_key: JobKeyMode) -> PathBuf {
        let options = EncryptOptions { job_key, threads: Some(2), ..EncryptOptions::default() };
        interrupt_encrypt(&self.plain, &self.keys, &options)
    }

    fn seal(&self) {
        let recipients = std::slice::from_ref(&self.keys.recipient);
        encrypt_in_place(&self.plain, recipients, &EncryptOptions::default(), &Control::silent()).unwrap();
    }

    fn assert_plain_as_before(&self, case: &str) {
        assert_eq!(names_in(self.path()), ["file"], "{case}");
        assert_eq!(digest(&self.plain), self.content, "{case}: content");
        let now = fs::metadata(&self.plain).unwrap();
        let facts = |metadata: &Metadata| {
            (metadata.len(), metadata.ino(), metadata.mode(), metadata.mtime(), metadata.mtime_nsec())
        };
        assert_eq!(facts(&now), facts(&self.before), "{case}: length, inode, mode, mtime");
    }

    fn assert_sealed(&self, case: &str) {
        assert_eq!(names_in(self.path()), ["file.sealed"], "{case}");
        verify(&self.sealed, &self.keys.identities(), Some(2), &Control::silent())
            .unwrap_or_else(|error| panic!("{case}: {error:?}"));
        let now = fs::metadata(&self.sealed).unwrap();
        assert_eq!(
            (now.ino(), now.mtime(), now.mtime_nsec()),
            (self.before.ino(), self.before.mtime(), self.before.mtime_nsec()),
            "{case}: inode, mtime"
        );
    }
}

fn with_word() -> ResumeOptions {
    ResumeOptions { decrypt: true, threads: Some(2), ..ResumeOptions::default() }
}

/// Whoever copies what is newer must not miss it.
#[test]
fn the_time_of_an_edit_between_two_runs_stays() {
    let place = Place::new();
    place.encrypt_half(JobKeyMode::Runtime);
    let stopped = fs::metadata(&place.plain).unwrap();
    assert_eq!(stopped.mtime(), place.before.mtime(), "a stop leaves the old time");
    support::write_at(&place.plain, LEN - 10, b"an edit");
    let edited = fs::metadata(&place.plain).unwrap().mtime();
    resume(&place.plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
    let after = fs::metadata(&place.sealed).unwrap().mtime();
    assert!(after >= edited, "{after} hides an edit at {edited}");
}

#[test]
fn a_half_encrypted_file_is_refused_by_all_but_resume_and_rollback() {
    let place = Place::new();
    let journal = place.encrypt_half(JobKeyMode::Runtime);
    assert_eq!(names_in(place.path()), ["file", "file.pageseal-journal"]);
    let found = info(&place.plain, None).unwrap();
    assert_eq!(found.status, FileStatus::Encrypting);
    let told = found.journal.expect("a journal");
    assert_eq!((told.kind, told.phase, told.rolling_back), (JobKind::Encrypt, "RUNNING", false));
    assert_eq!((told.path, told.total_bytes), (journal, LEN));
    assert!(told.done_bytes.is_some_and(|done| (WINDOW..LEN).contains(&done)), "{:?}", told.done_bytes);

    let folder = place.path();
    let identities = place.keys.identities();
    let recipients = std::slice::from_ref(&place.keys.recipient);
    assert_refused!(
        folder,
        Interrupted,
        OpenError::Interrupted { kind: JobKind::Encrypt, journal_found: true, .. },
        verify(&place.plain, &identities, None, &Control::silent()),
        "verify"
    );
    let options = DecryptOptions { keep_name: true, ..DecryptOptions::default() };
    assert_refused!(
        folder,
        Interrupted,
        JobError::Open(OpenError::Interrupted { kind: JobKind::Encrypt, journal_found: true, .. }),
        decrypt_in_place(&place.plain, &identities, &options, &Control::silent()),
        "decrypt"
    );
    assert_refused!(
        folder,
        Interrupted,
        JobError::Open(OpenError::Interrupted { kind: JobKind::Encrypt, journal_found: true, .. }),
        encrypt_in_place(&place.plain, recipients, &EncryptOptions::default(), &Control::silent()),
        "encrypt"
    );
    assert_refused!(
        folder,
        Interrupted,
        JobError::Open(OpenError::Interrupted { .. }),
        pageseal::export_trailer(&place.plain, &folder.join("trailer")),
        "export"
    );
    rollback(&place.plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
    place.assert_plain_as_before("rollback");
}

#[test]
fn the_job_key_is_enough_to_go_on_or_back_and_is_gone_afterwards() {
    for mode in [JobKeyMode::Runtime, JobKeyMode::Disk] {
        for (case, go_on) in [("resume", true), ("rollback", false)] {
            let place = Place::new();
            let journal = place.encrypt_half(mode);
            let key = runtime_job_key(&journal).expect("a folder in memory");
            assert_eq!(key.exists(), mode == JobKeyMode::Runtime, "{mode:?}");
            let call = if go_on { resume } else { rollback };
            // Found from the name that the file will get, too.
            let report =
                call(&place.sealed, &Identities::none(), &ResumeOptions::default(), &Control::silent())
                    .unwrap_or_else(|error| panic!("{case}, {mode:?}: {error:?}"));
            assert_eq!(report.kind, JobKind::Encrypt, "{case}");
            assert!(!report.name_kept, "{case}");
            assert!(!key.exists(), "{case}, {mode:?}: the job key was left over");
            if go_on {
                assert_eq!(report.outcome, JobOutcome::Sealed);
                assert_eq!(report.path.as_deref(), Some(place.sealed.as_path()));
                place.assert_sealed(case);
            } else {
                assert_eq!(report.outcome, JobOutcome::Plain);
                place.assert_plain_as_before(case);
            }
        }
    }
}

#[test]
fn without_a_job_key_an_identity_is_needed() {
    for go_on in [true, false] {
        let place = Place::new();
        let journal = place.encrypt_half(JobKeyMode::None);
        assert!(!runtime_job_key(&journal).unwrap().exists());
        let call = if go_on { resume } else { rollback };
        let others = Keys::new(place._keys.path());
        for wrong in [Identities::none(), others.identities()] {
            assert_refused!(
                place.path(),
                NoKey,
                JobError::Open(OpenError::Key(_)),
                call(&place.plain, &wrong, &ResumeOptions::default(), &Control::silent()),
                "forward: {go_on}"
            );
        }
        call(&place.plain, &place.keys.identities(), &ResumeOptions::default(), &Control::silent()).unwrap();
        if go_on { place.assert_sealed("resume") } else { place.assert_plain_as_before("rollback") }
    }
}

#[test]
fn a_lost_or_foreign_job_key_counts_as_none() {
    let place = Place::new();
    let journal = place.encrypt_half(JobKeyMode::Runtime);
    let key = runtime_job_key(&journal).unwrap();
    let right = fs::read(&key).unwrap();
    for wrong in [&[][..], &[7; 31], &[7; 32]] {
        fs::write(&key, wrong).unwrap();
        assert_refused!(
            place.path(),
            NoKey,
            JobError::Open(OpenError::Key(_)),
            rollback(&place.plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()),
            "{} bytes",
            wrong.len()
        );
    }
    fs::write(&key, right).unwrap();
    rollback(&place.plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
    place.assert_plain_as_before("rollback");
}

#[test]
fn a_half_decrypted_file_needs_the_word_or_a_rollback_and_an_identity() {
    let place = Place::new();
    place.seal();
    let sealed_before = digest(&place.sealed);
    interrupt_decrypt(&place.sealed, &place.keys, &DecryptOptions::default());
    let (folder, identities) = (place.path(), place.keys.identities());
    assert_eq!(info(&place.sealed, None).unwrap().status, FileStatus::Decrypting);
    assert_refused!(
        folder,
        Refused,
        JobError::Refused(Refusal::DecryptWordMissing { .. }),
        resume(&place.sealed, &identities, &ResumeOptions::default(), &Control::silent()),
        "resume without the word"
    );
    for call in [resume, rollback] {
        assert_refused!(
            folder,
            NoKey,
            JobError::Open(OpenError::Key(_)),
            call(&place.sealed, &Identities::none(), &with_word(), &Control::silent()),
            "without an identity"
        );
    }
    assert_refused!(
        folder,
        Interrupted,
        JobError::Open(OpenError::Interrupted { kind: JobKind::Decrypt, journal_found: true, .. }),
        decrypt_in_place(&place.sealed, &identities, &DecryptOptions::default(), &Control::silent()),
        "decrypt again"
    );
    let report = rollback(&place.sealed, &identities, &ResumeOptions::default(), &Control::silent()).unwrap();
    assert_eq!((report.kind, report.outcome), (JobKind::Decrypt, JobOutcome::Sealed));
    place.assert_sealed("rollback of decrypt");
    // All but the superblocks, whose job id says that the job is spent, is bit for bit what it was.
    assert_ne!(digest(&place.sealed), sealed_before);
    interrupt_decrypt(&place.sealed, &place.keys, &DecryptOptions::default());
    let report = resume(&place.plain, &identities, &with_word(), &Control::silent()).unwrap();
    assert_eq!((report.kind, report.outcome), (JobKind::Decrypt, JobOutcome::Plain));
    place.assert_plain_as_before("resume of decrypt");
}

#[test]
fn rolled_back_data_and_table_of_a_decrypt_are_bit_for_bit_the_old_ones() {
    let place = Place::new();
    place.seal();
    let before = fs::read(&place.sealed).unwrap();
    for (io, resilience) in [
        (IoChoice::Buffered, ResilienceChoice::Checksum),
        (IoChoice::Mmap, ResilienceChoice::Journal),
        (IoChoice::Buffered, ResilienceChoice::None),
    ] {
        let accept_data_loss = resilience == ResilienceChoice::None;
        let options = DecryptOptions { io, resilience, accept_data_loss, ..DecryptOptions::default() };
        interrupt_decrypt(&place.sealed, &place.keys, &options);
        let options = ResumeOptions { io, ..ResumeOptions::default() };
        rollback(&place.sealed, &place.keys.identities(), &options, &Control::silent()).unwrap();
        let after = fs::read(&place.sealed).unwrap();
        let geometry = support::layout(LEN);
        assert_eq!(before.len(), after.len());
        let ranges =
            [(0, geometry.trailer_offset()), (geometry.slot_area_offset(0), geometry.superblock_b_offset())];
        for (start, end) in ranges.map(|(start, end)| (start as usize, end as usize)) {
            assert!(
                before[start..end] == after[start..end],
                "{io:?}, {resilience:?}: [{start}, {end}) differs"
            );
        }
        place.assert_sealed(&format!("{io:?}, {resilience:?}"));
    }
}

#[test]
fn a_rollback_that_was_stopped_can_only_be_rolled_back() {
    let place = Place::of_length(16 * WINDOW + 1);
    place.encrypt_half(JobKeyMode::Runtime);
    let stop = |call: fn(&Path, &Identities, &ResumeOptions, &Control<'_>) -> Result<_, _>| {
        let cancellation = pageseal::Cancellation::new();
        let flag = cancellation.clone();
        let recorder = support::Recorder::at_first_window(move || flag.cancel());
        let control = Control { progress: &recorder, cancellation };
        let result: Result<pageseal::JobReport, _> =
            call(&place.plain, &Identities::none(), &ResumeOptions::default(), &control);
        result.expect_err("was stopped")
    };
    let done = || info(&place.plain, None).unwrap().journal.unwrap().done_bytes.unwrap();
    // So far that the way back is longer than the windows that a stopped run still finishes.
    while done() < 8 * WINDOW {
        assert!(matches!(stop(resume), JobError::Interrupted { rolling_back: false, .. }));
    }
    assert!(matches!(stop(rollback), JobError::Interrupted { rolling_back: true, .. }));
    assert!(info(&place.plain, None).unwrap().journal.unwrap().rolling_back);
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::BeingRolledBack { .. }),
        resume(&place.plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()),
        "resume"
    );
    rollback(&place.plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
    place.assert_plain_as_before("second rollback");
}

#[test]
fn a_job_with_none_that_stopped_at_a_window_can_go_on() {
    for io in [IoChoice::Buffered, IoChoice::Mmap] {
        for forward in [true, false] {
            let place = Place::new();
            let options = EncryptOptions {
                io,
                resilience: ResilienceChoice::None,
                accept_data_loss: true,
                ..EncryptOptions::default()
            };
            interrupt_encrypt(&place.plain, &place.keys, &options);
            let call = if forward { resume } else { rollback };
            let options = ResumeOptions { io, ..ResumeOptions::default() };
            call(&place.plain, &Identities::none(), &options, &Control::silent()).unwrap();
            if forward { place.assert_sealed("none") } else { place.assert_plain_as_before("none") }
        }
    }
}

#[test]
fn a_stopped_checksum_job_is_not_resumed_through_a_mapping() {
    let place = Place::new();
    place.encrypt_half(JobKeyMode::Runtime);
    let options = ResumeOptions { io: IoChoice::Mmap, ..ResumeOptions::default() };
    for call in [resume, rollback] {
        assert_refused!(
            place.path(),
            Usage,
            JobError::Refused(Refusal::UnsoundPair),
            call(&place.plain, &Identities::none(), &options, &Control::silent()),
            "mmap with fingerprints"
        );
    }
    rollback(&place.plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
    place.assert_plain_as_before("rollback");
}

#[test]
fn a_job_cancelled_before_it_begins_changes_nothing() {
    let place = Place::new();
    place.seal();
    let cancellation = pageseal::Cancellation::new();
    cancellation.cancel();
    let control = Control { progress: &pageseal::Silent, cancellation };
    assert_refused!(
        place.path(),
        Refused,
        JobError::Open(OpenError::Refused(Refusal::Cancelled)),
        decrypt_in_place(&place.sealed, &place.keys.identities(), &DecryptOptions::default(), &control),
        "while verifying"
    );
}
