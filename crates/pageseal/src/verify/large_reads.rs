//! Batches of chunks that are each read in one request, the next one while the workers look at the one before, so that the disk
//! does not wait for them.

use std::thread::Scope;

use pageseal_format::TableEntry;

use super::Verifier;
use crate::ahead::Ahead;
use crate::error::OpenError;
use crate::job::Tile;

/// A batch in memory.
pub(super) struct Batch {
    pub(super) entries: Vec<TableEntry>,
    /// The chunks, from its beginning on.
    pub(super) tile: Tile,
    pub(super) len: usize,
}

/// Reads one batch ahead.
pub(super) struct LargeReads<'scope, 'env> {
    verifier: &'scope Verifier<'scope>,
    /// Chunks of a batch, but for the last one's.
    batch_chunks: u64,
    spare: Vec<Tile>,
    /// By its first chunk.
    ahead: Ahead<'scope, 'env, Result<Batch, OpenError>>,
}

impl<'scope, 'env> LargeReads<'scope, 'env> {
    /// Nothing is read yet.
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        verifier: &'scope Verifier<'scope>,
        batch_chunks: u64,
    ) -> Self {
        LargeReads { verifier, batch_chunks, spare: Vec::new(), ahead: Ahead::new(scope) }
    }

    /// The batch that begins with chunk `first`, read ahead or now; the one after it is being read when this returns, unless there was
    /// an error.
    pub(super) fn take(&mut self, first: u64) -> Result<Batch, OpenError> {
        let batch = match self.ahead.take(first) {
            Some(Ok(read)) => read,
            Some(Err(_)) => {
                let source = std::io::Error::other("the reading thread panicked");
                Err(OpenError::Io { path: self.verifier.path.into(), offset: 0, source })
            }
            None => self.verifier.read_batch(first, self.count_from(first), self.tile()),
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
        self.ahead.start(first, move || verifier.read_batch(first, count, tile));
    }

    fn count_from(&self, first: u64) -> u64 {
        self.batch_chunks.min(self.verifier.geometry.chunk_count().saturating_sub(first))
    }

    fn tile(&mut self) -> Tile {
        let len = self.batch_chunks * self.verifier.geometry.chunk_len_bytes();
        self.spare.pop().unwrap_or_else(|| Tile::new(len as usize))
    }
}
