//! Sealing and opening into another file or a pipe. No journal: the output gets its name only when it is whole.

mod flow;
mod sink;
mod source;
mod whole;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pageseal_crypto::{ChunkMeta, Suite, fill_random};
use pageseal_format::limits::{BLOCK, TABLE_ENTRY_LEN};
use pageseal_format::{FileState, Geometry, Limits, Superblock, TableEntry, labels};
use pageseal_storage::attributes::FileAttributes;
use pageseal_storage::standard_streams;
use pageseal_storage::write_back::WriteBehind;
use tempfile::SpooledData;

use crate::control::{Control, Notice, Stage};
use crate::error::{Damage, JobError, OpenError, Refusal};
use crate::job::{
    FileKeys, Reads, Workers, check_encrypt_options, chunk_meta, is_full, longest_cached_len, make_file_keys,
    make_slots, storage_for_reading,
};
use crate::keys::{Identities, Recipient};
use crate::names::Names;
use crate::open_job::Asks;
use crate::options::{DecryptOptions, EncryptOptions};
use crate::read_target::ReadTarget;
use crate::report::{JobKind, JobOutcome, JobReport};
use crate::sealed::{SealedFile, read_entries};
use crate::surroundings::System;
use crate::verify::{check_paddings, verify_chunks};

use flow::unwritable;
use sink::Sink;
use source::{Piece, Source};
use whole::WholePieces;

pub use sink::Output;
pub use source::Input;

/// Table entries of a stream whose length is not known yet stay in memory up to this, then in an unlinked file.
const TABLE_IN_MEMORY_BYTES: usize = 8 << 20;

/// Spooled bytes after which it is looked whether they should leave the page cache.
const SPOOL_STEP_BYTES: u64 = 1 << 20;

/// Seals `input` into `output`. The input is not changed. An output file appears under its name whole and durable, or not at all.
///
/// # Errors
/// A file that a job works on, or was interrupted on, is refused ([`Refusal::Locked`], [`OpenError::Interrupted`],
/// [`Refusal::JobOpen`]), and no job begins on it meanwhile. A file whose length changes while it is read is refused
/// ([`Refusal::Input`]); of content that others change meanwhile, the result has the old bytes or the new ones, as with any copy, and
/// [`Notice::ChangedWhileRead`] says so.
pub fn encrypt_to(
    input: &Input,
    output: &Output,
    recipients: &[Recipient],
    options: &EncryptOptions,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    let chunk_log2 = check_encrypt_options(recipients, options)?;
    let suite = options.suite.unwrap_or_else(Suite::default_for_cpu);
    let workers = Workers::start_alone(options.threads, options.chunk_len_bytes)?;
    let piece_len = piece_len(&workers, options.chunk_len_bytes);
    let target = target_of(input)?;
    let (source, stdin) = match &target {
        Some(target) => {
            (Source::file(target, options.journal.as_deref(), piece_len, control.progress)?, None)
        }
        None => {
            let kept = ReadTarget::of_stdin(options.journal.as_deref()).map_err(JobError::of_open)?;
            (Source::stdin(piece_len)?, kept)
        }
    };
    let attributes = target.as_ref().and_then(|target| FileAttributes::read(target.file()).ok());
    let kept = attributes.clone().filter(|_| options.preserve).map(FileAttributes::without_privileges);
    let sink = Sink::create(output, source.len(), attributes.as_ref())?;
    let made = make_file_keys(&System, suite, chunk_log2)?;
    let slots = make_slots(suite, chunk_log2, &made, recipients)?;
    control.progress.stage(Stage::Encrypting, source.len().unwrap_or(0), 0);
    let table = Mutex::new(tempfile::spooled_tempfile(TABLE_IN_MEMORY_BYTES));
    let sealed_len = AtomicU64::new(0);
    let unreadable = |error| JobError::from(Refusal::Input { path: input.name().into(), source: error });
    std::thread::scope(|scope| {
        let pieces = source.pieces(scope, piece_len);
        flow::run(
            &workers,
            &sink,
            control,
            |tile, is_over| pieces.read(tile, is_over).map_err(unreadable),
            |piece, bytes| {
                let entries = seal_piece(&made, chunk_log2, piece, bytes)?;
                let mut table = table.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                write_to_table(&mut *table, piece.offset >> chunk_log2, &entries)
                    .map_err(|error| unwritable(sink.path(), error))?;
                sealed_len.fetch_max(piece.offset + piece.len as u64, Ordering::Relaxed);
                Ok(())
            },
        )
    })?;
    source.check_length().map_err(unreadable)?;
    if let Some(target) = target.as_ref().or(stdin.as_ref())
        && target.was_changed()?
    {
        control.progress.notice(&Notice::ChangedWhileRead { path: target.path().into() });
    }
    let geometry = Geometry::new(sealed_len.into_inner(), chunk_log2, &Limits::PRODUCTION)
        .map_err(|_| Refusal::TooLong { path: input.name().into() })?;
    let superblock = Superblock {
        suite: suite.id(),
        geometry,
        state: FileState::Sealed,
        file_id: made.file_id,
        job_sequence: 1,
        job_id: crate::job::random_id(&System)?,
        commitment: made.keys.commitment(),
        compat: 0,
        ro_compat: 0,
        incompat: 0,
    };
    let block = superblock.encode(|body| made.keys.metadata.mac(labels::SUPERBLOCK, body));
    let table = table.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut end = sink.end(geometry.data_len());
    match table.into_inner() {
        SpooledData::InMemory(mut table) => {
            write_trailer(&mut end, &geometry, &block[..], &slots, &mut table)
        }
        // Pages that could not be written may have gone, and read as zeros then. Only a sync tells.
        SpooledData::OnDisk(mut table) => table
            .sync_data()
            .and_then(|()| write_trailer(&mut end, &geometry, &block[..], &slots, &mut table)),
    }
    .map_err(|error| unwritable(sink.path(), error))?;
    let path = sink.publish(kept.as_ref(), control)?;
    Ok(report(JobKind::Encrypt, path, &geometry, suite, &workers, started))
}

/// Opens `input` into `output`. No byte leaves that is not authenticated: standard input is spooled into an unlinked file first
/// (still encrypted), and with `options.verify_first` the whole input is checked before the first byte is written to a pipe.
pub fn decrypt_to(
    input: &Input,
    output: &Output,
    identities: &Identities,
    options: &DecryptOptions,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    let path = input.name();
    let target = target_of(input)?;
    let (file, stdin) = match &target {
        Some(target) => (target.owned_file()?, None),
        None => {
            let kept = ReadTarget::of_stdin(options.journal.as_deref()).map_err(JobError::of_open)?;
            (spool_stdin(output)?, kept)
        }
    };
    let attributes = target.as_ref().and_then(|target| FileAttributes::read(target.file()).ok());
    let kept = attributes.clone().filter(|_| options.preserve).map(FileAttributes::without_privileges);
    let verifies_first = options.verify_first && *output == Output::Stdout;
    let reads = if verifies_first { Reads::Twice } else { Reads::Once };
    let data = storage_for_reading(file, reads, control.progress);
    if let Some(target) = &target {
        target.refuse_open_job(Asks::Copy, &*data, options.journal.as_deref()).map_err(JobError::of_open)?;
    }
    let sealed = SealedFile::open(path, data, identities, &Limits::PRODUCTION, &control.cancellation)?;
    sealed.notices.iter().for_each(|notice| control.progress.notice(notice));
    let geometry = sealed.superblock.geometry;
    // No tag covers them, so opening every chunk does not.
    check_paddings(path, &*sealed.data, &geometry)?;
    let workers = Workers::start_alone(options.threads, geometry.chunk_len_bytes())?;
    let sink = Sink::create(output, Some(geometry.data_len()), attributes.as_ref())?;
    let explain = |result: Result<(), JobError>| match target.as_ref().or(stdin.as_ref()) {
        Some(target) => target.explain(result),
        None => result,
    };
    if verifies_first {
        let verified = verify_chunks(path, &*sealed.data, &geometry, &sealed.keys, &workers, control);
        explain(verified.map_err(JobError::from))?;
    }
    control.progress.stage(Stage::Decrypting, geometry.data_len(), 0);
    let piece_len = piece_len(&workers, geometry.chunk_len_bytes());
    let opened = std::thread::scope(|scope| {
        let pieces = WholePieces::new(scope, &*sealed.data, geometry.data_len(), piece_len);
        flow::run(
            &workers,
            &sink,
            control,
            |tile, _| {
                let unreadable = |(offset, source)| OpenError::Io { path: path.into(), offset, source };
                Ok(pieces.read(tile).map_err(unreadable)?)
            },
            |piece, bytes| open_piece(path, &sealed, piece, bytes),
        )
    });
    explain(opened)?;
    let named = sink.publish(kept.as_ref(), control)?;
    Ok(report(JobKind::Decrypt, named, &geometry, sealed.suite, &workers, started))
}

/// The file that is read, kept from jobs as long as this lives; `None` for a stream.
fn target_of(input: &Input) -> Result<Option<ReadTarget>, Refusal> {
    match input {
        Input::File(path) => ReadTarget::open(path).map(Some),
        Input::Stdin => Ok(None),
    }
}

/// Bytes that a worker has in its tile at a time: whole chunks.
fn piece_len(workers: &Workers, chunk_len_bytes: u64) -> usize {
    (workers.chunks_per_tile(chunk_len_bytes) * chunk_len_bytes) as usize
}

fn report(
    kind: JobKind,
    path: Option<PathBuf>,
    geometry: &Geometry,
    suite: Suite,
    workers: &Workers,
    started: Instant,
) -> JobReport {
    JobReport {
        kind,
        outcome: if kind == JobKind::Encrypt { JobOutcome::Sealed } else { JobOutcome::Plain },
        path,
        name_kept: false,
        data_len_bytes: geometry.data_len(),
        converted_bytes: geometry.data_len(),
        chunks: geometry.chunk_count(),
        suite,
        threads: workers.threads(),
        io: "buffered",
        resilience: "none",
        windows_recovered: 0,
        seconds: started.elapsed().as_secs_f64(),
    }
}

/// Seals the chunks of a piece and returns their entries.
fn seal_piece(
    made: &FileKeys,
    chunk_log2: u8,
    piece: &Piece,
    bytes: &mut [u8],
) -> Result<Vec<TableEntry>, JobError> {
    let mut chunks: Vec<&mut [u8]> = bytes.chunks_mut(1 << chunk_log2).collect();
    if chunks.is_empty() {
        chunks.push(&mut []);
    }
    let mut nonces = vec![[0; 24]; chunks.len()];
    fill_random(nonces.as_flattened_mut()).map_err(|_| Refusal::Random)?;
    let (first, count) = (piece.offset >> chunk_log2, chunks.len());
    let seal = |(item, (chunk, nonce)): (usize, (&mut [u8], [u8; 24]))| {
        let is_final = piece.is_last && item + 1 == count;
        let meta = ChunkMeta { index: first + item as u64, is_final, nonce, epoch: 0, flags: 0 };
        TableEntry { nonce, tag: made.keys.chunk.seal_in_place(&meta, chunk), ..TableEntry::default() }
    };
    Ok(chunks.into_iter().zip(nonces).enumerate().map(seal).collect())
}

/// Opens the chunks of a piece.
fn open_piece(path: &Path, sealed: &SealedFile, piece: &Piece, bytes: &mut [u8]) -> Result<(), JobError> {
    let geometry = &sealed.superblock.geometry;
    let first = piece.offset >> geometry.chunk_log2();
    let count = (piece.len as u64).div_ceil(geometry.chunk_len_bytes()).max(1);
    let entries = read_entries(&*sealed.data, geometry, first, count)
        .map_err(|error| JobError::from(error.into_open_error(path)))?;
    let mut rest = bytes;
    for (chunk, entry) in (first..).zip(&entries) {
        let one;
        (one, rest) = rest.split_at_mut(geometry.chunk_len(chunk) as usize);
        let meta = chunk_meta(geometry, chunk, entry);
        sealed.keys.chunk.open_in_place(&meta, &entry.tag, one).map_err(|_| {
            let damage = Damage::Chunk { chunk, offset: geometry.chunk_offset(chunk) };
            OpenError::Damaged { path: path.into(), damage }
        })?;
    }
    Ok(())
}

/// Workers finish in any order, so entries are put where they belong.
fn write_to_table(table: &mut (impl Write + Seek), first: u64, entries: &[TableEntry]) -> io::Result<()> {
    table.seek(SeekFrom::Start(first * TABLE_ENTRY_LEN as u64))?;
    table.write_all(&entries.iter().flat_map(TableEntry::encode).collect::<Vec<u8>>())
}

/// Everything behind the data, in order, so that it can go to a pipe.
fn write_trailer(
    writer: &mut impl Write,
    geometry: &Geometry,
    superblock: &[u8],
    slots: &[u8],
    table: &mut (impl Read + Seek),
) -> io::Result<()> {
    writer.write_all(&vec![0; (geometry.trailer_offset() - geometry.data_len()) as usize])?;
    writer.write_all(superblock)?;
    writer.write_all(slots)?;
    writer.write_all(slots)?;
    table.seek(SeekFrom::Start(0))?;
    let table_len = io::copy(table, writer)?;
    if table_len != geometry.chunk_count() * TABLE_ENTRY_LEN as u64 {
        return Err(io::Error::other("the table is not whole"));
    }
    writer.write_all(&vec![0; (table_len.next_multiple_of(BLOCK) - table_len) as usize])?;
    writer.write_all(superblock)
}

/// A sealed stream cannot be read at random, so it is put into an unlinked file: beside the output, where there
/// is room for it, or in the temporary folder.
fn spool_stdin(output: &Output) -> Result<File, Refusal> {
    let unreadable = |source| Refusal::Input { path: Input::Stdin.name().into(), source };
    let stdin = File::from(standard_streams::stdin().map_err(unreadable)?);
    let (folder, is_temporary) = match output {
        Output::Stdout => (std::env::temp_dir(), true),
        Output::File(target) => (Names::of(target)?.directory, false),
    };
    let full = |source| Refusal::Spool { folder: folder.clone(), is_temporary, source };
    let mut file = tempfile::tempfile_in(&folder).map_err(full)?;
    spool(stdin, &mut file, longest_cached_len())
        // One error stands for both ends of the copy; these are never those of reading.
        .map_err(|error| if is_full(&error) { full(error) } else { unreadable(error) })?;
    Ok(file)
}

/// Copies a stream into an empty file that may stay in the page cache up to a length of `keeps_len` bytes, and need then never be
/// written to the disk.
fn spool(mut stream: impl Read, file: &mut File, keeps_len: u64) -> io::Result<()> {
    let behind = WriteBehind::new(0);
    let (mut len, mut told) = (0, 0);
    loop {
        // Without a buffer of its own, because the standard library knows better ways between two files.
        let copied = io::copy(&mut stream.by_ref().take(SPOOL_STEP_BYTES), file)?;
        if copied == 0 {
            return Ok(());
        }
        len += copied;
        if len > keeps_len {
            behind.wrote(file, told, len - told)?;
            told = len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pageseal_storage::residency::cached_bytes;
    use pageseal_storage::{FileSystemKind, Medium};

    const LEN: u64 = 48 << 20;

    #[test]
    fn what_is_spooled_leaves_the_page_cache_only_if_it_is_too_long_for_it() {
        for (keeps_len, cached) in [(LEN, LEN), (LEN - 1, LEN - (16 << 20)), (0, LEN - (16 << 20))] {
            // Beside the source, for the temporary folder may be in memory.
            let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            spool(io::repeat(7).take(LEN), &mut file, keeps_len).unwrap();
            assert_eq!(file.metadata().unwrap().len(), LEN);
            let memory = Medium::of(&file).unwrap().kind == FileSystemKind::Tmpfs;
            match cached_bytes(&file, 0, LEN) {
                Some(bytes) if !memory => {
                    assert!(bytes.abs_diff(cached) <= 4 << 20, "{bytes} bytes up to {keeps_len}");
                }
                _ => println!("SKIPPED: nothing is told of the page cache here, or a file system in memory"),
            }
        }
    }
}
