//! What can be wrong with a journal, or with a call.

use std::fmt;
use std::io;

use pageseal_format::journal::{Direction, Phase};
use pageseal_format::{FormatError, Id};

/// What the log was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogOperation {
    /// Read bytes.
    Read,
    /// Write bytes.
    Write,
    /// Make them durable.
    Sync,
    /// Ask for the length.
    Length,
    /// Reserve space.
    Reserve,
}

impl fmt::Display for LogOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Sync => "syncing",
            Self::Length => "measuring",
            Self::Reserve => "reserving",
        })
    }
}

/// A part of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The header.
    Header,
    /// The key area.
    KeyArea,
    /// The copy of the superblock.
    SuperblockCopy,
    /// The copy of the slot area.
    SlotAreaCopy,
    /// Phase block 0 or 1.
    Phase(u8),
    /// A slot of the ring.
    RingSlot(u8),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::KeyArea => f.write_str("key area"),
            Self::SuperblockCopy => f.write_str("superblock copy"),
            Self::SlotAreaCopy => f.write_str("slot area copy"),
            Self::Phase(block) => write!(f, "phase block {block}"),
            Self::RingSlot(slot) => write!(f, "ring slot {slot}"),
        }
    }
}

/// Any failure of a journal. [`JournalError::is_misuse`] tells a wrong call from a bad journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The log failed. From now on the journal refuses everything.
    #[error("{operation} the journal failed at offset {offset}")]
    Io {
        /// What it was asked to do.
        operation: LogOperation,
        /// Where, in bytes; 0 where that has no meaning.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The log failed before.
    #[error("the journal failed before and refuses further work")]
    Latched,

    /// The journal is shorter than its header says, or than any header.
    #[error("the journal is truncated: {len} of {needed} bytes")]
    Truncated {
        /// Its length in bytes.
        len: u64,
        /// The length that it should have, as far as known.
        needed: u64,
    },
    /// A part is damaged, or says something that is refused.
    #[error("the journal's {part} is not valid")]
    Invalid {
        /// Which part.
        part: Part,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A copy that the journal carries is of another file than its header.
    #[error("the journal's {part} does not belong to its header")]
    CopyMismatch {
        /// Which copy.
        part: Part,
    },
    /// Neither phase block is intact. While a journal is being made this is so until its first sync;
    /// after that it is damage.
    #[error("the journal has no intact phase block")]
    NoPhase,
    /// Intact bytes with a wrong MAC: the wrong key, or written by somebody without it.
    #[error("the journal's {part} is not authentic")]
    Forged {
        /// Which part.
        part: Part,
    },
    /// An authentic part of another job of the same file.
    #[error("the journal's {part} belongs to another job")]
    ForeignJob {
        /// Which part.
        part: Part,
        /// The job that it belongs to.
        found: Id,
    },
    /// An authentic part at a place where its sequence does not belong.
    #[error("the journal's {part} holds sequence {sequence}, which does not belong there")]
    Misplaced {
        /// Which part.
        part: Part,
        /// The sequence that it holds.
        sequence: u64,
    },
    /// A window that is not settled has no record, although a later one has: damage.
    #[error("the record of window {sequence} is missing, the newest is {newest}")]
    MissingWindow {
        /// The missing one.
        sequence: u64,
        /// The newest one that there is.
        newest: u64,
    },
    /// Authentic parts that contradict each other.
    #[error("the journal contradicts itself: {what} ({sequence})")]
    Inconsistent {
        /// In what.
        what: Contradiction,
        /// Sequence of the window or phase where it shows.
        sequence: u64,
    },
    /// A job without records ended between two window borders: nobody can tell which of the chunks from
    /// the watermark on are old and which are new.
    #[error("an unprotected job was interrupted; the form of chunks from {watermark} on is unknown")]
    Unprotected {
        /// The last watermark that was durable, in chunks.
        watermark: u64,
    },

    /// The log that a journal was to be made in has bytes in it.
    #[error("the new journal already has {len} bytes")]
    NotEmpty {
        /// How many.
        len: u64,
    },
    /// No ring slot is free: no durable record retires the window that the next one would overwrite.
    #[error("no ring slot is free: window {needed} must be retired, {retired} is")]
    RingFull {
        /// Must be retired durably.
        needed: u64,
        /// Is retired durably.
        retired: u64,
    },
    /// A window that may not follow the one before: wrong place, wrong order, or too large.
    #[error("window of {chunk_count} chunks from {first_chunk} on does not follow watermark {watermark}")]
    NotNext {
        /// Its first chunk.
        first_chunk: u64,
        /// Its number of chunks.
        chunk_count: u64,
        /// Where the next window must begin.
        watermark: u64,
    },
    /// A reservation that is not for the next sequence, not of this journal, or given up.
    #[error("the reservation for window {sequence} is stale")]
    StaleReservation {
        /// Its sequence.
        sequence: u64,
    },
    /// A plan that differs from its reservation, or that no record can hold.
    #[error("the plan does not fit its reservation")]
    WrongPlan {
        /// What is wrong with it.
        source: FormatError,
    },
    /// Less payload was written than the window has.
    #[error("{written} of {needed} payload bytes were written")]
    PayloadIncomplete {
        /// Bytes written.
        written: u64,
        /// Bytes that the window has.
        needed: u64,
    },
    /// Payload beyond the window's bytes.
    #[error("payload of {len} bytes at {offset} does not fit")]
    PayloadRange {
        /// Offset in the payload.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// A mark that claims more than was settled, or is of another journal.
    #[error("window {sequence} is not settled")]
    NotSettled {
        /// The first window that is not.
        sequence: u64,
    },
    /// Windows are in flight where none may be.
    #[error("windows {settled} to {committed} are still in flight")]
    InFlight {
        /// Settled up to here.
        settled: u64,
        /// Committed up to here.
        committed: u64,
    },
    /// A phase that may not follow the one before.
    #[error("phase {to:?} {to_direction:?} may not follow {from:?} {from_direction:?}")]
    IllegalPhase {
        /// The phase before.
        from: Phase,
        /// Its direction.
        from_direction: Direction,
        /// The phase asked for.
        to: Phase,
        /// Its direction.
        to_direction: Direction,
    },
    /// A job is not over while chunks are left.
    #[error("the watermark is {watermark}, the end of the job is {end}")]
    NotAtEnd {
        /// Where the job is, in chunks.
        watermark: u64,
        /// Where it must be.
        end: u64,
    },
    /// Windows are for phase RUNNING only, records for jobs that have some.
    #[error("no such window in phase {phase:?} of this job")]
    NoWindowsNow {
        /// The phase.
        phase: Phase,
    },
}

/// In what a journal contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contradiction {
    /// Two intact phase blocks are not neighbours in sequence.
    PhaseOrder,
    /// A phase that a job of this kind never has, or with an impossible watermark.
    PhaseOfJob,
    /// Unsettled windows outside of phase RUNNING.
    WindowsOutsideRunning,
    /// An unsettled window goes the other way than the phase.
    WindowDirection,
    /// An unsettled window does not begin where the one before ends.
    WindowOrder,
    /// Two sources of the settled watermark differ.
    Watermark,
    /// An older window retires more than the newest.
    RetiredOrder,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PhaseOrder => "phase blocks that do not follow each other",
            Self::PhaseOfJob => "a phase that this job can not be in",
            Self::WindowsOutsideRunning => "unsettled windows in a phase that has none",
            Self::WindowDirection => "a window that goes the other way",
            Self::WindowOrder => "a window that does not begin where the one before ends",
            Self::Watermark => "two different watermarks",
            Self::RetiredOrder => "an older window that retires more than the newest",
        })
    }
}

impl JournalError {
    /// Whether the caller did what it must not, in contrast to a journal or a log that is bad. Such an error
    /// leaves the journal as it was.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            Self::NotEmpty { .. }
                | Self::RingFull { .. }
                | Self::NotNext { .. }
                | Self::StaleReservation { .. }
                | Self::WrongPlan { .. }
                | Self::PayloadIncomplete { .. }
                | Self::PayloadRange { .. }
                | Self::NotSettled { .. }
                | Self::InFlight { .. }
                | Self::IllegalPhase { .. }
                | Self::NotAtEnd { .. }
                | Self::NoWindowsNow { .. }
        )
    }

    pub(crate) fn invalid(part: Part) -> impl FnOnce(FormatError) -> Self {
        move |source| Self::Invalid { part, source }
    }
}
