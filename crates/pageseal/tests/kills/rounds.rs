//! One round: a job, a kill, a recovery that may be killed too, and the proof that nothing was lost.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use pageseal::{IoChoice, JobKeyMode, JobKind, JobOutcome, ResilienceChoice, Suite};
use tempfile::TempDir;

use super::child::{Answer, Order, Running, Task};
use super::found::{Found, Place};
use super::moment::{Moment, Pace, below, kill_at};
use super::subject::Subject;
use super::support::{self, Generator, Keys, names_in};
use super::tally::Tally;

const MIB: u64 = 1 << 20;
/// No multiple of a chunk, nor of a block; windows of 4 MiB.
const LEN_BYTES: u64 = 96 * MIB - 12_345;
/// Attempts to kill a job before it is done.
const ATTEMPTS: u64 = 6;

const PAIRS: [(IoChoice, ResilienceChoice); 5] = [
    (IoChoice::Buffered, ResilienceChoice::Checksum),
    (IoChoice::Buffered, ResilienceChoice::Process),
    (IoChoice::Buffered, ResilienceChoice::Journal),
    (IoChoice::Mmap, ResilienceChoice::Journal),
    (IoChoice::Mmap, ResilienceChoice::Process),
];

/// What a recovery is given to get at the file key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlock {
    JobKeyInMemory,
    JobKeyOnDisk,
    /// The job key is gone, as after a power cut.
    IdentityOnly,
}

/// The state of the whole test.
pub struct Rounds {
    generator: Generator,
    keys: Keys,
    _keys_folder: TempDir,
    /// Stands for `$XDG_RUNTIME_DIR`, so nobody else's job keys are counted.
    runtime: TempDir,
    plain: Subject,
    /// One for each suite, sealed between the rounds.
    sealed: Vec<Subject>,
    paces: HashMap<(JobKind, usize, u8), Pace>,
    tally: Tally,
}

/// What one round is about.
struct Round {
    kind: JobKind,
    index: u64,
    pair: usize,
    suite: Suite,
    unlock: Unlock,
    case: String,
}

impl Rounds {
    pub fn new(seed: u64) -> Self {
        let keys_folder = support::folder();
        let keys = Keys::new(keys_folder.path());
        let sealed = Suite::ALL.map(|suite| {
            let mut subject = Subject::new(LEN_BYTES, seed ^ u64::from(suite.id()));
            subject.seal(&keys, suite);
            subject
        });
        // Job keys must lie in memory, or they are not written at all.
        let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Rounds {
            generator: Generator::new(seed),
            keys,
            _keys_folder: keys_folder,
            runtime,
            plain: Subject::new(LEN_BYTES, seed),
            sealed: sealed.into(),
            paces: HashMap::new(),
            tally: Tally::default(),
        }
    }

    pub fn end(self) -> Tally {
        self.tally
    }

    /// Kills a job, recovers it, and brings its file back to what it was before the round.
    pub fn kill_and_recover(&mut self, kind: JobKind, index: u64) {
        let pair = (index % PAIRS.len() as u64) as usize;
        let suite = Suite::ALL[(index % 3) as usize];
        let unlock = match (kind, index % 3) {
            (JobKind::Decrypt, _) | (_, 2) => Unlock::IdentityOnly,
            (_, 0) => Unlock::JobKeyInMemory,
            _ => Unlock::JobKeyOnDisk,
        };
        let case = format!("{kind:?} {index}, {:?}, {suite:?}, {unlock:?}", PAIRS[pair]);
        let round = Round { kind, index, pair, suite, unlock, case };
        for _ in 0..ATTEMPTS {
            if self.kill_job(&round) {
                self.recover(&round);
                self.restore(&round);
                return;
            }
            self.restore(&round);
        }
        panic!("{}: always done before it could be killed", round.case);
    }

    fn subject(&mut self, round: &Round) -> &mut Subject {
        match round.kind {
            JobKind::Encrypt => &mut self.plain,
            _ => &mut self.sealed[(round.index % 3) as usize],
        }
    }

    fn order(&mut self, round: &Round, task: Task) -> Order {
        let needs_identity = round.unlock == Unlock::IdentityOnly;
        let (identity, recipient) =
            (self.keys.identity_file.clone(), self.keys.recipient.public_string().unwrap());
        let subject = self.subject(round);
        let path = if subject.sealed.exists() { &subject.sealed } else { &subject.plain };
        Order {
            task,
            path: path.clone(),
            recipient,
            identity_file: needs_identity.then_some(identity),
            io: PAIRS[round.pair].0,
            resilience: PAIRS[round.pair].1,
            suite: round.suite,
            job_key: match round.unlock {
                Unlock::JobKeyOnDisk => JobKeyMode::Disk,
                _ => JobKeyMode::Runtime,
            },
        }
    }

    /// Runs the job and kills it. `false` if it was done before.
    fn kill_job(&mut self, round: &Round) -> bool {
        let task = if round.kind == JobKind::Encrypt { Task::Encrypt } else { Task::Decrypt };
        let order = self.order(round, task);
        let journal = self.subject(round).journal.clone();
        let runtime = self.runtime.path().to_owned();
        let key = (round.kind, round.pair, round.suite.id());
        let pace = match self.paces.get(&key) {
            Some(pace) => *pace,
            None => {
                let pace = Pace::measure(&order, &journal, &runtime);
                self.paces.insert(key, pace);
                self.restore(round);
                pace
            }
        };
        let moment = pace.draw(&mut self.generator);
        if let Some(answer) = kill_at(moment, &order, &journal, &runtime) {
            assert!(matches!(answer, Answer::Done { .. }), "{}: {answer:?}", round.case);
            if let Some(pace) = self.paces.get_mut(&key) {
                pace.was_too_slow();
            }
            return false;
        }
        let found = Found::read(&journal);
        let place = match &found {
            Some(found) => found.place(),
            None if self.subject(round).form() == original_form(round.kind) => Place::BeforeJournal,
            None => Place::Done,
        };
        self.tally.kill(job_name(round.kind), place, found.as_ref());
        if found.is_some() && place != Place::Finished {
            let case = round.case.clone();
            self.subject(round).check_half_converted(&case);
        }
        true
    }

    /// Goes on or back, perhaps killed again on the way, and checks what is left.
    fn recover(&mut self, round: &Round) {
        if round.unlock == Unlock::IdentityOnly {
            self.lose_job_keys();
        }
        let mut task = if round.index.is_multiple_of(2) { Task::Resume } else { Task::Rollback };
        let kills = if self.generator.below(4) == 0 { 1 + self.generator.below(3) } else { 0 };
        let mut expected = None;
        for attempt in 0.. {
            let journal = self.subject(round).journal.clone();
            let Some(found) = Found::read(&journal) else { break };
            if found.is_backward() && task == Task::Resume && found.place() != Place::Finished {
                // A reversal that the killed rollback made durable can only be finished.
                task = Task::Rollback;
            }
            assert!(attempt < 10, "{}: recovery does not end", round.case);
            let order = self.order(round, task);
            let runtime = self.runtime.path().to_owned();
            let answer = if attempt < kills {
                let pace = self.paces[&(round.kind, round.pair, round.suite.id())];
                let moment = Moment::Anywhere(below(pace.whole, &mut self.generator));
                kill_at(moment, &order, &journal, &runtime)
            } else {
                Some(Running::start(&order, &runtime).finish())
            };
            match answer {
                None => self.tally.event(job_name(round.kind), format!("{task:?} killed")),
                Some(Answer::Done { outcome, windows_recovered }) => {
                    let some = if windows_recovered > 0 { "with windows in flight" } else { "" };
                    self.tally.event(job_name(round.kind), format!("{task:?} {some}"));
                    expected = Some(outcome);
                }
                Some(Answer::Refused(reason)) if reason == "only finish" => task = Task::Resume,
                Some(Answer::Refused(reason)) if reason == "being rolled back" => task = Task::Rollback,
                Some(other) => panic!("{}: {task:?}: {other:?}", round.case),
            }
        }
        let Rounds { plain, sealed, keys, .. } = &*self;
        let subject =
            if round.kind == JobKind::Encrypt { plain } else { &sealed[(round.index % 3) as usize] };
        subject.check(expected.unwrap_or_else(|| subject.form()), keys, &round.case);
        self.check_job_keys(round);
    }

    /// As after a power cut.
    fn lose_job_keys(&self) {
        let folder = self.runtime.path().join("pageseal");
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }

    /// A job that is over leaves no key behind. A child that is killed before its journal has a name leaves a job key that
    /// opens nothing: no journal and no file has anything wrapped under it.
    fn check_job_keys(&mut self, round: &Round) {
        let folder = self.runtime.path().join("pageseal");
        let left = if folder.exists() { names_in(&folder).len() } else { 0 };
        if left > 0 {
            let case = &round.case;
            assert!(self.killed_before_journal(round), "{case}: {left} job keys were left behind");
            self.lose_job_keys();
        }
    }

    fn killed_before_journal(&self, round: &Round) -> bool {
        self.tally.last() == Some((job_name(round.kind), Place::BeforeJournal))
    }

    /// The file gets the form back that it had before the round.
    fn restore(&mut self, round: &Round) {
        let Rounds { plain, sealed, keys, .. } = self;
        match round.kind {
            JobKind::Encrypt if plain.form() == JobOutcome::Sealed => plain.open(keys, &round.case),
            JobKind::Encrypt => {}
            _ => {
                let subject = &mut sealed[(round.index % 3) as usize];
                if subject.form() == JobOutcome::Plain {
                    subject.seal(keys, round.suite);
                }
            }
        }
    }
}

fn original_form(kind: JobKind) -> JobOutcome {
    if kind == JobKind::Encrypt { JobOutcome::Plain } else { JobOutcome::Sealed }
}

fn job_name(kind: JobKind) -> &'static str {
    if kind == JobKind::Encrypt { "encrypt" } else { "decrypt" }
}
