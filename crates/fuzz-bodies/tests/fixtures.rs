//! The files and journals that fuzzing begins with are sound: without an edit each is accepted. Else everything would be refused
//! at the door and no edit would get any further.

use pageseal::{Control, JobOutcome, Refusal, ResumeOptions, resume, rollback};
use pageseal_format::journal::JobKind;
use pageseal_fuzz_bodies::fixture::{Job, JobState, Sealed};
use pageseal_fuzz_bodies::place::{Place, identities, plaintext};

const LENGTHS: [u64; 6] = [0, 1, 5000, 65536, 70_000, (2 << 16) + 7777];

#[test]
fn sealed_files_open_to_their_plaintext() {
    for len in LENGTHS {
        let sealed = Sealed::new(len);
        let place = Place::new();
        place.write("file.sealed", &sealed.file());
        assert!(plaintext(&place, "file.sealed").unwrap() == sealed.plain, "{len} bytes");
    }
}

#[test]
fn interrupted_jobs_go_on_in_both_directions() {
    for job in Job::all() {
        for backward in [false, true] {
            go(&job, backward);
        }
    }
}

fn go(job: &Job, backward: bool) {
    let case = format!("{:?} {:?} {:?}, backward: {backward}", job.kind, job.header.record_kind, job.state);
    let place = Place::new();
    let name = if job.kind == JobKind::Encrypt { "file" } else { "file.sealed" };
    let inode = place.write(name, &job.file);
    place.write("file.pageseal-journal", &job.document(inode).bytes);
    let options = ResumeOptions { threads: Some(1), decrypt: true, ..ResumeOptions::default() };
    let call = if backward { rollback } else { resume };
    let result = call(&place.path(name), identities(), &options, &Control::silent());

    let undone =
        job.state == JobState::Undoing || job.kind == JobKind::Encrypt && job.state == JobState::Truncating;
    let only_back = undone && !backward;
    let only_on = job.kind == JobKind::Decrypt && job.state == JobState::Truncating && backward;
    if only_back || only_on {
        let error = result.expect_err(&case);
        let expected = match error {
            pageseal::JobError::Refused(Refusal::BeingRolledBack { .. }) => only_back,
            pageseal::JobError::Refused(Refusal::OnlyFinish { .. }) => only_on,
            _ => false,
        };
        assert!(expected, "{case}: {error:?}");
        return;
    }
    let report = result.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    let finished_forward = job.state == JobState::Finished;
    let forward = finished_forward || !(backward || undone);
    let outcome = match forward == (job.kind == JobKind::Encrypt) {
        true => JobOutcome::Sealed,
        false => JobOutcome::Plain,
    };
    assert_eq!(report.outcome, outcome, "{case}");
    let expected = if outcome == JobOutcome::Sealed { "file.sealed" } else { "file" };
    assert_eq!(place.look().names(), [expected], "{case}");
    assert!(plaintext(&place, expected).unwrap() == job.sealed.plain, "{case}: another content");
}
