//! Going on with an interrupted job, or undoing it.

use std::path::Path;
use std::time::Instant;

use pageseal_format::journal::{
    Direction, JobKind, JournalHeader, Phase, PhaseRecord, RecordKind, Resilience,
};
use pageseal_format::{FileState, Superblock};
use pageseal_journal::{Replay, SettledMark};
use pageseal_protections::{Protection, is_on};
use pageseal_storage::mount::mount_point_of;

use super::active::{ActiveJob, JournalPlace};
use super::begin::{context, refuse_beyond_size_limit, storage};
use super::belongs::{check_belongs, is_growing};
use super::caches::{Caches, Since};
use super::journal_file::journal_place;
use super::plan::{Io, io_to_resume};
use super::store_choice::{Reads, prepare_store};
use super::unlock::{OpenedJournal, open_journal, unlock};
use super::workers::Workers;
use super::{decrypt, encrypt, finish, finished, place, recover, without_journal};
use crate::control::{Control, Notice};
use crate::error::{Damage, InterruptCause, JobError, OpenError, Refusal};
use crate::keys::Identities;
use crate::names::Names;
use crate::options::{IoChoice, ResumeOptions};
use crate::report::JobReport;
use crate::target::{Target, open_for_change};

/// What the caller wants of an interrupted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Forward,
    Backward,
}

/// Goes on with the interrupted job on `path` (plain or sealed name) to its end.
///
/// An encrypt needs no identity while its job key is there; a decrypt needs one, and `options.decrypt`.
///
/// # Errors
/// As for [`crate::encrypt_in_place`]; [`Refusal::BeingRolledBack`] if the job is being undone.
pub fn resume(
    path: &Path,
    identities: &Identities,
    options: &ResumeOptions,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    go_on(path, identities, options, Wish::Forward, control)
}

/// Undoes the interrupted job on `path` (plain or sealed name): bit for bit, as long as nobody changed the part
/// that was already converted.
///
/// A decrypt whose journal is lost, and of which every chunk still authenticates, is undone too: only its superblocks are
/// written.
///
/// # Errors
/// As for [`crate::encrypt_in_place`]; [`Refusal::OnlyFinish`] if the trailer of a decrypted file is gone already.
pub fn rollback(
    path: &Path,
    identities: &Identities,
    options: &ResumeOptions,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    go_on(path, identities, options, Wish::Backward, control)
}

fn go_on(
    path: &Path,
    identities: &Identities,
    options: &ResumeOptions,
    wish: Wish,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    let names = Names::of(path)?.existing();
    place::look_first_at_job(&names, options.journal.as_deref(), wish)?;
    let mut opened = open_for_change(names, true, control)?;
    let place = journal_place(&opened.target.folder, &opened.target.names, options.journal.as_deref())?;
    let journal = match open_journal(&opened.target, place) {
        Err(error) if wish == Wish::Backward && is_without_journal(&error) => {
            let resealed = without_journal::reseal(&opened.target, identities, options.threads, control)?;
            return resealed.ok_or(error);
        }
        other => other?,
    };
    let phase = journal.journal.phase_unverified();
    // A forged header or phase that hides something here is refused later.
    place::check_continuation(&opened, &journal.place, journal.journal.header(), phase.as_ref(), wish)?;
    // Nothing authenticates it yet; only speed depends on it.
    let window_len = journal.journal.header().window_len;
    prepare_store(options.io, &mut opened, Reads::Twice, window_len, control);
    continue_on(opened.target, journal, identities, options, wish, control, started)
}

/// Whether there is no journal at all.
fn is_without_journal(error: &JobError) -> bool {
    matches!(
        error,
        JobError::Refused(Refusal::NothingToResume { .. })
            | JobError::Open(OpenError::Damaged { damage: Damage::JournalMissing { .. }, .. })
    )
}

/// Why the store is not the one that was chosen.
const RECOVERS_THROUGH_CACHE: &str = "what a killed job left is recovered through the page cache";

/// From the opened file and journal to the end of the job.
pub(crate) fn continue_on(
    mut target: Target,
    opened: OpenedJournal,
    identities: &Identities,
    options: &ResumeOptions,
    wish: Wish,
    control: &Control<'_>,
    started: Instant,
) -> Result<JobReport, JobError> {
    let OpenedJournal { place, journal, log } = opened;
    let journal_modified = log.modified().unwrap_or_default();
    let header = journal.header().clone();
    if let Some(phase) = journal.phase_unverified().filter(|phase| phase.phase == Phase::Finished) {
        return finished::finish(&target, &place, &*log, &journal, &phase, control);
    }
    refuse_beyond_size_limit(&target, &place, &header)?;
    let mut unlocked = unlock(&target, &place, journal, identities, &control.cancellation)?;
    let phase = unlocked.replay.phase;
    let caches = Caches::now(&target, &place);
    check_caches(&caches, &target, &place, &header, &phase)?;
    check_wish(&target, &header, &phase, options, wish)?;
    unlocked.journal.set_boot_id(caches.id());
    let io = io_to_resume(options.io, header.resilience, phase.clean, target.direct.is_some())?;
    let could_be_another = match options.io {
        IoChoice::Mmap => true,
        IoChoice::Direct | IoChoice::Auto => target.direct.is_some(),
        IoChoice::Buffered => false,
    };
    let is_another = could_be_another && io == Io::Buffered;
    if is_another && options.io != IoChoice::Auto {
        control.progress.notice(&Notice::RecoversThroughCache);
    }
    let reason = if is_another { RECOVERS_THROUGH_CACHE } else { &target.store_reason };
    control.progress.access(io.name(), reason);
    let workers = Workers::start(options.threads, header.geometry.chunk_len_bytes(), &*target.surroundings)?;
    let found_len = check_belongs(&target, &place, &*target.data, &header, &phase, &unlocked)?;
    // The run that made the journal may have been killed between giving it its name and making that durable.
    place.folder.sync().map_err(|source| OpenError::Io { path: place.path.clone(), offset: 0, source })?;
    let data = storage(io, &mut target, header.geometry.data_len()).map_err(|source| OpenError::Io {
        path: target.path.clone(),
        offset: 0,
        source,
    })?;
    let time_is_ours = is_time_of_job(target.modified, &header, &unlocked.replay, journal_modified);
    let mut context = context(&mut target, data, &header, unlocked.keys, workers);
    // Not asked anew: what somebody appends from here on is not the job's, to write over or to cut off.
    context.running_len = found_len;
    let job = ActiveJob {
        context,
        journal: unlocked.journal,
        header,
        place,
        target,
        resting: unlocked.resting,
        suite: unlocked.suite,
        io: io.name(),
        windows_recovered: 0,
        converted_bytes: 0,
        time_is_ours,
        found_damage: None,
        started,
    };
    continue_job(job, unlocked.replay, &unlocked.slots, wish, options.accept_damage, control)
}

/// A killed job has written into the file for so long at most after it wrote into its journal.
const STORES_AFTER_RECORD_SECONDS: i64 = 10;

/// Whether the file's modification time is one that the job itself left: the old one, as a stop leaves it, or if it was killed, a time
/// at which it can have written. Where nobody can tell, it is not, and the new time stays.
fn is_time_of_job(
    file: (i64, u32),
    header: &JournalHeader,
    replay: &Replay,
    journal: Option<(i64, u32)>,
) -> bool {
    if file == (header.mtime_seconds, header.mtime_nanoseconds) {
        return true;
    }
    let stopped_in_order = replay.phase.phase == Phase::Running
        && replay.in_flight.is_empty()
        && replay.phase.window_sequence > 0;
    let could_write = |journal: (i64, u32)| file.0 <= journal.0.saturating_add(STORES_AFTER_RECORD_SECONDS);
    !stopped_in_order && journal.is_some_and(could_write)
}

/// Refuses a job whose windows are not synced, unless all that it has written can be read.
fn check_caches(
    caches: &Caches,
    target: &Target,
    place: &JournalPlace,
    header: &JournalHeader,
    phase: &PhaseRecord,
) -> Result<(), JobError> {
    if header.resilience != Resilience::Process {
        return Ok(());
    }
    let windows_in_the_open = phase.phase == Phase::Running && !phase.clean;
    let is_known_lost = windows_in_the_open && phase.boot_id == PhaseRecord::DATA_LOST;
    if !is_known_lost {
        caches.refuse_unknown()?;
    }
    if !windows_in_the_open {
        return Ok(());
    }
    let lost = || {
        let damage = Damage::PowerCutDuringProcessJob;
        Err(OpenError::Damaged { path: target.path.clone(), damage }.into())
    };
    let elsewhere = |path: &Path| {
        let mount = mount_point_of(path).unwrap_or_else(|_| target.names.directory.clone());
        Err(Refusal::OtherMount { path: path.into(), mount }.into())
    };
    match caches.since(&phase.boot_id) {
        Since::Same => Ok(()),
        Since::Lost => lost(),
        // Moved or copied to another file system: what was read there was all there was.
        Since::FileOnNewFileSystem if target.identity.device == header.device => lost(),
        Since::FileOnNewFileSystem | Since::FileOnOtherMount => elsewhere(&target.path),
        Since::JournalOnOtherMount => elsewhere(&place.path),
    }
}

/// Refuses what the caller did not clearly ask for, and what cannot be had any more.
fn check_wish(
    target: &Target,
    header: &JournalHeader,
    phase: &PhaseRecord,
    options: &ResumeOptions,
    wish: Wish,
) -> Result<(), JobError> {
    let path = || target.path.clone();
    if header.record_kind == RecordKind::None && !phase.clean {
        return Err(OpenError::Damaged { path: path(), damage: Damage::Unprotected }.into());
    }
    match (wish, phase.direction) {
        (Wish::Forward, Direction::Backward) => return Err(Refusal::BeingRolledBack { path: path() }.into()),
        (Wish::Backward, Direction::Forward) if phase.phase == Phase::Truncating => {
            return Err(Refusal::OnlyFinish { path: path() }.into());
        }
        _ => {}
    }
    if wish == Wish::Forward && header.job == JobKind::Decrypt && !options.decrypt {
        return Err(Refusal::DecryptWordMissing { path: path() }.into());
    }
    Ok(())
}

/// From whatever phase the journal names to the end that the caller wishes.
fn continue_job(
    mut job: ActiveJob,
    replay: Replay,
    slots: &[u8],
    wish: Wish,
    accepts_damage: bool,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let phase = replay.phase;
    let (direction, watermark) = (phase.direction, replay.watermark);
    let result = go_through_phases(&mut job, replay, slots, wish, accepts_damage, control);
    match result {
        Ok(Next::Run(direction, mark)) => job.run(direction, mark, control),
        Ok(Next::Names(direction)) => finish::settle_names(job, direction, control),
        Err(InterruptCause::Damaged(damage)) => Err(job.damaged(damage)),
        Err(cause) => {
            job.remember_lost_data(&cause);
            Err(job.interrupted(direction, watermark, cause))
        }
    }
}

/// What is left to do once the phases are dealt with.
enum Next {
    /// Convert the windows that are left, then finish.
    Run(Direction, SettledMark),
    /// Everything is at rest but the names.
    Names(Direction),
}

fn go_through_phases(
    job: &mut ActiveJob,
    replay: Replay,
    slots: &[u8],
    wish: Wish,
    accepts_damage: bool,
    control: &Control<'_>,
) -> Result<Next, InterruptCause> {
    let Replay { phase, in_flight, .. } = replay;
    let start = job.journal.settled_at_start();
    let forward = phase.direction == Direction::Forward;
    let table_is_there = job.context.running_len == job.context.geometry.sealed_len();
    let direction = phase.direction;
    let end = if wish == Wish::Backward { Direction::Backward } else { direction };
    let demand = recover::Demand { direction, ends: job.context.sides(end).1, accepts_damage };
    // Where the table is not there yet, or not any more, `check_belongs` has looked at all that tells something.
    let can_ask = table_is_there && !is_growing(&job.header, &phase);
    let asks_first = is_on(Protection::AskBeforeSettling);
    if can_ask && asks_first {
        recover::refuse_outdated(job, &in_flight, &start, demand, control)?;
    }
    if table_is_there {
        finish::restore_superblocks(&*job.context.data, &job.context.geometry)?;
    }
    match (phase.phase, wish) {
        (Phase::Created | Phase::Grown, Wish::Backward) if job.context.kind == JobKind::Encrypt => {
            job.rest(Direction::Backward, &start)?;
            return Ok(Next::Names(Direction::Backward));
        }
        (Phase::Created | Phase::Grown, _) => {
            match job.context.kind {
                JobKind::Encrypt => encrypt::grow(job, slots)?,
                JobKind::Decrypt => decrypt::mark_running(job)?,
            }
            return Ok(match wish {
                Wish::Forward => Next::Run(Direction::Forward, start),
                Wish::Backward => reverse(job, start)?,
            });
        }
        _ => {}
    }
    let mark = recover::settle_in_flight(job, in_flight, start, control)?;
    if can_ask && !asks_first {
        recover::refuse_outdated(job, &[], &mark, demand, control)?;
    }
    match (phase.phase, wish) {
        (Phase::DataDone | Phase::Truncating, _) if !(forward && wish == Wish::Backward) => {
            job.rest(phase.direction, &mark)?;
            Ok(Next::Names(phase.direction))
        }
        (_, Wish::Backward) if forward => reverse(job, mark),
        _ => {
            job.set_phase(Phase::Running, phase.direction, true, &mark)?;
            Ok(Next::Run(phase.direction, mark))
        }
    }
}

/// Makes the reversal durable. From DATA_DONE the superblocks may already say *sealed*; they must not while
/// the job runs back.
fn reverse(job: &mut ActiveJob, mark: SettledMark) -> Result<Next, InterruptCause> {
    let state = match job.context.kind {
        JobKind::Encrypt => FileState::Encrypting,
        JobKind::Decrypt => FileState::Decrypting,
    };
    let running = Superblock { state, ..job.resting.clone() };
    finish::write_superblocks(&*job.context.data, &running, &job.context.keys)?;
    job.set_phase(Phase::Running, Direction::Backward, true, &mark)?;
    Ok(Next::Run(Direction::Backward, mark))
}
