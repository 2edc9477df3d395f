//! The 32 bytes that every key of this crate is made of.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Wiped when dropped, never shown by `Debug`. Boxed, so that moving a key leaves no copy behind.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// Takes the bytes and wipes the parameter; the caller wipes what it copied them from.
    pub(crate) fn from_bytes(mut bytes: [u8; N]) -> Self {
        let mut secret = Self::zeroed();
        secret.0.copy_from_slice(&bytes);
        bytes.zeroize();
        secret
    }

    pub(crate) fn bytes(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

/// Keeps a value's memory from being swapped out. Locking needs a system call, which this crate does not make.
pub trait MemoryLock {
    /// Locks the memory that the value itself takes, for as long as it lives; best effort.
    fn lock<T>(&self, value: &T);
}

impl<const N: usize> Secret<N> {
    pub(crate) fn lock_with(&self, lock: &impl MemoryLock) {
        lock.lock(&*self.0);
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{N} secret bytes]")
    }
}
