//! In namespaces, as containers have them: owners that one does not know all look alike, and `/proc` may be missing.

mod optional;
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use optional::skip;
use pageseal::{
    Cancellation, Control, EncryptOptions, JobKeyMode, Notice, Progress, Recipient, Stage, encrypt_in_place,
};
use support::{Folder, code, content, stderr};

/// Runs the command as root of a user namespace that knows no other user.
fn inside(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", env!("CARGO_BIN_EXE_pageseal")]).args(arguments);
    command.current_dir(folder.path("")).stdin(Stdio::null()).output().unwrap()
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

/// Stops an encrypt of `f`, and returns its journal.
fn interrupted(folder: &Folder, recipient: &str) -> PathBuf {
    let cancellation = Cancellation::new();
    let stop = Stop(cancellation.clone());
    let options = EncryptOptions { job_key: JobKeyMode::None, ..EncryptOptions::default() };
    let recipients = [Recipient::parse(recipient).unwrap()];
    let control = Control { progress: &stop, cancellation };
    encrypt_in_place(&folder.path("f"), &recipients, &options, &control).expect_err("was stopped");
    folder.path("f.pageseal-journal")
}

fn can_unshare() -> bool {
    let made = Command::new("unshare").args(["-U", "-r", "true"]).output();
    made.is_ok_and(|output| output.status.success())
}

/// Who may write to the folder and not to the file could plant a journal, and it would look like the owner's.
#[test]
fn a_journal_of_an_unknown_user_is_not_taken_for_that_of_the_file_s_owner() {
    let (folder, recipient) = Folder::with_key();
    let plain = content(8 * (4 << 20));
    folder.write("f", &plain);
    if !can_unshare() {
        skip("unshare, or the right to make user namespaces");
        return;
    }
    let all = Permissions::from_mode(0o660);
    let journal = interrupted(&folder, &recipient);
    let paths = [folder.path("f"), journal.clone()];
    for (path, owner) in paths.iter().zip([5000, 5001]) {
        if chown(path, Some(owner), None).is_err() {
            skip("the right to give files away");
            return;
        }
        fs::set_permissions(path, all.clone()).unwrap();
    }
    let before = paths.each_ref().map(|path| fs::read(path).unwrap());
    for command in ["resume", "rollback"] {
        let output = inside(&folder, &[command, "-i", "key.txt", "f"]);
        assert_eq!(code(&output), 1, "{command}: {}", stderr(&output));
        assert!(stderr(&output).contains("user namespace"), "{}", stderr(&output));
        assert!(before == paths.each_ref().map(|path| fs::read(path).unwrap()));
    }
    // The journal of who runs it is trusted there too, whoever owns the file.
    chown(&journal, Some(0), None).unwrap();
    let output = inside(&folder, &["rollback", "-i", "key.txt", "f"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(folder.read("f") == plain);
}

/// As in a chroot: without `/proc` a file cannot be opened a second time, past the page cache.
#[test]
fn without_proc_a_job_ends_and_says_what_it_did_without() {
    const WITHOUT_PROC: &str = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
    let (folder, recipient) = Folder::with_key();
    let plain = content(3_000_000);
    folder.write("f", &plain);
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", WITHOUT_PROC, program]).args(arguments);
        command.current_dir(folder.path("")).stdin(Stdio::null()).output().unwrap()
    };
    if !run("true", &[]).status.success() {
        skip("the right to mount something over /proc");
        return;
    }
    let program = env!("CARGO_BIN_EXE_pageseal");
    let output = run(program, &["encrypt", "--io", "direct", "-r", &recipient, "f"]);
    let told = stderr(&output);
    assert_eq!(code(&output), 0, "{told}");
    assert!(!told.contains("No such file or directory"), "{told}");
    let output = run(program, &["decrypt", "-i", "key.txt", "f.sealed"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(folder.read("f") == plain);
}
