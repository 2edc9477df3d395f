//! Batches of chunks that are each read in one request, the next one while the workers look at the one before, so that the disk
//! does not wait for them.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use pageseal_format::TableEntry;

use super::Verifier;
use crate::error::OpenError;
use crate::job::Tile;

/// Bytes of a request.
pub(super) const LARGE_READ_BYTES: u64 = 16 << 20;

/// A batch in memory.
pub(super) struct Batch {
    pub(super) entries: Vec<TableEntry>,
    /// The chunks, from its beginning on.
    pub(super) tile: Tile,
    pub(super) len: usize,
}

/// Reads one batch ahead.
pub(super) struct LargeReads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    verifier: &'scope Verifier<'scope>,
    /// Chunks of a batch, but for the last one's.
    batch_chunks: u64,
    spare: Vec<Tile>,
    under_way: Option<(u64, ScopedJoinHandle<'scope, Result<Batch, OpenError>>)>,
}

impl<'scope, 'env> LargeReads<'scope, 'env> {
    /// Nothing is read yet.
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        verifier: &'scope Verifier<'scope>,
        batch_chunks: u64,
    ) -> Self {
        LargeReads { scope, verifier, batch_chunks, spare: Vec::new(), under_way: None }
    }

    /// The batch that begins with chunk `first`, read ahead or now; the one after it is being read when this returns, unless there was
    /// an error.
    pub(super) fn take(&mut self, first: u64) -> Result<Batch, OpenError> {
        let batch = match self.under_way.take() {
            Some((begun, thread)) if begun == first => thread.join().unwrap_or_else(|_| {
                let source = std::io::Error::other("the reading thread panicked");
                Err(OpenError::Io { path: self.verifier.path.into(), offset: 0, source })
            }),
            _ => self.verifier.read_batch(first, self.count_from(first), self.tile()),
        }?;
        self.start(first + self.batch_chunks);
        Ok(batch)
    }

    /// Takes back the memory of a batch.
    pub(super) fn give_back(&mut self, batch: Batch) {
        self.spare.push(batch.tile);
    }

    fn start(&mut self, first: u64) {
        let count = self.count_from(first);
        // Where the workers have no threads of their own, all has to come in an order that can be repeated.
        if count == 0 || self.verifier.workers.are_the_caller() {
            return;
        }
        let (verifier, tile) = (self.verifier, self.tile());
        let read = move || verifier.read_batch(first, count, tile);
        // Without a thread it is read when it is needed.
        if let Ok(thread) = Builder::new().name("pageseal-read".into()).spawn_scoped(self.scope, read) {
            self.under_way = Some((first, thread));
        }
    }

    fn count_from(&self, first: u64) -> u64 {
        self.batch_chunks.min(self.verifier.geometry.chunk_count().saturating_sub(first))
    }

    fn tile(&mut self) -> Tile {
        let len = self.batch_chunks * self.verifier.geometry.chunk_len_bytes();
        self.spare.pop().unwrap_or_else(|| Tile::new(len as usize))
    }
}

impl Drop for LargeReads<'_, '_> {
    fn drop(&mut self) {
        // After an error nobody asks for what is being read. Not joined, a panic in there would become one of the caller's.
        if let Some((_, thread)) = self.under_way.take() {
            let _ = thread.join();
        }
    }
}
