//! Space on disk: reserved before it is needed, given back when it is not.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use crate::storage::range_end;

/// Zeros are written in pieces of this size where nothing better exists.
const ZERO_STEP_BYTES: usize = 1 << 20;

/// See [`Storage::reserve`](crate::Storage::reserve).
pub(crate) fn reserve(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let end = range_end(offset, len)?;
    if len == 0 {
        return Ok(());
    }
    let metadata = file.metadata()?;
    let old_length = metadata.len();
    let growth = end.saturating_sub(old_length.max(offset));
    refuse_what_cannot_fit(file, growth, metadata.blocks().saturating_mul(512))?;
    let reserved = allocate_then_grow(file, offset, len, old_length).or_else(|error| {
        if is_unsupported(&error) { write_zeros(file, old_length.max(offset), end) } else { Err(error) }
    });
    if reserved.is_err() && old_length < end {
        take_growth_back(file, old_length, end);
    }
    reserved
}

/// A file system allocates until nothing is left before it reports `ENOSPC`, and for that moment every
/// other program fails as well. So a growth that is larger than all the free space, and all that the
/// file may have allocated behind its end already, is not even tried.
fn refuse_what_cannot_fit(file: &File, growth: u64, allocated: u64) -> io::Result<()> {
    let space = fstatvfs(file)?;
    let free = space.f_bfree.saturating_mul(space.f_frsize).saturating_add(allocated);
    // A tmpfs without a limit says that it has no blocks at all.
    if space.f_blocks > 0 && growth > free {
        return Err(Errno::NOSPC.into());
    }
    Ok(())
}

/// Allocates with the length kept first: ext4 leaves a file longer than it was when plain `fallocate`
/// runs out of space half-way, and a refused operation must not change the length.
fn allocate_then_grow(file: &File, offset: u64, len: u64, old_length: u64) -> io::Result<()> {
    match allocate(file, FallocateFlags::KEEP_SIZE, offset, len) {
        Err(error) if is_unsupported(&error) => {
            // NFS 4.2 knows only the plain mode.
            return allocate(file, FallocateFlags::empty(), offset, len);
        }
        other => other?,
    }
    if offset + len > old_length {
        allocate(file, FallocateFlags::empty(), offset, len)?;
    }
    Ok(())
}

/// Also frees what was allocated behind the end: `ftruncate` to the same length does so. A length
/// beyond `end` means that someone else appended, whose bytes must stay.
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

/// See [`Storage::is_hole`](crate::Storage::is_hole). Moves the file's own position, which nothing here uses.
pub(crate) fn is_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let end = range_end(offset, len)?;
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => Ok(data >= end),
        // No data up to the end of the file.
        Err(Errno::NXIO) => Ok(true),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
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
