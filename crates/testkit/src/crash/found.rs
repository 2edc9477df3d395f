//! Bugs that the simulation found once, each looked for at every operation where it can come back.

use pageseal::{JobError, JobKeyMode, Refusal};

use super::scenario::{Job, Scenario, Survives};
use super::site::Keys;
use super::start::Start;
use crate::disk::Fault;

/// The first so many scenarios of a kind.
fn scenarios(count: usize, fits: impl Fn(&Scenario) -> bool) -> Vec<Scenario> {
    let is_small = |scenario: &Scenario| scenario.sizes != pageseal::simulation::Sizes::Real;
    let all = (0..).map(Scenario::of).filter(|scenario| !scenario.hides_boot && is_small(scenario));
    all.filter(fits).take(count).collect()
}

/// A job that was refused for want of space left its job key in the freed blocks of the journal.
#[test]
fn a_refused_job_leaves_no_key_on_the_medium() {
    let keys = Keys::new().unwrap();
    let mut refused = 0;
    for scenario in scenarios(8, |it| it.cell.job == Job::Encrypt && matches!(it.job_key, JobKeyMode::Disk)) {
        let start = Start::of(scenario, &keys, &[]).unwrap().synced();
        let whole = start.site(&keys, 1);
        whole.run().unwrap();
        for at in 1..=whole.disk.operations() {
            let mut site = start.site(&keys, at);
            site.disk.fail_at(at, Fault::NoSpace);
            if !matches!(site.run(), Err(JobError::Refused(Refusal::NoSpace { .. }))) || site.has_journal() {
                continue;
            }
            refused += u32::from(!site.disk.could_not_overwrite());
            site.judge_secrets(true).unwrap_or_else(|what| panic!("{scenario:?}, operation {at}: {what}"));
            site.come_back(Fault::PowerCut);
            site.judge_secrets(true).unwrap_or_else(|what| panic!("{scenario:?}, operation {at}: {what}"));
        }
    }
    assert!(refused > 8, "{refused} jobs were refused with the key in their journal");
}

/// With `process`, a failed sync of the journal lost its records, and the job could be gone on with.
#[test]
fn a_job_whose_journal_was_not_synced_is_whole_or_said_to_be_lost() {
    let keys = Keys::new().unwrap();
    let mut said_to_be_lost = 0;
    for scenario in scenarios(24, |it| it.cell.resilience == Survives::Process) {
        let start = Start::of(scenario, &keys, &[]).unwrap().synced();
        let whole = start.site(&keys, 1);
        whole.run().unwrap();
        for at in 1..=whole.disk.operations() {
            let mut site = start.site(&keys, at);
            let fault = Fault::InputOutput { drop_pages: at % 2 == 0 };
            site.disk.fail_at(at, fault);
            let result = site.run();
            let failed = site.disk.had_a_failed_sync();
            if result.is_ok() || !failed {
                continue;
            }
            site.come_back(fault);
            let ending = site.recover_and_judge().unwrap_or_else(|what| panic!("{scenario:?}, {at}: {what}"));
            said_to_be_lost += u32::from(ending == super::site::Ending::SaidToBeLost);
        }
    }
    assert!(said_to_be_lost > 24, "{said_to_be_lost} were said to be lost");
}
