//! Opening the journal of an interrupted job: finding it, the file key, and whether a key holder wrote it.

use std::sync::Arc;

use pageseal_crypto::{DerivedKeys, FileKey, Suite};
use pageseal_format::journal::{Direction, JobKind, JournalHeader};
use pageseal_format::limits::SUPERBLOCK_LEN;
use pageseal_format::{FileState, Superblock};
use pageseal_journal::{Journal, JournalError, Replay, UnverifiedJournal, UnverifiedProgress};
use pageseal_storage::secrets::effective_user;
use pageseal_storage::{GroupWriters, Storage};

use super::active::JournalPlace;
use super::begin::keep_from_swap;
use super::journal_file::{FileLog, JournalAuthenticator};
use super::{done_bytes, job_key, public_kind};
use crate::control::Cancellation;
use crate::error::{Damage, InterruptCause, JobError, OpenError, Refusal};
use crate::keys::{Identities, unwrap_slots};
use crate::sealed::{
    FoundSuperblock, Located, SuperblockCopy, authenticate, check_macs, check_writable, hash_of, locate,
};
use crate::target::Target;

/// A journal of which nothing is authenticated yet.
pub(crate) struct OpenedJournal {
    pub(crate) place: JournalPlace,
    pub(super) journal: UnverifiedJournal,
    pub(super) log: Arc<dyn Storage>,
}

/// The journal, of which nothing is to be believed yet, and the file that it is.
pub(crate) fn open_journal(target: &Target, place: JournalPlace) -> Result<OpenedJournal, JobError> {
    let (journal, log) = find_journal(target, &place)?;
    Ok(OpenedJournal { place, journal, log })
}

fn find_journal(
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
    check_writers(target, place, &*log)?;
    let unreadable = |source| OpenError::Io { path: place.path.clone(), offset: 0, source };
    match Journal::open(Arc::new(FileLog(Arc::clone(&log))), &target.limits) {
        Ok(journal) => Ok((journal, log)),
        Err(JournalError::Io { source, .. }) => Err(unreadable(source).into()),
        Err(error) => Err(journal_damage(place, &error)),
    }
}

/// A MAC proves that whoever holds the file key wrote the journal, and anybody can draw a file key: one who may write to the folder
/// but not to the file could plant a journal of his own beside it, and have the file sealed under a key that he knows. So only those
/// count who could write to the file themselves, and the user who runs this.
fn check_writers(target: &Target, place: &JournalPlace, log: &dyn Storage) -> Result<(), JobError> {
    let unreadable = |source| OpenError::Io { path: place.path.clone(), offset: 0, source };
    let journal = log.writers().map_err(unreadable)?;
    let file = target.data.writers().map_err(unreadable)?;
    let (Some(journal), Some(file)) = (journal, file) else { return Ok(()) };
    // Root needs no journal to do what it likes.
    let is_trusted = |owner: u32| file.owner == Some(owner) || owner == effective_user() || owner == 0;
    let unknown = || {
        let (journal, file) = (place.path.clone(), target.path.clone());
        Err(Refusal::JournalOfUnknown { journal, file }.into())
    };
    let who = match (journal.owner, &journal.group) {
        (None, _) => return unknown(),
        (_, Some(GroupWriters { group: None, .. })) if !file.others => return unknown(),
        (Some(owner), _) if !is_trusted(owner) => format!("user {owner}"),
        _ if journal.others && !file.others => "everybody".to_owned(),
        // Which users a group has does not matter: another one may have others, and an access list names its
        // own.
        (_, Some(writers)) if file.group.as_ref() != Some(writers) && !file.others => {
            let group = writers.group.unwrap_or_default();
            match writers.access_list[..] {
                [] => format!("group {group}"),
                _ => format!("group {group} or whoever its access control list names"),
            }
        }
        _ => return Ok(()),
    };
    let (journal, file) = (place.path.clone(), target.path.clone());
    Err(Refusal::JournalOfOthers { journal, file, who }.into())
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
    progress: Option<UnverifiedProgress>,
    error: JournalError,
) -> JobError {
    let direction = progress.map_or(Direction::Forward, |progress| progress.phase.direction);
    let watermark = progress.and_then(|progress| progress.watermark).unwrap_or(0);
    JobError::Interrupted {
        path: target.path.clone(),
        kind: public_kind(header.job),
        rolling_back: direction == Direction::Backward,
        done_bytes: done_bytes(&header.geometry, direction, watermark),
        total_bytes: header.geometry.data_len(),
        journal: place.path.clone(),
        cause: InterruptCause::Journal { source: Box::new(error) },
    }
}

/// A journal whose MACs are right, and the keys that showed it.
pub(super) struct Unlocked {
    pub(super) journal: Journal,
    pub(super) replay: Replay,
    pub(super) keys: Arc<DerivedKeys>,
    pub(super) suite: Suite,
    pub(super) resting: Superblock,
    pub(super) slots: Vec<u8>,
}

pub(super) fn unlock(
    target: &Target,
    place: &JournalPlace,
    journal: UnverifiedJournal,
    identities: &Identities,
    cancellation: &Cancellation,
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
            None => unwrap_slots(&area, &hash_of(superblock, suite), identities, cancellation)?,
        };
    let keys = Arc::new(authenticate(&target.path, superblock, suite, &key)?);
    keep_from_swap(&keys);
    check_macs(&place.path, &copy, &slots, &keys.metadata)?;
    // Before the journal is taken: it is for the words of an error only.
    let progress = journal.progress_unverified().ok().flatten();
    let (journal, replay) =
        journal.verify(Arc::new(JournalAuthenticator(Arc::clone(&keys)))).map_err(|error| match error {
            JournalError::Unprotected { .. } => {
                OpenError::Damaged { path: target.path.clone(), damage: Damage::Unprotected }.into()
            }
            JournalError::Io { .. } => journal_unwritable(target, place, &header, progress, error),
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
