//! What was done, counted, with all failures, and the table at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::stop::{Outcome, Stop};

/// How often a line tells that work goes on.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// After so many failures of one part the rest is not worth the time.
const MAX_FAILURES: usize = 12;

/// The counts of one part on one file system.
pub struct Report {
    title: String,
    started: Instant,
    last_line: Instant,
    counts: BTreeMap<String, u64>,
    notes: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    fn new() -> Self {
        let now = Instant::now();
        Report {
            title: String::new(),
            started: now,
            last_line: now,
            counts: BTreeMap::new(),
            notes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Names the part.
    pub fn begin(&mut self, title: impl Into<String>) {
        self.title = title.into();
        println!("{}: begins", self.title);
    }

    /// Something happened.
    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// Something happened several times.
    pub fn add(&mut self, what: &str, count: u64) {
        *self.counts.entry(what.to_owned()).or_default() += count;
    }

    /// How often it happened.
    pub fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// A line for the summary.
    pub fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    /// Tells now and then how far it is.
    pub fn progress(&mut self, done: u64, all: u64) {
        if self.last_line.elapsed() >= PROGRESS_EVERY {
            self.last_line = Instant::now();
            let seconds = self.started.elapsed().as_secs_f64();
            println!("{}: {done} of {all} after {seconds:.0} s", self.title);
        }
    }

    /// A check that failed. An error if there were so many that it is better to stop here.
    pub fn fail(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        println!("{}: FAILED: {reason}", self.title);
        self.failures.push(reason);
    }

    /// Keeps a failed check for the summary, and passes everything else on. Whether the check held.
    pub fn keep(&mut self, case: &str, result: Outcome<()>) -> Outcome<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(Stop::Failed(reason)) => {
                self.fail(format!("{case}: {reason}"));
                if self.failures.len() >= MAX_FAILURES {
                    return Err(Stop::Failed(format!("{}: too many failures", self.title)));
                }
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failures.is_empty() { "ok" } else { "FAILED" };
        let seconds = self.started.elapsed().as_secs_f64();
        writeln!(f, "{:<28} {verdict:<8} {seconds:>6.0} s", self.title)?;
        for (what, count) in &self.counts {
            writeln!(f, "    {what:<56} {count:>6}")?;
        }
        for line in self.notes.iter().chain(&self.failures) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

/// All reports.
#[derive(Default)]
pub struct Summary {
    texts: Vec<String>,
    has_failed: bool,
}

impl Summary {
    /// Runs a part and keeps what it reports, also if it stops early.
    pub fn add(&mut self, part: impl FnOnce(&mut Report) -> Outcome<()>) -> Outcome<()> {
        let mut report = Report::new();
        let result = part(&mut report);
        let result = match result {
            Err(Stop::Failed(reason)) => {
                report.fail(reason);
                Ok(())
            }
            other => other,
        };
        self.has_failed |= !report.failures.is_empty();
        let text = report.to_string();
        println!("{}", text.lines().next().unwrap_or_default());
        self.texts.push(text);
        result
    }

    /// Whether any check failed.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== summary")?;
        self.texts.iter().try_for_each(|text| f.write_str(text))
    }
}
