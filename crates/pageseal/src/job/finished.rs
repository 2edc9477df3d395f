//! A FINISHED journal was left over: the job is done, its keys are wiped, so no MAC can be checked. It may give the file
//! its name and be removed, if the file itself agrees that the job is done; nothing else.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use pageseal_crypto::Suite;
use pageseal_format::FileState;
use pageseal_format::journal::{
    Direction, JobKind, JournalHeader, KEY_AREA_LEN, KEY_AREA_OFFSET, KeyArea, PHASE_LEN, PHASE_OFFSETS,
    Phase, PhaseRecord,
};
use pageseal_journal::UnverifiedJournal;
use pageseal_storage::Storage;

use super::active::{JournalPlace, resilience_name, wanted_name};
use super::finish::{NameHolder, NotTidied, tidy_up};
use super::journal_file::JournalAuthenticator;
use super::{job_key, public_kind};
use crate::control::Control;
use crate::error::{JobError, OpenError, Refusal};
use crate::report::{JobOutcome, JobReport};
use crate::sealed::{Located, SuperblockCopy, authenticate, locate};
use crate::target::Target;

/// Finishes names and removes the journal.
pub(crate) fn finish(
    target: &Target,
    place: &JournalPlace,
    log: &dyn Storage,
    journal: &UnverifiedJournal,
    phase: &PhaseRecord,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    let header = journal.header();
    let sealed = (header.job == JobKind::Encrypt) == (phase.direction == Direction::Forward);
    if !file_agrees(target, header, sealed)? {
        return Err(Refusal::StaleJournal { journal: place.path.clone() }.into());
    }
    let names = &target.names;
    let wanted = wanted_name(names, header, phase.direction);
    let outcome = if sealed { JobOutcome::Sealed } else { JobOutcome::Plain };
    let rewriting = |source| NotTidied::before_removal("writing its journal again", source);
    let name = rewrite_phases(log)
        .and_then(|()| {
            if has_own_job_key(target, journal) {
                job_key::forget(&*target.surroundings, &header.job_id, control);
            }
            wipe_key_area(log)
        })
        .map_err(rewriting)
        .and_then(|()| tidy_up(&NameHolder::of(target, header), &wanted, place, control))
        .map_err(|left| left.into_error(names, outcome, place))?;
    let suite = Suite::try_from(header.suite)
        .map_err(|error| OpenError::Newer { path: target.path.clone(), what: error.to_string() })?;
    Ok(JobReport {
        kind: public_kind(header.job),
        outcome,
        path: name.as_ref().map(|name| names.path_of(name)),
        name_kept: name != Some(wanted),
        data_len_bytes: header.geometry.data_len(),
        converted_bytes: 0,
        chunks: header.geometry.chunk_count(),
        suite,
        threads: 0,
        io: "none",
        resilience: resilience_name(header.resilience),
        windows_recovered: 0,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The run that wrote FINISHED may have been told that its sync failed: then it reads well and the medium does not have it. So
/// it is written again as it reads.
fn rewrite_phases(log: &dyn Storage) -> io::Result<()> {
    for offset in PHASE_OFFSETS {
        let mut block = [0; PHASE_LEN];
        log.read_exact_at(&mut block, offset)?;
        log.write_all_at(&block, offset)?;
    }
    log.sync_data()
}

/// The run that wrote FINISHED may not have come to this.
fn wipe_key_area(log: &dyn Storage) -> io::Result<()> {
    log.write_all_at(&[0; KEY_AREA_LEN], KEY_AREA_OFFSET)?;
    log.sync_data()
}

/// Whether the job key that is kept under this journal's job id is its own: it unwraps the file
/// key, and that key shows that a key holder wrote FINISHED. Job ids are public, so a planted
/// journal may name that of a job which still needs its key. Where the key area is wiped the job
/// key is gone already, for it goes first.
fn has_own_job_key(target: &Target, journal: &UnverifiedJournal) -> bool {
    let header = journal.header();
    let area @ KeyArea::Outside { .. } = journal.key_area() else { return false };
    let key = job_key::recover(&*target.surroundings, area, &header.job_id, &header.file_id);
    let (Some(key), Ok(suite)) = (key, Suite::try_from(header.suite)) else { return false };
    let Ok(keys) = authenticate(&target.path, journal.superblock(), suite, &key) else { return false };
    let found = journal.inspect(&JournalAuthenticator(Arc::new(keys)));
    found.is_ok_and(|found| found.phase.phase == Phase::Finished)
}

/// Whether the file is in the state that the job should have left: sealed by this very job, or
/// plain and of its length. What was plain can be a sealed file itself, but of another file id.
fn file_agrees(target: &Target, header: &JournalHeader, sealed: bool) -> Result<bool, OpenError> {
    let unreadable = |(offset, source)| OpenError::Io { path: target.path.clone(), offset, source };
    let len = target.data.len().map_err(|source| unreadable((0, source)))?;
    let located = locate(&*target.data, &target.limits).map_err(unreadable)?;
    let has_plain_len = len == header.geometry.data_len();
    Ok(match located {
        Located::Plain | Located::Damaged(_) => !sealed && has_plain_len,
        Located::Trailer { a, b } if !sealed => {
            let is_of_job = |copy: &SuperblockCopy| {
                copy.good().is_some_and(|found| found.superblock.file_id == header.file_id)
            };
            has_plain_len && !is_of_job(&a) && !is_of_job(&b)
        }
        Located::Trailer { a, b } => {
            (a.good().is_some() || b.good().is_some())
                && [a, b].iter().filter_map(|copy| copy.good()).all(|found| {
                    let block = &found.superblock;
                    block.state == FileState::Sealed
                        && block.job_id == header.job_id
                        && block.file_id == header.file_id
                })
        }
    })
}
