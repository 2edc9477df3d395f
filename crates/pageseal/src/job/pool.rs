//! Starting threads where the system may have none to give: a limit of the user (`ulimit -u`), of a control group, or of memory.

use std::error::Error;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::error::Refusal;

/// How often a number of threads is asked for if there may be fewer, and if not: those that have just ended count for a moment.
const TRIES: u32 = 5;
const LAST_TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Starts a pool of `wanted` threads. If `may_be_fewer`, and the system gives no more, it has fewer. Beside it there is room for `beside`
/// more threads at this moment.
///
/// # Errors
/// [`Refusal::Threads`].
pub(super) fn start_pool(wanted: usize, may_be_fewer: bool, beside: usize) -> Result<ThreadPool, Refusal> {
    let mut count = wanted;
    loop {
        let is_last = count == 1 || !may_be_fewer;
        match try_often(if is_last { LAST_TRIES } else { TRIES }, || pool_with_room(count, beside)) {
            Err(error) if is_limit(&error) && !is_last => count /= 2,
            result => {
                return result.map_err(|source| Refusal::Threads { threads: count + beside, source });
            }
        }
    }
}

fn try_often<T>(tries: u32, start: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..tries {
        match start() {
            Err(error) if is_limit(&error) => thread::sleep(PAUSE),
            result => return result,
        }
    }
    start()
}

/// `EAGAIN`: there are too many threads, or too little memory for one more.
fn is_limit(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn pool_with_room(count: usize, beside: usize) -> io::Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|index| format!("pageseal-{index}"))
        .build()
        .map_err(|error| system_error(&error))?;
    check_room(beside)?;
    Ok(pool)
}

/// What the system said; the pool keeps it to itself.
fn system_error(error: &ThreadPoolBuildError) -> io::Error {
    let said = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match said.and_then(io::Error::raw_os_error) {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error.to_string()),
    }
}

/// Starts so many threads at the same time, which do nothing.
fn check_room(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut threads = Vec::new();
        let mut result = Ok(());
        for _ in 0..count {
            match Builder::new().name("pageseal-room".into()).spawn_scoped(scope, || drop(gate.lock())) {
                Ok(thread) => threads.push(thread),
                Err(error) => result = Err(error),
            }
        }
        drop(closed);
        for thread in threads {
            let _ = thread.join();
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_met_again_before_it_is_told() {
        let tries = std::cell::Cell::new(0);
        let limit = || io::Error::from(io::ErrorKind::WouldBlock);
        let second = try_often(3, || {
            tries.set(tries.get() + 1);
            if tries.get() == 2 { Ok(7) } else { Err(limit()) }
        });
        assert_eq!(second.unwrap(), 7);
        assert!(is_limit(&try_often(3, || Err::<(), _>(limit())).unwrap_err()));
        tries.set(0);
        let other = try_often(3, || {
            tries.set(tries.get() + 1);
            Err::<(), _>(io::Error::other("x"))
        });
        assert!(other.is_err() && tries.get() == 1);
    }

    #[test]
    fn a_pool_has_the_threads_that_were_asked_for() {
        for may_be_fewer in [true, false] {
            assert_eq!(start_pool(3, may_be_fewer, 2).unwrap().current_num_threads(), 3);
        }
    }
}
