//! A file of which the first part is also memory.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use rustix::{
    fs::{FallocateFlags, fstatvfs},
    io::Errno,
    param::page_size,
};

use crate::{
    BufferedFile, MappedRange, MountInstance, Storage, StorageError, Writers, mapped_memory::MappedMemory,
    ordered_store::store_in_order, space, storage::range_end,
};

/// How much is brought in by one call: large enough to make the call's cost vanish, small enough that
/// a signal or an error is noticed soon. For speed hand out ranges of about this size: the pages are
/// then still in the cache when they are touched.
pub const POPULATE_STEP_BYTES: usize = 2 << 20;

/// A file whose first bytes are mapped (`MAP_SHARED`) and whose other bytes are read and written as
/// those of a [`BufferedFile`].
///
/// The methods of [`Storage`] go through `pread` and `pwrite` everywhere, which on Linux see the same
/// page cache as the mapping; [`MappedRange`] is the way to the memory itself. Once a fault was
/// survived (see [`crate::sigbus`]) the mapping refuses every further range.
#[derive(Debug)]
pub struct MappedFile {
    // Unmapped before the file is closed; `None` for 0 bytes, which cannot be mapped.
    memory: Option<MappedMemory>,
    file: BufferedFile,
}

impl MappedFile {
    /// Maps the first `mapped_len` bytes of `file`, which must be open for reading and writing. The
    /// length need not be a multiple of the page size. Nothing is read yet.
    ///
    /// # Errors
    /// [`StorageError::FileShorterThanMapping`], [`StorageError::TooManyMappings`]; those of `mmap`,
    /// among them `EACCES` for a file open for reading only and `ENODEV` for one that has no pages.
    pub fn new(file: File, mapped_len: u64) -> io::Result<Self> {
        let file_length = file.metadata()?.len();
        if mapped_len > file_length {
            let error = StorageError::FileShorterThanMapping { wanted: mapped_len, file_length };
            return Err(error.into());
        }
        let len = usize::try_from(mapped_len).map_err(|_| Errno::NOMEM)?;
        let memory = (len > 0).then(|| MappedMemory::new(&file, len)).transpose()?;
        Ok(Self { memory, file: BufferedFile::new(file) })
    }

    /// The file, for locks and attributes.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// Length of the mapping in bytes.
    #[must_use]
    pub fn mapped_len(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.len() as u64)
    }

    fn refuse_outside(&self, offset: u64, length: u64) -> io::Result<()> {
        let mapped = self.mapped_len();
        match offset.checked_add(length) {
            Some(end) if end <= mapped => Ok(()),
            _ => Err(StorageError::OutsideMapping { offset, length, mapped }.into()),
        }
    }

    fn with_exclusive(
        &self,
        offset: u64,
        len: usize,
        populate: bool,
        f: &mut dyn FnMut(&mut [u8]),
    ) -> io::Result<()> {
        let length = len as u64;
        self.refuse_outside(offset, length)?;
        let memory = match &self.memory {
            Some(memory) if len > 0 => memory,
            _ => {
                f(&mut []);
                return Ok(());
            }
        };
        if memory.is_poisoned() {
            return Err(StorageError::PoisonedMapping.into());
        }
        // Inside the mapping, whose length is a usize.
        let start = offset as usize;
        let mut guard = memory.take(start, len).ok_or(StorageError::RangeInUse { offset, length })?;
        let steps = if populate { len } else { 0 };
        for at in (0..steps).step_by(POPULATE_STEP_BYTES) {
            memory.populate(start + at, POPULATE_STEP_BYTES.min(len - at)).map_err(|error| {
                if error.raw_os_error() == Some(Errno::FAULT.raw_os_error()) {
                    self.explain_fault(offset, length)
                } else {
                    error
                }
            })?;
        }
        f(memory.slice(&mut guard));
        // The flag is set before the pages are replaced, so a range that ran over replaced pages sees
        // it here, whoever faulted.
        if memory.is_poisoned() {
            return Err(self.explain_fault(offset, length));
        }
        Ok(())
    }

    /// What a page that could not be had means: the mapping itself knows only that there was a fault.
    fn explain_fault(&self, offset: u64, length: u64) -> io::Error {
        match self.find_cause(offset, length) {
            Err(cause) => cause,
            Ok(()) => StorageError::LostMapping { offset, length }.into(),
        }
    }

    fn find_cause(&self, offset: u64, length: u64) -> io::Result<()> {
        let file_length = self.file.len()?;
        if file_length < offset + length {
            return Err(StorageError::TruncatedMapping { offset, length, file_length }.into());
        }
        // A byte of each page is enough to learn of EIO, and copies next to nothing of the content.
        for at in (offset..offset + length).step_by(page_size()) {
            self.file().read_exact_at(&mut [0], at)?;
        }
        // Under a hole of a full disk reading succeeds and storing does not.
        match space::allocate(self.file(), FallocateFlags::KEEP_SIZE, offset, length) {
            Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) => return Err(error),
            _ => {}
        }
        // Copy on write takes new space for each store, whatever is allocated.
        let left = fstatvfs(self.file())?;
        if left.f_bavail.saturating_mul(left.f_frsize) < length {
            return Err(Errno::NOSPC.into());
        }
        Ok(())
    }
}

impl MappedRange for MappedFile {
    fn with_range(&self, offset: u64, len: usize, f: &mut dyn FnMut(&mut [u8])) -> io::Result<()> {
        self.with_exclusive(offset, len, true, f)
    }

    fn bring_in(&self, offset: u64, len: usize) -> io::Result<()> {
        self.with_exclusive(offset, len, true, &mut |_| {})
    }

    fn with_range_again(&self, offset: u64, len: usize, f: &mut dyn FnMut(&mut [u8])) -> io::Result<()> {
        self.with_exclusive(offset, len, false, f)
    }

    fn replace(&self, offset: u64, new: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let mut may = false;
        self.with_exclusive(offset, new.len(), false, &mut |bytes| {
            may = check(bytes);
            if may {
                store_in_order(bytes, new);
            }
        })?;
        Ok(may)
    }

    fn copy_out(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.with_exclusive(offset, buf.len(), true, &mut |bytes| buf.copy_from_slice(bytes))
    }

    fn release(&self, offset: u64, len: usize) {
        if let (Some(memory), Ok(())) = (&self.memory, self.refuse_outside(offset, len as u64)) {
            memory.release(offset as usize, len);
        }
    }
}

impl Storage for MappedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mapped = self.mapped_len();
        if len < mapped {
            return Err(StorageError::CutsMapping { length: len, mapped }.into());
        }
        self.file.set_len(len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.reserve(offset, len)
    }

    fn grow(&self, holes_from: u64, from: u64, to: u64) -> io::Result<()> {
        self.file.grow(holes_from, from, to)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    // Linux writes back pages dirtied through a mapping on fsync of the file, as `msync` itself does.
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        range_end(offset, len)?;
        self.file.punch_hole(offset, len)
    }

    fn set_modified(&self, modified: (i64, u32)) -> io::Result<()> {
        self.file.set_modified(modified)
    }

    fn next_hole(&self, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
        self.file.next_hole(offset, end)
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        self.file.mount_instance()
    }

    fn writers(&self) -> io::Result<Option<Writers>> {
        self.file.writers()
    }

    fn as_mapped(&self) -> Option<&dyn MappedRange> {
        Some(self)
    }
}
