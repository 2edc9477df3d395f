//! What scripts read: one JSON object a file. Fields are added in later versions, never renamed.

use std::path::Path;

use pageseal::{
    Damage, FileStatus, Info, InterruptCause, JobError, JobKind, JobOutcome, JobPlan, JobReport, Notice,
    OpenError, VerifyReport,
};
use serde::Serialize;

use crate::failure::Failure;
use crate::notices::{notice_kind, notice_text};
use crate::output::located_message;
use crate::remedies::{Situation, remedy};

/// The object of one file. Paths that are not UTF-8 have their bad bytes replaced.
#[derive(Debug, Serialize)]
pub struct FileObject<'a> {
    command: &'static str,
    file: String,
    ok: bool,
    exit_code: u8,
    #[serde(flatten)]
    result: Option<ResultObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorObject>,
    notices: Vec<NoticeObject<'a>>,
}

/// The part that differs between commands.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ResultObject {
    /// encrypt, decrypt, resume, rollback
    Job(JobObject),
    /// verify
    Verify(VerifyObject),
    /// info
    Info(Box<InfoObject>),
}

/// A finished job.
#[derive(Debug, Serialize)]
pub struct JobObject {
    job: &'static str,
    state: &'static str,
    path: Option<String>,
    name_kept: bool,
    data_len_bytes: u64,
    converted_bytes: u64,
    chunks: u64,
    suite: &'static str,
    threads: usize,
    io: &'static str,
    resilience: &'static str,
    windows_recovered: u64,
    seconds: f64,
}

/// A verified file.
#[derive(Debug, Serialize)]
pub struct VerifyObject {
    data_len_bytes: u64,
    chunks: u64,
    suite: &'static str,
    seconds: f64,
}

/// What a file is.
#[derive(Debug, Serialize)]
pub struct InfoObject {
    path: String,
    state: &'static str,
    damage: Option<String>,
    suite: Option<&'static str>,
    chunk_len_bytes: u64,
    chunks: u64,
    data_len_bytes: u64,
    file_len_bytes: u64,
    file_id: Option<String>,
    job_sequence: u64,
    slots: Vec<SlotObject>,
    journal: Option<JournalObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<JobPlan>,
}

#[derive(Debug, Serialize)]
struct SlotObject {
    kind: &'static str,
    label: String,
    age_file_len_bytes: usize,
}

#[derive(Debug, Serialize)]
struct JournalObject {
    path: String,
    is_of_file: bool,
    job: &'static str,
    resilience: &'static str,
    phase: &'static str,
    rolling_back: bool,
    needs_key: bool,
    /// Null where nothing says it.
    done_bytes: Option<u64>,
    in_flight_bytes: u64,
    total_bytes: u64,
}

#[derive(Debug, Serialize)]
struct ErrorObject {
    class: &'static str,
    message: String,
    remedy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset_bytes: Option<u64>,
    #[serde(flatten)]
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<DamagedObject>,
}

/// All chunks that are damaged.
#[derive(Debug, Serialize)]
struct DamagedObject {
    damaged_chunks: u64,
    damaged_ranges: Vec<RangeObject>,
    damaged_ranges_left_out: u64,
}

#[derive(Debug, Serialize)]
struct RangeObject {
    first_chunk: u64,
    chunks: u64,
    offset_bytes: u64,
    /// Not of a single chunk, which may be the last and short.
    #[serde(skip_serializing_if = "Option::is_none")]
    len_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct NoticeObject<'a> {
    kind: &'a str,
    text: String,
}

impl<'a> FileObject<'a> {
    /// The object of what happened to `file`.
    pub fn new(
        file: &Path,
        situation: &Situation<'_>,
        result: Result<ResultObject, &Failure>,
        notices: &'a [Notice],
    ) -> Self {
        let (result, failure) = match result {
            Ok(result) => (Some(result), None),
            Err(failure) => (None, Some(failure)),
        };
        FileObject {
            command: situation.command,
            file: lossy(file),
            ok: failure.is_none(),
            exit_code: failure.map_or(0, |failure| failure.exit().code()),
            result,
            error: failure.map(|failure| error_object(failure, situation)),
            notices: notices
                .iter()
                .map(|notice| NoticeObject { kind: notice_kind(notice), text: notice_text(notice) })
                .collect(),
        }
    }

    /// The same, with another exit code than that of the failure: `info` finds damage without failing.
    pub fn with_exit_code(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self.ok = exit_code == 0;
        self
    }
}

impl From<&JobReport> for ResultObject {
    fn from(report: &JobReport) -> Self {
        ResultObject::Job(JobObject {
            job: job_name(report.kind),
            state: match report.outcome {
                JobOutcome::Sealed => "sealed",
                JobOutcome::Plain => "plain",
                _ => "other",
            },
            path: report.path.as_deref().map(lossy),
            name_kept: report.name_kept,
            data_len_bytes: report.data_len_bytes,
            converted_bytes: report.converted_bytes,
            chunks: report.chunks,
            suite: report.suite.name(),
            threads: report.threads,
            io: report.io,
            resilience: report.resilience,
            windows_recovered: report.windows_recovered,
            seconds: report.seconds,
        })
    }
}

impl From<&VerifyReport> for ResultObject {
    fn from(report: &VerifyReport) -> Self {
        ResultObject::Verify(VerifyObject {
            data_len_bytes: report.data_len_bytes,
            chunks: report.chunks,
            suite: report.suite.name(),
            seconds: report.seconds,
        })
    }
}

impl ResultObject {
    /// What a file is, and how it would be sealed if that was asked.
    pub fn of_info(info: &Info, plan: Option<JobPlan>) -> Self {
        ResultObject::Info(Box::new(InfoObject {
            path: lossy(&info.path),
            state: state_name(&info.status),
            damage: match &info.status {
                FileStatus::Damaged(damage) => Some(damage.to_string()),
                _ => None,
            },
            suite: info.suite.map(|suite| suite.name()),
            chunk_len_bytes: info.chunk_len_bytes,
            chunks: info.chunks,
            data_len_bytes: info.data_len_bytes,
            file_len_bytes: info.file_len_bytes,
            file_id: info.file_id.as_ref().map(|id| hex(id)),
            job_sequence: info.job_sequence,
            slots: info
                .slots
                .iter()
                .map(|slot| SlotObject {
                    kind: slot.kind,
                    label: slot.label.clone(),
                    age_file_len_bytes: slot.age_file_len_bytes,
                })
                .collect(),
            journal: info.journal.as_ref().map(|journal| JournalObject {
                path: lossy(&journal.path),
                is_of_file: journal.is_of_file,
                job: job_name(journal.kind),
                resilience: journal.resilience,
                phase: journal.phase,
                rolling_back: journal.rolling_back,
                needs_key: journal.needs_key,
                done_bytes: journal.done_bytes,
                in_flight_bytes: journal.in_flight_bytes,
                total_bytes: journal.total_bytes,
            }),
            plan,
        }))
    }
}

fn error_object(failure: &Failure, situation: &Situation<'_>) -> ErrorObject {
    let (chunk, offset_bytes) = place(failure);
    ErrorObject {
        class: failure.class_name(),
        message: located_message(failure, situation),
        remedy: remedy(failure, situation),
        chunk,
        offset_bytes,
        damaged: damage_of(failure).and_then(damaged_object),
    }
}

/// The damage that the failure is about.
fn damage_of(failure: &Failure) -> Option<&Damage> {
    match failure {
        Failure::Job(JobError::Open(OpenError::Damaged { damage, .. })) => Some(damage),
        Failure::Job(JobError::Interrupted { cause: InterruptCause::Damaged(damage), .. }) => Some(damage),
        _ => None,
    }
}

fn damaged_object(damage: &Damage) -> Option<DamagedObject> {
    let (count, ranges, left_out) = match damage {
        Damage::Chunk { chunk, offset } => {
            let (first_chunk, offset_bytes) = (*chunk, *offset);
            (1, vec![RangeObject { first_chunk, chunks: 1, offset_bytes, len_bytes: None }], 0)
        }
        Damage::Chunks { count, ranges, ranges_left_out } => {
            let object = |range: &pageseal::DamagedRange| RangeObject {
                first_chunk: range.first_chunk,
                chunks: range.chunks,
                offset_bytes: range.offset,
                len_bytes: Some(range.len_bytes),
            };
            (*count, ranges.iter().map(object).collect(), *ranges_left_out)
        }
        _ => return None,
    };
    Some(DamagedObject { damaged_chunks: count, damaged_ranges: ranges, damaged_ranges_left_out: left_out })
}

/// Chunk and offset in bytes, where the failure has a place.
fn place(failure: &Failure) -> (Option<u64>, Option<u64>) {
    match failure {
        Failure::Job(
            JobError::Open(OpenError::Io { offset, .. })
            | JobError::Interrupted { cause: InterruptCause::Io { offset, .. }, .. },
        ) => (None, Some(*offset)),
        failure => damage_of(failure).map_or((None, None), damage_place),
    }
}

fn damage_place(damage: &Damage) -> (Option<u64>, Option<u64>) {
    match *damage {
        Damage::Chunk { chunk, offset }
        | Damage::NeitherOldNorNew { chunk, offset }
        | Damage::NotAsClaimed { chunk, offset }
        | Damage::Ambiguous { chunk, offset } => (Some(chunk), Some(offset)),
        Damage::Chunks { ref ranges, .. } => {
            ranges.first().map(|range| (range.first_chunk, range.offset)).unzip()
        }
        Damage::InNeitherForm { first_chunk, offset, .. }
        | Damage::CannotBeOpened { first_chunk, offset, .. } => (Some(first_chunk), Some(offset)),
        Damage::Table { chunk } => (Some(chunk), None),
        Damage::Padding { offset } => (None, Some(offset)),
        Damage::ForeignBytes { trailer_end, .. } => (None, Some(trailer_end)),
        _ => (None, None),
    }
}

/// The name of a file's state.
pub fn state_name(status: &FileStatus) -> &'static str {
    match status {
        FileStatus::Plain => "plain",
        FileStatus::Sealed => "sealed",
        FileStatus::Encrypting => "encrypting",
        FileStatus::Decrypting => "decrypting",
        FileStatus::Damaged(_) => "damaged",
        _ => "other",
    }
}

/// The name of a job.
pub fn job_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Encrypt => "encrypt",
        JobKind::Decrypt => "decrypt",
        _ => "other",
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::UsageError;

    #[test]
    fn damage_is_placed() {
        let failure = Failure::from(OpenError::Damaged {
            path: "f".into(),
            damage: Damage::Chunk { chunk: 7, offset: 7 << 16 },
        });
        let situation = Situation::of("verify");
        let object = FileObject::new(Path::new("f"), &situation, Err(&failure), &[Notice::NoJobKey]);
        let value = serde_json::to_value(&object).unwrap();
        assert_eq!(value["ok"], false);
        assert_eq!(value["exit_code"], 4);
        assert_eq!(value["error"]["class"], "damaged");
        assert_eq!(value["error"]["chunk"], 7);
        assert_eq!(value["error"]["offset_bytes"], 7 << 16);
        assert_eq!(value["notices"][0]["kind"], "no_job_key");
        assert!(value.get("suite").is_none());
    }

    #[test]
    fn an_error_without_a_place_has_no_place() {
        assert_eq!(place(&Failure::Usage(UsageError::StdinNeedsOutput)), (None, None));
    }
}
