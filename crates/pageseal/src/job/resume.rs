//! Going on with an interrupted job, or undoing it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pageseal_crypto::{DerivedKeys, FileKey, Suite};
use pageseal_format::journal::{
    Direction, JobKind, JournalHeader, Phase, PhaseRecord, RecordKind, Resilience,
};
use pageseal_format::limits::{BLOCK, BLOCK_LEN, SECTOR, SUPERBLOCK_LEN};
use pageseal_format::{FileState, Id, Superblock, labels};
use pageseal_journal::{Journal, JournalError, Replay, SettledMark, UnverifiedJournal};
use pageseal_storage::Storage;

use super::active::{ActiveJob, JournalPlace};
use super::begin::{context, keep_from_swap, storage};
use super::journal_file::{FileLog, JournalAuthenticator, journal_place};
use super::plan::io_for_records;
use super::workers::Workers;
use super::{decrypt, encrypt, finish, finished, job_key, public_kind, recover};
use crate::control::Control;
use crate::error::{Damage, InterruptCause, JobError, OpenError, Refusal};
use crate::keys::{Identities, unwrap_slots};
use crate::names::Names;
use crate::options::ResumeOptions;
use crate::report::JobReport;
use crate::sealed::{
    FoundSuperblock, Located, SuperblockCopy, authenticate, check_macs, check_writable, hash_of, locate,
};
use crate::target::{OpenedTarget, Target, open_for_change};

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
    let names = existing_name(Names::of(path)?);
    let OpenedTarget { target, .. } = open_for_change(names, true)?;
    let place = journal_place(&target.names, options.journal.as_deref())?;
    continue_on(target, place, identities, options, wish, control, started)
}

/// From the opened file to the end of the job.
pub(crate) fn continue_on(
    mut target: Target,
    place: JournalPlace,
    identities: &Identities,
    options: &ResumeOptions,
    wish: Wish,
    control: &Control<'_>,
    started: Instant,
) -> Result<JobReport, JobError> {
    let (journal, log) = open_journal(&target, &place)?;
    let header = journal.header().clone();
    if let Some(phase) = journal.phase_unverified().filter(|phase| phase.phase == Phase::Finished) {
        return finished::finish(&target, &place, &*log, &header, &phase, control);
    }
    let mut unlocked = unlock(&target, &place, journal, identities)?;
    let phase = unlocked.replay.phase;
    check_wish(&target, &header, &phase, options, wish)?;
    unlocked.journal.set_boot_id(running_boot(&target));
    let io = io_for_records(options.io, header.record_kind)?;
    let workers = Workers::start(options.threads, header.geometry.chunk_len_bytes(), &*target.surroundings)?;
    check_belongs(&target, &place, &*target.data, &header, &phase, &unlocked)?;
    // The run that made the journal may have been killed between giving it its name and making that durable.
    place.folder.sync().map_err(|source| OpenError::Io { path: place.path.clone(), offset: 0, source })?;
    let data = storage(io, &mut target, header.geometry.data_len()).map_err(|source| OpenError::Io {
        path: target.path.clone(),
        offset: 0,
        source,
    })?;
    let mut context = context(&mut target, data, &header, unlocked.keys, workers);
    context.running_len = context.data.len().map_err(|source| OpenError::Io {
        path: context.path.clone(),
        offset: 0,
        source,
    })?;
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
        started,
    };
    continue_job(job, unlocked.replay, &unlocked.slots, wish, control)
}

/// The boot that this is; zeros where the system does not tell, so that no restart is seen there.
fn running_boot(target: &Target) -> Id {
    target.surroundings.boot_id().unwrap_or_default()
}

/// The given name if it exists, else the file's other name.
fn existing_name(names: Names) -> Names {
    let other: OsString = if names.given_is_sealed() { names.plain.clone() } else { names.sealed.clone() };
    let exists = |name: &OsString| names.path_of(name).symlink_metadata().is_ok();
    if !exists(&names.given) && exists(&other) { Names { given: other, ..names } } else { names }
}

fn open_journal(
    target: &Target,
    place: &JournalPlace,
) -> Result<(UnverifiedJournal, Arc<dyn Storage>), JobError> {
    let log = match place.folder.open_storage(&place.name) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(without_journal(target, place));
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            return Err(Refusal::Locked { path: place.path.clone() }.into());
        }
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            let what = "something else";
            return Err(Refusal::NotRegular { path: place.path.clone(), what }.into());
        }
        Err(source) => return Err(OpenError::Io { path: place.path.clone(), offset: 0, source }.into()),
    };
    let unreadable = |source| OpenError::Io { path: place.path.clone(), offset: 0, source };
    match Journal::open(Arc::new(FileLog(Arc::clone(&log))), &target.limits) {
        Ok(journal) => Ok((journal, log)),
        Err(JournalError::Io { source, .. }) => Err(unreadable(source).into()),
        Err(error) => Err(journal_damage(place, &error)),
    }
}

/// No journal: either there is nothing to go on with, or the file cannot be recovered without it.
fn without_journal(target: &Target, place: &JournalPlace) -> JobError {
    let path = target.path.clone();
    let in_job =
        |copy: &SuperblockCopy| copy.good().is_some_and(|found| found.superblock.state != FileState::Sealed);
    match locate(&*target.data, &target.limits) {
        Ok(Located::Trailer { a, b }) if in_job(&a) || in_job(&b) => {
            let damage = Damage::JournalMissing { journal: place.path.clone() };
            OpenError::Damaged { path, damage }.into()
        }
        Ok(_) => Refusal::NothingToResume { path }.into(),
        Err((offset, source)) => OpenError::Io { path, offset, source }.into(),
    }
}

fn journal_damage(place: &JournalPlace, error: &JournalError) -> JobError {
    let damage = Damage::Journal { what: error.to_string() };
    OpenError::Damaged { path: place.path.clone(), damage }.into()
}

/// What the journal says could not be made durable, on a full disk for example: the job is as open as it was.
fn journal_unwritable(
    target: &Target,
    place: &JournalPlace,
    header: &JournalHeader,
    phase: Option<PhaseRecord>,
    error: JournalError,
) -> JobError {
    let total_bytes = header.geometry.data_len();
    let rolling_back = phase.is_some_and(|phase| phase.direction == Direction::Backward);
    let below = match phase.map_or(0, |phase| phase.watermark.min(header.geometry.chunk_count())) {
        0 => 0,
        watermark => header.geometry.bytes_of_chunks(0, watermark).1,
    };
    JobError::Interrupted {
        path: target.path.clone(),
        kind: public_kind(header.job),
        rolling_back,
        done_bytes: if rolling_back { total_bytes - below } else { below },
        total_bytes,
        journal: place.path.clone(),
        cause: InterruptCause::Journal { source: Box::new(error) },
    }
}

/// A journal whose MACs are right, and the keys that showed it.
struct Unlocked {
    journal: Journal,
    replay: Replay,
    keys: Arc<DerivedKeys>,
    suite: Suite,
    resting: Superblock,
    slots: Vec<u8>,
}

fn unlock(
    target: &Target,
    place: &JournalPlace,
    journal: UnverifiedJournal,
    identities: &Identities,
) -> Result<Unlocked, JobError> {
    let header = journal.header().clone();
    let bad = |what: &str| {
        let damage = Damage::Journal { what: what.to_owned() };
        JobError::from(OpenError::Damaged { path: place.path.clone(), damage })
    };
    let mut block = Box::new([0; SUPERBLOCK_LEN]);
    block.copy_from_slice(journal.superblock_block());
    let copy = FoundSuperblock::parse(block, &target.limits).map_err(|error| bad(&error.to_string()))?;
    let slots = journal.slot_area_bytes().to_vec();
    let area = journal.slot_area().clone();
    let superblock = &copy.superblock;
    let same = superblock.file_id == header.file_id
        && superblock.geometry == header.geometry
        && superblock.suite == header.suite
        && area.file_id == header.file_id;
    if !same {
        return Err(bad("its parts belong to different files"));
    }
    check_writable(&target.path, superblock)?;
    let suite = Suite::try_from(header.suite).map_err(|error| bad(&error.to_string()))?;
    let key: FileKey =
        match job_key::recover(&*target.surroundings, journal.key_area(), &header.job_id, &header.file_id) {
            Some(key) => key,
            None => unwrap_slots(&area, &hash_of(superblock, suite), identities)?,
        };
    let keys = Arc::new(authenticate(&target.path, superblock, suite, &key)?);
    keep_from_swap(&keys);
    check_macs(&place.path, &copy, &slots, &keys.metadata)?;
    let phase = journal.phase_unverified();
    let (journal, replay) =
        journal.verify(Arc::new(JournalAuthenticator(Arc::clone(&keys)))).map_err(|error| match error {
            JournalError::Unprotected { .. } => {
                OpenError::Damaged { path: target.path.clone(), damage: Damage::Unprotected }.into()
            }
            JournalError::Io { .. } => journal_unwritable(target, place, &header, phase, error),
            other => journal_damage(place, &other),
        })?;
    let resting = match header.job {
        JobKind::Encrypt => copy.superblock,
        JobKind::Decrypt => {
            Superblock { job_sequence: header.job_sequence, job_id: header.job_id, ..copy.superblock }
        }
    };
    Ok(Unlocked { journal, replay, keys, suite, resting, slots })
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
    let restarted = phase.boot_id != running_boot(target);
    if header.resilience == Resilience::Process && phase.phase == Phase::Running && !phase.clean && restarted
    {
        let damage = Damage::PowerCutDuringProcessJob;
        return Err(OpenError::Damaged { path: path(), damage }.into());
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

/// Whether the file is the one that the journal speaks of, in a state that its phase allows. Reads only.
fn check_belongs(
    target: &Target,
    place: &JournalPlace,
    data: &dyn Storage,
    header: &JournalHeader,
    phase: &PhaseRecord,
    unlocked: &Unlocked,
) -> Result<(), JobError> {
    let geometry = &header.geometry;
    let unreadable = |source| OpenError::Io { path: target.path.clone(), offset: 0, source };
    let len = data.len().map_err(unreadable)?;
    let (plain_len, sealed_len) = (geometry.data_len(), geometry.sealed_len());
    let growing = header.job == JobKind::Encrypt && matches!(phase.phase, Phase::Created | Phase::Grown);
    let fits = match phase.phase {
        Phase::Truncating if growing_was_undone(header, phase) => (plain_len..=sealed_len).contains(&len),
        Phase::Truncating => len == plain_len || len == sealed_len,
        _ if growing => (plain_len..=sealed_len).contains(&len),
        _ => len == sealed_len,
    };
    if !fits {
        let damage = Damage::Length { found_bytes: len, expected_bytes: sealed_len };
        return Err(OpenError::Damaged { path: target.path.clone(), damage }.into());
    }
    if growing || (phase.phase == Phase::Truncating && growing_was_undone(header, phase)) {
        return check_trailer_is_ours(target, place, data, len, header.inode, unlocked);
    }
    if len == plain_len {
        // The trailer is cut off already, so again nothing in the file names the job.
        return if header.inode == target.identity.inode {
            Ok(())
        } else {
            Err(Refusal::ForeignJournal { journal: place.path.clone() }.into())
        };
    }
    check_superblocks(target, place, data, header, phase, unlocked)
}

/// A rollback that began before the encrypt had written its trailer: no chunk was ever converted.
fn growing_was_undone(header: &JournalHeader, phase: &PhaseRecord) -> bool {
    header.job == JobKind::Encrypt && phase.direction == Direction::Backward && phase.window_sequence == 0
}

/// Before RUNNING every sector behind the data must be zeros or what this very job writes there (a write may be torn at sectors);
/// else the file is another one.
fn check_trailer_is_ours(
    target: &Target,
    place: &JournalPlace,
    data: &dyn Storage,
    len: u64,
    inode: u64,
    unlocked: &Unlocked,
) -> Result<(), JobError> {
    let geometry = &unlocked.resting.geometry;
    let foreign = || JobError::from(Refusal::ForeignJournal { journal: place.path.clone() });
    let unreadable =
        |source| OpenError::Io { path: target.path.clone(), offset: geometry.data_len(), source };
    let running = Superblock { state: FileState::Encrypting, ..unlocked.resting.clone() };
    let superblock = running.encode(|body| unlocked.keys.metadata.mac(labels::SUPERBLOCK, body));
    let expected = |offset: u64| -> Option<&[u8]> {
        if offset == geometry.superblock_a_offset() || offset == geometry.superblock_b_offset() {
            return Some(&superblock[..]);
        }
        (0..2).find_map(|copy| {
            let at = offset.checked_sub(geometry.slot_area_offset(copy))? as usize;
            unlocked.slots.get(at..at + BLOCK_LEN)
        })
    };
    let mut found_ours = false;
    let mut offset = geometry.data_len();
    let mut block = [0; BLOCK_LEN];
    while offset < len {
        let start = offset / BLOCK * BLOCK;
        let end = (start + BLOCK).min(len);
        let bytes = &mut block[(offset - start) as usize..(end - start) as usize];
        data.read_exact_at(bytes, offset).map_err(unreadable)?;
        let whole = expected(start);
        for (sector, found) in block[..(end - start) as usize].chunks(SECTOR as usize).enumerate() {
            let at = sector * SECTOR as usize;
            let ours = whole.is_some_and(|whole| found == &whole[at..at + found.len()]);
            let zero = found.iter().all(|byte| *byte == 0);
            if !ours && !zero {
                return Err(foreign());
            }
            found_ours |= ours && !zero;
        }
        block.fill(0);
        offset = end;
    }
    // Zeros alone name no job: then the inode is more than advice.
    if !found_ours && inode != target.identity.inode {
        return Err(foreign());
    }
    Ok(())
}

/// From RUNNING on at least one superblock copy must name this job, and none may say that the job is over.
fn check_superblocks(
    target: &Target,
    place: &JournalPlace,
    data: &dyn Storage,
    header: &JournalHeader,
    phase: &PhaseRecord,
    unlocked: &Unlocked,
) -> Result<(), JobError> {
    let geometry = &header.geometry;
    let running = match header.job {
        JobKind::Encrypt => FileState::Encrypting,
        JobKind::Decrypt => FileState::Decrypting,
    };
    let resting_may_be_written = phase.phase == Phase::DataDone
        && (header.job == JobKind::Encrypt) == (phase.direction == Direction::Forward);
    let mut ours = 0;
    for offset in [geometry.superblock_a_offset(), geometry.superblock_b_offset()] {
        let mut block = Box::new([0; SUPERBLOCK_LEN]);
        data.read_exact_at(&mut block[..], offset).map_err(|source| OpenError::Io {
            path: target.path.clone(),
            offset,
            source,
        })?;
        let Ok(found) = FoundSuperblock::parse(block, &target.limits) else { continue };
        let block = &found.superblock;
        if block.file_id != header.file_id || block.geometry != header.geometry {
            return Err(Refusal::ForeignJournal { journal: place.path.clone() }.into());
        }
        let ours_running = block.state == running && block.job_id == header.job_id;
        let ours_resting = block.state == FileState::Sealed && block.job_id == header.job_id;
        let before = header.job == JobKind::Decrypt
            && phase.phase == Phase::Created
            && block.state == FileState::Sealed
            && block.job_sequence.checked_add(1) == Some(header.job_sequence);
        if !(ours_running || before || (ours_resting && resting_may_be_written)) {
            return Err(Refusal::StaleJournal { journal: place.path.clone() }.into());
        }
        check_macs(&target.path, &found, &unlocked.slots, &unlocked.keys.metadata)?;
        ours += 1;
    }
    if ours == 0 {
        return Err(Refusal::ForeignJournal { journal: place.path.clone() }.into());
    }
    Ok(())
}

/// From whatever phase the journal names to the end that the caller wishes.
fn continue_job(
    mut job: ActiveJob,
    replay: Replay,
    slots: &[u8],
    wish: Wish,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let phase = replay.phase;
    let (direction, watermark) = (phase.direction, replay.watermark);
    let result = go_through_phases(&mut job, replay, slots, wish, control);
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
    control: &Control<'_>,
) -> Result<Next, InterruptCause> {
    let Replay { phase, in_flight, .. } = replay;
    let start = job.journal.settled_at_start();
    let forward = phase.direction == Direction::Forward;
    let table_is_there = job.context.running_len == job.context.geometry.sealed_len();
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
            job.context.running_len = job.context.geometry.sealed_len();
            return Ok(match wish {
                Wish::Forward => Next::Run(Direction::Forward, start),
                Wish::Backward => reverse(job, start)?,
            });
        }
        _ => {}
    }
    let mark = recover::settle_in_flight(job, in_flight, start, control)?;
    match (phase.phase, wish) {
        (Phase::DataDone | Phase::Truncating, _) if !(forward && wish == Wish::Backward) => {
            let ends_plain = job.context.sides(phase.direction).1 == super::context::Side::Plain;
            let chunks = 0..job.context.geometry.chunk_count();
            if !ends_plain {
                recover::refuse_plain(job, chunks, control)?;
            } else if table_is_there && !growing_was_undone(&job.header, &phase) {
                recover::refuse_sealed(job, chunks, control)?;
            }
            job.rest(phase.direction, &mark)?;
            Ok(Next::Names(phase.direction))
        }
        (_, Wish::Backward) if forward => {
            recover::refuse_outdated(job, Direction::Backward, mark.watermark(), control)?;
            reverse(job, mark)
        }
        _ => {
            recover::refuse_outdated(job, phase.direction, mark.watermark(), control)?;
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
