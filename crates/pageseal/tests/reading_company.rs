//! What reads a file while a job is at it, or was: `-o`, `verify`, `trailer export`. The copy must never be of a file that is half
//! converted.

#[macro_use]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pageseal::{
    Cancellation, Control, DecryptOptions, EncryptOptions, Input, JobError, JobKind, JobReport, Notice,
    OpenError, Output, Progress, Refusal, decrypt_in_place, decrypt_to, encrypt_in_place, encrypt_to,
    export_trailer, verify,
};
use support::{
    Keys, Recorder, WINDOW, digest, folder, interrupt_decrypt, interrupt_encrypt, sealed_file, write_content,
};

const LEN: u64 = 12 * WINDOW;

struct Place {
    folder: support::Folder,
    out: support::Folder,
    keys: Arc<Keys>,
    plain: PathBuf,
}

impl Place {
    fn new() -> Self {
        let (folder, out) = (folder(), folder());
        let keys = Arc::new(Keys::new(out.path()));
        let plain = folder.path().join("file");
        write_content(&plain, LEN, 5);
        Place { folder, out, keys, plain }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn copy(&self) -> Output {
        Output::File(self.out.path().join("copy"))
    }

    fn seal_copy(&self, input: &Path) -> Result<JobReport, JobError> {
        seal_to(&self.keys, input, &self.copy(), &Control::silent())
    }

    fn open_copy(&self, input: &Path) -> Result<JobReport, JobError> {
        let input = Input::File(input.into());
        decrypt_to(
            &input,
            &self.copy(),
            &self.keys.identities(),
            &DecryptOptions::default(),
            &Control::silent(),
        )
    }

    fn assert_no_copy(&self) {
        assert!(!self.out.path().join("copy").exists(), "a copy got its name");
    }
}

fn seal_to(keys: &Keys, input: &Path, output: &Output, control: &Control<'_>) -> Result<JobReport, JobError> {
    let recipients = std::slice::from_ref(&keys.recipient);
    encrypt_to(&Input::File(input.into()), output, recipients, &EncryptOptions::default(), control)
}

/// Runs `deed` when the first piece of an out-of-place run, or batch of a verification, is done.
struct AtFirstPiece(Mutex<Option<Box<dyn FnOnce() + Send>>>, Mutex<Vec<Notice>>);

impl AtFirstPiece {
    fn new(deed: impl FnOnce() + Send + 'static) -> Self {
        AtFirstPiece(Mutex::new(Some(Box::new(deed))), Mutex::default())
    }

    fn control(&self) -> Control<'_> {
        Control { progress: self, cancellation: Cancellation::new() }
    }
}

impl Progress for AtFirstPiece {
    fn advance(&self, _: u64) {
        let deed = self.0.lock().unwrap().take();
        if let Some(deed) = deed {
            deed();
        }
    }

    fn notice(&self, notice: &Notice) {
        self.1.lock().unwrap().push(notice.clone());
    }
}

#[test]
fn nothing_is_read_of_a_file_that_a_job_is_working_on() {
    let place = Arc::new(Place::new());
    let during = Arc::clone(&place);
    let locked = |error: &OpenError| matches!(error, OpenError::Refused(Refusal::Locked { .. }));
    let recorder = Recorder::at_first_window(move || {
        let refused = during.seal_copy(&during.plain).expect_err("encrypt -o");
        assert!(matches!(refused, JobError::Refused(Refusal::Locked { .. })), "{refused:?}");
        let refused = during.open_copy(&during.plain).expect_err("decrypt -o");
        assert!(matches!(refused, JobError::Refused(Refusal::Locked { .. })), "{refused:?}");
        let identities = during.keys.identities();
        let refused = verify(&during.plain, &identities, None, &Control::silent()).expect_err("verify");
        assert!(locked(&refused), "{refused:?}");
        let trailer = during.out.path().join("copy");
        let refused = export_trailer(&during.plain, &trailer).expect_err("export");
        assert!(matches!(refused, JobError::Refused(Refusal::Locked { .. })), "{refused:?}");
        during.assert_no_copy();
    });
    let recipients = std::slice::from_ref(&place.keys.recipient);
    encrypt_in_place(&place.plain, recipients, &EncryptOptions::default(), &recorder.control()).unwrap();
}

#[test]
fn a_half_converted_file_is_not_copied() {
    let place = Place::new();
    let journal = interrupt_encrypt(&place.plain, &place.keys, &EncryptOptions::default());
    for (case, journal_there) in [("with its journal", true), ("without", false)] {
        if !journal_there {
            fs::rename(&journal, place.out.path().join("journal")).unwrap();
        }
        assert_refused!(
            place.path(),
            Interrupted,
            JobError::Open(OpenError::Interrupted { kind: JobKind::Encrypt, .. }),
            place.seal_copy(&place.plain),
            "{case}"
        );
        place.assert_no_copy();
    }
    // Somebody appended to it.
    let mut bytes = fs::read(&place.plain).unwrap();
    bytes.extend_from_slice(&[7; 100]);
    fs::write(&place.plain, bytes).unwrap();
    assert_refused!(
        place.path(),
        Interrupted,
        JobError::Open(OpenError::Interrupted { kind: JobKind::Encrypt, .. }),
        place.seal_copy(&place.plain),
        "with foreign bytes"
    );
    place.assert_no_copy();
}

#[test]
fn nor_one_that_is_half_opened() {
    let place = Place::new();
    let (sealed, _) = sealed_file(place.path(), &place.keys, "other", LEN);
    interrupt_decrypt(&sealed, &place.keys, &DecryptOptions::default());
    for copy in [Place::seal_copy, Place::open_copy] {
        assert_refused!(
            place.path(),
            Interrupted,
            JobError::Open(OpenError::Interrupted { kind: JobKind::Decrypt, .. }),
            copy(&place, &sealed),
            "half opened"
        );
        place.assert_no_copy();
    }
}

#[test]
fn nor_one_beside_which_a_journal_lies() {
    let place = Place::new();
    let (sealed, _) = sealed_file(place.path(), &place.keys, "other", WINDOW);
    fs::write(place.path().join("file.pageseal-journal"), "a journal").unwrap();
    fs::write(place.path().join("other.pageseal-journal"), "a journal").unwrap();
    for input in [&place.plain, &sealed] {
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JobOpen { .. }),
            place.seal_copy(input),
            "{}",
            input.display()
        );
    }
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::JobOpen { .. }),
        place.open_copy(&sealed),
        "decrypt -o"
    );
    place.assert_no_copy();
    // One that was named.
    fs::rename(place.path().join("file.pageseal-journal"), place.out.path().join("journal")).unwrap();
    let options = EncryptOptions { journal: Some(place.out.path().join("journal")), ..Default::default() };
    let recipients = std::slice::from_ref(&place.keys.recipient);
    let input = Input::File(place.plain.clone());
    let refused = encrypt_to(&input, &place.copy(), recipients, &options, &Control::silent());
    assert!(matches!(refused, Err(JobError::Refused(Refusal::JobOpen { .. }))), "{refused:?}");
    place.seal_copy(&place.plain).unwrap();
}

#[test]
fn no_job_begins_on_a_file_that_is_being_read() {
    let place = Place::new();
    let (sealed, content) = sealed_file(place.path(), &place.keys, "other", LEN);
    let begin = |path: &Path, encrypt: bool| {
        let (path, keys) = (path.to_path_buf(), Arc::clone(&place.keys));
        move || {
            let recipients = std::slice::from_ref(&keys.recipient);
            let refused = match encrypt {
                true => encrypt_in_place(&path, recipients, &EncryptOptions::default(), &Control::silent()),
                false => {
                    let options = DecryptOptions::default();
                    decrypt_in_place(&path, &keys.identities(), &options, &Control::silent())
                }
            };
            let refused = refused.expect_err("a job began");
            assert!(matches!(refused, JobError::Refused(Refusal::Locked { .. })), "{refused:?}");
        }
    };
    let copy = place.out.path().join("copy");
    let progress = AtFirstPiece::new(begin(&place.plain, true));
    seal_to(&place.keys, &place.plain, &place.copy(), &progress.control()).unwrap();
    assert!(progress.0.lock().unwrap().is_none(), "the job was tried");
    fs::remove_file(&copy).unwrap();

    let progress = AtFirstPiece::new(begin(&sealed, false));
    let (input, options) = (Input::File(sealed.clone()), DecryptOptions::default());
    let identities = place.keys.identities();
    decrypt_to(&input, &place.copy(), &identities, &options, &progress.control()).unwrap();
    assert!(progress.0.lock().unwrap().is_none(), "the job was tried");
    assert_eq!(digest(&copy), content);

    let progress = AtFirstPiece::new(begin(&sealed, false));
    verify(&sealed, &identities, None, &progress.control()).unwrap();
    assert!(progress.0.lock().unwrap().is_none(), "the job was tried");
    // Two may read at a time, and when all are done a job may begin.
    let (again, keys) = (place.plain.clone(), Arc::clone(&place.keys));
    let second = Output::File(place.out.path().join("second"));
    let progress =
        AtFirstPiece::new(move || drop(seal_to(&keys, &again, &second, &Control::silent()).unwrap()));
    fs::remove_file(&copy).unwrap();
    seal_to(&place.keys, &place.plain, &place.copy(), &progress.control()).unwrap();
    let recipients = std::slice::from_ref(&place.keys.recipient);
    encrypt_in_place(&place.plain, recipients, &EncryptOptions::default(), &Control::silent()).unwrap();
}

#[test]
fn a_file_that_others_write_to_meanwhile_is_copied_with_a_notice() {
    let place = Place::new();
    let path = place.plain.clone();
    let progress = AtFirstPiece::new(move || {
        support::write_at(&path, LEN - 1, b"x");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    });
    seal_to(&place.keys, &place.plain, &place.copy(), &progress.control()).unwrap();
    let expected = Notice::ChangedWhileRead { path: place.plain.clone() };
    assert_eq!(*progress.1.lock().unwrap(), [expected]);
}

#[test]
fn a_sealed_file_at_rest_is_sealed_as_it_is() {
    let place = Place::new();
    let (sealed, _) = sealed_file(place.path(), &place.keys, "other", WINDOW);
    let before = digest(&sealed);
    place.seal_copy(&sealed).unwrap();
    let copy = place.out.path().join("copy");
    let again = Output::File(place.out.path().join("again"));
    let identities = place.keys.identities();
    decrypt_to(&Input::File(copy), &again, &identities, &DecryptOptions::default(), &Control::silent())
        .unwrap();
    assert_eq!(digest(&place.out.path().join("again")), before);
}
