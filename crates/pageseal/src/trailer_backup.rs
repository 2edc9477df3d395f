//! Keeping a copy of a sealed file's metadata, and putting it back when it was lost: truncated, overwritten, damaged.

use std::io;
use std::path::Path;
use std::sync::Arc;

use pageseal_format::limits::{BLOCK, SECTOR, SLOT_AREA_LEN};
use pageseal_format::{FileState, Geometry, Limits};
use pageseal_storage::{BufferedFile, Directory, RealDirectory, Storage};

use crate::control::Control;
use crate::error::{Damage, JobError, OpenError, Refusal};
use crate::job::{Workers, check_inline_data, journal_place};
use crate::keys::{Identities, unwrap_slots};
use crate::names::Names;
use crate::open_job::Asks;
use crate::read_target::ReadTarget;
use crate::sealed::{
    FoundSuperblock, Located, agree, authenticate, check_macs, check_writable, hash_of, locate, read_slots,
    settled_superblock, suite_of,
};
use crate::target::{OpenedTarget, Target, open_for_change, open_for_reading};
use crate::verify::verify_chunks;

const COPY_STEP_BYTES: u64 = 1 << 20;

/// Copies the trailer of the sealed file at `path` into the new file `output` and returns its length in bytes. Needs no key. Where one copy of
/// superblock or slots is damaged, the export gets the good one twice.
pub fn export_trailer(path: &Path, output: &Path) -> Result<u64, JobError> {
    let target = ReadTarget::open(path)?;
    let data = BufferedFile::new(target.owned_file()?);
    target.refuse_open_job(Asks::Read, &data, None).map_err(JobError::of_open)?;
    let (found, _) = settled_superblock(path, &data, &Limits::PRODUCTION)?;
    let geometry = found.superblock.geometry;
    let (_, slots, _) = read_slots(path, &data, &geometry)?;
    let names = Names::of(output)?;
    let failed = |source| Refusal::Output { path: output.into(), source };
    let directory = RealDirectory::open(&names.directory).map_err(failed)?;
    let file = directory.create_unnamed().map_err(failed)?;
    let copy = BufferedFile::new(file.try_clone().map_err(failed)?);
    copy_trailer(&data, &copy, &geometry, &found, &slots).map_err(failed)?;
    target.was_changed()?;
    directory.publish(&file, &names.given).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Refusal::TargetExists { path: output.into() },
        _ => failed(error),
    })?;
    Ok(geometry.sealed_len() - geometry.trailer_offset())
}

fn copy_trailer(
    data: &dyn Storage,
    copy: &dyn Storage,
    geometry: &Geometry,
    found: &FoundSuperblock,
    slots: &[u8],
) -> io::Result<()> {
    let start = geometry.trailer_offset();
    copy_table(data, geometry, copy, start)?;
    for slot_copy in 0..2 {
        copy.write_all_at(slots, geometry.slot_area_offset(slot_copy) - start)?;
    }
    copy.write_all_at(&found.bytes[..], geometry.superblock_a_offset() - start)?;
    copy.write_all_at(&found.bytes[..], geometry.superblock_b_offset() - start)?;
    copy.sync_all()
}

/// Copies the chunk table; `shift` is the difference of the two files' offsets.
fn copy_table(from: &dyn Storage, geometry: &Geometry, to: &dyn Storage, shift: u64) -> io::Result<()> {
    let mut piece = vec![0; COPY_STEP_BYTES as usize];
    let mut offset = geometry.table_offset();
    let end = offset + geometry.table_len();
    while offset < end {
        let bytes = &mut piece[..COPY_STEP_BYTES.min(end - offset) as usize];
        from.read_exact_at(bytes, offset)?;
        to.write_all_at(bytes, offset - shift)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// Puts an exported trailer back behind the data of `path` and returns its length in bytes. First every chunk of the file is
/// authenticated against it, so the trailer of another file, or of another time, is refused with nothing changed.
pub fn import_trailer(
    path: &Path,
    trailer: &Path,
    identities: &Identities,
    control: &Control<'_>,
) -> Result<u64, JobError> {
    let backup: Arc<dyn Storage> = Arc::new(BufferedFile::new(open_for_reading(trailer)?));
    let found = backup_superblock(trailer, &*backup)?;
    check_writable(trailer, &found.superblock)?;
    let geometry = found.superblock.geometry;
    let opened = open_for_change(Names::of(path)?, true, control)?;
    check_no_job(&opened.target)?;
    check_inline_data(&opened, None)?;
    let OpenedTarget { target, .. } = opened;
    let unreadable = |source| OpenError::Io { path: path.into(), offset: 0, source };
    let data = Arc::clone(&target.data);
    let len = data.len().map_err(unreadable)?;
    let spliced = Spliced {
        data: Arc::clone(&data),
        data_end: len.min(geometry.data_len()),
        trailer: backup,
        geometry,
    };
    let (area, slots, _) = read_slots(trailer, &spliced, &geometry)?;
    check_replaceable(&target, &spliced, &found, &slots, len)?;
    let suite = suite_of(trailer, &found.superblock)?;
    let key = unwrap_slots(&area, &hash_of(&found.superblock, suite), identities, &control.cancellation)?;
    let keys = authenticate(trailer, &found.superblock, suite, &key)?;
    check_macs(trailer, &found, &slots, &keys.metadata)?;
    let workers = Workers::start_alone(None, geometry.chunk_len_bytes())?;
    verify_chunks(path, &spliced, &geometry, &keys, &workers, control)?;

    put_back(&*data, &spliced, &geometry, &found, &slots, len).map_err(|source| {
        // Only bytes behind the data were touched. Another length is somebody else's.
        if data.len().is_ok_and(|now| now == geometry.sealed_len()) {
            let _ = data.set_len(len);
        }
        let needed_bytes = geometry.sealed_len() - geometry.data_len();
        match source.kind() {
            io::ErrorKind::StorageFull => Refusal::NoSpace { path: path.into(), needed_bytes, source },
            _ => Refusal::Output { path: path.into(), source },
        }
    })?;
    Ok(geometry.sealed_len() - geometry.trailer_offset())
}

/// The superblock of an exported trailer: copy A at its start, copy B at its end.
fn backup_superblock(path: &Path, backup: &dyn Storage) -> Result<FoundSuperblock, OpenError> {
    let unreadable = |source| OpenError::Io { path: path.into(), offset: 0, source };
    let len = backup.len().map_err(unreadable)?;
    if len < 2 * BLOCK {
        return Err(OpenError::NotSealed { path: path.into() });
    }
    let read = |offset| -> Result<_, OpenError> {
        let mut block = Box::new([0; BLOCK as usize]);
        backup.read_exact_at(&mut block[..], offset).map_err(unreadable)?;
        Ok(FoundSuperblock::parse(block, &Limits::PRODUCTION))
    };
    let found = match (read(0)?, read(len - BLOCK)?) {
        (Ok(found), _) | (Err(_), Ok(found)) => found,
        (Err(_), Err(_)) => return Err(OpenError::NotSealed { path: path.into() }),
    };
    let geometry = &found.superblock.geometry;
    let expected = geometry.sealed_len() - geometry.trailer_offset();
    if len != expected {
        let damage = Damage::Length { found_bytes: len, expected_bytes: expected };
        return Err(OpenError::Damaged { path: path.into(), damage });
    }
    if found.superblock.state != FileState::Sealed {
        let damage = Damage::SuperblockMalformed { copy: 'A', what: "not of a file at rest".into() };
        return Err(OpenError::Damaged { path: path.into(), damage });
    }
    Ok(found)
}

fn check_no_job(target: &Target) -> Result<(), Refusal> {
    let journal = journal_place(&target.folder, &target.names, None)?;
    if journal.is_taken() {
        return Err(Refusal::JobOpen { journal: journal.path });
    }
    Ok(())
}

/// The file must end somewhere between the end of its data and the end of its trailer, and what is left of a trailer
/// must not be of a later time than the one that is put back.
fn check_replaceable(
    target: &Target,
    spliced: &Spliced,
    found: &FoundSuperblock,
    slots: &[u8],
    len: u64,
) -> Result<(), OpenError> {
    let path = &target.path;
    let data = &*target.data;
    let geometry = &found.superblock.geometry;
    let damaged = |damage| OpenError::Damaged { path: path.clone(), damage };
    if len < geometry.data_len() {
        return Err(damaged(Damage::Truncated { missing_bytes: geometry.data_len() - len }));
    }
    if len > geometry.sealed_len() {
        let trailer_end = geometry.sealed_len();
        return Err(damaged(Damage::ForeignBytes { trailer_end, foreign_bytes: len - trailer_end }));
    }
    let unreadable = |(offset, source)| OpenError::Io { path: path.clone(), offset, source };
    let located = locate(data, &Limits::PRODUCTION).map_err(unreadable)?;
    let Located::Trailer { a, b } = located else {
        // The one chunk of an empty file is empty and proves nothing of what lies here.
        if geometry.data_len() == 0 && len > 0 {
            let is_ours =
                is_torn_import(spliced, found, slots, len).map_err(|source| unreadable((0, source)))?;
            if !is_ours {
                return Err(damaged(Damage::ForeignBytes { trailer_end: 0, foreign_bytes: len }));
            }
        }
        return Ok(());
    };
    if let Ok((present, _)) = agree(path, &a, &b)
        && (present.superblock.file_id != found.superblock.file_id
            || (present.superblock.job_sequence > found.superblock.job_sequence
                // A decrypt that lost its journal before it had opened anything; each chunk is authenticated before a byte
                // is written.
                && present.superblock.state != FileState::Decrypting))
    {
        return Err(damaged(Damage::WrongMac { block: "trailer to import" }));
    }
    Ok(())
}

/// Whether the file, which has no data, is what a crash left of an earlier import: every sector is
/// zero or has what the import writes there, and at least one has. Then nothing is overwritten but
/// zeros and these.
fn is_torn_import(spliced: &Spliced, found: &FoundSuperblock, slots: &[u8], len: u64) -> io::Result<bool> {
    let geometry = &spliced.geometry;
    let mut whole = vec![0; geometry.sealed_len() as usize];
    let mut put = |offset: u64, bytes: &[u8]| whole[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    let mut table = vec![0; geometry.table_len() as usize];
    spliced.read_exact_at(&mut table, geometry.table_offset())?;
    put(geometry.table_offset(), &table);
    (0..2).for_each(|copy| put(geometry.slot_area_offset(copy), slots));
    put(geometry.superblock_a_offset(), &found.bytes[..]);
    put(geometry.superblock_b_offset(), &found.bytes[..]);
    let mut there = vec![0; len as usize];
    spliced.data.read_exact_at(&mut there, 0)?;
    let sectors = || there.chunks(SECTOR as usize).zip(whole.chunks(SECTOR as usize));
    let is_zero = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    let is_same = |sector: &[u8], ours: &[u8]| sector == &ours[..sector.len()];
    Ok(sectors().all(|(sector, ours)| is_zero(sector) || is_same(sector, ours))
        && sectors().any(|(sector, ours)| !is_zero(sector) && is_same(sector, ours)))
}

/// Superblocks last, copy B after copy A: a torn import is recognised, and can be repeated.
fn put_back(
    data: &dyn Storage,
    spliced: &Spliced,
    geometry: &Geometry,
    found: &FoundSuperblock,
    slots: &[u8],
    len: u64,
) -> io::Result<()> {
    debug_assert_eq!(slots.len(), SLOT_AREA_LEN);
    let data_len = geometry.data_len();
    if geometry.sealed_len() > len {
        data.grow(len, len, geometry.sealed_len())?;
    }
    let padding = vec![0; (geometry.trailer_offset() - data_len) as usize];
    if !padding.is_empty() {
        data.write_all_at(&padding, data_len)?;
    }
    copy_table(spliced, geometry, data, 0)?;
    for copy in 0..2 {
        data.write_all_at(slots, geometry.slot_area_offset(copy))?;
    }
    data.sync_all()?;
    for offset in [geometry.superblock_a_offset(), geometry.superblock_b_offset()] {
        data.write_all_at(&found.bytes[..], offset)?;
        data.sync_all()?;
    }
    Ok(())
}

/// The file as it would be with the imported trailer: data from one, trailer from the other. For reading only.
#[derive(Debug)]
struct Spliced {
    data: Arc<dyn Storage>,
    /// Of the data alone: the padding behind it is written anew, whatever lies there.
    data_end: u64,
    trailer: Arc<dyn Storage>,
    geometry: Geometry,
}

impl Storage for Spliced {
    fn len(&self) -> io::Result<u64> {
        Ok(self.geometry.sealed_len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let border = self.geometry.trailer_offset();
        if offset >= border {
            return self.trailer.read_exact_at(buffer, offset - border);
        }
        // Reads never cross the border; bytes between the data's end and the border are the padding to be written.
        let there = self.data_end.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (head, rest) = buffer.split_at_mut(there);
        rest.fill(0);
        self.data.read_exact_at(head, offset)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(read_only())
    }

    fn punch_hole(&self, _: u64, _: u64) -> io::Result<()> {
        Err(read_only())
    }
}

fn read_only() -> io::Error {
    io::Error::from(io::ErrorKind::Unsupported)
}
