//! The jobs of this crate on a caller's storage, folder and surroundings. For the simulation of `pageseal-testkit`; not part of
//! the public interface, and not in a build without the feature `simulation`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pageseal_format::journal::Resilience;
use pageseal_format::{Geometry, Limits};
use pageseal_storage::{FileIdentity, Folder, Storage};

use crate::control::Control;
use crate::error::{JobError, OpenError, Refusal};
use crate::job::for_simulation::{
    Io, JournalPlace, Plan, Wish, begin_decrypt, begin_encrypt, check_file, continue_on,
    make_old_content_durable, open_journal, record_kind,
};
use crate::job::{Workers, chunk_meta};
use crate::keys::{Identities, Recipient};
use crate::late_requests::{drain_requests, wait_for_requests};
use crate::names::Names;
use crate::options::{DecryptOptions, EncryptOptions, IoChoice, JobKeyMode, ResumeOptions};
use crate::report::JobReport;
use crate::sealed::{SealedFile, read_entries};
use crate::target::Target;
use crate::{Suite, verify};

pub use crate::surroundings::{Draw, Schedule, Surroundings};
pub use pageseal_crypto::RandomError;
pub use pageseal_format::journal;

/// How large chunks, windows and ring are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sizes {
    /// Chunks of 4 KiB and windows of two, with so many ring slots: small files have many windows.
    Small {
        /// Slots of the journal's ring.
        ring_slots: u8,
    },
    /// Those of the product.
    Real,
}

/// Bytes of a window of [`Sizes::Small`].
pub const SMALL_WINDOW_BYTES: u64 = 2 << SMALL_CHUNK_LOG2;
const SMALL_CHUNK_LOG2: u8 = 12;
const REAL_CHUNK_LOG2: u8 = 16;

impl Sizes {
    fn limits(self) -> Limits {
        match self {
            Sizes::Small { .. } => Limits::TEST,
            Sizes::Real => Limits::PRODUCTION,
        }
    }

    /// Bytes of a chunk.
    pub fn chunk_len_bytes(self) -> usize {
        1 << self.chunk_log2()
    }

    fn chunk_log2(self) -> u8 {
        match self {
            Sizes::Small { .. } => SMALL_CHUNK_LOG2,
            Sizes::Real => REAL_CHUNK_LOG2,
        }
    }
}

/// How a job is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// Suite of an encrypt.
    pub suite: Suite,
    /// How bytes are stored.
    pub io: IoChoice,
    /// What the job survives.
    pub resilience: Resilience,
    /// Where an encrypt's job key goes.
    pub job_key: JobKeyMode,
    /// Whether the file may have holes, which an encrypt then remembers.
    pub allow_sparse: bool,
    /// Whether a decrypt authenticates all of the file first.
    pub verify_first: bool,
}

impl Choices {
    fn plan(&self, sizes: Sizes) -> Plan {
        let io = match self.io {
            IoChoice::Mmap => Io::Mmap,
            IoChoice::Direct => Io::Direct,
            IoChoice::Buffered | IoChoice::Auto => Io::Buffered,
        };
        let fixed_sizes = match sizes {
            Sizes::Small { ring_slots } => Some((SMALL_WINDOW_BYTES, ring_slots)),
            Sizes::Real => None,
        };
        let resilience = self.resilience;
        Plan { io, resilience, record_kind: record_kind(resilience), fixed_sizes }
    }
}

/// A file in a folder, and the world around it.
#[derive(Clone, Debug)]
pub struct World {
    /// Holds the file and the journal.
    pub folder: Arc<dyn Folder>,
    /// The file, by `pread` and `pwrite`.
    pub data: Arc<dyn Storage>,
    /// The file as a mapping.
    pub mapping: Arc<dyn Storage>,
    /// The file past the page cache.
    pub direct: Arc<dyn Storage>,
    /// Which file it is.
    pub identity: FileIdentity,
    /// The name that it was opened by.
    pub name: OsString,
    /// Everything else.
    pub surroundings: Arc<dyn Surroundings>,
    /// Sizes of a new job, and what a reader accepts.
    pub sizes: Sizes,
    /// Whether the file is too long for the page cache, so that what is done leaves it.
    pub drops_behind: bool,
}

impl World {
    fn target(&self, control: &Control<'_>) -> Result<Target, Refusal> {
        let path = Path::new(&self.name);
        wait_for_requests(path, &*self.data, Duration::ZERO, control)?;
        drain_requests(path, &*self.data)?;
        let mapping = Arc::clone(&self.mapping);
        Ok(Target {
            names: Names::of(Path::new(&self.name))?,
            path: PathBuf::from(&self.name),
            folder: Arc::clone(&self.folder),
            data: Arc::clone(&self.data),
            identity: self.identity,
            modified: (0, 0),
            limits: self.sizes.limits(),
            map: Some(Box::new(move |_| Ok(mapping))),
            direct: Some(Arc::clone(&self.direct)),
            drops_behind: self.drops_behind,
            reader: None,
            store_reason: String::new(),
            surroundings: Arc::clone(&self.surroundings),
            watch: None,
            lock: None,
        })
    }

    fn place(&self) -> Result<JournalPlace, Refusal> {
        let name = Names::of(Path::new(&self.name))?.journal();
        let (folder, path) = (Arc::clone(&self.folder), PathBuf::from(&name));
        Ok(JournalPlace { folder, path, name, file_system: None })
    }

    fn open(&self, identities: &Identities) -> Result<SealedFile, OpenError> {
        let path = Path::new(&self.name);
        let never = crate::control::Cancellation::new();
        SealedFile::open(path, Arc::clone(&self.data), identities, &self.sizes.limits(), &never)
    }

    /// As [`crate::encrypt_in_place`], from the opened file on.
    ///
    /// # Errors
    /// The same.
    pub fn encrypt(
        &self,
        recipient: &Recipient,
        choices: &Choices,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        let target = self.target(control)?;
        let geometry = check_file(&target, self.sizes.chunk_log2())?;
        make_old_content_durable(&target)?;
        let options = EncryptOptions {
            suite: Some(choices.suite),
            job_key: choices.job_key,
            allow_sparse: choices.allow_sparse,
            ..EncryptOptions::default()
        };
        let recipients = std::slice::from_ref(recipient);
        let plan = choices.plan(self.sizes);
        begin_encrypt(target, self.place()?, geometry, plan, recipients, &options, control, Instant::now())
    }

    /// As [`crate::decrypt_in_place`], from the opened file on.
    ///
    /// # Errors
    /// The same.
    pub fn decrypt(
        &self,
        identities: &Identities,
        choices: &Choices,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        let target = self.target(control)?;
        let sealed = self.open(identities)?;
        make_old_content_durable(&target)?;
        let plan = choices.plan(self.sizes);
        let options = DecryptOptions { verify_first: choices.verify_first, ..DecryptOptions::default() };
        begin_decrypt(target, self.place()?, sealed, plan, &options, control, Instant::now())
    }

    /// As [`crate::resume`] (with the word for a decrypt).
    ///
    /// # Errors
    /// The same.
    pub fn resume(
        &self,
        identities: &Identities,
        io: IoChoice,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        self.go_on(identities, &Self::continuation(io), Wish::Forward, control)
    }

    /// As [`crate::rollback`].
    ///
    /// # Errors
    /// The same.
    pub fn rollback(
        &self,
        identities: &Identities,
        io: IoChoice,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        self.go_on(identities, &Self::continuation(io), Wish::Backward, control)
    }

    /// As [`crate::resume`] or [`crate::rollback`], although chunks are damaged.
    ///
    /// # Errors
    /// The same.
    pub fn accept_damage(
        &self,
        identities: &Identities,
        io: IoChoice,
        back: bool,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        let options = ResumeOptions { accept_damage: true, ..Self::continuation(io) };
        self.go_on(identities, &options, if back { Wish::Backward } else { Wish::Forward }, control)
    }

    fn continuation(io: IoChoice) -> ResumeOptions {
        ResumeOptions { io, decrypt: true, ..ResumeOptions::default() }
    }

    fn go_on(
        &self,
        identities: &Identities,
        options: &ResumeOptions,
        wish: Wish,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        let target = self.target(control)?;
        let journal = open_journal(&target, self.place()?)?;
        continue_on(target, journal, identities, options, wish, control, Instant::now())
    }

    /// Verifies a sealed file and returns its plaintext.
    ///
    /// # Errors
    /// Those of [`crate::verify()`].
    pub fn read_sealed(&self, identities: &Identities) -> Result<Vec<u8>, OpenError> {
        let path = Path::new(&self.name);
        let sealed = self.open(identities)?;
        let geometry: Geometry = sealed.superblock.geometry;
        let workers = Workers::start(Some(1), geometry.chunk_len_bytes(), &*self.surroundings)?;
        let control = Control::silent();
        verify::verify_chunks(path, &*sealed.data, &geometry, &sealed.keys, &workers, &control)?;
        let chunks = self.read_chunks(&sealed)?.into_iter().enumerate();
        let opened = chunks.map(|(chunk, opened)| {
            let (chunk, offset) = (chunk as u64, geometry.chunk_offset(chunk as u64));
            let damage = crate::Damage::Chunk { chunk, offset };
            opened.ok_or_else(|| OpenError::Damaged { path: path.into(), damage })
        });
        Ok(opened.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The plaintext of each chunk of a sealed file that opens.
    ///
    /// # Errors
    /// Those of [`crate::verify()`], but for damaged chunks.
    pub fn read_what_opens(&self, identities: &Identities) -> Result<Vec<Option<Vec<u8>>>, OpenError> {
        self.read_chunks(&self.open(identities)?)
    }

    fn read_chunks(&self, sealed: &SealedFile) -> Result<Vec<Option<Vec<u8>>>, OpenError> {
        let path = Path::new(&self.name);
        let geometry: Geometry = sealed.superblock.geometry;
        let entries = read_entries(&*sealed.data, &geometry, 0, geometry.chunk_count())
            .map_err(|error| error.into_open_error(path))?;
        let mut plaintext = vec![0; geometry.data_len() as usize];
        sealed.data.read_exact_at(&mut plaintext, 0).map_err(|source| OpenError::Io {
            path: path.into(),
            offset: 0,
            source,
        })?;
        let mut rest = &mut plaintext[..];
        let mut chunks = Vec::new();
        for (chunk, entry) in (0..).zip(&entries) {
            let (piece, others) = rest.split_at_mut(geometry.chunk_len(chunk) as usize);
            rest = others;
            let meta = chunk_meta(&geometry, chunk, entry);
            let opens = sealed.keys.chunk.open_in_place(&meta, &entry.tag, piece).is_ok();
            chunks.push(opens.then(|| piece.to_vec()));
        }
        Ok(chunks)
    }
}
