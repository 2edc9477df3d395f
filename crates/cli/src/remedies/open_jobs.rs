//! What to do about a file that a job is open on, or beside which a journal lies. What its journal
//! is, only that can say.

use std::path::Path;

use pageseal::{FileStatus, Info, JobKind, Notice};

use super::{NextCommands, Situation, of_damage};
use crate::shell_quote::shell_quote;

/// What goes on with a job, as its journal says. What the error says of it counts where nothing can
/// be found out.
pub fn of_job(kind: JobKind, rolling_back: bool, path: &Path, situation: &Situation<'_>) -> String {
    if let Ok(info) = pageseal::info(path, situation.journal) {
        if let Some(told) = as_journal_says(&info, path, situation) {
            return told;
        }
        if let Some(journal) = unusable_journal(&info) {
            return of_strange_journal(journal);
        }
    }
    if rolling_back {
        return format!("run {} to finish undoing", situation.rollback(path));
    }
    format!("run {} to go on or {} to undo", situation.resume(kind, path), situation.rollback(path))
}

/// A journal lies where the job would put its own.
pub fn of_open_job(journal: &Path, situation: &Situation<'_>) -> String {
    let told = situation.file.and_then(|file| {
        let info = pageseal::info(file, Some(journal)).ok()?;
        as_journal_says(&info, file, situation)
    });
    told.unwrap_or_else(|| {
        format!(
            "restore an undamaged copy of it, or, if `pageseal info {}` says that no job is open, move it away",
            situation.file_word()
        )
    })
}

fn as_journal_says(info: &Info, file: &Path, situation: &Situation<'_>) -> Option<String> {
    match &info.status {
        FileStatus::Damaged(damage) if info.journal.as_ref().is_some_and(|journal| journal.is_of_file) => {
            Some(of_damage(damage, file, situation))
        }
        _ => NextCommands::new(info, file, situation).map(|next| next.text()),
    }
}

/// The journal that lies there, if it is damaged, of another file, or of a job that is over.
fn unusable_journal(info: &Info) -> Option<&Path> {
    let strange = info.journal.as_ref().filter(|journal| !journal.is_of_file);
    let damaged = info.notices.iter().find_map(|notice| match notice {
        Notice::JournalUnusable { journal, .. } => Some(journal.as_path()),
        _ => None,
    });
    strange.map(|journal| journal.path.as_path()).or(damaged)
}

/// The journal that lies there is not that of a job on this file.
pub fn of_strange_journal(journal: &Path) -> String {
    format!(
        "{} is damaged, of another file, or of a job that is over: put the right journal back, or name it with \
         --journal PATH",
        shell_quote(journal)
    )
}
