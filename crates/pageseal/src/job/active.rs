//! A job whose journal is durable: running it to its end, and saying how it stopped.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use pageseal_crypto::Suite;
use pageseal_format::Superblock;
use pageseal_format::journal::{Direction, JobKind, JournalHeader, Phase, Resilience};
use pageseal_journal::{Journal, JournalError, LogOperation, SettledMark};
use pageseal_protections::{Protection, is_on};
use pageseal_storage::{FileSystemKind, Folder};

use super::context::{JobContext, SYNCING, Side, io_cause};
use super::pipeline::{self, RunEnd};
use super::{done_bytes, finish, public_kind};
use crate::control::{Control, Stage};
use crate::damaged_chunks::DamagedChunks;
use crate::error::{Damage, InterruptCause, JobError};
use crate::names::Names;
use crate::report::{JobOutcome, JobReport};
use crate::target::Target;

/// Where the journal lies.
pub(crate) struct JournalPlace {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) name: OsString,
    pub(crate) path: PathBuf,
    /// What the folder lies on; `None` where that makes no difference.
    pub(crate) file_system: Option<FileSystemKind>,
}

impl JournalPlace {
    /// Whether something lies there.
    pub(crate) fn is_taken(&self) -> bool {
        self.folder.identity_of(&self.name).is_ok_and(|found| found.is_some())
    }
}

/// The open handle on a job.
pub(crate) struct ActiveJob {
    pub(crate) context: JobContext,
    pub(crate) journal: Journal,
    pub(crate) header: JournalHeader,
    pub(crate) place: JournalPlace,
    pub(crate) target: Target,
    /// The superblock of the file at rest in its sealed form, before or after this job.
    pub(crate) resting: Superblock,
    pub(crate) suite: Suite,
    pub(crate) io: &'static str,
    pub(crate) windows_recovered: u64,
    /// Bytes of plaintext that this run converts.
    pub(crate) converted_bytes: u64,
    /// Whether nobody but the job can have set the file's modification time.
    pub(crate) time_is_ours: bool,
    /// Chunks that a continued job found lost, in neither form, where the file will be sealed.
    pub(crate) found_damage: Option<Damage>,
    pub(crate) started: Instant,
}

impl ActiveJob {
    /// Converts all windows that are left in `direction` and brings the job to its end.
    pub(crate) fn run(
        mut self,
        direction: Direction,
        start: SettledMark,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        let stage = match self.context.sides(direction).1 {
            Side::Sealed => Stage::Encrypting,
            Side::Plain => Stage::Decrypting,
        };
        let (done, total) = self.done_bytes(direction, start.watermark());
        self.converted_bytes = total - done;
        control.progress.stage(stage, total, done);
        if let Err(cause) = self.mark_unclean(direction, &start) {
            return Err(self.interrupted(direction, start.watermark(), cause));
        }
        let (mark, end) = pipeline::run(&self.context, &mut self.journal, start, direction, control);
        let result = match end {
            Ok(RunEnd::Completed) => self.complete(direction, &mark),
            Ok(RunEnd::Cancelled) => Err(self.stop_at_window(direction, &mark)),
            Err(cause) => Err(cause),
        };
        match result {
            Ok(()) => finish::settle_names(self, direction, control),
            Err(cause) => {
                self.remember_lost_data(&cause);
                Err(self.interrupted(direction, mark.watermark(), cause))
            }
        }
    }

    /// A failed sync marks pages clean that the medium does not have. With records that are kept until the data is synced, recovery
    /// stores them again; `process` retires windows without a sync, so nothing would, and the job must not be resumed.
    /// Best effort: the journal may be beyond writing too.
    pub(crate) fn remember_lost_data(&mut self, cause: &InterruptCause) {
        let sync_failed = match cause {
            InterruptCause::Io { what, .. } => *what == SYNCING,
            // Its records are not synced either: what is gone from the cache is gone.
            InterruptCause::Journal { source } => {
                let error = source.downcast_ref::<JournalError>();
                matches!(error, Some(JournalError::Io { operation: LogOperation::Sync, .. }))
            }
            _ => false,
        };
        if self.context.resilience == Resilience::Process && sync_failed && is_on(Protection::SayLost) {
            self.journal.try_to_say_lost();
        }
    }

    /// Before the first window of a job that does not survive power loss: says so durably, so that nobody resumes it after
    /// one. (The journal does the same for a job without records.)
    fn mark_unclean(&mut self, direction: Direction, start: &SettledMark) -> Result<(), InterruptCause> {
        let has_windows = self.context.next_window(direction, start.watermark()).is_some();
        if self.context.resilience == Resilience::Process && has_windows {
            return self.set_phase(Phase::Running, direction, false, start);
        }
        Ok(())
    }

    /// All windows are settled: the file gets the form that it keeps.
    fn complete(&mut self, direction: Direction, mark: &SettledMark) -> Result<(), InterruptCause> {
        self.sync_windows()?;
        // Whoever wrote where a window was settled already has damaged it: found by the run that goes on, which looks at every chunk.
        if let Err(cause) = self.context.check_undisturbed() {
            self.set_phase(Phase::Running, direction, true, mark)?;
            return Err(cause);
        }
        self.set_phase(Phase::DataDone, direction, true, mark)?;
        self.rest(direction, mark)
    }

    /// From DATA_DONE or TRUNCATING to FINISHED; every step can be repeated.
    pub(crate) fn rest(&mut self, direction: Direction, mark: &SettledMark) -> Result<(), InterruptCause> {
        match self.context.sides(direction).1 {
            Side::Sealed => {
                self.context.check_length()?;
                finish::write_superblocks(&*self.context.data, &self.resting, &self.context.keys)?
            }
            Side::Plain => {
                if !is_on(Protection::TruncateOrder) {
                    finish::truncate(&self.context)?;
                }
                self.set_phase(Phase::Truncating, direction, true, mark)?;
                finish::truncate(&self.context)?;
                if self.header.holes_flagged {
                    finish::empty_holes(&*self.context.data, self.context.geometry.data_len());
                }
            }
        }
        self.restore_modified();
        self.context.data.sync_all().map_err(|source| io_cause(SYNCING, 0, source))?;
        self.set_phase(Phase::Finished, direction, true, mark)
    }

    /// The content is what it was, so the modification time is too; unless somebody else may have written since the job began, whose
    /// change must not look like none. Best effort: a file system may refuse.
    fn restore_modified(&self) {
        if self.time_is_ours && self.context.check_no_writer().is_ok() {
            finish::restore_modified(&*self.context.data, &self.header);
        }
    }

    /// Makes the windows durable that were not, one by one, when they were settled.
    fn sync_windows(&self) -> Result<(), InterruptCause> {
        let JobContext { data, geometry, .. } = &self.context;
        if self.context.syncs_windows() {
            return Ok(());
        }
        data.sync_all().map_err(|source| io_cause(SYNCING, 0, source))?;
        if self.context.drops_behind {
            data.forget(0, geometry.data_len());
        }
        Ok(())
    }

    /// The caller asked to stop. The mark that this leaves lets every job be resumed, also after a restart.
    fn stop_at_window(&mut self, direction: Direction, mark: &SettledMark) -> InterruptCause {
        let synced = self.sync_windows();
        // So that the run that goes on can tell whether somebody wrote in between.
        self.restore_modified();
        match synced.and_then(|()| self.set_phase(Phase::Running, direction, true, mark)) {
            Ok(()) => InterruptCause::Cancelled,
            Err(cause) => cause,
        }
    }

    /// Chunks that neither are what the file will be nor can become so. The job goes on, for the sake of all the others, and
    /// ends with this damage instead of a report.
    pub(crate) fn note_damage(&mut self, damaged: &[u64]) {
        let mut chunks = DamagedChunks::default();
        chunks.add(damaged);
        if let Some(damage) = chunks.into_damage(&self.context.geometry) {
            self.found_damage = Some(damage);
        }
    }

    pub(crate) fn set_phase(
        &mut self,
        phase: Phase,
        direction: Direction,
        clean: bool,
        mark: &SettledMark,
    ) -> Result<(), InterruptCause> {
        self.journal
            .set_phase(phase, direction, clean, mark)
            .map_err(|source| InterruptCause::Journal { source: Box::new(source) })
    }

    /// Bytes of plaintext that are done in this direction, and all that there are to do.
    fn done_bytes(&self, direction: Direction, watermark: u64) -> (u64, u64) {
        let geometry = &self.context.geometry;
        (done_bytes(geometry, direction, watermark), geometry.data_len())
    }

    /// The error of a job that has begun and can be resumed.
    pub(crate) fn interrupted(
        &self,
        direction: Direction,
        watermark: u64,
        cause: InterruptCause,
    ) -> JobError {
        let (done_bytes, total_bytes) = self.done_bytes(direction, watermark);
        JobError::Interrupted {
            path: self.context.path.clone(),
            kind: public_kind(self.context.kind),
            rolling_back: direction == Direction::Backward,
            done_bytes,
            total_bytes,
            journal: self.place.path.clone(),
            cause,
        }
    }

    /// Damage that was found before anything was stored in this run.
    pub(crate) fn damaged(&self, damage: Damage) -> JobError {
        JobError::Open(crate::error::OpenError::Damaged { path: self.context.path.clone(), damage })
    }

    /// What the file is when the job is over.
    pub(crate) fn outcome(&self, direction: Direction) -> JobOutcome {
        match self.context.sides(direction).1 {
            Side::Sealed => JobOutcome::Sealed,
            Side::Plain => JobOutcome::Plain,
        }
    }

    pub(crate) fn report(&self, direction: Direction, path: Option<PathBuf>, name_kept: bool) -> JobReport {
        JobReport {
            kind: public_kind(self.context.kind),
            outcome: self.outcome(direction),
            path,
            name_kept,
            data_len_bytes: self.context.geometry.data_len(),
            converted_bytes: self.converted_bytes,
            chunks: self.context.geometry.chunk_count(),
            suite: self.suite,
            threads: self.context.workers.threads(),
            io: self.io,
            resilience: resilience_name(self.context.resilience),
            windows_recovered: self.windows_recovered,
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    /// The name that the finished file should have.
    pub(crate) fn wanted_name(&self, direction: Direction) -> OsString {
        wanted_name(&self.target.names, &self.header, direction)
    }
}

/// The name that the result of a job should have. A rollback may find the file under its new name already, if the
/// medium lost the phase but not the rename.
pub(crate) fn wanted_name(names: &Names, header: &JournalHeader, direction: Direction) -> OsString {
    let sealed = (header.job == JobKind::Encrypt) == (direction == Direction::Forward);
    match (header.keep_name, sealed) {
        (true, _) => names.given.clone(),
        (false, true) => names.sealed.clone(),
        (false, false) => names.plain.clone(),
    }
}

/// The name of a resilience mode on the command line.
pub(crate) fn resilience_name(resilience: Resilience) -> &'static str {
    match resilience {
        Resilience::Checksum => "checksum",
        Resilience::Journal => "journal",
        Resilience::Process => "process",
        Resilience::None => "none",
    }
}
