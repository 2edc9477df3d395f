//! A sparse file costs calls by its holes, not by its chunks.

mod optional;
mod support;

use std::process::Command;

use optional::skip;
use support::{Folder, code, stderr};

/// Of one hole, in bytes: 4096 chunks.
const HOLE: u64 = 256 << 20;

/// Runs the command under strace and returns its calls of this kind.
fn calls(folder: &Folder, call: &str, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "calls", "-e", &format!("trace={call}")]).arg(env!("CARGO_BIN_EXE_pageseal"));
    let output = command.args(arguments).current_dir(folder.path("")).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let calls = String::from_utf8(folder.read("calls")).unwrap();
    calls.lines().filter(|line| line.contains(call)).map(str::to_owned).collect()
}

#[test]
fn a_hole_costs_a_few_calls_however_long_it_is() {
    if !Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success())
    {
        return skip("strace");
    }
    let (folder, recipient) = Folder::with_key();
    folder.write("file", b"the beginning");
    let file = std::fs::File::options().write(true).open(folder.path("file")).unwrap();
    file.set_len(HOLE).unwrap();
    drop(file);
    let seeks = calls(&folder, "lseek", &["encrypt", "-q", "-r", &recipient, "--allow-sparse", "file"]);
    assert!(seeks.len() < 64, "{} calls of lseek to find one hole", seeks.len());
    let punched = calls(&folder, "fallocate", &["decrypt", "-q", "-i", "key.txt", "file.sealed"]);
    let punched = punched.iter().filter(|call| call.contains("PUNCH_HOLE")).count() as u64;
    // At most one a window, of which there are 32.
    assert!((1..=33).contains(&punched), "{punched} calls of fallocate to make one hole");
    assert_eq!(std::fs::metadata(folder.path("file")).unwrap().len(), HOLE);
}
