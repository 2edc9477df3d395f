//! The key that lets `resume` and `rollback` of an encrypt run without the recipient's identity.

use pageseal_crypto::{FileKey, JobKey};
use pageseal_format::Id;
use pageseal_format::journal::KeyArea;
use zeroize::Zeroizing;

use crate::control::{Control, Notice};
use crate::error::Refusal;
use crate::options::JobKeyMode;
use crate::surroundings::{Draw, Surroundings};

/// Makes a job key, puts it where `mode` says, and returns the journal's key area. Falls back to no job key (an empty
/// area) when no memory-backed folder is at hand.
pub(crate) fn make(
    surroundings: &dyn Surroundings,
    mode: JobKeyMode,
    job_id: &Id,
    file_id: &Id,
    file_key: &FileKey,
) -> Result<KeyArea, Refusal> {
    if mode == JobKeyMode::None {
        return Ok(KeyArea::Empty);
    }
    let draw = |bytes: &mut [u8]| surroundings.fill_random(Draw::JobKey, bytes);
    let job_key = JobKey::filled(draw).map_err(|_| Refusal::Random)?;
    let wrapped = job_key.wrap(job_id, file_id, file_key).map_err(|_| Refusal::Random)?;
    if mode == JobKeyMode::Disk {
        return Ok(KeyArea::Inside { wrapped, job_key: Zeroizing::new(*job_key.expose()) });
    }
    let kept = surroundings.keep_job_key(job_id, job_key.expose());
    Ok(if kept { KeyArea::Outside { wrapped } } else { KeyArea::Empty })
}

/// Removes a job key that nothing needs any more, and tells of one that stays.
pub(crate) fn forget(surroundings: &dyn Surroundings, job_id: &Id, control: &Control<'_>) {
    if let Some(key) = surroundings.forget_job_key(job_id) {
        control.progress.notice(&Notice::JobKeyLeft { key });
    }
}

/// The file key, if the job key is still there.
pub(crate) fn recover(
    surroundings: &dyn Surroundings,
    area: &KeyArea,
    job_id: &Id,
    file_id: &Id,
) -> Option<FileKey> {
    match area {
        KeyArea::Empty => None,
        KeyArea::Outside { wrapped } => {
            let job_key = JobKey::from_bytes(*surroundings.find_job_key(job_id)?);
            job_key.unwrap(job_id, file_id, wrapped).ok()
        }
        KeyArea::Inside { wrapped, job_key } => {
            JobKey::from_bytes(**job_key).unwrap(job_id, file_id, wrapped).ok()
        }
    }
}
