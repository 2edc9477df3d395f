//! The memory of a shared mapping: brought in for writing, handed out as exclusive slices.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::{
    io::Errno,
    mm::{Advice, madvise},
    param::page_size,
};

use crate::{
    StorageError,
    exclusive_ranges::{ExclusiveRanges, RangeGuard},
    sigbus::registry::{self, Registration},
};

/// Set once the kernel said that it does not know `MADV_POPULATE_WRITE` (before Linux 5.14).
static POPULATE_IS_UNKNOWN: AtomicBool = AtomicBool::new(false);

/// A `MAP_SHARED` mapping of the first bytes of a file, readable and writable.
#[derive(Debug)]
pub(crate) struct MappedMemory {
    // Dropped before the mapping, so that the handler never meets an address that was given back.
    registration: Registration,
    raw: MmapRaw,
    ranges: ExclusiveRanges,
}

impl MappedMemory {
    /// Maps `len` bytes from offset 0; `len` is not 0.
    pub(crate) fn new(file: &File, len: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(len).map_raw(file)?;
        let start = raw.as_ptr().addr();
        let registration = Registration::new(start, start + len)
            .ok_or(StorageError::TooManyMappings { limit: registry::LIMIT })?;
        Ok(Self { registration, raw, ranges: ExclusiveRanges::default() })
    }

    /// Length in bytes, not rounded to pages.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether the SIGBUS handler replaced a part of this mapping.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.registration.is_poisoned()
    }

    /// Takes a range that is not empty for exclusive use; `None` if it leaves the mapping or a part of
    /// it is in use.
    pub(crate) fn take(&self, start: usize, len: usize) -> Option<RangeGuard<'_>> {
        let end = start.checked_add(len).filter(|end| *end <= self.len())?;
        self.ranges.take(start, end)
    }

    /// The bytes of a range taken from this mapping.
    ///
    /// # Panics
    /// If the guard was taken from another mapping.
    pub(crate) fn slice<'a>(&'a self, guard: &'a mut RangeGuard<'_>) -> &'a mut [u8] {
        assert!(guard.belongs_to(&self.ranges), "a guard of this mapping");
        // SAFETY: `take` let only ranges inside the mapping through, so start is within it.
        let start = unsafe { self.raw.as_mut_ptr().add(guard.start()) };
        // SAFETY: `[start, start + len)` is inside the mapping (see above), which is readable and
        // writable and lives as long as `self`, so as long as 'a; every byte is a valid u8. No other
        // reference to these bytes exists in this process: references are made here only, from a guard
        // borrowed mutably for 'a, and `ExclusiveRanges` gives out disjoint guards. That other
        // processes keep off is what lock and lease are for; if they do not, the bytes change under
        // the slice as they would under any mapping. The SIGBUS handler may replace the pages behind
        // the slice; the memory stays mapped, readable and writable.
        unsafe { std::slice::from_raw_parts_mut(start, guard.len()) }
    }

    /// Takes the whole pages of `[start, start + len)` out of the page tables. Best effort; nothing but time depends on it.
    pub(crate) fn release(&self, start: usize, len: usize) {
        let page = page_size();
        let Some(end) = start.checked_add(len).filter(|end| *end <= self.len()) else { return };
        let (first, end) = (start.next_multiple_of(page), end / page * page);
        if first >= end {
            return;
        }
        // Pages in use stay: one that the SIGBUS handler put in place of a lost one is private, and a slice over it would change.
        let Some(_guard) = self.take(first, end - first) else { return };
        // SAFETY: `[first, end)` lies in the mapping, which was checked above.
        let address = unsafe { self.raw.as_mut_ptr().add(first) };
        // SAFETY: the mapping is shared, so the pages stay in the page cache as they are, dirty ones as dirty ones, and the next
        // touch of the range finds the same bytes there. Nobody holds a slice of it, as the guard shows.
        let _ = unsafe { madvise(address.cast(), end - first, Advice::LinuxDontNeed) };
    }

    /// Brings the pages of `[start, start + len)` in for writing, so that the first touch neither
    /// faults twice nor raises SIGBUS. Does nothing where the kernel has no such call.
    ///
    /// # Errors
    /// `EFAULT` where touching a page would have raised SIGBUS, `EHWPOISON`, `ENOMEM`;
    /// `EINVAL` if the range is not inside the mapping.
    pub(crate) fn populate(&self, start: usize, len: usize) -> io::Result<()> {
        if POPULATE_IS_UNKNOWN.load(Ordering::Relaxed) || len == 0 {
            return Ok(());
        }
        let end = start.checked_add(len).filter(|end| *end <= self.len()).ok_or(Errno::INVAL)?;
        let page = page_size();
        let first = start / page * page;
        let whole = end.next_multiple_of(page) - first;
        loop {
            // SAFETY: the range was checked to lie in the mapping, so `first` does, too.
            let address = unsafe { self.raw.as_mut_ptr().add(first) };
            // SAFETY: the pages touched are all pages of this mapping, which the kernel rounds up to
            // whole pages. The advice changes no content; it does what a store of the same bytes
            // would do to the page tables.
            match unsafe { madvise(address.cast(), whole, Advice::LinuxPopulateWrite) } {
                Ok(()) => return Ok(()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::INVAL) => {
                    POPULATE_IS_UNKNOWN.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
