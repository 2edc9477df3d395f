//! What a damaged, forged, foreign or mixed-up journal is called, and what is passed over.

mod common;

use std::sync::Arc;

use common::{MemLog, TestAuth, auth, chunk_records, create, encrypt, fix_checksum, sign};
use pageseal_format::journal::{Direction, JournalHeader, KeyArea, Phase, PhaseRecord, WindowRecord};
use pageseal_format::{FormatError, Limits, labels};
use pageseal_journal::{Contradiction, Journal, JournalError, Part, Replay, WindowPlan};

const FORWARD: Direction = Direction::Forward;
const PHASES: [usize; 2] = [36864, 40960];
const BLOCK: usize = 4096;

/// A running job with 4 slots: windows of 1 chunk, 1 and 2 settled and retired by 3, windows 2 to 5 in the ring.
fn journal_bytes(header: &JournalHeader) -> Vec<u8> {
    let log = MemLog::default();
    let mut journal = create(&log, header).unwrap();
    let mut mark = journal.settled_at_start();
    journal.set_phase(Phase::Grown, FORWARD, true, &mark).unwrap();
    journal.set_phase(Phase::Running, FORWARD, true, &mark).unwrap();
    for first in 0..5 {
        let slot = journal.reserve_slot(first, 1).unwrap();
        let plan = WindowPlan {
            direction: FORWARD,
            first_chunk: first,
            payload_len: 0,
            chunks: chunk_records(first, 1, 0),
            fingerprints: vec![[0; 16]],
        };
        let window = journal.commit(slot, plan, &mark).unwrap();
        if first < 2 {
            mark = window.settled();
        }
    }
    log.bytes()
}

fn verify(bytes: &[u8]) -> Result<(Journal, Replay), JournalError> {
    let log = MemLog::of_bytes(bytes.to_vec());
    let opened = Journal::open(Arc::new(log.clone()), &Limits::TEST)?;
    let inspected = opened.inspect(&*auth());
    assert_eq!(log.operations(), 0, "an inspection writes nothing");
    let verified = opened.verify(auth());
    assert_eq!(inspected.is_ok(), verified.is_ok());
    if verified.is_err() {
        assert_eq!(log.bytes(), bytes, "a refused journal is not touched");
    }
    verified
}

/// Where window `sequence` lies: a record of one chunk, 128 + 128 + 16 + 64 bytes.
fn record(header: &JournalHeader, sequence: u64) -> std::ops::Range<usize> {
    let start = header.slot_offset(sequence) as usize;
    start..start + 336
}

fn phase_at(bytes: &[u8], block: usize) -> PhaseRecord {
    PhaseRecord::parse(&bytes[PHASES[block]..][..BLOCK]).unwrap()
}

fn put_phase(bytes: &mut [u8], block: usize, phase: &PhaseRecord) {
    let encoded = phase.encode(|_| [0; 32]);
    bytes[PHASES[block]..][..BLOCK].copy_from_slice(&encoded[..]);
    sign(&mut bytes[PHASES[block]..][..BLOCK], labels::PHASE, &auth());
}

fn change_record(
    bytes: &mut [u8],
    header: &JournalHeader,
    sequence: u64,
    change: impl FnOnce(&mut WindowRecord),
) {
    let range = record(header, sequence);
    let mut parsed = WindowRecord::parse(&bytes[range.clone()], header).unwrap();
    change(&mut parsed);
    let mut encoded = parsed.encode(header, |_| [0; 32]).unwrap();
    sign(&mut encoded, labels::WINDOW, &auth());
    bytes[range].copy_from_slice(&encoded);
}

fn contradiction(result: Result<(Journal, Replay), JournalError>) -> Contradiction {
    match result {
        Err(JournalError::Inconsistent { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_untouched_journal_and_what_it_says() {
    let header = encrypt(4);
    let bytes = journal_bytes(&header);
    let (journal, replay) = verify(&bytes).unwrap();
    assert_eq!((replay.settled_sequence, replay.watermark), (2, 2));
    assert_eq!(replay.phase.phase, Phase::Running);
    let sequences: Vec<_> = replay.in_flight.iter().map(|w| w.record().sequence).collect();
    assert_eq!(sequences, [3, 4, 5]);
    let start = journal.settled_at_start();
    assert_eq!((start.sequence(), start.watermark()), (2, 2));
    let log = Arc::new(MemLog::of_bytes(bytes));
    let opened = Journal::open(log, &Limits::TEST).unwrap();
    assert_eq!(opened.header(), &header);
    assert_eq!(opened.key_area(), &KeyArea::Outside { wrapped: [0x77; 72] });
    assert_eq!(opened.superblock(), &common::superblock(&header));
    assert_eq!(opened.slot_area(), &common::slot_area(&header));
    assert_eq!(opened.superblock_block()[..8], *b"PAGESEAL");
    assert_eq!(opened.slot_area_bytes().len(), 24576);
    assert_eq!(opened.phase_unverified(), Some(replay.phase));
}

#[test]
fn what_lies_behind_a_record_stays_when_the_record_is_written_again() {
    let header = encrypt(4);
    let mut bytes = journal_bytes(&header);
    // Not covered by the record; the caller may still refuse the job, and must have changed nothing then.
    let behind = record(&header, 4).end;
    bytes[behind + 10] = 7;
    let log = MemLog::of_bytes(bytes.clone());
    Journal::open(Arc::new(log.clone()), &Limits::TEST).unwrap().verify(auth()).unwrap();
    assert!(log.bytes() == bytes);
}

#[test]
fn settled_slots_are_passed_over_and_may_be_torn() {
    let header = encrypt(4);
    let mut bytes = journal_bytes(&header);
    // Window 2, which window 6 would overwrite.
    bytes[record(&header, 2)][200] ^= 1;
    let (_, replay) = verify(&bytes).unwrap();
    assert_eq!(replay.in_flight.len(), 3);
    // The newest may have been torn by the crash: its commit had not returned.
    let mut torn = journal_bytes(&header);
    torn[record(&header, 5)][335] ^= 1;
    assert_eq!(verify(&torn).unwrap().1.in_flight.len(), 2);
    // Impossible counts and garbage are no record either.
    for (at, value) in [(36, 0xff), (39, 0xff), (64, 0xff), (67, 0xff), (0, 0)] {
        let mut garbage = journal_bytes(&header);
        garbage[record(&header, 5)][at] = value;
        assert_eq!(verify(&garbage).unwrap().1.in_flight.len(), 2);
    }
}

#[test]
fn a_window_missing_in_the_middle_is_damage() {
    let header = encrypt(4);
    for missing in [3, 4] {
        let mut bytes = journal_bytes(&header);
        bytes[record(&header, missing)].fill(0);
        match verify(&bytes) {
            Err(JournalError::MissingWindow { sequence, newest: 5 }) => assert_eq!(sequence, missing),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn wrong_macs_are_forgeries() {
    let header = encrypt(4);
    let forged = |range: std::ops::Range<usize>, at: usize| {
        let mut bytes = journal_bytes(&header);
        let part = &mut bytes[range];
        part[at] ^= 1;
        fix_checksum(part);
        match verify(&bytes) {
            Err(JournalError::Forged { part }) => part,
            other => panic!("{other:?}"),
        }
    };
    // The job id, the record's watermark and entries, a settled window, both phases, even an unknown phase.
    assert_eq!(forged(0..BLOCK, 16), Part::Header);
    assert_eq!(forged(record(&header, 5), 56), Part::RingSlot(1));
    assert_eq!(forged(record(&header, 4), 130), Part::RingSlot(0));
    assert_eq!(forged(record(&header, 2), 16), Part::RingSlot(2));
    for (block, at) in (0..).zip(PHASES) {
        assert_eq!(forged(at..at + BLOCK, 40), Part::Phase(block));
        assert_eq!(forged(at..at + BLOCK, 39), Part::Phase(block));
    }
    let bytes = journal_bytes(&header);
    let opened = Journal::open(Arc::new(MemLog::of_bytes(bytes)), &Limits::TEST).unwrap();
    let wrong_key = opened.verify(Arc::new(TestAuth(2)));
    assert!(matches!(wrong_key, Err(JournalError::Forged { part: Part::Header })));
}

#[test]
fn authentic_bytes_that_version_1_refuses_are_named() {
    let header = encrypt(4);
    let mut bytes = journal_bytes(&header);
    let part = &mut bytes[record(&header, 5)];
    part[127] = 1;
    sign(part, labels::WINDOW, &auth());
    let source = FormatError::Reserved { offset: 127 };
    match verify(&bytes) {
        Err(JournalError::Invalid { part: Part::RingSlot(1), source: found }) => assert_eq!(found, source),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_of_another_job_of_the_same_file_are_foreign() {
    let header = encrypt(4);
    let mut other = header.clone();
    other.job_id = [0x33; 16];
    let (own, foreign) = (journal_bytes(&header), journal_bytes(&other));
    let mut bytes = own.clone();
    bytes[record(&header, 5)].copy_from_slice(&foreign[record(&header, 5)]);
    let result = verify(&bytes);
    assert!(
        matches!(result, Err(JournalError::ForeignJob { part: Part::RingSlot(1), found }) if found == [0x33; 16])
    );
    let mut bytes = own;
    bytes[PHASES[1]..][..BLOCK].copy_from_slice(&foreign[PHASES[1]..][..BLOCK]);
    assert!(matches!(verify(&bytes), Err(JournalError::ForeignJob { part: Part::Phase(1), .. })));
}

#[test]
fn authentic_parts_in_the_wrong_place_are_named() {
    let header = encrypt(4);
    let own = journal_bytes(&header);
    let mut bytes = own.clone();
    bytes.copy_within(record(&header, 5), record(&header, 3).start);
    let result = verify(&bytes);
    assert!(matches!(result, Err(JournalError::Misplaced { part: Part::RingSlot(3), sequence: 5 })));
    let mut bytes = own;
    bytes.copy_within(PHASES[1]..PHASES[1] + BLOCK, PHASES[0]);
    assert!(matches!(verify(&bytes), Err(JournalError::Misplaced { part: Part::Phase(0), sequence: 3 })));
}

#[test]
fn one_phase_may_be_torn_but_not_both() {
    let header = encrypt(4);
    let own = journal_bytes(&header);
    let mut bytes = own.clone();
    bytes[PHASES[0]] ^= 1;
    assert_eq!(verify(&bytes).unwrap().1.phase.sequence, 3);
    bytes[PHASES[1] + 100] ^= 1;
    assert!(matches!(verify(&bytes), Err(JournalError::NoPhase)));
    // Back to GROWN, with windows in the ring: nothing that a crash can do.
    let mut bytes = own;
    bytes[PHASES[1] + 100] ^= 1;
    assert_eq!(contradiction(verify(&bytes)), Contradiction::WindowsOutsideRunning);
}

#[test]
fn authentic_contradictions_are_named() {
    let header = encrypt(4);
    let own = journal_bytes(&header);
    let phase = phase_at(&own, 1);
    let with_phase = |changed: PhaseRecord| {
        let mut bytes = own.clone();
        put_phase(&mut bytes, (changed.sequence % 2) as usize, &changed);
        contradiction(verify(&bytes))
    };
    assert_eq!(with_phase(PhaseRecord { sequence: 5, ..phase }), Contradiction::PhaseOrder);
    assert_eq!(with_phase(PhaseRecord { watermark: 10, ..phase }), Contradiction::PhaseOfJob);
    let backward = PhaseRecord { direction: Direction::Backward, ..phase };
    assert_eq!(with_phase(backward), Contradiction::WindowDirection);
    let early = PhaseRecord { phase: Phase::DataDone, ..phase };
    assert_eq!(with_phase(early), Contradiction::PhaseOfJob);
    // An encrypt never truncates on its way forward.
    let truncating = PhaseRecord { phase: Phase::Truncating, watermark: 9, ..phase };
    assert_eq!(with_phase(truncating), Contradiction::PhaseOfJob);
    let elsewhere = PhaseRecord { watermark: 3, window_sequence: 2, ..phase };
    assert_eq!(with_phase(elsewhere), Contradiction::Watermark);
    let huge = PhaseRecord { window_sequence: u64::MAX, ..phase };
    assert_eq!(with_phase(huge), Contradiction::PhaseOfJob);

    let mut bytes = own.clone();
    change_record(&mut bytes, &header, 4, |record| record.first_chunk += 1);
    assert_eq!(contradiction(verify(&bytes)), Contradiction::WindowOrder);
    let mut bytes = own.clone();
    change_record(&mut bytes, &header, 4, |record| record.retired = 3);
    assert_eq!(contradiction(verify(&bytes)), Contradiction::RetiredOrder);
    let mut bytes = own;
    change_record(&mut bytes, &header, 5, |record| record.direction = Direction::Backward);
    assert_eq!(contradiction(verify(&bytes)), Contradiction::WindowDirection);
}

#[test]
fn truncated_and_garbled_journals_are_named() {
    let header = encrypt(4);
    let own = journal_bytes(&header);
    for len in [0, 1, 4096, 45055, 45056, own.len() - 1] {
        match verify(&own[..len]) {
            Err(JournalError::Truncated { len: found, needed }) => {
                assert_eq!(found, len as u64);
                let whole = if len < 45056 { 45056 } else { own.len() };
                assert_eq!(needed, whole as u64);
            }
            other => panic!("{len}: {other:?}"),
        }
    }
    for (at, part) in [
        (0, Part::Header),
        (4095, Part::Header),
        (4096, Part::KeyArea),
        (8192, Part::SuperblockCopy),
        (12288, Part::SlotAreaCopy),
    ] {
        let mut bytes = own.clone();
        bytes[at] ^= 0x80;
        match verify(&bytes) {
            Err(JournalError::Invalid { part: found, .. }) => assert_eq!(found, part),
            other => panic!("{at}: {other:?}"),
        }
    }
    let mut bytes = own.clone();
    bytes[8192 + 16] ^= 1;
    fix_checksum(&mut bytes[8192..12288]);
    assert!(matches!(verify(&bytes), Err(JournalError::CopyMismatch { part: Part::SuperblockCopy })));
    let mut bytes = own;
    bytes[12288 + 16] ^= 1;
    fix_checksum(&mut bytes[12288..36864]);
    assert!(matches!(verify(&bytes), Err(JournalError::CopyMismatch { part: Part::SlotAreaCopy })));
    let empty = verify(&vec![0; 100_000]);
    assert!(matches!(empty, Err(JournalError::Invalid { source: FormatError::WrongMagic, .. })));
}

#[test]
fn create_refuses_a_used_log_and_parts_that_would_not_open() {
    let used = MemLog::of_bytes(vec![0]);
    assert!(matches!(create(&used, &encrypt(2)), Err(JournalError::NotEmpty { len: 1 })));
    let mut header = encrypt(2);
    header.ring_slots = 1;
    let log = MemLog::default();
    assert!(matches!(create(&log, &header), Err(JournalError::Invalid { part: Part::Header, .. })));
    let header = encrypt(2);
    let block = common::superblock(&JournalHeader { file_id: [0; 16], ..header.clone() }).encode(|_| [0; 32]);
    let slots = common::slot_area(&header).encode(|_| [0; 32]).unwrap();
    let made = Journal::create(Arc::new(log.clone()), auth(), header, KeyArea::Empty, &block, &slots);
    assert!(matches!(made, Err(JournalError::CopyMismatch { part: Part::SuperblockCopy })));
    assert_eq!(log.bytes(), []);
}
