//! How an in-place encrypt begins.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pageseal_crypto::Suite;
use pageseal_format::journal::{Direction, HEADER_LEN, JobKind, JournalHeader, KeyArea, Phase};
use pageseal_format::limits::{MAX_DATA_LEN, SLOT_AREA_LEN, SUPERBLOCK_LEN};
use pageseal_format::{FileState, Geometry, Limits, SlotArea, Superblock, labels, trailer_candidates};
use pageseal_protections::{Protection, is_on};
use pageseal_storage::{FileSystemKind, Medium, Storage, StorageError};

use super::active::{ActiveJob, JournalPlace};
use super::begin::{
    HeaderChoices, context, create_journal, is_full, journal_header, make_file_keys,
    make_old_content_durable, make_slots, random_id, refuse_beyond_size_limit, storage, take_back_journal,
};
use super::caches::Caches;
use super::context::{Holes, another_length, find_holes, io_cause};
use super::journal_file::{journal_place, journal_place_of};
use super::plan::{Plan, Reasons, check_choices, kept_window_len, plan};
use super::store_choice::{Reads, choose_store, prepare_store};
use super::workers::Workers;
use super::{finish, job_key, place};
use crate::control::{Control, Notice};
use crate::error::{InterruptCause, JobError, OpenError, Refusal};
use crate::job_plan::JobPlan;
use crate::keys::Recipient;
use crate::names::Names;
use crate::open_job::Asks;
use crate::options::{EncryptOptions, JobKeyMode};
use crate::report::JobReport;
use crate::sealed::{Located, agree, locate};
use crate::target::{OpenedTarget, Target, open_for_change, open_for_reading};

/// Seals the file at `path` in place for all `recipients` and renames it to `PATH.sealed`.
///
/// When this returns `Ok`, every byte and the new name are durable (with [`crate::ResilienceChoice::None`] and
/// `Process`: from then on; before, with the others). At every instant before, the file can be brought forward with
/// [`crate::resume`] or back with [`crate::rollback`], whatever stopped the process.
///
/// # Errors
/// [`JobError::Refused`] and [`JobError::Open`]: nothing was changed. [`JobError::Interrupted`]: the job had begun.
pub fn encrypt_in_place(
    path: &Path,
    recipients: &[Recipient],
    options: &EncryptOptions,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    let chunk_log2 = check_options(recipients, options)?;
    let names = Names::of(path)?;
    place::look_first(path, options.resilience)?;
    let opened = open_for_change(names, options.allow_links, control)?;
    opened.refuse_open_job(Asks::Encrypt, options.journal.as_deref())?;
    let geometry = check_file(&opened.target, chunk_log2)?;
    check_names(&opened, options)?;
    let target = &opened.target;
    let place = journal_place(&target.folder, &target.names, options.journal.as_deref())?;
    encrypt_opened(opened, place, geometry, recipients, options, control, started)
}

/// From the opened file, of which only its names and form are checked, to the end of the job.
pub(crate) fn encrypt_opened(
    mut opened: OpenedTarget,
    place: JournalPlace,
    geometry: Geometry,
    recipients: &[Recipient],
    options: &EncryptOptions,
    control: &Control<'_>,
    started: Instant,
) -> Result<JobReport, JobError> {
    check_allocation(&opened, options)?;
    let window_len = kept_window_len(geometry.data_len(), options.chunk_len_bytes);
    let store = prepare_store(options.io, &mut opened, Reads::Once, window_len, control);
    let (plan, notice) = plan(store.io, options.resilience, &opened.medium)?;
    place::check_journal(&place, plan.resilience, &opened.medium)?;
    place::check_inline_data(&opened, Some(&place))?;
    notice.iter().for_each(|notice| control.progress.notice(notice));
    if opened.medium.copy_on_write || opened.medium.shared_extents == Some(true) {
        control.progress.notice(&Notice::OldBlocksMayStay);
    }
    if opened.medium.kind == FileSystemKind::Overlay {
        control.progress.notice(&Notice::LowerLayerMayKeep);
    }
    place::tell_of_journal(&place, options.journal.as_deref(), &opened.medium, control);
    let reasons = Reasons {
        store: &store.reason,
        resilience: options.resilience,
        medium: &opened.medium,
        journal: place.file_system,
    };
    control.progress.plan(&plan.describe(&geometry, &reasons));
    begin(opened.target, place, geometry, plan, recipients, options, control, started)
}

/// See [`crate::plan_encrypt`].
pub(crate) fn plan_of_encrypt(path: &Path, options: &EncryptOptions) -> Result<JobPlan, JobError> {
    check_choices(options.io, options.resilience, options.accept_data_loss)?;
    let file = open_for_reading(path)?;
    let unreadable = |source| OpenError::Io { path: path.into(), offset: 0, source };
    let medium = Medium::of(&file).map_err(unreadable)?;
    let len = file.metadata().map_err(unreadable)?.len();
    let too_long = |_| Refusal::TooLong { path: path.into() };
    let chunk_log2 = options.chunk_len_bytes.trailing_zeros() as u8;
    let geometry = Geometry::new(len, chunk_log2, &Limits::PRODUCTION).map_err(too_long)?;
    let window_len = kept_window_len(geometry.data_len(), options.chunk_len_bytes);
    let store = choose_store(options.io, &file, &medium, Reads::Once, window_len);
    let (plan, _) = plan(store.io, options.resilience, &medium)?;
    let place = journal_place_of(&Names::of(path)?, options.journal.as_deref())?;
    place::check_journal(&place, plan.resilience, &medium)?;
    place::check_not_in_inode(path, &file, &medium)?;
    let reasons = Reasons {
        store: &store.reason,
        resilience: options.resilience,
        medium: &medium,
        journal: place.file_system,
    };
    Ok(plan.describe(&geometry, &reasons))
}

/// Refuses bad options before any file is opened. Returns the chunk size's logarithm.
pub(crate) fn check_options(recipients: &[Recipient], options: &EncryptOptions) -> Result<u8, Refusal> {
    if recipients.is_empty() {
        return Err(Refusal::NoRecipients);
    }
    check_choices(options.io, options.resilience, options.accept_data_loss)?;
    let limits = Limits::PRODUCTION;
    let allowed = (1_u64 << limits.min_chunk_log2)..=(1 << limits.max_chunk_log2);
    if !options.chunk_len_bytes.is_power_of_two() || !allowed.contains(&options.chunk_len_bytes) {
        return Err(Refusal::BadValue {
            what: "--chunk-size",
            must_be: "a power of two from 64 KiB to 1 MiB",
            value: options.chunk_len_bytes,
        });
    }
    Ok(options.chunk_len_bytes.trailing_zeros() as u8)
}

/// Refuses a file that is sealed, or half sealed, or too long.
pub(crate) fn check_file(target: &Target, chunk_log2: u8) -> Result<Geometry, JobError> {
    let path = &target.path;
    let unreadable = |(offset, source)| OpenError::Io { path: path.clone(), offset, source };
    match locate(&*target.data, &target.limits).map_err(unreadable)? {
        Located::Plain => refuse_parts_of_jobs(target)?,
        Located::Damaged(damage) => return Err(OpenError::Damaged { path: path.clone(), damage }.into()),
        Located::Trailer { a, b } => {
            let (found, _) = agree(path, &a, &b)?;
            let kind = match found.superblock.state {
                FileState::Sealed => return Err(Refusal::AlreadySealed { path: path.clone() }.into()),
                FileState::Encrypting => crate::report::JobKind::Encrypt,
                FileState::Decrypting => crate::report::JobKind::Decrypt,
            };
            let journal = target.folder.identity_of(&target.names.journal());
            let journal_found = journal.is_ok_and(|found| found.is_some());
            return Err(OpenError::Interrupted { path: path.clone(), kind, journal_found }.into());
        }
    }
    let data_len = target.data.len().map_err(|source| unreadable((0, source)))?;
    if data_len > MAX_DATA_LEN {
        return Err(Refusal::TooLong { path: path.clone() }.into());
    }
    Geometry::new(data_len, chunk_log2, &target.limits)
        .map_err(|_| Refusal::TooLong { path: path.clone() }.into())
}

/// Refuses what looks plain and belongs to a job: a journal under a name of its own, and a file
/// that a job has made longer and not marked yet, whose journal may lie anywhere.
fn refuse_parts_of_jobs(target: &Target) -> Result<(), JobError> {
    let path = || target.path.clone();
    let unreadable = |offset| move |source| OpenError::Io { path: target.path.clone(), offset, source };
    let len = target.data.len().map_err(unreadable(0))?;
    if len >= HEADER_LEN as u64 {
        let mut block = vec![0; HEADER_LEN];
        target.data.read_exact_at(&mut block, 0).map_err(unreadable(0))?;
        if let Ok(header) = JournalHeader::parse(&block, &target.limits) {
            return Err(Refusal::IsJournal { path: path(), kind: super::public_kind(header.job) }.into());
        }
    }
    let mut slots = vec![0; SLOT_AREA_LEN];
    for (_, trailer) in trailer_candidates(len, &target.limits) {
        for copy in 0..2 {
            let offset = trailer + (SUPERBLOCK_LEN + copy * SLOT_AREA_LEN) as u64;
            target.data.read_exact_at(&mut slots, offset).map_err(unreadable(offset))?;
            if SlotArea::parse(&slots).is_ok() {
                return Err(Refusal::SlotsAlone { path: path() }.into());
            }
        }
    }
    Ok(())
}

fn check_names(opened: &OpenedTarget, options: &EncryptOptions) -> Result<(), Refusal> {
    let names = &opened.target.names;
    let limit = opened.medium.name_max;
    if !options.keep_name && names.given_is_sealed() {
        // `x.sealed` would become `x.sealed`: the name says sealed though the content is not.
        return Err(Refusal::TargetExists { path: names.path_of(&names.sealed) });
    }
    if !options.keep_name {
        names.check_length(&names.sealed, limit)?;
        let unopenable = |source| Refusal::Unopenable { path: names.path_of(&names.sealed), source };
        if opened.target.folder.identity_of(&names.sealed).map_err(unopenable)?.is_some() {
            return Err(Refusal::TargetExists { path: names.path_of(&names.sealed) });
        }
    }
    if options.journal.is_none() {
        names.check_length(&names.journal(), limit)?;
    }
    Ok(())
}

/// A sparse file would grow to its full length on disk.
fn check_allocation(opened: &OpenedTarget, options: &EncryptOptions) -> Result<(), JobError> {
    let path = &opened.target.path;
    // Only then are all its blocks allocated.
    make_old_content_durable(&opened.target)?;
    let unreadable = |source| OpenError::Io { path: path.clone(), offset: 0, source };
    let metadata = opened.file.metadata().map_err(unreadable)?;
    let (len, allocated) = (metadata.len(), metadata.blocks() * 512);
    let is_sparse = len >= 1 << 16 && allocated < len / 10 * 9;
    if is_sparse && !options.allow_sparse {
        let path = path.clone();
        return Err(Refusal::Sparse { path, allocated_bytes: allocated, len_bytes: len }.into());
    }
    Ok(())
}

/// From the checked file to the end of the job.
#[expect(clippy::too_many_arguments, reason = "what was found out before, each part once")]
pub(crate) fn begin(
    mut target: Target,
    place: JournalPlace,
    geometry: Geometry,
    plan: Plan,
    recipients: &[Recipient],
    options: &EncryptOptions,
    control: &Control<'_>,
    started: Instant,
) -> Result<JobReport, JobError> {
    let surroundings = Arc::clone(&target.surroundings);
    let caches = Caches::of_new_job(&target, &place, plan.resilience)?;
    let suite = options.suite.unwrap_or_else(Suite::default_for_cpu);
    let workers = Workers::start(options.threads, geometry.chunk_len_bytes(), &*target.surroundings)?;
    let made = make_file_keys(&*target.surroundings, suite, geometry.chunk_log2())?;
    let slots = make_slots(suite, geometry.chunk_log2(), &made, recipients)?;
    let job_id = random_id(&*target.surroundings)?;
    let resting = Superblock {
        suite: suite.id(),
        geometry,
        state: FileState::Sealed,
        file_id: made.file_id,
        job_sequence: 1,
        job_id,
        commitment: made.keys.commitment(),
        compat: 0,
        ro_compat: 0,
        incompat: 0,
    };
    let choices = HeaderChoices {
        job: JobKind::Encrypt,
        suite,
        job_id,
        file_id: made.file_id,
        job_sequence: 1,
        keep_name: options.keep_name,
        holes_flagged: options.allow_sparse,
    };
    let header = journal_header(&target, geometry, plan, &choices);
    refuse_beyond_size_limit(&target, &place, &header)?;
    let data = storage(plan.io, &mut target, geometry.data_len())
        .map_err(|source| Refusal::Unopenable { path: target.path.clone(), source })?;
    // Before there is anything to be resumed: it can take a while in a file of millions of holes.
    let holes = if options.allow_sparse {
        let stops = || control.cancellation.is_cancelled();
        // An error only means that no hole comes back.
        let found = find_holes(&*data, &geometry, 0..geometry.chunk_count(), &stops).unwrap_or_default();
        if stops() {
            return Err(Refusal::Cancelled.into());
        }
        Some(found)
    } else {
        None
    };
    let key_area = job_key::make(&*surroundings, options.job_key, &job_id, &made.file_id, &made.file_key)?;
    tell_of_job_key(options.job_key, &key_area, control);
    let superblock = resting.encode(|body| made.keys.metadata.mac(labels::SUPERBLOCK, body));
    let mut journal = create_journal(&place, &made.keys, &header, &key_area, &superblock, &slots)
        .inspect_err(|_| job_key::forget(&*surroundings, &job_id, control))?;
    journal.set_boot_id(caches);
    let mut job = ActiveJob {
        context: context(&mut target, data, &header, made.keys, workers),
        journal,
        header,
        place,
        target,
        resting,
        suite,
        io: plan.io.name(),
        windows_recovered: 0,
        converted_bytes: 0,
        time_is_ours: true,
        found_damage: None,
        started,
    };
    let in_holes =
        holes.iter().flatten().map(|run| geometry.bytes_of_chunks(run.start, run.end - run.start).1);
    let needed_bytes = geometry.sealed_len() - geometry.data_len() + in_holes.sum::<u64>();
    if let Some(holes) = holes {
        job.context.holes = Holes::Known(holes);
    }
    reserve_or_take_back(&mut job, needed_bytes, control)?;
    let mark = job.journal.settled_at_start();
    match grow(&mut job, &slots) {
        Ok(()) => job.run(Direction::Forward, mark, control),
        Err(cause) => Err(job.interrupted(Direction::Forward, 0, cause)),
    }
}

fn tell_of_job_key(mode: JobKeyMode, area: &KeyArea, control: &Control<'_>) {
    match (mode, area) {
        (JobKeyMode::Runtime, KeyArea::Empty) => control.progress.notice(&Notice::NoJobKey),
        (JobKeyMode::Disk, _) => control.progress.notice(&Notice::JobKeyOnDisk),
        _ => {}
    }
}

/// Where the space begins that a job needs: with the trailer, and for a sparse file with its holes.
fn needed_from(job: &ActiveJob) -> u64 {
    if job.header.holes_flagged { 0 } else { job.context.geometry.data_len() }
}

/// Reserves the trailer's space (and that of a sparse file's holes). A refusal leaves the file as it was.
fn reserve_or_take_back(
    job: &mut ActiveJob,
    needed_bytes: u64,
    control: &Control<'_>,
) -> Result<(), Refusal> {
    let geometry = &job.context.geometry;
    let start = needed_from(job);
    let data = &*job.context.data;
    let path = job.context.path.clone();
    let Err(source) = data.grow(start, geometry.data_len(), geometry.sealed_len()) else { return Ok(()) };
    // Whoever appended since the file was looked at keeps what he wrote, and its time.
    let is_appended = matches!(StorageError::of(&source), Some(StorageError::Appended { .. }));
    // A failed reservation leaves the length as it was; cutting here could only cut what somebody appended meanwhile.
    let took_back = data.sync_all();
    if took_back.is_ok() {
        if !is_appended {
            finish::restore_modified(data, &job.header);
        }
        job_key::forget(&*job.target.surroundings, &job.header.job_id, control);
        take_back_journal(&job.place, &mut job.journal);
    }
    Err(if is_appended {
        Refusal::OpenForWriting { path }
    } else if is_full(&source) {
        Refusal::NoSpace { path, needed_bytes, source }
    } else {
        Refusal::Unopenable { path, source }
    })
}

/// CREATED to RUNNING: the file gets its length, then its trailer, each durable before the phase that says so. Every step can be
/// repeated by a resume.
pub(crate) fn grow(job: &mut ActiveJob, slots: &[u8]) -> Result<(), InterruptCause> {
    let geometry = job.context.geometry;
    let mark = job.journal.settled_at_start();
    let data = &job.context.data;
    let start = needed_from(job);
    let sealed_len = geometry.sealed_len();
    // What came behind the length that was looked at stays where it is.
    let looked_at = if is_on(Protection::GrowAtEnd) {
        job.context.check_length()?;
        job.context.running_len
    } else {
        data.len().map_err(|source| io_cause("reading the length", 0, source))?
    };
    let reserved = match looked_at < sealed_len {
        true => data.grow(start, looked_at, sealed_len),
        false => data.reserve(start, sealed_len - start),
    };
    reserved.map_err(|source| match StorageError::of(&source) {
        Some(&StorageError::Appended { expected, found }) => another_length(found, expected),
        _ => io_cause("reserving space", geometry.data_len(), source),
    })?;
    job.context.running_len = sealed_len;
    // A mapping of somebody else may have left bytes beyond the old end in the page; they must be zero.
    zero(&**data, geometry.data_len(), geometry.trailer_offset())?;
    let table_used = geometry.table_entry_offset(geometry.chunk_count() - 1) + 64;
    zero(&**data, table_used, geometry.table_offset() + geometry.table_len())?;
    data.sync_all().map_err(|source| io_cause("syncing the grown file", 0, source))?;
    job.set_phase(Phase::Grown, Direction::Forward, true, &mark)?;
    write_trailer(job, slots)?;
    job.set_phase(Phase::Running, Direction::Forward, true, &mark)
}

/// Slot areas and superblocks, in the state *encrypting*.
pub(crate) fn write_trailer(job: &ActiveJob, slots: &[u8]) -> Result<(), InterruptCause> {
    let data = &*job.context.data;
    for copy in 0..2 {
        let offset = job.context.geometry.slot_area_offset(copy);
        data.write_all_at(slots, offset).map_err(|source| io_cause("writing a slot area", offset, source))?;
    }
    data.sync_data().map_err(|source| io_cause("syncing the slot areas", 0, source))?;
    let running = Superblock { state: FileState::Encrypting, ..job.resting.clone() };
    finish::write_superblocks(data, &running, &job.context.keys)
}

fn zero(data: &dyn Storage, start: u64, end: u64) -> Result<(), InterruptCause> {
    let zeros = vec![0; (end - start) as usize];
    if zeros.is_empty() {
        return Ok(());
    }
    data.write_all_at(&zeros, start).map_err(|source| io_cause("padding", start, source))
}

#[cfg(test)]
mod tests;
