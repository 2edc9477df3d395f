//! Standard input and output, if the process was started with them.
//!
//! The standard library opens `/dev/null` in place of what is closed, before `main`: what is
//! written there is lost without an error, and what is read there is empty. So this looks before
//! that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};

/// A bit for each of the descriptors 0 to 2 that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Run by the loader before `main`, and before the standard library does anything.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for descriptor in 0..3 {
        // SAFETY: asks for the flags of a descriptor, whether there is one or not, and takes no
        // address.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
        }
    }
}

/// A descriptor of standard input.
///
/// # Errors
/// That it was closed when the process was started; those of `dup`.
pub fn stdin() -> io::Result<OwnedFd> {
    refuse_closed(0)?;
    io::stdin().as_fd().try_clone_to_owned()
}

/// A descriptor of standard output.
///
/// # Errors
/// That it was closed when the process was started; those of `dup`.
pub fn stdout() -> io::Result<OwnedFd> {
    refuse_closed(1)?;
    io::stdout().as_fd().try_clone_to_owned()
}

fn refuse_closed(descriptor: u8) -> io::Result<()> {
    if CLOSED.load(Ordering::Relaxed) & (1 << descriptor) != 0 {
        return Err(io::Error::new(io::ErrorKind::NotConnected, "it is closed"));
    }
    Ok(())
}
