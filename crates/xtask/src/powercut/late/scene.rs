//! A file on a disk that holds large writes, and a job on it that was killed with some of them in flight.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pageseal_testkit::Generator;
use rustix::fs::{Advice, fadvise};
use rustix::process::Signal;

use super::super::bench::Bench;
use super::super::disk::Disk;
use super::super::file_system::FileSystem;
use super::super::image::{Mounted, make_image, names_in};
use super::super::job::Way;
use super::super::stop::{At, Outcome, check, failed};
use super::super::subject::{Content, Form, PLAIN, SEALED};
use super::super::tool;
use super::super::victim::{Pageseal, Running};
use super::End;
use super::memory_group::MemoryGroup;
use super::who::{Requests, Who};

const IMAGE_BYTES: u64 = 400 << 20;
/// Sixteen windows of 4 MiB, the last one short.
const LEN_BYTES: usize = (64 << 20) - 12_345;
/// Stores past the cache are of 1 MiB, which the kernel may cut into two. Journals of file systems, metadata, tables and
/// what goes through the page cache a little at a time are smaller.
const LARGE_BYTES: usize = 512 << 10;
/// Requests of a window that wait for the disk together.
const ENOUGH_HELD: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(1);
/// What is said while a command waits.
const WAITS: &str = "still on their way";

/// The file system and the way to it. The disk goes last.
pub struct LateScene<'a> {
    bench: &'a Bench,
    pageseal: Pageseal,
    identity: PathBuf,
    content: Content,
    folder: PathBuf,
    file_system: FileSystem,
    /// Elsewhere, so that its payload is not held.
    journal: PathBuf,
    trailer: PathBuf,
    generator: Generator,
    mounted: Option<Mounted>,
    disk: Disk,
}

impl<'a> LateScene<'a> {
    /// A file in this form, which `who` may write to.
    pub fn new(bench: &'a Bench, file_system: FileSystem, form: Form, who: Who) -> Outcome<Self> {
        let (on_disk, in_memory) = (bench.on_disk.path(), bench.in_memory.path());
        let image = on_disk.join("late.img");
        make_image(&image, IMAGE_BYTES, file_system)?;
        let disk = Disk::serve(&image, &on_disk.join("late-fuse"))?;
        let folder = on_disk.join("late");
        let private = on_disk.join("late-private");
        let mut scene = LateScene {
            bench,
            pageseal: bench.pageseal.clone(),
            identity: private.join("key.txt"),
            content: Content::new(LEN_BYTES, bench.seed),
            mounted: Some(Mounted::mount_many_at_a_time(disk.file(), &folder, file_system)?),
            folder,
            file_system,
            journal: private.join("journal"),
            trailer: private.join("trailer"),
            generator: Generator::new(bench.seed),
            disk,
        };
        scene.write_file(form)?;
        let path = scene.folder.join(form.name());
        for (path, mode) in [(&path, 0o660), (&scene.folder, 0o770)] {
            who.share(path)?;
            set_mode(path, mode)?;
        }
        // What lies in closed folders is brought where he can reach it.
        for folder in [on_disk, in_memory] {
            set_mode(folder, 0o711)?;
        }
        let program = private.join("pageseal");
        let runtime = in_memory.join("late-runtime");
        for folder in [&private, &runtime] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir(folder).at("create", folder)?;
            set_mode(folder, 0o700)?;
            who.own(folder)?;
        }
        fs::copy(&bench.pageseal.program, &program).at("copy", &bench.pageseal.program)?;
        fs::copy(&bench.identity, &scene.identity).at("copy", &bench.identity)?;
        for path in [&program, &scene.identity] {
            who.own(path)?;
        }
        scene.pageseal = Pageseal { program, runtime, wrapper: who.wrapper(), ..bench.pageseal.clone() };
        if form == Form::Sealed {
            let line: [&Path; 4] = ["trailer".as_ref(), "export".as_ref(), "-o".as_ref(), &scene.trailer];
            scene.pageseal.succeed(line.into_iter().chain([&*path]))?;
        }
        scene.forget_cached(&path)?;
        Ok(scene)
    }

    fn write_file(&self, form: Form) -> Outcome<()> {
        let plain = self.folder.join(PLAIN);
        if self.file_system == FileSystem::Btrfs {
            // Only files that are written in place, and so without checksums, are written past the cache.
            File::create(&plain).at("create", &plain)?;
            tool::run("chattr", ["+C".as_ref(), plain.as_os_str()])?;
        }
        self.content.write(&self.folder)?;
        if form == Form::Sealed {
            let line = ["encrypt", "--chunk-size", "64KiB", "-r", &self.bench.recipient];
            let line = line.into_iter().map(Path::new).chain([&*plain]);
            self.bench.pageseal.succeed(line)?;
        }
        Ok(())
    }

    fn forget_cached(&self, path: &Path) -> Outcome<()> {
        tool::run("sync", ["-f".as_ref(), self.folder.as_os_str()])?;
        let file = File::open(path).at("open", path)?;
        fadvise(&file, 0, None, Advice::DontNeed).at("uncache", path)
    }

    /// A job that was killed while its writes were held. It is gone, or returned if it cannot end before they do.
    pub fn killed_job(
        &self,
        form: Form,
        resilience: &str,
        requests: Requests,
        end: End,
    ) -> Outcome<Option<Running>> {
        let mut line: Vec<PathBuf> = match form {
            Form::Plain => words(&["encrypt", "--chunk-size", "64KiB", "-r", &self.bench.recipient]),
            Form::Sealed => {
                [words(&["decrypt", "--no-verify-first", "-i"]), vec![self.identity.clone()]].concat()
            }
        };
        line.extend(words(&["--threads", "2", "--io", "direct", "--resilience", resilience, "--journal"]));
        line.extend([self.journal.clone(), self.folder.join(form.name())]);
        let mut running = self.start_and_hold(line, requests)?;
        if requests == Requests::Threads {
            running.signal(Signal::KILL)?;
            return Ok(Some(running));
        }
        match end {
            End::Sigkill => drop(running.kill()?),
            // The first asks for an end at the next window, which does not come.
            End::SecondCtrlC => {
                while running.is_running()? {
                    running.signal(Signal::INT)?;
                    std::thread::sleep(POLL);
                }
            }
            End::OutOfMemory => {
                let group = MemoryGroup::around(running.id())?;
                group.run_out(|| Ok(!running.is_running()?))?;
                let ended = running.finish()?;
                check(ended.code().is_none(), || format!("not killed for want of memory: {ended}"))?;
            }
        }
        check(self.held() >= ENOUGH_HELD, || "the killed job's writes were not held".into())?;
        Ok(None)
    }

    /// Starts a command, and returns when enough of its large writes are held.
    fn start_and_hold<S: AsRef<OsStr> + Send>(
        &self,
        line: impl IntoIterator<Item = S> + Send,
        requests: Requests,
    ) -> Outcome<Running> {
        self.disk.hold_writes_from(Some(LARGE_BYTES));
        let mut running = requests.within(|| self.pageseal.start(line))?;
        let started = Instant::now();
        while self.held() < ENOUGH_HELD {
            if !running.is_running()? {
                return failed(format!("the job ended though its writes were held: {}", running.finish()?));
            }
            check(started.elapsed() < PATIENCE, || "the job sends no large writes".into())?;
            std::thread::sleep(POLL);
        }
        // What is held stays so, and from now on everybody's writes go on: the disk keeps no order.
        self.disk.hold_writes_from(None);
        Ok(running)
    }

    pub fn held(&self) -> usize {
        self.disk.held()
    }

    pub fn land_all(&self) {
        self.disk.land_all();
    }

    /// Starts what ends the job.
    pub fn way(&self, way: Way) -> Outcome<Running> {
        let mut line = words(match way {
            Way::Resume => &["resume", "--decrypt"],
            Way::Rollback => &["rollback"],
        });
        line.extend(words(&["--threads", "2", "-i"]));
        line.extend([
            self.identity.clone(),
            "--journal".into(),
            self.journal.clone(),
            self.folder.join(PLAIN),
        ]);
        self.pageseal.start(line)
    }

    /// Takes the file system down, so that only what is on the disk counts, and mounts it again.
    pub fn mount_again(&mut self) -> Outcome<()> {
        self.land_all();
        self.mounted.take().map_or(Ok(()), Mounted::unmount)?;
        let mounted = Mounted::mount_many_at_a_time(self.disk.file(), &self.folder, self.file_system)?;
        self.mounted = Some(mounted);
        Ok(())
    }

    /// Only the file is there, in this form, with every byte.
    pub fn expect_form(&self, form: Form) -> Outcome<()> {
        let found = self.content.expect_alone(self.bench, &self.folder)?;
        check(found == form, || format!("the file is {found:?} and not {form:?}"))
    }
}

impl Drop for LateScene<'_> {
    fn drop(&mut self) {
        // Nothing could be unmounted else.
        self.disk.land_all();
    }
}

/// What ends the job says that it waits, does not end before the last write has landed, and ends well then.
pub fn expect_wait(scene: &mut LateScene<'_>, way: Way, is_stopped_first: bool) -> Outcome<()> {
    if is_stopped_first {
        let mut running = scene.way(way)?;
        if running.wait_for_words(WAITS)? {
            running.signal(Signal::INT)?;
            running.finish()?.expect(&[1], &[WAITS])?;
        }
    }
    let mut running = scene.way(way)?;
    let waits = running.wait_for_words(WAITS);
    if !matches!(waits, Ok(true)) {
        return what_was_lost(scene, running);
    }
    while scene.held() > 1 {
        let choice = scene.generator.next_u64();
        scene.disk.land_one(choice);
        if !running.is_running()? {
            return failed(format!("did not wait for the last write: {}", running.finish()?));
        }
    }
    scene.land_all();
    running.finish()?.expect_codes(&[0])
}

/// It ended, or works or hangs without a word.
fn what_was_lost(scene: &mut LateScene<'_>, mut running: Running) -> Outcome<()> {
    let (held, has_ended) = (scene.held(), !running.is_running()?);
    // What hangs in the kernel could not be waited for else.
    scene.land_all();
    let ended = running.finish()?;
    scene.mount_again()?;
    let names = names_in(&scene.folder)?;
    let difference = scene.content.difference(&scene.folder.join(PLAIN));
    failed(format!(
        "{} while {held} writes of the killed job were on their way: {ended}; when they had landed, the folder \
         held {names:?}, and {PLAIN}: {difference}",
        if has_ended { "ended" } else { "worked or hung without a word" }
    ))
}

/// A new job, `trailer import` and, if these words are what they must be refused with, everything that ends the job, refuse
/// as long as writes are on their way. Where they would wait, they are asked to stop.
pub fn expect_refusals(scene: &LateScene<'_>, form: Form, words_of_ways: &[&str]) -> Outcome<()> {
    let path = scene.folder.join(form.name());
    let mut lines = vec![match form {
        Form::Plain => words(&["encrypt", "-r", &scene.bench.recipient]),
        Form::Sealed => [words(&["decrypt", "-i"]), vec![scene.identity.clone()]].concat(),
    }];
    if form == Form::Sealed {
        let import = [words(&["trailer", "import", "-i"]), vec![scene.identity.clone(), "--from".into()]];
        lines.push([import.concat(), vec![scene.trailer.clone()]].concat());
    }
    for line in lines {
        let mut running = scene.pageseal.start(line.iter().chain([&path]))?;
        let says = running.wait_for_words(WAITS);
        if says.is_err() {
            // What hangs in the kernel could not be waited for else.
            scene.land_all();
        }
        if says? {
            running.signal(Signal::INT)?;
        }
        running.finish()?.expect_codes(&[1, 4, 5])?;
    }
    if !words_of_ways.is_empty() {
        for way in [Way::Resume, Way::Rollback] {
            scene.way(way)?.finish()?.expect(&[1], words_of_ways)?;
        }
    }
    check(scene.folder.join(SEALED).exists() == (form == Form::Sealed), || "a name was changed".into())
}

fn set_mode(path: &Path, mode: u32) -> Outcome<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path)
}

fn words(words: &[&str]) -> Vec<PathBuf> {
    words.iter().map(PathBuf::from).collect()
}
