//! Stores that can be stopped at one place only.
//!
//! A process is killed between two instructions, never within one. So if each byte is stored by one instruction and they
//! run in the order of addresses, what a killed process leaves is new up to some place and old from there on, for everybody who
//! reads the memory later: the kernel orders what a thread did before its end before whatever learns of that end. `memcpy` promises
//! none of this: it may store from the end, in overlapping pieces, or by an instruction that is itself interrupted.

use std::ptr;

/// Where a store that was stopped has its border: at a multiple of this, in bytes, or among the last bytes of the range if its
/// length is not a multiple.
pub const STORE_UNIT_BYTES: usize = 8;

/// Copies `new` over `memory` in ascending order of addresses.
///
/// # Panics
/// If their lengths differ, or `memory` does not begin at a multiple of [`STORE_UNIT_BYTES`].
pub(crate) fn store_in_order(memory: &mut [u8], new: &[u8]) {
    assert_eq!(memory.len(), new.len(), "as many bytes as the range has");
    if new.is_empty() {
        // It has no address that could be aligned.
        return;
    }
    assert!(memory.as_ptr().addr().is_multiple_of(STORE_UNIT_BYTES), "units are aligned in memory");
    let units = new.chunks_exact(STORE_UNIT_BYTES);
    let tail = units.remainder();
    let whole = memory.len() - tail.len();
    let mut at = memory.as_mut_ptr().cast::<u64>();
    for unit in units {
        let value = u64::from_ne_bytes(unit.try_into().unwrap_or_default());
        // SAFETY: `at` is aligned (asserted for the first, and each step is a unit) and lies in `memory`, which has as many whole
        // units as `new`. Volatile stores are neither merged, split nor exchanged for a call by the compiler.
        unsafe { ptr::write_volatile(at, value) };
        at = at.wrapping_add(1);
    }
    for (byte, value) in memory[whole..].iter_mut().zip(tail) {
        // SAFETY: a reference is valid for a store.
        unsafe { ptr::write_volatile(byte, *value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_stored_over_nothing() {
        store_in_order(&mut [], &[]);
    }

    #[test]
    fn every_length_is_copied_whole() {
        for len in (0..70).chain([4095, 4096]) {
            let mut memory = vec![0_u64; len / 8 + 1];
            let bytes = bytes_of(&mut memory);
            let new: Vec<u8> = (0..len).map(|at| at as u8 ^ 0x5A).collect();
            store_in_order(&mut bytes[..len], &new);
            assert_eq!(bytes[..len], new);
            assert!(bytes[len..].iter().all(|byte| *byte == 0));
        }
    }

    /// The bytes of aligned memory.
    fn bytes_of(memory: &mut [u64]) -> &mut [u8] {
        let len = memory.len() * 8;
        // SAFETY: every byte of a u64 is a valid u8, and the borrow goes over to the result.
        unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), len) }
    }
}
