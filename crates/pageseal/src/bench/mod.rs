//! How fast this machine is, and which way to a file's bytes is the fastest here.
//!
//! [`cipher`](fn@cipher) measures the suites in memory. [`io`](fn@io) measures a file by a mapping with plain page faults, by a mapping whose
//! pages are brought in first, by `pread` and `pwrite`, and past the page cache, in sequence and at random, with the
//! page faults and, where the processor's counters can be read, the TLB misses of each; from these figures it derives when a mapping
//! wins and when read and write do. A mapping is not always best: faults cost, and so does the TLB at random access.
//! [`job`](fn@job) encrypts a temporary file in place, crash-safe, and measures each step of it.
//!
//! ```no_run
//! use pageseal::bench::{self, BenchReport, CipherOptions, IoOptions, JobOptions};
//!
//! let cipher = bench::cipher(&CipherOptions::default())?;
//! let io = bench::io(&IoOptions::default())?;
//! let job = bench::job(&JobOptions::default())?;
//! println!("{}", BenchReport::new(Some(cipher), Some(io), Some(job)));
//! # Ok::<(), pageseal::bench::BenchError>(())
//! ```

mod bound;
mod cipher;
mod error;
mod figures;
mod instructions;
mod io;
mod job;
mod machine;
mod nameless;
mod probe;
mod recommend;
mod target;
mod text;
mod threads;
mod work;

pub use cipher::{CipherOptions, cipher};
pub use error::BenchError;
pub use figures::{
    BenchReport, CacheState, Case, CipherRate, CipherReport, CipherWork, IoRate, IoReport, JobFigures,
    Method, Pattern, Skipped, StepFigures, TlbCounting, WindowSpan,
};
pub use io::{IoOptions, io};
pub use job::{JobOptions, job};
pub use machine::Machine;

#[cfg(test)]
mod tests;
