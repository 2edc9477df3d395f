//! Disks that answer with errors.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use pageseal_testkit::Generator;
use rustix::fs::{Advice, MemfdFlags, SealFlags, fadvise, fcntl_add_seals, memfd_create};

use super::super::bench::Bench;
use super::super::disk::Fault;
use super::super::file_system::FileSystem;
use super::super::image::copy_image;
use super::super::job::{Mode, Way};
use super::super::recording::{Loss, Medium, Recording};
use super::super::stop::{At, Outcome, Stop, check};
use super::super::subject::Form;
use super::super::tool;
use super::scene::{NEXT_STEP, Scene};

const IMAGE_BYTES: u64 = 320 << 20;

/// The loop device's file loses its second half, and cannot grow again: reads and writes behind its end fail. Without the
/// seal, the first write there would make it longer, and what lies between would read as zeros without an error.
pub fn backing_truncated(bench: &Bench, mode: Mode) -> Outcome<String> {
    let mut scene = Scene::new(bench, FileSystem::Ext4, 200 << 20)?;
    let cut = middle_of_the_file(&scene)?;
    scene.unmount()?;
    let image = scene.image.clone();
    let memory = memfd_create("pageseal-powercut", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let mut backing = File::from(memory.at("make a file in memory for", &image)?);
    io::copy(&mut File::open(&image).at("open", &image)?, &mut backing).at("copy", &image)?;
    scene.mount_from(&PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), backing.as_raw_fd())))?;
    let mut tail = Vec::new();
    let ended = scene.job_with(Form::Plain, mode, 2, || {
        forget_cached(&scene)?;
        tail = read_from(&backing, cut).at("read", &image)?;
        backing.set_len(cut).at("cut", &image)?;
        fcntl_add_seals(&backing, SealFlags::GROW).at("seal", &image)
    })?;
    ended.expect(&[5], &["check the disk", "pageseal resume"])?;
    scene.unmount()?;
    let head = read_from(&backing, 0).at("read", &image)?;
    fs::write(&image, [head, tail].concat()).at("restore", &image)?;
    check_file_system(&scene)?;
    scene.mount_from(&image)?;
    scene.recover(Way::Resume)?;
    Ok("exit 5, with the backing restored resumed".into())
}

fn read_from(mut file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As the administrator does when ext4 has found an error.
fn check_file_system(scene: &Scene<'_>) -> Outcome<()> {
    let mut fsck = tool::command("e2fsck");
    let output = fsck.args(["-p".as_ref(), scene.image.as_os_str()]).output().at("e2fsck", &scene.image)?;
    // 1 means that errors were corrected.
    let told = String::from_utf8_lossy(&output.stdout);
    check(output.status.code().is_some_and(|code| code <= 1), || format!("e2fsck: {}: {told}", output.status))
}

/// Takes the file out of the cache, so that reads go to the disk. The command has read it all: it looks for a trailer in the
/// last 128 MiB before it begins.
fn forget_cached(scene: &Scene<'_>) -> Outcome<()> {
    let path = scene.plain();
    tool::run("sync", ["-f".as_ref(), scene.folder.as_os_str()])?;
    let file = File::open(&path).at("open", &path)?;
    fadvise(&file, 0, None, Advice::DontNeed).at("uncache", &path)
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
    for file_system in FileSystem::USUAL {
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
    scene.mount_through_disk()?;
    let ended = scene.job_with(Form::Plain, mode, 2, || {
        forget_cached(&scene)?;
        scene.disk()?.set_fault(fault);
        Ok(())
    })?;
    check(scene.disk()?.faults_hit() > 0, || format!("the broken disk was not noticed: {ended}"))?;
    scene.disk()?.set_fault(Fault::None);
    ended.expect(&[5], &["check the disk", "pageseal resume"])?;
    let events = scene.take_down_disk()?;
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
    check_file_system(&scene)?;
    scene.mount_from(&scene.image.clone())?;
    scene.recover(Way::Rollback)?;
    Ok("exit 5, writable again rolled back".into())
}
