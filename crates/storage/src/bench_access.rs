//! Ways to a file's bytes that only measurements take: mappings that fault at every first touch, and `O_DIRECT`.
//!
//! Jobs never use these: [`MappedFile`](crate::MappedFile) always brings pages in first, because that is
//! faster and turns SIGBUS into an error, and [`DirectFile`](crate::DirectFile) sends large requests in pieces, many at a time.
//! To *show* that, a measurement needs the other way too.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::{
    fs::{Advice as FileAdvice, fadvise},
    io::Errno,
    mm::{Advice, madvise},
    param::page_size,
};

use crate::{
    StorageError,
    mapped_memory::MappedMemory,
    sigbus::registry::{self, Registration},
};

/// What offset, length and memory of an `O_DIRECT` transfer are a multiple of here; enough for every disk.
pub const DIRECT_ALIGNMENT_BYTES: usize = 4096;

/// Set once the kernel said that it does not know `MADV_POPULATE_READ` or `MADV_POPULATE_WRITE` (before Linux 5.14).
static POPULATE_IS_UNKNOWN: AtomicBool = AtomicBool::new(false);

/// A shared, writable mapping of a file that belongs to the measurement alone, with no page brought in.
#[derive(Debug)]
pub struct UnpopulatedMapping {
    memory: MappedMemory,
}

impl UnpopulatedMapping {
    /// Maps the first `len_bytes` bytes of `file`, which has at least as many and is open for both.
    ///
    /// # Errors
    /// Those of `mmap`; `EINVAL` for 0 bytes; [`StorageError::FileShorterThanMapping`],
    /// [`StorageError::TooManyMappings`].
    pub fn new(file: &File, len_bytes: u64) -> io::Result<Self> {
        Ok(Self { memory: MappedMemory::new(file, mappable(file, len_bytes)?)? })
    }

    /// Runs `work` once over all of the file's own bytes. Each page is a fault at its first touch, unless
    /// [`populate_for_writing`] brings it in before.
    ///
    /// A full disk under a hole is SIGBUS here, so the space must be reserved.
    ///
    /// # Errors
    /// [`StorageError::RangeInUse`] while it runs already; [`StorageError::PoisonedMapping`] if a fault was
    /// survived meanwhile (see [`crate::sigbus`]).
    pub fn with_all(&self, work: &mut dyn FnMut(&mut [u8])) -> io::Result<()> {
        let length = self.memory.len() as u64;
        let taken = self.memory.take(0, self.memory.len());
        let mut guard = taken.ok_or(StorageError::RangeInUse { offset: 0, length })?;
        work(self.memory.slice(&mut guard));
        if self.memory.is_poisoned() { Err(StorageError::PoisonedMapping.into()) } else { Ok(()) }
    }
}

/// Brings the pages of `bytes` in for writing (`MADV_POPULATE_WRITE`). No content changes, whatever memory it is. Does nothing where the
/// kernel has no such call.
///
/// # Errors
/// `EFAULT` where a touch would have raised SIGBUS, `ENOMEM`.
pub fn populate_for_writing(bytes: &mut [u8]) -> io::Result<()> {
    let page = page_size();
    let in_page = bytes.as_ptr().addr() % page;
    let whole = (in_page + bytes.len()).next_multiple_of(page);
    let first = bytes.as_mut_ptr().wrapping_sub(in_page);
    loop {
        if POPULATE_IS_UNKNOWN.load(Ordering::Relaxed) || bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: each page of the range holds a byte of `bytes`, so all of them are mapped and, `bytes` being
        // borrowed mutably, writable. The advice changes no content; it does to the page tables what a store
        // of the same bytes would do. `first` is only an address here and is never read through.
        match unsafe { madvise(first.cast(), whole, Advice::LinuxPopulateWrite) } {
            Ok(()) => return Ok(()),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::INVAL) => POPULATE_IS_UNKNOWN.store(true, Ordering::Relaxed),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A shared mapping of somebody's file that is only read, and of which no reference ever leaves.
#[derive(Debug)]
pub struct ReadMapping {
    // Dropped before the mapping, so that the SIGBUS handler never meets an address that was given back.
    registration: Registration,
    raw: MmapRaw,
}

impl ReadMapping {
    /// Maps the first `len_bytes` bytes of `file`, which may be open for reading only.
    ///
    /// # Errors
    /// As [`UnpopulatedMapping::new`].
    pub fn new(file: &File, len_bytes: u64) -> io::Result<Self> {
        let raw = MmapOptions::new().len(mappable(file, len_bytes)?).map_raw_read_only(file)?;
        let start = raw.as_ptr().addr();
        let registration = Registration::new(start, start + raw.len())
            .ok_or(StorageError::TooManyMappings { limit: registry::LIMIT })?;
        Ok(Self { registration, raw })
    }

    /// Brings the pages of a range in for reading (`MADV_POPULATE_READ`). Does nothing where the kernel has no such call.
    ///
    /// # Errors
    /// `EINVAL` outside of the mapping, `EFAULT` where a touch would have raised SIGBUS.
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        let end = self.end_of(offset, len)?;
        let first = offset / page_size() * page_size();
        loop {
            if POPULATE_IS_UNKNOWN.load(Ordering::Relaxed) || len == 0 {
                return Ok(());
            }
            // SAFETY: `first` is at most `offset`, which `end_of` found inside the mapping.
            let address = unsafe { self.raw.as_mut_ptr().add(first) };
            // SAFETY: all pages from `first` to `end` are pages of this mapping, which lives as long as `self`.
            // The advice changes no content, as a load of the same bytes would not.
            match unsafe { madvise(address.cast(), end - first, Advice::LinuxPopulateRead) } {
                Ok(()) => return Ok(()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::INVAL) => POPULATE_IS_UNKNOWN.store(true, Ordering::Relaxed),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Reads every byte of a range in the mapping, eight at a time, and returns the XOR of the words.
    /// Bytes behind the last whole word are read, too.
    ///
    /// Another process may write to the file meanwhile; then the result is that of any mix. **If it cuts the
    /// file, SIGBUS kills this process unless [`sigbus::install_handler`](crate::sigbus::install_handler)
    /// was called.**
    ///
    /// # Errors
    /// `EINVAL` outside of the mapping; [`StorageError::PoisonedMapping`] if a fault was survived.
    pub fn fold(&self, offset: usize, len: usize) -> io::Result<u64> {
        self.end_of(offset, len)?;
        // SAFETY: `end_of` found the range inside the mapping, so its start is within it.
        let start = unsafe { self.raw.as_ptr().add(offset) };
        // SAFETY: the range is inside the mapping, which is readable and lives as long as `self`; the SIGBUS handler
        // may replace its pages, and they stay readable.
        let folded = unsafe { fold_volatile(start, len) };
        if self.registration.is_poisoned() { Err(StorageError::PoisonedMapping.into()) } else { Ok(folded) }
    }

    fn end_of(&self, offset: usize, len: usize) -> io::Result<usize> {
        let end = offset.checked_add(len).filter(|end| *end <= self.raw.len());
        end.ok_or_else(|| Errno::INVAL.into())
    }
}

/// The XOR of all words of `[start, start + len)`. Volatile, because others may write there.
///
/// # Safety
/// The range must be readable and stay so.
unsafe fn fold_volatile(start: *const u8, len: usize) -> u64 {
    const WORD: usize = size_of::<u64>();
    const LANES: usize = 8;
    let mut lanes = [0_u64; LANES];
    let mut at = 0;
    while len - at >= LANES * WORD {
        for (lane, folded) in lanes.iter_mut().enumerate() {
            // SAFETY: `at + lane * WORD + WORD` is at most `len`, so the pointer stays in the range.
            let word = unsafe { start.add(at + lane * WORD) }.cast::<[u8; WORD]>();
            // SAFETY: the eight bytes are inside the readable range, and an array of bytes has no alignment.
            *folded ^= u64::from_le_bytes(unsafe { word.read_volatile() });
        }
        at += LANES * WORD;
    }
    let mut folded = lanes.iter().fold(0, |all, lane| all ^ lane);
    while at < len {
        // SAFETY: `at` is less than `len`, so the pointer stays in the range.
        let byte = unsafe { start.add(at) };
        // SAFETY: as above; one byte of the readable range.
        folded ^= u64::from(unsafe { byte.read_volatile() });
        at += 1;
    }
    folded
}

/// The length as a size of memory, if the file has that many bytes and there is at least one.
fn mappable(file: &File, len_bytes: u64) -> io::Result<usize> {
    let file_length = file.metadata()?.len();
    if len_bytes > file_length {
        return Err(StorageError::FileShorterThanMapping { wanted: len_bytes, file_length }.into());
    }
    if len_bytes == 0 {
        return Err(Errno::INVAL.into());
    }
    Ok(usize::try_from(len_bytes).map_err(|_| Errno::NOMEM)?)
}

/// Asks the kernel to forget the cached pages of a file. Dirty and mapped ones stay, so sync and unmap first.
///
/// # Errors
/// Those of `posix_fadvise`.
pub fn evict_from_cache(file: &File) -> io::Result<()> {
    Ok(fadvise(file, 0, None, FileAdvice::DontNeed)?)
}

/// Memory that begins on a multiple of [`DIRECT_ALIGNMENT_BYTES`]; all of it has been touched.
#[derive(Debug)]
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    /// Takes `len` bytes of memory.
    #[must_use]
    pub fn new(len: usize) -> Self {
        // Not zero, for which the kernel would give memory that is not there yet.
        let bytes = vec![0xA5; len + DIRECT_ALIGNMENT_BYTES];
        let start = bytes.as_ptr().addr().wrapping_neg() % DIRECT_ALIGNMENT_BYTES;
        Self { bytes, start, len }
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}
