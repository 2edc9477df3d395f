//! `pageseal info`

use std::path::Path;

use pageseal::{EncryptOptions, FileStatus, Info, JobPlan, JournalInfo, Notice, SlotInfo};

use crate::arguments::InfoArguments;
use crate::exit::Exit;
use crate::json::{hex, job_name, state_name};
use crate::output::{plan_lines, shown_path, suite_title};
use crate::remedies::{NextCommands, Situation, of_strange_journal};
use crate::shell_quote::printable;
use crate::size::{format_size, percent};

use super::each_file::{EachFile, InfoAndPlan};
use super::session::Session;

/// Shows what the files are.
pub fn run(arguments: &InfoArguments, session: &Session) -> Exit {
    let each_file = EachFile {
        session,
        situation: Situation { journal: arguments.journal.as_deref(), ..Situation::of("info") },
        json: arguments.json,
        stdout_is_data: false,
    };
    each_file.run(&arguments.files, |file, control| {
        let info = pageseal::info(file, arguments.journal.as_deref())?;
        for notice in &info.notices {
            control.progress.notice(notice);
        }
        let plan = (arguments.plan && info.status == FileStatus::Plain)
            .then(|| pageseal::plan_encrypt(&info.path, &EncryptOptions::default()))
            .transpose()?;
        Ok(InfoAndPlan { info, plan, journal: arguments.journal.clone() })
    })
}

/// What a file is, for people.
pub fn info_text(file: &Path, info: &Info, plan: Option<&JobPlan>, journal: Option<&Path>) -> String {
    let situation = &Situation { journal, ..Situation::of("info") };
    let mut lines = vec![format!("{}: {}", shown_path(&info.path), state_text(&info.status))];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<12} {value}"));
    if let Some(suite) = info.suite {
        field("suite", suite_title(suite).into());
        field(
            "data",
            format!(
                "{}, {} chunks of {}",
                size_in_full(info.data_len_bytes),
                info.chunks,
                format_size(info.chunk_len_bytes)
            ),
        );
    }
    if info.suite.is_none() && info.data_len_bytes != info.file_len_bytes {
        field("data", size_in_full(info.data_len_bytes));
    }
    field("file", size_in_full(info.file_len_bytes));
    if let Some(id) = &info.file_id {
        field("file id", hex(id));
        field("job sequence", info.job_sequence.to_string());
    }
    for (index, slot) in info.slots.iter().enumerate() {
        field(&format!("key slot {index}"), slot_text(slot));
    }
    if let Some(journal) = &info.journal {
        field("journal", journal_text(journal));
    }
    for line in plan.map(plan_lines).unwrap_or_default() {
        lines.push(format!("  {line}"));
    }
    if let Some(next) = next_step(file, info, situation) {
        lines.push(format!("  → {next}"));
    }
    lines.join("\n")
}

fn state_text(status: &FileStatus) -> String {
    match status {
        FileStatus::Plain => "plain, not a sealed file".into(),
        FileStatus::Sealed => "sealed".into(),
        FileStatus::Encrypting => "in the middle of an encrypt".into(),
        FileStatus::Decrypting => "in the middle of a decrypt".into(),
        FileStatus::Damaged(damage) => format!("damaged: {}", printable(&damage.to_string())),
        other => state_name(other).into(),
    }
}

fn size_in_full(bytes: u64) -> String {
    if bytes < 1024 { format_size(bytes) } else { format!("{} ({bytes} bytes)", format_size(bytes)) }
}

fn slot_text(slot: &SlotInfo) -> String {
    if slot.label.is_empty() {
        slot.kind.into()
    } else {
        format!("{}, {}", slot.kind, printable(&slot.label))
    }
}

fn journal_text(journal: &JournalInfo) -> String {
    format!(
        "{}: {}{}, {}, phase {}, {} (read without a key, not authenticated)",
        shown_path(&journal.path),
        if journal.rolling_back { "undoing an " } else { "" },
        job_name(journal.kind),
        journal.resilience,
        journal.phase,
        progress_text(journal)
    )
}

/// `42 % done, 9 % in flight`: what is in flight is being worked on, or was when the job was killed.
fn progress_text(journal: &JournalInfo) -> String {
    let Some(done_bytes) = journal.done_bytes else {
        return "how far is not recorded with this resilience until it stops".into();
    };
    let done = percent(done_bytes, journal.total_bytes);
    let begun = percent(done_bytes.saturating_add(journal.in_flight_bytes), journal.total_bytes);
    match journal.in_flight_bytes {
        0 => format!("{done} % done"),
        _ => format!("{done} % done, {} % in flight", begun - done),
    }
}

/// What to do with a file in the middle of a job, or beside which a journal lies.
fn next_step(file: &Path, info: &Info, situation: &Situation<'_>) -> Option<String> {
    if let Some(next) = NextCommands::new(info, file, situation) {
        return Some(format!("unless it is running: {}", next.text()));
    }
    if let Some(strange) = info.journal.as_ref().filter(|journal| !journal.is_of_file) {
        return Some(match info.status {
            FileStatus::Encrypting | FileStatus::Decrypting => of_strange_journal(&strange.path),
            _ => "that journal is of another file, or of a job that is over: move it away".into(),
        });
    }
    let is_unusable = |notice: &Notice| matches!(notice, Notice::JournalUnusable { .. });
    match info.status {
        FileStatus::Encrypting | FileStatus::Decrypting if info.notices.iter().any(is_unusable) => {
            Some("its journal is there and cannot be used: see the note".into())
        }
        FileStatus::Encrypting | FileStatus::Decrypting => {
            Some("its journal is missing: put it back, or name it with --journal PATH".into())
        }
        _ => None,
    }
}
