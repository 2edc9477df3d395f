//! While a command only waits for its keys, nothing is begun, and who asks it to stop is obeyed at once.

mod optional;
mod support;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use optional::skip;
use rustix::process::{Pid, Signal, kill_process};
use support::{Folder, code, content, stderr};

const PATIENCE: Duration = Duration::from_secs(60);
const SIGTERM_BIT: u64 = 1 << 14;

/// Whether the process handles SIGTERM by now, and each of its threads sleeps: so it waits for what is not there.
fn waits(process: Pid) -> bool {
    let process = Path::new("/proc").join(process.as_raw_nonzero().to_string());
    let field = |file: &Path, name: &str| -> Option<String> {
        let status = fs::read_to_string(file).ok()?;
        Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
    };
    let handled = field(&process.join("status"), "SigCgt:").unwrap_or_default();
    let handles = u64::from_str_radix(&handled, 16).is_ok_and(|mask| mask & SIGTERM_BIT != 0);
    let Ok(threads) = fs::read_dir(process.join("task")) else { return false };
    let mut states = threads.flatten().map(|thread| field(&thread.path().join("status"), "State:"));
    handles && states.all(|state| state.is_some_and(|state| state.starts_with('S')))
}

/// Ends `child` itself if it does not end.
fn wait_for(child: Child) -> Output {
    let process = Pid::from_child(&child);
    let begun = Instant::now();
    let mut child = child;
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            let _ = kill_process(process, Signal::KILL);
            let output = child.wait_with_output().unwrap();
            panic!("it does not end: {}", stderr(&output));
        }
        sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// The names and contents of the folder, but for FIFOs.
fn listed(folder: &Folder) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder.path(""))
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .map(|name| (name.clone(), folder.read(&name)))
        .collect();
    files.sort();
    files
}

#[test]
fn the_first_signal_ends_a_command_that_waits_for_a_key_file() {
    let (folder, recipient) = Folder::with_key();
    folder.write("f", &content(100_000));
    folder.write("g", &content(100_000));
    folder.succeed(["encrypt", "-q", "-r", &recipient, "g"]);
    folder.succeed(["trailer", "export", "-q", "-o", "trailer", "g.sealed"]);
    assert!(Command::new("mkfifo").arg(folder.path("fifo")).status().unwrap().success());
    let before = listed(&folder);
    let commands = [
        &["encrypt", "-R", "fifo", "f"][..],
        &["encrypt", "-r", &recipient, "--passphrase-file", "fifo", "f"],
        &["encrypt", "-R", "fifo", "-o", "out", "f"],
        &["decrypt", "-i", "fifo", "g.sealed"],
        &["decrypt", "--passphrase-file", "fifo", "-o", "out", "g.sealed"],
        &["verify", "-i", "key.txt", "-i", "fifo", "g.sealed"],
        &["resume", "-i", "fifo", "f"],
        &["rollback", "-i", "fifo", "f"],
        &["trailer", "import", "-i", "fifo", "--from", "trailer", "g.sealed"],
    ];
    let signals = [Signal::TERM, Signal::INT, Signal::HUP];
    // Without a writer it waits in opening the FIFO, and else in reading.
    for (index, arguments) in commands.iter().enumerate() {
        for has_writer in [false, true] {
            let mut command = folder.command(*arguments);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let process = Pid::from_child(&child);
            let writer = has_writer.then(|| File::options().write(true).open(folder.path("fifo")).unwrap());
            let begun = Instant::now();
            while !waits(process) && begun.elapsed() < PATIENCE {
                sleep(Duration::from_millis(1));
            }
            kill_process(process, signals[index % signals.len()]).unwrap();
            let output = wait_for(child);
            drop(writer);
            let told = stderr(&output);
            assert_eq!(code(&output), 1, "{arguments:?}: {told}");
            assert!(told.contains("stopped before anything was changed"), "{arguments:?}: {told}");
            assert!(listed(&folder) == before, "{arguments:?}");
        }
    }
    // Keys that come late are taken.
    let child = folder.command(["encrypt", "-q", "-R", "fifo", "f"]).spawn().unwrap();
    fs::write(folder.path("fifo"), format!("{recipient}\n")).unwrap();
    assert_eq!(code(&wait_for(child)), 0);
    folder.succeed(["verify", "-q", "-i", "key.txt", "f.sealed"]);
}

/// Runs `command` on a terminal of its own, signals it when it has printed `prompt`, and returns what it ended with. The terminal shows
/// again what is typed.
fn signalled_at(folder: &Folder, command: &str, prompt: &str, signal: Signal) -> String {
    let program = env!("CARGO_BIN_EXE_pageseal");
    let script = format!(
        "stty -g > before; sh -c 'echo $$ > pid; exec {program} {command}'; echo $? > code; stty -g > after"
    );
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &script, "/dev/null"]).current_dir(folder.path(""));
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = terminal.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&shown).contains(prompt) {
        assert_eq!(output.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    let process = String::from_utf8(folder.read("pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
    let begun = Instant::now();
    while terminal.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            let _ = kill_process(Pid::from_raw(process).unwrap(), Signal::KILL);
            let _ = terminal.wait();
            panic!("{command} does not end");
        }
        sleep(Duration::from_millis(5));
    }
    output.read_to_end(&mut shown).unwrap();
    assert_eq!(folder.read("before"), folder.read("after"), "{command}: the terminal");
    let code = String::from_utf8(folder.read("code")).unwrap();
    for name in ["before", "after", "code", "pid"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    format!("{} {}", code.trim(), String::from_utf8_lossy(&shown))
}

#[test]
fn the_first_signal_ends_a_command_that_asks_for_a_passphrase() {
    if !Command::new("script").arg("--version").output().is_ok_and(|it| it.status.success()) {
        return skip("script (util-linux)");
    }
    let folder = Folder::new();
    folder.write("f", &content(100_000));
    folder.write("g", &content(100_000));
    folder.write("words", b"open sesame");
    folder.succeed(["encrypt", "-q", "--passphrase-file", "words", "g"]);
    let before = listed(&folder);
    for (command, prompt) in
        [("encrypt -p f", "New passphrase: "), ("decrypt g.sealed", "Passphrase of the sealed file: ")]
    {
        for signal in [Signal::TERM, Signal::INT] {
            let ended = signalled_at(&folder, command, prompt, signal);
            assert!(ended.starts_with("1 "), "{command}: {ended}");
            assert!(ended.contains("stopped before anything was changed"), "{command}: {ended}");
            assert!(listed(&folder) == before, "{command}");
        }
    }
}
