//! Sealing and opening into another file or a pipe. No journal: the output gets its name only when it is whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pageseal_crypto::{ChunkMeta, Suite, fill_random};
use pageseal_format::limits::{BLOCK, TABLE_ENTRY_LEN};
use pageseal_format::{FileState, Geometry, Limits, Superblock, TableEntry, labels};
use pageseal_storage::BufferedFile;
use pageseal_storage::attributes::FileAttributes;
use pageseal_storage::directory::{Directory, RealDirectory};
use zeroize::{Zeroize, Zeroizing};

use crate::control::{Control, Notice, Stage};
use crate::error::{Damage, InterruptCause, JobError, OpenError, Refusal};
use crate::job::{FileKeys, Workers, check_encrypt_options, make_file_keys, make_slots};
use crate::keys::{Identities, Recipient};
use crate::names::Names;
use crate::options::{DecryptOptions, EncryptOptions};
use crate::report::{JobKind, JobOutcome, JobReport};
use crate::sealed::{SealedFile, read_entries};
use crate::surroundings::System;
use crate::target::open_for_reading;
use crate::verify::{check_paddings, verify_chunks};

/// Bytes that are read, converted by all threads, and written at a time.
const BATCH_LEN_BYTES: u64 = 8 << 20;
/// Table entries of a stream whose length is not known yet stay in memory up to this, then in an unlinked file.
const TABLE_IN_MEMORY_BYTES: usize = 8 << 20;

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A regular file.
    File(PathBuf),
}

/// Where bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A new file; an existing one is refused.
    File(PathBuf),
}

/// Seals `input` into `output`. The input is not changed. An output file appears under its name whole and durable, or not at all.
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
    let workers = Workers::start(options.threads, options.chunk_len_bytes, &System)?;
    let source = Source::open(input)?;
    let sink = Sink::create(output)?;
    let made = make_file_keys(&System, suite, chunk_log2)?;
    let slots = make_slots(suite, chunk_log2, &made, recipients)?;
    control.progress.stage(Stage::Encrypting, source.len_bytes.unwrap_or(0), 0);
    let mut sealer =
        Sealer { made: &made, workers: &workers, chunk_log2, table: spool(), chunks: 0, data_len: 0 };
    let (mut reader, attributes, source_path) = (source.reader, source.attributes, source.path);
    let mut writer = sink.writer()?;
    let sealed = sealer.run(&mut *reader, &source_path, &mut *writer, sink.path(), control)?;
    let geometry = Geometry::new(sealed, chunk_log2, &Limits::PRODUCTION)
        .map_err(|_| Refusal::TooLong { path: source_path.clone() })?;
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
    sealer
        .write_trailer(&mut *writer, &geometry, &block[..], &slots)
        .and_then(|()| writer.flush())
        .map_err(|source| Refusal::Output { path: sink.path().into(), source })?;
    drop(writer);
    let path = sink.publish(attributes.as_ref(), control)?;
    Ok(report(JobKind::Encrypt, path, &geometry, suite, &workers, started))
}

/// Opens `input` into `output`. No byte leaves that is not authenticated: a pipe is spooled into an unlinked file first
/// (still encrypted), and with `options.verify_first` the whole input is checked before the first byte is written to a pipe.
pub fn decrypt_to(
    input: &Input,
    output: &Output,
    identities: &Identities,
    options: &DecryptOptions,
    control: &Control<'_>,
) -> Result<JobReport, JobError> {
    let started = Instant::now();
    let (file, path) = match input {
        Input::File(path) => (open_for_reading(path)?, path.clone()),
        Input::Stdin => (spool_stdin(output)?, PathBuf::from("standard input")),
    };
    let attributes = match input {
        Input::File(_) => FileAttributes::read(&file).ok(),
        Input::Stdin => None,
    };
    let sealed = SealedFile::open(&path, Arc::new(BufferedFile::new(file)), identities, &Limits::PRODUCTION)?;
    sealed.notices.iter().for_each(|notice| control.progress.notice(notice));
    let geometry = sealed.superblock.geometry;
    // No tag covers them, so opening every chunk does not.
    check_paddings(&path, &*sealed.data, &geometry)?;
    let workers = Workers::start(options.threads, geometry.chunk_len_bytes(), &System)?;
    let sink = Sink::create(output)?;
    if options.verify_first && *output == Output::Stdout {
        verify_chunks(&path, &*sealed.data, &geometry, &sealed.keys, &workers, control)?;
    }
    control.progress.stage(Stage::Decrypting, geometry.data_len(), 0);
    let mut writer = sink.writer()?;
    open_all(&path, &sealed, &workers, &mut *writer, sink.path(), control)?;
    writer.flush().map_err(|source| Refusal::Output { path: sink.path().into(), source })?;
    drop(writer);
    let named = sink.publish(attributes.as_ref(), control)?;
    Ok(report(JobKind::Decrypt, named, &geometry, sealed.suite, &workers, started))
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
        chunks: geometry.chunk_count(),
        suite,
        threads: workers.threads(),
        io: "buffered",
        resilience: "none",
        windows_recovered: 0,
        seconds: started.elapsed().as_secs_f64(),
    }
}

/// Seals a stream of unknown length.
struct Sealer<'a> {
    made: &'a FileKeys,
    workers: &'a Workers,
    chunk_log2: u8,
    table: tempfile::SpooledTempFile,
    chunks: u64,
    data_len: u64,
}

impl Sealer<'_> {
    /// Seals everything that `reader` gives and returns its length. One batch is read ahead: only the end of the stream tells which
    /// chunk is the last.
    fn run(
        &mut self,
        reader: &mut dyn Read,
        source: &Path,
        writer: &mut dyn Write,
        sink: &Path,
        control: &Control<'_>,
    ) -> Result<u64, JobError> {
        let batch = BATCH_LEN_BYTES.max(1 << self.chunk_log2) as usize;
        let (mut current, mut next) = (Zeroizing::new(vec![0; batch]), Zeroizing::new(vec![0; batch]));
        let unreadable = |error| Refusal::Input { path: source.into(), source: error };
        let unwritable = |error| Refusal::Output { path: sink.into(), source: error };
        let mut len = read_full(reader, &mut current).map_err(unreadable)?;
        loop {
            if control.cancellation.is_cancelled() {
                return Err(Refusal::Cancelled.into());
            }
            let next_len = if len == batch { read_full(reader, &mut next).map_err(unreadable)? } else { 0 };
            let is_last = next_len == 0;
            let entries = self.seal_batch(&mut current[..len], is_last)?;
            writer.write_all(&current[..len]).map_err(unwritable)?;
            for entry in &entries {
                self.table.write_all(&entry.encode()).map_err(unwritable)?;
            }
            self.chunks += entries.len() as u64;
            self.data_len += len as u64;
            control.progress.advance(len as u64);
            if is_last {
                return Ok(self.data_len);
            }
            std::mem::swap(&mut current, &mut next);
            len = next_len;
        }
    }

    fn seal_batch(&self, bytes: &mut [u8], is_last: bool) -> Result<Vec<TableEntry>, JobError> {
        let chunk_len = 1_usize << self.chunk_log2;
        let count = bytes.len().div_ceil(chunk_len).max(usize::from(is_last && self.chunks == 0));
        let mut nonces = vec![[0; 24]; count];
        fill_random(nonces.as_flattened_mut()).map_err(|_| Refusal::Random)?;
        let mut pieces: Vec<Mutex<&mut [u8]>> = bytes.chunks_mut(chunk_len).map(Mutex::new).collect();
        if pieces.is_empty() {
            pieces.push(Mutex::new(&mut []));
        }
        let first = self.chunks;
        let sealed = self.workers.for_each(count as u64, |item, _| {
            let entry = TableEntry { nonce: nonces[item as usize], ..TableEntry::default() };
            let meta = ChunkMeta {
                index: first + item,
                is_final: is_last && item + 1 == count as u64,
                nonce: entry.nonce,
                epoch: 0,
                flags: 0,
            };
            let mut piece = pieces[item as usize].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            Ok(TableEntry { tag: self.made.keys.chunk.seal_in_place(&meta, &mut piece), ..entry })
        });
        sealed.map_err(|_| JobError::Refused(Refusal::Threads { threads: self.workers.threads() }))
    }

    /// Everything behind the data, in order, so that it can go to a pipe.
    fn write_trailer(
        &mut self,
        writer: &mut dyn Write,
        geometry: &Geometry,
        superblock: &[u8],
        slots: &[u8],
    ) -> io::Result<()> {
        writer.write_all(&vec![0; (geometry.trailer_offset() - geometry.data_len()) as usize])?;
        writer.write_all(superblock)?;
        writer.write_all(slots)?;
        writer.write_all(slots)?;
        self.table.seek(SeekFrom::Start(0))?;
        let table_len = io::copy(&mut self.table, writer)?;
        debug_assert_eq!(table_len, self.chunks * TABLE_ENTRY_LEN as u64);
        writer.write_all(&vec![0; (table_len.next_multiple_of(BLOCK) - table_len) as usize])?;
        writer.write_all(superblock)
    }
}

fn spool() -> tempfile::SpooledTempFile {
    tempfile::spooled_tempfile(TABLE_IN_MEMORY_BYTES)
}

/// Fills the buffer as far as the stream goes.
fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Opens all chunks in order and writes their plaintext.
fn open_all(
    path: &Path,
    sealed: &SealedFile,
    workers: &Workers,
    writer: &mut dyn Write,
    sink: &Path,
    control: &Control<'_>,
) -> Result<(), JobError> {
    let geometry = sealed.superblock.geometry;
    let batch = (BATCH_LEN_BYTES >> geometry.chunk_log2()).max(1);
    let mut first = 0;
    while first < geometry.chunk_count() {
        if control.cancellation.is_cancelled() {
            return Err(Refusal::Cancelled.into());
        }
        let count = batch.min(geometry.chunk_count() - first);
        let entries = read_entries(&*sealed.data, &geometry, first, count)
            .map_err(|error| error.into_open_error(path))?;
        let opened = workers.for_each(count, |item, _| {
            let chunk = first + item;
            let offset = geometry.chunk_offset(chunk);
            let mut piece = Zeroizing::new(vec![0; geometry.chunk_len(chunk) as usize]);
            sealed.data.read_exact_at(&mut piece, offset).map_err(|source| InterruptCause::Io {
                what: "reading",
                offset,
                source,
            })?;
            let entry = &entries[item as usize];
            let meta = crate::job::chunk_meta(&geometry, chunk, entry);
            match sealed.keys.chunk.open_in_place(&meta, &entry.tag, &mut piece) {
                Ok(()) => Ok(piece),
                Err(_) => Err(InterruptCause::Damaged(Damage::Chunk { chunk, offset })),
            }
        });
        for mut piece in opened.map_err(|cause| open_error(path, cause))? {
            writer.write_all(&piece).map_err(|source| Refusal::Output { path: sink.into(), source })?;
            control.progress.advance(piece.len() as u64);
            piece.zeroize();
        }
        first += count;
    }
    Ok(())
}

fn open_error(path: &Path, cause: InterruptCause) -> OpenError {
    let path = path.to_path_buf();
    match cause {
        InterruptCause::Damaged(damage) => OpenError::Damaged { path, damage },
        InterruptCause::Io { offset, source, .. } => OpenError::Io { path, offset, source },
        other => OpenError::Io { path, offset: 0, source: io::Error::other(other.to_string()) },
    }
}

/// A sealed stream cannot be read at random, so it is put into an unlinked file: beside the output, where there
/// is room for it, or in the temporary folder.
fn spool_stdin(output: &Output) -> Result<File, Refusal> {
    let path = PathBuf::from("standard input");
    let unreadable = |source| Refusal::Input { path: path.clone(), source };
    let mut file = match output {
        Output::Stdout => tempfile::tempfile().map_err(unreadable)?,
        Output::File(target) => tempfile::tempfile_in(Names::of(target)?.directory).map_err(unreadable)?,
    };
    io::copy(&mut io::stdin().lock(), &mut file).map_err(unreadable)?;
    Ok(file)
}

/// An opened input.
struct Source {
    reader: Box<dyn Read>,
    path: PathBuf,
    len_bytes: Option<u64>,
    attributes: Option<FileAttributes>,
}

impl Source {
    fn open(input: &Input) -> Result<Self, Refusal> {
        let Input::File(path) = input else {
            let (reader, path) = (Box::new(io::stdin()), PathBuf::from("standard input"));
            return Ok(Source { reader, path, len_bytes: None, attributes: None });
        };
        let file = open_for_reading(path)?;
        let metadata =
            file.metadata().map_err(|source| Refusal::Unopenable { path: path.clone(), source })?;
        let attributes = FileAttributes::read(&file).ok();
        Ok(Source { reader: Box::new(file), path: path.clone(), len_bytes: Some(metadata.len()), attributes })
    }
}

/// An output that is not published yet.
enum Sink {
    Stdout,
    File { file: File, path: PathBuf, names: Names, directory: RealDirectory },
}

impl Sink {
    fn create(output: &Output) -> Result<Self, Refusal> {
        let Output::File(path) = output else { return Ok(Sink::Stdout) };
        let names = Names::of(path)?;
        let failed = |source| Refusal::Output { path: path.clone(), source };
        let directory = RealDirectory::open(&names.directory).map_err(failed)?;
        if directory.identity_of(&names.given).map_err(failed)?.is_some() {
            return Err(Refusal::TargetExists { path: path.clone() });
        }
        let file = directory.create_unnamed().map_err(failed)?;
        Ok(Sink::File { file, path: path.clone(), names, directory })
    }

    fn path(&self) -> &Path {
        match self {
            Sink::Stdout => Path::new("standard output"),
            Sink::File { path, .. } => path,
        }
    }

    fn writer(&self) -> Result<Box<dyn Write>, Refusal> {
        Ok(match self {
            Sink::Stdout => Box::new(io::stdout()),
            Sink::File { file, path, .. } => {
                Box::new(file.try_clone().map_err(|source| Refusal::Output { path: path.clone(), source })?)
            }
        })
    }

    /// Makes the file durable, then gives it its name, then makes the name durable.
    fn publish(
        self,
        attributes: Option<&FileAttributes>,
        control: &Control<'_>,
    ) -> Result<Option<PathBuf>, Refusal> {
        let Sink::File { file, path, names, directory } = self else { return Ok(None) };
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
