//! What the beginnings of encrypt and decrypt share: fresh keys and slots, the journal's making, and taking it all back
//! when a refusal comes late.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pageseal_crypto::{DerivedKeys, FileKey, KeyContext, Suite, fill_random, header_hash};
use pageseal_format::journal::{JobKind, JournalHeader, KeyArea};
use pageseal_format::limits::SUPERBLOCK_LEN;
use pageseal_format::{FormatError, Geometry, Id, SlotArea, labels};
use pageseal_journal::{Journal, JournalError};
use pageseal_storage::{BufferedFile, MappedFile, Storage, available};

use super::active::JournalPlace;
use super::context::JobContext;
use super::journal_file::{FileLog, JournalAuthenticator};
use super::plan::{Io, Plan, window_sizes};
use super::workers::Workers;
use crate::error::{JobError, Refusal};
use crate::keys::{Recipient, wrap_slot};
use crate::target::Target;

/// Keys of a file that is being sealed for the first time.
pub(crate) struct FileKeys {
    pub(crate) file_id: Id,
    pub(crate) file_key: FileKey,
    pub(crate) keys: Arc<DerivedKeys>,
}

/// Draws file id and file key.
pub(crate) fn make_file_keys(suite: Suite, chunk_log2: u8) -> Result<FileKeys, Refusal> {
    let file_id = random_id()?;
    let file_key = FileKey::random().map_err(|_| Refusal::Random)?;
    let keys = Arc::new(DerivedKeys::derive(&file_key, &KeyContext { suite, chunk_log2, file_id }));
    keep_from_swap(&keys);
    Ok(FileKeys { file_id, file_key, keys })
}

/// Best effort: a user may lock only so much memory.
pub(crate) fn keep_from_swap(keys: &Arc<DerivedKeys>) {
    let _ = pageseal_storage::secrets::lock_value(&**keys);
}

/// Wraps the file key for every recipient, each in a slot of its own.
pub(crate) fn make_slots(
    suite: Suite,
    chunk_log2: u8,
    made: &FileKeys,
    recipients: &[Recipient],
) -> Result<Box<[u8]>, JobError> {
    let hash = header_hash(suite, chunk_log2, &made.file_id, 0, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let wrap =
        |recipient| wrap_slot(recipient, "", &made.file_key, &made.file_id, &hash, &made.keys.slot_info, now);
    let slots = recipients.iter().map(wrap).collect::<Result<Vec<_>, _>>()?;
    let area = SlotArea { file_id: made.file_id, generation: 1, slots };
    area.encode(|body| made.keys.metadata.mac(labels::SLOTS, body)).map_err(|error| match error {
        FormatError::TooManySlots { .. } | FormatError::AreaFull { .. } => {
            JobError::Refused(Refusal::TooManyRecipients { given: recipients.len() })
        }
        _ => JobError::Refused(Refusal::Random),
    })
}

pub(crate) fn random_id() -> Result<Id, Refusal> {
    let mut id = Id::default();
    fill_random(&mut id).map_err(|_| Refusal::Random)?;
    Ok(id)
}

/// What a journal header says beyond what follows from file and plan.
pub(crate) struct HeaderChoices {
    pub(crate) job: JobKind,
    pub(crate) suite: Suite,
    pub(crate) job_id: Id,
    pub(crate) file_id: Id,
    pub(crate) job_sequence: u64,
    pub(crate) keep_name: bool,
    pub(crate) holes_flagged: bool,
}

pub(crate) fn journal_header(
    target: &Target,
    geometry: Geometry,
    plan: Plan,
    choices: &HeaderChoices,
) -> JournalHeader {
    use std::os::unix::fs::MetadataExt;
    let sizes = window_sizes(&geometry, plan.record_kind);
    JournalHeader {
        job: choices.job,
        resilience: plan.resilience,
        record_kind: plan.record_kind,
        suite: choices.suite.id(),
        geometry,
        ring_slots: sizes.ring_slots,
        job_id: choices.job_id,
        file_id: choices.file_id,
        job_sequence: choices.job_sequence,
        window_len: sizes.window_len,
        slot_stride: sizes.slot_stride,
        keep_name: choices.keep_name,
        holes_flagged: choices.holes_flagged,
        device: target.identity.device,
        inode: target.identity.inode,
        boot_id: available::boot_id().unwrap_or_default(),
        mtime_seconds: target.metadata.mtime(),
        mtime_nanoseconds: u32::try_from(target.metadata.mtime_nsec()).unwrap_or(0),
    }
}

/// Makes the journal, durable with its name. Nothing of the file is changed before this returns. The journal gets its name
/// when it is whole, so a crash leaves a usable one or none.
pub(crate) fn create_journal(
    place: &JournalPlace,
    keys: &Arc<DerivedKeys>,
    header: &JournalHeader,
    key_area: KeyArea,
    superblock: &[u8; SUPERBLOCK_LEN],
    slots: &[u8],
) -> Result<Journal, Refusal> {
    let unmakable = |source| Refusal::JournalUnmakable { path: place.path.clone(), source };
    let exists = || Refusal::JobOpen { journal: place.path.clone() };
    if place.directory.identity_of(&place.name).map_err(unmakable)?.is_some() {
        return Err(exists());
    }
    let file = place.directory.create_unnamed().map_err(unmakable)?;
    let storage = Arc::new(BufferedFile::new(file.try_clone().map_err(unmakable)?));
    let authenticator = Arc::new(JournalAuthenticator(Arc::clone(keys)));
    let journal = Journal::create(
        Arc::new(FileLog(storage)),
        authenticator,
        header.clone(),
        key_area,
        superblock,
        slots,
    )
    .map_err(|error| match journal_io(error) {
        source if is_full(&source) => {
            Refusal::NoSpace { path: place.path.clone(), needed_bytes: header.journal_len(), source }
        }
        source => unmakable(source),
    })?;
    place.directory.link_temporary(&file, &place.name).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => unmakable(error),
    })?;
    if let Err(source) = place.directory.sync() {
        take_back_journal(place, &header.job_id);
        return Err(unmakable(source));
    }
    Ok(journal)
}

/// Removes a journal of a job that has changed nothing.
pub(crate) fn take_back_journal(place: &JournalPlace, job_id: &Id) {
    super::job_key::forget(job_id);
    // The refusal that led here is what the user must see; a left-over journal is harmless and named by `info`.
    let _ = super::finish::remove_journal(place);
}

/// The I/O error inside of a journal error, or the journal error as one.
fn journal_io(error: JournalError) -> io::Error {
    match error {
        JournalError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The store over an open file.
pub(crate) fn storage(io: Io, file: &std::fs::File, data_len: u64) -> io::Result<Arc<dyn Storage>> {
    let file = file.try_clone()?;
    Ok(match io {
        Io::Buffered => Arc::new(BufferedFile::new(file)),
        Io::Mmap => Arc::new(MappedFile::new(file, data_len)?),
    })
}

/// The context that the steps of a job share.
pub(crate) fn context(
    target_path: std::path::PathBuf,
    data: Arc<dyn Storage>,
    header: &JournalHeader,
    keys: Arc<DerivedKeys>,
    workers: Workers,
    watch: Option<pageseal_storage::watch::ChangeWatch>,
) -> JobContext {
    JobContext {
        path: target_path,
        data,
        running_len: header.geometry.sealed_len(),
        geometry: header.geometry,
        keys,
        kind: header.job,
        job_sequence: header.job_sequence,
        record_kind: header.record_kind,
        resilience: header.resilience,
        window_chunks: header.window_len / header.geometry.chunk_len_bytes(),
        flag_holes: header.holes_flagged,
        workers,
        watch,
    }
}
