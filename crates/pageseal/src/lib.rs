//! Encrypts huge files **in place**: authenticated, on all cores, safe against SIGKILL and power loss
//! at any instant, with no second copy on disk.
//!
//! Every chunk of ciphertext lies at the offset of its plaintext, on the same inode. What the engine needs
//! to recover at any moment stands in a journal beside the file while a job runs, and in a trailer behind
//! the data afterwards. The byte layout is in `docs/FORMAT.md`, the reasoning in `docs/DESIGN.md`.
//!
//! | want to | call |
//! |---|---|
//! | seal a file in place | [`encrypt_in_place`] |
//! | open it again in place | [`decrypt_in_place`] |
//! | go on after an interruption | [`resume`] |
//! | undo an interrupted job | [`rollback`] |
//! | seal or open into another file or a pipe | [`encrypt_to`], [`decrypt_to`] |
//! | check every byte without changing any | [`verify`] |
//! | see what a file is, without a key | [`info`] |
//! | see how a file would be sealed, and why so | [`plan_encrypt`] |
//! | keep or put back the metadata | [`export_trailer`], [`import_trailer`] |
//!
//! A library must not install signal handlers behind its user's back: a program that uses the `mmap`
//! store calls [`process::install_sigbus_handler`] once, and may call [`process::harden`] to keep keys out
//! of core dumps.

mod ahead;
pub mod bench;
mod control;
mod damaged_chunks;
pub mod demo;
mod error;
mod info;
mod job;
mod job_plan;
mod keys;
mod late_requests;
mod names;
mod open_job;
mod options;
mod out_of_place;
pub mod process;
mod read_target;
mod report;
mod sealed;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod surroundings;
mod target;
mod trailer_backup;
mod trailer_search;
mod verify;

pub use control::{Cancellation, Control, Notice, Progress, Silent, Stage, Step, StepSpan};
pub use damaged_chunks::DamagedRange;
pub use error::{Damage, ErrorClass, InterruptCause, JobError, OpenError, Refusal};
pub use info::{FileStatus, Info, JournalInfo, SlotInfo, info};
pub use job::{decrypt_in_place, encrypt_in_place, resume, rollback};
pub use job_plan::{JobPlan, plan_encrypt};
pub use keys::{
    GeneratedIdentity, Identities, IdentityFlaw, IdentitySource, KeyError, Passphrase, PassphraseFlaw,
    PassphrasePrompt, Recipient, RecipientFlaw, SlotCounts, SlotFlaw, SlotTooBig, generate_identity,
    read_recipients_file,
};
pub use options::{DecryptOptions, EncryptOptions, IoChoice, JobKeyMode, ResilienceChoice, ResumeOptions};
pub use out_of_place::{Input, Output, decrypt_to, encrypt_to};
pub use pageseal_crypto::Suite;
pub use report::{JobKind, JobOutcome, JobReport, VerifyReport};
pub use trailer_backup::{export_trailer, import_trailer};
pub use verify::verify;
