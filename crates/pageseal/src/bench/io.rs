//! Which cases are measured, and in which state of the cache.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use pageseal_storage::bench_access::{AlignedBuffer, evict_from_cache};
use pageseal_storage::tlb::TlbCounter;
use pageseal_storage::{BufferedFile, DirectFile};
use rayon::ThreadPool;

use super::error::BenchError;
use super::figures::{CacheState, Case, IoRate, IoReport, Method, Pattern, Skipped, TlbCounting};
use super::probe::{Measured, Probe};
use super::recommend::recommend;
use super::target::{LEAST_BYTES, Target};
use super::threads;
use super::work::{BUFFER_BYTES, Blocks, Budget, by_calls, read_mapped, xor_mapped};

/// Cases that are over sooner are measured again, up to so often, and the median counts.
const MOST_ROUNDS: usize = 5;
const SECONDS_OF_ROUNDS: f64 = 0.1;

/// Choices of [`io`](fn@io).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IoOptions {
    /// A folder for the temporary file, or a file that is only read. `None` is the current folder.
    pub path: Option<PathBuf>,
    /// The largest size in bytes, at least 1 MiB, cut to whole MiB. Of an existing file no more than it has is read.
    pub size_bytes: u64,
    /// The most threads; `None` takes all cores.
    pub threads: Option<usize>,
    /// A case that takes longer is stopped and counts what it reached.
    pub time_per_case: Duration,
}

impl Default for IoOptions {
    /// 256 MiB in the current folder, all cores, 1 second a case.
    fn default() -> Self {
        IoOptions { path: None, size_bytes: 256 << 20, threads: None, time_per_case: Duration::from_secs(1) }
    }
}

/// Measures how fast a file is by a mapping, by calls, and past the page cache.
///
/// In a folder: makes a temporary file without a name, which vanishes however the process ends, and XORs every byte
/// in place. With a file: reads every byte and writes none; its pages may leave the page cache for that. Sizes are 1 MiB, 4 MiB, 16 MiB and so on,
/// and the largest; the largest is also measured with what is on the disk only, and with fewer threads.
///
/// Faults are those of the whole process: what other threads do at the same time is in them. A program that reads
/// a file which others may cut calls [`crate::process::install_sigbus_handler`] first.
///
/// # Errors
/// [`BenchError`]; nothing is left behind.
pub fn io(options: &IoOptions) -> Result<IoReport, BenchError> {
    let threads = threads::chosen(options.threads)?;
    let path = options.path.as_deref().unwrap_or(Path::new("."));
    let target = Target::open(path, options.size_bytes)?;
    // Before the pools, because it counts threads that are started after it.
    let (tlb, tlb_counting) = match TlbCounter::start() {
        Ok(counter) => {
            let scope = counter.scope();
            (Some(RefCell::new(counter)), TlbCounting::Counted(scope))
        }
        Err(error) => (None, TlbCounting::NotReadable(error.to_string())),
    };
    let mut skipped = Vec::new();
    let direct = match target.direct() {
        Ok(file) => Some(file),
        Err(error) => {
            let reason = format!("{} refuses it: {error}", target.file_system.name());
            skipped.push(Skipped { what: Method::Direct.name().into(), reason });
            None
        }
    };
    if !target.has_disk() {
        let reason = format!("{} lies in memory", target.file_system.name());
        skipped.push(Skipped { what: CacheState::Cold.name().into(), reason });
    }
    let bench = Bench { target: &target, direct, tlb: tlb.as_ref(), budget: Budget(options.time_per_case) };
    let mut rates = Vec::new();
    for step in threads::steps_up_to(threads) {
        let crew = Crew::new(step)?;
        for case in cases(&target, step, threads) {
            if case.method != Method::Direct || bench.direct.is_some() {
                rates.push(bench.measure(&crew, case)?);
            }
        }
    }
    Ok(IoReport {
        path: path.into(),
        read_only: target.read_only,
        file_system: target.file_system.name(),
        size_bytes: target.size_bytes,
        threads,
        advice: recommend(&rates, target.size_bytes, threads, target.read_only),
        rates,
        skipped,
        tlb: tlb_counting,
    })
}

/// With all threads everything; with fewer only what shows how the threads scale.
fn cases(target: &Target, threads: usize, most_threads: usize) -> Vec<Case> {
    let largest = target.size_bytes;
    let mut cases = Vec::new();
    if threads < most_threads {
        for method in Method::ALL {
            let pattern = Pattern::Sequential;
            cases.push(Case {
                method,
                pattern,
                cache: warm_or_bypassed(method),
                size_bytes: largest,
                threads,
            });
        }
        return cases;
    }
    for pattern in Pattern::ALL {
        for size_bytes in sizes_up_to(largest) {
            for method in Method::ALL {
                cases.push(Case { method, pattern, cache: warm_or_bypassed(method), size_bytes, threads });
            }
        }
        if target.has_disk() {
            for method in [Method::Mmap, Method::MmapPopulated, Method::ReadWrite] {
                cases.push(Case { method, pattern, cache: CacheState::Cold, size_bytes: largest, threads });
            }
        }
    }
    cases
}

fn warm_or_bypassed(method: Method) -> CacheState {
    if method == Method::Direct { CacheState::Bypassed } else { CacheState::Warm }
}

/// 1 MiB, 4 MiB and so on, and `largest` itself.
fn sizes_up_to(largest: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> = std::iter::successors(Some(LEAST_BYTES), |size| size.checked_mul(4))
        .take_while(|size| *size < largest)
        .collect();
    sizes.push(largest);
    sizes
}

/// The threads of a case, each with its private memory.
struct Crew {
    pool: ThreadPool,
    buffers: Vec<Mutex<AlignedBuffer>>,
}

impl Crew {
    fn new(threads: usize) -> Result<Self, BenchError> {
        let buffers = (0..threads).map(|_| Mutex::new(AlignedBuffer::new(BUFFER_BYTES))).collect();
        Ok(Crew { pool: threads::pool(threads)?, buffers })
    }
}

struct Bench<'a> {
    target: &'a Target,
    direct: Option<DirectFile>,
    tlb: Option<&'a RefCell<TlbCounter>>,
    budget: Budget,
}

/// One round of a case.
struct Round {
    measured: Measured,
    sync_seconds: Option<f64>,
}

impl Bench<'_> {
    fn measure(&self, crew: &Crew, case: Case) -> Result<IoRate, BenchError> {
        let blocks = Blocks::new(case.method, case.pattern, case.size_bytes, case.threads);
        let mut rounds: Vec<Round> = Vec::new();
        loop {
            self.prepare(case)?;
            rounds.push(self.round(crew, case, &blocks)?);
            let seconds: f64 = rounds.iter().map(|round| round.measured.seconds).sum();
            if rounds.len() >= MOST_ROUNDS || seconds >= SECONDS_OF_ROUNDS {
                break;
            }
        }
        rounds.sort_by(|a, b| a.measured.seconds.total_cmp(&b.measured.seconds));
        Ok(rate(case, &rounds[rounds.len() / 2]))
    }

    /// Brings the file into the state that the case begins with.
    fn prepare(&self, case: Case) -> Result<(), BenchError> {
        match case.cache {
            CacheState::Warm => {
                // Read anew each time: how large the pieces are that the cache is made of, and so the number of
                // faults, depends on how they came into it.
                self.evict()?;
                read_through(&self.target.file, case.size_bytes).map_err(self.target.failed("read"))
            }
            CacheState::Cold => self.evict(),
            CacheState::Bypassed => Ok(()),
        }
    }

    fn evict(&self) -> Result<(), BenchError> {
        let evicted = evict_from_cache(&self.target.file);
        evicted.map_err(self.target.failed("take from the cache the pages of"))
    }

    fn round(&self, crew: &Crew, case: Case, blocks: &Blocks) -> Result<Round, BenchError> {
        let (file, read_only) = (&self.target.file, self.target.read_only);
        let Crew { pool, buffers } = crew;
        let (size, budget, probe) = (case.size_bytes, self.budget, Probe { tlb: self.tlb });
        let populate = case.method == Method::MmapPopulated;
        let measured = match (case.method, &self.direct) {
            (Method::Mmap | Method::MmapPopulated, _) if read_only => {
                read_mapped(file, size, blocks, populate, pool, budget, probe)
            }
            (Method::Mmap | Method::MmapPopulated, _) => {
                xor_mapped(file, size, blocks, populate, pool, budget, probe)
            }
            (Method::Direct, Some(direct)) => {
                by_calls(direct, blocks, read_only, buffers, pool, budget, probe)
            }
            (_, _) => {
                let file = BufferedFile::new(file.try_clone().map_err(self.target.failed("open again"))?);
                by_calls(&file, blocks, read_only, buffers, pool, budget, probe)
            }
        };
        let what = if read_only { "read" } else { "convert the temporary file in" };
        let measured = measured.map_err(self.target.failed(what))?;
        // Also so that each case begins with clean pages, whose first store is a fault of its own.
        let sync_seconds = if read_only { None } else { Some(self.sync()?) };
        Ok(Round { measured, sync_seconds })
    }

    fn sync(&self) -> Result<f64, BenchError> {
        let started = std::time::Instant::now();
        self.target.file.sync_data().map_err(self.target.failed("sync the temporary file in"))?;
        Ok(started.elapsed().as_secs_f64())
    }
}

fn rate(case: Case, round: &Round) -> IoRate {
    let Measured { bytes, seconds, minor_faults, major_faults, tlb_misses } = round.measured;
    let mib = bytes as f64 / (1_u64 << 20) as f64;
    let per_second = |seconds: f64| if seconds > 0.0 { bytes as f64 / 1e9 / seconds } else { 0.0 };
    let per_mib = |count: u64| if mib > 0.0 { count as f64 / mib } else { 0.0 };
    IoRate {
        case,
        bytes,
        seconds,
        gb_per_s: per_second(seconds),
        durable_gb_per_s: round.sync_seconds.map(|sync| per_second(seconds + sync)),
        minor_faults,
        major_faults,
        faults_per_mib: per_mib(minor_faults + major_faults),
        tlb_misses_per_mib: tlb_misses.map(per_mib),
    }
}

/// Brings a part of a file into the page cache.
fn read_through(file: &File, size_bytes: u64) -> io::Result<()> {
    let mut tile = vec![0; BUFFER_BYTES];
    for offset in (0..size_bytes).step_by(BUFFER_BYTES) {
        let len = (size_bytes - offset).min(BUFFER_BYTES as u64) as usize;
        file.read_exact_at(&mut tile[..len], offset)?;
    }
    Ok(())
}
