//! Large direct transfers in pieces that are in flight together: a disk is busy only while it has several requests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ring::{Failure, Ring, Task};

/// Bytes of a piece. Larger ones are split by the block layer, smaller ones cost more requests.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// Threads of one transfer where there is no `io_uring`.
const THREADS: usize = 8;

/// The ways of the system to have several requests in flight, found out once.
#[derive(Debug)]
pub(crate) struct Transfers {
    /// Rings that nobody uses at the moment; `None` where the system gives none.
    rings: Option<Mutex<Vec<Ring>>>,
    /// Whether a ring was had and then took no requests.
    refused: AtomicBool,
}

impl Transfers {
    /// By `io_uring` if a ring can be had. It may be compiled out, switched off, or blocked by a filter of system calls.
    pub(crate) fn new() -> Self {
        Self { rings: Ring::new().ok().map(|ring| Mutex::new(vec![ring])), refused: AtomicBool::new(false) }
    }

    /// By threads, whatever the system has.
    #[cfg(test)]
    pub(crate) fn by_threads() -> Self {
        Self { rings: None, refused: AtomicBool::new(false) }
    }

    pub(crate) fn use_io_uring(&self) -> bool {
        self.rings.is_some() && !self.refused.load(Ordering::Relaxed)
    }

    /// Fills `buf` from `offset` on. Address, length and offset must suit the file's descriptor.
    pub(crate) fn read(&self, file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if buf.len() <= PIECE_BYTES {
            return file.read_exact_at(buf, offset);
        }
        if let Some(done) = self.by_ring(|ring| ring.run(file, Task::Read(buf), offset)) {
            return done;
        }
        let pieces = buf.chunks_mut(PIECE_BYTES).zip((offset..).step_by(PIECE_BYTES));
        by_threads(pieces.collect(), |(piece, offset)| file.read_exact_at(piece, offset))
    }

    /// Writes all of `buf` at `offset`.
    pub(crate) fn write(&self, file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
        if buf.len() <= PIECE_BYTES {
            return file.write_all_at(buf, offset);
        }
        if let Some(done) = self.by_ring(|ring| ring.run(file, Task::Write(buf), offset)) {
            return done;
        }
        let pieces = buf.chunks(PIECE_BYTES).zip((offset..).step_by(PIECE_BYTES));
        by_threads(pieces.collect(), |(piece, offset)| file.write_all_at(piece, offset))
    }

    /// `None` if there is no ring, or it takes no requests. Then all of the transfer is for threads to do: what the ring did of it is
    /// done twice, with the same bytes at the same place.
    fn by_ring(&self, run: impl FnOnce(&mut Ring) -> Result<(), Failure>) -> Option<io::Result<()>> {
        let mut ring = self.take_ring()?;
        // A ring that failed may hold requests that were never submitted, so it is not used again.
        match run(&mut ring) {
            Ok(()) => {
                if let Some(Ok(mut rings)) = self.rings.as_ref().map(Mutex::lock) {
                    rings.push(ring);
                }
                Some(Ok(()))
            }
            Err(Failure::Request(error)) => Some(Err(error)),
            Err(Failure::Refused) => {
                self.refused.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// A ring that nobody else uses. If no further one can be had (a limit on descriptors or locked memory), threads do it.
    fn take_ring(&self) -> Option<Ring> {
        if !self.use_io_uring() {
            return None;
        }
        let idle = self.rings.as_ref()?.lock().ok().and_then(|mut rings| rings.pop());
        idle.or_else(|| Ring::new().ok())
    }
}

/// Runs all pieces, in order of their place in the file, and returns the first failure.
fn by_threads<P: Send>(pieces: Vec<P>, run: impl Fn(P) -> io::Result<()> + Sync) -> io::Result<()> {
    let threads = THREADS.min(pieces.len());
    let left = Mutex::new(pieces.into_iter());
    let work = || -> io::Result<()> {
        loop {
            let next = left.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
            match next {
                Some(piece) => run(piece)?,
                None => return Ok(()),
            }
        }
    };
    std::thread::scope(|scope| {
        // Where the system has no thread to give, there is one less; this one works in any case.
        let others: Vec<_> =
            (1..threads).filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mine = work();
        let theirs = others.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of a transfer panicked")))
        });
        theirs.fold(mine, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces and a rest, and both ways of having them in flight. No direct I/O, which is the caller's business.
    #[test]
    fn rings_and_threads_transfer_the_same_bytes() {
        let len = 9 * PIECE_BYTES + 5;
        let content: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
        for transfers in [Transfers::new(), Transfers::by_threads()] {
            let file = tempfile::tempfile().unwrap();
            transfers.write(&file, &content, 3).unwrap();
            let mut read = vec![0; len];
            transfers.read(&file, &mut read, 3).unwrap();
            assert!(read == content, "io_uring: {}", transfers.use_io_uring());
            let error = transfers.read(&file, &mut read, 4).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "io_uring: {}", transfers.use_io_uring());
        }
    }

    #[test]
    fn a_failure_of_either_is_an_error() {
        let read_only = File::open("/proc/self/exe").unwrap();
        for transfers in [Transfers::new(), Transfers::by_threads()] {
            let error = transfers.write(&read_only, &vec![0; 20 * PIECE_BYTES], 0).unwrap_err();
            assert!(error.raw_os_error().is_some(), "{error:?}");
            // And it can be used again.
            let mut read = vec![0; 4 * PIECE_BYTES];
            let size = read_only.metadata().unwrap().len() as usize;
            if size > read.len() {
                transfers.read(&read_only, &mut read, 0).unwrap();
            }
        }
    }
}
