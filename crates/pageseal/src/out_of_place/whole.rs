//! The pieces of a file whose length is known. The workers read them side by side; or take them from a large request, the next of which is
//! read meanwhile, where that is how the file is read fast.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;

use pageseal_storage::Storage;

use super::source::Piece;
use crate::ahead::{Ahead, LARGE_READ_BYTES};
use crate::job::Tile;

/// Where reading failed, and why.
pub(super) type ReadError = (u64, io::Error);

/// Hands out the pieces of a file, in the order of their places.
pub(super) struct WholePieces<'scope, 'env> {
    data: &'scope dyn Storage,
    len: u64,
    piece_len: usize,
    next: AtomicU64,
    /// `None` where each worker reads its pieces itself.
    batches: Option<Mutex<Batches<'scope, 'env>>>,
}

/// What large requests brought.
struct Batches<'scope, 'env> {
    /// The one that pieces are taken from.
    current: Option<Batch>,
    /// Whether a request failed, after which every worker reads its pieces itself: the error then says where, and what lies before
    /// it is still done.
    gave_up: bool,
    /// By its offset.
    ahead: Ahead<'scope, 'env, Result<Batch, ReadError>>,
}

struct Batch {
    offset: u64,
    tile: Tile,
}

impl<'scope, 'env> WholePieces<'scope, 'env> {
    /// The first `len` bytes of `data`, in pieces of `piece_len` bytes, but for the last one.
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        data: &'scope dyn Storage,
        len: u64,
        piece_len: usize,
    ) -> Self {
        let batches = || Mutex::new(Batches { current: None, gave_up: false, ahead: Ahead::new(scope) });
        let batches = data.prefers_large_requests().then(batches);
        WholePieces { data, len, piece_len, next: AtomicU64::new(0), batches }
    }

    /// Reads the next piece into the tile; `None` behind the last one. An empty file is one empty piece.
    pub(super) fn read(&self, tile: &mut Tile) -> Result<Option<Piece>, ReadError> {
        let Some(batches) = &self.batches else {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = self.piece(number) else { return Ok(None) };
            read(self.data, tile.slice(piece.len), piece.offset)?;
            return Ok(Some(piece));
        };
        // Pieces are numbered under the lock, so that nobody asks for one of a batch that is gone.
        let mut batches = batches.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(piece) = self.piece(number) else { return Ok(None) };
        if !batches.gave_up {
            if let Ok(batch) = self.batch_of(&mut batches, &piece) {
                let start = (piece.offset - batch.offset) as usize;
                tile.slice(piece.len).copy_from_slice(&batch.tile.slice(start + piece.len)[start..]);
                return Ok(Some(piece));
            }
            batches.gave_up = true;
        }
        drop(batches);
        read(self.data, tile.slice(piece.len), piece.offset)?;
        Ok(Some(piece))
    }

    /// The batch that holds the piece. If it is a new one, the one after it is being read when this returns.
    fn batch_of<'b>(
        &self,
        batches: &'b mut Batches<'scope, 'env>,
        piece: &Piece,
    ) -> Result<&'b mut Batch, ReadError> {
        let batch_len = (LARGE_READ_BYTES as usize / self.piece_len).max(1) * self.piece_len;
        let offset = piece.offset - piece.offset % batch_len as u64;
        let (data, len) = (self.data, self.len);
        let batch_at = move |offset: u64, mut tile: Tile| {
            read(data, tile.slice((len - offset).min(batch_len as u64) as usize), offset)?;
            Ok(Batch { offset, tile })
        };
        let batch = match batches.current.take() {
            Some(current) if current.offset == offset => current,
            other => {
                let spare = other.map(|batch| batch.tile);
                let batch = match batches.ahead.take(offset) {
                    Some(Ok(read)) => read?,
                    Some(Err(_)) => return Err((offset, io::Error::other("the reading thread panicked"))),
                    None => batch_at(offset, Tile::new(batch_len))?,
                };
                let next = offset + batch_len as u64;
                if next < len {
                    let tile = spare.unwrap_or_else(|| Tile::new(batch_len));
                    batches.ahead.start(next, move || batch_at(next, tile));
                }
                batch
            }
        };
        Ok(batches.current.insert(batch))
    }

    fn piece(&self, number: u64) -> Option<Piece> {
        let offset = number.checked_mul(self.piece_len as u64)?;
        if offset >= self.len && number > 0 {
            return None;
        }
        let len = (self.len - offset).min(self.piece_len as u64);
        Some(Piece { number, offset, len: len as usize, is_last: offset + len == self.len })
    }
}

fn read(data: &dyn Storage, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
    data.read_exact_at(buffer, offset).map_err(|source| (offset, source))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use pageseal_storage::DirectFile;

    use super::*;

    const PIECE: usize = 512 << 10;

    /// A file past the page cache, and its content; `None` where the file system does not do that.
    fn direct_file(len: usize) -> Option<(DirectFile, Vec<u8>)> {
        // Beside the source, for the temporary folder may be in memory.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let bytes: Vec<u8> = (0..len).map(|at| (at / 4096 % 251) as u8 ^ at as u8).collect();
        file.write_all(&bytes).unwrap();
        match DirectFile::open(file) {
            Ok(direct) => Some((direct, bytes)),
            Err(error) => {
                println!("SKIPPED: {error}");
                None
            }
        }
    }

    #[test]
    fn large_requests_give_every_worker_the_bytes_of_its_piece() {
        for len in [0, 5, PIECE, LARGE_READ_BYTES as usize, 2 * LARGE_READ_BYTES as usize + PIECE + 4097] {
            let Some((direct, bytes)) = direct_file(len) else { return };
            assert!(direct.prefers_large_requests());
            let seen = Mutex::new(vec![0_u32; len.div_ceil(PIECE).max(1)]);
            std::thread::scope(|scope| {
                let pieces = WholePieces::new(scope, &direct, len as u64, PIECE);
                std::thread::scope(|workers| {
                    for _ in 0..3 {
                        workers.spawn(|| {
                            let mut tile = Tile::new(PIECE);
                            while let Some(piece) = pieces.read(&mut tile).unwrap() {
                                let range = piece.offset as usize..piece.offset as usize + piece.len;
                                assert_eq!(piece.is_last, range.end == len);
                                assert!(tile.slice(piece.len) == &bytes[range]);
                                seen.lock().unwrap()[piece.number as usize] += 1;
                            }
                        });
                    }
                });
            });
            assert!(seen.into_inner().unwrap().iter().all(|times| *times == 1), "{len} bytes");
        }
    }

    #[test]
    fn a_file_that_ends_early_says_where() {
        let batch = LARGE_READ_BYTES as usize;
        let Some((direct, _)) = direct_file(2 * batch) else { return };
        std::thread::scope(|scope| {
            let pieces = WholePieces::new(scope, &direct, 2 * batch as u64 + 1, PIECE);
            let mut tile = Tile::new(PIECE);
            for _ in 0..2 * batch / PIECE {
                assert!(pieces.read(&mut tile).unwrap().is_some());
            }
            let (offset, error) = pieces.read(&mut tile).unwrap_err();
            assert_eq!((offset, error.kind()), (2 * LARGE_READ_BYTES, io::ErrorKind::UnexpectedEof));
        });
    }
}
