//! The end of a job: superblocks or truncation, then names, then the journal's removal.

use std::ffi::{OsStr, OsString};
use std::io;

use pageseal_crypto::DerivedKeys;
use pageseal_format::journal::{Direction, JournalHeader};
use pageseal_format::limits::SUPERBLOCK_LEN;
use pageseal_format::{Geometry, Superblock, labels};
use pageseal_protections::{Protection, is_on};
use pageseal_storage::{FileIdentity, Folder, Storage};

use super::active::{ActiveJob, JournalPlace};
use super::begin::journal_io;
use super::context::{JobContext, SYNCING, another_length, io_cause};
use super::job_key;
use crate::control::{Control, Notice};
use crate::error::{InterruptCause, JobError, OpenError};
use crate::names::Names;
use crate::report::{JobOutcome, JobReport};
use crate::target::Target;

/// Writes both copies, one after the other, each durable before the next is touched: at any time at least one is whole. If an
/// earlier run was stopped inside of copy B, that one is written first, because copy A is the only whole one then.
pub(crate) fn write_superblocks(
    data: &dyn Storage,
    superblock: &Superblock,
    keys: &DerivedKeys,
) -> Result<(), InterruptCause> {
    let block = superblock.encode(|body| keys.metadata.mac(labels::SUPERBLOCK, body));
    let geometry = &superblock.geometry;
    let mut offsets = [geometry.superblock_a_offset(), geometry.superblock_b_offset()];
    if is_torn(data, geometry, offsets[1])? {
        offsets.reverse();
    }
    for offset in offsets {
        data.write_all_at(&block[..], offset)
            .map_err(|source| io_cause("writing a superblock", offset, source))?;
        if is_on(Protection::SuperblockPair) {
            data.sync_data().map_err(|source| io_cause("syncing a superblock", offset, source))?;
        }
    }
    if !is_on(Protection::SuperblockPair) {
        data.sync_data().map_err(|source| io_cause("syncing a superblock", 0, source))?;
    }
    Ok(())
}

/// After a failed sync a copy can read well and be torn on the medium. Written again as it reads, it is whole there too; a
/// power cut meanwhile does no harm, because a sector is the same before and after.
pub(crate) fn restore_superblocks(data: &dyn Storage, geometry: &Geometry) -> Result<(), InterruptCause> {
    for offset in [geometry.superblock_a_offset(), geometry.superblock_b_offset()] {
        let mut block = [0; SUPERBLOCK_LEN];
        data.read_exact_at(&mut block, offset)
            .map_err(|source| io_cause("reading a superblock", offset, source))?;
        data.write_all_at(&block, offset)
            .map_err(|source| io_cause("writing a superblock", offset, source))?;
    }
    data.sync_data().map_err(|source| io_cause(SYNCING, 0, source))
}

fn is_torn(data: &dyn Storage, geometry: &Geometry, offset: u64) -> Result<bool, InterruptCause> {
    let mut block = [0; SUPERBLOCK_LEN];
    data.read_exact_at(&mut block, offset)
        .map_err(|source| io_cause("reading a superblock", offset, source))?;
    Ok(Superblock::parse(&block, geometry.limits()).is_err())
}

/// Cuts the trailer off. The caller has made the phase TRUNCATING durable. The length is looked at right before that: what
/// somebody else has appended would be cut off, too.
pub(crate) fn truncate(context: &JobContext) -> Result<(), InterruptCause> {
    let (data, data_len) = (&*context.data, context.geometry.data_len());
    let len = data.len().map_err(|source| io_cause("asking for the length", data_len, source))?;
    // Before its trailer is whole, an encrypt can be undone from any length in between; a cut may be done already.
    if len != context.running_len && len != data_len && is_on(Protection::LengthBeforeCut) {
        return Err(another_length(len, context.running_len));
    }
    data.set_len(data_len).map_err(|source| io_cause("truncating", data_len, source))?;
    data.sync_all().map_err(|source| io_cause("syncing the truncation", data_len, source))
}

/// Gives the space back that an encrypt, now undone, had reserved in the holes of a sparse file. Best effort: they read the same.
pub(crate) fn empty_holes(data: &dyn Storage, data_len: u64) {
    // A page in the cache makes a reserved hole look like data. All of it is on the medium.
    data.forget(0, data_len);
    let mut at = 0;
    while at < data_len
        && let Ok(Some(hole)) = data.next_hole(at, data_len)
    {
        let _ = data.punch_hole(hole.start, hole.end - hole.start);
        at = hole.end;
    }
}

/// The content is what it was, so the modification time is too. Best effort: a file system may refuse.
pub(crate) fn restore_modified(data: &dyn Storage, header: &JournalHeader) {
    let _ = data.set_modified((header.mtime_seconds, header.mtime_nanoseconds));
}

/// After FINISHED: removes the keys, gives the file its name, removes the journal. Every step can
/// be repeated.
pub(crate) fn settle_names(
    mut job: ActiveJob,
    direction: Direction,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    // The job key first: as long as there is one, the journal can prove that it is its own.
    job_key::forget(&*job.target.surroundings, &job.header.job_id, control);
    let wiped = if is_on(Protection::KeyWipe) { job.journal.wipe_key_area() } else { Ok(()) };
    let wanted = job.wanted_name(direction);
    let named = wiped
        .map_err(|source| NotTidied::before_removal("wiping the keys in its journal", journal_io(source)))
        .and_then(|()| tidy_up(&NameHolder::of(&job.target, &job.header), &wanted, &job.place, control));
    let path = match &named {
        Ok(name) => name.as_ref().map(|name| job.target.names.path_of(name)),
        Err(_) => None,
    };
    // Of the two it is what nobody else would tell: a journal that stays speaks for itself.
    if let Some(damage) = job.found_damage.take() {
        let path = path.unwrap_or(job.context.path);
        return Err(OpenError::Damaged { path, damage }.into());
    }
    match named {
        Ok(name) => Ok(job.report(direction, path, name != Some(wanted))),
        Err(left) => Err(left.into_error(&job.target.names, job.outcome(direction), &job.place)),
    }
}

/// What could not be done when the file was what it should be.
#[derive(Debug)]
pub(crate) struct NotTidied {
    what: &'static str,
    source: io::Error,
    /// Whether the journal is still there, so that another run can do it.
    journal_stays: bool,
    /// The name that the file has got by then.
    name: Option<OsString>,
}

impl NotTidied {
    pub(crate) fn before_removal(what: &'static str, source: io::Error) -> Self {
        NotTidied { what, source, journal_stays: true, name: None }
    }

    pub(crate) fn into_error(self, names: &Names, outcome: JobOutcome, place: &JournalPlace) -> JobError {
        let NotTidied { what, source, journal_stays, name } = self;
        let path = names.path_of(name.as_ref().unwrap_or(&names.given));
        let journal = journal_stays.then(|| place.path.clone());
        JobError::NotTidied { path, outcome, journal, what, source }
    }
}

/// Gives the file its name, then removes the journal.
pub(crate) fn tidy_up(
    holder: &NameHolder<'_>,
    wanted: &OsStr,
    place: &JournalPlace,
    control: &Control<'_>,
) -> Result<Option<OsString>, NotTidied> {
    let name = give_name(holder, wanted, control)
        .map_err(|source| NotTidied::before_removal("giving it its name", source))?;
    remove_journal(place).map_err(|left| NotTidied { name: name.clone(), ..left })?;
    Ok(name)
}

/// A file and the name that it was opened by.
pub(crate) struct NameHolder<'a> {
    folder: &'a dyn Folder,
    names: &'a Names,
    identity: FileIdentity,
    keeps_name: bool,
}

impl<'a> NameHolder<'a> {
    pub(crate) fn of(target: &'a Target, header: &JournalHeader) -> Self {
        let (folder, names) = (&*target.folder, &target.names);
        NameHolder { folder, names, identity: target.identity, keeps_name: header.keep_name }
    }

    /// Where a file system cannot rename without replacing, the new name is linked and the old one
    /// removed. A crash in between leaves both.
    fn remove_second_name(&self, wanted: &OsStr, control: &Control<'_>) -> io::Result<()> {
        let NameHolder { folder, names, identity, keeps_name } = self;
        let second = if wanted == names.sealed { &names.plain } else { &names.sealed };
        if *keeps_name
            || folder.identity_of(second)? != Some(*identity)
            || !folder.remove_if(second, *identity)?
        {
            return Ok(());
        }
        control.progress.notice(&Notice::SecondNameRemoved { name: names.path_of(second) });
        folder.sync()
    }
}

/// Renames without overwriting, and only if the old name still is this file. Returns the name that the
/// file has then; `None` if its name went to another file meanwhile.
fn give_name(holder: &NameHolder<'_>, wanted: &OsStr, control: &Control<'_>) -> io::Result<Option<OsString>> {
    let NameHolder { folder, names, identity, .. } = holder;
    let given = &names.given;
    if folder.identity_of(wanted)? == Some(*identity) {
        // An earlier run may have renamed it and been stopped before that was durable.
        folder.sync()?;
        holder.remove_second_name(wanted, control)?;
        return Ok(Some(wanted.to_os_string()));
    }
    if folder.identity_of(given)? != Some(*identity) {
        control.progress.notice(&Notice::NameGone { name: names.path_of(given) });
        return Ok(None);
    }
    match folder.rename_noreplace(given, wanted) {
        Ok(()) => {
            folder.sync()?;
            Ok(Some(wanted.to_os_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let (kept, wanted) = (names.path_of(given), names.path_of(wanted));
            control.progress.notice(&Notice::NameKept { kept, wanted });
            Ok(Some(given.clone()))
        }
        Err(error) if is_final(&error) => {
            let (kept, wanted) = (names.path_of(given), names.path_of(wanted));
            let reason = error.to_string();
            control.progress.notice(&Notice::NameRefused { kept, wanted, reason });
            Ok(Some(given.clone()))
        }
        Err(error) => Err(error),
    }
}

/// Whether the system will say the same of this name when it is asked again: the name is a mount point (a file that was
/// mounted alone, as into a container), or nobody, or not this user, may change it.
fn is_final(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ResourceBusy | Kind::PermissionDenied | Kind::ReadOnlyFilesystem | Kind::CrossesDevices
    )
}

/// Removes a journal whose job is over.
pub(crate) fn remove_journal(place: &JournalPlace) -> Result<(), NotTidied> {
    match place.folder.remove(&place.name) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            // It may be gone all the same.
            let journal_stays = !matches!(place.folder.identity_of(&place.name), Ok(None));
            return Err(NotTidied { what: "removing its journal", source, journal_stays, name: None });
        }
    }
    place.folder.sync().map_err(|source| {
        let what = "syncing the folder after its journal was removed";
        NotTidied { what, source, journal_stays: false, name: None }
    })
}
