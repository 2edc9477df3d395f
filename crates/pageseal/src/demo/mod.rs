//! The textbook exercise that pageseal grew from, with its two lessons in numbers.
//!
//! A file is mapped with `MAP_SHARED`, filled with `'A'`, split into equal parts and given to a pool of
//! workers that XOR every byte in the mapping itself: no read, no write, no copy. The same job is then
//! done by authenticated encryption, 64 KiB chunk by chunk, in a mapping of the same kind.
//!
//! What can be seen: private memory does not grow by the file's size, because the pages worked on are the
//! file's own; a mapping has its price, the page faults; and authenticated encryption costs about what
//! an XOR costs where the processor has AES instructions.
//!
//! Nothing here is crash-safe, and nothing is meant to be: the files are made for the demonstration and
//! deleted after it. A process that is killed in between leaves one `pageseal-demo-*.bin` behind.

mod error;
mod figures;
mod report;
mod scratch_file;
mod seal;
mod workers;
mod xor;

use std::path::{Path, PathBuf};
use std::time::Instant;

use pageseal_crypto::Suite;
use pageseal_storage::usage::ProcessUsage;

pub use error::{DemoError, DemoJob};
pub use figures::{AeadFigures, DemoReport, FaultCounts, MemoryGrowth, PerJob, XorFigures};

use scratch_file::{Mapping, ScratchFile};
use seal::{CHUNK_BYTES, SealJob};
use workers::Workers;
use xor::XorJob;

/// What every byte of the files is before the work: `'A'`.
const FILL_BYTE: u8 = 0x41;

/// Choices of the demonstration.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Length of each file in bytes; 0 is allowed. Disk space is needed for one file at a time, for two
    /// with `keep`.
    pub len_bytes: u64,
    /// Workers, and parts that the file is split into; 1 to 1024. May be more than there are bytes.
    pub threads: usize,
    /// Directory of the files; `None` takes [`std::env::temp_dir`].
    pub dir: Option<PathBuf>,
    /// Leave both files there after a success: the XORed one and the sealed one, whose key is gone.
    pub keep: bool,
}

impl Default for DemoOptions {
    /// 64 MiB, 4 threads, in the directory for temporary files, deleted afterwards.
    fn default() -> Self {
        DemoOptions { len_bytes: 64 << 20, threads: 4, dir: None, keep: false }
    }
}

/// Runs both jobs, one after the other, and measures them.
///
/// Time is that of handing out, working and waiting, with all pages mapped and filled before. Page faults
/// and growth of resident memory are those of mapping, filling and working, and are counted for the whole
/// process: what other threads do at the same time is in them.
///
/// ```no_run
/// let report = pageseal::demo::run(&pageseal::demo::DemoOptions::default())?;
/// println!("{report}");
/// # Ok::<(), pageseal::demo::DemoError>(())
/// ```
///
/// # Errors
/// [`DemoError`]; the files are gone then, also with [`DemoOptions::keep`]. A byte that is not what it has
/// to be is [`DemoError::Verification`].
pub fn run(options: &DemoOptions) -> Result<DemoReport, DemoError> {
    // The pool comes first so that the memory of its threads is not taken for that of the work.
    let workers = Workers::new(options.threads)?;
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let suite = Suite::default_for_cpu();

    let (xor, xor_file) = run_job(options, &dir, &workers, || Ok(XorJob))?;
    let (aead, aead_file) = run_job(options, &dir, &workers, || SealJob::new(suite, options.len_bytes))?;

    Ok(DemoReport {
        bytes: options.len_bytes,
        threads: options.threads,
        chunks: seal::chunk_count(options.len_bytes),
        xor: XorFigures {
            seconds: xor.seconds,
            gb_per_s: xor.gb_per_s(options.len_bytes),
            verified: xor.verified_bytes == options.len_bytes,
        },
        aead: AeadFigures {
            suite,
            seconds: aead.seconds,
            gb_per_s: aead.gb_per_s(options.len_bytes),
            verified: aead.verified_bytes == options.len_bytes,
        },
        faults: PerJob { xor: xor.faults, aead: aead.faults },
        memory: PerJob { xor: xor.memory, aead: aead.memory },
        verified_bytes: PerJob { xor: xor.verified_bytes, aead: aead.verified_bytes },
        // Disarmed only here: an error of the second job removes the file of the first one too.
        kept: [xor_file, aead_file].into_iter().flatten().map(ScratchFile::keep).collect(),
    })
}

/// What is done to every byte of a filled mapping.
trait Job {
    /// The timed part: returns when every byte is done.
    fn work(&mut self, mapping: &Mapping, workers: &Workers) -> Result<(), DemoError>;

    /// Checks every byte and returns how many that were.
    fn verify(&self, mapping: &Mapping, workers: &Workers) -> Result<u64, DemoError>;
}

/// One job as it was measured.
struct Measured {
    seconds: f64,
    faults: FaultCounts,
    memory: MemoryGrowth,
    verified_bytes: u64,
}

impl Measured {
    /// Gigabytes (10^9) a second; 0 for an empty file.
    fn gb_per_s(&self, bytes: u64) -> f64 {
        if self.seconds > 0.0 { bytes as f64 / 1e9 / self.seconds } else { 0.0 }
    }
}

/// Makes a file, maps and fills it, does one job in it and deletes it; with `keep`, its guard comes back.
fn run_job<J: Job>(
    options: &DemoOptions,
    dir: &Path,
    workers: &Workers,
    prepare: impl FnOnce() -> Result<J, DemoError>,
) -> Result<(Measured, Option<ScratchFile>), DemoError> {
    let (scratch, file) = ScratchFile::create(dir, options.len_bytes)?;

    let before = usage_now()?;
    let mapping = Mapping::new(&scratch, file, options.len_bytes)?;
    workers.each(workers.parts(mapping.len_bytes()), |part| {
        mapping.fill_part(&part, &mut |bytes| bytes.fill(FILL_BYTE))
    })?;
    // Prepared inside the measured part: tables that the job needs are memory that it costs.
    let mut job = prepare()?;
    let started = Instant::now();
    job.work(&mapping, workers)?;
    let seconds = started.elapsed().as_secs_f64();
    let after = usage_now()?;

    let verified_bytes = job.verify(&mapping, workers)?;
    drop(mapping);
    let kept = if options.keep {
        Some(scratch)
    } else {
        scratch.delete()?;
        None
    };
    let measured = Measured {
        seconds,
        faults: FaultCounts::between(&before, &after),
        memory: MemoryGrowth::between(&before, &after),
        verified_bytes,
    };
    Ok((measured, kept))
}

fn usage_now() -> Result<ProcessUsage, DemoError> {
    ProcessUsage::now().map_err(DemoError::Usage)
}

/// Place of the first byte that is not `expected`.
fn first_difference(bytes: &[u8], expected: u8) -> Option<usize> {
    // Leaving the loop at the first hit keeps the compiler from vectorising it, so whole blocks are
    // judged first.
    const BLOCK_BYTES: usize = 4096;
    bytes.chunks(BLOCK_BYTES).enumerate().find_map(|(block_index, block)| {
        let differing_bits = block.iter().fold(0, |seen, byte| seen | (byte ^ expected));
        if differing_bits == 0 {
            return None;
        }
        let in_block = block.iter().position(|byte| *byte != expected)?;
        Some(block_index * BLOCK_BYTES + in_block)
    })
}

const _: () = assert!(CHUNK_BYTES <= pageseal_crypto::MAX_CHUNK_BYTES);

#[cfg(test)]
mod tests;
