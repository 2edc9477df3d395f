//! How an in-place decrypt begins.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pageseal_format::journal::{Direction, JobKind, KeyArea, Phase};
use pageseal_format::{FileState, Superblock};

use super::active::{ActiveJob, JournalPlace};
use super::begin::{
    HeaderChoices, context, create_journal, journal_header, make_old_content_durable, random_id,
    refuse_beyond_size_limit, storage,
};
use super::caches::Caches;
use super::journal_file::journal_place;
use super::plan::{Io, Plan, Reasons, check_choices, kept_window_len, plan};
use super::store_choice::{Reads, prepare_store};
use super::workers::Workers;
use super::{finish, place};
use crate::control::Control;
use crate::error::{InterruptCause, JobError, OpenError, Refusal};
use crate::keys::Identities;
use crate::names::Names;
use crate::open_job::Asks;
use crate::options::DecryptOptions;
use crate::report::JobReport;
use crate::sealed::{SealedFile, check_writable, settled_superblock};
use crate::target::{OpenedTarget, Target, open_for_change};
use crate::verify::verify_chunks;

/// Opens the sealed file at `path` in place and takes `.sealed` off its name.
///
/// Every chunk is authenticated before the first byte changes (unless `options.verify_first` is off), and again when it
/// is converted. Durability and recovery are those of [`crate::encrypt_in_place`]; going on after an interruption
/// needs an identity.
///
/// # Errors
/// [`JobError::Refused`] and [`JobError::Open`]: nothing was changed. [`JobError::Interrupted`]: the job had begun.
pub fn decrypt_in_place(
    path: &Path,
    identities: &Identities,
    options: &DecryptOptions,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    check_choices(options.io, options.resilience, options.accept_data_loss)?;
    place::look_first(path, options.resilience)?;
    let mut opened = open_for_change(Names::of(path)?, options.allow_links, control)?;
    opened.refuse_open_job(Asks::Decrypt, options.journal.as_deref())?;
    check_names(&opened, options)?;
    let sealed = {
        let target = &opened.target;
        let data = Arc::clone(&target.data);
        SealedFile::open(&target.path, data, identities, &target.limits, &control.cancellation)?
    };
    check_writable(&opened.target.path, &sealed.superblock)?;
    let reads = if options.verify_first { Reads::Twice } else { Reads::Once };
    let geometry = &sealed.superblock.geometry;
    let window_len = kept_window_len(geometry.data_len(), geometry.chunk_len_bytes());
    let store = prepare_store(options.io, &mut opened, reads, window_len, control);
    let (plan, notice) = plan(store.io, options.resilience, &opened.medium)?;
    let place = journal_place(&opened.target.folder, &opened.target.names, options.journal.as_deref())?;
    if place.is_taken() {
        return Err(Refusal::JobOpen { journal: place.path }.into());
    }
    place::check_journal(&place, plan.resilience, &opened.medium)?;
    place::check_inline_data(&opened, Some(&place))?;
    let OpenedTarget { target, medium, .. } = opened;
    place::tell_of_journal(&place, options.journal.as_deref(), &medium, control);
    let reasons = Reasons {
        store: &store.reason,
        resilience: options.resilience,
        medium: &medium,
        journal: place.file_system,
    };
    control.progress.plan(&plan.describe(&sealed.superblock.geometry, &reasons));
    notice.iter().chain(&sealed.notices).for_each(|notice| control.progress.notice(notice));
    make_old_content_durable(&target)?;
    begin(target, place, sealed, plan, options, control, started)
}

/// From the opened file to the end of the job.
pub(crate) fn begin(
    mut target: Target,
    place: JournalPlace,
    sealed: SealedFile,
    plan: Plan,
    options: &DecryptOptions,
    control: &Control<'_>,
    started: Instant,
) -> Result<JobReport, JobError> {
    let caches = Caches::of_new_job(&target, &place, plan.resilience)?;
    let geometry = sealed.superblock.geometry;
    let workers = Workers::start(options.threads, geometry.chunk_len_bytes(), &*target.surroundings)?;
    if options.verify_first {
        let data = match plan.io {
            Io::Direct => target.direct.clone(),
            // It stays until the job is over: closing a file that could be written to looks like another writer's end.
            Io::Buffered | Io::Mmap => target.reader.clone(),
        };
        let data = data.unwrap_or_else(|| Arc::clone(&sealed.data));
        verify_chunks(&target.path, &*data, &geometry, &sealed.keys, &workers, control)?;
    } else {
        crate::verify::check_paddings(&target.path, &*sealed.data, &geometry)?;
    }
    let surroundings = Arc::clone(&target.surroundings);
    let job_id = random_id(&*surroundings)?;
    let Some(job_sequence) = sealed.superblock.job_sequence.checked_add(1) else {
        let what = "its job sequence cannot be counted on".to_owned();
        return Err(OpenError::Newer { path: target.path.clone(), what }.into());
    };
    let choices = HeaderChoices {
        job: JobKind::Decrypt,
        suite: sealed.suite,
        job_id,
        file_id: sealed.superblock.file_id,
        job_sequence,
        keep_name: options.keep_name,
        holes_flagged: false,
    };
    let header = journal_header(&target, geometry, plan, &choices);
    refuse_beyond_size_limit(&target, &place, &header)?;
    let data = storage(plan.io, &mut target, geometry.data_len()).map_err(|source| OpenError::Io {
        path: target.path.clone(),
        offset: 0,
        source,
    })?;
    let SealedFile { superblock, superblock_bytes, slot_bytes, suite, keys, .. } = sealed;
    let mut journal =
        create_journal(&place, &keys, &header, &KeyArea::Empty, &superblock_bytes, &slot_bytes)?;
    journal.set_boot_id(caches);
    let mut job = ActiveJob {
        context: context(&mut target, data, &header, keys, workers),
        journal,
        header,
        place,
        target,
        resting: Superblock { job_sequence, job_id, ..superblock },
        suite,
        io: plan.io.name(),
        windows_recovered: 0,
        converted_bytes: 0,
        time_is_ours: true,
        found_damage: None,
        started,
    };
    let mark = job.journal.settled_at_start();
    match mark_running(&mut job) {
        Ok(()) => job.run(Direction::Forward, mark, control),
        Err(cause) => Err(job.interrupted(Direction::Forward, 0, cause)),
    }
}

fn check_names(opened: &OpenedTarget, options: &DecryptOptions) -> Result<(), JobError> {
    let target = &opened.target;
    let names = &target.names;
    if !options.keep_name {
        if !names.given_is_sealed() {
            // While an encrypt is open, the file has its plain name: then that is what there is to say, or
            // that it is damaged.
            return Err(match settled_superblock(&target.path, &*target.data, &target.limits) {
                Err(error @ (OpenError::Interrupted { .. } | OpenError::Damaged { .. })) => error.into(),
                _ => Refusal::NoSealedSuffix { path: target.path.clone() }.into(),
            });
        }
        let plain = names.path_of(&names.plain);
        let unopenable = |source| Refusal::Unopenable { path: plain.clone(), source };
        if target.folder.identity_of(&names.plain).map_err(unopenable)?.is_some() {
            return Err(Refusal::TargetExists { path: plain }.into());
        }
    }
    if options.journal.is_none() {
        names.check_length(&names.journal(), opened.medium.name_max)?;
    }
    Ok(())
}

/// CREATED to RUNNING: the superblocks say *decrypting*, so that nobody takes the file for a sealed one while it is not.
pub(crate) fn mark_running(job: &mut ActiveJob) -> Result<(), InterruptCause> {
    let mark = job.journal.settled_at_start();
    let running = Superblock { state: FileState::Decrypting, ..job.resting.clone() };
    finish::write_superblocks(&*job.context.data, &running, &job.context.keys)?;
    job.set_phase(Phase::Running, Direction::Forward, true, &mark)
}
