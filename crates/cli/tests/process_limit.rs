//! Where the system allows the user few processes (`ulimit -u`, which counts threads): a command goes on with what it gets, or says
//! that, with nothing changed. As a user of its own, for the limit counts all processes of a user, and not those of root.

mod optional;
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use optional::skip;
use support::{Folder, code, content, stderr};

const LEN: usize = 20_000_000;
const PROGRAM: &str = "pageseal";
const PATIENCE: Duration = Duration::from_secs(60);

/// A user that nobody else is, in each test.
fn user(of_test: u32) -> u32 {
    0x6000_0000 + std::process::id() % 0x0800_0000 * 2 + of_test
}

/// The command as the owner of the folder, who may have `limit` processes.
fn limited(folder: &Folder, limit: u32, arguments: &[&str]) -> Output {
    let user = fs::metadata(folder.path("")).unwrap().uid().to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit"]);
    command.arg(format!("--nproc={limit}:{limit}")).arg(folder.path(PROGRAM)).args(arguments);
    command.current_dir(folder.path("")).env("XDG_RUNTIME_DIR", folder.path("runtime"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    // The runtime folder is on no tmpfs, so job keys went here, and are gone with their jobs.
    let _ = fs::remove_dir(format!("/dev/shm/pageseal-{user}"));
    output
}

fn give(path: &Path, user: u32) -> bool {
    chown(path, Some(user), Some(user)).is_ok()
}

/// What the folder holds, but for the program.
fn listed(folder: &Folder) -> Vec<String> {
    let names = fs::read_dir(folder.path("")).unwrap().flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn too_few_processes_are_told_with_nothing_changed() {
    let (folder, recipient) = Folder::with_key();
    fs::copy(env!("CARGO_BIN_EXE_pageseal"), folder.path(PROGRAM)).unwrap();
    fs::create_dir(folder.path("runtime")).unwrap();
    let plain = content(LEN);
    folder.write("f", &plain);
    folder.write("g", &plain);
    folder.succeed(["encrypt", "-q", "-r", &recipient, "g"]);
    let sealed = folder.read("g.sealed");
    let given =
        ["", "runtime", "key.txt", "f", "g.sealed"].iter().all(|name| give(&folder.path(name), user(0)));
    let can_limit = || limited(&folder, 1000, &["--version"]).status.success();
    if !given || !can_limit() {
        return skip("root, setpriv, prlimit, and a temporary folder that others may enter");
    }
    let before = listed(&folder);
    let commands = [
        (&["encrypt", "-r", recipient.as_str(), "f"][..], Some("f.sealed")),
        (&["encrypt", "--io", "direct", "-r", &recipient, "f"], Some("f.sealed")),
        (&["encrypt", "-r", &recipient, "-o", "out", "f"], Some("out")),
        (&["decrypt", "-i", "key.txt", "g.sealed"], Some("g")),
        (&["decrypt", "-i", "key.txt", "-o", "out", "g.sealed"], Some("out")),
        (&["verify", "-i", "key.txt", "g.sealed"], None),
        (&["demo", "--size", "1MiB"], None),
        (&["bench", "io", "--size", "4MiB", "."], None),
    ];
    for (arguments, output) in commands {
        // The last is enough for one worker, and for what needs several.
        for limit in [1, 3, 4, 200] {
            let ended = limited(&folder, limit, arguments);
            let told = format!("{arguments:?}, {limit} processes: {}", stderr(&ended));
            match code(&ended) {
                0 => assert!(limit > 1, "{told}"),
                1 => {
                    assert!(limit < 200 && told.contains("`ulimit -u`"), "{told}");
                    assert_eq!(listed(&folder), before, "{told}");
                }
                _ => panic!("{told}"),
            }
            // What was done is done again from the start.
            match output {
                Some("out") => drop(fs::remove_file(folder.path("out"))),
                Some(made) => drop(fs::remove_file(folder.path(made))),
                None => {}
            }
            for (name, bytes) in [("f", &plain), ("g.sealed", &sealed)] {
                if folder.exists(name) {
                    assert!(folder.read(name) == *bytes, "{told}");
                } else {
                    folder.write(name, bytes);
                    assert!(give(&folder.path(name), user(0)));
                }
            }
            assert_eq!(listed(&folder), before, "{told}");
        }
    }
}

/// What a program may start beside the workers, it can do without.
#[test]
fn one_worker_is_enough() {
    let (folder, recipient) = Folder::with_key();
    fs::copy(env!("CARGO_BIN_EXE_pageseal"), folder.path(PROGRAM)).unwrap();
    fs::set_permissions(folder.path(PROGRAM), fs::Permissions::from_mode(0o755)).unwrap();
    folder.write("f", &content(LEN));
    let given = ["", "key.txt", "f"].iter().all(|name| give(&folder.path(name), user(1)));
    if !given || !limited(&folder, 1000, &["--version"]).status.success() {
        return skip("root, setpriv, prlimit, and a temporary folder that others may enter");
    }
    for arguments in [
        &["encrypt", "--job-key", "none", "-r", recipient.as_str(), "f"][..],
        &["decrypt", "--io", "direct", "-i", "key.txt", "f.sealed"],
    ] {
        let begun = Instant::now();
        // The command, one worker, and the two other stages of a job. On a busy machine, threads that have ended may count for long.
        while let ended = limited(&folder, 4, arguments)
            && code(&ended) != 0
        {
            assert_eq!(code(&ended), 1, "{}", stderr(&ended));
            assert!(begun.elapsed() < PATIENCE, "{}", stderr(&ended));
        }
    }
    assert!(folder.read("f") == content(LEN));
}
