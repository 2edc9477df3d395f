//! The exercise itself: every byte XORed with a constant, in the mapping.

use super::error::{DemoError, DemoJob};
use super::scratch_file::Mapping;
use super::workers::Workers;
use super::{FILL_BYTE, Job, first_difference};

const MASK: u8 = 0xAA;
/// What every byte has to be afterwards.
const RESULT_BYTE: u8 = 0xEB;

const _: () = assert!(FILL_BYTE ^ MASK == RESULT_BYTE);

pub(super) struct XorJob;

impl Job for XorJob {
    fn work(&mut self, mapping: &Mapping, workers: &Workers) -> Result<(), DemoError> {
        workers
            .each(workers.parts(mapping.len_bytes()), |part| mapping.with_part(&part, &mut xor_in_place))?;
        Ok(())
    }

    /// In the mapping, because what the file's own pages hold is what has to be right.
    fn verify(&self, mapping: &Mapping, workers: &Workers) -> Result<u64, DemoError> {
        let checked = workers.each(workers.parts(mapping.len_bytes()), |part| {
            let mut wrong = None;
            let mut checked_bytes = 0;
            mapping.with_part(&part, &mut |bytes| {
                wrong = first_difference(bytes, RESULT_BYTE);
                checked_bytes = bytes.len() as u64;
            })?;
            match wrong {
                Some(in_part) => {
                    Err(DemoError::Verification { job: DemoJob::Xor, offset: part.offset + in_part as u64 })
                }
                None => Ok(checked_bytes),
            }
        })?;
        Ok(checked.iter().sum())
    }
}

/// The compiler makes vector instructions of this on every processor.
fn xor_in_place(bytes: &mut [u8]) {
    for byte in bytes {
        *byte ^= MASK;
    }
}
