//! Command lines of jobs, and which way out a journal allows.

use std::path::{Path, PathBuf};

use pageseal_format::journal::JobKind;
use pageseal_testkit::Generator;

use super::bench::Bench;
use super::journal::{Found, Place};
use super::stop::Outcome;
use super::subject::{Content, Form, PLAIN, journal_in};
use super::victim::{Pageseal, Running};

/// How a job stores and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode {
    /// `--io`
    pub io: &'static str,
    /// `--resilience`
    pub resilience: &'static str,
}

/// The pairs that promise to survive a power cut.
pub const MODES: [Mode; 4] = [
    Mode { io: "buffered", resilience: "checksum" },
    Mode { io: "buffered", resilience: "journal" },
    Mode { io: "mmap", resilience: "journal" },
    Mode { io: "direct", resilience: "checksum" },
];

/// The suites, by their names on the command line.
pub const SUITES: [&str; 3] = ["aegis-256x2", "xaes-256-gcm", "xchacha20-poly1305"];

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.io, self.resilience)
    }
}

/// What ends an interrupted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// `pageseal resume --decrypt`
    Resume,
    /// `pageseal rollback`
    Rollback,
}

impl Way {
    /// One of the two.
    pub fn draw(generator: &mut Generator) -> Self {
        if generator.below(2) == 0 { Way::Resume } else { Way::Rollback }
    }

    /// This way, or the other if the journal allows only that.
    pub fn allowed(self, found: &Found) -> Self {
        match self {
            _ if found.is_backward() => Way::Rollback,
            _ if !found.can_roll_back() => Way::Resume,
            way => way,
        }
    }

    /// What the file is at its end.
    pub fn end(self, found: &Found) -> Form {
        let before = if found.job == JobKind::Decrypt { Form::Sealed } else { Form::Plain };
        // A job that is FINISHED has only names left, whatever was asked for.
        let goes_on = self == Way::Resume || found.place() == Place::Finished;
        if goes_on && !found.is_backward() { before.other() } else { before }
    }
}

/// Starts the job that turns the file in `folder`, which has this form.
pub fn start_job(
    bench: &Bench,
    pageseal: &Pageseal,
    folder: &Path,
    form: Form,
    mode: Mode,
    suite: &str,
) -> Outcome<Running> {
    let mut line = match form {
        Form::Plain => words(&["encrypt", "--chunk-size", "64KiB", "--suite", suite, "-r", &bench.recipient]),
        Form::Sealed => [words(&["decrypt", "-i"]), vec![bench.identity.clone()]].concat(),
    };
    line.extend(words(&["--threads", "2", "--io", mode.io, "--resilience", mode.resilience]));
    line.push(folder.join(form.name()));
    pageseal.start(line)
}

/// Starts what ends an interrupted job. An identity goes along, as job keys do not survive a power cut.
pub fn start_way(bench: &Bench, folder: &Path, way: Way) -> Outcome<Running> {
    let mut line = words(match way {
        Way::Resume => &["resume", "--decrypt"],
        Way::Rollback => &["rollback"],
    });
    line.extend(words(&["--threads", "2", "-i"]));
    line.extend([bench.identity.clone(), folder.join(PLAIN)]);
    bench.pageseal.start(line)
}

/// Brings an interrupted job to an end, if there is one, and checks every byte. Returns the way taken and the file's form.
pub fn recover(bench: &Bench, folder: &Path, content: &Content, wish: Way) -> Outcome<(Option<Way>, Form)> {
    let Some(found) = Found::read(&journal_in(folder))? else {
        return Ok((None, content.expect_alone(bench, folder)?));
    };
    let way = wish.allowed(&found);
    start_way(bench, folder, way)?.finish()?.expect_codes(&[0])?;
    let form = content.expect_alone(bench, folder)?;
    super::stop::check(form == way.end(&found), || format!("{way:?} left the file {form:?}: {found:?}"))?;
    Ok((Some(way), form))
}

fn words(words: &[&str]) -> Vec<PathBuf> {
    words.iter().map(PathBuf::from).collect()
}
