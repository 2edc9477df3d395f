//! An interrupted job whose journal somebody changed.

use std::sync::Arc;

use pageseal::{
    Control, Damage, ErrorClass, JobError, JobReport, OpenError, ResumeOptions, resume, rollback,
};
use pageseal_format::Limits;
use pageseal_format::journal::JobKind;
use pageseal_journal::{Inspection, Journal};

use super::journal_parse::jobs;
use crate::edits::Input;
use crate::fixture::{CHUNK_LOG2, Job, JournalAuthenticator, MemoryLog};
use crate::place::{Place, assert_refusal, identities, plaintext};

const JOURNAL: &str = "file.pageseal-journal";

/// Edits the journal of an interrupted job and goes on with it, forwards or backwards. The file's own content comes out, or
/// nothing happens. A damaged log of a window in flight can stop a recovery between two windows; then the job's own journal must
/// still bring the content back.
pub fn journal_resume(data: &[u8]) {
    let mut input = Input::new(data);
    let jobs = jobs();
    let job = &jobs[usize::from(input.byte()) % jobs.len()];
    let choice = input.byte();
    let (fix, backward) = (choice & 1 != 0, choice & 2 != 0);
    // Without the word that a decrypt needs, once in a while.
    let word = choice & 0x1C != 0x1C;

    let place = Place::new();
    let name = name_of(job);
    let inode = place.write(name, &job.file);
    let mut document = job.document(inode);
    let original = document.bytes.clone();
    document.edit(&mut input, fix);
    let unknown = unknown_chunk(job, &document.bytes);
    place.write(JOURNAL, &document.bytes);
    let before = place.look();

    match go_on(&place, name, backward, word) {
        Ok(_) => assert_content(&place, job, unknown, false),
        // Done, for the sake of the other chunks.
        Err(error) if !place.path(JOURNAL).exists() => {
            assert!(error.class() == ErrorClass::Damaged, "{error:?}");
            assert_content(&place, job, unknown, true);
        }
        Err(error) => {
            assert_refusal(&error, "going on");
            let now = place.look();
            if now != before {
                assert_stopped_not_refused(&error);
                assert!(now.names() == before.names(), "a stop that changed names");
                place.write(JOURNAL, &original);
                recover(&place, name, backward);
                assert_content(&place, job, None, false);
            }
        }
    }
}

fn go_on(place: &Place, name: &str, backward: bool, word: bool) -> Result<JobReport, JobError> {
    let options = ResumeOptions { threads: Some(1), decrypt: word, ..ResumeOptions::default() };
    let call = if backward { rollback } else { resume };
    call(&place.path(name), identities(), &options, &Control::silent())
}

/// With the job's own journal: what was asked for, or the other way where that cannot be had any more.
fn recover(place: &Place, name: &str, backward: bool) {
    if go_on(place, name, backward, true).is_err() {
        go_on(place, name, !backward, true).expect("a stop that destroyed something");
    }
}

/// Something was stored, so it was no refusal: windows in flight were being recovered, or the job was running.
fn assert_stopped_not_refused(error: &JobError) {
    let stopped = matches!(error, JobError::Interrupted { .. }) || error.class() == ErrorClass::Damaged;
    assert!(stopped, "a refusal that changed something: {error:?}");
}

/// The chunk of which nobody can tell what it was: one that is half stored, if the edits took the record of its window. A newest
/// record that is gone looks like one that was never written; `docs/DESIGN.md` section 5 says so under "What is not noticed".
fn unknown_chunk(job: &Job, edited: &[u8]) -> Option<u64> {
    let in_flight = inspect(edited).map_or(Vec::new(), |inspection| inspection.in_flight);
    job.torn.filter(|torn| in_flight.iter().all(|record| record.first_chunk != *torn))
}

fn inspect(bytes: &[u8]) -> Option<Inspection> {
    let log = Arc::new(MemoryLog::of(bytes.to_vec()));
    Journal::open(log, &Limits::PRODUCTION).ok()?.inspect(&JournalAuthenticator).ok()
}

/// The job is over: one file, without a journal, that holds the content in one form or the other. The unknown chunk may hold anything,
/// and need not open if that was said; the others may not.
fn assert_content(place: &Place, job: &Job, unknown: Option<u64>, said_to_be_damaged: bool) {
    let names = place.look().names();
    let [name] = &names[..] else { panic!("not one file is left: {names:?}") };
    let content = match plaintext(place, name) {
        Ok(content) => {
            assert!(!said_to_be_damaged, "{name} opens, and was said to be damaged");
            content
        }
        Err(OpenError::Damaged { damage: Damage::Chunk { chunk, .. }, .. })
            if said_to_be_damaged && Some(chunk) == unknown =>
        {
            return;
        }
        Err(error) => panic!("{name} does not open: {error:?}"),
    };
    let expected = &job.sealed.plain;
    assert_eq!(content.len(), expected.len(), "another length under {name}");
    let chunk_of = |at: usize| at as u64 >> CHUNK_LOG2;
    let at = (0..content.len()).find(|at| content[*at] != expected[*at] && Some(chunk_of(*at)) != unknown);
    assert_eq!(at, None, "another content under {name}");
}

fn name_of(job: &Job) -> &'static str {
    match job.kind {
        JobKind::Encrypt => "file",
        JobKind::Decrypt => "file.sealed",
    }
}
