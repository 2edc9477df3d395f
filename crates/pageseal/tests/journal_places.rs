//! Where a journal may lie, and where none is looked for though one lies there.

#[macro_use]
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Identities, IdentitySource, JobError, KeyError, Passphrase,
    PassphrasePrompt, Recipient, ResumeOptions, decrypt_in_place, encrypt_in_place, resume, rollback, verify,
};
use support::{Keys, Recorder, WINDOW, digest, folder, interrupt_encrypt, layout, names_in, write_content};

const LEN: u64 = 7 * WINDOW + 5000;

struct Place {
    folder: support::Folder,
    elsewhere: support::Folder,
    keys: Keys,
    file: PathBuf,
    content: [u8; 32],
}

impl Place {
    fn new() -> Self {
        let (folder, elsewhere) = (folder(), folder());
        let keys = Keys::new(elsewhere.path());
        let file = folder.path().join("file");
        let content = write_content(&file, LEN, 5);
        Place { folder, elsewhere, keys, file, content }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sealed(&self) -> PathBuf {
        self.path().join("file.sealed")
    }

    fn encrypt(&self, path: &Path, journal: Option<PathBuf>) -> Result<pageseal::JobReport, JobError> {
        let options = EncryptOptions { journal, ..EncryptOptions::default() };
        encrypt_in_place(path, std::slice::from_ref(&self.keys.recipient), &options, &Control::silent())
    }
}

/// The job would take the name that the file is to get, or look for its journal in the file itself.
#[test]
fn a_journal_under_a_name_of_its_own_file_is_refused() {
    let place = Place::new();
    let link = place.elsewhere.path().join("link");
    symlink(place.path(), &link).unwrap();
    let folders =
        [place.path().to_path_buf(), link, place.path().join("../").join(place.path().file_name().unwrap())];
    for folder in &folders {
        for name in ["file.sealed", "file"] {
            let journal = folder.join(name);
            assert_refused!(
                place.path(),
                Refused,
                JobError::Refused(_),
                place.encrypt(&place.file, Some(journal.clone())),
                "encrypt, {journal:?}"
            );
        }
    }
    let options = EncryptOptions { journal: None, ..EncryptOptions::default() };
    interrupt_encrypt(&place.file, &place.keys, &options);
    for folder in &folders {
        for name in ["file.sealed", "file"] {
            let options = ResumeOptions { journal: Some(folder.join(name)), ..ResumeOptions::default() };
            for call in [resume, rollback] {
                let case = format!("{:?}", options.journal);
                let before = support::Snapshot::of(place.path());
                let error =
                    call(&place.file, &Identities::none(), &options, &Control::silent()).expect_err(&case);
                before.assert_unchanged(place.path(), &case);
                let told = error.to_string();
                assert!(
                    told.contains("as its journal") && error.class() == pageseal::ErrorClass::Refused,
                    "{told}"
                );
            }
        }
    }
    // Beside the file, by whatever path, it is no name of the file's.
    let beside = folders[1].join("file.pageseal-journal");
    let options = ResumeOptions { journal: Some(beside), ..ResumeOptions::default() };
    resume(&place.file, &Identities::none(), &options, &Control::silent()).unwrap();
    let options = DecryptOptions { journal: Some(folders[1].join("file")), ..DecryptOptions::default() };
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(_),
        decrypt_in_place(&place.sealed(), &place.keys.identities(), &options, &Control::silent()),
        "decrypt"
    );
}

/// Under a name that nobody looks for, it is a file like any other; but its job could not go on.
#[test]
fn a_journal_of_an_open_job_is_not_sealed() {
    let place = Place::new();
    let odd = place.path().join("notes.txt");
    let options = EncryptOptions { journal: Some(odd.clone()), ..EncryptOptions::default() };
    interrupt_encrypt(&place.file, &place.keys, &options);
    let error = place.encrypt(&odd, None).expect_err("a journal");
    assert!(error.to_string().contains("journal of an interrupted encrypt"), "{error}");
    assert_refused!(place.path(), Refused, JobError::Refused(_), place.encrypt(&odd, None), "a journal");
    let options = ResumeOptions { journal: Some(odd), ..ResumeOptions::default() };
    rollback(&place.file, &Identities::none(), &options, &Control::silent()).unwrap();
    assert_eq!(digest(&place.file), place.content);
    assert_eq!(names_in(place.path()), ["file"]);
}

/// Moves the folder away while the key is asked for, and puts another in its place.
struct Exchange {
    folder: PathBuf,
}

const PASSPHRASE: &str = "correct horse";

impl PassphrasePrompt for Exchange {
    fn ask(&self, _: &str) -> Result<Option<Passphrase>, KeyError> {
        let away = self.folder.with_extension("away");
        if !away.exists() {
            fs::rename(&self.folder, &away).unwrap();
            fs::create_dir(&self.folder).unwrap();
        }
        Ok(Some(Passphrase::from_string(PASSPHRASE.to_owned())))
    }
}

/// Whoever may rename a folder could lead a journal of root's elsewhere, and away from its file.
#[test]
fn the_journal_lies_in_the_folder_that_the_file_was_opened_in() {
    let place = Place::new();
    let folder = place.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::rename(&place.file, folder.join("file")).unwrap();
    let recipient = Recipient::passphrase(Passphrase::from_string(PASSPHRASE.to_owned()));
    let options = EncryptOptions::default();
    encrypt_in_place(&folder.join("file"), &[recipient], &options, &Control::silent()).unwrap();

    let prompt = Exchange { folder: folder.clone() };
    let identities = Identities::load([IdentitySource::Prompt], Arc::new(prompt)).unwrap();
    let away = folder.with_extension("away");
    let (there, here) = (away.clone(), folder.clone());
    let seen = Arc::new(std::sync::Mutex::new(None));
    let sees = Arc::clone(&seen);
    let recorder = Recorder::at_first_window(move || {
        *sees.lock().unwrap() = Some((names_in(&there), names_in(&here)));
    });
    decrypt_in_place(
        &folder.join("file.sealed"),
        &identities,
        &DecryptOptions::default(),
        &recorder.control(),
    )
    .unwrap();
    let (there, here) = seen.lock().unwrap().take().unwrap();
    assert_eq!((there, here), (vec!["file.pageseal-journal".into(), "file.sealed".into()], vec![]));
    assert_eq!(names_in(&away), ["file"]);
    assert_eq!(digest(&away.join("file")), place.content);
}

/// An encrypt that was stopped before its superblocks were written, with its journal elsewhere: the
/// file is longer, and nothing but the slots tells.
#[test]
fn a_file_that_an_encrypt_has_grown_is_not_sealed_with_what_it_grew_by() {
    let place = Place::new();
    place.encrypt(&place.file, None).unwrap();
    let geometry = layout(LEN);
    let slots = support::read_at(&place.sealed(), geometry.slot_area_offset(0), 24_576);
    fs::remove_file(place.sealed()).unwrap();
    for copies in [vec![0], vec![1], vec![0, 1]] {
        write_content(&place.file, LEN, 5);
        support::set_len(&place.file, geometry.sealed_len());
        for copy in &copies {
            support::write_at(&place.file, geometry.slot_area_offset(*copy), &slots);
        }
        let error = place.encrypt(&place.file, None).expect_err("a grown file");
        assert!(error.to_string().contains("key slots"), "{error}");
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(_),
            place.encrypt(&place.file, None),
            "{copies:?}"
        );
    }
    // Zeros alone may be anybody's, and so may slots where no encrypt would put them.
    for at in [None, Some(geometry.slot_area_offset(0) + 4096)] {
        write_content(&place.file, LEN, 5);
        support::set_len(&place.file, geometry.sealed_len());
        if let Some(at) = at {
            support::write_at(&place.file, at, &slots);
        }
        place.encrypt(&place.file, None).unwrap();
        verify(&place.sealed(), &place.keys.identities(), None, &Control::silent()).unwrap();
        fs::remove_file(place.sealed()).unwrap();
    }
}
