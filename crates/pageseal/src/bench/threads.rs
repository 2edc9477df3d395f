//! How many threads are measured, and the pool that they are.

use std::num::NonZero;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::error::BenchError;

/// Far above any use, far below what a typing error may ask for.
pub(super) const MAX_THREADS: usize = 1024;

/// Threads that this process can run at once.
pub(super) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The number asked for, or all; refused where it makes no sense.
pub(super) fn chosen(threads: Option<usize>) -> Result<usize, BenchError> {
    match threads.unwrap_or_else(|| available().min(MAX_THREADS)) {
        threads @ 1..=MAX_THREADS => Ok(threads),
        threads => Err(BenchError::Threads { threads, max: MAX_THREADS }),
    }
}

/// 1, 2, 4 and so on, and `most` itself.
pub(super) fn steps_up_to(most: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = std::iter::successors(Some(1_usize), |step| step.checked_mul(2))
        .take_while(|step| *step < most)
        .collect();
    steps.push(most);
    steps
}

/// A pool of exactly so many.
pub(super) fn pool(threads: usize) -> Result<ThreadPool, BenchError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("bench-{index}"))
        .build()
        .map_err(|source| BenchError::Pool { threads, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double_and_end_with_all() {
        assert_eq!(steps_up_to(1), [1]);
        assert_eq!(steps_up_to(2), [1, 2]);
        assert_eq!(steps_up_to(6), [1, 2, 4, 6]);
        assert_eq!(steps_up_to(8), [1, 2, 4, 8]);
    }

    #[test]
    fn no_threads_and_too_many_are_refused() {
        for threads in [0, MAX_THREADS + 1] {
            assert!(matches!(chosen(Some(threads)), Err(BenchError::Threads { .. })));
        }
        assert_eq!(chosen(Some(3)).unwrap(), 3);
        assert!(chosen(None).unwrap() >= 1);
    }
}
