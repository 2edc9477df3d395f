//! What can go wrong while a job runs.

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: a write is torn, and nothing works any more until the next boot.
    PowerCut,
    /// The file system is shut down, and mounted again before the next process: as a power cut, in the same boot.
    Shutdown,
    /// SIGKILL: nothing works any more until the next process; nothing is lost.
    Kill,
    /// The operation fails once with `EIO`; a failed sync loses what it was to save, as on Linux.
    InputOutput {
        /// Whether the pages of a failed sync are dropped rather than kept as clean.
        drop_pages: bool,
    },
    /// Whatever needs space fails with `ENOSPC`, from here to the end of the process; a write may have done its first part.
    NoSpace,
    /// Another process does something to the file.
    Meddling(Meddling),
}

impl Fault {
    /// Whether the process ends at once.
    pub fn ends_the_process(self) -> bool {
        matches!(self, Fault::PowerCut | Fault::Shutdown | Fault::Kill)
    }
}

/// What another process does to the file under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Changes a byte; so many thousandths of the way into the file, or if the number is odd, into what was read of it last.
    Write(u16),
    /// Cuts the file there.
    Cut(u16),
    /// Appends some bytes.
    Append,
    /// Gives it another name.
    Rename,
    /// Removes its name.
    Remove,
    /// Puts another file in its place; its own gets another name.
    Replace,
}

/// What another process has written, so that it can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignWrite {
    /// Changed the byte there.
    Flipped {
        /// Of this file.
        inode: u64,
        /// Its offset.
        at: usize,
    },
    /// Made the file longer.
    Grown {
        /// This file.
        inode: u64,
        /// Its length before, in bytes.
        from: usize,
    },
}

/// The name that a file gets from [`Meddling::Rename`] and [`Meddling::Replace`].
pub const RENAMED: &str = "elsewhere";
/// What [`Meddling::Append`] appends.
pub const APPENDED: &[u8] = b"appended";
/// The content of the file that [`Meddling::Replace`] puts under the name.
pub const FOREIGN: &[u8] = b"somebody else's file";
