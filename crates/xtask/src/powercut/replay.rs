//! Block replay: states that a lost cache could have left the disk in, chosen at random, mounted by the kernel and recovered
//! by the command.

use std::path::PathBuf;

use pageseal_testkit::Generator;
use rustix::process::Signal;

use super::bench::Bench;
use super::disk::Disk;
use super::file_system::FileSystem;
use super::image::{Mounted, copy_image, make_image};
use super::job::{MODES, Mode, SUITES, Way, recover, start_job, start_way};
use super::journal::wait_for_window;
use super::recording::{Loss, Medium, Recording};
use super::report::Report;
use super::stop::{Outcome, Stop, check};
use super::subject::{Content, Form, journal_in};

const IMAGE_BYTES: u64 = 320 << 20;
/// Five windows of 4 MiB, the last one short.
const LEN_BYTES: usize = (17 << 20) + 4321;
/// So many losses prove that a mutation is caught.
const ENOUGH_LOSSES: u64 = 3;

/// A job to be recorded.
#[derive(Clone, Copy, Debug)]
struct Session {
    /// What the file is before.
    form: Form,
    mode: Mode,
    /// Stopped on the way and rolled back.
    undone: bool,
}

/// Replays each job `states` times.
pub fn run(bench: &Bench, file_system: FileSystem, states: u64, report: &mut Report) -> Outcome<()> {
    let name = file_system.name();
    let mutation = bench.mutated.mutation.as_deref();
    report.begin(match mutation {
        None => format!("replay {name}"),
        Some(mutation) => format!("replay {name}, {mutation} off"),
    });
    let mut replay = Replay {
        bench,
        file_system,
        content: Content::new(LEN_BYTES, bench.seed),
        folder: bench.in_memory.path().join(format!("replay-{name}")),
        generator: Generator::new(bench.seed ^ file_system as u64),
        bases: [None, None],
        report,
    };
    let sessions = sessions();
    let all = states * sessions.len() as u64;
    for (index, session) in sessions.into_iter().enumerate() {
        replay.session(session, index, states, all)?;
        if replay.is_caught() {
            break;
        }
    }
    replay.finish(all)
}

fn sessions() -> Vec<Session> {
    let mut sessions = Vec::new();
    for mode in MODES {
        for form in [Form::Plain, Form::Sealed] {
            sessions.push(Session { form, mode, undone: false });
        }
    }
    sessions.push(Session { form: Form::Plain, mode: MODES[0], undone: true });
    sessions.push(Session { form: Form::Sealed, mode: MODES[1], undone: true });
    sessions
}

struct Replay<'a> {
    bench: &'a Bench,
    file_system: FileSystem,
    content: Content,
    folder: PathBuf,
    generator: Generator,
    /// A disk with the plain file, and one with the sealed file.
    bases: [Option<PathBuf>; 2],
    report: &'a mut Report,
}

const STATES: &str = "states of the disk recovered";
const LOSSES: &str = "failed, as they must";

impl Replay<'_> {
    fn image(&self, name: &str) -> PathBuf {
        self.bench.in_memory.path().join(format!("{name}-{}.img", self.file_system.name()))
    }

    fn is_caught(&self) -> bool {
        self.report.counted(LOSSES) >= ENOUGH_LOSSES
    }

    fn session(&mut self, session: Session, index: usize, states: u64, all: u64) -> Outcome<()> {
        let recording = self.record(session)?;
        let mut points: Vec<_> = (0..states).map(|_| self.draw_point(&recording)).collect();
        points.sort_unstable();
        let mut medium = Medium::new(&recording, self.image("medium"))?;
        for (state, point) in points.into_iter().enumerate() {
            self.bench.go_on()?;
            medium.advance(point)?;
            let loss = Loss::draw(&mut self.generator);
            let case = format!(
                "--seed {} on {}, job {index} {session:?}, state {state}: cut before event {point} of {} ({} to {}), {loss:?}",
                self.bench.seed,
                self.file_system.name(),
                recording.events.len(),
                recording.begin,
                recording.end
            );
            let result = self.try_state(&recording, &medium, point, loss);
            match result {
                Err(Stop::Failed(reason)) if self.bench.mutated.mutation.is_some() => {
                    println!("caught: {case}: {reason}");
                    self.report.count(LOSSES);
                    if self.is_caught() {
                        return Ok(());
                    }
                }
                other => drop(self.report.keep(&case, other)?),
            }
            let done = index as u64 * states + state as u64;
            self.report.progress(done, all);
        }
        Ok(())
    }

    /// Half of the points lie behind a random event, the others behind the last write before a random flush: there most is
    /// at stake.
    fn draw_point(&mut self, recording: &Recording) -> usize {
        let (begin, all) = (recording.begin, recording.events.len());
        let point = begin + self.generator.below((all - begin) as u64 + 1) as usize;
        if self.generator.below(2) == 0 {
            return point;
        }
        let rest = recording.events[point..].iter();
        point + rest.take_while(|event| matches!(event, super::disk::Event::Write { .. })).count()
    }

    /// A disk whose file is in `form`, made once.
    fn base(&mut self, form: Form) -> Outcome<PathBuf> {
        let slot = usize::from(form == Form::Sealed);
        if let Some(path) = &self.bases[slot] {
            return Ok(path.clone());
        }
        let path = self.image(form.name());
        make_image(&path, IMAGE_BYTES, self.file_system)?;
        let mounted = Mounted::mount(&path, &self.folder, self.file_system)?;
        self.content.write(&self.folder)?;
        if form == Form::Sealed {
            let job =
                start_job(self.bench, &self.bench.pageseal, &self.folder, Form::Plain, MODES[0], SUITES[0])?;
            job.finish()?.expect_codes(&[0])?;
        }
        mounted.unmount()?;
        self.bases[slot] = Some(path.clone());
        Ok(path)
    }

    fn record(&mut self, session: Session) -> Outcome<Recording> {
        let base = self.base(session.form)?;
        let live = self.image("live");
        copy_image(&base, &live)?;
        let disk = Disk::serve(&live, &self.bench.in_memory.path().join("fuse"))?;
        disk.record();
        let mounted = Mounted::mount(disk.file(), &self.folder, self.file_system)?;
        let begin = disk.events();
        let form = self.run_job(session)?;
        let end = disk.events();
        mounted.unmount()?;
        self.bench.pageseal.forget_job_keys();
        let events = disk.take_down()?;
        self.report.count("jobs recorded");
        check(end > begin, || "the job wrote nothing".into())?;
        Ok(Recording { base, events, begin, end, form })
    }

    /// Runs the job of a session to its end, and returns the form of the file.
    fn run_job(&mut self, session: Session) -> Outcome<Form> {
        let suite = self.generator.pick(&SUITES);
        let job = &self.bench.mutated;
        let mut running = start_job(self.bench, job, &self.folder, session.form, session.mode, suite)?;
        if !session.undone {
            running.finish()?.expect_codes(&[0])?;
            return Ok(session.form.other());
        }
        let window = 1 + self.generator.below(3);
        wait_for_window(&journal_in(&self.folder), window, &mut running)?;
        running.signal(Signal::INT)?;
        let ended = running.finish()?;
        ended.expect_codes(&[0, 5])?;
        if ended.code() == Some(0) {
            return Ok(session.form.other());
        }
        start_way(self.bench, &self.folder, Way::Rollback)?.finish()?.expect_codes(&[0])?;
        Ok(session.form)
    }

    /// Makes the state, mounts and recovers. If the file system cannot bear its own torn blocks, the cut is made again with
    /// whole writes.
    fn try_state(
        &mut self,
        recording: &Recording,
        medium: &Medium<'_>,
        point: usize,
        loss: Loss,
    ) -> Outcome<()> {
        let wish = Way::draw(&mut self.generator);
        let first = self.recover_state(recording, medium, point, loss, wish);
        if !is_of_the_file_system(&first) {
            return first;
        }
        let Loss::Sectors { .. } = loss else {
            self.report.count("not mountable, whole writes lost (file system)");
            println!("{first:?}");
            return Ok(());
        };
        self.report.count("not mountable, torn blocks (file system)");
        println!("{first:?}");
        let second = self.recover_state(recording, medium, point, loss.without_torn_writes(), wish);
        if is_of_the_file_system(&second) {
            self.report.count("not mountable, whole writes lost (file system)");
            println!("{second:?}");
            return Ok(());
        }
        second
    }

    fn recover_state(
        &mut self,
        recording: &Recording,
        medium: &Medium<'_>,
        point: usize,
        loss: Loss,
        wish: Way,
    ) -> Outcome<()> {
        let state = self.image("state");
        let unflushed = medium.cut(point, loss, &mut self.generator, &state)?;
        let mounted = Mounted::mount(&state, &self.folder, self.file_system)?;
        let result = recover(self.bench, &self.folder, &self.content, wish);
        mounted.unmount()?;
        let (way, form) = result?;
        self.report.count(STATES);
        if unflushed > 0 {
            self.report.count("of these, with writes that were not flushed");
        }
        self.report.count(match way {
            Some(way) => format!("ended by {way:?}"),
            None => "no job was open".into(),
        });
        // What was reported as done must stay.
        check(point < recording.end || (way.is_none() && form == recording.form), || {
            format!("the job had said that it was done, but {way:?} was needed and the file is {form:?}")
        })
    }

    fn finish(self, all: u64) -> Outcome<()> {
        let Some(name) = &self.bench.mutated.mutation else {
            let recovered = self.report.counted(STATES);
            // Else the file system would hide from us what the command does.
            return check(recovered * 10 >= all * 9, || {
                format!("only {recovered} of {all} states were recovered")
            });
        };
        check(self.report.counted(LOSSES) > 0, || format!("without {name} nothing was lost: not caught"))?;
        self.report.note(format!("caught: without {name} data is lost, and this test says so"));
        Ok(())
    }
}

/// Whether a state failed before the command had a say: the file system cannot be mounted, or says itself that it is broken.
fn is_of_the_file_system(result: &Outcome<()>) -> bool {
    match result {
        Err(Stop::Setup(reason)) => reason.contains("\"mount\""),
        Err(Stop::Failed(reason)) => reason.contains("Structure needs cleaning"),
        _ => false,
    }
}
