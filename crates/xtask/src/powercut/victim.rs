//! The `pageseal` command as a process that can be watched, stopped and killed.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process};

use super::stop::{Outcome, Stop, check, failed};
use super::tool;

/// Far more than any run here takes, so a longer one hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_micros(500);

/// The command, and where its job keys go.
#[derive(Clone, Debug)]
pub struct Pageseal {
    /// The executable.
    pub program: PathBuf,
    /// Stands for `$XDG_RUNTIME_DIR`, so nobody else's job keys are seen.
    pub runtime: PathBuf,
    /// The protection that a mutated build has switched off.
    pub mutation: Option<String>,
    /// A program with its arguments that becomes the command, as somebody else for example. Mostly none.
    pub wrapper: Vec<String>,
}

impl Pageseal {
    /// Starts it.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome<Running> {
        let mut command = match &*self.wrapper {
            [] => tool::command(&self.program),
            [wrapper, rest @ ..] => {
                let mut command = tool::command(wrapper);
                command.args(rest).arg(&self.program);
                command
            }
        };
        command.args(arguments).env("XDG_RUNTIME_DIR", &self.runtime).env_remove("PAGESEAL_MUTATION");
        if let Some(name) = &self.mutation {
            command.env("PAGESEAL_MUTATION", name);
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.map_err(|error| Stop::Setup(format!("{}: {error}", self.program.display())))?;
        Ok(Running { child, line: format!("{command:?}"), told: Vec::new() })
    }

    /// Runs it to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome<Ended> {
        self.start(arguments)?.finish()
    }

    /// Runs it to its end, which must be a good one.
    pub fn succeed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome<Ended> {
        let ended = self.run(arguments)?;
        check(ended.code() == Some(0), || ended.to_string())?;
        Ok(ended)
    }

    /// Takes the job keys away, as a power cut does, which empties memory.
    pub fn forget_job_keys(&self) {
        let _ = std::fs::remove_dir_all(self.runtime.join("pageseal"));
    }
}

/// A process at work. Killed when dropped.
pub struct Running {
    child: Child,
    line: String,
    /// What was read of its complaints already.
    told: Vec<u8>,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> Outcome<bool> {
        let status = self.child.try_wait().map_err(|error| Stop::Setup(format!("wait: {error}")))?;
        Ok(status.is_none())
    }

    /// Waits until it has said these words among its complaints. Not so if it ends before.
    pub fn wait_for_words(&mut self, words: &str) -> Outcome<bool> {
        let setup = |error: std::io::Error| Stop::Setup(format!("read what {} says: {error}", self.line));
        let Some(pipe) = &mut self.child.stderr else { return Ok(false) };
        ioctl_fionbio(&*pipe, true).map_err(|errno| setup(errno.into()))?;
        let started = Instant::now();
        let found = loop {
            let mut piece = [0; 4096];
            match pipe.read(&mut piece) {
                Ok(0) => break false,
                Ok(len) => self.told.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::sleep(POLL),
                Err(error) => return Err(setup(error)),
            }
            if String::from_utf8_lossy(&self.told).contains(words) {
                break true;
            }
            check(started.elapsed() < PATIENCE, || format!("{} neither says {words:?} nor ends", self.line))?;
        };
        ioctl_fionbio(&*pipe, false).map_err(|errno| setup(errno.into()))?;
        Ok(found)
    }

    /// Sends a signal. Its id is still its own, because it was not waited for.
    pub fn signal(&mut self, signal: Signal) -> Outcome<()> {
        if self.is_running()? {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
        Ok(())
    }

    /// Waits until it is stopped by SIGSTOP, so it changes nothing until SIGCONT.
    pub fn freeze(&mut self) -> Outcome<()> {
        self.signal(Signal::STOP)?;
        let stat = PathBuf::from(format!("/proc/{}/task", self.child.id()));
        let started = Instant::now();
        while self.is_running()? && !all_stopped(&stat) {
            check(started.elapsed() < PATIENCE, || format!("{} cannot be stopped", self.line))?;
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Lets a frozen process go on.
    pub fn thaw(&mut self) -> Outcome<()> {
        self.signal(Signal::CONT)
    }

    /// Kills it and waits.
    pub fn kill(mut self) -> Outcome<Ended> {
        let _ = self.child.kill();
        self.end()
    }

    /// Waits for its own end, which must come.
    pub fn finish(mut self) -> Outcome<Ended> {
        let started = Instant::now();
        while self.is_running()? {
            if started.elapsed() > PATIENCE {
                let _ = self.child.kill();
                return failed(format!("{} hangs", self.line));
            }
            std::thread::sleep(POLL);
        }
        self.end()
    }

    fn end(&mut self) -> Outcome<Ended> {
        let setup = |error: std::io::Error| Stop::Setup(format!("wait: {error}"));
        let status = self.child.wait().map_err(setup)?;
        // A few lines, far less than a pipe holds, so the process never waited for us.
        let (mut stdout, mut stderr) =
            (String::new(), String::from_utf8_lossy(&std::mem::take(&mut self.told)).into_owned());
        if let Some(pipe) = &mut self.child.stdout {
            let _ = pipe.read_to_string(&mut stdout);
        }
        if let Some(pipe) = &mut self.child.stderr {
            let _ = pipe.read_to_string(&mut stderr);
        }
        Ok(Ended { line: std::mem::take(&mut self.line), status, stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    line: String,
    status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Ended {
    /// Its exit code; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// No signal, no panic, and one of these exit codes.
    pub fn expect_codes(&self, codes: &[i32]) -> Outcome<()> {
        check(!self.stderr.contains("panicked"), || format!("a panic: {self}"))?;
        check(self.code().is_some_and(|code| codes.contains(&code)), || {
            format!("expected exit code {codes:?}: {self}")
        })
    }

    /// One of these exit codes, and these words among the complaints.
    pub fn expect(&self, codes: &[i32], words: &[&str]) -> Outcome<()> {
        self.expect_codes(codes)?;
        for word in words {
            check(self.stderr.contains(word), || format!("{word:?} is not said: {self}"))?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = self.stderr.trim();
        write!(f, "{}: {}: {}", self.line, self.status, if told.is_empty() { "(silent)" } else { told })
    }
}

/// Whether every thread of a process is stopped.
fn all_stopped(tasks: &Path) -> bool {
    let Ok(threads) = std::fs::read_dir(tasks) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state stands behind the name, which is in parentheses and may hold anything.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}
