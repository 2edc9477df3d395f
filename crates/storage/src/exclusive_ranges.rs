//! Which ranges of a mapping are handed out at this moment.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Disjoint ranges in use. This is what makes two `&mut [u8]` over the same memory impossible, so it
/// is part of the proof of every unsafe block that makes one.
#[derive(Debug, Default)]
pub(crate) struct ExclusiveRanges {
    /// Start to end (exclusive) of each range in use; no two overlap, none is empty.
    in_use: Mutex<BTreeMap<usize, usize>>,
}

impl ExclusiveRanges {
    /// Takes `[start, end)` until the guard is dropped. `None` if a part of it is in use, or if the
    /// range is empty.
    pub(crate) fn take(&self, start: usize, end: usize) -> Option<RangeGuard<'_>> {
        if start >= end {
            return None;
        }
        let mut in_use = self.locked();
        // Ranges in use are disjoint, so the last one that starts before `end` also ends last.
        let is_free = in_use.range(..end).next_back().is_none_or(|(_, taken_end)| *taken_end <= start);
        is_free.then(|| {
            in_use.insert(start, end);
            RangeGuard { ranges: self, start, end }
        })
    }

    /// No code panics while it holds the lock, and each change is a single insert or remove.
    fn locked(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A range that is in use while this lives.
#[derive(Debug)]
pub(crate) struct RangeGuard<'a> {
    ranges: &'a ExclusiveRanges,
    start: usize,
    end: usize,
}

impl RangeGuard<'_> {
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn belongs_to(&self, ranges: &ExclusiveRanges) -> bool {
        std::ptr::eq(self.ranges, ranges)
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        self.ranges.locked().remove(&self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_refused_and_neighbours_are_not() {
        let ranges = ExclusiveRanges::default();
        let middle = ranges.take(10, 20).unwrap();
        for (start, end) in [(10, 20), (5, 11), (19, 25), (12, 13), (0, 100), (20, 20), (30, 20)] {
            assert!(ranges.take(start, end).is_none(), "{start}..{end}");
        }
        let before = ranges.take(0, 10).unwrap();
        let after = ranges.take(20, 30).unwrap();
        drop(middle);
        assert!(ranges.take(9, 12).is_none());
        assert!(ranges.take(12, 21).is_none());
        assert!(ranges.take(10, 20).is_some());
        drop((before, after));
        assert!(ranges.take(0, 100).is_some());
    }
}
