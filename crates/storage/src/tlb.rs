//! How often the processor had to walk the page tables, where the system lets a process count that.

use std::io;

use perf_event::{
    Builder, Counter,
    events::{Cache, CacheId, CacheOp, CacheResult},
};

/// Counts misses of the data TLB, loads and stores, of this thread and of all threads it starts *afterwards*.
#[derive(Debug)]
pub struct TlbCounter {
    loads: Counter,
    /// Many processors count loads only.
    stores: Option<Counter>,
    counts_kernel: bool,
}

impl TlbCounter {
    /// Begins to count, in the kernel too where `kernel.perf_event_paranoid` allows it.
    ///
    /// # Errors
    /// `ENOENT` or `EOPNOTSUPP` where the processor, or the hypervisor above it, has no such counter; `EACCES` or `EPERM`
    /// where this process may not count.
    pub fn start() -> io::Result<Self> {
        Self::counting(true).or_else(|_| Self::counting(false))
    }

    fn counting(counts_kernel: bool) -> io::Result<Self> {
        let loads = counter(CacheOp::READ, counts_kernel)?;
        Ok(Self { loads, stores: counter(CacheOp::WRITE, counts_kernel).ok(), counts_kernel })
    }

    /// Misses since the start, those of threads still running included.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn misses(&mut self) -> io::Result<u64> {
        let stores = self.stores.as_mut().map_or(Ok(0), Counter::read)?;
        Ok(self.loads.read()?.saturating_add(stores))
    }

    /// What is counted, for people.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        match (self.stores.is_some(), self.counts_kernel) {
            (true, true) => "loads and stores, the program's and the kernel's",
            (true, false) => "loads and stores of the program, without those of the kernel",
            (false, true) => "loads, the program's and the kernel's",
            (false, false) => "loads of the program, without those of the kernel",
        }
    }
}

fn counter(operation: CacheOp, counts_kernel: bool) -> io::Result<Counter> {
    let event = Cache { which: CacheId::DTLB, operation, result: CacheResult::MISS };
    let mut builder = Builder::new(event);
    builder.inherit(true).exclude_kernel(!counts_kernel).enabled(true);
    builder.build()
}
