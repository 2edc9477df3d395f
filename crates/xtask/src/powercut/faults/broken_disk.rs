//! Disks that answer with errors.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use pageseal_testkit::Generator;
use rustix::fs::{SeekFrom, seek};

use super::super::bench::Bench;
use super::super::disk::{Disk, Fault};
use super::super::file_system::FileSystem;
use super::super::image::copy_image;
use super::super::job::{Mode, Way};
use super::super::recording::{Loss, Medium, Recording};
use super::super::stop::{At, Outcome, Stop, check};
use super::super::subject::Form;
use super::super::tool;
use super::scene::{NEXT_STEP, Scene};

const IMAGE_BYTES: u64 = 320 << 20;
const CHECK_THE_DISK: &str = "check the disk";

/// The loop device's file loses its second half. Reads behind its end fail; writes make it longer again.
pub fn backing_truncated(bench: &Bench, mode: Mode) -> Outcome<String> {
    let mut scene = Scene::new(bench, FileSystem::Ext4, 200 << 20)?;
    let cut = middle_of_the_file(&scene)?;
    // Nothing of the file may be in the cache.
    scene.remount()?;
    let image = scene.image.clone();
    let file = File::options().read(true).write(true).open(&image).at("open", &image)?;
    let mut tail = Vec::new();
    let ended = scene.job_with(Form::Plain, mode, 2, || {
        tool::run("sync", ["-f".as_ref(), scene.folder.as_os_str()])?;
        tail = fs::read(&image).at("read", &image)?.split_off(cut as usize);
        file.set_len(cut).at("cut", &image)
    })?;
    ended.expect(&[5], &[CHECK_THE_DISK, NEXT_STEP])?;
    scene.unmount()?;
    put_back(&file, cut, &tail).at("restore", &image)?;
    scene.mount_from(&image)?;
    scene.recover(Way::Resume)?;
    Ok("exit 5, with the backing restored resumed".into())
}

/// Where on the disk the middle of the file lies, in bytes.
fn middle_of_the_file(scene: &Scene<'_>) -> Outcome<u64> {
    let path = scene.plain();
    let text = tool::run("filefrag", ["-v".as_ref(), "-b4096".as_ref(), path.as_os_str()])?;
    let number = |text: &str| text.trim().trim_end_matches(':').parse::<u64>().ok();
    let extents = text.lines().filter_map(|line| {
        // "   0:        0..   16380:      34816..     51196:  16381:  last,eof"
        let mut parts = line.split("..");
        let logical = number(parts.next()?.rsplit(':').next()?)?;
        let physical = number(parts.next()?.split(':').nth(1)?)?;
        let last = number(parts.next()?.split(':').next()?)?;
        Some((logical, physical, last))
    });
    let middle = (super::scene::LEN_BYTES / 2 / 4096) as u64;
    let mut found = None;
    for (logical, physical, last) in extents {
        if (logical..=logical + (last - physical)).contains(&middle) {
            found = Some((physical + (middle - logical)) * 4096);
        }
    }
    found.ok_or_else(|| Stop::Setup(format!("filefrag does not say where the middle lies: {text}")))
}

/// Gives the file its end again. What was written there meanwhile stays.
fn put_back(file: &File, cut: u64, tail: &[u8]) -> std::io::Result<()> {
    let end = cut + tail.len() as u64;
    file.set_len(end)?;
    let mut at = cut;
    while at < end {
        let hole = seek(file, SeekFrom::Hole(at))?.min(end);
        let data = seek(file, SeekFrom::Data(hole)).unwrap_or(end).min(end);
        file.write_all_at(&tail[(hole - cut) as usize..(data - cut) as usize], hole)?;
        // Behind this piece, if it was one: what was a hole is data now.
        at = data.max(hole);
        if data == end {
            break;
        }
    }
    Ok(())
}

pub fn reads_fail(bench: &Bench, mode: Mode) -> Outcome<String> {
    on_every_file_system(|file_system| breaks(bench, mode, file_system, Fault::Reads))
}

pub fn writes_fail(bench: &Bench, mode: Mode) -> Outcome<String> {
    on_every_file_system(|file_system| breaks(bench, mode, file_system, Fault::Writes))
}

pub fn flushes_fail(bench: &Bench, mode: Mode) -> Outcome<String> {
    on_every_file_system(|file_system| breaks(bench, mode, file_system, Fault::Flushes))
}

fn on_every_file_system(test: impl Fn(FileSystem) -> Outcome<String>) -> Outcome<String> {
    let mut observed = Vec::new();
    for file_system in FileSystem::ALL {
        let result = test(file_system).map_err(|stop| match stop {
            Stop::Failed(reason) => Stop::Failed(format!("{}: {reason}", file_system.name())),
            other => other,
        })?;
        observed.push(format!("{} {result}", file_system.name()));
    }
    Ok(observed.join("; "))
}

/// The disk below the file system breaks during the job, and is repaired.
fn breaks(bench: &Bench, mode: Mode, file_system: FileSystem, fault: Fault) -> Outcome<String> {
    let mut scene = Scene::new(bench, file_system, IMAGE_BYTES)?;
    scene.unmount()?;
    let image = scene.image.clone();
    let base = bench.on_disk.path().join("base.img");
    copy_image(&image, &base)?;
    let disk = Disk::serve(&image, &bench.on_disk.path().join("fuse"))?;
    disk.record();
    scene.mount_from(disk.file())?;
    let ended = scene.job_with(Form::Plain, mode, 2, || {
        disk.set_fault(fault);
        Ok(())
    })?;
    check(disk.faults_hit() > 0, || format!("the broken disk was not noticed: {ended}"))?;
    disk.set_fault(Fault::None);
    ended.expect(&[5], &["check the disk", "pageseal resume"])?;
    scene.unmount()?;
    let events = disk.take_down()?;
    if fault == Fault::Flushes {
        // What could not be flushed is lost.
        let all = events.len();
        let recording = Recording { base, events, begin: 0, end: all, form: Form::Plain };
        let mut medium = Medium::new(&recording, bench.on_disk.path().join("medium.img"))?;
        medium.advance(all)?;
        medium.cut(all, Loss::Everything, &mut Generator::new(0), &image)?;
    }
    scene.mount_from(&image)?;
    scene.recover(Way::Resume)?;
    Ok("exit 5, repaired and resumed".into())
}

/// ext4 finds an error in itself and takes no more writes.
pub fn turns_read_only(bench: &Bench, mode: Mode) -> Outcome<String> {
    let mut scene = Scene::new(bench, FileSystem::Ext4, 200 << 20)?;
    tool::run("mount", ["-o".as_ref(), "remount,errors=remount-ro".as_ref(), scene.folder.as_os_str()])?;
    let trigger = PathBuf::from(format!("/sys/fs/ext4/{}/trigger_fs_error", scene.device_name()));
    let ended = scene.job_with(Form::Plain, mode, 3, || fs::write(&trigger, "1").at("write", &trigger))?;
    ended.expect(&[5], &[NEXT_STEP])?;
    scene.try_way(Way::Resume)?.expect_codes(&[1, 5])?;
    scene.unmount()?;
    // As the administrator does; 1 means that errors were corrected.
    let mut fsck = tool::command("e2fsck");
    let status =
        fsck.args(["-p".as_ref(), scene.image.as_os_str()]).output().at("e2fsck", &scene.image)?.status;
    check(status.code().is_some_and(|code| code <= 1), || format!("e2fsck: {status}"))?;
    scene.mount_from(&scene.image.clone())?;
    scene.recover(Way::Rollback)?;
    Ok("exit 5, writable again rolled back".into())
}
