//! What a running operation tells its caller, and how the caller stops it.

use crate::job_plan::JobPlan;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;

/// A part of an operation, for progress displays. Each has its own total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Every chunk is authenticated; nothing is changed.
    Verifying,
    /// Windows that an interrupted job left in flight are settled.
    Recovering,
    /// Plaintext becomes ciphertext.
    Encrypting,
    /// Ciphertext becomes plaintext.
    Decrypting,
}

/// Something worth telling a person that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// One of the two superblock copies is damaged; the other one was used.
    SuperblockCopyDamaged {
        /// `'A'` or `'B'`.
        copy: char,
    },
    /// One of the two slot areas is damaged; the other one was used.
    SlotAreaDamaged {
        /// 1 or 2.
        copy: u8,
    },
    /// The file system keeps old blocks (copy on write, snapshots, reflinks): old plaintext may stay on the
    /// medium, and space cannot be promised.
    OldBlocksMayStay,
    /// The file is mounted alone, so its journal lies in the folder of the mount point and not beside the file itself.
    JournalNotBeside {
        /// The journal.
        journal: PathBuf,
        /// Name of the file system of that folder.
        file_system: &'static str,
    },
    /// The file lies on overlayfs: what it was before may stay in a lower layer.
    LowerLayerMayKeep,
    /// Fingerprints are not sound on this file system, so whole windows go through the journal.
    JournalResilienceChosen {
        /// Name of the file system.
        file_system: String,
    },
    /// Direct I/O was asked for and is not possible on this file; it goes through the page cache.
    DirectRefused {
        /// Why.
        reason: String,
    },
    /// Writes past the page cache that a killed job had asked for have not reached the file yet. The operation
    /// waits for them, as long as that takes, and changes nothing before; a request to stop ends the waiting.
    WaitsForRequests {
        /// The file.
        path: PathBuf,
    },
    /// Another store was asked for, but what a killed `process` job left is recovered through the page cache.
    RecoversThroughCache,
    /// No volatile folder was found for the job key: resuming will need an identity or passphrase.
    NoJobKey,
    /// The job key lies in the journal, on disk; flash may keep it after it is wiped.
    JobKeyOnDisk,
    /// The key of a job that is over could not be removed. Whoever can read it and a copy of the
    /// job's journal can open the file.
    JobKeyLeft {
        /// Where it lies, in memory.
        key: PathBuf,
    },
    /// A chunk's plaintext was changed since it was opened, so it was sealed anew under a fresh nonce.
    ChunkChangedSinceOpened {
        /// Chunk index.
        chunk: u64,
    },
    /// The name was taken while the job ran; the finished file kept its name.
    NameKept {
        /// The name that the file still has.
        kept: PathBuf,
        /// The name that it should have got.
        wanted: PathBuf,
    },
    /// The system does not let the name be changed, as that of a file that is mounted alone; the finished file kept it.
    NameRefused {
        /// The name that the file still has.
        kept: PathBuf,
        /// The name that it should have got.
        wanted: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The finished file had both of its names, as a renaming that was cut off leaves them; the old
    /// one was removed.
    SecondNameRemoved {
        /// The name that was removed.
        name: PathBuf,
    },
    /// The name belongs to another file now; names were left alone.
    NameGone {
        /// The name that the job was started with.
        name: PathBuf,
    },
    /// Somebody wrote to the input of an out-of-place run while it was read: the copy may have old parts and new ones.
    ChangedWhileRead {
        /// The input.
        path: PathBuf,
    },
    /// A journal lies there and cannot be read, so nothing is told of its job.
    JournalUnusable {
        /// The journal.
        journal: PathBuf,
        /// Why not.
        what: String,
    },
    /// An attribute (owner, extended attribute, time) could not be carried over.
    AttributeLost {
        /// Which one.
        attribute: String,
    },
}

/// A step of the work on one window of an in-place job. Different windows are in different steps at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The window is read, by a thread of its own, while the one before it is prepared and committed. Only where the store reads
    /// whole windows, as the one past the page cache does; the first window is read like this too, though nothing goes on
    /// beside it.
    ReadAhead,
    /// What is there is fingerprinted, read for it if it was not read ahead, and new nonces are drawn. Where the journal takes
    /// whole windows, the new form is made and written into the journal.
    Prepare,
    /// The record is written, and the journal is on the medium when it ends; without syncs it is only written, and without records it
    /// is nothing.
    Commit,
    /// The chunks are converted and written to their place, and with them their entries of the table.
    Store,
    /// The file is made durable, where windows are; when it ends the window is settled.
    Settle,
}

impl Step {
    /// Every step, in the order in which a window goes through them.
    pub const ALL: [Step; 5] = [Step::ReadAhead, Step::Prepare, Step::Commit, Step::Store, Step::Settle];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::ReadAhead => "read ahead",
            Step::Prepare => "prepare",
            Step::Commit => "commit",
            Step::Store => "store",
            Step::Settle => "settle",
        }
    }

    /// What it does, in a few words.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Step::ReadAhead => "reads the next window",
            Step::Prepare => "fingerprints what is there, or logs what will be",
            Step::Commit => "writes the record, until the journal is on the disk",
            Step::Store => "converts and writes to the same place",
            Step::Settle => "waits until the file is on the disk",
        }
    }
}

/// When a step of a window ran.
///
/// From when its own work began to when that was done. Waiting for another step is in none of them: not for the read ahead before
/// *prepare*, not for an older window to be settled before *commit*, not for room before the next stage. What is in them is waiting
/// for the disk and for the threads of the pool, which *prepare* and *store* share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepSpan {
    /// Which step.
    pub step: Step,
    /// First chunk of the window.
    pub first_chunk: u64,
    /// Chunks of the window.
    pub chunks: u64,
    /// Bytes of plaintext of the window.
    pub bytes: u64,
    /// When it began.
    pub started: Instant,
    /// When it was done.
    pub ended: Instant,
}

/// Receives progress; calls come from the threads of the pool.
pub trait Progress: Sync {
    /// A stage begins; `total_bytes` of plaintext lie before it, `done_bytes` of them done by earlier runs.
    fn stage(&self, stage: Stage, total_bytes: u64, done_bytes: u64) {
        let _ = (stage, total_bytes, done_bytes);
    }
    /// `bytes` more are done (settled on disk, where the stage writes).
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }
    /// How the job goes about it; comes before anything is changed. Not for a job that is gone on with.
    fn plan(&self, plan: &JobPlan) {
        let _ = plan;
    }
    /// How the bytes of a file are reached, and why so, where there is no plan: of one that is verified, of the input out of
    /// place (a file; from a pipe, of the temporary copy that a decrypt makes of it), and of a job that is gone on with. `io` is a
    /// name as in [`JobPlan::io`].
    fn access(&self, io: &'static str, reason: &str) {
        let _ = (io, reason);
    }
    /// A step of a window of an in-place job is done; the thread that did it calls, and goes on when this returns. A step that
    /// failed is not told of, nor are windows that an interrupted run left in flight.
    fn step(&self, step: &StepSpan) {
        let _ = step;
    }
    /// Something worth telling.
    fn notice(&self, notice: &Notice) {
        let _ = notice;
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}

/// A request to stop at the next window border. Clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that shares a flag which the caller already has, for example one that a signal sets.
    pub fn from_flag(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks the operation to stop. An in-place job stops at a window border and can be resumed.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The caller's side of a running operation.
#[derive(Clone)]
pub struct Control<'a> {
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// How to stop it.
    pub cancellation: Cancellation,
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control<'static> {
    /// Tells nobody and is never stopped.
    pub fn silent() -> Self {
        Control { progress: &Silent, cancellation: Cancellation::new() }
    }
}
