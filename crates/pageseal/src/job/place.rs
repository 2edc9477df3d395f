//! Where a file and its journal lie, and whether a job keeps its promises there. Reads only.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use pageseal_format::journal::{Direction, JournalHeader, Phase, PhaseRecord, Resilience};
use pageseal_journal::Journal;
use pageseal_storage::inline_data::{empty_ext4_journal, stays_in_inode};
use pageseal_storage::{BufferedFile, Medium};

use super::active::JournalPlace;
use super::journal_file::{FileLog, journal_place_of};
use super::resume::Wish;
use crate::control::{Control, Notice};
use crate::error::Refusal;
use crate::names::Names;
use crate::options::ResilienceChoice;
use crate::target::{OpenedTarget, open_for_reading};

/// What can be told of the place before the file is opened for writing, which makes overlayfs copy all of it. Asked again
/// afterwards, of the file that was opened; errors in between are told there.
pub(crate) fn look_first(path: &Path, resilience: ResilienceChoice) -> Result<(), Refusal> {
    match medium_of(path) {
        Some(medium) if resilience == ResilienceChoice::Checksum => check_checksum(&medium),
        _ => Ok(()),
    }
}

/// As [`look_first`], for a job that is gone on with.
pub(crate) fn look_first_at_job(names: &Names, journal: Option<&Path>, wish: Wish) -> Result<(), Refusal> {
    let path = names.given_path();
    let Some(medium) = medium_of(&path).filter(|medium| !medium.checksum_is_sound()) else { return Ok(()) };
    let place = journal_place_of(names, journal)?;
    let Ok(log) = open_for_reading(&place.path) else { return Ok(()) };
    let log = Arc::new(FileLog(Arc::new(BufferedFile::new(log))));
    let Ok(journal) = Journal::open(log, &pageseal_format::Limits::PRODUCTION) else { return Ok(()) };
    check_moved(&path, &medium, journal.header(), journal.phase_unverified().as_ref(), wish)
}

fn medium_of(path: &Path) -> Option<Medium> {
    open_for_reading(path).ok().and_then(|file| Medium::of(&file).ok())
}

/// Refuses `checksum` where it does not hold.
pub(crate) fn check_checksum(medium: &Medium) -> Result<(), Refusal> {
    if medium.checksum_is_sound() {
        return Ok(());
    }
    Err(Refusal::ChecksumUnsound { file_system: medium.file_system_name() })
}

/// Refuses a journal in memory for a file on a disk, if the job is to survive a restart, which would leave it without one.
pub(crate) fn check_journal(
    place: &JournalPlace,
    resilience: Resilience,
    medium: &Medium,
) -> Result<(), Refusal> {
    let survives_restarts = matches!(resilience, Resilience::Checksum | Resilience::Journal);
    match place.file_system {
        Some(kind) if kind.is_volatile() && survives_restarts && !medium.kind.is_volatile() => {
            Err(Refusal::JournalInMemory { journal: place.path.clone(), file_system: kind.name() })
        }
        _ => Ok(()),
    }
}

/// Says where the journal lies if it lies where nobody chose to put it: a file that is mounted alone has no place beside it,
/// and what is there instead may be gone with the container.
pub(crate) fn tell_of_journal(
    place: &JournalPlace,
    chosen: Option<&Path>,
    medium: &Medium,
    control: &Control<'_>,
) {
    if let (true, None, Some(kind)) = (medium.mounted_alone, chosen, place.file_system) {
        let (journal, file_system) = (place.path.clone(), kind.name());
        control.progress.notice(&Notice::JournalNotBeside { journal, file_system });
    }
}

/// Refuses a file whose content lies in its inode, or did so a short time ago: the file system may write the old content
/// over what a job stores in place. Where files in inodes are possible at all, what its journal still has of them is
/// written first, and where that is not allowed, nothing shows that this file is safe. Whether they are possible is asked in
/// the folders that a job may use; what nobody tells counts as possible.
pub(crate) fn check_inline_data(opened: &OpenedTarget, place: Option<&JournalPlace>) -> Result<(), Refusal> {
    let OpenedTarget { target, file, medium } = opened;
    check_not_in_inode(&target.path, file, medium)?;
    let folders = [Some(&target.folder), place.map(|place| &place.folder)];
    let told = folders.into_iter().flatten().find_map(|folder| folder.takes_small_files_into_inodes(file));
    if told != Some(false)
        && let Err(source) = empty_ext4_journal(file)
    {
        return Err(Refusal::OldCopyMayReturn {
            path: target.path.clone(),
            is_known: told.is_some(),
            source,
        });
    }
    Ok(())
}

/// Refuses a file whose content lies in its inode.
pub(crate) fn check_not_in_inode(path: &Path, file: &File, medium: &Medium) -> Result<(), Refusal> {
    if medium.inline_data && stays_in_inode(file) {
        return Err(Refusal::InlineData { path: path.to_path_buf(), file_system: medium.kind.name() });
    }
    Ok(())
}

/// Refuses to go on with a job where it would lose what it promises, though it began where it did not.
pub(crate) fn check_continuation(
    opened: &OpenedTarget,
    place: &JournalPlace,
    header: &JournalHeader,
    phase: Option<&PhaseRecord>,
    wish: Wish,
) -> Result<(), Refusal> {
    if !stores_chunks(phase, wish) {
        return Ok(());
    }
    check_moved(&opened.target.path, &opened.medium, header, phase, wish)?;
    check_journal(place, header.resilience, &opened.medium)?;
    check_inline_data(opened, Some(place))
}

/// Refuses fingerprints where they do not hold.
fn check_moved(
    path: &Path,
    medium: &Medium,
    header: &JournalHeader,
    phase: Option<&PhaseRecord>,
    wish: Wish,
) -> Result<(), Refusal> {
    let rests_on_fingerprints = header.resilience == Resilience::Checksum && stores_chunks(phase, wish);
    if rests_on_fingerprints && !medium.checksum_is_sound() {
        let (path, file_system) = (path.to_path_buf(), medium.file_system_name());
        return Err(Refusal::ChecksumUnsoundHere { path, file_system });
    }
    Ok(())
}

/// Whether going on may store chunks. If not, it holds anywhere: what it writes was never read, or is cut off.
fn stores_chunks(phase: Option<&PhaseRecord>, wish: Wish) -> bool {
    let Some(phase) = phase else { return true };
    let turns_back = wish == Wish::Backward && phase.direction == Direction::Forward;
    match phase.phase {
        Phase::Created | Phase::Grown => wish == Wish::Forward,
        Phase::Running => true,
        Phase::DataDone => turns_back,
        Phase::Truncating | Phase::Finished => false,
    }
}
