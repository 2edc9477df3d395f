//! Where an out-of-place run reads from: a file of known length, whose tiles the workers read side by side, or a stream, which
//! they read in turn.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::Duration;

use pageseal_storage::readiness::wait_readable;
use pageseal_storage::{BufferedFile, Storage, standard_streams};

use super::whole::WholePieces;
use crate::control::Progress;
use crate::error::{JobError, Refusal};
use crate::job::{Reads, Tile, storage_for_reading};
use crate::open_job::Asks;
use crate::read_target::ReadTarget;

/// How long a stream is waited for before somebody looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A regular file.
    File(PathBuf),
}

impl Input {
    /// What messages call it.
    pub(super) fn name(&self) -> &Path {
        match self {
            Input::Stdin => Path::new("standard input"),
            Input::File(path) => path,
        }
    }
}

/// Bytes that a worker has in its tile: where they belong, and whether the end of the input comes right behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its place among the pieces, from 0 without a gap.
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) len: usize,
    pub(super) is_last: bool,
}

/// Plaintext that is to be sealed.
pub(super) enum Source {
    Whole { data: Arc<dyn Storage>, len: u64 },
    Stream(Mutex<Stream>),
}

impl Source {
    /// Takes standard input. Pieces will have `piece_len` bytes, but for the last one.
    pub(super) fn stdin(piece_len: usize) -> Result<Self, Refusal> {
        let unreadable = |source| Refusal::Input { path: Input::Stdin.name().into(), source };
        let stdin = standard_streams::stdin().map_err(unreadable)?;
        Ok(Self::stream(File::from(stdin), piece_len))
    }

    /// Takes a file, unless it is in the middle of a job, whose journal may lie where the caller says.
    pub(super) fn file(
        target: &ReadTarget,
        journal: Option<&Path>,
        piece_len: usize,
        progress: &dyn Progress,
    ) -> Result<Self, JobError> {
        let file = target.owned_file()?;
        let metadata =
            file.metadata().map_err(|source| Refusal::Unopenable { path: target.path().into(), source })?;
        // Files of /proc have content and no length.
        if metadata.len() == 0 {
            target
                .refuse_open_job(Asks::Copy, &BufferedFile::new(target.owned_file()?), journal)
                .map_err(JobError::of_open)?;
            return Ok(Self::stream(file, piece_len));
        }
        let data = storage_for_reading(file, Reads::Once, progress);
        target.refuse_open_job(Asks::Copy, &*data, journal).map_err(JobError::of_open)?;
        Ok(Source::Whole { data, len: metadata.len() })
    }

    fn stream(reader: File, piece_len: usize) -> Self {
        let ahead = Tile::new(piece_len);
        Source::Stream(Mutex::new(Stream { reader, ahead, ahead_len: None, number: 0, offset: 0 }))
    }

    /// The length, where it is known beforehand.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Source::Whole { len, .. } => Some(*len),
            Source::Stream(_) => None,
        }
    }

    /// What the workers take, in pieces of the length that was said when it was opened.
    pub(super) fn pieces<'scope, 'env>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        piece_len: usize,
    ) -> Pieces<'scope, 'env> {
        match self {
            Source::Whole { data, len } => Pieces::Whole(WholePieces::new(scope, &**data, *len, piece_len)),
            Source::Stream(stream) => Pieces::Stream { stream, piece_len },
        }
    }

    /// A file whose length changed while it was read was not sealed as it was at any one time.
    pub(super) fn check_length(&self) -> io::Result<()> {
        match self {
            Source::Whole { data, len } => {
                // The length alone would not do: there are file systems that give more bytes than it says.
                let ends_here = matches!(
                    data.read_exact_at(&mut [0], *len),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof
                );
                match data.len()? == *len && ends_here {
                    true => Ok(()),
                    false => Err(io::Error::other("it is of another length than it was when it was opened")),
                }
            }
            Source::Stream(_) => Ok(()),
        }
    }
}

/// A source from which pieces are taken.
pub(super) enum Pieces<'scope, 'env> {
    Whole(WholePieces<'scope, 'env>),
    Stream { stream: &'scope Mutex<Stream>, piece_len: usize },
}

impl Pieces<'_, '_> {
    /// Reads the next piece into the tile; `None` behind the last one, and when `is_over` says that nobody wants it any more. An empty
    /// input is one empty piece.
    pub(super) fn read(&self, tile: &mut Tile, is_over: &dyn Fn() -> bool) -> io::Result<Option<Piece>> {
        match self {
            Pieces::Whole(pieces) => pieces.read(tile).map_err(|(_, source)| source),
            Pieces::Stream { stream, piece_len } => {
                let mut stream = stream.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                stream.read(tile, *piece_len, is_over)
            }
        }
    }
}

/// A stream, and what was read ahead of it: only the end of the stream tells which piece is the last one.
pub(super) struct Stream {
    reader: File,
    ahead: Tile,
    /// `None` before the first read; 0 at the end.
    ahead_len: Option<usize>,
    number: u64,
    offset: u64,
}

impl Stream {
    fn read(
        &mut self,
        tile: &mut Tile,
        piece_len: usize,
        is_over: &dyn Fn() -> bool,
    ) -> io::Result<Option<Piece>> {
        let len = match self.ahead_len {
            None => read_full(&mut self.reader, self.ahead.slice(piece_len), is_over)?,
            Some(0) => return Ok(None),
            Some(len) => len,
        };
        let next_len = match len == piece_len {
            true => read_full(&mut self.reader, tile.slice(piece_len), is_over)?,
            false => 0,
        };
        // What was read may then be a part of a piece.
        if is_over() {
            return Ok(None);
        }
        std::mem::swap(&mut self.ahead, tile);
        self.ahead_len = Some(next_len);
        let piece = Piece { number: self.number, offset: self.offset, len, is_last: next_len == 0 };
        self.number += 1;
        self.offset += len as u64;
        Ok(Some(piece))
    }
}

/// Fills the buffer as far as the stream goes, unless it is over before.
fn read_full(reader: &mut File, buffer: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() && !is_over() {
        // Whoever writes into the pipe may take hours for the next byte.
        if !wait_readable(&*reader, PATIENCE)? {
            continue;
        }
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn stream_of(len: usize) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; len]).unwrap();
        file.rewind().unwrap();
        Source::stream(file, 1024)
    }

    fn whole_of(len: usize) -> Source {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len as u64).unwrap();
        let data = storage_for_reading(file, Reads::Once, &crate::control::Silent);
        Source::Whole { data, len: len as u64 }
    }

    #[test]
    fn pieces_cover_the_input_and_only_the_last_says_so() {
        for len in [0, 1, 1023, 1024, 1025, 2048, 5000] {
            for source in [stream_of(len), whole_of(len)] {
                let mut tile = Tile::new(1024);
                let mut end = 0;
                let mut count = 0;
                let mut was_last = false;
                std::thread::scope(|scope| {
                    let pieces = source.pieces(scope, 1024);
                    while let Some(piece) = pieces.read(&mut tile, &|| false).unwrap() {
                        assert!(!was_last);
                        assert_eq!((piece.number, piece.offset), (count, end));
                        (end, count, was_last) = (end + piece.len as u64, count + 1, piece.is_last);
                    }
                });
                assert!(was_last, "length {len}");
                assert_eq!((end, count), (len as u64, len.div_ceil(1024).max(1) as u64));
            }
        }
    }

    #[test]
    fn a_length_that_changed_is_noticed() {
        let source = whole_of(5000);
        source.check_length().unwrap();
        let Source::Whole { data, .. } = &source else { panic!("a whole file") };
        data.set_len(5001).unwrap();
        assert!(source.check_length().is_err());
    }
}
