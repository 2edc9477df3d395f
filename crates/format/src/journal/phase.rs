//! Phase blocks.

use super::kinds::{Direction, Phase};
use super::layout::PHASE_LEN;
use crate::codec::{array_at, check_checksum, check_len, check_magic, check_zero, finish, put, u64_at};
use crate::limits::TAIL_LEN;
use crate::{FormatError, Id};

const MAGIC: &[u8; 8] = b"PGSLPHAS";
const AT_SEQUENCE: usize = 8;
const AT_JOB_ID: usize = 16;
const AT_PHASE: usize = 32;
const AT_DIRECTION: usize = 33;
const AT_CLEAN: usize = 34;
const AT_RESERVED_1: usize = 35;
const AT_WATERMARK: usize = 40;
const AT_WINDOW_SEQUENCE: usize = 48;
const AT_BOOT_ID: usize = 56;
const AT_RESERVED_2: usize = 72;
const AT_MAC: usize = PHASE_LEN - TAIL_LEN;

/// How far a job is, as one durable block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseRecord {
    /// Counts the phase blocks of the job, from 1.
    pub sequence: u64,
    /// The job.
    pub job_id: Id,
    /// How far it is.
    pub phase: Phase,
    /// Which way it goes.
    pub direction: Direction,
    /// Whether no window was in flight when this was written.
    pub clean: bool,
    /// Chunks, from the start of the file, that are in the job's new form.
    pub watermark: u64,
    /// Windows up to this one are settled.
    pub window_sequence: u64,
    /// The boot of the system that wrote this, or [`PhaseRecord::DATA_LOST`].
    pub boot_id: Id,
}

impl PhaseRecord {
    /// Instead of a boot id: a sync of the file failed in a job that does not store its windows again, so the medium lacks
    /// bytes that nothing else will tell of.
    pub const DATA_LOST: Id = [0xFF; 16];

    /// The 4096 bytes. `mac` gets the body, bytes [0, 4032), and returns the MAC of
    /// [`crate::labels::PHASE`] and that body under the journal key.
    pub fn encode(&self, mac: impl FnOnce(&[u8]) -> [u8; 32]) -> Box<[u8; PHASE_LEN]> {
        let mut block = Box::new([0; PHASE_LEN]);
        let bytes = &mut block[..];
        put(bytes, 0, MAGIC);
        put(bytes, AT_SEQUENCE, &self.sequence.to_le_bytes());
        put(bytes, AT_JOB_ID, &self.job_id);
        bytes[AT_PHASE] = self.phase as u8;
        bytes[AT_DIRECTION] = self.direction as u8;
        bytes[AT_CLEAN] = u8::from(self.clean);
        put(bytes, AT_WATERMARK, &self.watermark.to_le_bytes());
        put(bytes, AT_WINDOW_SEQUENCE, &self.window_sequence.to_le_bytes());
        put(bytes, AT_BOOT_ID, &self.boot_id);
        finish(bytes, mac);
        block
    }

    /// Reads a phase block. The MAC is *not* checked here: see [`crate::mac_of`].
    ///
    /// # Errors
    /// In this order: length, magic, checksum, fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        check_len(bytes, PHASE_LEN)?;
        check_magic(bytes, MAGIC)?;
        check_checksum(bytes)?;
        let sequence = u64_at(bytes, AT_SEQUENCE);
        if sequence == 0 {
            return Err(FormatError::field("phase sequence", sequence));
        }
        let clean = match bytes[AT_CLEAN] {
            0 => false,
            1 => true,
            other => return Err(FormatError::field("clean", other)),
        };
        let phase = Phase::try_from(bytes[AT_PHASE])?;
        let direction = Direction::try_from(bytes[AT_DIRECTION])?;
        check_zero(bytes, AT_RESERVED_1, AT_WATERMARK)?;
        check_zero(bytes, AT_RESERVED_2, AT_MAC)?;
        Ok(Self {
            sequence,
            job_id: array_at(bytes, AT_JOB_ID),
            phase,
            direction,
            clean,
            watermark: u64_at(bytes, AT_WATERMARK),
            window_sequence: u64_at(bytes, AT_WINDOW_SEQUENCE),
            boot_id: array_at(bytes, AT_BOOT_ID),
        })
    }
}
