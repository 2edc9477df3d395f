//! A folder of its own for each test, and the command run in it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder that goes with the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// With an identity in `key.txt`; returns its public key too.
    pub fn with_key() -> (Self, String) {
        let folder = Folder::new();
        let output = folder.run(["keygen", "-q", "-o", "key.txt"]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        (folder, stdout(&output).trim().to_owned())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
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
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
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
