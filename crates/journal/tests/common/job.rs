//! A job like the engine's, over a model of the file, with an oracle that knows what must be recoverable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pageseal_format::Limits;
use pageseal_format::journal::{Direction, JobKind, JournalHeader, Phase, RecordKind, WindowRecord};
use pageseal_journal::{
    CommittedWindow, Journal, JournalError, Replay, SettledMark, WindowPlan, watermark_after,
};

use super::{MemLog, auth, chunk_records, create};

/// The form of a chunk on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Old,
    Mixed,
    New,
}

/// Outlives all crashes: what really happened to the file.
#[derive(Clone)]
pub struct World {
    pub header: JournalHeader,
    pub chunks: Vec<Form>,
    /// All windows whose token was given out.
    pub tokens: BTreeMap<u64, WindowRecord>,
    /// All windows up to this one are settled.
    pub settled: u64,
    /// Whether `create` has returned; only then does the file get touched.
    pub created: bool,
    /// Whether the job is to go back once this many chunks are done.
    pub reverse_at: Option<u64>,
    /// Settles windows no sooner than it must.
    pub lazy: bool,
}

impl World {
    pub fn new(header: JournalHeader) -> Self {
        Self {
            chunks: vec![Form::Old; header.geometry.chunk_count() as usize],
            header,
            tokens: BTreeMap::new(),
            settled: 0,
            created: false,
            reverse_at: None,
            lazy: true,
        }
    }

    /// Runs the job, from wherever it is, to its end or to the first error.
    pub fn run(&mut self, log: &MemLog) -> Result<(), JournalError> {
        let (journal, in_flight) = if self.created {
            let opened = Journal::open(Arc::new(log.clone()), &Limits::TEST)?;
            let (journal, replay) = opened.verify(auth())?;
            self.check_replay(&replay);
            self.check_payloads(&journal, &replay);
            (journal, replay.in_flight)
        } else {
            let journal = create(log, &self.header)?;
            self.created = true;
            (journal, Vec::new())
        };
        let mut run = Run { mark: journal.settled_at_start(), journal, queue: VecDeque::new() };
        for window in in_flight {
            self.tokens.insert(window.record().sequence, window.record().clone());
            self.store(&mut run, window);
            self.settle_oldest(&mut run);
        }
        self.go_on(&mut run)
    }

    fn go_on(&mut self, run: &mut Run) -> Result<(), JournalError> {
        let phase = *run.journal.phase();
        let (mut direction, mark) = (phase.direction, run.mark);
        if phase.phase == Phase::Created && self.header.job == JobKind::Encrypt {
            run.journal.set_phase(Phase::Grown, direction, true, &mark)?;
        }
        if matches!(run.journal.phase().phase, Phase::Created | Phase::Grown) {
            run.journal.set_phase(Phase::Running, direction, false, &mark)?;
        }
        if run.journal.phase().phase == Phase::Running {
            let mut watermark = run.mark.watermark();
            loop {
                if direction == Direction::Forward && self.reverse_at.is_some_and(|at| watermark >= at) {
                    self.settle_all(run);
                    direction = Direction::Backward;
                    let mark = run.mark;
                    run.journal.set_phase(Phase::Running, direction, true, &mark)?;
                }
                let Some((first, count)) = self.next(direction, watermark) else {
                    break;
                };
                self.convert(run, direction, first, count)?;
                watermark = watermark_after(direction, first, count);
            }
            self.settle_all(run);
        }
        self.finish(run, direction)
    }

    fn finish(&mut self, run: &mut Run, direction: Direction) -> Result<(), JournalError> {
        let (mark, phase) = (run.mark, run.journal.phase().phase);
        let wanted = if direction == Direction::Forward { Form::New } else { Form::Old };
        assert!(self.chunks.iter().all(|form| *form == wanted), "{:?}", self.chunks);
        let truncates = (self.header.job == JobKind::Encrypt) == (direction == Direction::Backward);
        if phase == Phase::Running {
            run.journal.set_phase(Phase::DataDone, direction, true, &mark)?;
        }
        if truncates && phase != Phase::Finished {
            run.journal.set_phase(Phase::Truncating, direction, true, &mark)?;
        }
        run.journal.wipe_key_area()?;
        run.journal.set_phase(Phase::Finished, direction, true, &mark)
    }

    fn next(&self, direction: Direction, watermark: u64) -> Option<(u64, u64)> {
        let n = self.chunks.len() as u64;
        match direction {
            Direction::Forward if watermark == n => None,
            Direction::Forward => Some((watermark, (n - watermark).min(2))),
            Direction::Backward if watermark == 0 => None,
            Direction::Backward => Some((watermark - watermark.min(2), watermark.min(2))),
        }
    }

    fn convert(
        &mut self,
        run: &mut Run,
        direction: Direction,
        first: u64,
        count: u64,
    ) -> Result<(), JournalError> {
        let slot = run.journal.reserve_slot(first, count)?;
        let sequence = slot.sequence();
        let (_, len) = self.header.geometry.bytes_of_chunks(first, count);
        let payload = self.header.record_kind == RecordKind::FingerprintsAndPayload;
        if payload {
            let writer = run.journal.payload_writer(&slot);
            writer.write_at(0, &vec![sequence as u8; len as usize / 2])?;
            writer.write_at(len / 2, &vec![sequence as u8; (len - len / 2) as usize])?;
        }
        let (_, blocks) = self.header.geometry.blocks_of_chunks(first, count);
        let plan = WindowPlan {
            direction,
            first_chunk: first,
            payload_len: if payload { len } else { 0 },
            chunks: chunk_records(first, count, sequence as u8),
            fingerprints: vec![[sequence as u8; 16]; blocks as usize],
        };
        while !run.queue.is_empty()
            && (!self.lazy || run.mark.sequence() < run.journal.must_settle_before_commit())
        {
            self.settle_oldest(run);
        }
        let window = run.journal.commit(slot, plan, &run.mark)?;
        self.tokens.insert(sequence, window.record().clone());
        self.store(run, window);
        Ok(())
    }

    /// The engine has the token: from here on the chunks are in any mixture.
    fn store(&mut self, run: &mut Run, window: CommittedWindow) {
        for chunk in range_of(window.record()) {
            self.chunks[chunk] = Form::Mixed;
        }
        run.queue.push_back(window);
    }

    fn settle_oldest(&mut self, run: &mut Run) {
        let window = run.queue.pop_front().expect("a window to settle");
        let record = window.record();
        let form = if record.direction == Direction::Forward { Form::New } else { Form::Old };
        for chunk in range_of(record) {
            self.chunks[chunk] = form;
        }
        self.settled = self.settled.max(record.sequence);
        run.mark = window.settled();
    }

    fn settle_all(&mut self, run: &mut Run) {
        while !run.queue.is_empty() {
            self.settle_oldest(run);
        }
    }

    /// **The oracle.** Every chunk whose form is not certain must be in a window in flight, and every window
    /// whose token was given out must be settled or in flight, with the record that was committed.
    pub fn check_replay(&self, replay: &Replay) {
        assert!(replay.settled_sequence <= self.settled, "claims more than was settled");
        let mut covered = vec![false; self.chunks.len()];
        for (expected, window) in (replay.settled_sequence + 1..).zip(&replay.in_flight) {
            let record = window.record();
            assert_eq!(record.sequence, expected);
            range_of(record).for_each(|chunk| covered[chunk] = true);
            if let Some(token) = self.tokens.get(&expected)
                && expected <= self.newest_token()
            {
                assert_eq!(token, record);
            }
        }
        let newest = replay.settled_sequence + replay.in_flight.len() as u64;
        assert!(newest >= self.newest_token(), "window {} is lost", self.newest_token());
        assert!(newest <= self.newest_token() + 1, "a window out of nowhere");
        for (chunk, form) in self.chunks.iter().enumerate().filter(|(i, _)| !covered[*i]) {
            let expected = if (chunk as u64) < replay.watermark { Form::New } else { Form::Old };
            assert_eq!(*form, expected, "chunk {chunk}, watermark {}", replay.watermark);
        }
    }

    /// The payload of every window in flight is whole, also if its commit never returned: the replay stores it.
    fn check_payloads(&self, journal: &Journal, replay: &Replay) {
        for window in &replay.in_flight {
            let record = window.record();
            let mut bytes = vec![0; record.payload_len as usize];
            // A crash may come at this read too.
            if journal.read_payload(window, 0, &mut bytes).is_ok() {
                assert!(bytes.iter().all(|&byte| byte == record.sequence as u8));
            }
        }
    }

    fn newest_token(&self) -> u64 {
        self.tokens.last_key_value().map_or(0, |(&sequence, _)| sequence)
    }
}

struct Run {
    journal: Journal,
    mark: SettledMark,
    queue: VecDeque<CommittedWindow>,
}

fn range_of(record: &WindowRecord) -> std::ops::Range<usize> {
    let first = record.first_chunk as usize;
    first..first + record.chunks.len()
}
