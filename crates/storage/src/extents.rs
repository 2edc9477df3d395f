//! Asking a file system where a file has blocks, and whether it shares them with another one.

use std::{fs::File, io, mem::size_of, ops::Range, os::fd::AsRawFd};

/// `_IOWR('f', 11, struct fiemap)`, linux/fs.h.
const FS_IOC_FIEMAP: u32 = 0xC020_660B;
/// Has Btrfs wait for everything that is on its way into the file before it answers.
const FIEMAP_FLAG_SYNC: u32 = 0x1;
const FIEMAP_EXTENT_LAST: u32 = 0x1;
const FIEMAP_EXTENT_SHARED: u32 = 0x2000;
/// Not there yet, or never written to: `FIEMAP_EXTENT_UNKNOWN`, `_DELALLOC` and `_UNWRITTEN`.
const NOT_WRITTEN: u32 = 0x2 | 0x4 | 0x800;

const BATCH: usize = 256;
/// Behind so many extents the answer is "unknown": a badly fragmented file of many TiB must not keep
/// the caller waiting for what is a warning only.
const MAX_BATCHES: usize = 4096;

/// `struct fiemap_extent`, linux/fiemap.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// `struct fiemap` with room for the extents behind it.
#[repr(C)]
struct Request {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [Extent; BATCH],
}

const _: () = assert!(size_of::<Extent>() == 56);
const _: () = assert!(size_of::<Request>() == 32 + 56 * BATCH);

/// Whether any extent of the file is shared (reflink, snapshot, deduplication); `None` if the file
/// system does not say or the file has too many extents to look through.
pub(crate) fn any_shared(file: &File) -> Option<bool> {
    let mut start = 0;
    for _ in 0..MAX_BATCHES {
        let request = extents_from(file, start, 0).ok()?;
        let extents = request.extents.get(..request.mapped_extents as usize)?;
        if extents.iter().any(|extent| extent.flags & FIEMAP_EXTENT_SHARED != 0) {
            return Some(true);
        }
        let Some(last) = extents.last() else {
            return Some(false);
        };
        if last.flags & FIEMAP_EXTENT_LAST != 0 {
            return Some(false);
        }
        let next = last.logical.checked_add(last.length)?;
        // An answer that does not move on would be asked for ever.
        start = (next > start).then_some(next)?;
    }
    None
}

/// Returns when all that was on its way into the file, past the page cache too, has got there (Btrfs).
pub(crate) fn wait_for_ordered(file: &File) -> io::Result<()> {
    extents_from(file, 0, FIEMAP_FLAG_SYNC).map(drop)
}

/// The parts of a range that have no block, not even an unwritten one; `None` if the file system does not say.
pub(crate) fn gaps(file: &File, range: &Range<u64>) -> Option<Vec<Range<u64>>> {
    let mut gaps = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let request = extents_from(file, at, 0).ok()?;
        let extents = request.extents.get(..request.mapped_extents as usize)?;
        let asked_from = at;
        for extent in extents {
            let start = extent.logical.clamp(at, range.end);
            if start > at {
                gaps.push(at..start);
            }
            at = at.max(extent.logical.saturating_add(extent.length));
            if at >= range.end {
                return Some(gaps);
            }
        }
        let is_last = extents.last().is_none_or(|last| last.flags & FIEMAP_EXTENT_LAST != 0);
        if is_last || at == asked_from {
            gaps.push(at..range.end);
            break;
        }
    }
    Some(gaps)
}

/// Whether it is certain that the file has blocks for its first `len` bytes and all of them were written, so that
/// writing there once more changes nothing but content.
pub(crate) fn all_written(file: &File, len: u64) -> bool {
    let mut at = 0;
    while at < len {
        let Ok(request) = extents_from(file, at, 0) else { return false };
        let extents = request.extents.get(..request.mapped_extents as usize).unwrap_or_default();
        let asked_from = at;
        for extent in extents {
            if extent.logical > at || extent.flags & NOT_WRITTEN != 0 {
                return false;
            }
            at = at.max(extent.logical.saturating_add(extent.length));
        }
        if at == asked_from {
            return false;
        }
    }
    true
}

fn extents_from(file: &File, start: u64, flags: u32) -> io::Result<Box<Request>> {
    let mut request = Box::new(Request {
        start,
        length: u64::MAX - start,
        flags,
        mapped_extents: 0,
        extent_count: BATCH as u32,
        reserved: 0,
        extents: [Extent::default(); BATCH],
    });
    // SAFETY: the descriptor is open, being borrowed from `file`. The request has the layout of the
    // kernel's struct fiemap (sizes asserted above), is initialised and exclusively borrowed, and has
    // room for `extent_count` extents, beyond which the kernel does not write. Any bit pattern is
    // valid in its integer fields.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP as _, &raw mut *request) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(request),
    }
}
