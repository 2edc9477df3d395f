//! A folder of its own for each test, and the command run in it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A folder that goes with the test, and one for the job keys of its jobs, some of which are never ended.
pub struct Folder {
    folder: tempfile::TempDir,
    runtime: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        stop_ignoring_signals();
        let in_memory = Path::new("/dev/shm");
        let runtime = if in_memory.is_dir() { in_memory.into() } else { std::env::temp_dir() };
        Folder { folder: tempfile::tempdir().unwrap(), runtime: tempfile::tempdir_in(runtime).unwrap() }
    }

    /// With an identity in `key.txt`; returns its public key too.
    pub fn with_key() -> (Self, String) {
        let folder = Folder::new();
        let output = folder.run(["keygen", "-q", "-o", "key.txt"]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        (folder, stdout(&output).trim().to_owned())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The command, not started; without the terminal that the tests may run on as its input.
    pub fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pageseal"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", self.runtime.path());
        command
    }

    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it and wants exit code 0; returns what it printed.
    pub fn succeed<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> String {
        let output = self.run(arguments);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    }
}

/// Who starts the tests in the background, or by `nohup`, has signals ignored, and a program that is started so keeps them
/// ignored. One that this program handles itself is not ignored by those that it starts. It ends this one as before.
fn stop_ignoring_signals() {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_default(signal, always).unwrap();
    }
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by a signal")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Bytes in which every block differs from every other.
pub fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
