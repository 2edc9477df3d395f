//! A journal in memory.

use std::sync::{Arc, OnceLock};

use pageseal_format::Limits;
use pageseal_format::journal::{PHASE_LEN, PHASE_OFFSETS, PhaseRecord, RING_OFFSET, WindowRecord};
use pageseal_journal::{Inspection, Journal};

use crate::edits::{Document, Input};
use crate::fixture::{Job, JournalAuthenticator, MemoryLog, authenticator, sign};

/// Opens an edited journal, inspects it, verifies it. Without the key, what is accepted must consist of parts that the key's
/// owner wrote for this job: an edit can only make it lose parts that a crash could have lost too. With the key (a journal that
/// contradicts itself), anything but a panic will do. Neither an inspection nor a refusal writes a byte.
pub fn journal_parse(data: &[u8]) {
    let mut input = Input::new(data);
    let jobs = jobs();
    let job = &jobs[usize::from(input.byte()) % jobs.len()];
    let choice = input.byte();
    let (signed, fix) = (choice & 1 != 0, choice & 2 != 0);
    if choice & 0xFC == 0xFC {
        // Not a journal at all.
        open(job, input.rest().to_vec(), false);
        return;
    }
    let mut document = job.document(7);
    let before = document.bytes.clone();
    document.edit(&mut input, fix);
    if signed {
        sign_what_changed(&mut document, &before);
    }
    open(job, document.bytes, !signed);
}

fn open(job: &Job, bytes: Vec<u8>, without_key: bool) {
    let log = MemoryLog::of(bytes.clone());
    let Ok(opened) = Journal::open(Arc::new(log.clone()), &Limits::PRODUCTION) else {
        assert!(log.bytes() == bytes, "opening wrote");
        return;
    };
    let _ = opened.phase_unverified();
    let header = opened.header().clone();
    let inspected = opened.inspect(&JournalAuthenticator);
    assert!(log.bytes() == bytes, "an inspection wrote");
    if let Ok(inspection) = &inspected
        && without_key
    {
        assert_eq!(header.job_id, job.header.job_id, "a forged header");
        assert_eq!(header.geometry, job.header.geometry, "a forged header");
        assert_owners_parts(job, inspection);
    }
    match opened.verify(authenticator()) {
        Err(_) => {
            assert!(inspected.is_err(), "verification refuses what an inspection accepts");
            assert!(log.bytes() == bytes, "a refusal wrote");
        }
        Ok((mut journal, replay)) => {
            assert!(inspected.is_ok(), "verification accepts what an inspection refuses");
            let mut mark = journal.settled_at_start();
            let _ = journal.must_settle_before_commit();
            for window in replay.in_flight {
                let mut bytes = vec![0; window.record().payload_len as usize];
                let _ = journal.read_payload(&window, 0, &mut bytes);
                mark = window.settled();
            }
            let (phase, direction) = (journal.phase().phase, journal.phase().direction);
            let _ = journal.set_phase(phase, direction, true, &mark);
            let _ = journal.reserve_slot(mark.watermark(), 1);
        }
    }
}

/// Phase and records are byte for byte some of those in the journal that was edited.
fn assert_owners_parts(job: &Job, inspection: &Inspection) {
    let block = |offset: u64| &job.journal[offset as usize..offset as usize + PHASE_LEN];
    let mut phases = PHASE_OFFSETS.into_iter().filter_map(|offset| PhaseRecord::parse(block(offset)).ok());
    assert!(phases.any(|phase| phase == inspection.phase), "a forged phase: {:?}", inspection.phase);
    let slots = 0..u64::from(job.header.ring_slots);
    let records: Vec<WindowRecord> = slots
        .filter_map(|slot| {
            let at = (RING_OFFSET + slot * job.header.slot_stride) as usize;
            WindowRecord::parse(&job.journal[at..], &job.header).ok()
        })
        .collect();
    for record in &inspection.in_flight {
        assert!(records.contains(record), "a forged record of window {}", record.sequence);
    }
}

fn sign_what_changed(document: &mut Document, before: &[u8]) {
    let Document { bytes, regions } = document;
    for region in regions.iter().filter(|region| region.has_checksum) {
        let range = region.offset..region.offset + region.len;
        let Some(part) = bytes.get_mut(range.clone()) else { continue };
        if before.get(range).is_none_or(|old| old != part) {
            sign(part, Job::label_at(region.offset));
        }
    }
}

pub(super) fn jobs() -> &'static [Job] {
    static JOBS: OnceLock<Vec<Job>> = OnceLock::new();
    JOBS.get_or_init(Job::all)
}
