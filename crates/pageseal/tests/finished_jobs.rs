//! Jobs that were over but for names, keys and the journal's removal.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Identities, Input, JobError, JobOutcome, JobReport, Output,
    ResumeOptions, encrypt_in_place, encrypt_to, resume, rollback, verify,
};
use pageseal_format::journal::{PHASE_LEN, PHASE_OFFSETS};
use support::{
    Keys, WINDOW, digest, fix_checksum, folder, interrupt_decrypt, interrupt_encrypt, names_in, sealed_file,
    write_content,
};

const LEN: u64 = 7 * WINDOW + 5000;
const FINISHED: u8 = 6;

type GoOn = fn(&Path, &Identities, &ResumeOptions, &Control<'_>) -> Result<JobReport, JobError>;
const BOTH: [GoOn; 2] = [resume, rollback];

/// The journal as the run that ended the job left it, if it was killed before it could be removed.
fn finished(journal: &[u8]) -> Vec<u8> {
    let mut journal = journal.to_vec();
    let at = PHASE_OFFSETS.map(|offset| offset as usize);
    let sequence = |at: &usize| u64::from_le_bytes(journal[at + 8..at + 16].try_into().unwrap());
    let newest = at.into_iter().max_by_key(sequence).unwrap();
    journal[newest + 32] = FINISHED;
    fix_checksum(&mut journal[newest..newest + PHASE_LEN]);
    journal
}

fn go_on(call: GoOn, path: &Path) -> JobReport {
    let options = ResumeOptions { decrypt: true, ..ResumeOptions::default() };
    call(path, &Identities::none(), &options, &Control::silent()).unwrap()
}

/// Then the file that the decrypt leaves has a trailer, as one has that is not opened yet.
#[test]
fn a_decrypt_whose_plaintext_is_a_sealed_file_can_be_ended() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let (inner, content) = sealed_file(folder.path(), &keys, "file", LEN);
    let outer = folder.path().join("file.sealed.sealed");
    let (input, output) = (Input::File(inner.clone()), Output::File(outer.clone()));
    let recipients = std::slice::from_ref(&keys.recipient);
    encrypt_to(&input, &output, recipients, &EncryptOptions::default(), &Control::silent()).unwrap();
    fs::remove_file(&inner).unwrap();
    let journal = interrupt_decrypt(&outer, &keys, &DecryptOptions::default());
    let left = finished(&fs::read(&journal).unwrap());
    let options = ResumeOptions { decrypt: true, ..ResumeOptions::default() };
    resume(&outer, &keys.identities(), &options, &Control::silent()).unwrap();
    let names = names_in(folder.path());
    for call in BOTH {
        for renamed in [true, false] {
            if !renamed {
                fs::rename(&inner, &outer).unwrap();
            }
            fs::write(&journal, &left).unwrap();
            let report = go_on(call, &outer);
            assert_eq!((report.outcome, report.path.as_ref()), (JobOutcome::Plain, Some(&inner)));
            assert_eq!(names_in(folder.path()), names, "was renamed: {renamed}");
        }
    }
    pageseal::decrypt_in_place(&inner, &keys.identities(), &DecryptOptions::default(), &Control::silent())
        .unwrap();
    assert_eq!(digest(&folder.path().join("file")), content);
}

/// The sealed file that such a decrypt begins with is no more than its FINISHED journal says.
#[test]
fn a_finished_decrypt_is_not_believed_of_the_file_that_is_still_sealed() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let kept = fs::read(&sealed).unwrap();
    let journal = interrupt_decrypt(&sealed, &keys, &DecryptOptions::default());
    let left = finished(&fs::read(&journal).unwrap());
    fs::write(&sealed, &kept).unwrap();
    fs::write(&journal, left).unwrap();
    for call in BOTH {
        let options = ResumeOptions { decrypt: true, ..ResumeOptions::default() };
        call(&sealed, &keys.identities(), &options, &Control::silent()).expect_err("it is sealed");
        assert_eq!(fs::read(&sealed).unwrap(), kept);
    }
}

/// Where a file system cannot rename without replacing, a name is linked and the other removed; a
/// crash in between leaves both.
#[test]
fn a_second_name_that_a_cut_renaming_left_is_removed() {
    let folder = folder();
    let key_folder = support::folder();
    let keys = Keys::new(key_folder.path());
    let plain = folder.path().join("file");
    let sealed = folder.path().join("file.sealed");
    write_content(&plain, LEN, 9);
    let journal = interrupt_encrypt(&plain, &keys, &EncryptOptions::default());
    let left = finished(&fs::read(&journal).unwrap());
    resume(&plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
    for call in BOTH {
        for given in [&plain, &sealed] {
            fs::hard_link(&sealed, &plain).unwrap();
            fs::write(&journal, &left).unwrap();
            let report = go_on(call, given);
            assert_eq!(report.path.as_ref(), Some(&sealed));
            assert_eq!(names_in(folder.path()), ["file.sealed"], "given {given:?}");
            assert_eq!(fs::metadata(&sealed).unwrap().nlink(), 1);
        }
    }
    verify(&sealed, &keys.identities(), None, &Control::silent()).unwrap();
}

/// With `--keep-name` a job renames nothing, so another name is the user's own.
#[test]
fn another_name_stays_where_the_job_keeps_its_own() {
    let folder = folder();
    let key_folder = support::folder();
    let keys = Keys::new(key_folder.path());
    let plain = folder.path().join("file");
    write_content(&plain, LEN, 9);
    fs::hard_link(&plain, folder.path().join("file.sealed")).unwrap();
    let options = EncryptOptions { keep_name: true, allow_links: true, ..EncryptOptions::default() };
    let journal = interrupt_encrypt(&plain, &keys, &options);
    let left = finished(&fs::read(&journal).unwrap());
    resume(&plain, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
    fs::write(&journal, &left).unwrap();
    go_on(resume, &plain);
    assert_eq!(names_in(folder.path()), ["file", "file.sealed"]);
}

/// A job key that cannot be removed is told.
struct Unremovable(PathBuf);

impl Drop for Unremovable {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_job_key_that_stays_is_named() {
    let folder = folder();
    let key_folder = support::folder();
    let keys = Keys::new(key_folder.path());
    let plain = folder.path().join("file");
    write_content(&plain, LEN, 9);
    let journal = folder.path().join("file.pageseal-journal");
    let (sender, receiver) = std::sync::mpsc::channel();
    // A folder cannot be removed as a file is.
    let recorder = support::Recorder::at_first_window(move || {
        let key = support::runtime_job_key(&journal).filter(|path| path.exists());
        if let Some(key) = &key {
            fs::remove_file(key).unwrap();
            fs::create_dir(key).unwrap();
        }
        sender.send(key).unwrap();
    });
    let recipients = std::slice::from_ref(&keys.recipient);
    encrypt_in_place(&plain, recipients, &EncryptOptions::default(), &recorder.control()).unwrap();
    let Some(key) = receiver.recv().unwrap().map(Unremovable) else {
        support::skip("memory-backed storage of one's own");
        return;
    };
    let told = format!("{:?}", recorder.notices());
    assert!(told.contains(&format!("JobKeyLeft {{ key: {:?} }}", key.0)), "{told}");
}
