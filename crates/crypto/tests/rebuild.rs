//! Rebuilding of chunks whose sectors are a mix of old and new, in every suite and direction.

mod common;

use common::{fingerprints, keys, keys_of, lengths, meta, noise};
use pageseal_crypto::{
    BLOCK_BYTES, ChunkMeta, DerivedKeys, ExpectedBlocks, Fingerprint, Form, RebuildError, Rebuilt,
    SECTOR_BYTES, Suite, TEAR_UNIT_BYTES, Torn, rebuild_chunk,
};
use proptest::prelude::*;

const JOB: u64 = 9;
const FIRST_BLOCK: u64 = 4800;
const SECTORS: usize = BLOCK_BYTES / SECTOR_BYTES;

/// From which form to which. `Resealed` is what a rekey does: another key and another nonce.
#[derive(Debug, Clone, Copy)]
enum Change {
    Sealed,
    Opened,
    Resealed(Suite),
}

/// A chunk in both its forms, and what is needed to rebuild it from a mix of them.
struct Case {
    plaintext: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
    old_meta: Option<ChunkMeta>,
    new_meta: Option<ChunkMeta>,
    old_keys: DerivedKeys,
    new_keys: DerivedKeys,
    fingerprints: Vec<Fingerprint>,
}

impl Case {
    fn new(suite: Suite, change: Change, plaintext: Vec<u8>) -> Self {
        let (old_suite, old_meta, new_meta) = match change {
            Change::Sealed => (suite, None, Some(meta(300))),
            Change::Opened => (suite, Some(meta(300)), None),
            Change::Resealed(from) => (from, Some(meta(300)), Some(ChunkMeta { epoch: 1, ..meta(301) })),
        };
        let (old_keys, new_keys) = (keys_of(old_suite, 1), keys_of(suite, 2));
        let form = |keys: &DerivedKeys, meta: Option<ChunkMeta>| {
            let mut bytes = plaintext.clone();
            if let Some(meta) = meta {
                let _tag = keys.chunk.seal_in_place(&meta, &mut bytes);
            }
            bytes
        };
        Self {
            old: form(&old_keys, old_meta),
            new: form(&new_keys, new_meta),
            fingerprints: fingerprints(&old_keys, JOB, FIRST_BLOCK, &plaintext),
            plaintext,
            old_meta,
            new_meta,
            old_keys,
            new_keys,
        }
    }

    /// The chunk with the sectors new that `is_new` names.
    fn mix(&self, is_new: impl Fn(usize) -> bool) -> Vec<u8> {
        let sectors = self.old.chunks(SECTOR_BYTES).zip(self.new.chunks(SECTOR_BYTES));
        let chosen = sectors.enumerate().map(|(i, (old, new))| if is_new(i) { new } else { old });
        chosen.collect::<Vec<_>>().concat()
    }

    fn rebuild(&self, buf: &mut [u8]) -> Result<Rebuilt, RebuildError> {
        self.rebuild_torn(buf, Torn::BySectors)
    }

    fn rebuild_torn(&self, buf: &mut [u8], torn: Torn) -> Result<Rebuilt, RebuildError> {
        let old = form(&self.old_keys, self.old_meta);
        let new = form(&self.new_keys, self.new_meta);
        rebuild_chunk(buf, &old, &new, torn, &self.expected())
    }

    /// New before `place`, old from there on.
    fn torn_at(&self, place: usize) -> Vec<u8> {
        [&self.new[..place], &self.old[place..]].concat()
    }

    fn expected(&self) -> ExpectedBlocks<'_> {
        ExpectedBlocks {
            key: &self.old_keys.fingerprint,
            job_sequence: JOB,
            first_block: FIRST_BLOCK,
            fingerprints: &self.fingerprints,
        }
    }

    fn assert_rebuilds(&self, is_new: impl Fn(usize) -> bool) -> Rebuilt {
        let mut buf = self.mix(is_new);
        let rebuilt = self.rebuild(&mut buf).unwrap();
        assert!(buf == self.plaintext, "rebuilt, but not to the plaintext");
        let total = rebuilt.old_blocks + rebuilt.new_blocks + rebuilt.mixed_blocks;
        assert_eq!(total as usize, self.fingerprints.len());
        rebuilt
    }

    fn assert_fails(&self, mut buf: Vec<u8>, error: RebuildError) {
        assert_eq!(self.rebuild(&mut buf), Err(error));
        assert!(buf.iter().all(|byte| *byte == 0), "not wiped");
    }
}

fn form(keys: &DerivedKeys, meta: Option<ChunkMeta>) -> Form<'_> {
    meta.map_or(Form::Plain, |meta| Form::Sealed { cipher: &keys.chunk, meta })
}

fn cases(plaintext: &[u8]) -> impl Iterator<Item = Case> + '_ {
    Suite::ALL.into_iter().flat_map(move |suite| {
        [Change::Sealed, Change::Opened]
            .into_iter()
            .chain(Suite::ALL.map(Change::Resealed))
            .map(move |change| Case::new(suite, change, plaintext.to_vec()))
    })
}

#[test]
fn every_combination_of_one_block() {
    // The block before it is mixed too, so that AEGIS starts from a state that the search left.
    let plaintext = noise(1, 2 * BLOCK_BYTES);
    for case in cases(&plaintext) {
        for combination in 0..1usize << SECTORS {
            let rebuilt = case.assert_rebuilds(|sector| match sector.checked_sub(SECTORS) {
                None => sector % 3 == 1,
                Some(sector) => combination >> sector & 1 == 1,
            });
            let expected = match combination {
                0 => (1, 0, 1),
                0xff => (0, 1, 1),
                _ => (0, 0, 2),
            };
            let found = (rebuilt.old_blocks, rebuilt.new_blocks, rebuilt.mixed_blocks);
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn all_old_and_all_new_at_every_length() {
    for len in lengths() {
        let plaintext = noise(2, len);
        let blocks = len.div_ceil(BLOCK_BYTES) as u32;
        for case in cases(&plaintext) {
            let old = case.assert_rebuilds(|_| false);
            assert_eq!((old.old_blocks, old.mixed_blocks), (blocks, 0));
            let new = case.assert_rebuilds(|_| true);
            // A block of one byte may be the same in both forms, and counts as old then.
            assert_eq!((new.old_blocks + new.new_blocks, new.mixed_blocks), (blocks, 0));
            assert!(new.new_blocks >= blocks.saturating_sub(1));
        }
    }
}

#[test]
fn partial_tails_are_mixed_too() {
    for len in [513, 1000, 4095, 4097, 4096 + 700, 3 * 4096 + 2049] {
        let plaintext = noise(3, len);
        for case in cases(&plaintext) {
            case.assert_rebuilds(|sector| sector % 2 == 0);
            case.assert_rebuilds(|sector| sector % 2 == 1);
            let last = (len - 1) / SECTOR_BYTES;
            case.assert_rebuilds(|sector| sector == last);
            case.assert_rebuilds(|sector| sector != last);
        }
    }
}

#[test]
fn the_largest_chunk_torn_in_the_middle() {
    let plaintext = noise(4, 1 << 20);
    for suite in Suite::ALL {
        let case = Case::new(suite, Change::Sealed, plaintext.clone());
        let rebuilt = case.assert_rebuilds(|sector| sector < 1003);
        let found = (rebuilt.old_blocks, rebuilt.new_blocks, rebuilt.mixed_blocks);
        assert_eq!(found, (130, 125, 1));
    }
}

#[test]
fn plaintext_that_repeats_is_no_obstacle() {
    for plaintext in [vec![0; 3 * BLOCK_BYTES], vec![0xff; 3 * BLOCK_BYTES]] {
        for case in cases(&plaintext) {
            case.assert_rebuilds(|sector| sector % 5 < 2);
        }
    }
}

#[test]
fn a_changed_byte_is_reported_with_its_block() {
    let plaintext = noise(5, 3 * BLOCK_BYTES + 100);
    for case in cases(&plaintext) {
        for (position, block) in [(0, 0), (5000, 1), (3 * BLOCK_BYTES - 1, 2), (3 * BLOCK_BYTES + 99, 3)] {
            for keep in [|_| false, |_| true, |sector| sector % 2 == 0] as [fn(usize) -> bool; 3] {
                let mut buf = case.mix(keep);
                buf[position] ^= 1;
                let block = FIRST_BLOCK + block;
                case.assert_fails(buf, RebuildError::NoMatch { block });
            }
        }
    }
}

#[test]
fn a_tear_within_a_sector_is_reported() {
    let plaintext = noise(6, BLOCK_BYTES);
    for case in cases(&plaintext) {
        let torn = [&case.new[..700], &case.old[700..]].concat();
        case.assert_fails(torn, RebuildError::NoMatch { block: FIRST_BLOCK });
    }
}

#[test]
fn a_store_in_order_can_have_stopped_at_any_unit() {
    let plaintext = noise(10, 2 * BLOCK_BYTES + 45);
    let whole = plaintext.len() / TEAR_UNIT_BYTES * TEAR_UNIT_BYTES;
    // Every place of the last block, and in the others every place of the first sector and some of the rest.
    let dense = (BLOCK_BYTES..BLOCK_BYTES + SECTOR_BYTES).step_by(TEAR_UNIT_BYTES);
    let sparse = (0..2 * BLOCK_BYTES).step_by(37 * TEAR_UNIT_BYTES);
    let last = (2 * BLOCK_BYTES..whole).step_by(TEAR_UNIT_BYTES);
    for case in cases(&plaintext) {
        for place in dense.clone().chain(sparse.clone()).chain(last.clone()).chain(whole..=plaintext.len()) {
            let mut buf = case.torn_at(place);
            let rebuilt = case.rebuild_torn(&mut buf, Torn::InOrder).unwrap();
            assert!(buf == plaintext, "torn at {place}");
            assert!(rebuilt.mixed_blocks <= 1);
        }
    }
}

#[test]
fn each_block_can_be_torn_once() {
    let plaintext = noise(11, 3 * BLOCK_BYTES);
    for case in cases(&plaintext) {
        let block = |number: usize, place: usize| {
            let (start, end) = (number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES);
            [&case.new[start..start + place], &case.old[start + place..end]].concat()
        };
        let mut buf = [block(0, 8), block(1, 2048 + 24), block(2, 4088)].concat();
        let rebuilt = case.rebuild_torn(&mut buf, Torn::InOrder).unwrap();
        assert_eq!((buf == plaintext, rebuilt.mixed_blocks), (true, 3));
    }
}

#[test]
fn what_no_store_in_order_leaves_is_reported() {
    let plaintext = noise(12, BLOCK_BYTES);
    for case in cases(&plaintext) {
        let backwards = [&case.old[..704], &case.new[704..]].concat();
        let within_a_unit = case.torn_at(701);
        let twice = [&case.new[..16], &case.old[16..40], &case.new[40..48], &case.old[48..]].concat();
        let mut changed = case.torn_at(704);
        changed[3000] ^= 1;
        for mut buf in [backwards, within_a_unit, twice, changed] {
            let error = RebuildError::NoMatch { block: FIRST_BLOCK };
            assert_eq!(case.rebuild_torn(&mut buf, Torn::InOrder), Err(error));
            assert!(buf.iter().all(|byte| *byte == 0), "not wiped");
        }
    }
}

#[test]
fn fingerprints_of_another_job_or_place_confirm_nothing() {
    let plaintext = noise(7, 2 * BLOCK_BYTES);
    for mut case in cases(&plaintext) {
        let right = case.fingerprints.clone();
        for wrong in [
            fingerprints(&case.old_keys, JOB + 1, FIRST_BLOCK, &plaintext),
            fingerprints(&case.old_keys, JOB, FIRST_BLOCK + 1, &plaintext),
            fingerprints(&keys(Suite::Aegis256X2), JOB, FIRST_BLOCK, &plaintext),
            right.iter().rev().copied().collect(),
        ] {
            case.fingerprints = wrong;
            let buf = case.mix(|_| true);
            case.assert_fails(buf, RebuildError::NoMatch { block: FIRST_BLOCK });
        }
    }
}

#[test]
fn the_number_of_fingerprints_must_fit() {
    let plaintext = noise(8, 2 * BLOCK_BYTES);
    for mut case in cases(&plaintext) {
        case.fingerprints.push([0; 16]);
        let buf = case.mix(|_| true);
        let error = RebuildError::FingerprintCount { blocks: 2, given: 3 };
        case.assert_fails(buf, error);
    }
}

#[test]
fn a_chunk_that_was_to_stay_plain_is_verified() {
    let case = Case::new(Suite::Aegis256X2, Change::Sealed, noise(9, 6000));
    let mut buf = case.plaintext.clone();
    let rebuilt =
        rebuild_chunk(&mut buf, &Form::Plain, &Form::Plain, Torn::InOrder, &case.expected()).unwrap();
    assert_eq!((buf, rebuilt.old_blocks), (case.plaintext, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_mix_of_any_chunk(
        suite in proptest::sample::select(Suite::ALL.to_vec()),
        change in proptest::sample::select(vec![
            Change::Sealed,
            Change::Opened,
            Change::Resealed(Suite::Aegis256X2),
            Change::Resealed(Suite::Xaes256Gcm),
            Change::Resealed(Suite::XChaCha20Poly1305),
        ]),
        plaintext in proptest::collection::vec(any::<u8>(), 0..40_000),
        new_sectors in proptest::collection::vec(any::<bool>(), 80),
    ) {
        Case::new(suite, change, plaintext).assert_rebuilds(|sector| new_sectors[sector]);
    }

    #[test]
    fn any_mix_with_one_changed_byte_fails(
        suite in proptest::sample::select(Suite::ALL.to_vec()),
        seed: u64,
        len in 1usize..20_000,
        new_sectors in proptest::collection::vec(any::<bool>(), 40),
        position: proptest::sample::Index,
        flip in 0u32..8,
    ) {
        // Tails of a few bytes are left out: there a changed byte of one form can be the right byte
        // of the other, and the chunk is then rebuilt rightly.
        prop_assume!(len % SECTOR_BYTES == 0 || len % SECTOR_BYTES >= 32);
        let case = Case::new(suite, Change::Sealed, noise(seed, len));
        let mut buf = case.mix(|sector| new_sectors[sector]);
        let position = position.index(len);
        buf[position] ^= 1 << flip;
        let block = FIRST_BLOCK + (position / BLOCK_BYTES) as u64;
        case.assert_fails(buf, RebuildError::NoMatch { block });
    }
}
