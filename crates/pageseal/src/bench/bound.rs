//! What bounds a job, in a sentence: the one of its stages that had the least time left.

use super::figures::StepFigures;
use crate::control::Step;

/// Steps that one thread does, one after the other: what they take together is what no window can go below.
const STAGES: [&[Step]; 4] =
    [&[Step::ReadAhead], &[Step::Prepare, Step::Commit], &[Step::Store], &[Step::Settle]];

/// Sums that are nearer than this are the same: the next run turns them round.
const CLEARLY_MORE_FACTOR: f64 = 1.1;

/// Below this share of the time no stage is what all the others wait for.
const BUSY_THROUGHOUT: f64 = 0.6;

/// Which step was busy most of the time, and what the job waits for.
pub(super) fn bound(steps: &[StepFigures], windowless_seconds: f64, seconds: f64) -> String {
    let busy = |stage: &[Step]| -> f64 {
        steps.iter().filter(|figures| stage.contains(&figures.step)).map(|figures| figures.busy_seconds).sum()
    };
    let busiest_stage =
        STAGES.into_iter().max_by(|a, b| busy(a).total_cmp(&busy(b))).filter(|stage| busy(stage) > 0.0);
    let busiest = steps.iter().max_by(|a, b| a.busy_seconds.total_cmp(&b.busy_seconds));
    let (Some(stage), Some(busiest)) = (busiest_stage, busiest) else {
        return "No step took any time that could be measured.".into();
    };
    let percent = |part: f64| if seconds > 0.0 { part / seconds * 100.0 } else { 0.0 };
    if windowless_seconds > busy(stage) {
        return format!(
            "Beginning and end of the job (journal, trailer, names) took {:.0} % of the time, more than any step: this file is \
             too small to say what bounds a long job here.",
            percent(windowless_seconds)
        );
    }
    if busy(stage) < seconds * BUSY_THROUGHOUT {
        return format!(
            "The step {} was busy most of the time, {:.0} %, but no step nearly all of it: on this disk the windows of a job wait \
             for one another as long as for any single step.",
            busiest.step.name(),
            percent(busiest.busy_seconds)
        );
    }
    if busy(stage) > busiest.busy_seconds * CLEARLY_MORE_FACTOR {
        return format!(
            "The step {} was busy most of the time, {:.0} %; {}, which one thread does in turn, took {:.0} % \
             together, and that is what bounds a job on this disk.",
            busiest.step.name(),
            percent(busiest.busy_seconds),
            stage.iter().map(|step| step.name()).collect::<Vec<_>>().join(" and "),
            percent(busy(stage))
        );
    }
    format!(
        "The step {} was busy most of the time, {:.0} %, so what bounds a job on this disk is {}.",
        busiest.step.name(),
        percent(busiest.busy_seconds),
        match busiest.step {
            Step::ReadAhead => "reading from it",
            Step::Prepare => "the memory and the processor that read and fingerprint what is there",
            Step::Commit => "how long it takes to have the journal",
            Step::Store => "the processor and the memory, which convert and write",
            Step::Settle => "how fast it takes what was written",
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(busy: [f64; 5]) -> Vec<StepFigures> {
        let steps = Step::ALL.into_iter().zip(busy);
        steps.map(|(step, busy_seconds)| StepFigures { step, busy_seconds, share: busy_seconds }).collect()
    }

    #[test]
    fn the_busiest_step_is_named() {
        let sentence = bound(&steps([0.0, 0.1, 0.1, 0.4, 0.8]), 0.1, 1.0);
        assert!(sentence.contains("step settle was busy most of the time, 80 %"), "{sentence}");
        let sentence = bound(&steps([0.9, 0.1, 0.1, 0.4, 0.8]), 0.1, 1.0);
        assert!(sentence.contains("step read ahead was busy most of the time, 90 %"), "{sentence}");
    }

    #[test]
    fn steps_of_one_thread_bind_together() {
        let sentence = bound(&steps([0.0, 0.45, 0.45, 0.6, 0.2]), 0.05, 1.0);
        assert!(sentence.contains("step store was busy most of the time, 60 %"), "{sentence}");
        assert!(sentence.contains("prepare and commit"), "{sentence}");
        assert!(sentence.contains("90 % together"), "{sentence}");
        let sentence = bound(&steps([0.0, 0.5, 0.4, 0.3, 0.2]), 0.05, 1.0);
        assert!(
            sentence.contains("step prepare was busy most of the time, 50 %; prepare and commit"),
            "{sentence}"
        );
        // Next to no difference: then the one step is as good an answer.
        let sentence = bound(&steps([0.0, 0.3, 0.32, 0.6, 0.2]), 0.05, 1.0);
        assert!(sentence.contains("step store was busy most of the time, 60 %"), "{sentence}");
    }

    #[test]
    fn nothing_bounds_where_all_wait() {
        let sentence = bound(&steps([0.0, 0.3, 0.2, 0.4, 0.4]), 0.05, 1.0);
        assert!(sentence.contains("but no step nearly all of it"), "{sentence}");
    }

    #[test]
    fn a_short_job_says_nothing_of_a_long_one() {
        let sentence = bound(&steps([0.0, 0.1, 0.1, 0.2, 0.2]), 0.5, 1.0);
        assert!(sentence.contains("took 50 % of the time, more than any step"), "{sentence}");
        assert!(bound(&[], 1.0, 1.0).starts_with("No step"));
        assert!(bound(&steps([0.0; 5]), 0.0, 0.0).starts_with("No step"));
    }
}
