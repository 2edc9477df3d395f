//! How fast this processor is: the suites, the fingerprints, and what moving bytes costs at all.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pageseal_crypto::{
    BLOCK_BYTES, ChunkMeta, DerivedKeys, FileKey, Fingerprint, KeyContext, Suite, TAG_FIELD_BYTES,
    fill_random, random_nonce,
};
use pageseal_storage::available::available_memory_bytes;

use super::error::BenchError;
use super::figures::{CipherRate, CipherReport, CipherWork};
use super::instructions::instructions_of;
use super::threads;

const CHUNK_LOG2: u8 = 16;
const CHUNK_BYTES: usize = 1 << CHUNK_LOG2;

/// Large enough not to stay in the second-level cache, as a huge file does not.
const STREAM_BYTES: usize = 32 << 20;
const LEAST_STREAM_BYTES: usize = 1 << 20;
const MASK: u8 = 0xAA;

/// Choices of [`cipher`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CipherOptions {
    /// The most threads; `None` takes all cores. Measured are 1, 2, 4 and so on up to this.
    pub threads: Option<usize>,
    /// How long each figure is measured at least.
    pub time_per_figure: Duration,
}

impl Default for CipherOptions {
    /// All cores, 150 ms a figure.
    fn default() -> Self {
        CipherOptions { threads: None, time_per_figure: Duration::from_millis(150) }
    }
}

/// Measures sealing and opening with every suite, fingerprints, XOR and copying, in memory alone.
///
/// Each thread has a buffer of its own and goes over it again and again, chunk by chunk (64 KiB). The rate of
/// several threads is the sum of theirs while all of them work. Takes about five seconds for each number of threads.
///
/// # Errors
/// [`BenchError::Threads`], [`BenchError::Pool`], [`BenchError::Random`].
pub fn cipher(options: &CipherOptions) -> Result<CipherReport, BenchError> {
    let most = threads::chosen(options.threads)?;
    let stream_bytes = stream_bytes(most);
    let suites = Suite::ALL.into_iter().map(Subject::new).collect::<Result<Vec<_>, _>>()?;
    let mut rates = Vec::new();
    for threads in threads::steps_up_to(most) {
        let pool = threads::pool(threads)?;
        let buffers: Vec<_> = (0..threads).map(|_| Mutex::new(vec![MASK; stream_bytes])).collect();
        for work in works() {
            let subject =
                suites.iter().find(|subject| Some(subject.suite) == work.suite()).unwrap_or(&suites[0]);
            let per_thread = pool.broadcast(|thread| {
                // Each index is one thread's; the lock only proves it.
                let mut buffer = buffers[thread.index()].lock().unwrap_or_else(|broken| broken.into_inner());
                subject.measure(work, &mut buffer, options.time_per_figure)
            });
            rates.push(CipherRate {
                work,
                threads,
                gb_per_s: per_thread.iter().map(Timed::gb_per_s).sum(),
                instructions: instructions_of(work),
            });
        }
    }
    Ok(CipherReport { chunk_bytes: CHUNK_BYTES, stream_bytes, threads: most, rates })
}

fn works() -> Vec<CipherWork> {
    let suites = Suite::ALL.into_iter().flat_map(|suite| [CipherWork::Seal(suite), CipherWork::Open(suite)]);
    suites.chain([CipherWork::Fingerprint, CipherWork::Xor, CipherWork::Copy]).collect()
}

/// Less on machines of many cores and little memory.
fn stream_bytes(threads: usize) -> usize {
    let available = available_memory_bytes().unwrap_or(1 << 30);
    let share = usize::try_from(available / 4 / threads as u64).unwrap_or(STREAM_BYTES);
    share.clamp(LEAST_STREAM_BYTES, STREAM_BYTES) / CHUNK_BYTES * CHUNK_BYTES
}

/// Bytes, and the time that they took.
struct Timed {
    bytes: u64,
    time: Duration,
}

impl Timed {
    fn gb_per_s(&self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.bytes as f64 / 1e9 / self.time.as_secs_f64() }
    }
}

/// Keys that are drawn for the measurement and forgotten with it. Nonces repeat, which is no harm because nothing
/// that is sealed here leaves the process.
struct Subject {
    suite: Suite,
    keys: DerivedKeys,
    nonce: [u8; 24],
}

impl Subject {
    fn new(suite: Suite) -> Result<Self, BenchError> {
        let mut file_id = [0; 16];
        fill_random(&mut file_id)?;
        let context = KeyContext { suite, chunk_log2: CHUNK_LOG2, file_id };
        Ok(Subject {
            suite,
            keys: DerivedKeys::derive(&FileKey::random()?, &context),
            nonce: random_nonce()?,
        })
    }

    /// Whole passes over `buffer` until `time` is over; opening needs a sealing before it, which is not timed.
    fn measure(&self, work: CipherWork, buffer: &mut [u8], time: Duration) -> Timed {
        let mut timed = Timed { bytes: 0, time: Duration::ZERO };
        let mut target = if work == CipherWork::Copy { buffer.to_vec() } else { Vec::new() };
        let mut fingerprints = vec![Fingerprint::default(); CHUNK_BYTES / BLOCK_BYTES];
        let begun = Instant::now();
        // Opening alone decides nothing: half of its time goes into the sealing before it.
        while timed.bytes == 0 || begun.elapsed() < time {
            let tags = match work {
                CipherWork::Open(_) => self.seal(buffer),
                _ => Vec::new(),
            };
            let started = Instant::now();
            match work {
                CipherWork::Seal(_) => drop(black_box(self.seal(buffer))),
                CipherWork::Open(_) => self.open(buffer, &tags),
                CipherWork::Fingerprint => {
                    for chunk in buffer.chunks(CHUNK_BYTES) {
                        self.keys.fingerprint.blocks(1, 0, chunk, &mut fingerprints);
                        black_box(&fingerprints);
                    }
                }
                CipherWork::Xor => buffer.iter_mut().for_each(|byte| *byte ^= MASK),
                CipherWork::Copy => target.copy_from_slice(buffer),
            }
            timed.time += started.elapsed();
            timed.bytes += buffer.len() as u64;
            black_box((&mut *buffer, &mut target));
        }
        timed
    }

    fn meta(&self, index: u64) -> ChunkMeta {
        ChunkMeta { index, is_final: false, nonce: self.nonce, epoch: 0, flags: 0 }
    }

    fn seal(&self, buffer: &mut [u8]) -> Vec<[u8; TAG_FIELD_BYTES]> {
        let chunks = (0..).zip(buffer.chunks_mut(CHUNK_BYTES));
        chunks.map(|(index, chunk)| self.keys.chunk.seal_in_place(&self.meta(index), chunk)).collect()
    }

    fn open(&self, buffer: &mut [u8], tags: &[[u8; TAG_FIELD_BYTES]]) {
        for ((index, chunk), tag) in (0..).zip(buffer.chunks_mut(CHUNK_BYTES)).zip(tags) {
            let opened = self.keys.chunk.open_in_place(&self.meta(index), tag, chunk);
            assert!(opened.is_ok(), "what was sealed a moment ago opens");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_is_measured_with_every_number_of_threads() {
        let options = CipherOptions { threads: Some(3), time_per_figure: Duration::from_nanos(1) };
        let report = cipher(&options).unwrap();
        assert_eq!(report.rates.len(), 9 * 3);
        for threads in [1, 2, 3] {
            let of_threads: Vec<_> = report.rates.iter().filter(|rate| rate.threads == threads).collect();
            assert_eq!(of_threads.iter().map(|rate| rate.work).collect::<Vec<_>>(), works());
            assert!(of_threads.iter().all(|rate| rate.gb_per_s > 0.0));
        }
    }
}
