//! Journals as a whole: lengths, parts that contradict each other, files that do not belong to them.

use pageseal_format::journal::JournalHeader;
use pageseal_format::journal::{Direction, Phase, PhaseRecord, WindowRecord};
use pageseal_format::{Limits, labels};

use super::example::{PHASES, RING, Repair, change, interrupted, interrupted_keys, journal};
use super::vectors::Vector;

const STRIDE: usize = 4096;

pub fn vectors() -> Vec<Vector> {
    let mut all = lengths();
    all.extend(wrong_files());
    all.extend(contradictions());
    all.extend(lost_jobs());
    all
}

/// A journal that is refused on its own.
fn refused(name: &str, journal: Vec<u8>, error: &str) -> Vector {
    Vector {
        name: name.into(),
        file: interrupted(),
        journal: Some(journal),
        expected: "Damaged Journal".into(),
        journal_error: Some(error.into()),
    }
}

fn lengths() -> Vec<Vector> {
    let cut = |len: usize| journal()[..len].to_vec();
    let truncated = |len: usize, needed: usize| format!("Truncated {{ len: {len}, needed: {needed} }}");
    let mut all: Vec<Vector> = [0, 1, 4096, 45055]
        .into_iter()
        .map(|len| refused(&format!("journal-of-{len}-bytes"), cut(len), &truncated(len, 45056)))
        .collect();
    for len in [45056, 53247] {
        all.push(refused(&format!("journal-of-{len}-bytes"), cut(len), &truncated(len, 53248)));
    }
    all
}

/// A good journal beside a file that it does not fit.
fn wrong_files() -> Vec<Vector> {
    let with = |name: &str, file: Vec<u8>, journal: Vec<u8>, expected: &str| Vector {
        name: name.into(),
        file,
        journal: Some(journal),
        expected: expected.into(),
        journal_error: None,
    };
    let mut longer = interrupted();
    longer.resize(65537, 0);
    let mut byte = interrupted();
    byte[7] ^= 1;
    let mut unrecorded = journal();
    unrecorded[RING..].fill(0);
    let mut unrecorded_chunk = interrupted();
    unrecorded_chunk[7] ^= 1;
    let mut no_superblocks = interrupted();
    no_superblocks[4096] = 0;
    no_superblocks[61440] = 0;
    let mut sealed_state = interrupted();
    for at in [4096, 61440] {
        let block = sealed_state[at..at + 4096].to_vec();
        let mut parsed = pageseal_format::Superblock::parse(&block, &Limits::PRODUCTION).unwrap();
        parsed.state = pageseal_format::FileState::Sealed;
        let bytes = parsed.encode(|body| interrupted_keys().metadata.mac(labels::SUPERBLOCK, body));
        sealed_state[at..at + 4096].copy_from_slice(&bytes[..]);
    }
    vec![
        with("file-cut", interrupted()[..61440].to_vec(), journal(), "Damaged Length"),
        with("file-of-plaintext-length", interrupted()[..45].to_vec(), journal(), "Damaged Length"),
        with("file-longer", longer, journal(), "Damaged Length"),
        with("file-neither-old-nor-new", byte, journal(), "Damaged NeitherOldNorNew { chunk: 0, offset: 0"),
        with(
            "record-gone-chunk-sealed",
            interrupted(),
            unrecorded.clone(),
            "Damaged NotAsClaimed { chunk: 0, offset: 0",
        ),
        with(
            "record-gone-chunk-changed",
            unrecorded_chunk,
            unrecorded,
            "Damaged InNeitherForm { count: 1, first_chunk: 0, offset: 0",
        ),
        with("file-without-superblocks", no_superblocks, journal(), "Refused ForeignJournal"),
        with("file-at-rest", sealed_state, journal(), "Refused StaleJournal"),
        with("another-file", super::example::sealed(), journal(), "Refused ForeignJournal"),
    ]
}

pub fn header(journal: &[u8]) -> JournalHeader {
    JournalHeader::parse(&journal[..4096], &Limits::PRODUCTION).unwrap()
}

pub fn put_header(journal: &mut [u8], header: &JournalHeader) {
    let keys = interrupted_keys();
    let block = header.encode(|body| keys.journal.mac(labels::JOURNAL, body)).unwrap();
    journal[..4096].copy_from_slice(&block[..]);
}

fn phase(journal: &[u8], block: usize) -> PhaseRecord {
    PhaseRecord::parse(&journal[PHASES[block]..PHASES[block] + 4096]).unwrap()
}

/// The example with its current phase changed.
fn with_phase(mut journal: Vec<u8>, change: impl FnOnce(&mut PhaseRecord)) -> Vec<u8> {
    let mut record = phase(&journal, 1);
    change(&mut record);
    let keys = interrupted_keys();
    let block = record.encode(|body| keys.journal.mac(labels::PHASE, body));
    journal[PHASES[1]..PHASES[1] + 4096].copy_from_slice(&block[..]);
    journal
}

/// The example with its record, changed, in this slot of the ring.
fn with_record(mut journal: Vec<u8>, slot: usize, change: impl FnOnce(&mut WindowRecord)) -> Vec<u8> {
    let example = super::example::journal();
    let header = header(&journal);
    let mut record = WindowRecord::parse(&example[RING + STRIDE..], &header).unwrap();
    change(&mut record);
    let keys = interrupted_keys();
    let bytes = record.encode(&header, |body| keys.journal.mac(labels::WINDOW, body)).unwrap();
    journal[RING + slot * STRIDE..][..bytes.len()].copy_from_slice(&bytes);
    journal
}

/// Authentic parts that say different things.
fn contradictions() -> Vec<Vector> {
    let says = |what: &str, sequence: u64| format!("Inconsistent {{ what: {what}, sequence: {sequence} }}");
    let mut no_record = journal();
    no_record[RING + STRIDE..].fill(0);
    let mut three_slots = journal();
    let mut ring = header(&three_slots);
    ring.ring_slots = 3;
    put_header(&mut three_slots, &ring);
    three_slots.resize(RING + 3 * STRIDE, 0);
    three_slots[RING..].fill(0);
    // Windows 2 to 4 in flight, of which the third retires what the fourth does not.
    let retired = with_phase(three_slots, |phase| phase.window_sequence = 1);
    let retired = with_record(retired, 2, |record| (record.sequence, record.retired) = (2, 1));
    let retired = with_record(retired, 0, |record| (record.sequence, record.retired) = (3, 2));
    let retired = with_record(retired, 1, |record| (record.sequence, record.retired) = (4, 1));
    let watermark = with_phase(journal(), |phase| phase.watermark = 1);
    let order = with_record(watermark.clone(), 1, |record| record.watermark = 1);
    vec![
        refused(
            "phases-not-neighbours",
            with_phase(journal(), |phase| phase.sequence = 5),
            &says("PhaseOrder", 5),
        ),
        refused(
            "phase-of-another-kind-of-job",
            with_phase(journal(), |phase| (phase.phase, phase.watermark) = (Phase::Truncating, 1)),
            &says("PhaseOfJob", 3),
        ),
        refused(
            "phase-watermark-beyond-the-end",
            with_phase(journal(), |phase| phase.watermark = 2),
            &says("PhaseOfJob", 3),
        ),
        refused(
            "phase-sequence-at-the-end",
            with_phase(journal(), |phase| phase.window_sequence = 1 << 63),
            &says("PhaseOfJob", 3),
        ),
        refused(
            "windows-outside-running",
            with_phase(journal(), |phase| {
                (phase.phase, phase.watermark, phase.window_sequence) = (Phase::DataDone, 1, 0)
            }),
            &says("Watermark", 1),
        ),
        refused(
            "windows-outside-running-same-watermark",
            with_record(
                with_phase(journal(), |phase| (phase.phase, phase.watermark) = (Phase::DataDone, 1)),
                1,
                |record| record.watermark = 1,
            ),
            &says("WindowsOutsideRunning", 1),
        ),
        refused(
            "window-of-the-other-direction",
            with_record(journal(), 1, |record| record.direction = Direction::Backward),
            &says("WindowDirection", 1),
        ),
        refused("watermarks-differ", watermark, &says("Watermark", 1)),
        refused("window-not-at-the-watermark", order, &says("WindowOrder", 1)),
        refused("older-window-retires-more", retired, &says("RetiredOrder", 3)),
        refused(
            "window-missing",
            with_record(no_record, 0, |record| record.sequence = 2),
            "MissingWindow { sequence: 1, newest: 2 }",
        ),
        refused(
            "phase-of-another-job",
            with_phase(journal(), |phase| phase.job_id = [9; 16]),
            "ForeignJob { part: Phase(1), found: [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9] }",
        ),
        refused(
            "record-of-another-job",
            with_record(journal(), 1, |record| record.job_id = [9; 16]),
            "ForeignJob { part: RingSlot(1), found: [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9] }",
        ),
        refused(
            "phase-in-the-wrong-block",
            with_phase(journal(), |phase| phase.sequence = 4),
            "Misplaced { part: Phase(1), sequence: 4 }",
        ),
        refused(
            "record-in-the-wrong-slot",
            with_record(journal(), 0, |_| {}),
            "Misplaced { part: RingSlot(0), sequence: 1 }",
        ),
        refused("no-phase", no_phase(), "NoPhase"),
    ]
}

fn no_phase() -> Vec<u8> {
    let mut bytes = journal();
    for start in PHASES {
        change(&mut bytes, (start, 4096), 40, &[0xFF], Repair::None, labels::PHASE);
    }
    bytes
}

/// Jobs that nothing can bring back.
fn lost_jobs() -> Vec<Vector> {
    use pageseal_format::journal::{RecordKind, Resilience};
    let mut process = journal();
    let mut changed = header(&process);
    changed.resilience = Resilience::Process;
    put_header(&mut process, &changed);
    let process = with_phase(process, |phase| (phase.clean, phase.boot_id) = (false, [0xFF; 16]));

    let mut unprotected = journal();
    let mut changed = header(&unprotected);
    (changed.resilience, changed.record_kind) = (Resilience::None, RecordKind::None);
    (changed.ring_slots, changed.slot_stride) = (0, 0);
    put_header(&mut unprotected, &changed);
    unprotected.truncate(RING);
    let unprotected = with_phase(unprotected, |phase| phase.clean = false);
    let lost = |name: &str, journal: Vec<u8>, expected: &str, error: Option<&str>| Vector {
        name: name.into(),
        file: interrupted(),
        journal: Some(journal),
        expected: expected.into(),
        journal_error: error.map(Into::into),
    };
    vec![
        lost("process-job-after-a-lost-sync", process, "Damaged PowerCutDuringProcessJob", None),
        lost(
            "unprotected-job-in-a-window",
            unprotected,
            "Damaged Unprotected",
            Some("Unprotected { watermark: 0 }"),
        ),
        Vector {
            name: "job-without-its-journal".into(),
            file: interrupted(),
            journal: None,
            expected: "Damaged JournalMissing".into(),
            journal_error: None,
        },
    ]
}
