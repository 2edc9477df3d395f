//! Waiting until nothing that an earlier process asked for can reach a file any more.
//!
//! A write past the page cache goes on in the kernel when the process that asked for it is killed, and lands
//! seconds or minutes later on a slow disk. A recovery that reads or stores before that would call a file
//! whole that the late write then changes. Two things stand in the way, each where the other may be missing:
//! the lock that the requests themselves hold, and the file system, which can wait for direct I/O.
//! See `docs/decisions/001-requests-outlive-their-process.md`.

use std::path::Path;
use std::time::Duration;

use pageseal_protections::{Protection, is_on};
use pageseal_storage::Storage;

use crate::control::{Control, Notice};
use crate::error::Refusal;

/// How often the lock is looked at while it is waited for.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Waits until the lock of the requests of a killed job is free, for as long as that takes, and says so once.
///
/// # Errors
/// [`Refusal::RequestsInFlight`] if the caller is asked to stop meanwhile. Nothing was changed then.
pub(crate) fn wait_for_requests(
    path: &Path,
    data: &dyn Storage,
    pause: Duration,
    control: &Control<'_>,
) -> Result<(), Refusal> {
    let mut is_told = false;
    // Where locks cannot be asked for, taking the lock fails next, with the same error.
    while is_on(Protection::RequestLock) && data.requests_in_flight().unwrap_or(false) {
        if control.cancellation.is_cancelled() {
            return Err(Refusal::RequestsInFlight { path: path.into() });
        }
        if !is_told {
            control.progress.notice(&Notice::WaitsForRequests { path: path.into() });
            is_told = true;
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Has the file system wait for every request that is in flight on the file.
///
/// # Errors
/// [`Refusal::Unopenable`].
pub(crate) fn drain_requests(path: &Path, data: &dyn Storage) -> Result<(), Refusal> {
    if !is_on(Protection::RequestDrain) {
        return Ok(());
    }
    data.drain_requests().map_err(|source| Refusal::Unopenable { path: path.into(), source })
}
