//! Shows a running operation: a bar on a terminal, notes, and nothing else.

use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pageseal::{JobPlan, Notice, Progress, Stage};

use crate::notices::notice_text;
use crate::output::{access_line, plan_lines, print_note};

const TEMPLATE: &str = "{msg} [{wide_bar}] {percent:>3} %  {binary_bytes} / {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
/// A pipe does not say how much will come.
const TEMPLATE_WITHOUT_TOTAL: &str = "{msg}  {binary_bytes}  {binary_bytes_per_sec}";

/// A damaged or changed file can have a notice for each of its chunks; nobody reads them all.
const NOTICES_KEPT: usize = 100;

/// Bar and notes of the work on one file.
pub struct Display {
    bar: ProgressBar,
    quiet: bool,
    verbose: bool,
    notices: Mutex<Notices>,
}

#[derive(Default)]
struct Notices {
    kept: Vec<Notice>,
    dropped: u64,
}

impl Display {
    /// A display that shows its bar only if standard error is a terminal, and nothing if `quiet`, and plans if
    /// `verbose`.
    pub fn new(quiet: bool, verbose: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if !quiet && stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        Display { bar, quiet, verbose, notices: Mutex::default() }
    }

    /// Takes the bar away and returns what was noticed.
    pub fn finish(self) -> Vec<Notice> {
        self.bar.finish_and_clear();
        let notices = self.notices.into_inner().unwrap_or_else(PoisonError::into_inner);
        if notices.dropped > 0 && !self.quiet {
            print_note(&format!("{} more notes are not shown", notices.dropped));
        }
        notices.kept
    }
}

impl Progress for Display {
    fn stage(&self, stage: Stage, total_bytes: u64, done_bytes: u64) {
        let template = if total_bytes == 0 { TEMPLATE_WITHOUT_TOTAL } else { TEMPLATE };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        // It is drawn from here on, and not before it looks as it should.
        self.bar.set_message(stage_name(stage));
        self.bar.set_length(total_bytes);
        self.bar.set_position(done_bytes);
        // What earlier runs and stages did says nothing about the speed of this one.
        self.bar.reset_elapsed();
        self.bar.reset_eta();
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn plan(&self, plan: &JobPlan) {
        if self.verbose {
            self.bar.suspend(|| plan_lines(plan).iter().for_each(|line| print_note(line)));
        }
    }

    fn access(&self, io: &'static str, reason: &str) {
        if self.verbose {
            self.bar.suspend(|| print_note(&access_line(io, reason)));
        }
    }

    fn notice(&self, notice: &Notice) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.kept.len() == NOTICES_KEPT {
            notices.dropped += 1;
            return;
        }
        notices.kept.push(notice.clone());
        if !self.quiet {
            self.bar.suspend(|| print_note(&notice_text(notice)));
        }
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Verifying => "verifying",
        Stage::Recovering => "recovering",
        Stage::Encrypting => "encrypting",
        Stage::Decrypting => "decrypting",
        _ => "working",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        ProgressStyle::with_template(TEMPLATE_WITHOUT_TOTAL).unwrap();
    }

    #[test]
    fn notices_are_kept_for_the_report() {
        let display = Display::new(true, false);
        display.stage(Stage::Encrypting, 10, 0);
        display.advance(10);
        display.notice(&Notice::NoJobKey);
        assert_eq!(display.finish(), [Notice::NoJobKey]);
    }

    #[test]
    fn a_flood_of_notices_is_cut_off() {
        let display = Display::new(true, false);
        for chunk in 0..1000 {
            display.notice(&Notice::ChunkChangedSinceOpened { chunk });
        }
        assert_eq!(display.finish().len(), NOTICES_KEPT);
    }
}
