//! The timed part of a case: every block is reached once, by all threads of the pool.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pageseal_storage::Storage;
use pageseal_storage::bench_access::{AlignedBuffer, ReadMapping, UnpopulatedMapping, populate_for_writing};
use rayon::ThreadPool;

use super::figures::{Method, Pattern};
use super::probe::{Measured, Probe};

/// What is brought in, and then touched, at a time.
const MAPPED_STEP_BYTES: usize = pageseal_storage::POPULATE_STEP_BYTES;
/// What the store of jobs takes: about a core's share of the second-level cache.
const TILE_BYTES: usize = 512 << 10;
/// A disk wants many requests at a time: as many MiB as this are so many of them for each thread.
const DIRECT_STEP_BYTES: usize = 8 << 20;
/// The longest step by calls.
pub(super) const BUFFER_BYTES: usize = DIRECT_STEP_BYTES;
const LEAST_STEP_BYTES: usize = 64 << 10;
const MASK: u8 = 0xAA;
/// How many blocks are reached between two looks at the clock.
const BLOCKS_PER_LOOK: usize = 16;

/// The blocks of a part of the file, in the order in which they are reached.
pub(super) struct Blocks {
    pub(super) bytes: usize,
    order: Vec<u32>,
}

impl Blocks {
    /// The step of a sequential pass is shorter where not every thread would get one.
    pub(super) fn new(method: Method, pattern: Pattern, size_bytes: u64, threads: usize) -> Self {
        let bytes = match (pattern, method) {
            (Pattern::Random { block_bytes }, _) => block_bytes,
            (Pattern::Sequential, Method::Mmap | Method::MmapPopulated) => MAPPED_STEP_BYTES,
            (Pattern::Sequential, Method::ReadWrite) => TILE_BYTES,
            (Pattern::Sequential, Method::Direct) => DIRECT_STEP_BYTES,
        };
        let share = (size_bytes / threads as u64).next_power_of_two();
        let bytes = match pattern {
            Pattern::Sequential => {
                // All powers of two, of which the smallest divides the size, too.
                let divisor = 1 << size_bytes.trailing_zeros().min(usize::BITS - 2);
                bytes.min(divisor).min(usize::try_from(share).unwrap_or(bytes)).max(LEAST_STEP_BYTES)
            }
            Pattern::Random { .. } => bytes,
        };
        let count = u32::try_from(size_bytes / bytes as u64).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..count).collect();
        if let Pattern::Random { .. } = pattern {
            shuffle(&mut order);
        }
        Blocks { bytes, order }
    }

    fn offset(&self, place: usize) -> u64 {
        u64::from(self.order[place]) * self.bytes as u64
    }
}

/// Always the same order, so that two runs reach the same blocks. Fisher-Yates with xorshift.
fn shuffle(order: &mut [u32]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

/// Ends a case that takes too long, which then counts what it reached.
#[derive(Clone, Copy)]
pub(super) struct Budget(pub(super) Duration);

/// XORs every block in a shared mapping.
pub(super) fn xor_mapped(
    file: &File,
    size_bytes: u64,
    blocks: &Blocks,
    populate: bool,
    pool: &ThreadPool,
    budget: Budget,
    probe: Probe<'_>,
) -> io::Result<Measured> {
    let mapping = UnpopulatedMapping::new(file, size_bytes)?;
    let mut running = None;
    let mut reached = Ok(0);
    mapping.with_all(&mut |bytes| {
        // Slices that do not overlap are what lets threads share the mapping without a lock for each block.
        let mut slices: Vec<Option<&mut [u8]>> = bytes.chunks_mut(blocks.bytes).map(Some).collect();
        let threads = pool.current_num_threads();
        let mut shares: Vec<Vec<&mut [u8]>> = (0..threads).map(|_| Vec::new()).collect();
        for (place, index) in blocks.order.iter().enumerate() {
            shares[place % threads].extend(slices[*index as usize].take());
        }
        drop(slices);
        let shares: Vec<Mutex<Vec<&mut [u8]>>> = shares.into_iter().map(Mutex::new).collect();
        running = Some(probe.begin());
        reached = by_all(pool, |thread| {
            let mut share = shares[thread].lock().unwrap_or_else(|broken| broken.into_inner());
            let mut done = Done::new(budget);
            for slice in share.iter_mut() {
                if populate {
                    populate_for_writing(slice)?;
                }
                xor(slice);
                if done.add(slice.len()) {
                    break;
                }
            }
            Ok(done.bytes)
        });
    })?;
    // Unmapping is a part of what a mapping costs.
    drop(mapping);
    finish(running, reached?)
}

/// Reads every block of a mapping that is not written to.
pub(super) fn read_mapped(
    file: &File,
    size_bytes: u64,
    blocks: &Blocks,
    populate: bool,
    pool: &ThreadPool,
    budget: Budget,
    probe: Probe<'_>,
) -> io::Result<Measured> {
    let mapping = ReadMapping::new(file, size_bytes)?;
    let running = probe.begin();
    let reached = by_all(pool, |thread| {
        let mut done = Done::new(budget);
        for place in (thread..blocks.order.len()).step_by(pool.current_num_threads()) {
            // Inside the mapping, whose length is a usize.
            let offset = blocks.offset(place) as usize;
            if populate {
                mapping.populate(offset, blocks.bytes)?;
            }
            black_box(mapping.fold(offset, blocks.bytes)?);
            if done.add(blocks.bytes) {
                break;
            }
        }
        Ok(done.bytes)
    });
    drop(mapping);
    finish(Some(running), reached?)
}

/// Reads every block into private memory and, unless `read_only`, XORs it there and writes it back.
pub(super) fn by_calls(
    file: &dyn Storage,
    blocks: &Blocks,
    read_only: bool,
    buffers: &[Mutex<AlignedBuffer>],
    pool: &ThreadPool,
    budget: Budget,
    probe: Probe<'_>,
) -> io::Result<Measured> {
    let running = probe.begin();
    let reached = by_all(pool, |thread| {
        let mut buffer = buffers[thread].lock().unwrap_or_else(|broken| broken.into_inner());
        let tile = &mut buffer.bytes()[..blocks.bytes];
        let mut done = Done::new(budget);
        for place in (thread..blocks.order.len()).step_by(pool.current_num_threads()) {
            let offset = blocks.offset(place);
            file.read_exact_at(tile, offset)?;
            if read_only {
                black_box(fold(tile));
            } else {
                xor(tile);
                file.write_all_at(tile, offset)?;
            }
            if done.add(tile.len()) {
                break;
            }
        }
        Ok(done.bytes)
    });
    finish(Some(running), reached?)
}

fn finish(running: Option<super::probe::Running<'_>>, bytes: u64) -> io::Result<Measured> {
    let running = running.ok_or(io::ErrorKind::Other)?;
    running.end(bytes)
}

/// The sum of what the threads reached, or the first error.
fn by_all(pool: &ThreadPool, work: impl Fn(usize) -> io::Result<u64> + Sync) -> io::Result<u64> {
    pool.broadcast(|thread| work(thread.index())).into_iter().sum()
}

/// What a thread has reached, and when it has to stop.
struct Done {
    bytes: u64,
    blocks: usize,
    begun: Instant,
    budget: Budget,
}

impl Done {
    fn new(budget: Budget) -> Self {
        Done { bytes: 0, blocks: 0, begun: Instant::now(), budget }
    }

    /// Whether the time is over.
    fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        self.blocks += 1;
        // Long blocks are looked at each time.
        let looks = bytes >= LEAST_STEP_BYTES || self.blocks.is_multiple_of(BLOCKS_PER_LOOK);
        looks && self.begun.elapsed() >= self.budget.0
    }
}

/// The compiler makes vector instructions of this on every processor.
fn xor(bytes: &mut [u8]) {
    for byte in bytes {
        *byte ^= MASK;
    }
}

fn fold(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let folded = words.iter().fold(0, |all, word| all ^ u64::from_le_bytes(*word));
    rest.iter().fold(folded, |all, byte| all ^ u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_one_place() {
        for pattern in Pattern::ALL {
            for method in Method::ALL {
                for threads in [1, 2, 7] {
                    let blocks = Blocks::new(method, pattern, 3 << 20, threads);
                    let mut offsets: Vec<u64> =
                        (0..blocks.order.len()).map(|place| blocks.offset(place)).collect();
                    if pattern == Pattern::Sequential {
                        assert!(offsets.is_sorted());
                        assert!(offsets.len() >= 3);
                    } else {
                        assert!(!offsets.is_sorted());
                    }
                    offsets.sort_unstable();
                    let expected: Vec<u64> = (0..3 << 20).step_by(blocks.bytes).collect();
                    assert_eq!(offsets, expected, "{method:?} {pattern} {threads}");
                    assert!(blocks.bytes <= MAPPED_STEP_BYTES);
                }
            }
        }
    }
}
