//! The slot area: every way to unwrap the file key.

use crate::codec::{
    array_at, check_checksum, check_len, check_magic, check_version, check_zero, finish, put, u16_at, u32_at,
    u64_at,
};
use crate::limits::{
    MAX_AGE_FILE_LEN, MAX_LABEL_LEN, MAX_SEALED_INFO_LEN, MAX_SLOTS, MIN_SEALED_INFO_LEN, SLOT_AREA_LEN,
    SLOT_RECORDS_OFFSET, TAIL_LEN, VERSION,
};
use crate::{FormatError, Id};

const MAGIC: &[u8; 8] = b"PGSLSLOT";
const AT_VERSION: usize = 8;
const AT_COUNT: usize = 10;
const AT_USED: usize = 12;
const AT_FILE_ID: usize = 16;
const AT_GENERATION: usize = 32;
const AT_RESERVED: usize = 40;
const AT_MAC: usize = SLOT_AREA_LEN - TAIL_LEN;
const RECORDS_LEN: usize = AT_MAC - SLOT_RECORDS_OFFSET;
const RECORD_HEAD_LEN: usize = 16;

const _: () = assert!(AT_MAC == 24512);
const _: () = assert!(RECORD_HEAD_LEN + MAX_AGE_FILE_LEN < RECORDS_LEN);

/// How a slot's age file is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotKind {
    /// To an age X25519 recipient.
    X25519 = 1,
    /// To a passphrase (scrypt).
    Passphrase = 2,
    /// To a recipient that an age plugin serves.
    Plugin = 3,
}

impl TryFrom<u8> for SlotKind {
    type Error = FormatError;

    fn try_from(value: u8) -> Result<Self, FormatError> {
        match value {
            1 => Ok(Self::X25519),
            2 => Ok(Self::Passphrase),
            3 => Ok(Self::Plugin),
            other => Err(FormatError::field("slot type", other)),
        }
    }
}

/// One way to unwrap the file key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// How the age file is wrapped.
    pub kind: SlotKind,
    /// The user's name for it: at most 64 bytes, no control characters.
    pub label: String,
    /// Recipient and date, encrypted under the slot info key; empty or 40..=1024 bytes.
    pub sealed_info: Vec<u8>,
    /// A binary age file of 1..=16384 bytes that holds the file key.
    pub age_file: Vec<u8>,
}

/// All slots of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotArea {
    /// Name of the sealed file that they belong to.
    pub file_id: Id,
    /// Counts the changes of the slots, from 1.
    pub generation: u64,
    /// 1..=32 slots.
    pub slots: Vec<Slot>,
}

impl SlotArea {
    /// The 24576 bytes. `mac` gets the body, bytes [0, 24512), and returns the MAC of
    /// [`crate::labels::SLOTS`] and that body under the metadata key.
    ///
    /// # Errors
    /// [`FormatError::TooManySlots`], [`FormatError::AreaFull`], or what [`SlotArea::parse`] would refuse.
    pub fn encode(&self, mac: impl FnOnce(&[u8]) -> [u8; 32]) -> Result<Box<[u8]>, FormatError> {
        if self.slots.len() > MAX_SLOTS {
            return Err(FormatError::TooManySlots { found: self.slots.len(), max: MAX_SLOTS });
        }
        if self.slots.is_empty() {
            return Err(FormatError::field("slot count", 0_u64));
        }
        if self.generation == 0 {
            return Err(FormatError::field("generation", 0_u64));
        }
        let mut records = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            slot.encode_into(index, &mut records)?;
        }
        if records.len() > RECORDS_LEN {
            return Err(FormatError::AreaFull { needed: records.len(), available: RECORDS_LEN });
        }
        let mut area = vec![0; SLOT_AREA_LEN].into_boxed_slice();
        put(&mut area, 0, MAGIC);
        put(&mut area, AT_VERSION, &VERSION.to_le_bytes());
        put(&mut area, AT_COUNT, &(self.slots.len() as u16).to_le_bytes());
        put(&mut area, AT_USED, &(records.len() as u32).to_le_bytes());
        put(&mut area, AT_FILE_ID, &self.file_id);
        put(&mut area, AT_GENERATION, &self.generation.to_le_bytes());
        put(&mut area, SLOT_RECORDS_OFFSET, &records);
        finish(&mut area, mac);
        Ok(area)
    }

    /// Reads a slot area. The MAC is *not* checked here: see [`crate::mac_of`].
    ///
    /// # Errors
    /// In this order: length, magic, checksum, version, then the fields and the slots one by one.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        check_len(bytes, SLOT_AREA_LEN)?;
        check_magic(bytes, MAGIC)?;
        check_checksum(bytes)?;
        check_version(u16_at(bytes, AT_VERSION))?;
        let count = usize::from(u16_at(bytes, AT_COUNT));
        if !(1..=MAX_SLOTS).contains(&count) {
            return Err(FormatError::field("slot count", count as u64));
        }
        let used = u32_at(bytes, AT_USED);
        if used as usize > RECORDS_LEN || !used.is_multiple_of(8) {
            return Err(FormatError::field("slot bytes used", used));
        }
        let generation = u64_at(bytes, AT_GENERATION);
        if generation == 0 {
            return Err(FormatError::field("generation", generation));
        }
        check_zero(bytes, AT_RESERVED, SLOT_RECORDS_OFFSET)?;
        let end = SLOT_RECORDS_OFFSET + used as usize;
        let mut at = SLOT_RECORDS_OFFSET;
        let mut slots = Vec::with_capacity(count);
        for index in 0..count {
            let (slot, next) = Slot::parse_at(&bytes[..end], at, index)?;
            slots.push(slot);
            at = next;
        }
        if at != end {
            return Err(FormatError::field("slot bytes used", used));
        }
        check_zero(bytes, end, AT_MAC)?;
        Ok(Self { file_id: array_at(bytes, AT_FILE_ID), generation, slots })
    }
}

impl Slot {
    fn encode_into(&self, index: usize, records: &mut Vec<u8>) -> Result<(), FormatError> {
        check_lengths(self.label.len(), self.sealed_info.len(), self.age_file.len())?;
        check_label(&self.label, index)?;
        records.push(self.kind as u8);
        records.push(self.label.len() as u8);
        records.extend((self.sealed_info.len() as u16).to_le_bytes());
        records.extend((self.age_file.len() as u32).to_le_bytes());
        records.extend([0; 8]);
        records.extend(self.label.as_bytes());
        records.extend(&self.sealed_info);
        records.extend(&self.age_file);
        records.resize(records.len().next_multiple_of(8), 0);
        Ok(())
    }

    /// Reads the record at `at` of `area`, which ends where the used bytes end; returns it and the
    /// offset of the next one.
    fn parse_at(area: &[u8], at: usize, index: usize) -> Result<(Self, usize), FormatError> {
        let available = area.len() - at;
        // Not `TooShort`: the area is intact, its slots just claim more than the bytes used.
        let beyond = |needed: usize| FormatError::field("slot record length", needed as u64);
        if available < RECORD_HEAD_LEN {
            return Err(beyond(RECORD_HEAD_LEN));
        }
        let kind = SlotKind::try_from(area[at])?;
        let label_len = usize::from(area[at + 1]);
        let info_len = usize::from(u16_at(area, at + 2));
        let age_len = u32_at(area, at + 4) as usize;
        check_lengths(label_len, info_len, age_len)?;
        check_zero(area, at + 8, at + RECORD_HEAD_LEN)?;
        let unpadded_len = RECORD_HEAD_LEN + label_len + info_len + age_len;
        let record_len = unpadded_len.next_multiple_of(8);
        if available < record_len {
            return Err(beyond(record_len));
        }
        let label_at = at + RECORD_HEAD_LEN;
        let info_at = label_at + label_len;
        let age_at = info_at + info_len;
        let end = at + unpadded_len;
        let label =
            std::str::from_utf8(&area[label_at..info_at]).map_err(|_| FormatError::Label { slot: index })?;
        check_label(label, index)?;
        check_zero(area, end, at + record_len)?;
        let slot = Self {
            kind,
            label: label.to_owned(),
            sealed_info: area[info_at..age_at].to_vec(),
            age_file: area[age_at..end].to_vec(),
        };
        Ok((slot, at + record_len))
    }
}

fn check_lengths(label: usize, info: usize, age: usize) -> Result<(), FormatError> {
    if label > MAX_LABEL_LEN {
        return Err(FormatError::field("label length", label as u64));
    }
    if info != 0 && !(MIN_SEALED_INFO_LEN..=MAX_SEALED_INFO_LEN).contains(&info) {
        return Err(FormatError::field("sealed info length", info as u64));
    }
    if !(1..=MAX_AGE_FILE_LEN).contains(&age) {
        return Err(FormatError::field("age file length", age as u64));
    }
    Ok(())
}

/// A label is shown on terminals, so nothing in it may steer one.
fn check_label(label: &str, slot: usize) -> Result<(), FormatError> {
    if label.chars().any(char::is_control) {
        return Err(FormatError::Label { slot });
    }
    Ok(())
}
