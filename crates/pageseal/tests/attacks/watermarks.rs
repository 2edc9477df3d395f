//! A watermark that says that more, or less, is converted than is.

use std::fs;
use std::ops::Range;

use pageseal::ErrorClass::Damaged;
use pageseal_format::journal::{PHASE_LEN, PHASE_OFFSETS, RING_OFFSET};

use crate::place::{LEN, Place, Resume, ResumeDecrypt, Rollback};
use crate::support::{digest, fix_checksum, layout};

/// The parts of a journal that hold a watermark: where it stands in each, and the part.
fn holders(journal: &[u8]) -> Vec<(usize, Range<usize>)> {
    let phases = PHASE_OFFSETS.map(|offset| offset as usize);
    let mut found: Vec<_> = phases.map(|start| (start + 40, start..start + PHASE_LEN)).into();
    let stride = u64::from_le_bytes(journal[72..80].try_into().unwrap()) as usize;
    for slot in 0..usize::from(journal[15]) {
        let start = RING_OFFSET as usize + slot * stride;
        let count = |skip: usize| {
            u32::from_le_bytes(journal[start + skip..start + skip + 4].try_into().unwrap()) as usize
        };
        if journal[start..].starts_with(b"PGSLWIND") {
            found.push((start + 56, start..start + 128 + 128 * count(36) + 16 * count(64) + 64));
        }
    }
    found
}

/// Every watermark of the journal set to `to`, with right checksums; or only that of one part.
fn moved(journal: &[u8], only: Option<usize>, to: u64) -> Vec<u8> {
    let mut forged = journal.to_vec();
    for (index, (at, part)) in holders(journal).into_iter().enumerate() {
        if only.is_none_or(|only| only == index) && forged[part.clone()].iter().any(|byte| *byte != 0) {
            forged[at..at + 8].copy_from_slice(&to.to_le_bytes());
            fix_checksum(&mut forged[part]);
        }
    }
    forged
}

fn assert_moves_are_refused(place: &Place, path: &std::path::Path, journal: &[u8]) {
    let chunks = layout(LEN).chunk_count();
    // Where both of a job's phase blocks and all records already say this, nothing would be moved.
    for to in [1, 65, chunks, chunks + 1, u64::MAX] {
        let parts = (0..holders(journal).len()).map(Some).chain([None]);
        for only in parts {
            let forged = moved(journal, only, to);
            if forged == journal {
                continue;
            }
            fs::write(place.journal(), &forged).unwrap();
            let expected = [(Resume, Damaged), (ResumeDecrypt, Damaged), (Rollback, Damaged)];
            place.assert_refused(path, &format!("watermark {to} in part {only:?}"), &expected);
        }
    }
    fs::write(place.journal(), journal).unwrap();
}

#[test]
fn a_moved_watermark_of_an_encrypt_is_refused() {
    let place = Place::new();
    let content = place.make(LEN);
    let journal = place.encrypt_half();
    assert_moves_are_refused(&place, &place.file(), &journal);
    place.run(Rollback, &place.file()).unwrap();
    assert_eq!(digest(&place.file()), content);
}

#[test]
fn a_moved_watermark_of_a_decrypt_is_refused() {
    let place = Place::new();
    let content = place.make(LEN);
    place.encrypt();
    let journal = place.decrypt_half();
    assert_moves_are_refused(&place, &place.sealed(), &journal);
    place.run(ResumeDecrypt, &place.sealed()).unwrap();
    assert_eq!(digest(&place.file()), content);
}

/// A watermark that moves because the newer phase block and all records are destroyed, and the older block counts: its MAC is right.
#[test]
fn a_watermark_moved_back_by_destroying_the_newest_phase_is_refused() {
    let place = Place::new();
    let content = place.make(LEN);
    let journal = place.encrypt_half();
    let sequence = |offset: u64| {
        u64::from_le_bytes(journal[offset as usize + 8..offset as usize + 16].try_into().unwrap())
    };
    let newest = PHASE_OFFSETS.into_iter().max_by_key(|offset| sequence(*offset)).unwrap() as usize;
    // With the records still there they tell how far the job is, as after a crash in the middle of writing a phase. Without:
    let mut forged = journal.clone();
    forged[newest..newest + PHASE_LEN].fill(0);
    forged[RING_OFFSET as usize..].fill(0);
    fs::write(place.journal(), &forged).unwrap();
    place.assert_refused(&place.file(), "older phase, no record", &[(Resume, Damaged), (Rollback, Damaged)]);
    fs::write(place.journal(), &journal).unwrap();
    place.run(Rollback, &place.file()).unwrap();
    assert_eq!(digest(&place.file()), content);
}
