//! Standard streams that are closed, break, or lead to where no space is left.

mod optional;
mod support;

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use optional::skip;
use pageseal::{
    Cancellation, Control, EncryptOptions, JobKeyMode, Notice, Progress, Recipient, Stage, encrypt_in_place,
};
use support::{Folder, code, content, stderr, stdout};

const LEN: usize = 3_000_000;

/// The command with its arguments, as a shell starts it with these redirections.
fn redirected(folder: &Folder, redirections: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirections}"), env!("CARGO_BIN_EXE_pageseal")]);
    command.args(arguments).current_dir(folder.path("")).output().unwrap()
}

/// The standard library opens `/dev/null` in their place, so that nothing would fail.
#[test]
fn a_closed_stream_is_not_an_empty_one() {
    let (folder, recipient) = Folder::with_key();
    folder.write("f", &content(LEN));
    folder.succeed(["encrypt", "-q", "-r", &recipient, "-o", "f.sealed", "f"]);
    for (redirection, arguments) in [
        (">&-", &["encrypt", "-r", &recipient, "-o", "-", "f"][..]),
        (">&-", &["decrypt", "-i", "key.txt", "-o", "-", "f.sealed"]),
        ("<&-", &["encrypt", "-r", &recipient, "-o", "out", "-"]),
        ("<&-", &["decrypt", "-i", "key.txt", "-o", "out", "-"]),
    ] {
        let output = redirected(&folder, redirection, arguments);
        assert_eq!(code(&output), 1, "{redirection} {arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("is closed"), "{}", stderr(&output));
        assert!(!folder.exists("out"));
    }
    // What was opened to /dev/null is meant so.
    let output = redirected(&folder, ">/dev/null", &["encrypt", "-r", &recipient, "-o", "-", "f"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let output = redirected(&folder, "</dev/null", &["encrypt", "-r", &recipient, "-o", "empty", "-"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    // And a result that nobody hears makes no job fail.
    let output = redirected(&folder, "<&- >&- 2>&-", &["encrypt", "-r", &recipient, "--keep-name", "f"]);
    assert_eq!(code(&output), 0);
    assert!(folder.succeed(["info", "f"]).contains("sealed"));
}

/// As other commands do whose reader has had enough.
#[test]
fn a_reader_that_ends_early_is_not_complained_about() {
    let (folder, recipient) = Folder::with_key();
    folder.write("f", &content(LEN));
    folder.succeed(["encrypt", "-q", "-r", &recipient, "-o", "f.sealed", "f"]);
    for arguments in [
        &["encrypt", "-q", "-r", &recipient, "-o", "-", "f"][..],
        &["decrypt", "-q", "-i", "key.txt", "-o", "-", "f.sealed"],
    ] {
        let mut command = folder.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        pipe.read_exact(&mut [0; 100]).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), &*stderr(&output)), (1, ""), "{arguments:?}");
    }
}

/// A sealed stream is kept in a file first. That this file has no space is not the stream's fault.
#[test]
fn a_full_folder_for_a_stream_is_named() {
    const SMALL: &str = "/dev/shm";
    let (folder, recipient) = Folder::with_key();
    folder.write("f", &content(LEN));
    folder.succeed(["encrypt", "-q", "-r", &recipient, "-o", "f.sealed", "f"]);
    if !Path::new(SMALL).is_dir() {
        skip(SMALL);
        return;
    }
    // Files may become no longer than 1 MB, which ends the copy as a full disk does.
    for (temporary, output) in [(true, "-"), (false, "out")] {
        let output = {
            let limited = "ulimit -f 2000 && exec \"$0\" \"$@\" <f.sealed";
            let mut command = Command::new("sh");
            command.args(["-c", limited, env!("CARGO_BIN_EXE_pageseal"), "decrypt", "-i", "key.txt", "-o"]);
            command.arg(output).arg("-").arg0("sh").env("TMPDIR", SMALL);
            command.current_dir(folder.path("")).output().unwrap()
        };
        let told = stderr(&output);
        assert_eq!(code(&output), 1, "{told}");
        assert!(!told.contains("cannot read standard input"), "{told}");
        assert!(told.contains("cannot keep standard input in") && told.contains("ulimit -f"), "{told}");
        assert_eq!(told.contains("TMPDIR"), temporary, "{told}");
        assert_eq!(stdout(&output), "");
    }
}

/// Asks a job to stop when its first window is done.
struct Stop(Cancellation);

impl Progress for Stop {
    fn stage(&self, _: Stage, _: u64, _: u64) {}

    fn advance(&self, _: u64) {
        self.0.cancel();
    }

    fn notice(&self, _: &Notice) {}
}

/// A file that is half converted is a mixture by whatever way it is read.
#[test]
fn a_half_converted_file_is_refused_as_standard_input_too() {
    let (folder, recipient) = Folder::with_key();
    folder.write("f", &content(8 * (4 << 20)));
    let cancellation = Cancellation::new();
    let stop = Stop(cancellation.clone());
    let options = EncryptOptions { job_key: JobKeyMode::None, ..EncryptOptions::default() };
    let recipients = [Recipient::parse(&recipient).unwrap()];
    let control = Control { progress: &stop, cancellation };
    encrypt_in_place(&folder.path("f"), &recipients, &options, &control).expect_err("was stopped");
    let arguments = ["encrypt", "-r", &recipient, "-o", "out", "-"];
    for redirections in ["< f", "<> f"] {
        for arguments in [&arguments[..], &["decrypt", "-i", "key.txt", "-o", "out", "-"]] {
            let output = redirected(&folder, redirections, arguments);
            assert_eq!(code(&output), 5, "{}", stderr(&output));
            assert!(
                stderr(&output).contains("f is") || stderr(&output).contains("/f"),
                "{}",
                stderr(&output)
            );
            assert!(!folder.exists("out"));
        }
    }
    // Moved away from its journal, it still says so itself.
    std::fs::rename(folder.path("f"), folder.path("g")).unwrap();
    let output = redirected(&folder, "< g", &arguments);
    assert_eq!(code(&output), 5, "{}", stderr(&output));
    // Any other file is read as before, from wherever it is read already.
    folder.write("h", &content(LEN));
    let script = "head -c 4096 > /dev/null; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{{ {script}; }} < h"), env!("CARGO_BIN_EXE_pageseal")]);
    let output = shell.args(arguments).current_dir(folder.path("")).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    folder.succeed(["decrypt", "-q", "-i", "key.txt", "-o", "opened", "out"]);
    assert_eq!(folder.read("opened"), content(LEN)[4096..]);
}

/// As a file by name: no job begins on what is read, and nothing is read of what a job works on.
#[test]
fn a_sealed_file_is_kept_from_jobs_as_standard_input_too() {
    let (folder, recipient) = Folder::with_key();
    folder.write("f", &content(LEN));
    folder.succeed(["encrypt", "-q", "-r", &recipient, "f"]);
    let sealed = folder.read("f.sealed");
    // While it is read.
    let mut reader = folder.command(["decrypt", "-q", "-i", "key.txt", "-o", "-", "-"]);
    reader.stdin(File::open(folder.path("f.sealed")).unwrap());
    let mut reader = reader.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = reader.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 100]).unwrap();
    let job = folder.run(["decrypt", "-q", "-i", "key.txt", "f.sealed"]);
    assert_eq!(code(&job), 1, "{}", stderr(&job));
    assert!(stderr(&job).contains("another job"), "{}", stderr(&job));
    pipe.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(code(&reader.wait_with_output().unwrap()), 0);
    // While it is worked on.
    let held = File::options().read(true).write(true).open(folder.path("f.sealed")).unwrap();
    rustix::fs::fcntl_lock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let by_name = folder.run(["decrypt", "-i", "key.txt", "-o", "out", "f.sealed"]);
    assert_eq!(code(&by_name), 1, "{}", stderr(&by_name));
    let by_stream = redirected(&folder, "< f.sealed", &["decrypt", "-i", "key.txt", "-o", "out", "-"]);
    assert_eq!(code(&by_stream), 1, "{}", stderr(&by_stream));
    let path = folder.path("f.sealed").canonicalize().unwrap();
    let told =
        stderr(&by_stream).replace(path.to_str().unwrap(), "f.sealed").replace("error: -: ", "error: ");
    assert_eq!(told, stderr(&by_name));
    assert!(!folder.exists("out") && folder.read("f.sealed") == sealed);
    drop(held);
    let output = redirected(&folder, "< f.sealed", &["decrypt", "-q", "-i", "key.txt", "-o", "out", "-"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(folder.read("out"), content(LEN));
}
