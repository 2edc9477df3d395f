//! A file past the page cache, by `O_DIRECT`.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::{Advice, AtFlags, OFlags, StatxFlags, fadvise, fcntl_getfl, statx};
use thiserror::Error;

use crate::lock::{FileLock, LockError};
use crate::storage::{Writers, range_end};
use crate::transfers::Transfers;
use crate::{BufferedFile, MountInstance, Storage};

/// What offsets, lengths and addresses must be multiples of to go past the page cache, in bytes: the largest that the file
/// systems of Linux ask for, and the engine's block.
pub const DIRECT_ALIGNMENT: usize = 4096;

/// Why a file cannot be read and written past the page cache.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectError {
    /// The file system does not do it.
    #[error("the file system does not support direct I/O on this file")]
    Unsupported,
    /// It wants larger units than [`DIRECT_ALIGNMENT`].
    #[error("direct I/O on this file needs units of {alignment_bytes} bytes")]
    Alignment {
        /// What it wants.
        alignment_bytes: u32,
    },
    /// Opening the file once more, or the read that tries it, failed otherwise.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A file whose aligned parts are read and written past the page cache, many requests at a time.
///
/// A request goes the direct way if offset and address are multiples of [`DIRECT_ALIGNMENT`], as far as its length is one; the
/// rest, and every other request, goes through the page cache as with [`BufferedFile`]. Linux keeps both views of a file
/// the same as long as two requests for the same page do not overlap in time. What was written is not durable
/// before [`sync_data`](Storage::sync_data): the device has a cache of its own, and an extent that was reserved and never
/// written takes a metadata commit.
///
/// Large requests are cut into pieces that are in flight together: by `io_uring`, or by threads where that is blocked, as it
/// is in many containers. They are fastest from and to a [`PrivateBuffer`](crate::PrivateBuffer).
#[derive(Debug)]
pub struct DirectFile {
    buffered: BufferedFile,
    direct: File,
    transfers: Transfers,
}

impl DirectFile {
    /// Opens the file once more for direct reads, and writes if `file` is open for writing, after a direct read has shown that they are
    /// possible. Pages of the file in the cache are given back: they would go with the first write anyhow.
    ///
    /// # Errors
    /// [`DirectError`]; nothing was changed then.
    pub fn open(file: File) -> Result<Self, DirectError> {
        check_alignment(&file)?;
        try_a_read(&file)?;
        let mode = fcntl_getfl(&file).map_err(io::Error::from)? & OFlags::RWMODE;
        let direct = reopen(&file, mode == OFlags::RDWR)?;
        let length = file.metadata()?.len();
        // Best effort. A folio that reaches from the data into what lies behind it would be in the way of both.
        let _ = fadvise(&file, 0, std::num::NonZeroU64::new(length), Advice::DontNeed);
        Ok(Self { buffered: BufferedFile::new(file), direct, transfers: Transfers::new() })
    }

    /// Gives the open file that the direct requests go through its half of `lock`, which must be one on the
    /// same file: from here on it is held until the last request is complete.
    ///
    /// # Errors
    /// [`LockError`]; the file must not be written to through this store then.
    pub fn hold_lock(&self, lock: &FileLock) -> Result<(), LockError> {
        lock.cover_requests_of(&self.direct)
    }

    /// Whether large requests go through `io_uring`.
    #[must_use]
    pub fn uses_io_uring(&self) -> bool {
        self.transfers.use_io_uring()
    }
}

/// Asks the file system, where it can answer (Linux 6.1).
fn check_alignment(file: &File) -> Result<(), DirectError> {
    let Ok(answer) = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else { return Ok(()) };
    if answer.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Ok(());
    }
    let alignment_bytes = answer.stx_dio_mem_align.max(answer.stx_dio_offset_align);
    match alignment_bytes {
        0 => Err(DirectError::Unsupported),
        fitting if DIRECT_ALIGNMENT.is_multiple_of(fitting as usize) => Ok(()),
        _ => Err(DirectError::Alignment { alignment_bytes }),
    }
}

/// Some file systems let a file be opened and then refuse to read it. Read only, so that nobody who watches for writers is told of
/// one when this is closed.
fn try_a_read(file: &File) -> Result<(), DirectError> {
    let reader = reopen(file, false)?;
    if file.metadata()?.len() < DIRECT_ALIGNMENT as u64 {
        return Ok(());
    }
    let mut room = vec![0; 2 * DIRECT_ALIGNMENT];
    let start = room.as_ptr().align_offset(DIRECT_ALIGNMENT).min(DIRECT_ALIGNMENT);
    reader.read_exact_at(&mut room[start..start + DIRECT_ALIGNMENT], 0).map_err(unsupported_or_other)
}

/// The same file behind a description of its own, found through `/proc` whatever its name has become.
fn reopen(file: &File, for_writing: bool) -> Result<File, DirectError> {
    OpenOptions::new()
        .read(true)
        .write(for_writing)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let what = "the way past the page cache leads through /proc, which is not there";
                DirectError::Io(io::Error::new(io::ErrorKind::NotFound, what))
            }
            _ => unsupported_or_other(error),
        })
}

fn unsupported_or_other(error: io::Error) -> DirectError {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => DirectError::Unsupported,
        _ => DirectError::Io(error),
    }
}

/// How many bytes of a request go the direct way.
fn direct_len(address: *const u8, len: usize, offset: u64) -> usize {
    let is_aligned =
        offset.is_multiple_of(DIRECT_ALIGNMENT as u64) && address.addr().is_multiple_of(DIRECT_ALIGNMENT);
    if is_aligned { len - len % DIRECT_ALIGNMENT } else { 0 }
}

impl Storage for DirectFile {
    fn len(&self) -> io::Result<u64> {
        self.buffered.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.buffered.set_len(len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.buffered.reserve(offset, len)
    }

    fn grow(&self, holes_from: u64, from: u64, to: u64) -> io::Result<()> {
        self.buffered.grow(holes_from, from, to)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        range_end(offset, buf.len() as u64)?;
        let direct = direct_len(buf.as_ptr(), buf.len(), offset);
        let (direct, rest) = buf.split_at_mut(direct);
        let rest_offset = offset + direct.len() as u64;
        self.transfers.read(&self.direct, direct, offset)?;
        if rest.is_empty() { Ok(()) } else { self.buffered.read_exact_at(rest, rest_offset) }
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        range_end(offset, buf.len() as u64)?;
        let (direct, rest) = buf.split_at(direct_len(buf.as_ptr(), buf.len(), offset));
        self.transfers.write(&self.direct, direct, offset)?;
        if rest.is_empty() {
            return Ok(());
        }
        self.buffered.write_all_at(rest, offset + direct.len() as u64)
    }

    // A flush of the device, whoever wrote; and of the parts that went through the cache.
    fn sync_data(&self) -> io::Result<()> {
        self.buffered.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.buffered.sync_all()
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.buffered.punch_hole(offset, len)
    }

    fn set_modified(&self, modified: (i64, u32)) -> io::Result<()> {
        self.buffered.set_modified(modified)
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        self.buffered.mount_instance()
    }

    fn writers(&self) -> io::Result<Option<Writers>> {
        self.buffered.writers()
    }

    fn requests_in_flight(&self) -> io::Result<bool> {
        self.buffered.requests_in_flight()
    }

    fn drain_requests(&self) -> io::Result<()> {
        self.buffered.drain_requests()
    }

    fn next_hole(&self, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
        self.buffered.next_hole(offset, end)
    }

    fn prefers_large_requests(&self) -> bool {
        true
    }
}
