//! Entries of the chunk table.

use crate::FormatError;
use crate::codec::{array_at, check_zero, put, u16_at, u32_at};
use crate::limits::TABLE_ENTRY_LEN;

/// Flag of an entry: the chunk was a hole of a sparse file.
pub const FLAG_HOLE: u16 = 1;

const NONCE: usize = 0;
const TAG: usize = 24;
const EPOCH: usize = 56;
const FLAGS: usize = 60;
const RESERVED: usize = 62;

const _: () = assert!(RESERVED + 2 == TABLE_ENTRY_LEN);

/// What is needed, beside the file key, to open one chunk. All zero where a chunk is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableEntry {
    /// Random nonce, drawn for the first sealing of the chunk.
    pub nonce: [u8; 24],
    /// Tag of the AEAD; a suite with tags of 16 bytes leaves the rest zero.
    pub tag: [u8; 32],
    /// Generation of the file key, 0 in version 1.
    pub epoch: u32,
    /// [`FLAG_HOLE`] or nothing.
    pub flags: u16,
}

impl TableEntry {
    /// The 64 bytes of the entry.
    #[must_use]
    pub fn encode(&self) -> [u8; TABLE_ENTRY_LEN] {
        let mut bytes = [0; TABLE_ENTRY_LEN];
        put(&mut bytes, NONCE, &self.nonce);
        put(&mut bytes, TAG, &self.tag);
        put(&mut bytes, EPOCH, &self.epoch.to_le_bytes());
        put(&mut bytes, FLAGS, &self.flags.to_le_bytes());
        bytes
    }

    /// Reads an entry. It has neither checksum nor MAC: it proves itself when its chunk opens.
    ///
    /// # Errors
    /// [`FormatError::Field`] for an epoch or flags that version 1 does not have, [`FormatError::Reserved`].
    pub fn parse(bytes: &[u8; TABLE_ENTRY_LEN]) -> Result<Self, FormatError> {
        let entry = Self {
            nonce: array_at(bytes, NONCE),
            tag: array_at(bytes, TAG),
            epoch: u32_at(bytes, EPOCH),
            flags: u16_at(bytes, FLAGS),
        };
        entry.check()?;
        check_zero(bytes, RESERVED, TABLE_ENTRY_LEN)?;
        Ok(entry)
    }

    /// Refuses a tag with anything behind its first `tag_len` bytes, which no AEAD of that tag length checks.
    ///
    /// # Errors
    /// [`FormatError::Reserved`] with the offset in the entry.
    pub fn check_tag_len(&self, tag_len: usize) -> Result<(), FormatError> {
        let used = tag_len.min(self.tag.len());
        match self.tag[used..].iter().position(|&byte| byte != 0) {
            None => Ok(()),
            Some(at) => Err(FormatError::Reserved { offset: TAG + used + at }),
        }
    }

    pub(crate) fn check(&self) -> Result<(), FormatError> {
        if self.epoch != 0 {
            return Err(FormatError::field("epoch", self.epoch));
        }
        if self.flags & !FLAG_HOLE != 0 {
            return Err(FormatError::field("entry flags", self.flags));
        }
        Ok(())
    }
}
