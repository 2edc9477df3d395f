//! The pool, and the parts that it is given.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::error::DemoError;

/// Far above any use, far below what a typing error may ask for.
const MAX_THREADS: usize = 1024;

/// A range of the file that one worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// Its length in bytes, possibly 0.
    pub(super) len_bytes: usize,
}

/// A pool of its own: the exercise is about exactly so many workers.
pub(super) struct Workers {
    pool: ThreadPool,
    threads: usize,
}

impl Workers {
    pub(super) fn new(threads: usize) -> Result<Self, DemoError> {
        if threads == 0 {
            // The pool would take this as "all cores".
            return Err(DemoError::NoThreads);
        }
        if threads > MAX_THREADS {
            return Err(DemoError::TooManyThreads { threads, max: MAX_THREADS });
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("demo-{index}"))
            .build()
            .map_err(|source| DemoError::Pool { threads, source })?;
        Ok(Workers { pool, threads })
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// As many equal parts as there are workers; the last one takes the remainder too.
    pub(super) fn parts(&self, len_bytes: u64) -> Vec<Part> {
        let threads = self.threads as u64;
        let equal_bytes = len_bytes / threads;
        (0..threads)
            .map(|index| {
                let offset = index * equal_bytes;
                let is_last = index + 1 == threads;
                let part_bytes = if is_last { len_bytes - offset } else { equal_bytes };
                Part { offset, len_bytes: part_bytes as usize }
            })
            .collect()
    }

    /// Hands out every item by itself and returns when the last one is done, with the results in the
    /// order of the items, or with the first error in that order.
    pub(super) fn each<I, R, F>(&self, items: I, work: F) -> Result<Vec<R>, DemoError>
    where
        I: IntoParallelIterator<Iter: IndexedParallelIterator> + Send,
        R: Send,
        F: Fn(I::Item) -> Result<R, DemoError> + Send + Sync,
    {
        let results: Vec<Result<R, DemoError>> =
            self.pool.install(|| items.into_par_iter().with_max_len(1).map(work).collect());
        results.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_and_the_last_takes_the_remainder() {
        let lengths = |threads, len_bytes| -> Vec<usize> {
            let workers = Workers::new(threads).unwrap();
            workers.parts(len_bytes).iter().map(|part| part.len_bytes).collect()
        };
        assert_eq!(lengths(4, 0), [0; 4]);
        assert_eq!(lengths(4, 3), [0, 0, 0, 3]);
        assert_eq!(lengths(4, 64 << 20), [16 << 20; 4]);
        assert_eq!(lengths(3, 11), [3, 3, 5]);
    }

    #[test]
    fn parts_lie_side_by_side() {
        let workers = Workers::new(7).unwrap();
        let mut end = 0;
        for part in workers.parts(1000) {
            assert_eq!(part.offset, end);
            end += part.len_bytes as u64;
        }
        assert_eq!(end, 1000);
    }

    #[test]
    fn the_first_error_in_order_wins() {
        let workers = Workers::new(4).unwrap();
        let failing = |index: u64| match index {
            2 | 5 => Err(DemoError::Verification { job: super::super::DemoJob::Xor, offset: index }),
            _ => Ok(index),
        };
        let error = workers.each((0..8).collect::<Vec<u64>>(), failing).unwrap_err();
        assert!(matches!(error, DemoError::Verification { offset: 2, .. }), "{error:?}");
        assert_eq!(workers.each(vec![1, 0], failing).unwrap(), [1, 0]);
    }
}
