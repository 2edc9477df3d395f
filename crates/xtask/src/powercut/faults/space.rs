//! Disks without space.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::super::bench::Bench;
use super::super::file_system::FileSystem;
use super::super::image::{Mounted, make_image, names_in};
use super::super::job::{Mode, SUITES, Way, start_job};
use super::super::stop::{At, Outcome, check};
use super::super::subject::{Form, PLAIN, SEALED};
use super::super::tool;
use super::scene::{NEXT_STEP, Scene};

const FILLER: &str = "filler";

/// Takes all space.
fn fill_up(folder: &Path) -> Outcome<()> {
    let path = folder.join(FILLER);
    let mut file = File::create(&path).at("create", &path)?;
    // Large pieces first, then what is too small for them.
    for len in [1 << 20, 65536, 4096] {
        let piece = vec![1; len];
        while file.write_all(&piece).is_ok() {}
        // Fails too where space is only counted when it is used.
        let _ = file.sync_all();
    }
    Ok(())
}

fn free(folder: &Path) -> Outcome<()> {
    let path = folder.join(FILLER);
    fs::remove_file(&path).at("remove", &path)?;
    // Copy on write gives space back with its next transaction.
    tool::run("sync", ["-f".as_ref(), folder.as_os_str()]).map(drop)
}

pub fn full_before(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = Scene::new(bench, FileSystem::Ext4, 120 << 20)?;
    fill_up(&scene.folder)?;
    start_job(bench, &bench.pageseal, &scene.folder, Form::Plain, mode, SUITES[0])?
        .finish()?
        .expect(&[1], &["free "])?;
    scene.content.expect_plain(&scene.plain())?;
    check(names_in(&scene.folder)? == [PLAIN, FILLER], || "something was left".into())?;
    free(&scene.folder)?;
    scene.convert(Form::Plain, mode)?;
    scene.expect_sealed_as(SEALED)?;
    Ok("exit 1, nothing changed; with space it is sealed".into())
}

/// Space is reserved before the first change, so this job does not even notice.
pub fn fills_up_reserved(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = Scene::new(bench, FileSystem::Ext4, 150 << 20)?;
    let ended = scene.job_with(Form::Plain, mode, 2, || fill_up(&scene.folder))?;
    ended.expect_codes(&[0])?;
    scene.expect_sealed_as(SEALED)?;
    Ok("exit 0".into())
}

pub fn fills_up_encrypt(bench: &Bench, mode: Mode) -> Outcome<String> {
    fills_up(bench, mode, Form::Plain)
}

pub fn fills_up_decrypt(bench: &Bench, mode: Mode) -> Outcome<String> {
    fills_up(bench, mode, Form::Sealed)
}

/// Copy on write needs new space for every store, which nobody can reserve.
fn fills_up(bench: &Bench, mode: Mode, form: Form) -> Outcome<String> {
    let scene = Scene::new(bench, FileSystem::Btrfs, 256 << 20)?;
    if form == Form::Sealed {
        scene.convert(Form::Plain, mode)?;
    }
    let ended = scene.job_with(form, mode, 2, || fill_up(&scene.folder))?;
    ended.expect_codes(&[0, 5])?;
    if ended.code() == Some(0) {
        free(&scene.folder)?;
        check(scene.content.expect_alone(bench, &scene.folder)? == form.other(), || "not converted".into())?;
        return Ok("exit 0: it had the space it needed".into());
    }
    ended.expect(&[5], &["free", "pageseal resume"])?;
    // As long as nothing is freed, going on stops again, or finds a little space after all.
    let again = scene.try_way(Way::Resume)?;
    again.expect_codes(&[0, 5])?;
    if again.code() == Some(5) {
        again.expect(&[5], &["free", "pageseal resume"])?;
    }
    free(&scene.folder)?;
    if again.code() == Some(0) {
        scene.content.expect_alone(bench, &scene.folder)?;
        return Ok("exit 5, then resumed on the full disk".into());
    }
    scene.recover(if form == Form::Plain { Way::Resume } else { Way::Rollback })?;
    Ok(format!("exit 5, on the full disk {} again, with space recovered", again.code().unwrap_or(-1)))
}

/// A reflink shares its blocks with another file, which must stay what it is.
pub fn fills_up_shared(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = Scene::new(bench, FileSystem::Xfs, 320 << 20)?;
    let twin = scene.path("twin");
    tool::run("cp", ["--reflink=always".as_ref(), scene.plain().as_os_str(), twin.as_os_str()])?;
    let ended = scene.job_with(Form::Plain, mode, 2, || fill_up(&scene.folder))?;
    ended.expect_codes(&[0, 5])?;
    scene.content.expect_plain(&twin)?;
    fs::remove_file(&twin).at("remove", &twin)?;
    free(&scene.folder)?;
    if ended.code() == Some(0) {
        scene.expect_sealed_as(SEALED)?;
        return Ok("exit 0, the twin untouched".into());
    }
    ended.expect(&[5], &["free", NEXT_STEP])?;
    scene.recover(Way::Resume)?;
    Ok("exit 5, with space resumed, the twin untouched".into())
}

/// The journal on another file system, which copies on write and fills up.
pub fn journal_disk_fills_up(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = Scene::new(bench, FileSystem::Ext4, 200 << 20)?;
    let (image, folder) = (bench.on_disk.path().join("journal.img"), bench.on_disk.path().join("journal"));
    make_image(&image, 128 << 20, FileSystem::Btrfs)?;
    let mounted = Mounted::mount(&image, &folder, FileSystem::Btrfs)?;
    let journal = folder.join("journal");
    let mut line: Vec<_> =
        ["encrypt", "--threads", "2", "--io", mode.io, "--resilience", mode.resilience, "-r"]
            .map(Into::into)
            .into();
    line.extend([bench.recipient.clone().into(), "--journal".into(), journal.clone().into_os_string()]);
    line.push(scene.plain().into_os_string());
    let mut running = scene.frozen(Form::Plain, 2, &journal, || bench.pageseal.start(&line))?;
    fill_up(&folder)?;
    running.thaw()?;
    let ended = running.finish()?;
    ended.expect_codes(&[0, 5])?;
    free(&folder)?;
    if ended.code() == Some(5) {
        ended.expect(&[5], &["its free space", "--journal"])?;
        let (plain, identity) = (scene.plain(), bench.identity.as_os_str());
        let words = ["rollback".as_ref(), "-i".as_ref(), identity, "--journal".as_ref(), journal.as_os_str()];
        bench.pageseal.succeed(words.into_iter().chain([plain.as_os_str()]))?;
    }
    let form = scene.content.expect_alone(bench, &scene.folder)?;
    check(names_in(&folder)?.is_empty(), || "the journal was left".into())?;
    mounted.unmount()?;
    Ok(format!("exit {}, at last {form:?}", ended.code().unwrap_or(-1)))
}
