//! One round: a job, a kill, a recovery that may be killed too, and the proof that nothing was lost.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use pageseal::{IoChoice, JobKeyMode, JobKind, JobOutcome, ResilienceChoice, Suite};
use pageseal_format::journal::Phase;
use tempfile::TempDir;

use super::by::{By, Place as Everywhere};
use super::child::{Answer, Order, Running, Task};
use super::found::{Found, Place};
use super::moment::{Moment, Pace, below, kill_at};
use super::subject::Subject;
use super::support::{Generator, Keys, names_in};
use super::tally::Tally;

/// Neither a multiple of a chunk nor of a block; in windows of 4 MiB.
const LEN_BYTES: u64 = (96 << 20) - 12_345;
/// Attempts to kill a job before it is done.
const ATTEMPTS: u64 = 6;

const PAIRS: [(IoChoice, ResilienceChoice); 8] = [
    (IoChoice::Buffered, ResilienceChoice::Checksum),
    (IoChoice::Mmap, ResilienceChoice::Journal),
    (IoChoice::Buffered, ResilienceChoice::Process),
    (IoChoice::Mmap, ResilienceChoice::Process),
    (IoChoice::Buffered, ResilienceChoice::Journal),
    (IoChoice::Direct, ResilienceChoice::Checksum),
    (IoChoice::Direct, ResilienceChoice::Journal),
    (IoChoice::Direct, ResilienceChoice::Process),
];

/// What a recovery gets the file key from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlock {
    JobKeyInMemory,
    JobKeyOnDisk,
    /// The job key is gone, as after a power cut; always so for a decrypt, which has none.
    Identity,
}

/// What a round is about.
#[derive(Clone, Copy, Debug)]
struct Plan {
    job: JobKind,
    by: By,
    io: IoChoice,
    resilience: ResilienceChoice,
    suite: Suite,
    unlock: Unlock,
}

impl Plan {
    fn new(job: JobKind, index: u64, everybody: &[By]) -> Self {
        let pairs = PAIRS.len() as u64;
        let (io, resilience) = PAIRS[(index % pairs) as usize];
        let suite = Suite::ALL[(index / pairs % 3) as usize];
        // Moves on with every round of the pairs, of which there are a multiple of four: each pair meets all of them.
        let unlock = match (job, (index + index / pairs) % 4) {
            (JobKind::Encrypt, 0 | 1) => Unlock::JobKeyInMemory,
            (JobKind::Encrypt, 2) => Unlock::JobKeyOnDisk,
            _ => Unlock::Identity,
        };
        // So that each pair meets everybody with every suite.
        let turn = index / pairs;
        let by = everybody[((index + turn + turn / 3) % everybody.len() as u64) as usize];
        Plan { job, by, io, resilience, suite, unlock }
    }

    fn name(&self) -> &'static str {
        if self.job == JobKind::Encrypt { "encrypt" } else { "decrypt" }
    }

    /// What the file is after the job, and after its undoing.
    fn ends(&self) -> (JobOutcome, JobOutcome) {
        match self.job {
            JobKind::Encrypt => (JobOutcome::Sealed, JobOutcome::Plain),
            _ => (JobOutcome::Plain, JobOutcome::Sealed),
        }
    }
}

/// The whole test.
pub struct Rounds {
    bench: Bench,
    /// Plain between the rounds.
    plain: Subject,
    /// One for each suite; plain or sealed between the rounds.
    sealed: Vec<Subject>,
}

impl Rounds {
    pub fn new(seed: u64) -> Self {
        let everywhere = Everywhere::new();
        if everywhere.everybody.len() == 1 {
            println!("only by the owner: this is not root, or cannot become somebody else");
        }
        let place = everywhere.folder.path();
        let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let keys = Keys::new(place);
        let sealed =
            Suite::ALL.iter().map(|suite| Subject::new(place, LEN_BYTES, seed ^ u64::from(suite.id())));
        let (sealed, plain) = (sealed.collect(), Subject::new(place, LEN_BYTES, seed));
        let bench = Bench {
            seed,
            generator: Generator::new(seed),
            keys,
            everywhere,
            runtime,
            paces: HashMap::new(),
            tally: Tally::default(),
        };
        Rounds { bench, plain, sealed }
    }

    /// Kills a job of this kind once and recovers from it. Returns whether the kill landed between the first window's
    /// commit and FINISHED.
    pub fn kill_and_recover(&mut self, job: JobKind, index: u64) -> bool {
        let plan = Plan::new(job, index, self.bench.everywhere.everybody);
        let subject = match job {
            JobKind::Encrypt => &mut self.plain,
            _ => &mut self.sealed[usize::from(plan.suite.id() - 1)],
        };
        self.bench.round(plan, subject, index) == Place::Between
    }

    /// Opens what is still sealed, a last proof, and returns the counts.
    pub fn end(mut self) -> Tally {
        for subject in &mut self.sealed {
            if subject.form() == JobOutcome::Sealed {
                subject.open(&self.bench.keys, "the last decrypt");
            }
        }
        self.bench.tally
    }
}

/// All but the files.
struct Bench {
    seed: u64,
    generator: Generator,
    keys: Keys,
    everywhere: Everywhere,
    /// Stands for `$XDG_RUNTIME_DIR`, so that nobody else's job keys are seen.
    runtime: TempDir,
    paces: HashMap<(&'static str, usize), Pace>,
    tally: Tally,
}

impl Bench {
    fn round(&mut self, plan: Plan, subject: &mut Subject, index: u64) -> Place {
        let case = format!("seed {}, {} {index}, {plan:?}", self.seed, plan.name());
        let (rest, moment) = self.kill(&plan, subject, index, &case);
        let case = format!("{case}, {moment:?}");
        let found = Found::read(&subject.journal);
        let place = match &found {
            Some(found) => found.place(),
            None if subject.form() == plan.ends().0 => Place::Done,
            None => Place::BeforeJournal,
        };
        self.tally.kill(plan.name(), place, found.as_ref());
        self.check_job_keys(&plan, place, &case);
        if plan.unlock == Unlock::Identity {
            self.remove_job_keys();
        }
        let form = self.recover(&plan, subject, rest, &case);
        subject.check(form, &self.keys, &case);
        if self.remove_job_keys() > 0 {
            // Only a job that died before it had a journal may leave its key: there is nothing that it opens.
            assert_eq!(place, Place::BeforeJournal, "{case}: a job key was left over");
            self.tally.event(plan.name(), "job key without a journal");
        }
        if plan.job == JobKind::Encrypt && form == JobOutcome::Sealed {
            subject.open(&self.keys, &case);
        }
        place
    }

    /// Runs the job until one is killed before it was done. Returns how long the recovery may take, and the moment.
    fn kill(&mut self, plan: &Plan, subject: &mut Subject, index: u64, case: &str) -> (Duration, Moment) {
        let task = if plan.job == JobKind::Encrypt { Task::Encrypt } else { Task::Decrypt };
        // A job's pace depends on how it stores and records.
        let pace_name = (plan.name(), (index % PAIRS.len() as u64) as usize);
        for attempt in 1..=ATTEMPTS {
            self.prepare(plan, subject, case);
            if self.everywhere.everybody.len() > 1 {
                plan.by.share(if task == Task::Encrypt { &subject.plain } else { &subject.sealed });
            }
            let (order, runtime) = (self.order(plan, task, subject), self.runtime(plan.by));
            let Some(pace) = self.paces.get_mut(&pace_name) else {
                let pace = Pace::measure(&order, &subject.journal, &runtime);
                self.paces.insert(pace_name, pace);
                continue;
            };
            let moment = match attempt {
                // Nothing can be done so soon after the first window.
                ATTEMPTS => Moment::AfterFirstWindow(Duration::ZERO),
                _ => pace.draw(&mut self.generator),
            };
            match kill_at(moment, &order, &subject.journal, &runtime) {
                None => return (pace.rest, moment),
                Some(Answer::Done { .. }) => {
                    pace.was_too_slow();
                    self.tally.event(plan.name(), "done before the kill, again");
                }
                Some(answer) => panic!("{case}: {answer:?}"),
            }
        }
        panic!("{case}: done before the kill, {ATTEMPTS} times");
    }

    /// Brings the file into the form that the job begins with.
    fn prepare(&self, plan: &Plan, subject: &mut Subject, case: &str) {
        match (plan.job, subject.form()) {
            (JobKind::Encrypt, JobOutcome::Sealed) => {
                subject.check(JobOutcome::Sealed, &self.keys, case);
                subject.open(&self.keys, case);
            }
            (JobKind::Decrypt, JobOutcome::Plain) => {
                subject.check(JobOutcome::Plain, &self.keys, case);
                subject.seal(&self.keys, plan.suite);
            }
            _ => {}
        }
    }

    /// Resumes or rolls back, perhaps being killed and changing its mind, until the job is over. Returns the file's form.
    fn recover(&mut self, plan: &Plan, subject: &Subject, rest: Duration, case: &str) -> JobOutcome {
        let mut wish = if self.generator.below(2) == 0 { Task::Resume } else { Task::Rollback };
        let mut kills = if self.generator.below(4) == 0 { 1 + self.generator.below(3) } else { 0 };
        let mut expected = None;
        loop {
            let Some(found) = Found::read(&subject.journal) else {
                self.expect_refusal(plan, Task::Resume, subject, "nothing to resume", case);
                assert!(expected.is_none_or(|form| form == subject.form()), "{case}: without journal");
                return subject.form();
            };
            subject.check_half_converted(case);
            let backward = self.settle_wish(plan, subject, &found, &mut wish, case);
            let form = if backward { plan.ends().1 } else { plan.ends().0 };
            expected = Some(form);
            let child = Running::start(&self.order(plan, wish, subject), &self.runtime(plan.by));
            let answer = if kills > 0 {
                kills -= 1;
                std::thread::sleep(below(rest, &mut self.generator));
                match child.kill() {
                    Some(answer) => answer,
                    None => {
                        self.tally.event(plan.name(), format!("{wish:?} killed too"));
                        if self.generator.below(3) == 0 {
                            wish = if wish == Task::Resume { Task::Rollback } else { Task::Resume };
                        }
                        continue;
                    }
                }
            } else {
                child.finish()
            };
            let windows_recovered = found.windows_in_flight();
            assert_eq!(answer, Answer::Done { outcome: form, windows_recovered }, "{case}: {wish:?}");
            let how = if backward { "rolled back" } else { "resumed" };
            self.tally.event(plan.name(), format!("{how}, {:?}", plan.unlock));
            self.tally.event(plan.name(), format!("by {:?}", plan.by));
            return form;
        }
    }

    /// What the journal does not allow is refused, and the other way taken. Returns whether the job will be undone.
    fn settle_wish(
        &mut self,
        plan: &Plan,
        subject: &Subject,
        found: &Found,
        wish: &mut Task,
        case: &str,
    ) -> bool {
        match (found.phase.phase, found.is_backward(), *wish) {
            // Nothing is left but names, whatever the wish.
            (Phase::Finished, backward, _) => return backward,
            (_, true, Task::Resume) => {
                self.expect_refusal(plan, Task::Resume, subject, "being rolled back", case);
                *wish = Task::Rollback;
            }
            (Phase::Truncating, false, Task::Rollback) => {
                self.expect_refusal(plan, Task::Rollback, subject, "only finish", case);
                *wish = Task::Resume;
            }
            _ => {}
        }
        *wish == Task::Rollback
    }

    fn expect_refusal(&mut self, plan: &Plan, task: Task, subject: &Subject, reason: &str, case: &str) {
        let answer = Running::start(&self.order(plan, task, subject), &self.runtime(plan.by)).finish();
        assert_eq!(answer, Answer::Refused(reason.to_owned()), "{case}: {task:?}");
        self.tally.event(plan.name(), format!("{task:?} refused: {reason}"));
    }

    /// Stands for the runtime folder of whom the job is run by. A folder that others may enter is not trusted with job keys: they would
    /// go where this test does not look.
    fn runtime(&self, by: By) -> PathBuf {
        let folder = self.runtime.path().join(format!("{by:?}"));
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
            if by != By::Owner {
                by.own(&folder);
            }
        }
        folder
    }

    fn order(&self, plan: &Plan, task: Task, subject: &Subject) -> Order {
        let needs_identity = plan.unlock == Unlock::Identity;
        let path = match task {
            Task::Decrypt => &subject.sealed,
            // Either name will do while a job is open.
            _ => &subject.plain,
        };
        Order {
            by: plan.by,
            program: self.everywhere.program.clone(),
            task,
            path: path.clone(),
            recipient: self.keys.recipient.public_string().unwrap(),
            identity_file: needs_identity.then(|| self.keys.identity_file.clone()),
            io: plan.io,
            resilience: plan.resilience,
            suite: plan.suite,
            job_key: match plan.unlock {
                Unlock::JobKeyOnDisk => JobKeyMode::Disk,
                _ => JobKeyMode::Runtime,
            },
        }
    }

    /// While an encrypt is open, its job key lies where this test looks for it, and only where it was asked for.
    fn check_job_keys(&self, plan: &Plan, place: Place, case: &str) {
        let open = matches!(place, Place::BeforeFirstWindow | Place::Between);
        let in_memory = plan.job == JobKind::Encrypt && plan.unlock != Unlock::JobKeyOnDisk;
        let keys = self.job_keys().len();
        if open {
            assert_eq!(keys, usize::from(in_memory), "{case}: job keys of an open job");
        } else {
            assert!(keys <= usize::from(in_memory && place != Place::Done), "{case}: {keys} job keys");
        }
    }

    fn job_keys(&self) -> Vec<PathBuf> {
        let folders = By::ALL.map(|by| self.runtime(by).join("pageseal"));
        let there = folders.iter().filter(|folder| folder.exists());
        there.flat_map(|folder| names_in(folder).into_iter().map(|name| folder.join(name))).collect()
    }

    /// Removes what lies in the folders of job keys, and says how many files that were.
    fn remove_job_keys(&self) -> usize {
        let keys = self.job_keys();
        keys.iter().for_each(|key| fs::remove_file(key).unwrap());
        keys.len()
    }
}

#[test]
fn every_pair_is_killed_with_every_suite_and_every_key() {
    for job in [JobKind::Encrypt, JobKind::Decrypt] {
        // So many rounds of the pairs: suites come back after three of them, keys after four, and users with every suite after nine.
        let plans: Vec<_> =
            (0..PAIRS.len() as u64 * 36).map(|index| Plan::new(job, index, &By::ALL)).collect();
        for (io, resilience) in PAIRS {
            let of_pair = plans.iter().filter(|plan| (plan.io, plan.resilience) == (io, resilience));
            let met = |what: fn(&Plan) -> String| {
                of_pair.clone().map(what).collect::<std::collections::BTreeSet<_>>().len()
            };
            assert_eq!(met(|plan| format!("{:?}", plan.suite)), 3, "{io:?} {resilience:?}");
            let keys = if job == JobKind::Encrypt { 3 } else { 1 };
            assert_eq!(met(|plan| format!("{:?}", plan.unlock)), keys, "{io:?} {resilience:?}");
            assert_eq!(met(|plan| format!("{:?} {:?}", plan.by, plan.suite)), 9, "{io:?} {resilience:?}");
        }
    }
}
