//! What every step of a job knows.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use pageseal_crypto::{ChunkMeta, DerivedKeys};
use pageseal_format::journal::{Direction, JobKind, RecordKind, Resilience};
use pageseal_format::{Geometry, TableEntry};
use pageseal_storage::Storage;
use pageseal_storage::watch::{Change, ChangeWatch};

use super::workers::{Tiles, Workers};
use crate::error::InterruptCause;
use crate::surroundings::Surroundings;

/// One of the two forms that a chunk can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Plain,
    Sealed,
}

/// Which chunks were holes of a sparse file, to be flagged when they are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holes {
    /// Not kept in mind.
    Ignored,
    /// Found before space was reserved for them, as ranges of chunks in order. Afterwards a page in the cache makes a reserved
    /// hole look like data.
    Known(Vec<Range<u64>>),
    /// A resumed job asks as it goes, and may find fewer.
    Asked,
}

/// What stays in memory of a window between *prepare* and *store*.
pub(crate) enum Keeps {
    /// Each step reads what it needs into a tile.
    Nothing,
    /// All of it: it was read by one large request, ahead of time, and is written by one.
    Windows(Tiles),
    /// Where windows become sealed, the ciphertext, to be stored as it is. *Store* looks at what it replaces in the mapping.
    Sealed(Tiles),
}

/// A running job: the file, its keys and the choices that its journal fixes.
pub(crate) struct JobContext {
    pub(crate) path: PathBuf,
    pub(crate) data: Arc<dyn Storage>,
    /// Length of the file, in bytes, as the job knows it: with trailer from RUNNING on. Another one is somebody else's doing.
    pub(crate) running_len: u64,
    pub(crate) geometry: Geometry,
    pub(crate) keys: Arc<DerivedKeys>,
    pub(crate) kind: JobKind,
    pub(crate) job_sequence: u64,
    pub(crate) record_kind: RecordKind,
    pub(crate) resilience: Resilience,
    pub(crate) window_chunks: u64,
    pub(crate) holes: Holes,
    /// Chunks in neither form that stay as they are, because the caller accepts the damage; in ascending order.
    pub(crate) left: Vec<u64>,
    /// Whether the system was restarted since the job began.
    pub(crate) restarted: bool,
    pub(crate) workers: Workers,
    pub(crate) keeps: Keeps,
    /// Whether the page cache gets the pages of settled windows back.
    pub(crate) drops_behind: bool,
    pub(crate) watch: Option<ChangeWatch>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
}

impl JobContext {
    /// The form that a window leaves and the form that it gets.
    pub(crate) fn sides(&self, direction: Direction) -> (Side, Side) {
        let forward = match self.kind {
            JobKind::Encrypt => (Side::Plain, Side::Sealed),
            JobKind::Decrypt => (Side::Sealed, Side::Plain),
        };
        match direction {
            Direction::Forward => forward,
            Direction::Backward => (forward.1, forward.0),
        }
    }

    /// Whether a chunk that does not open, and cannot be recovered, stays as it is.
    pub(crate) fn is_left(&self, chunk: u64) -> bool {
        self.left.binary_search(&chunk).is_ok()
    }

    /// What the cipher binds a chunk to.
    pub(crate) fn meta(&self, chunk: u64, entry: &TableEntry) -> ChunkMeta {
        chunk_meta(&self.geometry, chunk, entry)
    }

    /// Which of these chunks were holes. To be asked before they are read.
    pub(crate) fn holes_in(&self, first: u64, count: u64) -> Result<Vec<bool>, InterruptCause> {
        let asked;
        let ranges = match &self.holes {
            Holes::Ignored => return Ok(vec![false; count as usize]),
            Holes::Known(ranges) => &ranges[ranges.partition_point(|range| range.end <= first)..],
            Holes::Asked => {
                let offset = self.geometry.chunk_offset(first);
                asked = find_holes(&*self.data, &self.geometry, first..first + count, &|| false)
                    .map_err(|source| io_cause("looking for holes", offset, source))?;
                &asked[..]
            }
        };
        let mut holes = vec![false; count as usize];
        for range in ranges.iter().take_while(|range| range.start < first + count) {
            let (start, end) = (range.start.max(first) - first, range.end.min(first + count) - first);
            holes[start as usize..end as usize].fill(true);
        }
        Ok(holes)
    }

    /// Whether data must be on the medium before a window counts as settled.
    pub(crate) fn syncs_windows(&self) -> bool {
        matches!(self.resilience, Resilience::Checksum | Resilience::Journal)
    }

    /// The next window from `watermark` on, as (first chunk, count); `None` at the end. Borders are multiples of the
    /// window, so that no two windows share a block of the file or of the table.
    pub(crate) fn next_window(&self, direction: Direction, watermark: u64) -> Option<(u64, u64)> {
        let chunks = self.geometry.chunk_count();
        match direction {
            Direction::Forward => (watermark < chunks).then(|| {
                let border = (watermark / self.window_chunks + 1) * self.window_chunks;
                (watermark, border.min(chunks) - watermark)
            }),
            Direction::Backward => (watermark > 0).then(|| {
                let first = (watermark - 1) / self.window_chunks * self.window_chunks;
                (first, watermark - first)
            }),
        }
    }

    /// Notices what others do to the file. Content is compared chunk by chunk when it is stored; this finds a change of
    /// length and a writer that has closed the file again.
    pub(crate) fn check_undisturbed(&self) -> Result<(), InterruptCause> {
        self.check_length()?;
        self.check_no_writer()
    }

    /// Notices that somebody else has appended to the file, or cut it.
    pub(crate) fn check_length(&self) -> Result<(), InterruptCause> {
        let len = self.data.len().map_err(|source| io_cause("reading the length", 0, source))?;
        match len == self.running_len {
            true => Ok(()),
            false => Err(another_length(len, self.running_len)),
        }
    }

    /// Notices a writer that has closed the file again.
    pub(crate) fn check_no_writer(&self) -> Result<(), InterruptCause> {
        let Some(watch) = &self.watch else { return Ok(()) };
        let changes = watch.poll().map_err(|source| io_cause("watching the file", 0, source))?;
        if changes.contains(&Change::ClosedAfterWriting) {
            let what = "another process had it open for writing".to_owned();
            return Err(InterruptCause::ChangedByOthers { what });
        }
        Ok(())
    }
}

/// What the cipher binds a chunk to.
pub(crate) fn chunk_meta(geometry: &Geometry, chunk: u64, entry: &TableEntry) -> ChunkMeta {
    ChunkMeta {
        index: chunk,
        is_final: geometry.is_final(chunk),
        nonce: entry.nonce,
        epoch: entry.epoch,
        flags: entry.flags,
    }
}

/// So many runs of holes are kept in mind, in 16 MiB; those behind them do not come back as holes.
const MOST_RUNS_OF_HOLES: usize = 1 << 20;

/// Those of the chunks that are holes, as ranges in order; those that were found so far if `stops` says so.
pub(crate) fn find_holes(
    data: &dyn Storage,
    geometry: &Geometry,
    chunks: Range<u64>,
    stops: &dyn Fn() -> bool,
) -> std::io::Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let chunk_len = geometry.chunk_len_bytes();
    let end = geometry.data_len().min(chunks.end.saturating_mul(chunk_len));
    let mut offset = chunks.start * chunk_len;
    while ranges.len() < MOST_RUNS_OF_HOLES && offset < end && !stops() {
        let Some(hole) = data.next_hole(offset, end)? else { break };
        // The last chunk may be short.
        let behind =
            if hole.end == end { chunks.end.min(geometry.chunk_count()) } else { hole.end / chunk_len };
        let whole = hole.start.div_ceil(chunk_len)..behind;
        if whole.start < whole.end {
            ranges.push(whole);
        }
        // No chunk that this hole ends in is a hole.
        offset = hole.end.next_multiple_of(chunk_len);
    }
    Ok(ranges)
}

/// Somebody else has appended to the file, or cut it.
pub(crate) fn another_length(found: u64, expected: u64) -> InterruptCause {
    let what = format!("its length became {found} bytes, it was {expected}");
    InterruptCause::ChangedByOthers { what }
}

/// The step that makes the file's data durable.
pub(crate) const SYNCING: &str = "syncing the file";

/// An I/O failure of a step.
pub(crate) fn io_cause(what: &'static str, offset: u64, source: std::io::Error) -> InterruptCause {
    InterruptCause::Io { what, offset, source }
}
