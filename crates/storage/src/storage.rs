//! What the engine needs of a file.

use std::{fmt::Debug, io, ops::Range};

use crate::{MountInstance, StorageError};

/// Bytes at offsets, with a length and with durability.
///
/// Every method takes `&self`: workers share one storage and use different ranges of it at the same
/// time. Two calls that touch the same bytes at the same time, one of them a write, leave any mix;
/// keeping them apart is the caller's task. Nothing but [`sync_data`](Storage::sync_data) and
/// [`sync_all`](Storage::sync_all) makes anything durable. The first error of a write or sync should
/// end the job: after a failed fsync Linux may show the new bytes although the disk never got them.
pub trait Storage: Send + Sync + Debug {
    /// The length in bytes.
    ///
    /// # Errors
    /// Those of `fstat`.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    ///
    /// # Errors
    /// Those of [`len`](Storage::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Sets the length in bytes: cuts the end off, or grows by zeros that need not have space on disk.
    /// Not durable until [`sync_all`](Storage::sync_all).
    ///
    /// # Errors
    /// Those of `ftruncate`; [`StorageError::CutsMapping`] where a mapping of our own would be cut.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes sure that `len` bytes at `offset` have space on disk, growing the file to
    /// `offset + len` if it is shorter. No byte of content changes.
    ///
    /// What cannot fit, holes included, is refused before anything is reserved, and after a failure what was a hole is one again.
    ///
    /// Where the file system cannot reserve (`EOPNOTSUPP`), zeros are written behind the end of the
    /// file instead, which promises nothing for holes before it. On copy-on-write file systems a
    /// later store can run out of space in spite of the reservation.
    ///
    /// # Errors
    /// `ENOSPC` and others of `fallocate` and `pwrite`. The length is then what it was before.
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Grows the file by zeros that have space on disk, from exactly `from` to `to` bytes; and makes sure that what lies from
    /// `holes_from` to `from` has space, as [`reserve`](Storage::reserve) does. What somebody else appends meanwhile is not
    /// written over and not cut off.
    ///
    /// # Errors
    /// [`StorageError::Appended`] if somebody else appended first; those of [`reserve`](Storage::reserve). What it grew
    /// by is then taken back, unless somebody appended to that.
    fn grow(&self, holes_from: u64, from: u64, to: u64) -> io::Result<()> {
        let found = self.len()?;
        if found != from {
            return Err(StorageError::Appended { expected: from, found }.into());
        }
        self.reserve(holes_from, to - holes_from)
    }

    /// Fills `buf` from `offset` on, however many system calls that takes.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends first (`buf` is then partly filled); those
    /// of `pread`, except `EINTR`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buf` at `offset`, growing the file if need be.
    ///
    /// # Errors
    /// Those of `pwrite`, except `EINTR`. Any part of `buf` may then have been written.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes content and length durable (`fdatasync`), also what was stored through a mapping.
    ///
    /// # Errors
    /// Those of `fdatasync`. What was not durable before may then never become so.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes content, length and attributes durable (`fsync`).
    ///
    /// # Errors
    /// As [`sync_data`](Storage::sync_data).
    fn sync_all(&self) -> io::Result<()>;

    /// Frees the space of `len` bytes at `offset`, which then read as zeros; the length stays.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the file system has no holes; others of `fallocate`.
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Sets the modification time: seconds since 1970 and nanoseconds. Nothing where there is none.
    ///
    /// # Errors
    /// Those of `futimens`.
    fn set_modified(&self, _modified: (i64, u32)) -> io::Result<()> {
        Ok(())
    }

    /// The modification time: seconds since 1970 and nanoseconds; `None` where there is none.
    ///
    /// # Errors
    /// Those of `fstat`.
    fn modified(&self) -> io::Result<Option<(i64, u32)>> {
        Ok(None)
    }

    /// The first hole that is not before `offset`, as far as it lies before `end`: no block is allocated there, or only unwritten
    /// ones. `None` also where that cannot be told. Costs as much for a hole of many TiB as for a small one.
    ///
    /// # Errors
    /// Those of `lseek`.
    fn next_hole(&self, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
        range_end(offset, end.saturating_sub(offset))?;
        Ok(None)
    }

    /// Who may write to the file; `None` where there are no owners.
    ///
    /// # Errors
    /// Those of `fstat`.
    fn writers(&self) -> io::Result<Option<Writers>> {
        Ok(None)
    }

    /// Which mounting of its file system the file lies in; `None` where nobody can tell.
    fn mount_instance(&self) -> Option<MountInstance> {
        None
    }

    /// Begins to write these bytes to the medium and does not wait, so that the sync that makes them durable finds less to do.
    /// They may get there at any time without it, too.
    ///
    /// # Errors
    /// The medium's, as from the sync, which need not tell of them again.
    fn start_write_back(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// Says that these bytes are not needed again soon: a cache may give their memory to others, as far as they were written. What is
    /// still to be written stays, and takes another call later. Tells of no error and takes none from a sync.
    fn forget(&self, _offset: u64, _len: u64) {}

    /// Whether requests of a process that is gone may still change the file, as far as the lock tells that
    /// such requests hold ([`FileLock::cover_requests_of`](crate::lock::FileLock::cover_requests_of)).
    ///
    /// # Errors
    /// Those of `fcntl`.
    fn requests_in_flight(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Returns when no request that was made before, by whomever, can change the file any more, as far as
    /// the file system can wait for them. Content and length stay; the modification time may change.
    /// Needs a file that is open for writing.
    ///
    /// # Errors
    /// Those of `fallocate` and `ioctl`.
    fn drain_requests(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether one large request is much faster than many small ones: many pieces are in flight at a time, and nothing is gained by
    /// the processor's caches.
    fn prefers_large_requests(&self) -> bool {
        false
    }

    /// The mapping, if this storage has one.
    fn as_mapped(&self) -> Option<&dyn MappedRange> {
        None
    }
}

/// Who may write to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writers {
    /// User id of the owner, who always may. `None` if this user namespace does not know who it is.
    pub owner: Option<u32>,
    /// The group, if it may, or if an access control list names somebody who may.
    pub group: Option<GroupWriters>,
    /// Whether everybody may.
    pub others: bool,
}

/// Those of a group who may write to a file, and whomever an access control list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupWriters {
    /// Group id; `None` if this user namespace does not know which it is.
    pub group: Option<u32>,
    /// The access control list as the file system has it; empty where there is none.
    pub access_list: Vec<u8>,
}

/// Memory that *is* the file's content.
pub trait MappedRange: Send + Sync {
    /// Runs `f` over the file's own bytes `[offset, offset + len)`.
    ///
    /// The pages are brought in for writing first, so `f` runs without page faults and every page of
    /// the range counts as dirty, even if `f` only reads. A range that overlaps one handed out at
    /// this moment is refused and `f` does not run.
    ///
    /// What `f` stores reaches the disk at any time, in any order, and torn; no power-loss guarantee
    /// that rests on whole-block writes holds for it. If another process cuts the file while `f`
    /// runs, the kernel sends SIGBUS: **it kills the process unless**
    /// [`sigbus::install_handler`](crate::sigbus::install_handler) was called, in which case `f` runs
    /// to its end over memory that may no longer be the file's, and the call fails.
    ///
    /// # Errors
    /// A [`StorageError`] inside (see there), or the `EIO`, `ENOSPC` or other errno that kept a page
    /// from being brought in. Unless the error is of a kind that refuses the range, `f` may have run,
    /// and whatever it computed must be thrown away.
    fn with_range(&self, offset: u64, len: usize, f: &mut dyn FnMut(&mut [u8])) -> io::Result<()>;

    /// Brings the pages of a range in for writing, in steps of [`POPULATE_STEP_BYTES`](crate::POPULATE_STEP_BYTES), for the methods
    /// that do not do so themselves. A call takes time even where all pages are there: one for much costs less than many for little.
    ///
    /// # Errors
    /// As for [`with_range`](Self::with_range).
    fn bring_in(&self, offset: u64, len: usize) -> io::Result<()>;

    /// As [`with_range`](Self::with_range) for a range that was brought in before. Pages that the kernel took away meanwhile are
    /// faulted in one by one, and one that cannot be had is a SIGBUS, with what [`with_range`](Self::with_range) says of it.
    ///
    /// # Errors
    /// As for [`with_range`](Self::with_range).
    fn with_range_again(&self, offset: u64, len: usize, f: &mut dyn FnMut(&mut [u8])) -> io::Result<()>;

    /// Shows `check` the file's own bytes, as many as `new` has from `offset` on, and if it says yes, stores `new` over them
    /// **in ascending order**: a process that is killed on the way leaves the range new up to one place and old from there on, and
    /// the place is a multiple of [`STORE_UNIT_BYTES`](crate::STORE_UNIT_BYTES) from `offset` or one of the last bytes. Returns
    /// what `check` said. The range should have been brought in, as for [`with_range_again`](Self::with_range_again).
    ///
    /// Against a power cut that is no promise at all, as for [`with_range`](Self::with_range): pages reach the disk in any order.
    ///
    /// # Errors
    /// As for [`with_range`](Self::with_range).
    ///
    /// # Panics
    /// If `offset` is not a multiple of the unit.
    fn replace(&self, offset: u64, new: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool>;

    /// Copies bytes out that will soon be stored over. Their pages are brought in for writing at once, which costs less than finding
    /// them in the page cache for a read and bringing them in later.
    ///
    /// # Errors
    /// As for [`with_range`](Self::with_range).
    fn copy_out(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Says that this range will not be handed out again soon. Its pages stay in the cache with their content, and only leave the
    /// page tables, which costs less here, beside other work, than for the whole mapping when it goes.
    fn release(&self, _offset: u64, _len: usize) {}
}

/// The end of a range, if it is a file offset (at most 2^63 - 1, `off_t`).
pub(crate) fn range_end(offset: u64, length: u64) -> io::Result<u64> {
    offset
        .checked_add(length)
        .filter(|end| i64::try_from(*end).is_ok())
        .ok_or_else(|| StorageError::OffsetTooLarge { offset, length }.into())
}
