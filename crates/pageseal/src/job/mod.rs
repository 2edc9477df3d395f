//! In-place jobs. One engine runs all of them: encrypt, decrypt and both rollbacks are "chunks of one form become
//! chunks of the other, window by window" (`convert`, `pipeline`); what differs is how a job begins
//! (`encrypt`, `decrypt`, `resume`) and what the file rests as (`active`, `finish`).

mod active;
mod begin;
mod belongs;
mod caches;
mod context;
mod convert;
mod decrypt;
mod encrypt;
mod finish;
mod finished;
mod handover;
#[cfg(test)]
mod handover_tests;
pub(crate) mod job_key;
mod journal_file;
mod pipeline;
mod place;
mod plan;
mod pool;
mod read_ahead;
mod rebuild;
mod recover;
mod resume;
mod steps;
mod store_choice;
mod unlock;
mod without_journal;
mod workers;

pub use decrypt::decrypt_in_place;
pub use encrypt::encrypt_in_place;
pub use resume::{resume, rollback};

pub(crate) use active::{JournalPlace, resilience_name};
pub(crate) use begin::{FileKeys, is_full, keep_from_swap, make_file_keys, make_slots, random_id};
pub(crate) use belongs::is_growing;
pub(crate) use context::chunk_meta;
pub(crate) use encrypt::{
    check_file as check_encrypt_file, check_options as check_encrypt_options, encrypt_opened, plan_of_encrypt,
};
pub(crate) use journal_file::{FileLog, journal_place, journal_place_of};
pub(crate) use place::check_inline_data;
pub(crate) use store_choice::{Reads, longest_cached_len, storage_for_reading};
pub(crate) use workers::{Parts, Tile, Workers};

/// The kind as the library's users see it.
pub(crate) fn public_kind(kind: pageseal_format::journal::JobKind) -> crate::report::JobKind {
    match kind {
        pageseal_format::journal::JobKind::Encrypt => crate::report::JobKind::Encrypt,
        pageseal_format::journal::JobKind::Decrypt => crate::report::JobKind::Decrypt,
    }
}

/// Bytes of plaintext that a job in this direction has done, by its watermark in chunks.
pub(crate) fn done_bytes(
    geometry: &pageseal_format::Geometry,
    direction: pageseal_format::journal::Direction,
    watermark: u64,
) -> u64 {
    let below = if watermark == 0 { 0 } else { geometry.bytes_of_chunks(0, watermark).1 };
    match direction {
        pageseal_format::journal::Direction::Forward => below,
        pageseal_format::journal::Direction::Backward => geometry.data_len() - below,
    }
}

/// What the hand-over is built from; its tests build it from something else.
mod sync {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
}

#[cfg(feature = "simulation")]
pub(crate) mod for_simulation {
    //! The beginnings of jobs below the file system.
    pub(crate) use super::active::JournalPlace;
    pub(crate) use super::begin::make_old_content_durable;
    pub(crate) use super::decrypt::begin as begin_decrypt;
    pub(crate) use super::encrypt::{begin as begin_encrypt, check_file};
    pub(crate) use super::plan::{Io, Plan, record_kind};
    pub(crate) use super::resume::{Wish, continue_on};
    pub(crate) use super::unlock::open_journal;
}
