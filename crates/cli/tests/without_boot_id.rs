//! Where nothing tells whether the system was restarted, as without `/proc`: a job that counts on that is refused.

mod optional;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};

use optional::skip;
use pageseal::{Cancellation, Control, EncryptOptions, Progress, ResilienceChoice, Stage, encrypt_in_place};
use support::{Folder, code, content, stderr};

/// In a mount namespace of its own, in which the boot id is empty.
const HIDDEN: &str = "mount --bind /dev/null /proc/sys/kernel/random/boot_id && exec \"$0\" \"$@\"";

fn run_hidden(folder: &Folder, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_pageseal");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", HIDDEN, program]).args(arguments);
    command.current_dir(folder.path("")).output().unwrap()
}

fn can_hide() -> bool {
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", HIDDEN, "true"]).status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        skip("the right to mount something over the boot id");
    }
    can
}

/// Dies when the first window is settled.
struct Dies;

impl Progress for Dies {
    fn stage(&self, _: Stage, _: u64, _: u64) {}

    fn advance(&self, _: u64) {
        panic!("the process dies here");
    }
}

#[test]
fn process_is_refused_where_no_restart_could_be_noticed() {
    if !can_hide() {
        return;
    }
    let (folder, recipient) = Folder::with_key();
    let plain = content(20 << 20);
    folder.write("file", &plain);
    let new_job = ["encrypt", "-q", "-r", &recipient, "--resilience", "process", "file"];
    let refused = run_hidden(&folder, &new_job);
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("which boot of the system this is"), "{}", stderr(&refused));
    assert!(folder.read("file") == plain && !folder.exists("file.pageseal-journal"));

    // One that was killed where the boot id was known.
    let options = EncryptOptions { resilience: ResilienceChoice::Process, ..EncryptOptions::default() };
    let control = Control { progress: &Dies, cancellation: Cancellation::new() };
    let recipients = [recipient.parse().unwrap()];
    let path = folder.path("file");
    let ended =
        catch_unwind(AssertUnwindSafe(|| encrypt_in_place(&path, &recipients, &options, &control).is_ok()));
    assert!(!ended.unwrap_or(false));
    let half = (folder.read("file"), folder.read("file.pageseal-journal"));
    for going_on in ["resume", "rollback"] {
        let refused = run_hidden(&folder, &[going_on, "-q", "-i", "key.txt", "file"]);
        assert_eq!(code(&refused), 1, "{going_on}: {}", stderr(&refused));
        let now = (folder.read("file"), folder.read("file.pageseal-journal"));
        assert!(now == half, "{going_on} changed something");
    }
    folder.succeed(["rollback", "-q", "-i", "key.txt", "file"]);
    assert!(folder.read("file") == plain);
}
