//! What a job says of its file when it fails: "half converted" only of one that is.

use pageseal::simulation::journal::{PHASE_LEN, PHASE_OFFSETS, Phase, PhaseRecord};
use pageseal::{Control, ErrorClass, InterruptCause, JobError};

use super::scenario::{Job, Scenario};
use super::site::{JOURNAL, Keys, Site};
use super::start::Start;
use crate::disk::Fault;

const FAULT: Fault = Fault::InputOutput { drop_pages: false };

fn phase(site: &Site<'_>) -> Option<Phase> {
    let journal = site.disk.look(|state| state.content(JOURNAL).map(<[u8]>::to_vec))?;
    let parse = |at: &u64| PhaseRecord::parse(&journal[*at as usize..][..PHASE_LEN]).ok();
    PHASE_OFFSETS.iter().filter_map(parse).max_by_key(|phase| phase.sequence).map(|phase| phase.phase)
}

/// How often the error was one that another run can end, and one that leaves nothing to end.
#[derive(Default)]
struct Seen {
    journal_stays: u32,
    journal_gone: u32,
}

fn check(site: &Site<'_>, error: &JobError, case: &str, seen: &mut Seen) {
    match error {
        JobError::Interrupted { cause, .. } => {
            // Where saying FINISHED failed, nobody knows whether it was said.
            let may_be_finished = matches!(cause, InterruptCause::Journal { .. });
            let is_finished = phase(site) == Some(Phase::Finished);
            assert!(may_be_finished || !is_finished, "{case}: half converted? {error}");
            assert!(site.has_journal(), "{case}: nothing to go on with, {error}");
        }
        JobError::NotTidied { path, journal, .. } => {
            assert_eq!(journal.is_some(), site.has_journal(), "{case}: {error:?}");
            match journal {
                Some(_) => {
                    assert_eq!(error.class(), ErrorClass::Interrupted);
                    seen.journal_stays += 1;
                    site.disk.next_process();
                    let ended = site.go_on(false, &Control::silent());
                    ended.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                    site.judge(true).unwrap_or_else(|what| panic!("{case}: {what}"));
                }
                None => {
                    assert_eq!(error.class(), ErrorClass::Refused);
                    site.judge_content(path.to_str().unwrap())
                        .unwrap_or_else(|what| panic!("{case}: {what}"));
                    seen.journal_gone += 1;
                }
            }
        }
        _ => {}
    }
}

/// Every operation of a job fails once, and so does every operation of the run that only ends it.
#[test]
fn a_job_whose_content_is_done_is_never_called_half_converted() {
    let keys = Keys::new().unwrap();
    for job in [Job::Encrypt, Job::Decrypt] {
        let fits = |scenario: &Scenario| scenario.cell.job == job && !scenario.hides_boot;
        let scenario = (0..).map(Scenario::of).find(fits).unwrap();
        let start = Start::of(scenario, &keys, &[]).unwrap();
        let whole = start.site(&keys, 1);
        whole.run().unwrap();
        let mut seen = Seen::default();
        for at in 0..=whole.disk.operations() {
            let site = start.site(&keys, 1);
            site.disk.fail_at(at, FAULT);
            if let Err(error) = site.run() {
                check(&site, &error, &format!("{job:?}, operation {at}"), &mut seen);
            }
        }
        assert!(
            seen.journal_stays > 1 && seen.journal_gone > 0,
            "{job:?}: what was to be seen did not happen"
        );

        let killed = |at| {
            let mut site = start.site(&keys, 1);
            site.disk.fail_at(at, Fault::Kill);
            let _ = site.run();
            site.come_back(Fault::Kill);
            (phase(&site) == Some(Phase::Finished)).then_some(site)
        };
        let left = (0..=whole.disk.operations()).find_map(killed).expect("a kill after FINISHED");
        let mut seen = Seen::default();
        let trial = left.copy(2);
        trial.go_on(false, &Control::silent()).unwrap();
        for at in 0..=trial.disk.operations() {
            let site = left.copy(2);
            site.disk.fail_at(at, FAULT);
            if let Err(error) = site.go_on(false, &Control::silent()) {
                check(&site, &error, &format!("ending {job:?}, operation {at}"), &mut seen);
            }
        }
        assert!(seen.journal_stays > 1 && seen.journal_gone > 0, "ending {job:?}");
    }
}
