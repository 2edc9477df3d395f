//! No journal makes the reader panic, not even one whose writer has the key.
#![cfg(not(miri))] // Thousands of checksums, each of which takes Miri seconds.

mod common;

use std::sync::Arc;

use common::job::World;
use common::{MemLog, auth, fix_checksum, header, sign};
use pageseal_format::journal::{JobKind, RecordKind, Resilience};
use pageseal_format::{Limits, labels};
use pageseal_journal::Journal;
use proptest::collection::vec;
use proptest::prelude::*;

/// The journal of a job with payloads, as it lies there after so many operations.
fn sample(operations: usize) -> Vec<u8> {
    let kind = RecordKind::FingerprintsAndPayload;
    let header = header(JobKind::Encrypt, Resilience::Journal, kind, 3);
    let mut world = World::new(header);
    world.reverse_at = Some(4);
    let log = MemLog::default();
    log.stop_at(operations);
    let _ = world.run(&log);
    log.bytes()
}

/// Everything that can be asked of a journal.
fn read_all(bytes: Vec<u8>) {
    let log = Arc::new(MemLog::of_bytes(bytes));
    let Ok(opened) = Journal::open(log, &Limits::TEST) else {
        return;
    };
    let _ = opened.phase_unverified();
    let _ = opened.inspect(&*auth());
    let Ok((mut journal, replay)) = opened.verify(auth()) else {
        return;
    };
    let mut mark = journal.settled_at_start();
    let _ = journal.must_settle_before_commit();
    for window in replay.in_flight {
        let mut buf = vec![0; window.record().payload_len as usize];
        let _ = journal.read_payload(&window, 0, &mut buf);
        mark = window.settled();
    }
    let (phase, direction) = (journal.phase().phase, journal.phase().direction);
    let _ = journal.set_phase(phase, direction, true, &mark);
    let _ = journal.reserve_slot(mark.watermark(), 1);
}

/// Structures with a tail: offset, length, label.
fn parts(slots: [usize; 3]) -> [(usize, usize, &'static [u8]); 8] {
    // Records of windows of 2 chunks: 128 + 256 + 32 + 64.
    [
        (0, 4096, labels::JOURNAL),
        (8192, 4096, labels::SUPERBLOCK),
        (12288, 24576, labels::SLOTS),
        (36864, 4096, labels::PHASE),
        (40960, 4096, labels::PHASE),
        (slots[0], 480, labels::WINDOW),
        (slots[1], 480, labels::WINDOW),
        (slots[2], 480, labels::WINDOW),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn mutated_journals(
        operations in 5_usize..60,
        changes in vec((0_usize..8, any::<prop::sample::Index>(), any::<u8>()), 1..5),
        repair in 0_u8..3,
        len in any::<prop::sample::Index>(),
        cut in prop::bool::weighted(0.1),
    ) {
        let mut bytes = sample(operations);
        let stride = 4096 + 8192;
        let parts = parts([45056, 45056 + stride, 45056 + 2 * stride]);
        for (part, at, value) in changes {
            let (offset, part_len, label) = parts[part];
            let Some(part) = bytes.get_mut(offset..offset + part_len) else { continue };
            // The fields are at the start.
            part[at.index(part_len.min(160))] = value;
            match repair {
                0 => {}
                1 => fix_checksum(part),
                _ => sign(part, label, &auth()),
            }
        }
        if cut {
            bytes.truncate(len.index(bytes.len() + 1));
        }
        read_all(bytes);
    }

    #[test]
    fn garbage(bytes in vec(any::<u8>(), 0..60_000)) {
        read_all(bytes);
    }
}
