//! Where an out-of-place run writes to: a file that gets its name when it is whole, whose pieces the workers write side by side,
//! or a pipe, which they write in turn.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};

use pageseal_storage::attributes::FileAttributes;
use pageseal_storage::directory::{Directory, RealDirectory};
use pageseal_storage::write_back::WriteBehind;

use super::source::Piece;
use crate::control::{Control, Notice};
use crate::error::Refusal;
use crate::names::Names;

/// Where bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A new file; an existing one is refused.
    File(PathBuf),
}

/// An output that is not published yet.
pub(super) struct Sink {
    file: File,
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    /// A file without a name. What is written is on its way to the disk at once, so that there is little to wait for in the end.
    Unnamed {
        names: Names,
        directory: RealDirectory,
        behind: WriteBehind,
    },
    Pipe {
        turn: Mutex<Turn>,
        changed: Condvar,
    },
}

/// Whose piece is the next one.
struct Turn {
    number: u64,
    /// Nobody will come any more: a worker failed.
    over: bool,
}

impl Sink {
    pub(super) fn create(output: &Output) -> Result<Self, Refusal> {
        let Output::File(path) = output else {
            let path = PathBuf::from("standard output");
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            let file = File::from(stdout.map_err(|source| Refusal::Output { path: path.clone(), source })?);
            let turn = Mutex::new(Turn { number: 0, over: false });
            return Ok(Sink { file, path, kind: Kind::Pipe { turn, changed: Condvar::new() } });
        };
        let names = Names::of(path)?;
        let failed = |source| Refusal::Output { path: path.clone(), source };
        let directory = RealDirectory::open(&names.directory).map_err(failed)?;
        if directory.identity_of(&names.given).map_err(failed)?.is_some() {
            return Err(Refusal::TargetExists { path: path.clone() });
        }
        let file = directory.create_unnamed().map_err(failed)?;
        let behind = WriteBehind::default();
        Ok(Sink { file, path: path.clone(), kind: Kind::Unnamed { names, directory, behind } })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a piece: at its place, or when all before it are written. `false` if that will never be, because of
    /// [`give_up`](Self::give_up).
    pub(super) fn write(&self, piece: &Piece, bytes: &[u8]) -> io::Result<bool> {
        match &self.kind {
            Kind::Unnamed { behind, .. } => {
                self.file.write_all_at(bytes, piece.offset)?;
                behind.wrote(&self.file, piece.offset, bytes.len() as u64)?;
                Ok(true)
            }
            Kind::Pipe { turn, changed } => {
                let mut state = lock(turn);
                while state.number != piece.number && !state.over {
                    state = changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
                }
                if state.over {
                    return Ok(false);
                }
                (&self.file).write_all(bytes)?;
                state.number += 1;
                changed.notify_all();
                Ok(true)
            }
        }
    }

    /// Lets nobody wait for a piece that will not come.
    pub(super) fn give_up(&self) {
        if let Kind::Pipe { turn, changed } = &self.kind {
            lock(turn).over = true;
            changed.notify_all();
        }
    }

    /// What comes behind the pieces, which have `len` bytes.
    pub(super) fn end(&self, len: u64) -> End<'_> {
        match self.kind {
            Kind::Unnamed { .. } => End { file: &self.file, at: Some(len) },
            Kind::Pipe { .. } => End { file: &self.file, at: None },
        }
    }

    /// Makes the file durable, then gives it its name, then makes the name durable.
    pub(super) fn publish(
        self,
        attributes: Option<&FileAttributes>,
        control: &Control<'_>,
    ) -> Result<Option<PathBuf>, Refusal> {
        let Sink { file, path, kind: Kind::Unnamed { names, directory, .. } } = self else { return Ok(None) };
        for failure in attributes.map(|attributes| attributes.apply(&file)).into_iter().flatten() {
            control.progress.notice(&Notice::AttributeLost { attribute: failure.to_string() });
        }
        let failed = |source| Refusal::Output { path: path.clone(), source };
        file.sync_all().map_err(failed)?;
        directory.link_temporary(&file, &names.given).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Refusal::TargetExists { path: path.clone() },
            _ => failed(error),
        })?;
        directory.sync().map_err(failed)?;
        Ok(Some(path))
    }
}

fn lock(turn: &Mutex<Turn>) -> MutexGuard<'_, Turn> {
    turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Writes on where the pieces end.
pub(super) struct End<'a> {
    file: &'a File,
    /// `None` for a pipe, which has no places.
    at: Option<u64>,
}

impl Write for End<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.at {
            Some(at) => {
                let count = self.file.write_at(bytes, *at)?;
                *at += count as u64;
                Ok(count)
            }
            None => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
