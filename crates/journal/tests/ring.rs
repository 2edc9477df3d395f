//! When a ring slot may be used again, and what a token takes.

mod common;

use std::sync::Arc;

use common::{MemLog, auth, chunk_records, create, encrypt, header};
use pageseal_format::Limits;
use pageseal_format::journal::{Direction, JobKind, JournalHeader, Phase, RecordKind, Resilience};
use pageseal_journal::{CommittedWindow, Journal, JournalError, RingSlot, SettledMark, WindowPlan};

const FORWARD: Direction = Direction::Forward;

fn running(log: &MemLog, header: &JournalHeader) -> Journal {
    let mut journal = create(log, header).unwrap();
    let mark = journal.settled_at_start();
    journal.set_phase(Phase::Grown, FORWARD, true, &mark).unwrap();
    journal.set_phase(Phase::Running, FORWARD, true, &mark).unwrap();
    journal
}

fn plan(first: u64, count: u64) -> WindowPlan {
    let bytes = if first + count == 9 { count * 4096 - 3996 } else { count * 4096 };
    WindowPlan {
        direction: FORWARD,
        first_chunk: first,
        payload_len: 0,
        chunks: chunk_records(first, count, 0),
        fingerprints: vec![[0; 16]; bytes.div_ceil(4096) as usize],
    }
}

fn commit(journal: &mut Journal, first: u64, mark: &SettledMark) -> CommittedWindow {
    let slot = journal.reserve_slot(first, 1).unwrap();
    journal.commit(slot, plan(first, 1), mark).unwrap()
}

#[test]
fn a_slot_is_not_used_again_before_a_durable_record_retires_its_window() {
    let mut journal = running(&MemLog::default(), &encrypt(3));
    let start = journal.settled_at_start();
    let mut windows: Vec<_> = (0..3).map(|i| commit(&mut journal, i, &start)).collect();
    let full = |journal: &mut Journal| match journal.reserve_slot(3, 1) {
        Err(JournalError::RingFull { needed, retired }) => (needed, retired),
        other => panic!("{other:?}"),
    };
    assert_eq!(full(&mut journal), (1, 0));
    // Settled is not enough: if the power goes now, the replay still takes the window for unsettled.
    let mark = windows.remove(0).settled();
    assert_eq!(full(&mut journal), (1, 0));
    journal.set_phase(Phase::Running, FORWARD, false, &mark).unwrap();
    let fourth = commit(&mut journal, 3, &mark);
    assert_eq!(fourth.record().retired, 1);
    assert!(matches!(journal.reserve_slot(4, 1), Err(JournalError::RingFull { needed: 2, retired: 1 })));
}

#[test]
fn settling_what_the_journal_asks_for_keeps_the_ring_going() {
    for slots in [2, 3, 8] {
        let mut journal = running(&MemLog::default(), &encrypt(slots));
        let mut mark = journal.settled_at_start();
        let mut queue = std::collections::VecDeque::new();
        for first in 0..9 {
            let slot = journal.reserve_slot(first, 1).unwrap();
            while mark.sequence() < journal.must_settle_before_commit() {
                let window: CommittedWindow = queue.pop_front().unwrap();
                mark = window.settled();
            }
            let window = journal.commit(slot, plan(first, 1), &mark).unwrap();
            queue.push_back(window);
        }
        assert_eq!(queue.len(), usize::from(slots) - 1);
    }
}

#[test]
fn a_mark_beyond_an_unsettled_window_retires_nothing() {
    let mut journal = running(&MemLog::default(), &encrypt(4));
    let start = journal.settled_at_start();
    let first = commit(&mut journal, 0, &start);
    let second = commit(&mut journal, 1, &start);
    let overtaking = second.settled();
    let slot = journal.reserve_slot(2, 1).unwrap();
    let refused = journal.commit(slot, plan(2, 1), &overtaking);
    assert!(matches!(refused, Err(JournalError::NotSettled { sequence: 1 })));
    let refused = journal.set_phase(Phase::Running, FORWARD, false, &overtaking);
    assert!(matches!(refused, Err(JournalError::NotSettled { sequence: 1 })));
    let _ = first.settled();
    journal.set_phase(Phase::Running, FORWARD, true, &overtaking).unwrap();
    assert_eq!(journal.phase().window_sequence, 2);
    assert_eq!(journal.phase().watermark, 2);
}

#[test]
fn a_lost_token_keeps_its_window_in_flight() {
    let mut journal = running(&MemLog::default(), &encrypt(4));
    let start = journal.settled_at_start();
    drop(commit(&mut journal, 0, &start));
    let mark = commit(&mut journal, 1, &start).settled();
    let refused = journal.set_phase(Phase::Running, FORWARD, true, &mark);
    assert!(matches!(refused, Err(JournalError::NotSettled { sequence: 1 })));
}

#[test]
fn an_older_mark_takes_nothing_back() {
    let mut journal = running(&MemLog::default(), &encrypt(4));
    let start = journal.settled_at_start();
    let mark = commit(&mut journal, 0, &start).settled();
    journal.set_phase(Phase::Running, FORWARD, true, &mark).unwrap();
    let window = commit(&mut journal, 1, &start);
    assert_eq!((window.record().retired, window.record().watermark), (1, 1));
}

#[test]
fn windows_come_in_order_and_in_place() {
    let mut journal = running(&MemLog::default(), &encrypt(4));
    let start = journal.settled_at_start();
    for (first, count) in [(1, 1), (0, 0), (0, 3), (0, u64::MAX), (u64::MAX, 1), (8, 2)] {
        let result = journal.reserve_slot(first, count);
        assert!(matches!(result, Err(JournalError::NotNext { watermark: 0, .. })), "{first} {count}");
    }
    let one = journal.reserve_slot(0, 2).unwrap();
    let two = journal.reserve_slot(2, 2).unwrap();
    let stale = journal.commit(two, plan(2, 2), &start);
    assert!(matches!(stale, Err(JournalError::StaleReservation { sequence: 2 })));
    journal.commit(one, plan(0, 2), &start).unwrap();
    // The second reservation is lost, so the third can not follow; giving up makes room again.
    let three = journal.reserve_slot(4, 2).unwrap();
    let stale = journal.commit(three, plan(4, 2), &start);
    assert!(matches!(stale, Err(JournalError::StaleReservation { sequence: 3 })));
    journal.abandon_reservations();
    assert_eq!(journal.reserve_slot(2, 2).unwrap().sequence(), 2);
}

#[test]
fn a_plan_must_be_what_was_reserved() {
    let wrong: [fn(&mut WindowPlan); 6] = [
        |plan| plan.direction = Direction::Backward,
        |plan| plan.first_chunk = 1,
        |plan| plan.payload_len = 8192,
        |plan| plan.chunks.truncate(1),
        |plan| plan.fingerprints.truncate(1),
        |plan| plan.chunks[0].new.epoch = 1,
    ];
    for (i, change) in wrong.iter().enumerate() {
        let mut journal = running(&MemLog::default(), &encrypt(2));
        let start = journal.settled_at_start();
        let slot = journal.reserve_slot(0, 2).unwrap();
        let mut plan = plan(0, 2);
        change(&mut plan);
        let error = journal.commit(slot, plan, &start).unwrap_err();
        assert!(matches!(error, JournalError::WrongPlan { .. }), "{i}: {error:?}");
        assert!(error.is_misuse());
    }
}

fn with_payload(log: &MemLog) -> (Journal, RingSlot) {
    let kind = RecordKind::FingerprintsAndPayload;
    let mut journal = running(log, &header(JobKind::Encrypt, Resilience::Journal, kind, 2));
    let slot = journal.reserve_slot(0, 2).unwrap();
    (journal, slot)
}

#[test]
fn payload_stays_in_its_slot_and_is_complete_and_final_when_committed() {
    let log = MemLog::default();
    let (mut journal, slot) = with_payload(&log);
    let writer = journal.payload_writer(&slot);
    for (offset, len) in [(8192, 1), (0, 8193), (u64::MAX, 2)] {
        let result = writer.write_at(offset, &vec![0; len]);
        assert!(matches!(result, Err(JournalError::PayloadRange { .. })));
    }
    writer.write_at(0, &[5; 8191]).unwrap();
    let mut plan = plan(0, 2);
    plan.payload_len = 8192;
    let start = journal.settled_at_start();
    let error = journal.commit(slot, plan.clone(), &start).unwrap_err();
    assert!(matches!(error, JournalError::PayloadIncomplete { written: 8191, needed: 8192 }));
    journal.abandon_reservations();

    let slot = journal.reserve_slot(0, 2).unwrap();
    // 128 + 2 * 128 + 2 * 16 + 64 bytes of record; the payload begins in the next block of slot 1.
    let payload_at = slot.payload_offset();
    assert_eq!(payload_at, 45056 + (4096 + 8192) + 4096);
    assert!(matches!(writer.write_at(0, &[1]), Err(JournalError::StaleReservation { .. })));
    let writer = journal.payload_writer(&slot);
    std::thread::scope(|scope| {
        for quarter in 0..4_u8 {
            let writer = writer.clone();
            scope.spawn(move || writer.write_at(u64::from(quarter) * 2048, &[quarter; 2048]).unwrap());
        }
    });
    let window = journal.commit(slot, plan, &start).unwrap();
    assert!(matches!(writer.write_at(0, &[1]), Err(JournalError::StaleReservation { .. })));
    let mut read = vec![9; 4096];
    journal.read_payload(&window, 1024, &mut read).unwrap();
    assert_eq!(read, log.bytes()[payload_at as usize + 1024..][..4096]);
    assert_eq!((read[0], read[1024], read[4095]), (0, 1, 2));
    let beyond = journal.read_payload(&window, 8000, &mut read);
    assert!(matches!(beyond, Err(JournalError::PayloadRange { .. })));
}

#[test]
fn writers_of_given_up_slots_write_nothing() {
    let log = MemLog::default();
    let (mut journal, slot) = with_payload(&log);
    let writer = journal.payload_writer(&slot);
    journal.abandon_reservations();
    assert!(matches!(writer.write_at(0, &[1]), Err(JournalError::StaleReservation { .. })));
    let start = journal.settled_at_start();
    let stale = journal.commit(slot, plan(0, 2), &start);
    assert!(matches!(stale, Err(JournalError::StaleReservation { .. })));
}

#[test]
fn after_the_first_error_everything_is_refused() {
    let log = MemLog::default();
    let (mut journal, slot) = with_payload(&log);
    let writer = journal.payload_writer(&slot);
    log.stop_at(0);
    assert!(matches!(writer.write_at(0, &[1; 8192]), Err(JournalError::Io { .. })));
    let log_works_again = log.after_kill();
    assert!(log_works_again.operations() == 0);
    let mark = journal.settled_at_start();
    let latched = |result: Result<(), JournalError>| {
        assert!(matches!(result, Err(JournalError::Latched)), "{result:?}");
    };
    latched(writer.write_at(0, &[1]));
    latched(journal.set_phase(Phase::Running, FORWARD, true, &mark));
    latched(journal.wipe_key_area());
    latched(journal.reserve_slot(2, 2).map(drop));
    latched(journal.commit(slot, plan(0, 2), &mark).map(drop));
}

#[test]
fn marks_and_slots_of_another_journal_are_refused() {
    let mut other = encrypt(2);
    other.job_id = [0x99; 16];
    let mut other = running(&MemLog::default(), &other);
    let mut journal = running(&MemLog::default(), &encrypt(2));
    let (foreign, start) = (other.settled_at_start(), journal.settled_at_start());
    let refused = journal.set_phase(Phase::Running, FORWARD, true, &foreign);
    assert!(matches!(refused, Err(JournalError::NotSettled { .. })));
    let slot = other.reserve_slot(0, 2).unwrap();
    let refused = journal.commit(slot, plan(0, 2), &start);
    assert!(matches!(refused, Err(JournalError::StaleReservation { .. })));
}

#[test]
fn a_job_without_records_is_marked_before_its_first_window_and_is_lost_until_it_stops_cleanly() {
    let header = header(JobKind::Encrypt, Resilience::None, RecordKind::None, 0);
    let log = MemLog::default();
    let mut journal = running(&log, &header);
    assert!(journal.reserve_slot(0, 2).is_err());
    assert_eq!(journal.must_settle_before_commit(), 0);
    let window = |first| WindowPlan { fingerprints: Vec::new(), ..plan(first, 2) };
    let reopen = |log: &MemLog| {
        let log = Arc::new(log.after_power_loss(0));
        Journal::open(log, &Limits::TEST).unwrap().verify(auth())
    };
    assert!(reopen(&log).unwrap().1.phase.clean);
    let first = journal.unprotected_window(window(0)).unwrap();
    let second = journal.unprotected_window(window(2)).unwrap();
    assert!(matches!(journal.unprotected_window(window(2)), Err(JournalError::NotNext { .. })));
    assert!(matches!(reopen(&log), Err(JournalError::Unprotected { watermark: 0 })));
    let _ = first.settled();
    let mark = second.settled();
    journal.set_phase(Phase::Running, FORWARD, true, &mark).unwrap();
    let (mut journal, replay) = reopen(&log).unwrap();
    assert_eq!((replay.watermark, replay.settled_sequence), (4, 2));
    assert!(replay.in_flight.is_empty());
    assert_eq!(journal.unprotected_window(window(4)).unwrap().record().sequence, 3);
    let protected = encrypt(2);
    let mut protected = running(&MemLog::default(), &protected);
    assert!(protected.unprotected_window(window(0)).is_err());
}
