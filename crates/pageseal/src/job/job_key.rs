//! The key that lets `resume` and `rollback` of an encrypt run without the recipient's identity.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use pageseal_crypto::{FileKey, JobKey};
use pageseal_format::Id;
use pageseal_format::journal::KeyArea;
use pageseal_storage::secrets::runtime_directory;
use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::options::JobKeyMode;

/// Makes a job key, puts it where `mode` says, and returns the journal's key area. Falls back to no job key (an empty
/// area) when no memory-backed folder is at hand.
pub(crate) fn make(
    mode: JobKeyMode,
    job_id: &Id,
    file_id: &Id,
    file_key: &FileKey,
) -> Result<KeyArea, Refusal> {
    if mode == JobKeyMode::None {
        return Ok(KeyArea::Empty);
    }
    let job_key = JobKey::random().map_err(|_| Refusal::Random)?;
    let wrapped = job_key.wrap(job_id, file_id, file_key).map_err(|_| Refusal::Random)?;
    if mode == JobKeyMode::Disk {
        return Ok(KeyArea::Inside { wrapped, job_key: Zeroizing::new(*job_key.expose()) });
    }
    Ok(match write_runtime(job_id, &job_key) {
        Some(()) => KeyArea::Outside { wrapped },
        None => KeyArea::Empty,
    })
}

/// The file key, if the job key is still there.
pub(crate) fn recover(area: &KeyArea, job_id: &Id, file_id: &Id) -> Option<FileKey> {
    match area {
        KeyArea::Empty => None,
        KeyArea::Outside { wrapped } => read_runtime(job_id)?.unwrap(job_id, file_id, wrapped).ok(),
        KeyArea::Inside { wrapped, job_key } => {
            JobKey::from_bytes(**job_key).unwrap(job_id, file_id, wrapped).ok()
        }
    }
}

/// Removes the memory-backed copy, if there is one.
pub(crate) fn forget(job_id: &Id) {
    if let Some(path) = runtime_path(job_id) {
        // Already gone after a restart, which is as good.
        let _ = fs::remove_file(path);
    }
}

fn runtime_path(job_id: &Id) -> Option<PathBuf> {
    let name: String = job_id.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(runtime_directory()?.join(name + ".job-key"))
}

fn write_runtime(job_id: &Id, job_key: &JobKey) -> Option<()> {
    let path = runtime_path(job_id)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).ok()?;
    if file.write_all(job_key.expose()).is_err() {
        let _ = fs::remove_file(&path);
        return None;
    }
    Some(())
}

fn read_runtime(job_id: &Id) -> Option<JobKey> {
    let path = runtime_path(job_id)?;
    // The folder is ours alone (checked), but a link or a file of someone else's is still not taken.
    let metadata = fs::symlink_metadata(&path).ok()?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    fs::File::open(&path).ok()?.read_exact(&mut bytes[..]).ok()?;
    Some(JobKey::from_bytes(*bytes))
}
