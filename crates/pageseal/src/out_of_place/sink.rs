//! Where an out-of-place run writes to: a file that gets its name when it is whole, whose pieces the workers write side by side,
//! or a pipe, which they write in turn.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};

use pageseal_storage::attributes::FileAttributes;
use pageseal_storage::directory::{Directory, RealDirectory};
use pageseal_storage::durability::sync_all;
use pageseal_storage::standard_streams;
use pageseal_storage::write_back::WriteBehind;

use super::source::Piece;
use crate::control::{Control, Notice};
use crate::error::Refusal;
use crate::job::longest_cached_len;
use crate::names::Names;

/// The permission bits of a file that is made from a stream, before the umask.
const ANYBODYS: u32 = 0o666;

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
    /// A file without a name. What is written is on its way to the disk at once, so that there is little to wait for in the end,
    /// and leaves the page cache if the file is too long for it.
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
    /// `len` is about how long it will be, where that is known.
    /// A file gets the permission bits of the input, if that is one, less the umask, and is the running user's.
    pub(super) fn create(
        output: &Output,
        len: Option<u64>,
        input: Option<&FileAttributes>,
    ) -> Result<Self, Refusal> {
        let Output::File(path) = output else {
            let path = PathBuf::from("standard output");
            let file = File::from(
                standard_streams::stdout()
                    .map_err(|source| Refusal::Output { path: path.clone(), source })?,
            );
            let turn = Mutex::new(Turn { number: 0, over: false });
            return Ok(Sink { file, path, kind: Kind::Pipe { turn, changed: Condvar::new() } });
        };
        let names = Names::of(path)?;
        let failed = |source| Refusal::Output { path: path.clone(), source };
        let directory = RealDirectory::open(&names.directory).map_err(failed)?;
        if directory.identity_of(&names.given).map_err(failed)?.is_some() {
            return Err(Refusal::TargetExists { path: path.clone() });
        }
        let mode = input.map_or(ANYBODYS, FileAttributes::mode_of_copy);
        let file = directory.create_unnamed_with(mode).map_err(failed)?;
        input.map_or(Ok(()), |input| input.narrow_copy(&file)).map_err(failed)?;
        let longest = longest_cached_len();
        // Of one that is known to become too long, not even the beginning pushes anything out.
        let behind = WriteBehind::new(if len.is_some_and(|len| len > longest) { 0 } else { longest });
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
        match &self.kind {
            Kind::Unnamed { behind, .. } => End { file: &self.file, place: Some((len, behind)) },
            Kind::Pipe { .. } => End { file: &self.file, place: None },
        }
    }

    /// Makes the file durable, with these attributes if there are any, then gives it its name, then makes the name durable.
    pub(super) fn publish(
        self,
        attributes: Option<&FileAttributes>,
        control: &Control<'_>,
    ) -> Result<Option<PathBuf>, Refusal> {
        let Sink { file, path, kind } = self;
        let Kind::Unnamed { names, directory, behind } = kind else { return Ok(None) };
        for failure in attributes.map(|attributes| attributes.apply(&file)).into_iter().flatten() {
            control.progress.notice(&Notice::AttributeLost { attribute: failure.to_string() });
        }
        let failed = |source| Refusal::Output { path: path.clone(), source };
        sync_all(&file).map_err(failed)?;
        behind.finish(&file);
        directory.publish(&file, &names.given).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Refusal::TargetExists { path: path.clone() },
            _ => failed(error),
        })?;
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
    place: Option<(u64, &'a WriteBehind)>,
}

impl Write for End<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Some((at, behind)) => {
                let count = self.file.write_at(bytes, *at)?;
                behind.wrote(self.file, *at, count as u64)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use pageseal_storage::residency::cached_bytes;
    use pageseal_storage::{FileSystemKind, Medium};

    const PIECE: u64 = 1 << 20;
    /// The kernel may drop pages by itself, and keep some that it has in hand.
    const KEPT: u64 = 4 * PIECE;

    /// Writes 48 MiB into a file that was announced with a length, and tells how much of it is in the page cache then, and how much
    /// when it is published; `None` where that cannot be told.
    fn cached_of(announced: u64) -> Option<(u64, u64)> {
        // Beside the source, for the temporary folder may be in memory.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("out");
        let sink = Sink::create(&Output::File(path.clone()), Some(announced), None).unwrap();
        let is_not_told = cached_bytes(&sink.file, 0, 1).is_none();
        if is_not_told || Medium::of(&sink.file).unwrap().kind == FileSystemKind::Tmpfs {
            println!("SKIPPED: nothing is told of the page cache here, or a file system in memory");
            return None;
        }
        let bytes = vec![1; PIECE as usize];
        for number in 0..44 {
            let piece = Piece { number, offset: number * PIECE, len: bytes.len(), is_last: false };
            assert!(sink.write(&piece, &bytes).unwrap());
        }
        let mut end = sink.end(44 * PIECE);
        (0..4).for_each(|_| end.write_all(&bytes).unwrap());
        let before = cached_bytes(&sink.file, 0, 48 * PIECE)?;
        sink.publish(None, &Control::silent()).unwrap();
        let file = File::open(path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 48 * PIECE);
        Some((before, cached_bytes(&file, 0, 48 * PIECE)?))
    }

    #[test]
    fn a_file_that_is_too_long_for_the_page_cache_leaves_it() {
        let Some((before, after)) = cached_of(u64::MAX) else { return };
        assert!(before < 44 * PIECE, "{before} bytes are in the cache");
        assert!(after <= KEPT, "{after} bytes are in the cache");
    }

    #[test]
    fn one_that_fits_stays() {
        let Some(cached) = cached_of(48 * PIECE) else { return };
        assert!(cached.0.min(cached.1) + KEPT >= 48 * PIECE, "only {cached:?} bytes are in the cache");
    }
}
