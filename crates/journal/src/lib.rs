//! Phases, window records, the ring and the decisions of a replay.
//!
//! The journal of a job makes every window recoverable *before* the first byte of it changes. Types keep
//! that order: a window is stored by whoever holds its [`CommittedWindow`], and only a durable
//! [`Journal::commit`] (or a replay of one) makes such a token. Nothing here knows ciphers or files: the
//! bytes go through a [`Log`], the MACs through an [`Authenticator`].
//!
//! ```text
//! reserve_slot -> payload_writer -> commit -> CommittedWindow -> (store, sync) -> settled() -> SettledMark
//!                                     ^                                                            |
//!                                     +----- the mark retires windows in a later commit or phase --+
//! ```
//!
//! | crash in | what a replay finds |
//! |---|---|
//! | [`Journal::create`] | perhaps no valid phase: nothing of the file was touched |
//! | [`Journal::commit`] | the window in flight or not at all: nothing of it was stored |
//! | between commit and settle | the window in flight: to be stored again, as a whole |
//! | [`Journal::set_phase`] | the phase before it or the new one |
//!
//! What this can not tell: a newest record that has rotted on the disk looks like one that was never
//! completely written. Only an *older* one that is missing is an error.

mod blocks;
mod commit;
mod error;
mod journal;
mod log;
mod mark;
mod open;
mod payload;
mod replay;
mod transitions;
mod watermark;
mod window;

pub use error::{Contradiction, JournalError, LogOperation, Part};
pub use journal::Journal;
pub use log::{Authenticator, Log};
pub use mark::SettledMark;
pub use open::UnverifiedJournal;
pub use payload::PayloadWriter;
pub use replay::{Inspection, Replay, UnverifiedProgress};
pub use watermark::{start_of_window, watermark_after};
pub use window::{CommittedWindow, RingSlot, WindowPlan};
