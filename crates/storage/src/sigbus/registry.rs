//! Which addresses are mappings of ours: read by a signal handler, so fixed in size and free of locks.
//!
//! Each mapping has a slot. A slot's state counts up with every change, so the handler can tell whether
//! the two addresses it read belong together. Everything is sequentially consistent: registration is
//! rare, and the proof stays short.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

/// How many mappings can exist at once in the process.
pub(crate) const LIMIT: usize = 1024;

const FREE: u64 = 0;
const CHANGING: u64 = 1;
const ACTIVE: u64 = 2;
const KIND_MASK: u64 = 3;
/// Added to a state, it changes the count and leaves the kind.
const COUNT_ONE: u64 = 4;

struct Slot {
    /// A count and, in the lowest two bits, FREE, CHANGING or ACTIVE.
    state: AtomicU64,
    start: AtomicUsize,
    end: AtomicUsize,
    poisoned: AtomicBool,
}

static SLOTS: [Slot; LIMIT] = [const {
    Slot {
        state: AtomicU64::new(FREE),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        poisoned: AtomicBool::new(false),
    }
}; LIMIT];

/// A mapping known to the handler, until dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    index: usize,
}

impl Registration {
    /// Registers the addresses `[start, end)`; `None` if every slot is taken.
    pub(crate) fn new(start: usize, end: usize) -> Option<Self> {
        let index = SLOTS.iter().position(Slot::claim)?;
        let slot = &SLOTS[index];
        slot.start.store(start, SeqCst);
        slot.end.store(end, SeqCst);
        slot.poisoned.store(false, SeqCst);
        slot.become_kind(ACTIVE);
        Some(Self { index })
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        SLOTS[self.index].poisoned.load(SeqCst)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        SLOTS[self.index].become_kind(FREE);
    }
}

impl Slot {
    fn claim(&self) -> bool {
        let state = self.state.load(SeqCst);
        state & KIND_MASK == FREE
            && self.state.compare_exchange(state, state | CHANGING, SeqCst, SeqCst).is_ok()
    }

    /// Called by the slot's one owner only.
    fn become_kind(&self, kind: u64) {
        let count = self.state.load(SeqCst) & !KIND_MASK;
        self.state.store(count.wrapping_add(COUNT_ONE) | kind, SeqCst);
    }

    /// Start and end as they were at one moment, if the slot was active then.
    fn addresses(&self) -> Option<(usize, usize)> {
        let before = self.state.load(SeqCst);
        let (start, end) = (self.start.load(SeqCst), self.end.load(SeqCst));
        let unchanged = self.state.load(SeqCst) == before;
        (before & KIND_MASK == ACTIVE && unchanged).then_some((start, end))
    }
}

/// Marks the mapping that `address` lies in as poisoned and gives its end; `None` if it is none of
/// ours. `round_up_to` is the page size: the tail of the last page belongs to the mapping as well.
///
/// Safe to call from a signal handler: atomics only.
pub(super) fn poison(address: usize, round_up_to: usize) -> Option<usize> {
    SLOTS.iter().find_map(|slot| {
        let (start, end) = slot.addresses()?;
        let end = end.checked_next_multiple_of(round_up_to)?;
        (start <= address && address < end).then(|| {
            slot.poisoned.store(true, SeqCst);
            end
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Addresses that no mapping can have, so that tests of one process do not meet.
    const FAR: usize = 1 << 60;

    #[test]
    fn only_addresses_of_registered_mappings_are_ours() {
        let first = Registration::new(FAR, FAR + 5000).unwrap();
        let second = Registration::new(FAR + 8192, FAR + 12288).unwrap();
        assert_eq!(poison(FAR - 1, 4096), None);
        assert_eq!(poison(FAR + 12288, 4096), None);
        assert!(!first.is_poisoned() && !second.is_poisoned());
        assert_eq!(poison(FAR + 8191, 4096), Some(FAR + 8192));
        assert!(first.is_poisoned() && !second.is_poisoned());
        drop(first);
        assert_eq!(poison(FAR + 100, 4096), None);
    }

    #[test]
    fn a_slot_used_again_starts_clean() {
        let start = FAR + (1 << 30);
        for _ in 0..3 * LIMIT {
            let registration = Registration::new(start, start + 1).unwrap();
            assert!(!registration.is_poisoned());
            assert!(poison(start, 4096).is_some());
            assert!(registration.is_poisoned());
        }
    }
}
