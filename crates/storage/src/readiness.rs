//! Waiting for input no longer than one wants to.

use std::os::fd::AsFd;
use std::{io, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// Whether a read would return at once, with bytes, an error or the end; waits at most `patience` for that. Files are always ready.
///
/// # Errors
/// Those of `poll`.
pub fn wait_readable(input: impl AsFd, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&patience)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_pipe_is_ready_when_there_is_something_or_nobody() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert!(!wait_readable(&reader, Duration::from_millis(1)).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(wait_readable(&reader, Duration::from_secs(60)).unwrap());
        drop(writer);
        assert!(wait_readable(&reader, Duration::from_secs(60)).unwrap());
    }

    #[test]
    fn a_file_is_ready_even_at_its_end() {
        assert!(wait_readable(tempfile::tempfile().unwrap(), Duration::from_secs(60)).unwrap());
    }
}
