//! Space on disk: reserved before it is needed, given back when it is not.

use std::{
    fs::File,
    io::{self, IoSlice},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
};

use rustix::{
    fs::{FallocateFlags, SeekFrom, fallocate, fstatvfs, seek},
    io::{Errno, ReadWriteFlags, pwritev2},
};

use crate::{StorageError, extents, storage::range_end};

/// Zeros are written in pieces of this size.
const ZERO_STEP_BYTES: usize = 1 << 20;
/// So many of them in one call; a system takes 1024.
const MOST_PIECES: usize = 256;

/// Holes that are kept in mind, to be made again after a failure: 32 MiB of memory.
const MOST_HOLES: usize = 1 << 21;

/// How a file gets longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// By space that is reserved and not written.
    Reserved,
    /// By zeros that are written.
    Written,
    /// By zeros that are appended, if nobody else has made it longer than `from` before.
    Appended { from: u64 },
}

impl Growth {
    /// Whether nobody else is expected to make the file longer meanwhile.
    fn is_ours_alone(self) -> bool {
        !matches!(self, Growth::Appended { .. })
    }
}

/// See [`Storage::reserve`](crate::Storage::reserve) and [`Storage::grow`](crate::Storage::grow).
pub(crate) fn reserve(file: &File, offset: u64, len: u64, growth: Growth) -> io::Result<()> {
    let end = range_end(offset, len)?;
    if len == 0 {
        return Ok(());
    }
    let metadata = file.metadata()?;
    let old_length = metadata.len();
    if let Growth::Appended { from } = growth
        && from != old_length
    {
        return Err(StorageError::Appended { expected: from, found: old_length }.into());
    }
    let growth_len = end.saturating_sub(old_length.max(offset));
    let holes = unallocated(file, offset, end.min(old_length))?;
    let in_holes: u64 = holes.iter().map(|hole| hole.end - hole.start).sum();
    let allocated = metadata.blocks().saturating_mul(512);
    let behind_end = match offset {
        0 => allocated.saturating_sub(old_length - in_holes),
        _ => allocated,
    };
    refuse_what_cannot_fit(file, growth_len.saturating_add(in_holes), behind_end)?;
    let fill = |hole: &Range<u64>| match allocate_in_one_of(file, hole) {
        // Promised nothing.
        Err(error) if is_unsupported(&error) => Ok(()),
        filled => filled,
    };
    let grow_from = old_length.max(offset);
    let reserved = holes.iter().try_for_each(fill).and_then(|()| match growth_len {
        0 => Ok(()),
        _ => grow(file, grow_from, end, growth),
    });
    if reserved.is_err() {
        if old_length < end {
            take_growth_back(file, old_length, if growth.is_ours_alone() { end } else { old_length });
        }
        holes.iter().for_each(|hole| empty_again(file, hole));
    }
    reserved
}

fn grow(file: &File, from: u64, end: u64, growth: Growth) -> io::Result<()> {
    let range = from..end;
    match growth {
        Growth::Reserved | Growth::Written => match allocate_then_grow(file, &range) {
            Ok(()) if growth == Growth::Written => write_zeros(file, from, end),
            Err(error) if is_unsupported(&error) => write_zeros(file, from, end),
            reserved => reserved,
        },
        // Never by the plain mode, which makes the file longer: then nobody could tell who did. What is written has its space.
        Growth::Appended { .. } => match allocate(file, FallocateFlags::KEEP_SIZE, from, end - from) {
            Err(error) if !is_unsupported(&error) => Err(error),
            _ => append_zeros(file, from, end),
        },
    }
}

/// The ranges that have no block, where the file system tells; else those that read as holes, which may be reserved already.
fn unallocated(file: &File, offset: u64, end: u64) -> io::Result<Vec<Range<u64>>> {
    let mut holes = Vec::new();
    let mut at = offset;
    while at < end {
        let Some(hole) = next_hole(file, at, end)? else { break };
        at = hole.end;
        let gaps = extents::gaps(file, &hole).unwrap_or_else(|| vec![hole]);
        holes.extend(gaps);
        if holes.len() > MOST_HOLES {
            return Err(io::Error::other(format!("it has more than {MOST_HOLES} holes")));
        }
    }
    Ok(holes)
}

/// Gives the space of what was a hole back, but for what somebody has written there meanwhile.
fn empty_again(file: &File, hole: &Range<u64>) {
    // A page in the cache makes a reserved block look like data. One that was written to stays.
    crate::write_back::forget(file, hole.start, hole.end - hole.start);
    let mut at = hole.start;
    while let Ok(Some(empty)) = next_hole(file, at, hole.end) {
        // The failure of the reservation is what the caller has to hear about.
        let _ = punch_hole(file, empty.start, empty.end - empty.start);
        at = empty.end;
    }
}

/// A file system allocates until nothing is left before it reports `ENOSPC`, and for that moment every
/// other program fails as well. So what is larger than all the free space, and all that the
/// file may have allocated behind its end already, is not even tried.
fn refuse_what_cannot_fit(file: &File, needed: u64, allocated: u64) -> io::Result<()> {
    let space = fstatvfs(file)?;
    let free = space.f_bfree.saturating_mul(space.f_frsize).saturating_add(allocated);
    // A tmpfs without a limit says that it has no blocks at all.
    if space.f_blocks > 0 && needed > free {
        return Err(Errno::NOSPC.into());
    }
    Ok(())
}

/// NFS 4.2 knows only the plain mode.
fn allocate_in_one_of(file: &File, range: &Range<u64>) -> io::Result<()> {
    let len = range.end - range.start;
    match allocate(file, FallocateFlags::KEEP_SIZE, range.start, len) {
        Err(error) if is_unsupported(&error) => allocate(file, FallocateFlags::empty(), range.start, len),
        other => other,
    }
}

/// Allocates with the length kept first: ext4 leaves a file longer than it was when plain `fallocate`
/// runs out of space half-way, and a refused operation must not change the length.
fn allocate_then_grow(file: &File, range: &Range<u64>) -> io::Result<()> {
    allocate_in_one_of(file, range)?;
    allocate(file, FallocateFlags::empty(), range.start, range.end - range.start)
}

/// Grows by writes that go to the end of the file, wherever that is by then: the system looks it up and writes in one step, so
/// nobody's bytes are between. Who appended first is found by where such a write ended. Then what was written here is taken
/// back, which leaves the others' bytes at the end of what was there before.
fn append_zeros(file: &File, from: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_STEP_BYTES];
    let mut at = from;
    while at < end {
        let pieces: Vec<IoSlice<'_>> = (at..end)
            .step_by(ZERO_STEP_BYTES)
            .take(MOST_PIECES)
            .map(|start| IoSlice::new(&zeros[..(end - start).min(ZERO_STEP_BYTES as u64) as usize]))
            .collect();
        // With this offset the position of the file is set to the end of what was written.
        let written = match pwritev2(file, &pieces, u64::MAX, ReadWriteFlags::APPEND) {
            Ok(written) => written as u64,
            Err(Errno::INTR) => continue,
            // Before Linux 4.16, or a file system that cannot.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if file.metadata()?.len() == at => {
                return write_zeros(file, at, end);
            }
            Err(errno) => {
                if file.metadata()?.len() == at {
                    file.set_len(from)?;
                }
                return Err(errno.into());
            }
        };
        let now = seek(file, SeekFrom::Current(0))?;
        let foreign = now.saturating_sub(at + written);
        if foreign > 0 {
            if at == from && file.metadata()?.len() == now {
                file.set_len(from + foreign)?;
            }
            return Err(StorageError::Appended { expected: from, found: file.metadata()?.len() }.into());
        }
        at = now;
    }
    Ok(())
}

/// Also frees what was allocated behind the end: `ftruncate` to the same length does so. A length that was not
/// made here means that someone else appended, whose bytes must stay.
fn take_growth_back(file: &File, old_length: u64, end: u64) {
    if file.metadata().is_ok_and(|now| (old_length..=end).contains(&now.len())) {
        // The failure of the reservation is what the caller has to hear about.
        let _ = file.set_len(old_length);
    }
}

fn write_zeros(file: &File, from: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_STEP_BYTES];
    let mut at = from;
    while at < end {
        let step = (end - at).min(ZERO_STEP_BYTES as u64) as usize;
        file.write_all_at(&zeros[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

/// See [`Storage::next_hole`](crate::Storage::next_hole). Moves the file's own position, which nothing here uses.
pub(crate) fn next_hole(file: &File, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
    range_end(offset, end.saturating_sub(offset))?;
    let start = match seek(file, SeekFrom::Hole(offset)) {
        Ok(start) => start,
        // Behind the end of the file, or a file system that knows no holes. `ENOENT` is what ext4 says of a file that
        // is just leaving its inode.
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // The end of the file counts as a hole.
    if start >= end || start >= file.metadata()?.len() {
        return Ok(None);
    }
    match seek(file, SeekFrom::Data(start)) {
        Ok(data) => Ok(Some(start..data.min(end))),
        // No data up to the end of the file.
        Err(Errno::NXIO) => Ok(Some(start..end.min(file.metadata()?.len()))),
        Err(error) => Err(error.into()),
    }
}

/// See [`Storage::punch_hole`](crate::Storage::punch_hole).
pub(crate) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    range_end(offset, len)?;
    if len == 0 {
        return Ok(());
    }
    allocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
}

/// `fallocate` gives up with EINTR when a signal comes, having done part of the work; doing it again
/// is harmless and goes on where it stopped.
pub(crate) fn allocate(file: &File, mode: FallocateFlags, offset: u64, len: u64) -> io::Result<()> {
    loop {
        match fallocate(file, mode, offset, len) {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    [Errno::OPNOTSUPP, Errno::NOSYS].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_go_behind_the_end_only() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"kept", 0).unwrap();
        write_zeros(&file, 4, 10 + ZERO_STEP_BYTES as u64).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10 + ZERO_STEP_BYTES as u64);
        let mut start = [1; 6];
        file.read_exact_at(&mut start, 0).unwrap();
        assert_eq!(&start, b"kept\0\0");
    }

    /// Whoever appends between the look at the length and the growth keeps his bytes, and nothing of ours stays.
    #[test]
    fn appended_bytes_stay_at_the_end() {
        for folder in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let Ok(file) = tempfile::tempfile_in(folder) else { continue };
            file.write_all_at(b"theirs", 0).unwrap();
            file.write_all_at(b" and more", 6).unwrap();
            let error = append_zeros(&file, 6, 6 + 3 * ZERO_STEP_BYTES as u64).unwrap_err();
            let found = StorageError::Appended { expected: 6, found: 15 };
            assert_eq!(StorageError::of(&error), Some(&found), "{folder}");
            let mut content = [0; 15];
            file.read_exact_at(&mut content, 0).unwrap();
            assert_eq!((&content, file.metadata().unwrap().len()), (b"theirs and more", 15));
            let error = reserve(&file, 6, 10_000, Growth::Appended { from: 6 }).unwrap_err();
            assert_eq!(StorageError::of(&error), Some(&found), "{folder}");
            let whole = 15 + 300 * ZERO_STEP_BYTES as u64 + 1;
            reserve(&file, 15, whole - 15, Growth::Appended { from: 15 }).unwrap();
            assert_eq!(file.metadata().unwrap().len(), whole);
            file.read_exact_at(&mut content, 0).unwrap();
            assert_eq!(&content, b"theirs and more");
        }
    }

    #[test]
    fn growth_is_taken_back_but_never_foreign_bytes() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        take_growth_back(&file, 60, 100);
        assert_eq!(file.metadata().unwrap().len(), 60);
        file.set_len(101).unwrap();
        take_growth_back(&file, 60, 100);
        assert_eq!(file.metadata().unwrap().len(), 101);
    }
}
