//! A decrypt whose journal is lost before it had opened anything: every chunk is still sealed, and the file can be again what
//! it was.

use std::sync::Arc;
use std::time::Instant;

use pageseal_format::{FileState, Superblock};

use super::begin::{keep_from_swap, make_old_content_durable};
use super::finish;
use super::workers::Workers;
use crate::control::Control;
use crate::error::{Damage, InterruptCause, JobError, OpenError};
use crate::keys::{Identities, unwrap_slots};
use crate::report::{JobKind, JobOutcome, JobReport};
use crate::sealed::{
    FoundSuperblock, Located, authenticate, check_macs, check_writable, hash_of, locate, read_slots, suite_of,
};
use crate::target::Target;
use crate::verify::verify_chunks;

/// Makes the file a sealed one again if every chunk of it authenticates under its table. Only superblocks are written. `None`
/// if it is no such file, or one that only the journal can help: then nothing is changed.
pub(super) fn reseal(
    target: &Target,
    identities: &Identities,
    threads: Option<usize>,
    control: &Control<'_>,
) -> Result<Option<JobReport>, JobError> {
    let started = Instant::now();
    let path = &target.path;
    let Some(copies) = copies_of_a_decrypt(target)? else { return Ok(None) };
    if identities.is_empty() {
        return Ok(None);
    }
    let data = &*target.data;
    // The copies differ where a power cut came between them; the newer one is this job's.
    let Some(newest) = copies.iter().max_by_key(|found| found.superblock.job_sequence) else {
        return Ok(None);
    };
    let superblock = &newest.superblock;
    check_writable(path, superblock)?;
    let geometry = superblock.geometry;
    let (area, slots, _) = read_slots(path, data, &geometry)?;
    let suite = suite_of(path, superblock)?;
    let key = unwrap_slots(&area, &hash_of(superblock, suite), identities, &control.cancellation)?;
    let keys = Arc::new(authenticate(path, superblock, suite, &key)?);
    keep_from_swap(&keys);
    for found in &copies {
        check_macs(path, found, &slots, &keys.metadata)?;
    }
    // What is read may lie in the cache only, and what is called sealed must be so on the medium.
    make_old_content_durable(target)?;
    let workers = Workers::start(threads, geometry.chunk_len_bytes(), &*target.surroundings)?;
    match verify_chunks(path, data, &geometry, &keys, &workers, control) {
        Ok(()) => {}
        // Something was opened already.
        Err(OpenError::Damaged { damage: Damage::Chunk { .. } | Damage::Chunks { .. }, .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    let resting = Superblock { state: FileState::Sealed, ..superblock.clone() };
    finish::write_superblocks(data, &resting, &keys).map_err(|cause| unwritten(target, cause))?;
    Ok(Some(JobReport {
        kind: JobKind::Decrypt,
        outcome: JobOutcome::Sealed,
        path: Some(path.clone()),
        name_kept: false,
        data_len_bytes: geometry.data_len(),
        converted_bytes: 0,
        chunks: geometry.chunk_count(),
        suite,
        threads: workers.threads(),
        io: "none",
        resilience: "none",
        windows_recovered: 0,
        seconds: started.elapsed().as_secs_f64(),
    }))
}

/// The whole superblock copies, if they are those of a decrypt that has begun: all of one file, and in no other state than
/// *decrypting*, or *sealed* as before that job or after it.
fn copies_of_a_decrypt(target: &Target) -> Result<Option<Vec<FoundSuperblock>>, OpenError> {
    let unreadable = |(offset, source)| OpenError::Io { path: target.path.clone(), offset, source };
    let Located::Trailer { a, b } = locate(&*target.data, &target.limits).map_err(unreadable)? else {
        return Ok(None);
    };
    let copies: Vec<_> = [&a, &b].into_iter().filter_map(|copy| copy.good().cloned()).collect();
    let all_of_one_file = copies.iter().all(|found| {
        let (one, other) = (&found.superblock, &copies[0].superblock);
        one.state != FileState::Encrypting
            && one.file_id == other.file_id
            && one.geometry == other.geometry
            && one.suite == other.suite
            && one.commitment == other.commitment
    });
    let is_at_rest = copies
        .iter()
        .all(|found| found.superblock.state == FileState::Sealed && found.bytes == copies[0].bytes);
    Ok((all_of_one_file && !is_at_rest).then_some(copies))
}

/// At least one copy is whole, whatever failed; the same command can be given again.
fn unwritten(target: &Target, cause: InterruptCause) -> JobError {
    let path = target.path.clone();
    match cause {
        InterruptCause::Io { offset, source, .. } => OpenError::Io { path, offset, source }.into(),
        other => OpenError::Io { path, offset: 0, source: std::io::Error::other(other.to_string()) }.into(),
    }
}
