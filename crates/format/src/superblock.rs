//! The superblock, of which a sealed file holds two equal copies.

use crate::codec::{
    array_at, check_checksum, check_len, check_magic, check_suite, check_version, check_zero, finish, put,
    u16_at, u32_at, u64_at,
};
use crate::limits::{SLOT_AREA_LEN, SUPERBLOCK_LEN, VERSION};
use crate::{FormatError, Geometry, Id, Limits};

const MAGIC: &[u8; 8] = b"PAGESEAL";
const AT_VERSION: usize = 8;
const AT_SUITE: usize = 10;
const AT_CHUNK_LOG2: usize = 11;
const AT_STATE: usize = 12;
const AT_TRAILER_LOCATION: usize = 13;
const AT_RESERVED_1: usize = 14;
const AT_FILE_ID: usize = 16;
const AT_DATA_LEN: usize = 32;
const AT_JOB_SEQUENCE: usize = 40;
const AT_JOB_ID: usize = 48;
const AT_SHARD_INDEX: usize = 64;
const AT_SHARD_COUNT: usize = 68;
const AT_COMPAT: usize = 72;
const AT_RO_COMPAT: usize = 80;
const AT_INCOMPAT: usize = 88;
const AT_COMMITMENT: usize = 96;
const AT_EXTENTS: usize = 128;
const AT_RESERVED_2: usize = 272;
const AT_MAC: usize = 4032;

const _: () = assert!(AT_MAC + crate::limits::TAIL_LEN == SUPERBLOCK_LEN);
const _: () = assert!(AT_EXTENTS + 16 * EXTENT_NAMES.len() == AT_RESERVED_2);

/// In the order of the table in FORMAT.md section 2.1.
const EXTENT_NAMES: [(&str, &str); 9] = [
    ("data offset", "data length"),
    ("superblock A offset", "superblock A length"),
    ("slot area 1 offset", "slot area 1 length"),
    ("slot area 2 offset", "slot area 2 length"),
    ("table offset", "table length"),
    ("table extent 1 offset", "table extent 1 length"),
    ("table extent 2 offset", "table extent 2 length"),
    ("table extent 3 offset", "table extent 3 length"),
    ("superblock B offset", "superblock B length"),
];

/// What a file that has a trailer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FileState {
    /// All chunks are sealed and no job is open.
    Sealed = 1,
    /// A job is sealing the chunks; its journal knows how far.
    Encrypting = 2,
    /// A job is opening the chunks; its journal knows how far.
    Decrypting = 3,
}

impl TryFrom<u8> for FileState {
    type Error = FormatError;

    fn try_from(value: u8) -> Result<Self, FormatError> {
        match value {
            1 => Ok(Self::Sealed),
            2 => Ok(Self::Encrypting),
            3 => Ok(Self::Decrypting),
            other => Err(FormatError::field("state", other)),
        }
    }
}

/// One superblock. Its stored offsets are no fields here: version 1 has only those of [`Geometry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// AEAD of the chunks, 1..=3 (FORMAT.md section 4).
    pub suite: u8,
    /// Length of the plaintext, chunk size, and all that follows from them.
    pub geometry: Geometry,
    /// What the file is at.
    pub state: FileState,
    /// Random name of the sealed file.
    pub file_id: Id,
    /// Counts the jobs that touched the file, from 1.
    pub job_sequence: u64,
    /// The running job, or the last one if [`FileState::Sealed`].
    pub job_id: Id,
    /// Key commitment, to compare before anything else that needs the key.
    pub commitment: [u8; 32],
    /// Features that a reader may ignore.
    pub compat: u64,
    /// Features that a writer must know.
    pub ro_compat: u64,
    /// Features that everyone must know: 0 in version 1.
    pub incompat: u64,
}

impl Superblock {
    /// The 4096 bytes. `mac` gets the body, bytes [0, 4032), and returns the MAC of
    /// [`crate::labels::SUPERBLOCK`] and that body under the metadata key.
    ///
    /// A suite or feature bit that version 1 does not have is encoded as it is, and will not parse.
    pub fn encode(&self, mac: impl FnOnce(&[u8]) -> [u8; 32]) -> Box<[u8; SUPERBLOCK_LEN]> {
        let mut block = Box::new([0; SUPERBLOCK_LEN]);
        let bytes = &mut block[..];
        put(bytes, 0, MAGIC);
        put(bytes, AT_VERSION, &VERSION.to_le_bytes());
        bytes[AT_SUITE] = self.suite;
        bytes[AT_CHUNK_LOG2] = self.geometry.chunk_log2();
        bytes[AT_STATE] = self.state as u8;
        put(bytes, AT_FILE_ID, &self.file_id);
        put(bytes, AT_DATA_LEN, &self.geometry.data_len().to_le_bytes());
        put(bytes, AT_JOB_SEQUENCE, &self.job_sequence.to_le_bytes());
        put(bytes, AT_JOB_ID, &self.job_id);
        put(bytes, AT_SHARD_COUNT, &1_u32.to_le_bytes());
        put(bytes, AT_COMPAT, &self.compat.to_le_bytes());
        put(bytes, AT_RO_COMPAT, &self.ro_compat.to_le_bytes());
        put(bytes, AT_INCOMPAT, &self.incompat.to_le_bytes());
        put(bytes, AT_COMMITMENT, &self.commitment);
        for (i, (offset, len)) in extents_of(&self.geometry).into_iter().enumerate() {
            put(bytes, AT_EXTENTS + 16 * i, &offset.to_le_bytes());
            put(bytes, AT_EXTENTS + 16 * i + 8, &len.to_le_bytes());
        }
        finish(bytes, mac);
        block
    }

    /// Reads a superblock. The MAC is *not* checked here: see [`crate::mac_of`].
    ///
    /// # Errors
    /// In the order of FORMAT.md section 2.1: length, magic, checksum, version, incompatible bits, and
    /// then any field.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, FormatError> {
        check_len(bytes, SUPERBLOCK_LEN)?;
        check_magic(bytes, MAGIC)?;
        check_checksum(bytes)?;
        check_version(u16_at(bytes, AT_VERSION))?;
        let incompat = u64_at(bytes, AT_INCOMPAT);
        if incompat != 0 {
            return Err(FormatError::UnknownIncompatBits(incompat));
        }
        let suite = bytes[AT_SUITE];
        check_suite(suite)?;
        let geometry = Geometry::new(u64_at(bytes, AT_DATA_LEN), bytes[AT_CHUNK_LOG2], limits)?;
        let state = FileState::try_from(bytes[AT_STATE])?;
        check_fixed_fields(bytes)?;
        check_extents(bytes, &geometry)?;
        let job_sequence = u64_at(bytes, AT_JOB_SEQUENCE);
        if job_sequence == 0 {
            return Err(FormatError::field("job sequence", 0_u64));
        }
        Ok(Self {
            suite,
            geometry,
            state,
            file_id: array_at(bytes, AT_FILE_ID),
            job_sequence,
            job_id: array_at(bytes, AT_JOB_ID),
            commitment: array_at(bytes, AT_COMMITMENT),
            compat: u64_at(bytes, AT_COMPAT),
            ro_compat: u64_at(bytes, AT_RO_COMPAT),
            incompat,
        })
    }
}

/// Fields that have one value in version 1, and reserved bytes.
fn check_fixed_fields(bytes: &[u8]) -> Result<(), FormatError> {
    if bytes[AT_TRAILER_LOCATION] != 0 {
        return Err(FormatError::field("trailer location", bytes[AT_TRAILER_LOCATION]));
    }
    if u32_at(bytes, AT_SHARD_INDEX) != 0 {
        return Err(FormatError::field("shard index", u32_at(bytes, AT_SHARD_INDEX)));
    }
    if u32_at(bytes, AT_SHARD_COUNT) != 1 {
        return Err(FormatError::field("shard count", u32_at(bytes, AT_SHARD_COUNT)));
    }
    check_zero(bytes, AT_RESERVED_1, AT_FILE_ID)?;
    // Second descriptor, table digest and the reserved rest, all zero in version 1.
    check_zero(bytes, AT_RESERVED_2, AT_MAC)
}

fn check_extents(bytes: &[u8], geometry: &Geometry) -> Result<(), FormatError> {
    for (i, (offset, len)) in extents_of(geometry).into_iter().enumerate() {
        let found_offset = u64_at(bytes, AT_EXTENTS + 16 * i);
        let found_len = u64_at(bytes, AT_EXTENTS + 16 * i + 8);
        if found_offset != offset {
            return Err(FormatError::field(EXTENT_NAMES[i].0, found_offset));
        }
        if found_len != len {
            return Err(FormatError::field(EXTENT_NAMES[i].1, found_len));
        }
    }
    Ok(())
}

/// (offset, length) of all that [`EXTENT_NAMES`] names.
fn extents_of(geometry: &Geometry) -> [(u64, u64); 9] {
    let (superblock, slots) = (SUPERBLOCK_LEN as u64, SLOT_AREA_LEN as u64);
    [
        (0, geometry.data_len()),
        (geometry.superblock_a_offset(), superblock),
        (geometry.slot_area_offset(0), slots),
        (geometry.slot_area_offset(1), slots),
        (geometry.table_offset(), geometry.table_len()),
        (0, 0),
        (0, 0),
        (0, 0),
        (geometry.superblock_b_offset(), superblock),
    ]
}
