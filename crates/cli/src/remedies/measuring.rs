//! What to do about a demonstration or a measurement that was not made.

use pageseal::bench::BenchError;
use pageseal::demo::DemoError;
use pageseal::{JobError, Refusal};

use super::MORE_THREADS;

pub fn of_demo(error: &DemoError) -> String {
    match error {
        DemoError::NoThreads => "try another --threads N".into(),
        DemoError::Pool { .. } => MORE_THREADS.into(),
        DemoError::NoSpace { .. } => "make it smaller with --size, or go elsewhere with --dir DIR".into(),
        DemoError::Io { .. } => "choose a folder that can be written with --dir DIR".into(),
        DemoError::Verification { .. } => "test the memory and the disk of this machine".into(),
        _ => "see `pageseal demo --help`".into(),
    }
}

pub fn of_bench(error: &BenchError) -> String {
    match error {
        BenchError::Threads { .. } => "try another --threads N".into(),
        BenchError::Pool { .. } => MORE_THREADS.into(),
        BenchError::Job { source } if matches!(**source, JobError::Refused(Refusal::Threads { .. })) => {
            MORE_THREADS.into()
        }
        BenchError::TooSmall { .. } => "ask for at least --size 1MiB".into(),
        BenchError::NoSpace { .. } | BenchError::Job { .. } => {
            "ask for less with --size, or name a folder on another disk".into()
        }
        BenchError::FileTooShort { .. } | BenchError::NotMeasurable { .. } => {
            "name a folder or a longer file: `pageseal bench io DIR`".into()
        }
        BenchError::Io { .. } => "name a folder that can be written, or a file that can be read".into(),
        _ => "see `pageseal bench --help`".into(),
    }
}
