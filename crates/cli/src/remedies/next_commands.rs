//! The commands that go on with an interrupted job or undo it, as its journal asks for them.

use std::path::Path;

use pageseal::{FileStatus, Info, JobKind, JournalInfo};

use super::Situation;
use crate::shell_quote::shell_quote;

/// What a job can be brought to, each as a command to paste.
pub struct NextCommands {
    /// Goes on to the end.
    pub resume: Option<String>,
    /// Undoes it, or finishes undoing.
    pub rollback: Option<String>,
}

impl NextCommands {
    /// By what `info` says of the file; `None` without a journal that can be read and is of this file, and where the
    /// file has to be mended first.
    pub fn new(info: &Info, file: &Path, situation: &Situation<'_>) -> Option<Self> {
        let journal = info.journal.as_ref().filter(|journal| journal.is_of_file)?;
        if matches!(info.status, FileStatus::Damaged(_)) {
            return None;
        }
        let words = words_of(info, journal, situation);
        let file = shell_quote(file);
        let decrypt = if journal.kind == JobKind::Decrypt { "--decrypt " } else { "" };
        let is_over = journal.phase == "FINISHED";
        let resume = match is_over {
            // Names and the journal are all that is left, so no word and no key are asked for.
            true => Some(format!("`pageseal resume {words}{file}`")),
            false if journal.rolling_back || is_lost(journal) => None,
            false => Some(format!("`pageseal resume {decrypt}{words}{file}`")),
        };
        let cannot_be_undone = !journal.rolling_back && journal.phase == "TRUNCATING";
        let rollback = (!is_over && !cannot_be_undone && !is_lost(journal))
            .then(|| format!("`pageseal rollback {words}{file}`"));
        Some(NextCommands { resume, rollback })
    }

    /// As the end of a sentence that says what to run.
    pub fn text(&self) -> String {
        match (&self.resume, &self.rollback) {
            (Some(resume), Some(rollback)) => format!("run {resume} to go on or {rollback} to undo"),
            (Some(resume), None) => format!("run {resume} to finish it"),
            (None, Some(rollback)) => format!("run {rollback} to finish undoing"),
            (None, None) => {
                "a job with --resilience none that was killed cannot be recovered: restore the file from a backup"
                    .into()
            }
        }
    }
}

/// Nothing was recorded of it, and it did not stop on request (or is still running).
fn is_lost(journal: &JournalInfo) -> bool {
    journal.done_bytes.is_none()
}

/// `--journal` and keys; a word for a key where one is needed and none was named. A passphrase is asked for instead
/// where nothing else fits.
fn words_of(info: &Info, journal: &JournalInfo, situation: &Situation<'_>) -> String {
    let only_passphrases = !info.slots.is_empty() && info.slots.iter().all(|slot| slot.kind == "passphrase");
    let words = situation.option_words();
    if journal.needs_key && !situation.names_keys() && !only_passphrases {
        format!("-i IDENTITY {words}")
    } else {
        words
    }
}
