//! Ctrl-C, SIGTERM and SIGHUP ask a job to stop at its next window; a second one ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pageseal::Cancellation;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// Installs the handlers. `second_ends` lets the second signal end the process at once: safe for every job
/// with a journal, but not for one that an interruption destroys.
pub fn install(second_ends: bool) -> io::Result<Cancellation> {
    let asked = Arc::new(AtomicBool::new(false));
    let may_end = Arc::new(AtomicBool::new(false));
    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // `nohup` and background shells start us with a signal ignored; it must stay so.
        if is_in_mask(ignored, signal) {
            continue;
        }
        // The order matters: the first signal must not see the flag that it sets itself.
        flag::register_conditional_default(signal, Arc::clone(&may_end))?;
        flag::register(signal, Arc::clone(&asked))?;
        if second_ends {
            flag::register(signal, Arc::clone(&may_end))?;
        }
    }
    Ok(Cancellation::from_flag(asked))
}

/// A limit on the length of files is then an error like any other (EFBIG), which can be said and cleaned
/// up after. For every command, before it writes anything.
pub fn outlive_size_limit() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(|_| ())
}

/// The mask of signals that the process was started with as ignored; without /proc none.
fn ignored_signals() -> u64 {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| parse_ignored(&status)).unwrap_or(0)
}

fn parse_ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn is_in_mask(mask: u64, signal: i32) -> bool {
    mask & (1 << (signal - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\tff\n";
        let mask = parse_ignored(status).unwrap();
        assert!(is_in_mask(mask, SIGHUP));
        assert!(!is_in_mask(mask, SIGINT));
        assert!(!is_in_mask(mask, SIGTERM));
        assert_eq!(parse_ignored("Name:\tx\n"), None);
    }
}
