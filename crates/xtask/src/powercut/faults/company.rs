//! Other processes at the file while a job is at it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use rustix::process::Signal;

use super::super::bench::Bench;
use super::super::file_system::FileSystem;
use super::super::image::names_in;
use super::super::job::{Mode, SUITES, Way, start_job};
use super::super::stop::{At, Outcome, check};
use super::super::subject::{Form, PLAIN, SEALED};
use super::super::victim::Ended;
use super::scene::{LEN_BYTES, NEXT_STEP, Scene};

const IMAGE_BYTES: u64 = 200 << 20;
/// A window in the first half of the file, with settled ones below it.
const WINDOW: u64 = 7;
/// Where a chunk lies that is settled by then, and its bytes.
const SETTLED_CHUNK: (u64, usize) = (65_536, 65_536);

fn scene(bench: &Bench) -> Outcome<Scene<'_>> {
    Scene::new(bench, FileSystem::Ext4, IMAGE_BYTES)
}

pub fn truncated(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let path = scene.plain();
    let cut = (LEN_BYTES / 4 * 3) as u64;
    let mut tail = Vec::new();
    let ended = scene.job_with(Form::Plain, mode, 3, || {
        tail = fs::read(&path).at("read", &path)?.split_off(cut as usize);
        set_len(&scene, PLAIN, cut)
    })?;
    ended.expect(&[5], &[NEXT_STEP])?;
    for way in [Way::Resume, Way::Rollback] {
        scene.try_way(way)?.expect(&[4], &["bytes long"])?;
    }
    // Whoever cut it off puts it back.
    write_at(&scene, PLAIN, cut, &tail)?;
    scene.recover(Way::Resume)?;
    Ok("exit 5, then 4 until the end was put back, then resumed".into())
}

pub fn grown(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let path = scene.plain();
    let mut len = 0;
    let ended = scene.job_with(Form::Plain, mode, 3, || {
        len = fs::metadata(&path).at("look at", &path)?.len();
        write_at(&scene, PLAIN, len, b"appended")
    })?;
    ended
        .expect(&[5], &["another process changed the file", "stop whatever writes to the file", NEXT_STEP])?;
    scene.try_way(Way::Resume)?.expect(&[4], &["bytes long"])?;
    let mut appended = [0; 8];
    File::open(&path).and_then(|file| file.read_exact_at(&mut appended, len)).at("read", &path)?;
    check(&appended == b"appended", || "what was appended is gone".into())?;
    set_len(&scene, PLAIN, len)?;
    scene.recover(Way::Rollback)?;
    Ok("exit 5, then 4 until it was cut off again, then rolled back".into())
}

pub fn written_before_its_turn(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let at = LEN_BYTES - 5000;
    let ended = scene.job_with(Form::Plain, mode, 2, || write_at(&scene, PLAIN, at as u64, b"changed"))?;
    ended
        .expect(&[5], &["another process changed the file", "stop whatever writes to the file", NEXT_STEP])?;
    scene.try_way(Way::Rollback)?.expect_codes(&[0])?;
    let mut expected = scene.content.bytes().to_vec();
    expected[at..at + 7].copy_from_slice(b"changed");
    let found = fs::read(scene.plain()).at("read", &scene.plain())?;
    check(found == expected, || "not the old content with the other's change".into())?;
    Ok("exit 5, then rolled back with the other's change kept".into())
}

pub fn written_after_its_turn(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let path = scene.plain();
    let (offset, len) = SETTLED_CHUNK;
    let mut right = vec![0; len];
    let ended = scene.job_with(Form::Plain, mode, WINDOW, || {
        File::open(&path).and_then(|file| file.read_exact_at(&mut right, offset)).at("read", &path)?;
        write_at(&scene, PLAIN, offset + 100, b"garbage")
    })?;
    ended.expect_codes(&[0, 5])?;
    if ended.code() == Some(5) {
        ended.expect(&[5], &[NEXT_STEP])?;
        // Going on looks at what is settled first, and is refused with nothing changed until the byte is put back.
        scene.try_way(Way::Resume)?.expect(&[4], &["chunk 1"])?;
        write_at(&scene, PLAIN, offset, &right)?;
        scene.recover(Way::Resume)?;
        return Ok("exit 5, then 4 that names the one chunk; put back, resumed".into());
    }
    verify(&scene, SEALED)?.expect(&[4], &["chunk 1 "])?;
    write_at(&scene, SEALED, offset, &right)?;
    scene.expect_sealed_as(SEALED)?;
    Ok(format!("exit {:?}, verify names the one chunk; put back, all there", ended.code().unwrap_or(-1)))
}

pub fn renamed(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let ended = scene.job_with(Form::Plain, mode, WINDOW, || rename(&scene, PLAIN, "moved"))?;
    ended.expect(&[1], &["no name was changed"])?;
    expect_names(&scene, &["moved"], &ended)?;
    scene.expect_sealed_as("moved")?;
    Ok("exit 1: done under the name it was moved to".into())
}

pub fn deleted(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let ended = scene.job_with(Form::Plain, mode, WINDOW, || remove(&scene, PLAIN))?;
    ended.expect_codes(&[1, 5])?;
    check(!ended.stderr.trim().is_empty(), || "nothing was said".into())?;
    expect_names(&scene, &[], &ended)?;
    Ok(format!("exit {}: {}", ended.code().unwrap_or(-1), gist(&ended)))
}

pub fn name_given_away(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let ended = scene.job_with(Form::Plain, mode, WINDOW, || {
        rename(&scene, PLAIN, "moved")?;
        scene.put_foreign(PLAIN)
    })?;
    ended.expect(&[1], &["no name was changed"])?;
    expect_names(&scene, &[PLAIN, "moved"], &ended)?;
    scene.expect_foreign(PLAIN)?;
    scene.expect_sealed_as("moved")?;
    Ok("exit 1: done, the other file untouched".into())
}

pub fn replaced(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    scene.put_foreign("other")?;
    let ended = scene.job_with(Form::Plain, mode, WINDOW, || rename(&scene, "other", PLAIN))?;
    ended.expect_codes(&[1, 5])?;
    expect_names(&scene, &[PLAIN], &ended)?;
    scene.expect_foreign(PLAIN)?;
    Ok(format!("exit {}, the other file untouched: {}", ended.code().unwrap_or(-1), gist(&ended)))
}

pub fn new_name_taken(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let ended = scene.job_with(Form::Plain, mode, WINDOW, || scene.put_foreign(SEALED))?;
    ended.expect(&[1], &["kept the name"])?;
    expect_names(&scene, &[PLAIN, SEALED], &ended)?;
    scene.expect_foreign(SEALED)?;
    scene.expect_sealed_as(PLAIN)?;
    Ok("exit 1: done under its old name, the other file untouched".into())
}

pub fn second_job(bench: &Bench, mode: Mode) -> Outcome<String> {
    let scene = scene(bench)?;
    let ended = scene.job_with(Form::Plain, mode, 3, || {
        let start = || start_job(bench, &bench.pageseal, &scene.folder, Form::Plain, mode, SUITES[0]);
        start()?.finish()?.expect(&[1], &["locked"])?;
        scene.try_way(Way::Rollback)?.expect(&[1], &["locked"])
    })?;
    ended.expect_codes(&[0])?;
    scene.expect_sealed_as(SEALED)?;
    Ok("the second is refused, the first ends well".into())
}

pub fn asked_to_stop(bench: &Bench, mode: Mode) -> Outcome<String> {
    for signal in [Signal::TERM, Signal::INT] {
        for form in [Form::Plain, Form::Sealed] {
            let scene = scene(bench)?;
            if form == Form::Sealed {
                scene.convert(Form::Plain, mode)?;
            }
            let mut running = scene.frozen_job(form, mode, 3)?;
            running.signal(signal)?;
            running.thaw()?;
            running.finish()?.expect(&[5], &["stopped as asked", NEXT_STEP])?;
            scene.recover(if signal == Signal::TERM { Way::Resume } else { Way::Rollback })?;
        }
    }
    Ok("exit 5 at a window; encrypts and decrypts resumed and rolled back".into())
}

fn verify(scene: &Scene<'_>, name: &str) -> Outcome<Ended> {
    let bench = scene.bench;
    bench.pageseal.run([
        "verify".as_ref(),
        "-i".as_ref(),
        bench.identity.as_os_str(),
        scene.path(name).as_os_str(),
    ])
}

fn expect_names(scene: &Scene<'_>, expected: &[&str], ended: &Ended) -> Outcome<()> {
    let names = names_in(&scene.folder)?;
    check(names == expected, || format!("the folder holds {names:?}, not {expected:?}; {ended}"))
}

/// The first line of what was said.
fn gist(ended: &Ended) -> String {
    let line = ended.stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("(silent)");
    line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

fn set_len(scene: &Scene<'_>, name: &str, len: u64) -> Outcome<()> {
    let path = scene.path(name);
    File::options().write(true).open(&path).and_then(|file| file.set_len(len)).at("cut", &path)
}

fn write_at(scene: &Scene<'_>, name: &str, offset: u64, bytes: &[u8]) -> Outcome<()> {
    let path = scene.path(name);
    File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.write_all_at(bytes, offset))
        .at("write", &path)
}

fn rename(scene: &Scene<'_>, from: &str, to: &str) -> Outcome<()> {
    fs::rename(scene.path(from), scene.path(to)).at("rename", &scene.path(from))
}

fn remove(scene: &Scene<'_>, name: &str) -> Outcome<()> {
    fs::remove_file(scene.path(name)).at("remove", &scene.path(name))
}
