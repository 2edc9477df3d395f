//! A small file system with one file, and a job on it that stands still while something happens.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::bench::Bench;
use super::super::disk::{Disk, Event};
use super::super::file_system::FileSystem;
use super::super::image::{Mounted, make_image};
use super::super::job::{Mode, SUITES, Way, recover, start_job, start_way};
use super::super::journal::wait_for_window;
use super::super::stop::{At, Outcome, Stop, check};
use super::super::subject::{Content, Form, PLAIN, journal_in};
use super::super::victim::{Ended, Running};

/// Sixteen windows of 4 MiB, the last one short.
pub const LEN_BYTES: usize = (64 << 20) - 12_345;
/// Attempts to stop a job before it is done.
const ATTEMPTS: u32 = 5;

/// The file system, its file and the way to both.
pub struct Scene<'a> {
    pub bench: &'a Bench,
    pub content: Content,
    pub folder: PathBuf,
    pub image: PathBuf,
    file_system: FileSystem,
    mounted: Option<Mounted>,
    /// Below the mount, so it goes after it.
    disk: Option<Disk>,
}

impl<'a> Scene<'a> {
    /// A new file system with the file in its plain form.
    pub fn new(bench: &'a Bench, file_system: FileSystem, image_bytes: u64) -> Outcome<Self> {
        let image = bench.on_disk.path().join("faults.img");
        make_image(&image, image_bytes, file_system)?;
        let mut scene = Scene {
            bench,
            content: Content::new(LEN_BYTES, bench.seed),
            folder: bench.on_disk.path().join("faults"),
            image,
            file_system,
            mounted: None,
            disk: None,
        };
        scene.mount_from(&scene.image.clone())?;
        scene.content.write(&scene.folder)?;
        Ok(scene)
    }

    /// Mounts the file system, from its image or what lies over it.
    pub fn mount_from(&mut self, image: &Path) -> Outcome<()> {
        self.mounted = Some(Mounted::mount(image, &self.folder, self.file_system)?);
        Ok(())
    }

    /// Mounts the image through a disk that remembers and can break.
    pub fn mount_through_disk(&mut self) -> Outcome<()> {
        let disk = Disk::serve(&self.image, &self.bench.on_disk.path().join("fuse"))?;
        disk.record();
        self.mount_from(disk.file())?;
        self.disk = Some(disk);
        Ok(())
    }

    /// The disk that can break.
    pub fn disk(&self) -> Outcome<&Disk> {
        self.disk.as_ref().ok_or_else(|| Stop::Setup("this scene has no disk that breaks".into()))
    }

    /// Unmounts, takes that disk away, and returns what happened to it.
    pub fn take_down_disk(&mut self) -> Outcome<Vec<Event>> {
        self.unmount()?;
        self.disk.take().map_or(Ok(Vec::new()), Disk::take_down)
    }

    pub fn unmount(&mut self) -> Outcome<()> {
        self.mounted.take().map_or(Ok(()), Mounted::unmount)
    }

    pub fn device_name(&self) -> String {
        self.mounted.as_ref().map_or_else(String::new, Mounted::device_name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Turns the file from `form` into the other, undisturbed.
    pub fn convert(&self, form: Form, mode: Mode) -> Outcome<()> {
        start_job(self.bench, &self.bench.pageseal, &self.folder, form, mode, SUITES[0])?
            .finish()?
            .expect_codes(&[0])
    }

    /// A job that stands still after the commit of `window`.
    pub fn frozen_job(&self, form: Form, mode: Mode, window: u64) -> Outcome<Running> {
        self.frozen(form, window, &journal_in(&self.folder), || {
            start_job(self.bench, &self.bench.pageseal, &self.folder, form, mode, SUITES[2])
        })
    }

    /// The same for any command line.
    pub fn frozen(
        &self,
        form: Form,
        window: u64,
        journal: &Path,
        start: impl Fn() -> Outcome<Running>,
    ) -> Outcome<Running> {
        for _ in 0..ATTEMPTS {
            let mut running = start()?;
            let seen = wait_for_window(journal, window, &mut running)?;
            running.freeze()?;
            if seen.is_some() && running.is_running()? {
                return Ok(running);
            }
            let ended = running.finish()?;
            // Faster than the look at its journal: once more from the beginning.
            ended.expect_codes(&[0])?;
            self.convert(form.other(), super::MODES[0])?;
        }
        Err(Stop::Setup("the job is always done before it can be stopped".into()))
    }

    /// Runs a job, and does `deed` while it stands still after the commit of `window`.
    pub fn job_with(
        &self,
        form: Form,
        mode: Mode,
        window: u64,
        deed: impl FnOnce() -> Outcome<()>,
    ) -> Outcome<Ended> {
        let mut running = self.frozen_job(form, mode, window)?;
        deed()?;
        running.thaw()?;
        running.finish()
    }

    /// Tries to end the job this way.
    pub fn try_way(&self, way: Way) -> Outcome<Ended> {
        start_way(self.bench, &self.folder, way)?.finish()
    }

    /// Ends the job, and every byte is there.
    pub fn recover(&self, wish: Way) -> Outcome<()> {
        let (way, _) = recover(self.bench, &self.folder, &self.content, wish)?;
        check(way.is_some(), || "there was no job to recover".into())
    }

    /// A file that the sealed content lies in under a foreign name must open to what it was.
    pub fn expect_sealed_as(&self, name: &str) -> Outcome<()> {
        self.content.expect_sealed(self.bench, &self.path(name))
    }

    /// Writes a file that is not ours.
    pub fn put_foreign(&self, name: &str) -> Outcome<()> {
        let path = self.path(name);
        fs::write(&path, FOREIGN).at("write", &path)
    }

    /// Nobody may have touched it.
    pub fn expect_foreign(&self, name: &str) -> Outcome<()> {
        let path = self.path(name);
        check(fs::read(&path).is_ok_and(|found| found == FOREIGN), || format!("{name} was touched"))
    }

    /// The plain file.
    pub fn plain(&self) -> PathBuf {
        self.path(PLAIN)
    }
}

const FOREIGN: &[u8] = b"somebody else's";

/// The step that every interruption must name.
pub const NEXT_STEP: &str = "run `pageseal resume";
