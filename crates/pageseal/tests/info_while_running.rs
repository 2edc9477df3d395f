//! What `info` tells of a job at every window, without a key and from outside, and after it has failed.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pageseal::{
    Cancellation, Control, DecryptOptions, EncryptOptions, Identities, InterruptCause, IoChoice, JobError,
    JournalInfo, Progress, ResilienceChoice, ResumeOptions, Stage, decrypt_in_place, encrypt_in_place, info,
    rollback,
};
use support::{Keys, WINDOW, folder, write_content};

/// 23 whole windows and the beginning of one more, in which a ring of four slots goes round several times.
const LEN: u64 = 23 * WINDOW + 70_001;

/// Windows that can be recorded and not yet retired: those of the ring but one.
const IN_FLIGHT: u64 = 3;

/// Looks at a job from outside whenever a window is settled; the job is held meanwhile.
struct Onlooker {
    path: PathBuf,
    seen: Mutex<Vec<Seen>>,
    /// What was settled before, in bytes; `None` while nothing is being converted.
    settled: Mutex<Option<u64>>,
    /// Asks the job to stop after so many windows.
    stop: Option<(usize, Cancellation)>,
}

/// What is settled, and what `info` tells of that.
type Seen = (u64, JournalInfo);

impl Onlooker {
    fn new(path: &Path, stop: Option<(usize, Cancellation)>) -> Self {
        Onlooker { path: path.into(), seen: Mutex::default(), settled: Mutex::default(), stop }
    }

    fn seen(self) -> Vec<Seen> {
        self.seen.into_inner().unwrap()
    }
}

impl Progress for Onlooker {
    fn stage(&self, stage: Stage, _: u64, done_bytes: u64) {
        let converting = matches!(stage, Stage::Encrypting | Stage::Decrypting);
        *self.settled.lock().unwrap() = converting.then_some(done_bytes);
    }

    fn advance(&self, bytes: u64) {
        let mut settled = self.settled.lock().unwrap();
        let Some(settled) = settled.as_mut() else { return };
        *settled += bytes;
        let told = info(&self.path, None).unwrap().journal.expect("a journal");
        let mut seen = self.seen.lock().unwrap();
        seen.push((*settled, told));
        if let Some((windows, cancellation)) = &self.stop
            && seen.len() == *windows
        {
            cancellation.cancel();
        }
    }
}

/// What is told never goes beyond what is settled, and is at most the windows in flight behind it.
fn check(case: &str, seen: &[Seen], rolling_back: bool) {
    assert!(seen.len() >= 8, "{case}: only {} windows", seen.len());
    for (settled, told) in seen {
        let case = format!("{case}, {settled} bytes settled: {told:?}");
        assert_eq!(
            (told.phase, told.rolling_back, told.total_bytes),
            ("RUNNING", rolling_back, LEN),
            "{case}"
        );
        if told.resilience == "none" {
            assert_eq!(told.done_bytes, None, "{case}: nothing records it");
            continue;
        }
        let done = told.done_bytes.expect("records say it");
        assert!(done <= *settled, "{case}");
        assert!(*settled <= done + told.in_flight_bytes, "{case}");
        assert!(done + told.in_flight_bytes <= LEN, "{case}");
        assert!(told.in_flight_bytes <= IN_FLIGHT * WINDOW, "{case}");
    }
    let of_jobs_with_records = seen.iter().filter_map(|(_, told)| told.done_bytes);
    let told: Vec<u64> = of_jobs_with_records.collect();
    assert!(told.is_sorted(), "{case}: {told:?}");
}

#[test]
fn at_every_window_of_every_job_info_tells_how_far_it_is() {
    let place = folder();
    let keys = Keys::new(place.path());
    let (plain, sealed) = (place.path().join("file"), place.path().join("file.sealed"));
    write_content(&plain, LEN, 5);
    let recipients = std::slice::from_ref(&keys.recipient);
    let (identities, threads) = (keys.identities(), Some(2));
    for (io, resilience) in [
        (IoChoice::Buffered, ResilienceChoice::Checksum),
        (IoChoice::Buffered, ResilienceChoice::Journal),
        (IoChoice::Buffered, ResilienceChoice::Process),
        (IoChoice::Mmap, ResilienceChoice::None),
    ] {
        let accept_data_loss = resilience == ResilienceChoice::None;
        let encrypting = EncryptOptions { io, resilience, accept_data_loss, threads, ..Default::default() };
        let decrypting = DecryptOptions { io, resilience, accept_data_loss, threads, ..Default::default() };
        let going_back = ResumeOptions { io, threads, ..Default::default() };
        let case = |job: &str| format!("{job}, {resilience:?}");

        // Half of an encrypt, and back.
        let cancellation = Cancellation::new();
        let onlooker = Onlooker::new(&plain, Some((14, cancellation.clone())));
        let control = Control { progress: &onlooker, cancellation };
        let stopped = encrypt_in_place(&plain, recipients, &encrypting, &control).expect_err("was stopped");
        check(&case("encrypt"), &onlooker.seen(), false);
        assert_eq!(info(&plain, None).unwrap().journal.unwrap().done_bytes, Some(done_bytes(&stopped)));
        let onlooker = Onlooker::new(&plain, None);
        let control = Control { progress: &onlooker, cancellation: Cancellation::new() };
        rollback(&plain, &Identities::none(), &going_back, &control).unwrap();
        check(&case("rollback of encrypt"), &onlooker.seen(), true);

        // The same with a decrypt.
        encrypt_in_place(&plain, recipients, &encrypting, &Control::silent()).unwrap();
        let cancellation = Cancellation::new();
        let onlooker = Onlooker::new(&sealed, Some((14, cancellation.clone())));
        let control = Control { progress: &onlooker, cancellation };
        let stopped = decrypt_in_place(&sealed, &identities, &decrypting, &control).expect_err("was stopped");
        check(&case("decrypt"), &onlooker.seen(), false);
        assert_eq!(info(&sealed, None).unwrap().journal.unwrap().done_bytes, Some(done_bytes(&stopped)));
        let onlooker = Onlooker::new(&sealed, None);
        let control = Control { progress: &onlooker, cancellation: Cancellation::new() };
        rollback(&sealed, &identities, &going_back, &control).unwrap();
        check(&case("rollback of decrypt"), &onlooker.seen(), true);
        decrypt_in_place(&sealed, &identities, &decrypting, &Control::silent()).unwrap();
    }
}

fn done_bytes(error: &JobError) -> u64 {
    match error {
        JobError::Interrupted { done_bytes, .. } => *done_bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_job_has_failed_info_agrees_with_its_error() {
    let place = folder();
    let keys = Keys::new(place.path());
    let plain = place.path().join("file");
    write_content(&plain, LEN, 6);
    let (file, at) = (plain.clone(), 12 * WINDOW);
    let recorder = support::Recorder::at_first_window(move || support::flip(&file, at, 1));
    // With fingerprints taken when the window is prepared, or when it is stored: noticed by one of the two, or
    // by the watch on the file at the latest.
    let options = EncryptOptions { io: IoChoice::Buffered, threads: Some(2), ..Default::default() };
    let recipients = std::slice::from_ref(&keys.recipient);
    let error = encrypt_in_place(&plain, recipients, &options, &recorder.control()).expect_err("was changed");
    assert!(
        matches!(&error, JobError::Interrupted { cause: InterruptCause::ChangedByOthers { .. }, .. }),
        "{error:?}"
    );
    let told = info(&plain, None).unwrap().journal.unwrap();
    let (done, done_by_error) = (told.done_bytes.unwrap(), done_bytes(&error));
    assert!(done_by_error > 0, "{error:?}");
    assert!(done <= done_by_error && done_by_error <= done + told.in_flight_bytes, "{told:?}, {error:?}");
}

/// An encrypt that has made its file longer and not marked it yet: the plaintext is as long as it
/// was.
#[test]
fn while_a_file_is_only_longer_info_tells_how_long_its_content_is() {
    const LEN: u64 = 7 * WINDOW + 5000;
    let (folder, elsewhere) = (folder(), folder());
    let keys = Keys::new(elsewhere.path());
    let file = folder.path().join("file");
    write_content(&file, LEN, 3);
    let journal = support::interrupt_encrypt(&file, &keys, &EncryptOptions::default());
    let geometry = support::layout(LEN);
    for offset in [geometry.superblock_a_offset(), geometry.superblock_b_offset()] {
        support::write_at(&file, offset, &[0; 4096]);
    }
    let mut bytes = std::fs::read(&journal).unwrap();
    for phase in [1, 2] {
        for at in pageseal_format::journal::PHASE_OFFSETS.map(|at| at as usize) {
            bytes[at + 32] = phase;
            support::fix_checksum(&mut bytes[at..at + 4096]);
        }
        std::fs::write(&journal, &bytes).unwrap();
        let told = info(&file, None).unwrap();
        assert_eq!(told.journal.as_ref().unwrap().phase, ["CREATED", "GROWN"][phase as usize - 1]);
        assert_eq!((told.data_len_bytes, told.file_len_bytes), (LEN, geometry.sealed_len()));
    }
    // A journal of something longer than the file says nothing of it.
    support::set_len(&file, LEN - 1);
    assert_eq!(info(&file, None).unwrap().data_len_bytes, LEN - 1);
}
