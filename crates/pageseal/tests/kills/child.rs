//! A process that runs one job: this test binary again, with an order in its environment.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Identities, IdentitySource, IoChoice, JobError, JobKeyMode,
    JobOutcome, JobReport, Recipient, Refusal, ResilienceChoice, ResumeOptions, Suite, decrypt_in_place,
    encrypt_in_place, resume, rollback,
};
use serde_json::{Value, json};

use super::by::By;
use super::support::NoPrompt;

const ORDER: &str = "PAGESEAL_TEST_KILLS_ORDER";
/// What a child's answer begins with, among the lines of the test harness.
const ANSWER: &str = "child answers: ";
const THREADS: usize = 2;
const SIGKILL: i32 = 9;

/// What a child is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Encrypt,
    Decrypt,
    Resume,
    Rollback,
}

/// A task with all that it needs.
#[derive(Clone, Debug)]
pub struct Order {
    pub by: By,
    /// What is run: this test binary, where everybody can reach it.
    pub program: PathBuf,
    pub task: Task,
    pub path: PathBuf,
    pub recipient: String,
    pub identity_file: Option<PathBuf>,
    pub io: IoChoice,
    pub resilience: ResilienceChoice,
    pub suite: Suite,
    pub job_key: JobKeyMode,
}

/// How a job ended that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done; with the windows that were found in flight.
    Done { outcome: JobOutcome, windows_recovered: u64 },
    /// Refused, for one of the reasons that this test provokes.
    Refused(String),
    /// Anything else.
    Failed(String),
}

/// A child at work. Killed when dropped, so a failed assertion leaves no process behind.
pub struct Running(Child);

impl Running {
    /// Starts a child whose job keys go to `runtime`.
    pub fn start(order: &Order, runtime: &Path) -> Self {
        let child = order
            .by
            .command(&order.program)
            .args(["--exact", "child_job", "--include-ignored", "--nocapture", "--test-threads=1"])
            .env(ORDER, to_json(order).to_string())
            .env("XDG_RUNTIME_DIR", runtime)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Answer {
        match self.end() {
            Some(answer) => answer,
            None => panic!("somebody else killed the child"),
        }
    }

    /// Kills it, now. `None` if that is what ended it, else it was done before.
    pub fn kill(mut self) -> Option<Answer> {
        self.0.kill().unwrap();
        self.end()
    }

    fn end(&mut self) -> Option<Answer> {
        // A few lines, far less than a pipe holds, so the child never waits for us.
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.0.wait().unwrap();
        if status.signal() == Some(SIGKILL) {
            return None;
        }
        assert!(status.success(), "the child died: {status}\n{text}");
        let line = text.lines().find_map(|line| Some(line.split_once(ANSWER)?.1));
        Some(parse_answer(line.unwrap_or_else(|| panic!("the child did not answer:\n{text}"))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The child's side: runs the order and prints the answer.
pub fn obey() {
    let Some(order) = std::env::var_os(ORDER) else { return };
    let order = from_json(&serde_json::from_str(order.to_str().unwrap()).unwrap());
    let answer = match run(&order) {
        Ok(report) => {
            let outcome = if report.outcome == JobOutcome::Sealed { "sealed" } else { "plain" };
            json!({ "done": outcome, "windows_recovered": report.windows_recovered })
        }
        Err(JobError::Refused(refusal)) => match refusal {
            Refusal::BeingRolledBack { .. } => json!({ "refused": "being rolled back" }),
            Refusal::OnlyFinish { .. } => json!({ "refused": "only finish" }),
            Refusal::NothingToResume { .. } => json!({ "refused": "nothing to resume" }),
            other => json!({ "failed": format!("{other:?}") }),
        },
        Err(other) => json!({ "failed": format!("{other:?}") }),
    };
    println!("{ANSWER}{answer}");
}

fn run(order: &Order) -> Result<JobReport, JobError> {
    let Order { path, io, resilience, .. } = order;
    let identities = match &order.identity_file {
        Some(file) => {
            Identities::load([IdentitySource::File(file.clone())], std::sync::Arc::new(NoPrompt)).unwrap()
        }
        None => Identities::none(),
    };
    let control = Control::silent();
    let going_on =
        |decrypt| ResumeOptions { io: *io, threads: Some(THREADS), decrypt, ..ResumeOptions::default() };
    match order.task {
        Task::Encrypt => {
            let options = EncryptOptions {
                suite: Some(order.suite),
                io: *io,
                resilience: *resilience,
                threads: Some(THREADS),
                job_key: order.job_key,
                ..EncryptOptions::default()
            };
            encrypt_in_place(path, &[Recipient::parse(&order.recipient).unwrap()], &options, &control)
        }
        Task::Decrypt => {
            let options = DecryptOptions {
                io: *io,
                resilience: *resilience,
                threads: Some(THREADS),
                ..DecryptOptions::default()
            };
            decrypt_in_place(path, &identities, &options, &control)
        }
        Task::Resume => resume(path, &identities, &going_on(true), &control),
        Task::Rollback => rollback(path, &identities, &going_on(false), &control),
    }
}

fn parse_answer(line: &str) -> Answer {
    let answer: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| Some(answer.get(name)?.as_str().unwrap().to_owned());
    match (text("done").as_deref(), text("refused")) {
        (Some(done), _) => Answer::Done {
            outcome: if done == "sealed" { JobOutcome::Sealed } else { JobOutcome::Plain },
            windows_recovered: answer["windows_recovered"].as_u64().unwrap(),
        },
        (None, Some(reason)) => Answer::Refused(reason),
        (None, None) => Answer::Failed(text("failed").unwrap()),
    }
}

fn to_json(order: &Order) -> Value {
    json!({
        "task": order.task as u8,
        "path": order.path,
        "recipient": order.recipient,
        "identity_file": order.identity_file,
        "io": match order.io {
            IoChoice::Mmap => "mmap",
            IoChoice::Direct => "direct",
            _ => "buffered",
        },
        "resilience": match order.resilience {
            ResilienceChoice::Checksum => "checksum",
            ResilienceChoice::Journal => "journal",
            ResilienceChoice::Process => "process",
            other => panic!("{other:?} is not tested here"),
        },
        "suite": order.suite.id(),
        "key_on_disk": order.job_key == JobKeyMode::Disk,
    })
}

fn from_json(order: &Value) -> Order {
    let text = |name: &str| order[name].as_str().map(str::to_owned);
    let tasks = [Task::Encrypt, Task::Decrypt, Task::Resume, Task::Rollback];
    Order {
        by: By::Owner,
        program: PathBuf::new(),
        task: tasks[order["task"].as_u64().unwrap() as usize],
        path: text("path").unwrap().into(),
        recipient: text("recipient").unwrap(),
        identity_file: text("identity_file").map(PathBuf::from),
        io: match text("io").unwrap().as_str() {
            "mmap" => IoChoice::Mmap,
            "direct" => IoChoice::Direct,
            _ => IoChoice::Buffered,
        },
        resilience: match text("resilience").unwrap().as_str() {
            "checksum" => ResilienceChoice::Checksum,
            "journal" => ResilienceChoice::Journal,
            _ => ResilienceChoice::Process,
        },
        suite: Suite::try_from(order["suite"].as_u64().unwrap() as u8).unwrap(),
        job_key: if order["key_on_disk"] == true { JobKeyMode::Disk } else { JobKeyMode::Runtime },
    }
}
