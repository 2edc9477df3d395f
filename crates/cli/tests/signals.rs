//! Ctrl-C and SIGTERM leave a job that can be resumed or undone, and says so.

mod support;

use std::process::{Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Folder, code, content, stderr};

const LEN: usize = 192 << 20;

/// Starts `arguments`, sends `signal` as soon as the journal is there, and waits.
fn run_and_signal(folder: &Folder, arguments: &[&str], journal: &str, signal: Signal) -> Output {
    let mut child = folder.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !folder.exists(journal) && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no journal appears");
        sleep(Duration::from_micros(200));
    }
    // The child is not waited for yet, so its id is still its own.
    let _ = kill_process(Pid::from_child(&child), signal);
    child.wait_with_output().unwrap()
}

/// Encrypts `a` and `b` and stops in the middle of `a`. The machine may be so fast that `a` is done before the signal
/// comes; then it is opened and tried again.
fn interrupted_encrypt(folder: &Folder, recipient: &str, signal: Signal) -> Output {
    // One slow thread, so that there is time to stop.
    let arguments = ["encrypt", "--threads", "1", "--suite", "xchacha20-poly1305", "-r", recipient, "a", "b"];
    for _ in 0..10 {
        let output = run_and_signal(folder, &arguments, "a.pageseal-journal", signal);
        if code(&output) == 5 {
            return output;
        }
        for name in ["a", "b"] {
            let sealed = format!("{name}.sealed");
            if folder.exists(&sealed) {
                folder.succeed(["decrypt", "-q", "-i", "key.txt", &sealed]);
            }
        }
    }
    panic!("the job was never stopped in time");
}

#[test]
fn ctrl_c_and_sigterm_leave_a_job_that_resume_finishes_and_rollback_undoes() {
    let (folder, recipient) = Folder::with_key();
    let original = content(LEN);
    folder.write("a", &original);
    folder.write("b", b"short");

    let stopped = interrupted_encrypt(&folder, &recipient, Signal::INT);
    let told = stderr(&stopped);
    assert!(told.contains("pageseal: error: a is half converted: stopped as asked"), "{told}");
    assert!(told.contains("run `pageseal resume a` to go on or `pageseal rollback a` to undo"), "{told}");
    assert!(told.contains("pageseal: error: b was not begun"), "{told}");
    assert_eq!(folder.read("b"), b"short");
    assert!(folder.succeed(["info", "a"]).starts_with("a: in the middle of an encrypt"));

    let undone = folder.run(["rollback", "-v", "-i", "key.txt", "a"]);
    assert_eq!(undone.status.code(), Some(0));
    assert!(stderr(&undone).contains("access       buffered: its "), "{}", stderr(&undone));
    assert!(folder.read("a") == original, "rollback restores every byte");
    assert!(!folder.exists("a.pageseal-journal"));

    // `kill`, `systemctl stop` and shutdowns ask the same by SIGTERM.
    let stopped = interrupted_encrypt(&folder, &recipient, Signal::TERM);
    assert!(stderr(&stopped).contains("a is half converted: stopped as asked"), "{}", stderr(&stopped));
    folder.succeed(["resume", "-i", "key.txt", "a"]);
    folder.succeed(["verify", "-i", "key.txt", "a.sealed"]);
    folder.succeed(["decrypt", "-i", "key.txt", "a.sealed"]);
    assert!(folder.read("a") == original, "nothing was lost on the way");
}

#[test]
fn sigkill_leaves_a_job_that_resume_finishes() {
    let (folder, recipient) = Folder::with_key();
    let original = content(LEN);
    folder.write("a", &original);
    let arguments = ["encrypt", "--threads", "1", "-r", &recipient, "a"];
    let killed = run_and_signal(&folder, &arguments, "a.pageseal-journal", Signal::KILL);
    if killed.status.code().is_none() {
        folder.succeed(["resume", "-i", "key.txt", "a"]);
    }
    folder.succeed(["decrypt", "-i", "key.txt", "a.sealed"]);
    assert!(folder.read("a") == original);
}

/// What `info` tells of the job on `a`, from a process of its own: bytes done and in flight, once there is a journal.
fn told(folder: &Folder) -> Option<(u64, u64)> {
    told_by(&folder.run(["info", "--json", "a"]))
}

fn told_by(info: &Output) -> Option<(u64, u64)> {
    let object: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    let journal = &object["journal"];
    Some((journal["done_bytes"].as_u64()?, journal["in_flight_bytes"].as_u64()?))
}

#[test]
fn info_tells_how_far_a_job_is_that_runs_stands_still_or_was_killed() {
    let (folder, recipient) = Folder::with_key();
    folder.write("a", &content(LEN));
    let encrypt = ["encrypt", "--threads", "1", "--suite", "xchacha20-poly1305", "-r", &recipient, "a"];
    for _ in 0..10 {
        let mut child = folder.command(encrypt).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let begun = Instant::now();
        let mut seen = 0;
        while child.try_wait().unwrap().is_none() && folder.exists("a") && seen == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is told of it");
            seen = told(&folder).map_or(0, |(done, _)| done);
        }
        let _ = kill_process(pid, Signal::STOP);
        let standing = (seen > 0 && folder.exists("a")).then(|| told(&folder)).flatten();
        let _ = kill_process(pid, Signal::KILL);
        child.wait().unwrap();
        let Some(standing) = standing.filter(|_| folder.exists("a.pageseal-journal")) else {
            // The machine was so fast that the job was over.
            if !folder.exists("a") {
                folder.succeed(["decrypt", "-q", "-i", "key.txt", "a.sealed"]);
            }
            continue;
        };
        let killed = told(&folder).expect("a journal");
        assert!(seen <= standing.0 && standing.0 <= killed.0, "{seen}, {standing:?}, {killed:?}");
        let resumed = folder.succeed(["resume", "--json", "-i", "key.txt", "a"]);
        let resumed: serde_json::Value = serde_json::from_str(&resumed).unwrap();
        let was_done = LEN as u64 - resumed["converted_bytes"].as_u64().unwrap();
        assert!(killed.0 <= was_done && was_done <= killed.0 + killed.1, "{killed:?}, then {was_done}");
        return;
    }
    panic!("the job was never met in the middle");
}
