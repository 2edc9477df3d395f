//! The table of legal phases, exhaustively, and what a phase leaves on the disk.

mod common;

use std::sync::Arc;

use common::{MemLog, auth, chunk_records, create, header};
use pageseal_format::Limits;
use pageseal_format::journal::{
    Direction::{self, Backward, Forward},
    JobKind::{self, Decrypt, Encrypt},
    KeyArea,
    Phase::{self, Created, DataDone, Finished, Grown, Running, Truncating},
    RecordKind, Resilience,
};
use pageseal_journal::{Journal, JournalError, SettledMark, WindowPlan};

type Step = (Phase, Direction);

const PHASES: [Phase; 6] = [Created, Grown, Running, DataDone, Truncating, Finished];

/// The table of the design, written out a second time.
fn legal(job: JobKind) -> Vec<(Step, Step)> {
    let mut steps = vec![
        ((Running, Forward), (Running, Forward)),
        ((Running, Forward), (Running, Backward)),
        ((Running, Backward), (Running, Backward)),
        ((Running, Forward), (DataDone, Forward)),
        ((Running, Backward), (DataDone, Backward)),
        ((DataDone, Forward), (Running, Backward)),
    ];
    steps.extend(match job {
        Encrypt => vec![
            ((Created, Forward), (Grown, Forward)),
            ((Created, Forward), (Truncating, Backward)),
            ((Grown, Forward), (Truncating, Backward)),
            ((Grown, Forward), (Grown, Forward)),
            ((Grown, Forward), (Running, Forward)),
            ((Grown, Forward), (Running, Backward)),
            ((DataDone, Forward), (Finished, Forward)),
            ((DataDone, Backward), (Truncating, Backward)),
            ((Truncating, Backward), (Truncating, Backward)),
            ((Truncating, Backward), (Finished, Backward)),
        ],
        Decrypt => vec![
            ((Created, Forward), (Running, Forward)),
            ((Created, Forward), (Running, Backward)),
            ((DataDone, Backward), (Finished, Backward)),
            ((DataDone, Forward), (Truncating, Forward)),
            ((Truncating, Forward), (Truncating, Forward)),
            ((Truncating, Forward), (Finished, Forward)),
        ],
    });
    for direction in [Forward, Backward] {
        for phase in [DataDone, Finished] {
            steps.push(((phase, direction), (phase, direction)));
        }
    }
    steps
}

fn convert_all(journal: &mut Journal, mark: SettledMark) -> SettledMark {
    let mut mark = mark;
    for first in mark.watermark()..9 {
        let slot = journal.reserve_slot(first, 1).unwrap();
        let plan = WindowPlan {
            direction: Forward,
            first_chunk: first,
            payload_len: 0,
            chunks: chunk_records(first, 1, 0),
            fingerprints: vec![[0; 16]],
        };
        mark = journal.commit(slot, plan, &mark).unwrap().settled();
    }
    mark
}

/// A journal in that phase, or `None` if no path leads there.
fn at(job: JobKind, (phase, direction): Step) -> Option<(MemLog, Journal)> {
    let kind = RecordKind::Fingerprints;
    let log = MemLog::default();
    let mut journal = create(&log, &header(job, Resilience::Checksum, kind, 2)).unwrap();
    let mut mark = journal.settled_at_start();
    let truncates = (job == Encrypt) == (direction == Backward);
    match (job, phase, direction) {
        (Decrypt, Grown, _) | (_, Created | Grown, Backward) => return None,
        (_, Truncating, _) if !truncates => return None,
        _ => {}
    }
    let mut path = vec![Created];
    if job == Encrypt {
        path.push(Grown);
    }
    path.extend([Running, DataDone]);
    if truncates {
        path.push(Truncating);
    }
    path.push(Finished);
    for &step in path.iter().skip(1) {
        if journal.phase().phase == phase {
            break;
        }
        if step == DataDone && direction == Forward {
            mark = convert_all(&mut journal, mark);
        }
        let way = if matches!(step, Created | Grown) { Forward } else { direction };
        journal.set_phase(step, way, true, &mark).unwrap();
    }
    assert_eq!((journal.phase().phase, journal.phase().direction), (phase, direction));
    Some((log, journal))
}

#[test]
#[cfg_attr(
    miri,
    ignore = "every phase of every job, which takes Miri half an hour; the others walk the same code"
)]
fn exactly_the_legal_steps_are_taken() {
    for job in [Encrypt, Decrypt] {
        let legal = legal(job);
        let mut taken = Vec::new();
        for from in PHASES.iter().flat_map(|&p| [(p, Forward), (p, Backward)]) {
            for to in PHASES.iter().flat_map(|&p| [(p, Forward), (p, Backward)]) {
                let Some((log, mut journal)) = at(job, from) else {
                    continue;
                };
                let before = log.bytes();
                let mut mark = journal.settled_at_start();
                if from == (Running, Forward) && to == (DataDone, Forward) {
                    mark = convert_all(&mut journal, mark);
                }
                match journal.set_phase(to.0, to.1, true, &mark) {
                    Ok(()) => taken.push((from, to)),
                    Err(JournalError::IllegalPhase { .. }) => assert_eq!(log.bytes(), before),
                    // The mark is not the one at the end: the step itself was legal.
                    Err(JournalError::InFlight { .. }) => panic!("{from:?} {to:?}"),
                    Err(error) => panic!("{from:?} {to:?}: {error:?}"),
                }
            }
        }
        for step in &taken {
            assert!(legal.contains(step), "{job:?} took {step:?}");
        }
        for step in &legal {
            assert!(taken.contains(step), "{job:?} refused {step:?}");
        }
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "every phase of every job, which takes Miri half an hour; the others walk the same code"
)]
fn every_phase_is_durable_and_found_again() {
    for job in [Encrypt, Decrypt] {
        for step in PHASES.iter().flat_map(|&p| [(p, Forward), (p, Backward)]) {
            let Some((log, journal)) = at(job, step) else {
                continue;
            };
            let log = Arc::new(log.after_power_loss(0));
            let opened = Journal::open(log, &Limits::TEST).unwrap();
            assert_eq!(opened.phase_unverified().as_ref(), Some(journal.phase()));
            let (again, replay) = opened.verify(auth()).unwrap();
            assert_eq!(again.phase(), journal.phase());
            assert_eq!((replay.phase.phase, replay.phase.direction), step);
            assert!(replay.in_flight.is_empty());
        }
    }
}

#[test]
fn a_job_does_not_end_before_its_last_chunk_nor_with_windows_in_flight() {
    let (_, mut journal) = at(Encrypt, (Running, Forward)).unwrap();
    let start = journal.settled_at_start();
    let early = journal.set_phase(DataDone, Forward, true, &start);
    assert!(matches!(early, Err(JournalError::NotAtEnd { watermark: 0, end: 9 })));
    let slot = journal.reserve_slot(0, 1).unwrap();
    let plan = WindowPlan {
        direction: Forward,
        first_chunk: 0,
        payload_len: 0,
        chunks: chunk_records(0, 1, 0),
        fingerprints: vec![[0; 16]],
    };
    let window = journal.commit(slot, plan, &start).unwrap();
    for (phase, direction, clean) in
        [(Running, Forward, true), (Running, Backward, false), (DataDone, Forward, false)]
    {
        let result = journal.set_phase(phase, direction, clean, &start);
        assert!(matches!(result, Err(JournalError::InFlight { settled: 0, committed: 1 })));
    }
    journal.set_phase(Running, Forward, false, &start).unwrap();
    let mark = window.settled();
    journal.set_phase(Running, Backward, true, &mark).unwrap();
    let early = journal.set_phase(DataDone, Backward, true, &mark);
    assert!(matches!(early, Err(JournalError::NotAtEnd { watermark: 1, end: 0 })));
}

#[test]
fn windows_are_for_running_jobs() {
    for step in [
        (Created, Forward),
        (Grown, Forward),
        (DataDone, Forward),
        (Truncating, Backward),
        (Finished, Forward),
    ] {
        let (_, mut journal) = at(Encrypt, step).unwrap();
        let refused = journal.reserve_slot(0, 1);
        assert!(matches!(refused, Err(JournalError::NoWindowsNow { .. })), "{step:?}");
    }
}

#[test]
fn wiping_the_key_area_is_durable() {
    let (log, mut journal) = at(Encrypt, (DataDone, Forward)).unwrap();
    let open = |log: &MemLog| {
        let log = Arc::new(log.after_power_loss(0));
        Journal::open(log, &Limits::TEST).unwrap().key_area().clone()
    };
    assert_ne!(open(&log), KeyArea::Empty);
    journal.wipe_key_area().unwrap();
    assert_eq!(open(&log), KeyArea::Empty);
    assert!(log.bytes()[4096..8192].iter().all(|&byte| byte == 0));
}
