//! A file and a journal that are both of the same job, and not of the same moment: what a restore of one of them leaves, or copies
//! that went on apart and changed journals. Either the content comes out, or not a byte is changed: then each fits its right partner
//! as before.

mod support;

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Identities, IoChoice, JobError, JobKeyMode, JobReport, Progress,
    ResilienceChoice, ResumeOptions, Stage, decrypt_in_place, encrypt_in_place, resume, rollback, verify,
};
use support::{Keys, Snapshot, WINDOW, digest, folder, write_content};

const LEN: u64 = 11 * WINDOW + 5000;

/// Stops a job as a kill would, when so many windows are settled: those that are in flight stay so.
struct Killer {
    windows: AtomicUsize,
    converting: AtomicBool,
}

impl Progress for Killer {
    fn stage(&self, stage: Stage, _: u64, _: u64) {
        let converting = matches!(stage, Stage::Encrypting | Stage::Decrypting);
        self.converting.store(converting, Ordering::SeqCst);
    }

    fn advance(&self, _: u64) {
        if self.converting.load(Ordering::SeqCst) && self.windows.fetch_sub(1, Ordering::SeqCst) <= 1 {
            // Without a message.
            resume_unwind(Box::new(()));
        }
    }
}

fn killed(windows: usize, call: impl FnOnce(&Control<'_>) -> Result<JobReport, JobError>) {
    let killer = Killer { windows: windows.into(), converting: AtomicBool::new(false) };
    let control = Control { progress: &killer, ..Control::silent() };
    let error = call(&control).expect_err("was killed");
    assert!(matches!(error, JobError::Interrupted { .. }), "{error:?}");
}

/// What lies in the folder at one moment of the job's life.
struct Moment {
    name: &'static str,
    file: Vec<u8>,
    journal: Vec<u8>,
}

struct Life {
    folder: support::Folder,
    _keys: support::Folder,
    identities: Identities,
    file: PathBuf,
    journal: PathBuf,
    content: [u8; 32],
    options: ResumeOptions,
    moments: Vec<Moment>,
}

impl Life {
    fn new(decrypting: bool, resilience: ResilienceChoice) -> Self {
        let (folder, key_folder) = (folder(), folder());
        let keys = Keys::new(key_folder.path());
        let plain = folder.path().join("file");
        let content = write_content(&plain, LEN, 5);
        let recipients = std::slice::from_ref(&keys.recipient);
        let (threads, io) = (Some(2), IoChoice::Buffered);
        let options = EncryptOptions {
            threads,
            io,
            resilience,
            job_key: JobKeyMode::None,
            keep_name: true,
            ..EncryptOptions::default()
        };
        let identities = keys.identities();
        if decrypting {
            encrypt_in_place(&plain, recipients, &options, &Control::silent()).unwrap();
            let options =
                DecryptOptions { threads, io, resilience, keep_name: true, ..DecryptOptions::default() };
            killed(1, |control| decrypt_in_place(&plain, &identities, &options, control));
        } else {
            killed(1, |control| encrypt_in_place(&plain, recipients, &options, control));
        }
        let journal = folder.path().join("file.pageseal-journal");
        let options = ResumeOptions { threads, io, decrypt: true, ..ResumeOptions::default() };
        let (file, moments) = (plain, Vec::new());
        let mut life =
            Life { folder, _keys: key_folder, identities, file, journal, content, options, moments };
        life.keep("early");
        killed(2, |control| resume(&life.file, &life.identities, &life.options, control));
        life.keep("late");
        killed(1, |control| rollback(&life.file, &life.identities, &life.options, control));
        life.keep("late, being rolled back");
        life.put(0, 0);
        killed(2, |control| resume(&life.file, &life.identities, &life.options, control));
        life.keep("a copy of early that went on for itself");
        life
    }

    fn keep(&mut self, name: &'static str) {
        let (file, journal) = (fs::read(&self.file).unwrap(), fs::read(&self.journal).unwrap());
        self.moments.push(Moment { name, file, journal });
    }

    /// In place, as `cp` does, so that it stays the same inode.
    fn put(&self, file: usize, journal: usize) {
        fs::write(&self.file, &self.moments[file].file).unwrap();
        fs::write(&self.journal, &self.moments[journal].journal).unwrap();
    }

    fn go_on(&self, back: bool) -> Result<JobReport, JobError> {
        let call = if back { rollback } else { resume };
        call(&self.file, &self.identities, &self.options, &Control::silent())
    }

    fn assert_content(&self, case: &str) {
        if digest(&self.file) == self.content {
            return;
        }
        verify(&self.file, &self.identities, Some(2), &Control::silent())
            .unwrap_or_else(|error| panic!("{case}: neither the plaintext nor sealed: {error:?}"));
        let options = DecryptOptions { keep_name: true, ..DecryptOptions::default() };
        decrypt_in_place(&self.file, &self.identities, &options, &Control::silent())
            .unwrap_or_else(|error| panic!("{case}: {error:?}"));
        assert!(digest(&self.file) == self.content, "{case}: opens to something else");
    }

    /// Whether the pair was taken.
    fn assert_recovers_or_refuses(&self, file: usize, journal: usize, back: bool) -> bool {
        let name = |moment: usize| self.moments[moment].name;
        let verb = if back { "rollback" } else { "resume" };
        let case = format!("{verb}, file: {}, journal: {}", name(file), name(journal));
        self.put(file, journal);
        let before = Snapshot::of(self.path());
        match self.go_on(back) {
            Ok(_) => self.assert_content(&case),
            Err(error) => {
                assert!(
                    matches!(error, JobError::Open(_) | JobError::Refused(_)),
                    "{case}: not refused, but stopped: {error:?}"
                );
                before.assert_unchanged(self.path(), &case);
                return false;
            }
        }
        true
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn every_pair_recovers_or_is_refused(decrypting: bool, resilience: ResilienceChoice) {
    let life = Life::new(decrypting, resilience);
    for file in 0..life.moments.len() {
        let taken = [false, true].map(|back| life.assert_recovers_or_refuses(file, file, back));
        assert!(taken[1], "{} can be taken back", life.moments[file].name);
        assert_eq!(taken[0], !life.moments[file].name.contains("rolled back"));
        for journal in (0..life.moments.len()).filter(|journal| *journal != file) {
            for back in [false, true] {
                life.assert_recovers_or_refuses(file, journal, back);
            }
        }
    }
}

#[test]
fn of_an_encrypt_with_fingerprints() {
    every_pair_recovers_or_is_refused(false, ResilienceChoice::Checksum);
}

#[test]
fn of_an_encrypt_with_logged_windows() {
    every_pair_recovers_or_is_refused(false, ResilienceChoice::Journal);
}

#[test]
fn of_a_decrypt_with_fingerprints() {
    every_pair_recovers_or_is_refused(true, ResilienceChoice::Checksum);
}

#[test]
fn of_a_decrypt_with_logged_windows() {
    every_pair_recovers_or_is_refused(true, ResilienceChoice::Journal);
}
