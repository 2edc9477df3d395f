//! The figures of the measurements, as a program reads them.

use std::fmt;
use std::path::PathBuf;

use pageseal_crypto::Suite;
use serde::{Serialize, Serializer};

use super::machine::Machine;
use crate::control::Step;

/// All that was measured. `Serialize` gives the machine output; `Display` a text for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BenchReport {
    /// Where.
    pub machine: Machine,
    /// The ciphers, if they were measured.
    pub cipher: Option<CipherReport>,
    /// The accesses to a file, if they were measured.
    pub io: Option<IoReport>,
    /// A whole job on a temporary file, if one was run.
    pub job: Option<JobFigures>,
}

impl BenchReport {
    /// Puts the parts together, with a description of this machine.
    #[must_use]
    pub fn new(cipher: Option<CipherReport>, io: Option<IoReport>, job: Option<JobFigures>) -> Self {
        BenchReport { machine: Machine::describe(), cipher, io, job }
    }
}

/// How fast the processor is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CipherReport {
    /// Unit of sealing, in bytes.
    pub chunk_bytes: usize,
    /// Length of the buffer of each thread, in bytes.
    pub stream_bytes: usize,
    /// The most threads.
    pub threads: usize,
    /// One for each work and number of threads.
    pub rates: Vec<CipherRate>,
}

/// What is done to every byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CipherWork {
    /// Sealing in place.
    Seal(Suite),
    /// Opening in place.
    Open(Suite),
    /// Fingerprints of 4096-byte blocks.
    Fingerprint,
    /// XOR with a constant in place, for comparison.
    Xor,
    /// A copy into other memory, for comparison; each byte counts once.
    Copy,
}

impl CipherWork {
    /// The suite, if it is one.
    #[must_use]
    pub fn suite(self) -> Option<Suite> {
        match self {
            CipherWork::Seal(suite) | CipherWork::Open(suite) => Some(suite),
            _ => None,
        }
    }
}

impl fmt::Display for CipherWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CipherWork::Seal(suite) => f.pad(&format!("{suite} seal")),
            CipherWork::Open(suite) => f.pad(&format!("{suite} open")),
            CipherWork::Fingerprint => f.pad("fingerprints"),
            CipherWork::Xor => f.pad("XOR"),
            CipherWork::Copy => f.pad("memcpy"),
        }
    }
}

impl Serialize for CipherWork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The rate of one work.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CipherRate {
    /// What was done.
    pub work: CipherWork,
    /// Threads that did it at the same time.
    pub threads: usize,
    /// Gigabytes (10^9 bytes) a second of all threads together.
    pub gb_per_s: f64,
    /// Which instructions of the processor it takes.
    pub instructions: &'static str,
}

/// How fast a file is by each access.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IoReport {
    /// The folder of the temporary file, or the file that was read, as the caller named it. Bytes that are no text
    /// are replaced in the machine output.
    #[serde(serialize_with = "path_as_text")]
    pub path: PathBuf,
    /// Whether an existing file was read and nothing written.
    pub read_only: bool,
    /// Name of the file system.
    pub file_system: &'static str,
    /// The largest size that was measured, in bytes.
    pub size_bytes: u64,
    /// The most threads.
    pub threads: usize,
    /// One for each case.
    pub rates: Vec<IoRate>,
    /// What could not be measured, and why.
    pub skipped: Vec<Skipped>,
    /// What the TLB misses are misses of, or why they were not counted.
    pub tlb: TlbCounting,
    /// What the figures say about this disk, in sentences.
    pub advice: Vec<String>,
}

/// How bytes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// A shared mapping; each page is a fault at its first touch.
    Mmap,
    /// A shared mapping; pages are brought in before they are touched, at most 2 MiB at a time.
    MmapPopulated,
    /// `pread` into private memory, and `pwrite` back.
    ReadWrite,
    /// The same past the page cache (`O_DIRECT`).
    Direct,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 4] = [Method::Mmap, Method::MmapPopulated, Method::ReadWrite, Method::Direct];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Mmap => "mmap, plain faults",
            Method::MmapPopulated => "mmap, populated",
            Method::ReadWrite => "read/write",
            Method::Direct => "direct (O_DIRECT)",
        }
    }
}

/// In which order, and how much at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// From the start to the end.
    Sequential,
    /// Blocks of so many bytes in random order, each once.
    Random {
        /// Bytes of a block.
        block_bytes: usize,
    },
}

impl Pattern {
    /// Every pattern that is measured.
    pub const ALL: [Pattern; 3] = [
        Pattern::Sequential,
        Pattern::Random { block_bytes: 64 << 10 },
        Pattern::Random { block_bytes: 4 << 10 },
    ];
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Sequential => f.pad("sequential"),
            Pattern::Random { block_bytes } => f.pad(&format!("random {} KiB", block_bytes >> 10)),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the bytes are before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheState {
    /// All in the page cache.
    Warm,
    /// On the disk alone.
    Cold,
    /// It does not matter: the page cache is passed by.
    Bypassed,
}

impl CacheState {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CacheState::Warm => "cached",
            CacheState::Cold => "not cached",
            CacheState::Bypassed => "past the cache",
        }
    }
}

/// What is measured at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Case {
    /// How bytes are reached.
    pub method: Method,
    /// In which order.
    pub pattern: Pattern,
    /// Where they are before.
    pub cache: CacheState,
    /// Length of the part of the file, from its start, in bytes.
    pub size_bytes: u64,
    /// Threads at the same time.
    pub threads: usize,
}

/// The rate of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IoRate {
    /// Which.
    #[serde(flatten)]
    pub case: Case,
    /// Bytes that were reached; fewer than the size where the time was over before.
    pub bytes: u64,
    /// Wall time, unmapping included.
    pub seconds: f64,
    /// Gigabytes (10^9 bytes) a second; each byte counts once, though it is read and written.
    pub gb_per_s: f64,
    /// The same with the time of an `fdatasync` behind it; nothing where only was read.
    pub durable_gb_per_s: Option<f64>,
    /// Page faults that needed no I/O.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// Faults of both kinds for each MiB (2^20 bytes) reached.
    pub faults_per_mib: f64,
    /// Misses of the data TLB for each MiB, where they can be counted.
    pub tlb_misses_per_mib: Option<f64>,
}

/// What could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// How fast a whole crash-safe job is, and which of its steps takes the time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobFigures {
    /// The folder of the temporary file, as the caller named it. Bytes that are no text are replaced in the machine output.
    #[serde(serialize_with = "path_as_text")]
    pub path: PathBuf,
    /// Name of the file system.
    pub file_system: &'static str,
    /// Length of the file in bytes.
    pub size_bytes: u64,
    /// Threads of the pool.
    pub threads: usize,
    /// The suite, the default one for this processor.
    #[serde(serialize_with = "as_text")]
    pub suite: Suite,
    /// Name of the store, as on the command line.
    pub store: &'static str,
    /// Name of the resilience mode, as on the command line.
    pub resilience: &'static str,
    /// Bytes of a window; the last one may be shorter.
    pub window_bytes: u64,
    /// Windows of the file.
    pub windows: usize,
    /// Wall time of the job, with everything before the first window and after the last one.
    pub seconds: f64,
    /// Gigabytes (10^9 bytes) a second.
    pub gb_per_s: f64,
    /// One for each step that windows went through, in this order.
    pub steps: Vec<StepFigures>,
    /// Time before the first window and after the last one: journal, trailer and names.
    pub windowless_seconds: f64,
    /// Which step was busy most of the time and what bounds the job here, in a sentence.
    pub bound: String,
    /// Every step of every window, in the order of the steps, and of each step in that of the file.
    pub spans: Vec<WindowSpan>,
}

/// How busy a step was. Different windows are in different steps at the same time, so shares can add up to more than 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StepFigures {
    /// Which.
    pub step: Step,
    /// Seconds in which it worked on any window; waiting for other steps is not in it, waiting for the disk is.
    pub busy_seconds: f64,
    /// Part of the wall time of the job, from 0 to 1.
    pub share: f64,
}

/// When a step of a window ran.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WindowSpan {
    /// Which step.
    pub step: Step,
    /// First chunk of the window.
    pub first_chunk: u64,
    /// Bytes of the window.
    pub bytes: u64,
    /// When it began, in seconds from the beginning of the job.
    pub from_seconds: f64,
    /// When it was done.
    pub to_seconds: f64,
}

fn as_text<S: Serializer>(value: &Suite, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn path_as_text<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Whether TLB misses were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TlbCounting {
    /// They were; of what.
    Counted(&'static str),
    /// They were not; why.
    NotReadable(String),
}
