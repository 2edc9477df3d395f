//! Whether a file is the one that a journal speaks of. Reads only.

use pageseal_format::journal::{Direction, JobKind, JournalHeader, Phase, PhaseRecord};
use pageseal_format::limits::{BLOCK, BLOCK_LEN, SECTOR, SUPERBLOCK_LEN};
use pageseal_format::{FileState, Superblock, labels};
use pageseal_storage::Storage;

use super::active::JournalPlace;
use super::unlock::Unlocked;
use crate::error::{Damage, JobError, OpenError, Refusal};
use crate::sealed::{FoundSuperblock, check_macs};
use crate::target::Target;

/// Whether the file is the one that the journal speaks of, in a state that its phase allows. Reads only.
///
/// Returns the length that was looked at, in bytes. Whatever lies behind it came later, and is somebody else's.
pub(super) fn check_belongs(
    target: &Target,
    place: &JournalPlace,
    data: &dyn Storage,
    header: &JournalHeader,
    phase: &PhaseRecord,
    unlocked: &Unlocked,
) -> Result<u64, JobError> {
    let geometry = &header.geometry;
    let unreadable = |source| OpenError::Io { path: target.path.clone(), offset: 0, source };
    let len = data.len().map_err(unreadable)?;
    let (plain_len, sealed_len) = (geometry.data_len(), geometry.sealed_len());
    let growing = is_growing(header, phase);
    let fits = match phase.phase {
        _ if growing => (plain_len..=sealed_len).contains(&len),
        Phase::Truncating => len == plain_len || len == sealed_len,
        _ => len == sealed_len,
    };
    let behind = match growing {
        true => look_behind_data(target, data, len.min(sealed_len), unlocked)?,
        false => Behind::default(),
    };
    let is_inode = header.inode == target.identity.inode;
    let is_appended_to = behind.foreign || len > sealed_len;
    if growing && phase.phase == Phase::Created && is_appended_to && !behind.ours && is_inode {
        let path = target.path.clone();
        return Err(Refusal::NothingBegun { path, data_len_bytes: plain_len }.into());
    }
    if !fits {
        let damage = Damage::Length { found_bytes: len, expected_bytes: sealed_len };
        return Err(OpenError::Damaged { path: target.path.clone(), damage }.into());
    }
    if growing {
        // Zeros alone name no job: then the inode is more than advice.
        if behind.foreign || (!behind.ours && !is_inode) {
            return Err(Refusal::ForeignJournal { journal: place.path.clone() }.into());
        }
    } else if len > plain_len {
        check_superblocks(target, place, data, header, phase, unlocked)?;
    } else if !is_inode {
        // The trailer is cut off already, so again nothing in the file names the job.
        return Err(Refusal::ForeignJournal { journal: place.path.clone() }.into());
    }
    Ok(len)
}

/// Whether no chunk was ever converted, because the encrypt had not written its trailer yet: when it was stopped, or when it was
/// taken back.
pub(crate) fn is_growing(header: &JournalHeader, phase: &PhaseRecord) -> bool {
    let undone = phase.phase == Phase::Truncating
        && phase.direction == Direction::Backward
        && phase.window_sequence == 0;
    header.job == JobKind::Encrypt && (undone || matches!(phase.phase, Phase::Created | Phase::Grown))
}

/// What lies behind the data of a file in which the job has not begun to convert.
#[derive(Default)]
struct Behind {
    /// Something that this very job writes there, and that is not zero.
    ours: bool,
    /// Something else, and not zero either.
    foreign: bool,
}

/// Before RUNNING every sector behind the data must be zeros or what this very job writes there (a write may be torn at sectors);
/// else the file is another one, or somebody appended to it.
fn look_behind_data(
    target: &Target,
    data: &dyn Storage,
    len: u64,
    unlocked: &Unlocked,
) -> Result<Behind, JobError> {
    let geometry = &unlocked.resting.geometry;
    let unreadable =
        |source| OpenError::Io { path: target.path.clone(), offset: geometry.data_len(), source };
    let running = Superblock { state: FileState::Encrypting, ..unlocked.resting.clone() };
    let superblock = running.encode(|body| unlocked.keys.metadata.mac(labels::SUPERBLOCK, body));
    let expected = |offset: u64| -> Option<&[u8]> {
        if offset == geometry.superblock_a_offset() || offset == geometry.superblock_b_offset() {
            return Some(&superblock[..]);
        }
        (0..2).find_map(|copy| {
            let at = offset.checked_sub(geometry.slot_area_offset(copy))? as usize;
            unlocked.slots.get(at..at + BLOCK_LEN)
        })
    };
    let mut behind = Behind::default();
    let mut offset = geometry.data_len();
    let mut block = [0; BLOCK_LEN];
    while offset < len {
        let start = offset / BLOCK * BLOCK;
        let end = (start + BLOCK).min(len);
        let bytes = &mut block[(offset - start) as usize..(end - start) as usize];
        data.read_exact_at(bytes, offset).map_err(unreadable)?;
        let whole = expected(start);
        for (sector, found) in block[..(end - start) as usize].chunks(SECTOR as usize).enumerate() {
            let at = sector * SECTOR as usize;
            let ours = whole.is_some_and(|whole| found == &whole[at..at + found.len()]);
            let zero = found.iter().all(|byte| *byte == 0);
            behind.foreign |= !ours && !zero;
            behind.ours |= ours && !zero;
        }
        block.fill(0);
        offset = end;
    }
    Ok(behind)
}

/// From RUNNING on at least one superblock copy must name this job, and none may say that the job is over.
fn check_superblocks(
    target: &Target,
    place: &JournalPlace,
    data: &dyn Storage,
    header: &JournalHeader,
    phase: &PhaseRecord,
    unlocked: &Unlocked,
) -> Result<(), JobError> {
    let geometry = &header.geometry;
    let running = match header.job {
        JobKind::Encrypt => FileState::Encrypting,
        JobKind::Decrypt => FileState::Decrypting,
    };
    let resting_may_be_written = phase.phase == Phase::DataDone
        && (header.job == JobKind::Encrypt) == (phase.direction == Direction::Forward);
    let mut ours = 0;
    for offset in [geometry.superblock_a_offset(), geometry.superblock_b_offset()] {
        let mut block = Box::new([0; SUPERBLOCK_LEN]);
        data.read_exact_at(&mut block[..], offset).map_err(|source| OpenError::Io {
            path: target.path.clone(),
            offset,
            source,
        })?;
        let Ok(found) = FoundSuperblock::parse(block, &target.limits) else { continue };
        let block = &found.superblock;
        if block.file_id != header.file_id || block.geometry != header.geometry {
            return Err(Refusal::ForeignJournal { journal: place.path.clone() }.into());
        }
        let ours_running = block.state == running && block.job_id == header.job_id;
        let ours_resting = block.state == FileState::Sealed && block.job_id == header.job_id;
        let before = header.job == JobKind::Decrypt
            && phase.phase == Phase::Created
            && block.state == FileState::Sealed
            && block.job_sequence.checked_add(1) == Some(header.job_sequence);
        if !(ours_running || before || (ours_resting && resting_may_be_written)) {
            return Err(Refusal::StaleJournal { journal: place.path.clone() }.into());
        }
        check_macs(&target.path, &found, &unlocked.slots, &unlocked.keys.metadata)?;
        ours += 1;
    }
    if ours == 0 {
        return Err(Refusal::ForeignJournal { journal: place.path.clone() }.into());
    }
    Ok(())
}
