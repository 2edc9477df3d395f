//! Noticing that somebody else writes to, moves or deletes a file that is being worked on.

use std::{
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, fstat, inotify, open},
    io::Errno,
};

/// What happened to a watched file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Somebody closed the file after having it open for writing; whether they wrote is unknown. Also
    /// a write descriptor of our own, where the last duplicate of it was closed.
    ClosedAfterWriting,
    /// The file has another name, or the same in another directory.
    Moved,
    /// The last name of the file was removed.
    Deleted,
    /// The file system was unmounted, or so much happened that the kernel lost track: anything may have
    /// changed.
    EventsLost,
}

const EVENTS: inotify::WatchFlags = inotify::WatchFlags::CLOSE_WRITE
    .union(inotify::WatchFlags::MOVE_SELF)
    .union(inotify::WatchFlags::DELETE_SELF)
    // The link count is an attribute, and DELETE_SELF comes only when nobody has the file open.
    .union(inotify::WatchFlags::ATTRIB);

/// A watch (inotify(7)) on an inode, whatever its names.
///
/// It sees neither writes through a mapping nor those of another machine of a network file system.
/// Writes to descriptors that stay open are not seen either, which is why our own are not: as long as
/// this process closes no write descriptor of the file, all that is reported is foreign.
#[derive(Debug)]
pub struct ChangeWatch {
    inotify: OwnedFd,
    /// For looking at the link count. `O_PATH`, so that closing it is no event.
    inode: OwnedFd,
    deleted_reported: std::sync::atomic::AtomicBool,
}

impl ChangeWatch {
    /// Watches the inode of an open file from now on. Needs `/proc`.
    ///
    /// # Errors
    /// Those of inotify, among them `EMFILE` and `ENOSPC` for the user's limits; those of opening
    /// `/proc/self/fd`.
    pub fn new(file: &File) -> io::Result<Self> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let inode = open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, &path, EVENTS)?;
        Ok(Self { inotify, inode, deleted_reported: false.into() })
    }

    /// What happened since the last call, in order; does not wait.
    ///
    /// # Errors
    /// Those of `read` and `fstat`.
    pub fn poll(&self) -> io::Result<Vec<Change>> {
        use inotify::ReadFlags as Seen;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut changes = Vec::new();
        loop {
            let seen = match reader.next() {
                Ok(event) => event.events(),
                Err(Errno::AGAIN) => return Ok(changes),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if seen.contains(Seen::CLOSE_WRITE) {
                changes.push(Change::ClosedAfterWriting);
            }
            if seen.contains(Seen::MOVE_SELF) {
                changes.push(Change::Moved);
            }
            if seen.intersects(Seen::QUEUE_OVERFLOW | Seen::UNMOUNT) {
                changes.push(Change::EventsLost);
            }
            if seen.intersects(Seen::DELETE_SELF | Seen::ATTRIB) && self.is_newly_deleted()? {
                changes.push(Change::Deleted);
            }
        }
    }

    fn is_newly_deleted(&self) -> io::Result<bool> {
        use std::sync::atomic::Ordering::Relaxed;
        Ok(fstat(&self.inode)?.st_nlink == 0 && !self.deleted_reported.swap(true, Relaxed))
    }
}
