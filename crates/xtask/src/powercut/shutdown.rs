//! Power cuts: the file system is told to drop everything that is not on disk, at random moments of jobs and of what ends
//! them. `xfs_io -x -c shutdown` is the order `XFS_IOC_GOINGDOWN` with "no log flush", which ext4 knows under the same
//! number.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pageseal_testkit::Generator;

use super::bench::Bench;
use super::file_system::FileSystem;
use super::image::{Mounted, make_image};
use super::job::{MODES, Mode, SUITES, Way, recover, start_job, start_way};
use super::journal::{Found, Place, wait_for_finished, wait_for_window};
use super::report::Report;
use super::stop::{Outcome, Stop, check, failed};
use super::subject::{Content, Form, journal_in};
use super::tool;
use super::victim::{Ended, Running};

const IMAGE_BYTES: u64 = 400 << 20;
/// In windows of 4 MiB; the last is not a multiple of anything.
const LENGTHS: [usize; 3] = [16 << 20, (32 << 20) - 12_345, 64 << 20];
/// Of a hundred cuts, so many must land between the first window's commit and FINISHED.
const SHARE_BETWEEN_PERCENT: u64 = 80;
/// Below this number of cuts a share says nothing.
const CUTS_FOR_A_SHARE: u64 = 20;
/// Attempts to cut a job before it is done.
const ATTEMPTS: u32 = 6;
/// Cuts of one job and its recoveries.
const MAX_CUTS_OF_A_JOB: u64 = 4;

/// Cuts the power `cuts` times or a few more.
pub fn run(bench: &Bench, file_system: FileSystem, cuts: u64, report: &mut Report) -> Outcome<()> {
    report.begin(format!("shutdown {}", file_system.name()));
    let seed = bench.seed ^ file_system as u64;
    let mut cutter = Cutter {
        bench,
        file_system,
        image: bench.on_disk.path().join(format!("shutdown-{}.img", file_system.name())),
        folder: bench.on_disk.path().join(format!("shutdown-{}", file_system.name())),
        generator: Generator::new(seed),
        mounted: None,
        paces: BTreeMap::new(),
        report,
    };
    let contents = LENGTHS.map(|len| Content::new(len, seed ^ len as u64));
    let mut round = 0;
    while cutter.cuts() < cuts {
        bench.go_on()?;
        let content = &contents[round as usize % LENGTHS.len()];
        let result = cutter.round(content, round);
        let case = format!("--seed {} round {round} on {}", bench.seed, file_system.name());
        if !cutter.report.keep(&case, result)? {
            // Nobody knows what is left of it.
            cutter.mounted = None;
        }
        round += 1;
        let done = cutter.cuts();
        cutter.report.progress(done, cuts);
    }
    cutter.mounted = None;
    finish(report)
}

fn finish(report: &mut Report) -> Outcome<()> {
    let (cuts, between) = (report.counted(CUTS), report.counted(&place_name(Place::Between)));
    let percent = 100 * between / cuts.max(1);
    report.note(format!("{percent} % of the cuts between the first window's commit and FINISHED"));
    check(cuts < CUTS_FOR_A_SHARE || percent >= SHARE_BETWEEN_PERCENT, || {
        format!("below {SHARE_BETWEEN_PERCENT} % of the cuts were in time")
    })
}

const CUTS: &str = "power cuts";

fn place_name(place: Place) -> String {
    format!("found after the cut: {place:?}")
}

/// How long a job takes that nobody cuts.
#[derive(Clone, Copy)]
struct Pace {
    whole: Duration,
    /// From the first window's commit to FINISHED.
    rest: Duration,
    windows: u64,
}

struct Cutter<'a> {
    bench: &'a Bench,
    file_system: FileSystem,
    image: PathBuf,
    folder: PathBuf,
    generator: Generator,
    mounted: Option<Mounted>,
    paces: BTreeMap<(Mode, Form, usize), Pace>,
    report: &'a mut Report,
}

impl Cutter<'_> {
    fn cuts(&self) -> u64 {
        self.report.counted(CUTS)
    }

    /// One file: an encrypt and a decrypt, both cut.
    fn round(&mut self, content: &Content, round: u64) -> Outcome<()> {
        self.make_disk()?;
        content.write(&self.folder)?;
        let mode = MODES[(round / 3) as usize % MODES.len()];
        let suite = self.generator.pick(&SUITES);
        self.learn_pace(content, mode)?;
        for form in [Form::Plain, Form::Sealed] {
            if content.expect_alone(self.bench, &self.folder)? != form {
                self.whole_job(form.other(), mode, suite)?;
            }
            self.cut_job(content, form, mode, suite)?;
        }
        let form = content.expect_alone(self.bench, &self.folder)?;
        let path = self.folder.join(form.name());
        std::fs::remove_file(&path).map_err(|error| Stop::Setup(format!("{}: {error}", path.display())))
    }

    fn make_disk(&mut self) -> Outcome<()> {
        if self.mounted.is_none() {
            make_image(&self.image, IMAGE_BYTES, self.file_system)?;
            self.mounted = Some(Mounted::mount(&self.image, &self.folder, self.file_system)?);
        }
        Ok(())
    }

    /// Turns the file that has this form, and nobody cuts.
    fn whole_job(&self, form: Form, mode: Mode, suite: &str) -> Outcome<()> {
        start_job(self.bench, &self.bench.pageseal, &self.folder, form, mode, suite)?
            .finish()?
            .expect_codes(&[0])
    }

    /// Both jobs run once to their ends. The file is plain before and after.
    fn learn_pace(&mut self, content: &Content, mode: Mode) -> Outcome<()> {
        for form in [Form::Plain, Form::Sealed] {
            let key = (mode, form, content.bytes().len());
            if form == Form::Plain && self.paces.contains_key(&key) {
                return Ok(());
            }
            let started = Instant::now();
            let mut running =
                start_job(self.bench, &self.bench.pageseal, &self.folder, form, mode, SUITES[0])?;
            let windows = wait_for_window(&journal_in(&self.folder), 1, &mut running)?;
            let first = Instant::now();
            wait_for_finished(&journal_in(&self.folder), &mut running)?;
            let rest = first.elapsed();
            running.finish()?.expect_codes(&[0])?;
            // So fast that its windows were not seen: then the end is as good a moment as any.
            let pace = Pace { whole: started.elapsed(), rest, windows: windows.unwrap_or(1) };
            self.paces.insert(key, pace);
        }
        Ok(())
    }

    /// Starts a job that finds the file in `form`, cuts it and, perhaps, what ends it. Checks every byte at last.
    fn cut_job(&mut self, content: &Content, form: Form, mode: Mode, suite: &str) -> Outcome<()> {
        let name = if form == Form::Plain { "encrypt" } else { "decrypt" };
        let pace = self.paces[&(mode, form, content.bytes().len())];
        let (switch, running) = self.start_in_time(content, form, mode, suite)?;
        let ended = self.cut(switch, running, name)?;
        let mut expected = (ended.code() == Some(0)).then(|| form.other());

        for _ in 1..MAX_CUTS_OF_A_JOB {
            let Some(found) = Found::read(&journal_in(&self.folder))? else { break };
            check(expected.is_none(), || format!("{name} ended well, and a journal is there: {found:?}"))?;
            if self.generator.below(2) == 0 {
                break;
            }
            let way = Way::draw(&mut self.generator).allowed(&found);
            expected = self.cut_way(way, &found, pace)?;
        }
        let wish = Way::draw(&mut self.generator);
        let (way, end) = recover(self.bench, &self.folder, content, wish)?;
        self.report.count(match way {
            Some(way) => format!("{name}, then {way:?}"),
            None => format!("{name}, then nothing to do"),
        });
        check(expected.is_none_or(|form| form == end), || {
            format!("a job ended well, and the file is {end:?}")
        })
    }

    /// Starts a job and waits for the moment of the cut, again if the job is done before that.
    fn start_in_time(
        &mut self,
        content: &Content,
        form: Form,
        mode: Mode,
        suite: &str,
    ) -> Outcome<(Switch, Running)> {
        let key = (mode, form, content.bytes().len());
        for _ in 0..ATTEMPTS {
            let switch = Switch::new(&self.folder)?;
            let mut running = start_job(self.bench, &self.bench.pageseal, &self.folder, form, mode, suite)?;
            self.wait_for_moment(self.paces[&key], &mut running)?;
            // A few cuts shall come when all is done: what was reported as done must stay.
            if running.is_running()? || self.generator.below(8) == 0 {
                return Ok((switch, running));
            }
            running.finish()?.expect_codes(&[0])?;
            self.report.count("done before the cut, again");
            self.whole_job(form.other(), mode, suite)?;
            // The measured job was slower than those that follow.
            self.paces.entry(key).and_modify(|pace| pace.rest = pace.rest * 9 / 10);
        }
        failed("the job is always done before the cut")
    }

    /// Cuts a resume or rollback. Returns what the file must be if that was done before.
    fn cut_way(&mut self, way: Way, found: &Found, pace: Pace) -> Outcome<Option<Form>> {
        let switch = Switch::new(&self.folder)?;
        let mut running = start_way(self.bench, &self.folder, way)?;
        let window = found.newest_window + 1 + self.generator.below(pace.windows.div_ceil(2));
        wait_for_window(&journal_in(&self.folder), window, &mut running)?;
        sleep(below(pace.rest / pace.windows as u32, &mut self.generator));
        if !running.is_running()? {
            running.finish()?.expect_codes(&[0])?;
            return Ok(Some(way.end(found)));
        }
        let ended = self.cut(switch, running, if way == Way::Resume { "resume" } else { "rollback" })?;
        Ok((ended.code() == Some(0)).then(|| way.end(found)))
    }

    /// Most likely between the first window's commit and FINISHED.
    fn wait_for_moment(&mut self, pace: Pace, running: &mut Running) -> Outcome<()> {
        let journal = journal_in(&self.folder);
        let pause = match self.generator.below(20) {
            0..=9 => {
                let window = 1 + self.generator.below(pace.windows);
                wait_for_window(&journal, window, running)?;
                below(pace.rest / pace.windows as u32, &mut self.generator)
            }
            10..=18 => {
                wait_for_window(&journal, 1, running)?;
                below(pace.rest, &mut self.generator)
            }
            _ => below(pace.whole, &mut self.generator),
        };
        sleep(pause);
        Ok(())
    }

    /// Cuts the power and switches it on again. The process is killed, or left to find out for itself.
    fn cut(&mut self, switch: Switch, running: Running, job: &str) -> Outcome<Ended> {
        switch.off()?;
        let ended = if self.generator.below(3) == 0 {
            let ended = running.finish()?;
            // The file system answers everything with an I/O error: that is neither damage nor a reason to die.
            ended.expect_codes(&[0, 1, 5])?;
            self.report.count(format!("noticed by the command: exit code {}", ended.code().unwrap_or(-1)));
            ended
        } else {
            running.kill()?
        };
        if let Some(mounted) = self.mounted.take() {
            mounted.unmount()?;
        }
        self.bench.pageseal.forget_job_keys();
        self.mounted = Some(Mounted::mount(&self.image, &self.folder, self.file_system)?);
        self.report.count(CUTS);
        self.report.count(format!("power cuts of {job}"));
        let found = Found::read(&journal_in(&self.folder))?;
        let place = found.as_ref().map_or(Place::NoJournal, Found::place);
        self.report.count(place_name(place));
        if let Some(found) = found {
            self.report.count(format!("phase found: {:?}", found.phase.phase));
        }
        Ok(ended)
    }
}

/// The program that gives the order, started before, so that the order takes effect at once.
struct Switch(Child);

impl Switch {
    fn new(folder: &Path) -> Outcome<Self> {
        let mut command = tool::command("xfs_io");
        command.arg("-x").arg(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| Stop::Setup(format!("xfs_io: {error}")))?;
        Ok(Switch(child))
    }

    /// Cuts the power. When this returns, nothing reaches the disk any more.
    fn off(mut self) -> Outcome<()> {
        let setup = |error: std::io::Error| Stop::Setup(format!("xfs_io: {error}"));
        if let Some(mut orders) = self.0.stdin.take() {
            orders.write_all(b"shutdown\nquit\n").map_err(setup)?;
        }
        let status = self.0.wait().map_err(setup)?;
        if status.success() { Ok(()) } else { failed(format!("xfs_io: {status}")) }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A time below `bound`.
fn below(bound: Duration, generator: &mut Generator) -> Duration {
    Duration::from_nanos(generator.below(bound.as_nanos().max(1) as u64))
}
