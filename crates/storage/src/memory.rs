//! A storage without a file, for tests.

use std::{
    io,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use rustix::io::Errno;

use crate::{Storage, storage::range_end};

/// Bytes in memory that behave as a file does: writes behind the end grow it, gaps are zeros. Nothing
/// is ever durable.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    bytes: RwLock<Vec<u8>>,
}

impl MemoryStorage {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of the whole content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.read().clone()
    }

    // A panic of another thread inside a plain copy leaves no half-made state worth refusing for.
    fn read(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.bytes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<u8>> {
        self.bytes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<u8>> for MemoryStorage {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: RwLock::new(bytes) }
    }
}

/// Memory is what this storage's disk is made of, so having too little of it is `ENOSPC`.
fn grow(bytes: &mut Vec<u8>, length: u64) -> io::Result<()> {
    let length = usize::try_from(length).map_err(|_| Errno::NOSPC)?;
    if length > bytes.len() {
        bytes.try_reserve(length - bytes.len()).map_err(|_| Errno::NOSPC)?;
        bytes.resize(length, 0);
    }
    Ok(())
}

impl Storage for MemoryStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.read().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        range_end(len, 0)?;
        let mut bytes = self.write();
        grow(&mut bytes, len)?;
        bytes.truncate(usize::try_from(len).map_err(|_| Errno::NOSPC)?);
        Ok(())
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = range_end(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        grow(&mut self.write(), end)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = range_end(offset, buf.len() as u64)?;
        if buf.is_empty() {
            return Ok(());
        }
        let bytes = self.read();
        if end > bytes.len() as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Both are within the vector's length, so they fit.
        buf.copy_from_slice(&bytes[offset as usize..end as usize]);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let end = range_end(offset, buf.len() as u64)?;
        if buf.is_empty() {
            return Ok(());
        }
        let mut bytes = self.write();
        grow(&mut bytes, end)?;
        bytes[offset as usize..end as usize].copy_from_slice(buf);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = range_end(offset, len)?;
        let mut bytes = self.write();
        let length = bytes.len() as u64;
        let (from, to) = (offset.min(length) as usize, end.min(length) as usize);
        bytes[from..to].fill(0);
        Ok(())
    }
}
