//! What the beginnings of encrypt and decrypt share: fresh keys and slots, the journal's making, and taking it all back
//! when a refusal comes late.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pageseal_crypto::{DerivedKeys, FileKey, KeyContext, MemoryLock, Suite, header_hash};
use pageseal_format::journal::{JobKind, JournalHeader, KeyArea, RecordKind};
use pageseal_format::limits::SUPERBLOCK_LEN;
use pageseal_format::{FormatError, Geometry, Id, SlotArea, labels};
use pageseal_journal::{Journal, JournalError};
use pageseal_storage::Storage;

use super::active::JournalPlace;
use super::context::{Holes, JobContext, Keeps};
use super::journal_file::{FileLog, JournalAuthenticator};
use super::plan::{Io, LARGEST_KEPT_WINDOW_BYTES, Plan};
use super::workers::{Tiles, Workers};
use crate::error::{JobError, OpenError, Refusal};
use crate::keys::{Recipient, wrap_slot};
use crate::surroundings::{Draw, Surroundings};
use crate::target::Target;

/// Keys of a file that is being sealed for the first time.
pub(crate) struct FileKeys {
    pub(crate) file_id: Id,
    pub(crate) file_key: FileKey,
    pub(crate) keys: Arc<DerivedKeys>,
}

/// Draws file id and file key.
pub(crate) fn make_file_keys(
    surroundings: &dyn Surroundings,
    suite: Suite,
    chunk_log2: u8,
) -> Result<FileKeys, Refusal> {
    let file_id = random_id(surroundings)?;
    let draw = |bytes: &mut [u8]| surroundings.fill_random(Draw::FileKey, bytes);
    let file_key = FileKey::filled(draw).map_err(|_| Refusal::Random)?;
    file_key.lock_with(&NoSwap);
    let keys = Arc::new(DerivedKeys::derive(&file_key, &KeyContext { suite, chunk_log2, file_id }));
    keep_from_swap(&keys);
    Ok(FileKeys { file_id, file_key, keys })
}

/// Best effort: a user may lock only so much memory.
struct NoSwap;

impl MemoryLock for NoSwap {
    fn lock<T>(&self, value: &T) {
        let _ = pageseal_storage::secrets::lock_value(value);
    }
}

/// Keeps keys out of swap, where the system allows it.
pub(crate) fn keep_from_swap(keys: &DerivedKeys) {
    keys.lock_with(&NoSwap);
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

pub(crate) fn random_id(surroundings: &dyn Surroundings) -> Result<Id, Refusal> {
    let mut id = Id::default();
    surroundings.fill_random(Draw::Identifier, &mut id).map_err(|_| Refusal::Random)?;
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
    let sizes = plan.sizes(&geometry);
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
        boot_id: target.surroundings.boot_id().unwrap_or_default(),
        mtime_seconds: target.modified.0,
        mtime_nanoseconds: target.modified.1,
    }
}

/// Makes the journal, durable with its name. Nothing of the file is changed before this returns. The journal gets its name
/// when it is whole, so a crash leaves a usable one or none.
pub(crate) fn create_journal(
    place: &JournalPlace,
    keys: &Arc<DerivedKeys>,
    header: &JournalHeader,
    key_area: &KeyArea,
    superblock: &[u8; SUPERBLOCK_LEN],
    slots: &[u8],
) -> Result<Journal, Refusal> {
    let path = || place.path.clone();
    if place.is_taken() {
        return Err(Refusal::JobOpen { journal: path() });
    }
    let mut made = None;
    let linked = place.folder.create_whole(&place.name, &mut |storage| {
        let log = Arc::new(FileLog(Arc::clone(storage)));
        let authenticator = Arc::new(JournalAuthenticator(Arc::clone(keys)));
        let journal =
            Journal::create(log, authenticator, header.clone(), key_area.clone(), superblock, slots);
        made = Some(journal.map_err(journal_io)?);
        Ok(())
    });
    match (linked, made) {
        (Ok(()), Some(journal)) => Ok(journal),
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Refusal::JobOpen { journal: path() })
        }
        (Err(source), made) => {
            if let Some(mut journal) = made {
                // Only the name's durability may have failed: the name is ours, and nothing else is changed.
                take_back_journal(place, &mut journal);
            }
            Err(if is_full(&source) {
                Refusal::NoSpace { path: path(), needed_bytes: header.journal_len(), source }
            } else {
                Refusal::JournalUnmakable { path: path(), source }
            })
        }
        (Ok(()), None) => {
            Err(Refusal::JournalUnmakable { path: path(), source: io::Error::other("not made") })
        }
    }
}

/// Removes a journal of a job that has changed nothing, and whatever key it holds.
pub(crate) fn take_back_journal(place: &JournalPlace, journal: &mut Journal) {
    // The refusal that led here is what the user must see; a left-over journal is harmless and named by `info`, and so is a
    // key that opens nothing.
    let _ = journal.wipe_key_area();
    let _ = super::finish::remove_journal(place);
}

/// The I/O error inside of a journal error, or the journal error as one.
pub(crate) fn journal_io(error: JournalError) -> io::Error {
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

/// A limit on the length of files would stop the job in the middle, or end the process. What lies behind it cannot even be written over.
pub(crate) fn refuse_beyond_size_limit(
    target: &Target,
    place: &JournalPlace,
    header: &JournalHeader,
) -> Result<(), Refusal> {
    let Some(limit_bytes) = pageseal_storage::available::file_size_limit() else { return Ok(()) };
    let lengths = [(&target.path, header.geometry.sealed_len()), (&place.path, header.journal_len())];
    match lengths.into_iter().find(|(_, needed)| *needed > limit_bytes) {
        None => Ok(()),
        Some((path, needed_bytes)) => {
            Err(Refusal::FileSizeLimit { path: path.clone(), needed_bytes, limit_bytes })
        }
    }
}

/// A job rests on the old content being on the medium before the first store. Whoever wrote it last may not have waited for that.
pub(crate) fn make_old_content_durable(target: &Target) -> Result<(), OpenError> {
    target.data.sync_all().map_err(|source| OpenError::Io { path: target.path.clone(), offset: 0, source })
}

/// The store over the target's file.
pub(crate) fn storage(io: Io, target: &mut Target, data_len: u64) -> io::Result<Arc<dyn Storage>> {
    match io {
        Io::Buffered => Ok(Arc::clone(&target.data)),
        Io::Direct => Ok(Arc::clone(target.direct.as_ref().ok_or(io::ErrorKind::Unsupported)?)),
        Io::Mmap => {
            let map = target.map.take().ok_or(io::ErrorKind::Unsupported)?;
            map(data_len)
        }
    }
}

/// What stays in memory. Nothing of windows that are too large for the bound on private memory, as those of a job that began with
/// another store.
fn keeps(data: &dyn Storage, header: &JournalHeader) -> Keeps {
    let tiles = || Tiles::new(header.window_len as usize);
    if header.window_len > LARGEST_KEPT_WINDOW_BYTES {
        Keeps::Nothing
    } else if data.prefers_large_requests() {
        Keeps::Windows(tiles())
    } else if data.as_mapped().is_some() && header.record_kind != RecordKind::None {
        Keeps::Sealed(tiles())
    } else {
        Keeps::Nothing
    }
}

/// The context that the steps of a job share.
pub(crate) fn context(
    target: &mut Target,
    data: Arc<dyn Storage>,
    header: &JournalHeader,
    keys: Arc<DerivedKeys>,
    workers: Workers,
) -> JobContext {
    let keeps = keeps(&*data, header);
    JobContext {
        path: target.path.clone(),
        data,
        running_len: header.geometry.sealed_len(),
        geometry: header.geometry,
        keys,
        kind: header.job,
        job_sequence: header.job_sequence,
        record_kind: header.record_kind,
        resilience: header.resilience,
        window_chunks: header.window_len / header.geometry.chunk_len_bytes(),
        holes: if header.holes_flagged { Holes::Asked } else { Holes::Ignored },
        left: Vec::new(),
        restarted: target.surroundings.boot_id() != Some(header.boot_id),
        workers,
        keeps,
        drops_behind: target.drops_behind,
        watch: target.watch.take(),
        surroundings: Arc::clone(&target.surroundings),
    }
}
