//! Root without `CAP_LEASE`, as in a container: there the command has the file system wait for requests of killed jobs, and
//! that alone would take capabilities away.

mod optional;
mod support;

use std::fs;
use std::os::unix::fs::chown;
use std::process::{Command, Output, Stdio};

use optional::skip;
use support::{Folder, code, content, stderr};

fn without_lease(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-lease", env!("CARGO_BIN_EXE_pageseal")]).args(arguments);
    command.current_dir(folder.path("")).stdin(Stdio::null()).output().unwrap()
}

fn capabilities(folder: &Folder) -> String {
    let output = Command::new("getcap").arg(folder.path("f")).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_refused_command_leaves_capabilities_as_they_are() {
    let (folder, recipient) = Folder::with_key();
    folder.write("f", &content(100_000));
    let path = folder.path("f");
    let set =
        || Command::new("setcap").arg("cap_net_raw+ep").arg(&path).status().is_ok_and(|it| it.success());
    let can_drop = || Command::new("setpriv").args(["--bounding-set=-lease", "true"]).status();
    if chown(&path, Some(1000), None).is_err() || !set() || !can_drop().is_ok_and(|it| it.success()) {
        return skip("setcap, setpriv, and the right to use them");
    }
    let before = (capabilities(&folder), fs::read(&path).unwrap());
    assert!(before.0.contains("cap_net_raw"), "{before:?}");
    for command in [
        &["encrypt", "-r", recipient.as_str(), "f"][..],
        &["decrypt", "-i", "key.txt", "--keep-name", "f"],
        &["resume", "f"],
        &["rollback", "f"],
    ] {
        let output = without_lease(&folder, command);
        assert_eq!(code(&output), 1, "{command:?}: {}", stderr(&output));
        assert_eq!((capabilities(&folder), fs::read(&path).unwrap()), before, "{command:?}");
    }
}
