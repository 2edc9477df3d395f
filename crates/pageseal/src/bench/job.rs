//! A whole crash-safe job on a temporary file: how fast, and which of its steps takes the time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pageseal_storage::{FileIdentity, Medium};

use super::bound::bound;
use super::error::BenchError;
use super::figures::{JobFigures, StepFigures, WindowSpan};
use super::nameless::NamelessFolder;
use super::target::Target;
use super::threads;
use crate::control::{Cancellation, Control, Progress, Step, StepSpan};
use crate::error::JobError;
use crate::job::{JournalPlace, check_encrypt_file, check_encrypt_options, encrypt_opened};
use crate::job_plan::JobPlan;
use crate::keys::{Recipient, generate_identity};
use crate::names::Names;
use crate::options::{EncryptOptions, JobKeyMode};
use crate::report::JobReport;
use crate::target::OpenedTarget;

/// Only for messages: neither the file nor its journal has a name.
const NAME: &str = "pageseal-bench";

/// Choices of [`job`](fn@job).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobOptions {
    /// The folder that the temporary file is made in. `None` is the current folder.
    pub path: Option<PathBuf>,
    /// Length of the file in bytes, at least 1 MiB, cut to whole MiB.
    pub size_bytes: u64,
    /// Threads of the pool; `None` takes all cores.
    pub threads: Option<usize>,
}

impl Default for JobOptions {
    /// 256 MiB in the current folder, all cores.
    fn default() -> Self {
        JobOptions { path: None, size_bytes: 256 << 20, threads: None }
    }
}

/// Encrypts a temporary file in place, as [`crate::encrypt_in_place`] does with default options, and measures each step of each
/// window.
///
/// The file has random bytes, is synced, and lies in the page cache as after that. It is sealed for an age recipient that nobody has
/// the identity of. What differs from a real job: neither the file nor the journal has a name, so that both vanish however the process
/// ends (the folder is synced all the same), and no job key is put into tmpfs, where a kill would leave it. Besides the file this
/// needs the space of a journal, below 256 MiB, and of a trailer. On Btrfs a sync of a file without a name costs less than that of one
/// with a name, so there a real job waits somewhat longer for the disk.
/// Where a file system knows no files without a name they have one, `.pageseal-*.tmp`, for a moment, and only a kill in it leaves them.
///
/// ```no_run
/// let figures = pageseal::bench::job(&pageseal::bench::JobOptions::default())?;
/// println!("{figures}");
/// # Ok::<(), pageseal::bench::BenchError>(())
/// ```
///
/// # Errors
/// [`BenchError`]; nothing is left behind. [`BenchError::NotAFolder`] for a file: only what was made for it is ever encrypted.
pub fn job(options: &JobOptions) -> Result<JobFigures, BenchError> {
    run(options, &|_| {})
}

/// `watch` is called after every step.
pub(super) fn run(
    options: &JobOptions,
    watch: &(dyn Fn(&StepSpan) + Sync),
) -> Result<JobFigures, BenchError> {
    let threads = threads::chosen(options.threads)?;
    let dir = options.path.as_deref().unwrap_or(Path::new("."));
    let target = Target::open(dir, options.size_bytes)?;
    if target.read_only {
        return Err(BenchError::NotAFolder { path: dir.into() });
    }
    let encrypt =
        EncryptOptions { threads: Some(threads), job_key: JobKeyMode::None, ..EncryptOptions::default() };
    let recorder = Recorder { plan: Mutex::default(), spans: Mutex::default(), watch };
    let started = Instant::now();
    let report = encrypt_target(&target, &encrypt, &recorder, started)?;
    Ok(recorder.figures(&target, &report, started))
}

/// As [`crate::encrypt_in_place`], on a file without a name.
fn encrypt_target(
    target: &Target,
    options: &EncryptOptions,
    recorder: &Recorder<'_>,
    started: Instant,
) -> Result<JobReport, BenchError> {
    let failed = |error: JobError| BenchError::Job { source: Box::new(error) };
    let refused = |refusal| failed(JobError::Refused(refusal));
    let recipients =
        [Recipient::parse(&generate_identity().public).map_err(|error| failed(JobError::from(error)))?];
    let chunk_log2 = check_encrypt_options(&recipients, options).map_err(refused)?;
    let names = Names::of(&target.path.join(NAME)).map_err(refused)?;
    let open = || {
        let file = target.file.try_clone()?;
        let folder = NamelessFolder::new(&target.path, &names.given, FileIdentity::of(&file)?)?;
        let folder = Arc::new(folder);
        let place = JournalPlace {
            folder: folder.clone(),
            name: names.journal(),
            path: names.path_of(&names.journal()),
            // That of the file.
            file_system: None,
        };
        let medium = Medium::of(&file)?;
        // Nobody else can have it open, so there is nobody to lock it against.
        Ok((OpenedTarget::new(names.clone(), folder, file, medium, None)?, place))
    };
    let (opened, place) = open().map_err(target.failed("open the temporary file in"))?;
    let geometry = check_encrypt_file(&opened.target, chunk_log2).map_err(failed)?;
    let control = Control { progress: recorder, cancellation: Cancellation::new() };
    encrypt_opened(opened, place, geometry, &recipients, options, &control, started).map_err(failed)
}

/// Keeps what the job tells of itself.
struct Recorder<'a> {
    plan: Mutex<Option<JobPlan>>,
    spans: Mutex<Vec<StepSpan>>,
    watch: &'a (dyn Fn(&StepSpan) + Sync),
}

impl Progress for Recorder<'_> {
    fn plan(&self, plan: &JobPlan) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.clone());
    }

    fn step(&self, step: &StepSpan) {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(*step);
        (self.watch)(step);
    }
}

impl Recorder<'_> {
    fn figures(self, target: &Target, report: &JobReport, started: Instant) -> JobFigures {
        let plan = self.plan.into_inner().unwrap_or_else(PoisonError::into_inner);
        let told = self.spans.into_inner().unwrap_or_else(PoisonError::into_inner);
        let seconds = report.seconds;
        let spans = spans_since(started, &told);
        let steps = steps(&spans, seconds);
        let windowless_seconds = windowless(&spans, seconds);
        JobFigures {
            path: target.path.clone(),
            file_system: target.file_system.name(),
            size_bytes: report.data_len_bytes,
            threads: report.threads,
            suite: report.suite,
            store: report.io,
            resilience: report.resilience,
            window_bytes: plan.map_or(0, |plan| plan.window_len_bytes),
            windows: spans.iter().filter(|span| span.step == Step::Settle).count(),
            seconds,
            gb_per_s: if seconds > 0.0 { report.data_len_bytes as f64 / 1e9 / seconds } else { 0.0 },
            bound: bound(&steps, windowless_seconds, seconds),
            steps,
            windowless_seconds,
            spans,
        }
    }
}

/// In the order of the steps, and of each step in that of time.
fn spans_since(started: Instant, told: &[StepSpan]) -> Vec<WindowSpan> {
    let since = |instant: Instant| instant.saturating_duration_since(started).as_secs_f64();
    let mut spans: Vec<WindowSpan> = told
        .iter()
        .map(|span| WindowSpan {
            step: span.step,
            first_chunk: span.first_chunk,
            bytes: span.bytes,
            from_seconds: since(span.started),
            to_seconds: since(span.ended),
        })
        .collect();
    spans.sort_by_key(|span| (span.step, span.first_chunk));
    spans
}

/// Only steps that there were. One thread does a step, so its spans do not overlap and their sum is the time in which it was busy.
fn steps(spans: &[WindowSpan], seconds: f64) -> Vec<StepFigures> {
    let of = |step: Step| {
        let of_step = || spans.iter().filter(move |span| span.step == step);
        let busy_seconds: f64 = of_step().map(|span| span.to_seconds - span.from_seconds).sum();
        let share = if seconds > 0.0 { busy_seconds / seconds } else { 0.0 };
        of_step().next().map(|_| StepFigures { step, busy_seconds, share })
    };
    Step::ALL.into_iter().filter_map(of).collect()
}

/// What is before the first window and after the last one.
fn windowless(spans: &[WindowSpan], seconds: f64) -> f64 {
    let first = spans.iter().map(|span| span.from_seconds).fold(seconds, f64::min);
    let last = spans.iter().map(|span| span.to_seconds).fold(first, f64::max);
    (seconds - (last - first)).max(0.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_follow_from_what_was_told() {
        let started = Instant::now();
        let span = |step, first_chunk, from_ms, to_ms| StepSpan {
            step,
            first_chunk,
            chunks: 64,
            bytes: 64 << 16,
            started: started + Duration::from_millis(from_ms),
            ended: started + Duration::from_millis(to_ms),
        };
        // As they come: windows of different steps mixed.
        let told = [
            span(Step::Prepare, 0, 100, 300),
            span(Step::Commit, 0, 300, 350),
            span(Step::Prepare, 64, 350, 500),
            span(Step::Store, 0, 350, 650),
            span(Step::Commit, 64, 500, 550),
            span(Step::Settle, 0, 650, 700),
            span(Step::Store, 64, 650, 850),
            span(Step::Settle, 64, 850, 900),
        ];
        let spans = spans_since(started, &told);
        let order: Vec<_> = spans.iter().map(|span| (span.step, span.first_chunk)).collect();
        assert!(order.is_sorted() && order.len() == told.len());
        assert!((spans[0].from_seconds - 0.1).abs() < 1e-9 && (spans[0].to_seconds - 0.3).abs() < 1e-9);

        let steps = steps(&spans, 1.0);
        let busy: Vec<_> =
            steps.iter().map(|step| (step.step, (step.busy_seconds * 1e3).round() as u64)).collect();
        assert_eq!(
            busy,
            [(Step::Prepare, 350), (Step::Commit, 100), (Step::Store, 500), (Step::Settle, 100)],
            "no read ahead, because there was none"
        );
        assert!(steps.iter().all(|step| (step.share - step.busy_seconds).abs() < 1e-9), "of one second");
        assert!((windowless(&spans, 1.0) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn nothing_told_is_all_outside_of_windows() {
        assert!(steps(&[], 1.0).is_empty());
        assert!((windowless(&[], 1.0) - 1.0).abs() < 1e-9);
        assert!(windowless(&[], 0.0).abs() < 1e-9);
    }
}
