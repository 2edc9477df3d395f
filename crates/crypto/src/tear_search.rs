//! The search for a tear: a block that was stored over in ascending order and left half-way (see [`Torn::InOrder`]).
//!
//! Before the place it is new, from there on old, so there are only as many readings as places. That of the new part does not depend
//! on the place. With AEGIS that of the old part does, and is read again for each: all plaintext before a unit goes into it.
//!
//! [`Torn::InOrder`]: crate::Torn::InOrder

use zeroize::Zeroizing;

use crate::aegis_recovery::UNIT_BYTES;
use crate::rebuild::{RebuildError, TEAR_UNIT_BYTES};
use crate::rebuild_search::{BlockSearch, Readers};

// Whole units of a store make up a unit of the cipher.
const _: () = assert!(UNIT_BYTES.is_multiple_of(TEAR_UNIT_BYTES));

/// The one reading with a tear that the fingerprint confirms, if there is one. `new` is the block read as all-new; `chunk` as in
/// [`BlockSearch::run`].
pub(crate) fn find_tear(
    block: &BlockSearch<'_>,
    readers: &mut Readers<'_>,
    chunk: &mut [u8],
    new: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, RebuildError> {
    let mut found: Option<Zeroizing<Vec<u8>>> = None;
    for place in places(block.stored.len()) {
        read_torn(block, readers, chunk, new, place);
        let reading = &chunk[block.offset_bytes..];
        if !(block.confirms)(reading) {
            continue;
        }
        match &found {
            Some(earlier) if earlier.as_slice() != reading => return Err(block.ambiguous()),
            Some(_) => {}
            None => found = Some(Zeroizing::new(reading.to_vec())),
        }
    }
    Ok(found)
}

/// Where a block of this length can be torn.
fn places(len: usize) -> impl Iterator<Item = usize> {
    let whole = len - len % TEAR_UNIT_BYTES;
    (TEAR_UNIT_BYTES..whole).step_by(TEAR_UNIT_BYTES).chain(whole.max(1)..len)
}

/// Reads the block as new before `place` and as old from there on.
fn read_torn(block: &BlockSearch<'_>, readers: &mut Readers<'_>, chunk: &mut [u8], new: &[u8], place: usize) {
    let start = block.offset_bytes;
    // Old bytes are read from the start of their unit, whose own new bytes are put back before anything behind it is read.
    let unit = place / UNIT_BYTES * UNIT_BYTES;
    let unit_end = (unit + UNIT_BYTES).min(block.stored.len());
    chunk[start..start + unit].copy_from_slice(&new[..unit]);
    readers.old.read(chunk, start + unit, &block.stored[unit..unit_end]);
    chunk[start + unit..start + place].copy_from_slice(&new[unit..place]);
    if unit_end < block.stored.len() {
        readers.old.read(chunk, start + unit_end, &block.stored[unit_end..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_units_and_the_last_bytes() {
        assert_eq!(places(0).count(), 0);
        assert_eq!(places(1).count(), 0);
        assert_eq!(places(5).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(places(8).count(), 0);
        assert_eq!(places(19).collect::<Vec<_>>(), [8, 16, 17, 18]);
        assert_eq!(places(4096).count(), 511);
    }
}
