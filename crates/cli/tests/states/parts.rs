//! What states are put together from: the bytes of real jobs, and the keys that let phases and
//! superblocks be written which no caller of the library can stop at.

use std::path::Path;
use std::sync::{Arc, Mutex};

use pageseal::{
    Cancellation, Control, DecryptOptions, EncryptOptions, Identities, IdentitySource, JobError, JobKeyMode,
    KeyError, Passphrase, PassphrasePrompt, Progress, Recipient, ResumeOptions, Step, StepSpan,
    decrypt_in_place, encrypt_in_place, export_trailer, resume,
};
use pageseal_crypto::{DerivedKeys, JobKey, KeyContext, Suite};
use pageseal_format::journal::{
    Direction, HEADER_LEN, JobKind, JournalHeader, KEY_AREA_LEN, KEY_AREA_OFFSET, KeyArea, PHASE_LEN,
    PHASE_OFFSETS, Phase, PhaseRecord, RING_OFFSET,
};
use pageseal_format::limits::{SLOT_AREA_LEN, SUPERBLOCK_LEN, TABLE_ENTRY_LEN};
use pageseal_format::{FileState, Geometry, Limits, Superblock, labels};

use crate::support::{Folder, content};

/// Chunks of the first window.
const WINDOW_CHUNKS: u64 = 64;
const WINDOW: usize = 4 << 20;
/// Two windows, the second of them short and not whole blocks.
const LEN: usize = WINDOW + 70_001;

/// Calls once, when the record of the first window is durable and none of its bytes is stored.
pub struct AtFirstRecord<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> AtFirstRecord<F> {
    pub fn new(deed: F) -> Self {
        AtFirstRecord(Mutex::new(Some(deed)))
    }
}

impl<F: FnOnce() + Send> Progress for AtFirstRecord<F> {
    fn step(&self, span: &StepSpan) {
        if span.step == Step::Commit
            && span.first_chunk == 0
            && let Some(deed) = self.0.lock().unwrap().take()
        {
            deed();
        }
    }
}

struct Nobody;

impl PassphrasePrompt for Nobody {
    fn ask(&self, _: &str) -> Result<Option<Passphrase>, KeyError> {
        Ok(None)
    }
}

/// The key pair of all states, in a folder that no state is in.
pub struct Keys {
    pub folder: Folder,
    pub recipient: String,
}

impl Keys {
    pub fn new() -> Self {
        let (folder, recipient) = Folder::with_key();
        Keys { folder, recipient }
    }

    pub fn recipients(&self) -> [Recipient; 1] {
        [Recipient::parse(&self.recipient).unwrap()]
    }

    fn identities(&self) -> Identities {
        Identities::load([IdentitySource::File(self.folder.path("key.txt"))], Arc::new(Nobody)).unwrap()
    }
}

/// With the job key in the journal: then no state depends on the runtime folder.
pub fn encrypt_options() -> EncryptOptions {
    EncryptOptions { job_key: JobKeyMode::Disk, threads: Some(1), ..EncryptOptions::default() }
}

/// File and journal of a job, when the first window was recorded and when it was stopped behind
/// that window.
struct Seen {
    recorded: [Vec<u8>; 2],
    stopped: [Vec<u8>; 2],
}

impl Seen {
    fn of(
        file: &Path,
        journal: &Path,
        job: impl FnOnce(&Control<'_>) -> Result<pageseal::JobReport, JobError>,
    ) -> Self {
        let both = || [file, journal].map(|path| std::fs::read(path).unwrap());
        let cancellation = Cancellation::new();
        let recorded = Mutex::new(None);
        let progress = AtFirstRecord::new(|| {
            *recorded.lock().unwrap() = Some(both());
            cancellation.cancel();
        });
        let control = Control { progress: &progress, cancellation: cancellation.clone() };
        let error = job(&control).expect_err("was stopped");
        assert!(matches!(error, JobError::Interrupted { .. }), "{error:?}");
        let recorded = recorded.into_inner().unwrap().expect("there was a first window");
        Seen { recorded, stopped: both() }
    }
}

/// What the data is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Plain,
    Sealed,
    /// The first window is sealed.
    HalfSealed,
    /// The first window is plain.
    HalfOpened,
}

/// How much of the chunk table is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Empty,
    FirstWindow,
    Full,
}

/// What a superblock copy is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// Zeros.
    None,
    /// A sector of it is lost.
    Torn,
    /// Its first sector is written.
    Begun,
    Encrypting,
    /// As the encrypt left it.
    Sealed,
    Decrypting,
    /// As the decrypt leaves it when it is rolled back.
    SealedAgain,
}

/// One file through an encrypt and a decrypt.
pub struct Parts {
    pub keys: Keys,
    geometry: Geometry,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    encrypt: Seen,
    decrypt: Seen,
    derived: DerivedKeys,
    /// The trailer of the sealed file.
    pub trailer: Vec<u8>,
    /// A trailer of an earlier sealing of the same content.
    pub older_trailer: Vec<u8>,
    /// Journal and file of another file's encrypt.
    pub foreign_journal: Vec<u8>,
}

impl Parts {
    pub fn new() -> Self {
        let keys = Keys::new();
        let work = Folder::new();
        let (recipients, identities) = (keys.recipients(), keys.identities());
        let (file, sealed_name) = (work.path("a"), work.path("a.sealed"));
        let journal = work.path("a.pageseal-journal");
        let plain = content(LEN);

        work.write("older", &plain);
        encrypt_in_place(&work.path("older"), &recipients, &encrypt_options(), &Control::silent()).unwrap();
        export_trailer(&work.path("older.sealed"), &work.path("older.trailer")).unwrap();
        work.write("other", &plain);
        let foreign = Seen::of(&work.path("other"), &work.path("other.pageseal-journal"), |control| {
            encrypt_in_place(&work.path("other"), &recipients, &encrypt_options(), control)
        });

        work.write("a", &plain);
        let encrypt = Seen::of(&file, &journal, |control| {
            encrypt_in_place(&file, &recipients, &encrypt_options(), control)
        });
        resume(&file, &identities, &ResumeOptions::default(), &Control::silent()).unwrap();
        let sealed = work.read("a.sealed");
        export_trailer(&sealed_name, &work.path("trailer")).unwrap();
        let options = DecryptOptions { threads: Some(1), ..DecryptOptions::default() };
        let decrypt = Seen::of(&sealed_name, &journal, |control| {
            decrypt_in_place(&sealed_name, &identities, &options, control)
        });
        Parts {
            geometry: Geometry::new(LEN as u64, 16, &Limits::PRODUCTION).unwrap(),
            derived: derived_keys(&encrypt.stopped[1]),
            plain,
            sealed,
            encrypt,
            decrypt,
            trailer: work.read("trailer"),
            older_trailer: work.read("older.trailer"),
            foreign_journal: foreign.stopped[1].clone(),
            keys,
        }
    }

    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    pub fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// File and journal of a job that was killed with a window in flight.
    pub fn killed(&self, job: JobKind) -> [Vec<u8>; 2] {
        self.seen(job).recorded.clone()
    }

    /// File and journal of a job that was stopped.
    pub fn stopped(&self, job: JobKind) -> [Vec<u8>; 2] {
        self.seen(job).stopped.clone()
    }

    fn seen(&self, job: JobKind) -> &Seen {
        if job == JobKind::Encrypt { &self.encrypt } else { &self.decrypt }
    }

    /// Length of the plaintext.
    pub fn plain_len(&self) -> usize {
        LEN
    }

    pub fn superblock_offset(&self, copy: usize) -> usize {
        [self.geometry.superblock_a_offset(), self.geometry.superblock_b_offset()][copy] as usize
    }

    pub fn slot_area_offset(&self, copy: usize) -> usize {
        self.geometry.slot_area_offset(copy) as usize
    }

    /// The file with its trailer.
    pub fn file(&self, data: Data, table: Table, copies: [Copy; 2]) -> Vec<u8> {
        let mut file = self.sealed.clone();
        let plain = match data {
            Data::Plain => 0..LEN,
            Data::Sealed => 0..0,
            Data::HalfSealed => WINDOW..LEN,
            Data::HalfOpened => 0..WINDOW,
        };
        file[plain.clone()].copy_from_slice(&self.plain[plain]);
        let entries = match table {
            Table::Empty => 0,
            Table::FirstWindow => WINDOW_CHUNKS,
            Table::Full => self.geometry.chunk_count(),
        };
        let start = self.geometry.table_offset() as usize + entries as usize * TABLE_ENTRY_LEN;
        let end = (self.geometry.table_offset() + self.geometry.table_len()) as usize;
        file[start..end].fill(0);
        for (index, copy) in copies.into_iter().enumerate() {
            let at = self.superblock_offset(index);
            file[at..at + SUPERBLOCK_LEN].copy_from_slice(&self.superblock(copy));
        }
        file
    }

    /// The file that an encrypt has made longer, with or without its slot areas.
    pub fn grown(&self, has_slots: bool) -> Vec<u8> {
        let mut file = self.file(Data::Plain, Table::Empty, [Copy::None, Copy::None]);
        if !has_slots {
            let start = self.slot_area_offset(0);
            file[start..start + 2 * SLOT_AREA_LEN].fill(0);
        }
        file
    }

    fn superblock(&self, copy: Copy) -> Vec<u8> {
        let at = self.superblock_offset(0);
        let sealed = Superblock::parse(&self.sealed[at..at + SUPERBLOCK_LEN], &Limits::PRODUCTION).unwrap();
        let decrypt = header_of(&self.decrypt.stopped[1]);
        let (job_id, job_sequence) = (decrypt.job_id, decrypt.job_sequence);
        let superblock = match copy {
            Copy::None => return vec![0; SUPERBLOCK_LEN],
            Copy::Torn => {
                let mut torn = self.superblock(Copy::Sealed);
                torn[512..1024].fill(0xA5);
                return torn;
            }
            Copy::Begun => {
                let mut begun = self.superblock(Copy::Encrypting);
                begun[512..].fill(0);
                return begun;
            }
            Copy::Encrypting => Superblock { state: FileState::Encrypting, ..sealed },
            Copy::Sealed => sealed,
            Copy::Decrypting => Superblock { state: FileState::Decrypting, job_id, job_sequence, ..sealed },
            Copy::SealedAgain => Superblock { job_id, job_sequence, ..sealed },
        };
        superblock.encode(|body| self.derived.metadata.mac(labels::SUPERBLOCK, body)).to_vec()
    }

    /// A journal in a phase that no window is in flight in. `windows` were settled.
    pub fn journal(
        &self,
        job: JobKind,
        phase: Phase,
        direction: Direction,
        watermark: u64,
        windows: u64,
    ) -> Vec<u8> {
        let mut journal = self.seen(job).stopped[1].clone();
        let newest = PHASE_OFFSETS.map(|at| PhaseRecord::parse(&journal[at as usize..][..PHASE_LEN]));
        let newest = newest.iter().flatten().max_by_key(|phase| phase.sequence).unwrap();
        let record = PhaseRecord {
            sequence: newest.sequence + 1,
            phase,
            direction,
            clean: true,
            watermark,
            window_sequence: windows,
            ..*newest
        };
        let block = record.encode(|body| self.derived.journal.mac(labels::PHASE, body));
        for at in PHASE_OFFSETS {
            journal[at as usize..][..PHASE_LEN].fill(0);
        }
        let at = PHASE_OFFSETS[(record.sequence % 2) as usize] as usize;
        journal[at..at + PHASE_LEN].copy_from_slice(&block[..]);
        journal[RING_OFFSET as usize..].fill(0);
        if phase == Phase::Finished {
            journal[KEY_AREA_OFFSET as usize..][..KEY_AREA_LEN].fill(0);
        }
        journal
    }

    /// Where a job of two windows is when all are done, forward or backward.
    pub fn end(&self, direction: Direction) -> u64 {
        if direction == Direction::Forward { self.geometry.chunk_count() } else { 0 }
    }

    /// Writes the file that a journal is of into its header. A journal that is damaged stays as it
    /// is.
    pub fn of_inode(&self, journal: &[u8], inode: u64) -> Vec<u8> {
        let mut journal = journal.to_vec();
        let Ok(header) = JournalHeader::parse(&journal[..HEADER_LEN.min(journal.len())], &Limits::PRODUCTION)
        else {
            return journal;
        };
        let header = JournalHeader { inode, ..header };
        let own = has_job_key(&journal).then(|| derived_keys(&journal));
        let derived = own.as_ref().unwrap_or(&self.derived);
        let block = header.encode(|body| derived.journal.mac(labels::JOURNAL, body)).unwrap();
        journal[..HEADER_LEN].copy_from_slice(&block[..]);
        journal
    }
}

/// Chunks of the first window.
pub const FIRST_WINDOW: u64 = WINDOW_CHUNKS;

fn header_of(journal: &[u8]) -> JournalHeader {
    JournalHeader::parse(&journal[..HEADER_LEN], &Limits::PRODUCTION).unwrap()
}

fn has_job_key(journal: &[u8]) -> bool {
    let area = KeyArea::parse(&journal[KEY_AREA_OFFSET as usize..][..KEY_AREA_LEN]);
    matches!(area, Ok(KeyArea::Inside { .. }))
}

/// The keys of the file, from the job key that its journal holds.
fn derived_keys(journal: &[u8]) -> DerivedKeys {
    let header = header_of(journal);
    let area = KeyArea::parse(&journal[KEY_AREA_OFFSET as usize..][..KEY_AREA_LEN]).unwrap();
    let KeyArea::Inside { wrapped, job_key } = area else { panic!("{area:?}") };
    let key = JobKey::from_bytes(*job_key).unwrap(&header.job_id, &header.file_id, &wrapped).unwrap();
    let suite = Suite::try_from(header.suite).unwrap();
    let chunk_log2 = header.geometry.chunk_log2();
    DerivedKeys::derive(&key, &KeyContext { suite, chunk_log2, file_id: header.file_id })
}
