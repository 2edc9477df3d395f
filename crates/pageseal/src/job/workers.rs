//! The pool of threads and their private tiles.

use std::alloc::{Layout, handle_alloc_error};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use pageseal_storage::PrivateBuffer;
use zeroize::Zeroize;

use super::pool::start_pool;
use crate::error::{InterruptCause, Refusal};
use crate::surroundings::{Surroundings, System};

/// What is read and converted at a time is about the size of a core's share of L2: bytes stay there between fingerprint and cipher.
const TILE_LEN_BYTES: usize = 512 * 1024;
/// The bytes that a worker writes at a time are these, where that leaves some for every worker: as many as the largest folio of the
/// page cache has. The kernel goes through all blocks of a folio for each write to a part of it, and through all of it again to submit
/// that part.
const LARGEST_STORE_LEN_BYTES: usize = 2 << 20;
/// Tiles are not longer than what this leaves to each, so that many threads do not come near the bound on private memory.
const ALL_TILES_LEN_BYTES: usize = 16 << 20;
/// Above this the tiles alone would come near the bound on private memory.
const MAX_THREADS: usize = 64;
/// Threads of a pipeline beside the workers and the caller: one stores, one settles. What else could have one goes on without.
const THREADS_OF_STAGES: usize = 2;

/// A worker's private page-aligned buffer. It holds plaintext, so it is wiped when it goes.
pub(crate) struct Tile {
    buffer: PrivateBuffer,
    /// Bytes from the start that were ever handed out. The others may take no memory yet, and wiping them would change that.
    used: usize,
}

impl Tile {
    /// A tile of `len` bytes, all zero. Where there is no memory, the process ends, as with any other allocation.
    pub(crate) fn new(len: usize) -> Self {
        let no_memory = |_| match Layout::array::<u8>(len) {
            Ok(layout) => handle_alloc_error(layout),
            Err(_) => panic!("a tile of {len} bytes"),
        };
        Tile { buffer: PrivateBuffer::new(len).unwrap_or_else(no_memory), used: 0 }
    }

    /// The first `len` bytes.
    pub(crate) fn slice(&mut self, len: usize) -> &mut [u8] {
        let all = self.buffer.as_mut_slice();
        assert!(len <= all.len(), "a tile of {} bytes cannot hold {len}", all.len());
        self.used = self.used.max(len);
        &mut all[..len]
    }

    /// Two separate slices of `len` bytes each.
    pub(crate) fn pair(&mut self, len: usize) -> (&mut [u8], &mut [u8]) {
        self.slice(2 * len).split_at_mut(len)
    }
}

impl Drop for Tile {
    fn drop(&mut self) {
        self.buffer.as_mut_slice()[..self.used].zeroize();
    }
}

/// Tiles of one length that nobody uses at the moment.
pub(crate) struct Tiles {
    idle: Mutex<Vec<Tile>>,
    len: usize,
}

impl Tiles {
    /// None yet; they are made as they are needed.
    pub(crate) fn new(len: usize) -> Self {
        Tiles { idle: Mutex::new(Vec::new()), len }
    }

    /// A tile with whatever it held before.
    pub(crate) fn take(&self) -> Tile {
        let kept = self.idle.lock().ok().and_then(|mut tiles| tiles.pop());
        kept.unwrap_or_else(|| Tile::new(self.len))
    }

    /// Keeps a tile for the next who needs one.
    pub(crate) fn give_back(&self, tile: Tile) {
        if let Ok(mut tiles) = self.idle.lock() {
            tiles.push(tile);
        }
    }
}

/// One buffer, of which each worker gets the part of its item.
pub(crate) struct Parts<'a>(Vec<Mutex<&'a mut [u8]>>);

impl<'a> Parts<'a> {
    /// Parts of `len_bytes`; the last one may be shorter, and of an empty buffer there is one, which is empty.
    pub(crate) fn new(buffer: &'a mut [u8], len_bytes: u64) -> Self {
        let mut parts: Vec<_> = buffer.chunks_mut(len_bytes as usize).map(Mutex::new).collect();
        if parts.is_empty() {
            parts.push(Mutex::new(&mut []));
        }
        Parts(parts)
    }

    /// The part of an item, which nobody else asks for.
    pub(crate) fn part(&self, item: u64) -> MutexGuard<'_, &'a mut [u8]> {
        self.0[item as usize].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A pool of its own, so that a library user's global pool is neither used nor blocked.
pub(crate) struct Workers {
    /// `None` where the calling thread does the work itself.
    pool: Option<rayon::ThreadPool>,
    tiles: Tiles,
}

impl Workers {
    /// Starts the threads of a job, `threads` of them (if `None` all cores, or as many as the system gives), with tiles of at least two
    /// chunks. There is room for the other threads of its pipeline.
    pub(crate) fn start(
        threads: Option<usize>,
        chunk_len_bytes: u64,
        surroundings: &dyn Surroundings,
    ) -> Result<Self, Refusal> {
        Self::start_beside(threads, chunk_len_bytes, surroundings, THREADS_OF_STAGES)
    }

    /// As [`start`](Self::start), for work that needs no further threads.
    pub(crate) fn start_alone(threads: Option<usize>, chunk_len_bytes: u64) -> Result<Self, Refusal> {
        Self::start_beside(threads, chunk_len_bytes, &System, 0)
    }

    fn start_beside(
        threads: Option<usize>,
        chunk_len_bytes: u64,
        surroundings: &dyn Surroundings,
        beside: usize,
    ) -> Result<Self, Refusal> {
        let wanted = match threads {
            Some(0) => return Err(Refusal::BadValue { what: "--threads", must_be: "at least 1", value: 0 }),
            Some(given) => given,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        // Threads of a pool would run in an order that nobody can repeat.
        let (count, pool) = match surroundings.schedule() {
            Some(_) => (1, None),
            None => {
                let pool = start_pool(wanted.min(MAX_THREADS), threads.is_none(), beside)?;
                (pool.current_num_threads(), Some(pool))
            }
        };
        let tile_len = (ALL_TILES_LEN_BYTES / count)
            .clamp(TILE_LEN_BYTES, LARGEST_STORE_LEN_BYTES)
            .max(2 * chunk_len_bytes as usize);
        Ok(Workers { pool, tiles: Tiles::new(tile_len) })
    }

    /// Whether there is no pool, and the calling thread does the work itself.
    pub(crate) fn are_the_caller(&self) -> bool {
        self.pool.is_none()
    }

    /// Threads of the pool.
    pub(crate) fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Whole chunks of `chunk_len_bytes` that one tile is asked to convert at a time.
    pub(crate) fn chunks_per_tile(&self, chunk_len_bytes: u64) -> u64 {
        (TILE_LEN_BYTES as u64 / chunk_len_bytes).max(1)
    }

    /// Whole chunks of `chunk_len_bytes` that a worker writes at a time, of a window with `count` of them: whole tiles, as large as leaves
    /// each worker two.
    pub(crate) fn chunks_per_store(&self, chunk_len_bytes: u64, count: u64) -> u64 {
        let step = self.chunks_per_tile(chunk_len_bytes);
        let fair = count / (2 * self.threads() as u64);
        let most = self.tiles.len.min(LARGEST_STORE_LEN_BYTES) as u64 / chunk_len_bytes;
        (fair.min(most) / step * step).max(step)
    }

    /// Runs `work` for the items `0..count`, handed out in file order (a region per thread would make a disk
    /// with a head seek all the time), and waits for all. The results come back in order. After the first
    /// failure no further item is started; of several failures the one of the lowest item is returned.
    pub(crate) fn for_each<T, F>(&self, count: u64, work: F) -> Result<Vec<T>, InterruptCause>
    where
        T: Send,
        F: Fn(u64, &mut Tile) -> Result<T, InterruptCause> + Sync,
    {
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let run = || {
            let mut done = Vec::new();
            let mut tile = self.tiles.take();
            while !stop.load(Ordering::Relaxed) {
                let item = next.fetch_add(1, Ordering::Relaxed);
                if item >= count {
                    break;
                }
                let result = catch_unwind(AssertUnwindSafe(|| work(item, &mut tile)))
                    .unwrap_or_else(|panic| Err(InterruptCause::Worker(panic_text(&*panic))));
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                done.push((item, result));
            }
            self.tiles.give_back(tile);
            done
        };
        let mut results: Vec<_> = match &self.pool {
            Some(pool) => pool.broadcast(|_| run()).into_iter().flatten().collect(),
            None => run(),
        };
        results.sort_by_key(|(item, _)| *item);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_in_order() {
        let workers = Workers::start(Some(3), 65536, &System).unwrap();
        let squares = workers.for_each(1000, |item, _| Ok(item * item)).unwrap();
        assert_eq!(squares, (0..1000).map(|item| item * item).collect::<Vec<u64>>());
    }

    #[test]
    fn stores_are_large_where_every_worker_gets_some() {
        let per_store = |threads, chunk_len: u64, window_len: u64| {
            let workers = Workers::start(Some(threads), chunk_len, &System).unwrap();
            let chunks = workers.chunks_per_store(chunk_len, window_len / chunk_len);
            assert_eq!(chunks % workers.chunks_per_tile(chunk_len), 0);
            assert!(chunks * chunk_len <= workers.tiles.len as u64);
            chunks * chunk_len
        };
        for (threads, chunk_len, window_len, expected) in [
            (2, 64 << 10, 64 << 20, 2 << 20),
            (2, 64 << 10, 4 << 20, 1 << 20),
            (2, 64 << 10, 64 << 10, 512 << 10),
            (3, 64 << 10, 8 << 20, 1 << 20),
            (8, 64 << 10, 64 << 20, 2 << 20),
            (16, 64 << 10, 64 << 20, 1 << 20),
            (16, 64 << 10, 4 << 20, 512 << 10),
            (64, 64 << 10, 64 << 20, 512 << 10),
            (2, 1 << 20, 64 << 20, 2 << 20),
            (64, 1 << 20, 64 << 20, 1 << 20),
        ] {
            assert_eq!(
                per_store(threads, chunk_len, window_len),
                expected,
                "{threads} threads, {chunk_len}, {window_len}"
            );
        }
    }

    #[test]
    fn a_panic_is_an_error_and_the_pool_lives_on() {
        let workers = Workers::start(Some(2), 65536, &System).unwrap();
        let result = workers.for_each(10, |item, _| if item == 3 { panic!("item three") } else { Ok(()) });
        assert!(matches!(result, Err(InterruptCause::Worker(text)) if text == "item three"));
        assert_eq!(workers.for_each(4, |item, _| Ok(item)).unwrap().len(), 4);
    }

    #[test]
    fn tiles_are_page_aligned() {
        let mut tile = Tile::new(65536);
        assert_eq!(tile.slice(65536).as_ptr().align_offset(4096), 0);
    }
}
