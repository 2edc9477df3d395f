//! The file that jobs work on: known content, and the proof that all of it is there.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pageseal_testkit::Generator;
use sha2::{Digest, Sha256};

use super::bench::Bench;
use super::image::names_in;
use super::stop::{At, Outcome, Stop, check};
use super::tool;

/// The plain name.
pub const PLAIN: &str = "f";
/// The name of the sealed file.
pub const SEALED: &str = "f.sealed";
/// The journal's name.
pub const JOURNAL: &str = "f.pageseal-journal";

/// What a file is, when no job is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it was written.
    Plain,
    /// Sealed.
    Sealed,
}

impl Form {
    /// The name that it goes by.
    pub fn name(self) -> &'static str {
        match self {
            Form::Plain => PLAIN,
            Form::Sealed => SEALED,
        }
    }

    /// What a job makes of it.
    pub fn other(self) -> Self {
        match self {
            Form::Plain => Form::Sealed,
            Form::Sealed => Form::Plain,
        }
    }
}

/// Content that a seed makes.
pub struct Content {
    bytes: Vec<u8>,
    digest: [u8; 32],
}

impl Content {
    /// Random bytes, so that no block is like another.
    pub fn new(len_bytes: usize, seed: u64) -> Self {
        let mut bytes = vec![0; len_bytes];
        Generator::new(seed).fill(&mut bytes);
        let digest = Sha256::digest(&bytes).into();
        Content { bytes, digest }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes a plain file and makes it durable with its name.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        let path = folder.join(PLAIN);
        let mut file = File::create(&path).at("create", &path)?;
        file.write_all(&self.bytes).at("write", &path)?;
        file.sync_all().at("sync", &path)?;
        File::open(folder).and_then(|folder| folder.sync_all()).at("sync", folder)
    }

    /// A plain file must hold these bytes.
    pub fn expect_plain(&self, path: &Path) -> Outcome<()> {
        let file = File::open(path).at("open", path)?;
        check(digest(file).at("read", path)? == self.digest, || {
            format!("{} is not what it was: {}", path.display(), self.difference(path))
        })
    }

    /// A sealed file must open to these bytes. It stays as it is.
    pub fn expect_sealed(&self, bench: &Bench, path: &Path) -> Outcome<()> {
        let mut command = tool::command(&bench.pageseal.program);
        command.args(["decrypt", "-q", "-o", "-", "-i"]).arg(&bench.identity).arg(path);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| Stop::Setup(format!("{command:?}: {error}")))?;
        let found = child.stdout.take().map(digest);
        let output = child.wait_with_output().map_err(|error| Stop::Setup(format!("wait: {error}")))?;
        check(output.status.success(), || {
            format!("{} does not open: {}", path.display(), String::from_utf8_lossy(&output.stderr))
        })?;
        check(matches!(found, Some(Ok(found)) if found == self.digest), || {
            format!("{} opens to something else", path.display())
        })
    }

    /// The folder must hold one file and nothing else: no journal, no second name. Returns what it is.
    pub fn expect_alone(&self, bench: &Bench, folder: &Path) -> Outcome<Form> {
        let names = names_in(folder)?;
        let form = [Form::Plain, Form::Sealed].into_iter().find(|form| names == [form.name()]);
        let Some(form) = form else { return Err(Stop::Failed(format!("the folder holds {names:?}"))) };
        let path = folder.join(form.name());
        match form {
            Form::Plain => self.expect_plain(&path)?,
            Form::Sealed => self.expect_sealed(bench, &path)?,
        }
        Ok(form)
    }

    /// How a plain file differs.
    pub fn difference(&self, path: &Path) -> String {
        let Ok(found) = fs::read(path) else { return format!("{} cannot be read", path.display()) };
        let lengths = (self.bytes.len(), found.len());
        let mut wrong = self.bytes.iter().zip(&found).enumerate().filter(|(_, (a, b))| a != b);
        let first = wrong.next().map(|(at, _)| at);
        let others = wrong.count();
        format!("first different byte {first:?}, {others} others differ, lengths {lengths:?}")
    }
}

/// The job's journal in a folder.
pub fn journal_in(folder: &Path) -> PathBuf {
    folder.join(JOURNAL)
}

fn digest(mut reader: impl Read) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            len => hash.update(&piece[..len]),
        }
    }
}
