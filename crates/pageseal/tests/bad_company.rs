//! Other processes at the same file: writers, truncations, renames, a second job. Done from the progress callback, so at a
//! known moment, or by a child process.

#[macro_use]
mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use pageseal::{
    Control, Damage, DecryptOptions, EncryptOptions, ErrorClass, Identities, InterruptCause, IoChoice,
    JobError, JobReport, Notice, OpenError, Refusal, ResilienceChoice, ResumeOptions, decrypt_in_place,
    encrypt_in_place, resume, rollback, verify,
};
use support::{Keys, Recorder, WINDOW, digest, folder, names_in, set_len, write_at, write_content};

/// So long that the last windows are not even read when the first is settled.
const LEN: u64 = 12 * WINDOW;

struct Place {
    folder: support::Folder,
    _keys: support::Folder,
    keys: Keys,
    plain: PathBuf,
    sealed: PathBuf,
    content: [u8; 32],
}

impl Place {
    fn new() -> Self {
        let (folder, key_folder) = (folder(), folder());
        let keys = Keys::new(key_folder.path());
        let (plain, sealed) = (folder.path().join("file"), folder.path().join("file.sealed"));
        let content = write_content(&plain, LEN, 31);
        Place { folder, _keys: key_folder, keys, plain, sealed, content }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn encrypt(&self, options: &EncryptOptions, recorder: &Recorder) -> Result<JobReport, JobError> {
        encrypt_in_place(
            &self.plain,
            std::slice::from_ref(&self.keys.recipient),
            options,
            &recorder.control(),
        )
    }

    /// Encrypts, and does `deed` when the first window is settled.
    fn encrypt_during(
        &self,
        options: &EncryptOptions,
        deed: impl FnOnce() + Send + 'static,
    ) -> (Result<JobReport, JobError>, Vec<Notice>) {
        let recorder = Recorder::at_first_window(deed);
        let result = self.encrypt(options, &recorder);
        (result, recorder.notices())
    }

    fn decrypt(&self, path: &Path) -> Result<JobReport, JobError> {
        decrypt_in_place(path, &self.keys.identities(), &DecryptOptions::default(), &Control::silent())
    }

    fn verify(&self, path: &Path) -> Result<pageseal::VerifyReport, OpenError> {
        verify(path, &self.keys.identities(), None, &Control::silent())
    }

    fn go_on(&self, forward: bool, io: IoChoice) -> Result<JobReport, JobError> {
        let call = if forward { resume } else { rollback };
        let options = ResumeOptions { io, ..ResumeOptions::default() };
        call(&self.plain, &Identities::none(), &options, &Control::silent())
    }
}

fn with_store(io: IoChoice, resilience: ResilienceChoice) -> EncryptOptions {
    EncryptOptions { io, resilience, threads: Some(2), ..EncryptOptions::default() }
}

#[test]
fn a_target_name_that_appears_during_the_job_is_left_alone() {
    let place = Place::new();
    let taken = place.sealed.clone();
    let (result, notices) =
        place.encrypt_during(&EncryptOptions::default(), move || fs::write(taken, b"mine").unwrap());
    let report = result.unwrap();
    assert!(report.name_kept);
    assert_eq!(report.path.as_deref(), Some(place.plain.as_path()));
    let expected = Notice::NameKept { kept: place.plain.clone(), wanted: place.sealed.clone() };
    assert!(notices.contains(&expected), "{notices:?}");
    assert_eq!(names_in(place.path()), ["file", "file.sealed"], "no journal is left");
    assert_eq!(fs::read(&place.sealed).unwrap(), b"mine");
    place.verify(&place.plain).unwrap();
    let keep = DecryptOptions { keep_name: true, ..DecryptOptions::default() };
    decrypt_in_place(&place.plain, &place.keys.identities(), &keep, &Control::silent()).unwrap();
    assert_eq!(digest(&place.plain), place.content);
}

#[test]
fn a_plain_name_that_appears_during_a_decrypt_is_left_alone() {
    let place = Place::new();
    place.encrypt(&EncryptOptions::default(), &Recorder::default()).unwrap();
    let taken = place.plain.clone();
    let recorder = Recorder::at_first_window(move || fs::write(taken, b"mine").unwrap());
    let identities = place.keys.identities();
    let report =
        decrypt_in_place(&place.sealed, &identities, &DecryptOptions::default(), &recorder.control())
            .unwrap();
    assert!(report.name_kept);
    let expected = Notice::NameKept { kept: place.sealed.clone(), wanted: place.plain.clone() };
    assert!(recorder.notices().contains(&expected), "{:?}", recorder.notices());
    assert_eq!(fs::read(&place.plain).unwrap(), b"mine");
    assert_eq!(digest(&place.sealed), place.content);
    assert_eq!(names_in(place.path()), ["file", "file.sealed"]);
}

/// The job's report and notices, and where the file was moved to while a file of somebody else took its name.
fn encrypt_while_the_name_goes(place: &Place) -> (JobReport, Vec<Notice>, PathBuf) {
    let (plain, moved) = (place.plain.clone(), place.path().join("moved"));
    let to = moved.clone();
    let (result, notices) = place.encrypt_during(&EncryptOptions::default(), move || {
        fs::rename(&plain, to).unwrap();
        fs::write(&plain, b"somebody else's").unwrap();
    });
    (result.unwrap(), notices, moved)
}

#[test]
fn a_report_does_not_name_another_file_as_the_result() {
    let place = Place::new();
    let (report, _, _) = encrypt_while_the_name_goes(&place);
    assert_ne!(report.path.as_deref(), Some(place.plain.as_path()));
}

#[test]
fn a_name_that_goes_to_another_file_during_the_job_is_left_alone() {
    let place = Place::new();
    let inode = fs::metadata(&place.plain).unwrap().ino();
    let (report, notices, moved) = encrypt_while_the_name_goes(&place);
    assert!(report.name_kept);
    assert!(notices.contains(&Notice::NameGone { name: place.plain.clone() }), "{notices:?}");
    assert_eq!(fs::read(&place.plain).unwrap(), b"somebody else's");
    assert_eq!(names_in(place.path()), ["file", "moved"]);
    assert_eq!(fs::metadata(&moved).unwrap().ino(), inode);
    place.verify(&moved).unwrap();
}

#[test]
fn a_file_that_is_open_for_writing_is_refused() {
    let place = Place::new();
    // Until its input ends, which it does not before this test has killed it.
    let script = "exec 3>>\"$1\"; echo open; exec cat";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh", place.plain.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::OpenForWriting { .. }),
            place.encrypt(&EncryptOptions::default(), &Recorder::default()),
            "encrypt"
        );
    }));
    child.kill().unwrap();
    child.wait().unwrap();
    outcome.unwrap();
    place.encrypt(&EncryptOptions::default(), &Recorder::default()).unwrap();
}

/// A second job on the file while the first is in its callback, and what comes of both.
fn second_job() -> (JobError, Result<JobReport, JobError>, Place) {
    let place = Place::new();
    let (sender, receiver) = mpsc::channel();
    let (path, recipient) = (place.plain.clone(), place.keys.recipient.clone());
    let (result, _) = place.encrypt_during(&EncryptOptions::default(), move || {
        let second =
            move || encrypt_in_place(&path, &[recipient], &EncryptOptions::default(), &Control::silent());
        sender.send(std::thread::spawn(move || second().unwrap_err()).join().unwrap()).unwrap();
    });
    (receiver.recv().unwrap(), result, place)
}

#[test]
fn a_second_job_is_refused_and_does_not_disturb_the_first() {
    let (second, first, place) = second_job();
    assert_eq!(second.class(), ErrorClass::Refused, "{second:?}");
    first.unwrap();
    place.verify(&place.sealed).unwrap();
    place.decrypt(&place.sealed).unwrap();
    assert_eq!(digest(&place.plain), place.content);
}

#[test]
fn a_second_job_is_told_of_the_first() {
    let (second, _, _) = second_job();
    assert!(matches!(second, JobError::Refused(Refusal::Locked { .. })), "{second:?}");
}

#[test]
fn a_second_resume_is_refused_and_does_not_disturb_the_first() {
    let place = Place::new();
    support::interrupt_encrypt(&place.plain, &place.keys, &EncryptOptions::default());
    let (sender, receiver) = mpsc::channel();
    let path = place.plain.clone();
    let recorder = Recorder::at_first_window(move || {
        let result = rollback(&path, &Identities::none(), &ResumeOptions::default(), &Control::silent());
        sender.send(result.unwrap_err()).unwrap();
    });
    let options = ResumeOptions::default();
    resume(&place.plain, &Identities::none(), &options, &recorder.control()).unwrap();
    assert_eq!(receiver.recv().unwrap().class(), ErrorClass::Refused);
    place.verify(&place.sealed).unwrap();
}

#[test]
fn a_write_to_what_is_not_converted_yet_stops_the_job_which_can_go_on() {
    for (io, resilience) in
        [(IoChoice::Buffered, ResilienceChoice::Checksum), (IoChoice::Mmap, ResilienceChoice::Journal)]
    {
        for forward in [true, false] {
            let place = Place::new();
            let path = place.plain.clone();
            let (result, _) = place.encrypt_during(&with_store(io, resilience), move || {
                write_at(&path, LEN - 5000, b"changed");
            });
            let error = result.expect_err("somebody wrote");
            assert_eq!(error.class(), ErrorClass::Interrupted, "{error:?}");
            let changed =
                matches!(error, JobError::Interrupted { cause: InterruptCause::ChangedByOthers { .. }, .. });
            assert!(changed, "{error:?}");
            place.go_on(forward, io).unwrap();
            if forward {
                place.verify(&place.sealed).unwrap();
                place.decrypt(&place.sealed).unwrap();
            }
            let expected = place.path().join("expected");
            write_content(&expected, LEN, 31);
            write_at(&expected, LEN - 5000, b"changed");
            assert_eq!(digest(&place.plain), digest(&expected), "the write is kept, and all the rest");
        }
    }
}

#[test]
fn a_write_to_what_is_converted_is_found_by_rollback_and_verify() {
    let place = Place::new();
    support::interrupt_encrypt(&place.plain, &place.keys, &EncryptOptions::default());
    let right = fs::read(&place.plain).unwrap();
    support::flip(&place.plain, 70_000, 1);
    let error = place.go_on(false, IoChoice::Auto).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Damaged, "{error:?}");
    let chunk = matches!(
        error,
        JobError::Interrupted {
            cause: InterruptCause::Damaged(Damage::Chunk { chunk: 1, offset: 65536 }),
            ..
        } | JobError::Open(OpenError::Damaged { .. })
    );
    assert!(chunk, "{error:?}");
    // Once the byte is put back, so is the file.
    assert_eq!(fs::read(&place.plain).unwrap().len(), right.len(), "nothing was cut off");
    write_at(&place.plain, 65536, &right[65536..131_072]);
    place.go_on(false, IoChoice::Auto).unwrap();
    assert_eq!(digest(&place.plain), place.content);
}

/// All windows are prepared before the write comes, so none is left to be looked at.
#[test]
fn a_write_behind_the_last_window_is_noticed_before_the_file_is_called_sealed() {
    let place = Place::new();
    set_len(&place.plain, WINDOW);
    let path = place.plain.clone();
    let stores = [
        (IoChoice::Buffered, ResilienceChoice::Checksum),
        (IoChoice::Mmap, ResilienceChoice::Process),
        (IoChoice::Buffered, ResilienceChoice::None),
    ];
    for (io, resilience) in stores {
        let deed = {
            let path = path.clone();
            move || write_at(&path, 70_000, b"12345")
        };
        let options = EncryptOptions { accept_data_loss: true, ..with_store(io, resilience) };
        let error = place.encrypt_during(&options, deed).0.expect_err("somebody wrote");
        assert!(
            matches!(error, JobError::Interrupted { cause: InterruptCause::ChangedByOthers { .. }, .. }),
            "{resilience:?}: {error:?}"
        );
        let identities = place.keys.identities();
        // Nobody knows whether another journal can still bring the chunk back, so that it is lost must be said.
        let error = resume(&path, &identities, &ResumeOptions::default(), &Control::silent())
            .expect_err("a chunk is in neither form");
        let named = matches!(
            &error,
            JobError::Open(OpenError::Damaged { damage: Damage::InNeitherForm { first_chunk: 1, .. }, .. })
        );
        assert!(named, "{resilience:?}: {error:?}");
        let accepting = ResumeOptions { accept_damage: true, ..ResumeOptions::default() };
        let error = resume(&path, &identities, &accepting, &Control::silent()).expect_err("a chunk is lost");
        let named = matches!(
            &error,
            JobError::Open(OpenError::Damaged { damage: Damage::Chunk { chunk: 1, .. }, .. })
        );
        assert!(named, "{resilience:?}: {error:?}");
        fs::remove_file(&place.sealed).unwrap();
        write_content(&path, WINDOW, 31);
    }
}

#[test]
fn truncation_during_the_job_stops_it_whatever_the_store() {
    pageseal::process::install_sigbus_handler().unwrap();
    for (io, resilience) in [
        (IoChoice::Buffered, ResilienceChoice::Checksum),
        (IoChoice::Buffered, ResilienceChoice::Journal),
        (IoChoice::Mmap, ResilienceChoice::Journal),
        (IoChoice::Mmap, ResilienceChoice::Process),
        (IoChoice::Mmap, ResilienceChoice::None),
    ] {
        let place = Place::new();
        let path = place.plain.clone();
        let options = EncryptOptions {
            accept_data_loss: resilience == ResilienceChoice::None,
            ..with_store(io, resilience)
        };
        let (result, _) = place.encrypt_during(&options, move || set_len(&path, WINDOW + 100_001));
        let error = result.expect_err("the file was cut");
        let case = format!("{io:?}, {resilience:?}");
        assert_eq!(error.class(), ErrorClass::Interrupted, "{case}: {error:?}");
        for forward in [true, false] {
            assert_refused!(
                place.path(),
                Damaged,
                JobError::Open(OpenError::Damaged {
                    damage: Damage::Length { .. } | Damage::Unprotected,
                    ..
                }),
                place.go_on(forward, IoChoice::Auto),
                "{case}, forward: {forward}"
            );
        }
        let key = support::runtime_job_key(&place.path().join("file.pageseal-journal")).unwrap();
        let _ = fs::remove_file(key);
    }
}

#[test]
fn a_truncated_file_is_damaged_for_a_resume_through_a_mapping_too() {
    let place = Place::new();
    support::interrupt_encrypt(
        &place.plain,
        &place.keys,
        &with_store(IoChoice::Mmap, ResilienceChoice::Journal),
    );
    set_len(&place.plain, LEN - 1);
    for forward in [true, false] {
        assert_refused!(
            place.path(),
            Damaged,
            JobError::Open(OpenError::Damaged { damage: Damage::Length { .. }, .. }),
            place.go_on(forward, IoChoice::Mmap),
            "forward: {forward}"
        );
    }
}

#[test]
fn appended_bytes_stop_the_job_and_are_not_cut_off() {
    let place = Place::new();
    let path = place.plain.clone();
    let (result, _) = place.encrypt_during(&EncryptOptions::default(), move || {
        let end = fs::metadata(&path).unwrap().len();
        write_at(&path, end, b"appended");
    });
    let error = result.expect_err("somebody appended");
    assert!(
        matches!(error, JobError::Interrupted { cause: InterruptCause::ChangedByOthers { .. }, .. }),
        "{error:?}"
    );
    for forward in [true, false] {
        assert_refused!(
            place.path(),
            Damaged,
            JobError::Open(OpenError::Damaged { damage: Damage::Length { .. }, .. }),
            place.go_on(forward, IoChoice::Auto),
            "forward: {forward}"
        );
    }
    set_len(&place.plain, support::layout(LEN).sealed_len());
    place.go_on(false, IoChoice::Auto).unwrap();
    assert_eq!(digest(&place.plain), place.content);
}

#[test]
fn a_panic_in_the_callers_callback_does_not_hang_the_job() {
    let place = Place::new();
    let (path, recipient) = (place.plain.clone(), place.keys.recipient.clone());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let recorder = Recorder::at_first_window(|| panic!("the caller's own, on purpose"));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            encrypt_in_place(&path, &[recipient], &EncryptOptions::default(), &recorder.control()).is_err()
        }));
        let _ = sender.send(result.unwrap_or(true));
    });
    // The sender is gone if the thread is, so only a job that hangs waits here for ever.
    let ended = receiver.recv().unwrap();
    assert!(ended, "a job without its caller does not succeed");
    place.go_on(false, IoChoice::Auto).unwrap();
    assert_eq!(digest(&place.plain), place.content);
}

/// Reserving the space of many holes takes a while. What somebody appends meanwhile is neither written over nor cut off.
#[test]
fn what_is_appended_while_space_is_reserved_stays() {
    const HOLES: u64 = 20_000;
    const STEP: u64 = 16 << 10;
    let folder = folder();
    let key_folder = support::folder();
    let keys = Keys::new(key_folder.path());
    let path = folder.path().join("log");
    let file = File::create(&path).unwrap();
    file.set_len(HOLES * STEP).unwrap();
    for hole in 0..HOLES {
        file.write_all_at(&[1; 4096], hole * STEP).unwrap();
    }
    file.sync_all().unwrap();
    drop(file);
    let before = fs::metadata(&path).unwrap();
    let appended = b"a line of somebody else's";
    let options = EncryptOptions { allow_sparse: true, ..EncryptOptions::default() };
    let result = std::thread::scope(|scope| {
        let job = scope.spawn(|| {
            let recipients = std::slice::from_ref(&keys.recipient);
            encrypt_in_place(&path, recipients, &options, &Control::silent())
        });
        while fs::metadata(&path).is_ok_and(|now| now.blocks() <= before.blocks() + 100) && !job.is_finished()
        {
            std::thread::yield_now();
        }
        let mut log = File::options().append(true).open(&path).unwrap();
        log.write_all(appended).unwrap();
        drop(log);
        job.join().unwrap()
    });
    let now = fs::read(&path).unwrap();
    assert!(now.windows(appended.len()).any(|bytes| bytes == appended), "the line is gone: {result:?}");
    // Where it came before the file grew, nothing else is there.
    match result {
        Err(JobError::Refused(Refusal::OpenForWriting { .. })) => {
            assert_eq!(now.len() as u64, before.len() + appended.len() as u64);
            assert_eq!(&now[before.len() as usize..], appended);
            assert_eq!(names_in(folder.path()), ["log"]);
        }
        Err(JobError::Interrupted { cause: InterruptCause::ChangedByOthers { .. }, .. }) => {}
        other => panic!("{other:?}"),
    }
}
