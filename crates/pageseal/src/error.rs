//! Why an operation did not do what was asked. The variants say what and where; what to do about it is the
//! command's to say.

use std::io;
use std::path::PathBuf;

use crate::damaged_chunks::{DamagedRange, shown_ranges};
use crate::keys::KeyError;
use crate::report::{JobKind, JobOutcome};

/// The five kinds of failure that a script must tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Nothing was changed, or the failure leaves nothing to resume.
    Refused,
    /// The options contradict each other.
    Usage,
    /// No identity or passphrase fits.
    NoKey,
    /// Damaged or tampered with.
    Damaged,
    /// Stopped in the middle; can be resumed.
    Interrupted,
}

/// An operation that was refused before anything was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No such file, or no right to open it.
    #[error("cannot open {}", path.display())]
    Unopenable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Directory, device, FIFO, socket.
    #[error("{} is {what}, not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is, with article.
        what: &'static str,
    },
    /// A symbolic link: the name would not follow the content.
    #[error("{} is a symbolic link", path.display())]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// Carries the immutable or append-only attribute.
    #[error("{} is {attribute}", path.display())]
    Immutable {
        /// The file.
        path: PathBuf,
        /// Which attribute.
        attribute: &'static str,
    },
    /// On a file system that is mounted read-only.
    #[error("{} is on a file system that is mounted read-only", path.display())]
    ReadOnlyMount {
        /// The file.
        path: PathBuf,
    },
    /// Nobody has the right to write to it. Root could all the same, but nobody expects that.
    #[error("{} is read-only", path.display())]
    ReadOnlyFile {
        /// The file.
        path: PathBuf,
    },
    /// The file is sealed already.
    #[error("{} is already sealed", path.display())]
    AlreadySealed {
        /// The file.
        path: PathBuf,
    },
    /// More than one name.
    #[error("{} has {links} hard links; all of them would show the new content", path.display())]
    HardLinks {
        /// The file.
        path: PathBuf,
        /// How many.
        links: u64,
    },
    /// Less than 90 % of the file is allocated.
    #[error("{} is sparse: {allocated_bytes} of {len_bytes} bytes are allocated", path.display())]
    Sparse {
        /// The file.
        path: PathBuf,
        /// Allocated bytes.
        allocated_bytes: u64,
        /// Length in bytes.
        len_bytes: u64,
    },
    /// Somebody has it open for writing.
    #[error("{} is open for writing in another process", path.display())]
    OpenForWriting {
        /// The file.
        path: PathBuf,
    },
    /// Another pageseal works on it.
    #[error("{} is locked: another job is working on it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A killed job's requests may still change it, and the caller asked to stop waiting for them.
    #[error("writes of a job that was killed are still on their way to {}", path.display())]
    RequestsInFlight {
        /// The file.
        path: PathBuf,
    },
    /// The name that the result gets is taken.
    #[error("{} exists already", path.display())]
    TargetExists {
        /// The taken name.
        path: PathBuf,
    },
    /// The name has no `.sealed` to take off.
    #[error("{} does not end in .sealed", path.display())]
    NoSealedSuffix {
        /// The file.
        path: PathBuf,
    },
    /// The name with suffix or the journal's name would be too long.
    #[error("the name {} is longer than the {limit_bytes} bytes that the file system allows", path.display())]
    NameTooLong {
        /// The name that is too long.
        path: PathBuf,
        /// The limit in bytes.
        limit_bytes: u32,
    },
    /// `--journal` names the file itself, by the name that it has or one that it gets.
    #[error("{} cannot have {} as its journal: that is a name of the file itself", path.display(), journal.display())]
    JournalIsFile {
        /// What was named as the journal.
        journal: PathBuf,
        /// The file.
        path: PathBuf,
    },
    /// The file is the journal of a job.
    #[error(
        "{} is the journal of an interrupted {}", path.display(), match kind { JobKind::Encrypt => "encrypt", JobKind::Decrypt => "decrypt" }
    )]
    IsJournal {
        /// The file.
        path: PathBuf,
        /// The job.
        kind: JobKind,
    },
    /// Slots lie where a sealed file has them, and nothing says what else the file is: an
    /// interrupted encrypt writes them first.
    #[error(
        "{} ends in the key slots of a sealed file, without a superblock: an encrypt of it was interrupted before it sealed \
         anything, or it lost its superblocks",
        path.display()
    )]
    SlotsAlone {
        /// The file.
        path: PathBuf,
    },
    /// A journal lies there: an interrupted job.
    #[error("an interrupted job's journal exists: {}", journal.display())]
    JobOpen {
        /// The journal.
        journal: PathBuf,
    },
    /// `resume` or `rollback` found no journal and the file is not in the middle of a job.
    #[error("{} has no interrupted job", path.display())]
    NothingToResume {
        /// The file.
        path: PathBuf,
    },
    /// A job that is being rolled back cannot go forward again.
    #[error("{} is being rolled back, which can only be finished", path.display())]
    BeingRolledBack {
        /// The file.
        path: PathBuf,
    },
    /// Everything is converted and the trailer may be gone: the job can only be finished.
    #[error("the job on {} has converted everything and can only be finished", path.display())]
    OnlyFinish {
        /// The file.
        path: PathBuf,
    },
    /// Continuing a decrypt needs the explicit word.
    #[error("the interrupted job on {} is a decrypt; going on needs an explicit word", path.display())]
    DecryptWordMissing {
        /// The file.
        path: PathBuf,
    },
    /// The journal says a job that is over for this file.
    #[error("{} belongs to a job that is over; it is not used", journal.display())]
    StaleJournal {
        /// The journal.
        journal: PathBuf,
    },
    /// An encrypt that was interrupted before it changed anything, and something behind the data that is not of the job.
    #[error(
        "the encrypt of {} was interrupted before it changed any of its {data_len_bytes} bytes, but others follow now that are not of \
         the job", path.display()
    )]
    NothingBegun {
        /// The file.
        path: PathBuf,
        /// The length that the file had, in bytes.
        data_len_bytes: u64,
    },
    /// The journal is not this file's.
    #[error("{} belongs to another file", journal.display())]
    ForeignJournal {
        /// The journal.
        journal: PathBuf,
    },
    /// Somebody who may not write to the file may have written the journal.
    #[error(
        "{} may have been written by others: {who} can write to it, and perhaps not to {}",
        journal.display(), file.display()
    )]
    JournalOfOthers {
        /// The journal.
        journal: PathBuf,
        /// The file.
        file: PathBuf,
        /// Who can write to the journal.
        who: String,
    },
    /// In a user namespace that does not know who could write to the journal.
    #[error(
        "{} may have been written by others than can write to {}: this user namespace does not know its owner or group",
        journal.display(), file.display()
    )]
    JournalOfUnknown {
        /// The journal.
        journal: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// Not enough room for trailer or journal.
    #[error("no space: {needed_bytes} more bytes are needed for {}", path.display())]
    NoSpace {
        /// The file that was to grow or be made.
        path: PathBuf,
        /// Bytes needed.
        needed_bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The journal cannot be made.
    #[error("cannot make the journal {}", path.display())]
    JournalUnmakable {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No recipient and no passphrase.
    #[error("no recipient and no passphrase given")]
    NoRecipients,
    /// More slots than fit.
    #[error("{given} recipients do not fit: at most 32 slots in 24 KiB")]
    TooManyRecipients {
        /// How many were given.
        given: usize,
    },
    /// `mmap` with `checksum`.
    #[error(
        "--io mmap cannot be combined with --resilience checksum: the kernel may write a mapped page back while \
         the cipher stores into it, and no fingerprint can undo such a mix"
    )]
    UnsoundPair,
    /// `checksum` asked for where it does not hold.
    #[error("--resilience checksum is not sound on {file_system}")]
    ChecksumUnsound {
        /// Name of the file system.
        file_system: String,
    },
    /// `process` where a restart, or a new mount, could not be noticed.
    #[error("--resilience process needs to know {what}, and the system does not tell")]
    CachesUnknown {
        /// What is not told.
        what: &'static str,
    },
    /// A killed job with `process` is to go on through another mount than the one it ran on.
    #[error(
        "a job with --resilience process was killed, and {} does not lie where it lay then: it lies on the mount {} now, \
         which may not have all that was written",
        path.display(), mount.display()
    )]
    OtherMount {
        /// The file or its journal.
        path: PathBuf,
        /// The mount point that it lies on now.
        mount: PathBuf,
    },
    /// A job that rests on fingerprints, and a file that lies where they do not hold, though it was begun elsewhere.
    #[error(
        "{} lies on {file_system} now, where its job, which was begun with --resilience checksum, is not sound",
        path.display()
    )]
    ChecksumUnsoundHere {
        /// The file.
        path: PathBuf,
        /// Name of the file system.
        file_system: String,
    },
    /// The journal would be lost in a restart, and the file with it, though the job is to survive one.
    #[error(
        "the journal {} would lie on {file_system}, in memory: a restart would lose it, and with it the file",
        journal.display()
    )]
    JournalInMemory {
        /// The journal.
        journal: PathBuf,
        /// Name of the file system.
        file_system: &'static str,
    },
    /// The file's content lies in its inode.
    #[error(
        "{} lies inside of its inode ({file_system}, inline_data), where the kernel can lose what is written in place",
        path.display()
    )]
    InlineData {
        /// The file.
        path: PathBuf,
        /// Name of the file system.
        file_system: &'static str,
    },
    /// The content may have lain in the inode a short time ago, and that cannot be ruled out.
    #[error(
        "the file system of {} keeps small files in their inodes (ext4, inline_data){}; if this one was such a file and grew, \
         the kernel may still write its old content over the new, and its journal cannot be emptied",
        path.display(), if *is_known { "" } else { ", or nobody can tell" }
    )]
    OldCopyMayReturn {
        /// The file.
        path: PathBuf,
        /// Whether it is known that the file system does that; else neither the kernel told (Linux 6.18 does) nor could a file be made
        /// beside this one to see.
        is_known: bool,
        /// What the system said.
        source: io::Error,
    },
    /// `none` without the word that goes with it.
    #[error("--resilience none needs --accept-data-loss: an interruption destroys data")]
    DataLossNotAccepted,
    /// A value out of its range.
    #[error("{what} must be {must_be}, not {value}")]
    BadValue {
        /// Which value.
        what: &'static str,
        /// The rule.
        must_be: &'static str,
        /// What was given.
        value: u64,
    },
    /// The process may not make files as long as the job needs (`RLIMIT_FSIZE`).
    #[error(
        "{} must become {needed_bytes} bytes long, and this process may write files of {limit_bytes} bytes at most",
        path.display()
    )]
    FileSizeLimit {
        /// The file or the journal.
        path: PathBuf,
        /// Its length during the job.
        needed_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The kernel would take something away with the first write that nothing could give back after a crash.
    #[error("{} {what}, which the kernel takes away when it is written to", path.display())]
    Privileges {
        /// The file.
        path: PathBuf,
        /// What it has, with the verb.
        what: &'static str,
    },
    /// Longer than the format's limit.
    #[error("{} is longer than the format's 2^60 bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no more threads: a limit of this user (`RLIMIT_NPROC`), of a control group, or of memory.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The output of an out-of-place run failed.
    #[error("cannot write {}", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A sealed stream is put into a file first, so that it can be read at random, and that failed.
    #[error("cannot keep standard input in {}", folder.display())]
    Spool {
        /// Where the file was to be: beside the output, or if that is a stream too, in the
        /// temporary folder.
        folder: PathBuf,
        /// Whether it is the temporary folder.
        is_temporary: bool,
        /// What the system said.
        source: io::Error,
    },
    /// The input of an out-of-place run failed.
    #[error("cannot read {}", path.display())]
    Input {
        /// The input.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The caller asked to stop before anything was changed.
    #[error("stopped before anything was changed")]
    Cancelled,
    /// The system's random number generator failed.
    #[error("no random numbers from the system")]
    Random,
}

/// A file that cannot be read as a sealed file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot even be opened, or is no regular file.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No trailer anywhere.
    #[error("{} is not a sealed file", path.display())]
    NotSealed {
        /// The file.
        path: PathBuf,
    },
    /// A job was interrupted on it.
    #[error("{} is in the middle of an interrupted {}", path.display(), match kind { JobKind::Encrypt => "encrypt", JobKind::Decrypt => "decrypt" })]
    Interrupted {
        /// The file.
        path: PathBuf,
        /// What was interrupted.
        kind: JobKind,
        /// Whether its journal was found.
        journal_found: bool,
    },
    /// Made by a later version of the program.
    #[error("{} was made by a newer version of the format ({what})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        what: String,
    },
    /// Damaged or tampered with.
    #[error("{}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What and where.
        damage: Damage,
    },
    /// No key fits.
    #[error(transparent)]
    Key(KeyError),
    /// Reading failed.
    #[error("cannot read {} at offset {offset}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Where, in bytes.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// What is wrong with a file or journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Bytes are missing at the end.
    #[error("the file is truncated: {missing_bytes} bytes are missing at its end")]
    Truncated {
        /// How many.
        missing_bytes: u64,
    },
    /// Bytes follow the trailer.
    #[error("{foreign_bytes} foreign bytes follow the trailer, which ends at offset {trailer_end}")]
    ForeignBytes {
        /// Where the trailer ends.
        trailer_end: u64,
        /// How many bytes follow.
        foreign_bytes: u64,
    },
    /// The two superblock copies disagree and no journal decides.
    #[error("the two superblock copies differ and no journal of that job was found")]
    SuperblocksDiffer,
    /// Both superblock copies are damaged, but there is something left of them.
    #[error("both superblock copies are damaged")]
    SuperblocksUnreadable,
    /// A superblock with a right checksum and an impossible content.
    #[error("superblock copy {copy} is malformed: {what}")]
    SuperblockMalformed {
        /// `'A'` or `'B'`.
        copy: char,
        /// The rule that is broken.
        what: String,
    },
    /// Both slot areas are unreadable.
    #[error("both slot areas are damaged: {what}")]
    SlotsUnreadable {
        /// The rule that is broken.
        what: String,
    },
    /// The MAC of a metadata block is wrong: forged.
    #[error("the {block} is forged or of another file: its MAC is wrong")]
    WrongMac {
        /// Which block.
        block: &'static str,
    },
    /// A chunk does not authenticate.
    #[error("chunk {chunk} at offset {offset} is damaged or was tampered with")]
    Chunk {
        /// Chunk index.
        chunk: u64,
        /// Offset in bytes.
        offset: u64,
    },
    /// Several chunks do not authenticate.
    #[error(
        "{count} chunks are damaged or were tampered with: {}", shown_ranges(ranges, *ranges_left_out)
    )]
    Chunks {
        /// How many.
        count: u64,
        /// Which, in ascending order.
        ranges: Vec<DamagedRange>,
        /// Ranges that are not in `ranges`, because there are more than 65,536.
        ranges_left_out: u64,
    },
    /// A table entry or its padding is malformed.
    #[error("the chunk table is malformed at chunk {chunk}")]
    Table {
        /// Chunk index.
        chunk: u64,
    },
    /// A block is neither old nor new.
    #[error(
        "the block at offset {offset} (chunk {chunk}) is neither in its old nor in its new form: somebody changed it"
    )]
    NeitherOldNorNew {
        /// Chunk index.
        chunk: u64,
        /// Offset of the block in bytes.
        offset: u64,
    },
    /// A block could be read in two ways.
    #[error("the block at offset {offset} (chunk {chunk}) could be old or new")]
    Ambiguous {
        /// Chunk index.
        chunk: u64,
        /// Offset of the block in bytes.
        offset: u64,
    },
    /// A chunk is not in the form that the journal claims: journal and file are of different times.
    #[error(
        "chunk {chunk} at offset {offset} is not in the form that the journal says; journal and file do not belong together"
    )]
    NotAsClaimed {
        /// Chunk index.
        chunk: u64,
        /// Offset in bytes.
        offset: u64,
    },
    /// Chunks outside of the windows in flight are in neither form.
    #[error(
        "{count} chunk(s) are neither sealed nor what they were, the first is chunk {first_chunk} at offset {offset}: damaged, \
         changed by somebody, or journal and file are not of the same moment"
    )]
    InNeitherForm {
        /// How many.
        count: u64,
        /// Index of the first.
        first_chunk: u64,
        /// Its offset in bytes.
        offset: u64,
    },
    /// Chunks that are sealed and would have to be opened do not open, so the file cannot become plain as a whole.
    #[error(
        "{count} chunk(s) do not open, the first is chunk {first_chunk} at offset {offset}: damaged, changed by somebody, or \
         journal and file are not of the same moment"
    )]
    CannotBeOpened {
        /// How many.
        count: u64,
        /// Index of the first.
        first_chunk: u64,
        /// Its offset in bytes.
        offset: u64,
        /// Whether the job can still end with a sealed file, which keeps all other chunks.
        can_end_sealed: bool,
    },
    /// The padding between data and trailer is not zero.
    #[error("the padding after the data at offset {offset} is not zero")]
    Padding {
        /// Where.
        offset: u64,
    },
    /// The journal is missing though the file is in the middle of a job.
    #[error("the job's journal is missing: {}", journal.display())]
    JournalMissing {
        /// Where it should be.
        journal: PathBuf,
    },
    /// The journal cannot be used.
    #[error("the journal is damaged or forged: {what}")]
    Journal {
        /// Why.
        what: String,
    },
    /// The file's length does not belong to the journal's job.
    #[error("the file is {found_bytes} bytes long, the job needs {expected_bytes}")]
    Length {
        /// What was found.
        found_bytes: u64,
        /// What the job needs.
        expected_bytes: u64,
    },
    /// The system was restarted, the file system was mounted anew, or a sync failed, while a job ran that is not safe against that.
    #[error(
        "the system was restarted, the file system was unmounted, or writing to the disk failed, during a job with \
         --resilience process: what is on disk and what the journal says may be of different times, and the file cannot be \
         recovered for sure"
    )]
    PowerCutDuringProcessJob,
    /// A job without protection was interrupted.
    #[error("a job with --resilience none was interrupted: the file is damaged and cannot be recovered")]
    Unprotected,
}

/// What stopped a job that had begun to change the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterruptCause {
    /// The caller asked.
    #[error("stopped as asked")]
    Cancelled,
    /// Reading, writing or syncing the file failed.
    #[error("{what} failed at offset {offset}")]
    Io {
        /// Which step.
        what: &'static str,
        /// Where, in bytes.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The journal failed.
    #[error("the journal cannot be written")]
    Journal {
        /// What the journal said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody changed the file while the job ran.
    #[error("another process changed the file during the job: {what}")]
    ChangedByOthers {
        /// What was noticed.
        what: String,
    },
    /// A chunk that was to be opened did not authenticate.
    #[error("{0}")]
    Damaged(Damage),
    /// The system gave no thread for a stage of the job, although it had some when the job began.
    #[error("no thread could be started")]
    Threads {
        /// What the system said.
        source: io::Error,
    },
    /// A worker panicked.
    #[error("a worker failed: {0}")]
    Worker(String),
}

/// Why an in-place job, or an out-of-place run, did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// Nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The file cannot be read as what the job needs; nothing was changed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The job had begun; the journal is there and the job can be resumed or rolled back.
    #[error("{} is half converted: {cause}", path.display())]
    Interrupted {
        /// The file.
        path: PathBuf,
        /// The kind of the job.
        kind: JobKind,
        /// Whether it was being undone.
        rolling_back: bool,
        /// Bytes of plaintext that are done.
        done_bytes: u64,
        /// Bytes of plaintext in all.
        total_bytes: u64,
        /// The journal.
        journal: PathBuf,
        /// Why.
        cause: InterruptCause,
    },
    /// The job is over and the file is what it should be; what came after that failed.
    #[error(
        "{} is {}, but {what} failed", path.display(), match outcome { JobOutcome::Sealed => "sealed", JobOutcome::Plain => "plain" }
    )]
    NotTidied {
        /// The file.
        path: PathBuf,
        /// What it is now.
        outcome: JobOutcome,
        /// The journal, which [`crate::resume`] removes; `None` if it is gone, but may be there
        /// again after a power cut.
        journal: Option<PathBuf>,
        /// Which step.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl From<KeyError> for JobError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Cancelled => Refusal::Cancelled.into(),
            error => JobError::Open(OpenError::Key(error)),
        }
    }
}

impl From<KeyError> for OpenError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Cancelled => Refusal::Cancelled.into(),
            error => OpenError::Key(error),
        }
    }
}

impl Refusal {
    /// The class of the refusal.
    pub fn class(&self) -> ErrorClass {
        match self {
            Refusal::NoRecipients
            | Refusal::TooManyRecipients { .. }
            | Refusal::UnsoundPair
            | Refusal::DataLossNotAccepted
            | Refusal::BadValue { .. } => ErrorClass::Usage,
            _ => ErrorClass::Refused,
        }
    }
}

impl OpenError {
    /// The class of the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            OpenError::Refused(refusal) => refusal.class(),
            OpenError::Damaged { .. } | OpenError::Key(KeyError::SlotMismatch { .. }) => ErrorClass::Damaged,
            OpenError::Key(_) => ErrorClass::NoKey,
            OpenError::Interrupted { .. } => ErrorClass::Interrupted,
            OpenError::NotSealed { .. } | OpenError::Newer { .. } | OpenError::Io { .. } => {
                ErrorClass::Refused
            }
        }
    }
}

impl JobError {
    /// A refusal as such, wherever it was found.
    pub(crate) fn of_open(error: OpenError) -> Self {
        match error {
            OpenError::Refused(refusal) => JobError::Refused(refusal),
            error => JobError::Open(error),
        }
    }

    /// The class of the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            JobError::Refused(refusal) => refusal.class(),
            JobError::Open(open) => open.class(),
            JobError::Interrupted { cause: InterruptCause::Damaged(_), .. } => ErrorClass::Damaged,
            JobError::Interrupted { .. } | JobError::NotTidied { journal: Some(_), .. } => {
                ErrorClass::Interrupted
            }
            JobError::NotTidied { journal: None, .. } => ErrorClass::Refused,
        }
    }
}
