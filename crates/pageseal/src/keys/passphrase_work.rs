//! What is put into trying passphrases. A slot names its own price, and nothing of it is authenticated before it is paid: a forged
//! file could ask for hours and for all of the memory.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use pageseal_format::Slot;
use pageseal_storage::available::available_memory_bytes;

use super::error::KeyError;
use super::passphrase::{ACCEPTED_LOG_N, WRITTEN_LOG_N};
use crate::control::Cancellation;

/// The scrypt work that a passphrase is tried with on one file, over all slots: as many slots as there can be of the work that
/// pageseal asks for, or two of the most that is accepted of one.
pub(super) const TOTAL_WORK: u64 = 2 << ACCEPTED_LOG_N;
const _: () = assert!(TOTAL_WORK == (pageseal_format::limits::MAX_SLOTS as u64) << WRITTEN_LOG_N);

/// Memory for each unit of work: blocks of 128 bytes, of which scrypt takes 8 at a time in age files.
const BYTES_OF_WORK: u64 = 128 * 8;

/// How long nobody looks whether somebody wants to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// The scrypt work that a slot asks for. None if it is more than is accepted: it is refused at once then. What cannot be read counts as
/// the most, though age will refuse that, too.
pub(super) fn work_of(slot: &Slot) -> u64 {
    match log_n_of(&slot.age_file) {
        Some(log_n) if log_n > ACCEPTED_LOG_N => 0,
        log_n => 1 << log_n.unwrap_or(ACCEPTED_LOG_N),
    }
}

/// The last word of the line `-> scrypt SALT LOG_N` of the header.
fn log_n_of(age_file: &[u8]) -> Option<u8> {
    let mut lines = age_file.split(|byte| *byte == b'\n');
    let stanza = lines.find(|line| line.starts_with(b"-> scrypt "))?;
    let digits = stanza.rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the memory can be had, else how much it would be. Without it the process would be ended.
pub(super) fn check_memory(work: u64) -> Result<(), u64> {
    let needed = work.saturating_mul(BYTES_OF_WORK);
    // What pageseal asks for itself is also tried where it has to be swapped for.
    let available = if work > 1 << WRITTEN_LOG_N { available_memory_bytes().ok() } else { None };
    match fits(needed, available) {
        true => Ok(()),
        false => Err(needed),
    }
}

fn fits(needed: u64, available: Option<u64>) -> bool {
    // A limit of the process (`ulimit -v`) tells only when it is asked for memory.
    available.is_none_or(|available| needed <= available)
        && usize::try_from(needed).is_ok_and(|needed| Vec::<u8>::new().try_reserve_exact(needed).is_ok())
}

/// Runs what cannot be stopped in a thread of its own, which is left to itself if somebody wants to stop: it changes nothing, wipes
/// what it found, and ends with the process.
pub(super) fn run_stoppably<T: Send + 'static>(
    cancellation: &Cancellation,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, KeyError> {
    if cancellation.is_cancelled() {
        return Err(KeyError::Cancelled);
    }
    let (sender, receiver) = channel();
    let worker = thread::Builder::new()
        .name("pageseal-scrypt".into())
        .spawn(move || drop(sender.send(work())))
        .map_err(|source| KeyError::Thread { source })?;
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) if cancellation.is_cancelled() => {
                return Err(KeyError::Cancelled);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match worker.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("it sends before it ends"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use pageseal_format::SlotKind;

    use super::*;
    use crate::keys::test_support::{encrypted_with, with_claimed_log_n};

    fn slot(age_file: Vec<u8>) -> Slot {
        Slot { kind: SlotKind::Passphrase, label: String::new(), sealed_info: Vec::new(), age_file }
    }

    #[test]
    fn the_work_of_a_slot_is_read_off_its_header() {
        let age_file = encrypted_with("open sesame", 3, b"x");
        assert_eq!(work_of(&slot(age_file.clone())), 8);
        assert_eq!(work_of(&slot(with_claimed_log_n(&age_file, 22))), 1 << 22);
        assert_eq!(work_of(&slot(with_claimed_log_n(&age_file, 23))), 0);
        assert_eq!(work_of(&slot(b"-> scrypt x y\n".to_vec())), 1 << 22);
        assert_eq!(work_of(&slot(Vec::new())), 1 << 22);
    }

    #[test]
    fn memory_that_is_not_there_is_not_asked_for() {
        assert_eq!(check_memory(1 << 10), Ok(()));
        assert!(fits(1 << 20, Some(1 << 20)) && !fits((1 << 20) + 1, Some(1 << 20)));
        // No process has so much.
        assert!(!fits(1 << 62, None));
    }

    #[test]
    fn work_that_does_not_end_is_left_alone() {
        let cancellation = Cancellation::new();
        let stop = cancellation.clone();
        let (_never, forever) = channel::<()>();
        let stopped = run_stoppably(&cancellation, move || {
            stop.cancel();
            forever.recv()
        });
        assert!(matches!(stopped, Err(KeyError::Cancelled)));
        assert_eq!(run_stoppably(&Cancellation::new(), || 7).unwrap(), 7);
    }
}
