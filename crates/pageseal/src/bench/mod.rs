//! How fast this machine is, and which way to a file's bytes is the fastest here.
//!
//! [`cipher`](fn@cipher) measures the suites in memory. [`io`](fn@io) measures a file by a mapping with plain page faults, by a mapping whose
//! pages are brought in first, by `pread` and `pwrite`, and past the page cache, in sequence and at random, with the
//! page faults and, where the processor's counters can be read, the TLB misses of each; from these figures it derives when a mapping
//! wins and when read and write do. A mapping is not always best: faults cost, and so does the TLB at random access.
//!
//! ```no_run
//! use pageseal::bench::{self, BenchReport, CipherOptions, IoOptions};
//!
//! let cipher = bench::cipher(&CipherOptions::default())?;
//! let io = bench::io(&IoOptions::default())?;
//! println!("{}", BenchReport::new(Some(cipher), Some(io)));
//! # Ok::<(), pageseal::bench::BenchError>(())
//! ```

mod cipher;
mod error;
mod figures;
mod instructions;
mod io;
mod machine;
mod probe;
mod recommend;
mod target;
mod text;
mod threads;
mod work;

pub use cipher::{CipherOptions, cipher};
pub use error::BenchError;
pub use figures::{
    BenchReport, CacheState, Case, CipherRate, CipherReport, CipherWork, IoRate, IoReport, Method, Pattern,
    Skipped, TlbCounting,
};
pub use io::{IoOptions, io};
pub use machine::Machine;

#[cfg(test)]
mod tests;
