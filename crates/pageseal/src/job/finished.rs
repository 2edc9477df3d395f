//! A FINISHED journal was left over: the job is done, its keys are wiped, so no MAC can be checked. It may give the file
//! its name and be removed, if the file itself agrees that the job is done; nothing else.

use std::io;
use std::time::Instant;

use pageseal_crypto::Suite;
use pageseal_format::FileState;
use pageseal_format::journal::{
    Direction, JobKind, JournalHeader, KEY_AREA_LEN, KEY_AREA_OFFSET, PHASE_LEN, PHASE_OFFSETS, PhaseRecord,
};
use pageseal_storage::Storage;

use super::active::{JournalPlace, resilience_name, wanted_name};
use super::finish::{NameHolder, give_name, remove_journal};
use super::public_kind;
use crate::control::Control;
use crate::error::{JobError, OpenError, Refusal};
use crate::report::{JobOutcome, JobReport};
use crate::sealed::{Located, locate};
use crate::target::Target;

/// Finishes names and removes the journal.
pub(crate) fn finish(
    target: &Target,
    place: &JournalPlace,
    log: &dyn Storage,
    header: &JournalHeader,
    phase: &PhaseRecord,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    let sealed = (header.job == JobKind::Encrypt) == (phase.direction == Direction::Forward);
    if !file_agrees(target, header, sealed)? {
        return Err(Refusal::StaleJournal { journal: place.path.clone() }.into());
    }
    let names = &target.names;
    let wanted = wanted_name(names, header, phase.direction);
    let failed = |source| OpenError::Io { path: place.path.clone(), offset: 0, source };
    make_durable(log).map_err(failed)?;
    target.surroundings.forget_job_key(&header.job_id);
    let holder = NameHolder::of(target);
    let name = give_name(&holder, &wanted, control).map_err(failed)?;
    remove_journal(place).map_err(failed)?;
    let suite = Suite::try_from(header.suite)
        .map_err(|error| OpenError::Newer { path: target.path.clone(), what: error.to_string() })?;
    Ok(JobReport {
        kind: public_kind(header.job),
        outcome: if sealed { JobOutcome::Sealed } else { JobOutcome::Plain },
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
/// it is written again as it reads. The same goes for the keys, which that run may not have wiped.
fn make_durable(log: &dyn Storage) -> io::Result<()> {
    for offset in PHASE_OFFSETS {
        let mut block = [0; PHASE_LEN];
        log.read_exact_at(&mut block, offset)?;
        log.write_all_at(&block, offset)?;
    }
    log.sync_data()?;
    log.write_all_at(&[0; KEY_AREA_LEN], KEY_AREA_OFFSET)?;
    log.sync_data()
}

/// Whether the file is in the state that the job should have left: sealed by this very job, or plain and of its length.
fn file_agrees(target: &Target, header: &JournalHeader, sealed: bool) -> Result<bool, OpenError> {
    let unreadable = |(offset, source)| OpenError::Io { path: target.path.clone(), offset, source };
    let len = target.data.len().map_err(|source| unreadable((0, source)))?;
    let located = locate(&*target.data, &target.limits).map_err(unreadable)?;
    Ok(match located {
        Located::Plain => !sealed && len == header.geometry.data_len(),
        Located::Trailer { a, b } => {
            sealed
                && (a.good().is_some() || b.good().is_some())
                && [a, b].iter().filter_map(|copy| copy.good()).all(|found| {
                    let block = &found.superblock;
                    block.state == FileState::Sealed
                        && block.job_id == header.job_id
                        && block.file_id == header.file_id
                })
        }
        Located::Damaged(_) => false,
    })
}
