//! Other programs. Each is the leader of a process group of its own, so Ctrl-C reaches this program alone and what is
//! under way can be taken down in order.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::stop::{Outcome, Stop};

/// A command that Ctrl-C does not reach.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// Runs a program to its end and returns what it printed.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Outcome<String> {
    run_with_codes(program, arguments, &[0])
}

/// The same, where other exit codes than 0 are success too.
pub fn run_with_codes<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    codes: &[i32],
) -> Outcome<String> {
    let mut command = command(program);
    command.args(arguments);
    let output = command.output().map_err(|error| Stop::Setup(format!("{program}: {error}")))?;
    if output.status.code().is_some_and(|code| codes.contains(&code)) {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(Stop::Setup(format!("{command:?}: {}: {}", output.status, told.trim())))
}

/// Where a program lies. The folders of system tools are looked through too, they may be missing in `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
