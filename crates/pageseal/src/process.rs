//! What a program, not a library, decides about its process.

use std::io;

/// Lets a job on the `mmap` store end with an error instead of a crash when somebody else truncates the file under its
/// mapping. Installs a handler for SIGBUS; faults outside of our mappings keep their default action.
pub fn install_sigbus_handler() -> io::Result<()> {
    pageseal_storage::sigbus::install_handler()
}

/// Keeps keys out of core dumps: none are written from now on, and other processes of the same user cannot attach.
///
/// # Errors
/// What the system says if it refuses; the process goes on as it was.
pub fn harden() -> io::Result<()> {
    pageseal_storage::secrets::disable_core_dumps()
}
