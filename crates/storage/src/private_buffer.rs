//! Private memory for large transfers.

use std::fmt;
use std::io;

use memmap2::{Advice, MmapMut, MmapOptions};

/// A huge page of x86-64, and of ARM with pages of 4 KiB, in bytes.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Memory of this process alone, all zero at first, page aligned, and on huge pages where it is large enough and the system has some.
///
/// The kernel pins and unpins the pages of every direct request, and a disk takes a limited number of separate pieces of memory in
/// one: a huge page is one of each where there were 512. It is a mapping of its own because memory that the allocator gives again
/// has its small pages already. Nothing is wiped when it goes: that is for those who know whether it held a secret.
pub struct PrivateBuffer {
    memory: MmapMut,
    start: usize,
    len: usize,
}

impl PrivateBuffer {
    /// `len` bytes. Their pages are there when they are first touched.
    ///
    /// # Errors
    /// `ENOMEM`, and others of `mmap`.
    pub fn new(len: usize) -> io::Result<Self> {
        let is_large = len >= HUGE_PAGE_BYTES;
        let room = if is_large { HUGE_PAGE_BYTES } else { 0 };
        let mapped_len = len.checked_add(room).ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = MmapOptions::new().len(mapped_len.max(1)).map_anon()?;
        if !is_large {
            return Ok(PrivateBuffer { memory, start: 0, len });
        }
        let start = memory.as_ptr().align_offset(HUGE_PAGE_BYTES).min(room);
        // A kernel without huge pages refuses the advice, and small ones do as well.
        let _ = memory.advise_range(Advice::HugePage, start, len);
        Ok(PrivateBuffer { memory, start, len })
    }

    /// All of it.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl fmt::Debug for PrivateBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::DIRECT_ALIGNMENT;

    #[test]
    fn it_is_aligned_zero_and_of_the_length_that_was_asked_for() {
        for len in [0, 1, 4096, 65537, HUGE_PAGE_BYTES - 1, HUGE_PAGE_BYTES, 3 * HUGE_PAGE_BYTES + 4097] {
            let mut buffer = PrivateBuffer::new(len).unwrap();
            let bytes = buffer.as_mut_slice();
            assert_eq!(bytes.len(), len);
            assert!(bytes.as_ptr().addr().is_multiple_of(DIRECT_ALIGNMENT), "{len}");
            assert!(len < HUGE_PAGE_BYTES || bytes.as_ptr().addr().is_multiple_of(HUGE_PAGE_BYTES), "{len}");
            assert!(bytes.iter().all(|byte| *byte == 0), "{len}");
            bytes.fill(0xA5);
            assert!(bytes.iter().all(|byte| *byte == 0xA5), "{len}");
        }
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4] {
            assert!(PrivateBuffer::new(len).is_err(), "{len}");
        }
    }

    /// `/proc/self/smaps` has a block of lines for each mapping, which begins with its addresses; `hg` says that the advice was taken.
    #[test]
    fn large_ones_ask_for_huge_pages_and_small_ones_do_not() {
        if !Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            println!("SKIPPED: the kernel has no transparent huge pages");
            return;
        }
        for (len, is_large) in [(HUGE_PAGE_BYTES / 2, false), (4 * HUGE_PAGE_BYTES, true)] {
            let mut buffer = PrivateBuffer::new(len).unwrap();
            buffer.as_mut_slice().fill(1);
            let first = buffer.as_mut_slice().as_ptr().addr();
            let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let mut holds_first = false;
            let mut flags = None;
            for line in smaps.lines() {
                let addresses = line.split(' ').next().and_then(|range| range.split_once('-'));
                let parsed = addresses.and_then(|(start, end)| {
                    let parse = |text| usize::from_str_radix(text, 16).ok();
                    Some(parse(start)?..parse(end)?)
                });
                if let Some(range) = parsed {
                    holds_first = range.contains(&first);
                } else if let (true, Some(found)) = (holds_first, line.strip_prefix("VmFlags:")) {
                    flags = Some(found);
                }
            }
            let advised = flags.unwrap().split_whitespace().any(|flag| flag == "hg");
            assert_eq!(advised, is_large, "{len} bytes: {flags:?}");
        }
    }
}
