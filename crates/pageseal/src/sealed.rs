//! Finding a trailer, deciding between its copies, and opening it with a key.

use std::io;
use std::path::Path;
use std::sync::Arc;

use pageseal_crypto::{DerivedKeys, FileKey, KeyContext, MacKey, Suite, header_hash};
use pageseal_format::limits::{BLOCK, SLOT_AREA_LEN, SUPERBLOCK_LEN, TABLE_ENTRY_LEN};
use pageseal_format::{
    FileState, FormatError, Geometry, Limits, SlotArea, Superblock, TableEntry, labels, mac_of,
    trailer_candidates,
};
use pageseal_storage::Storage;

use crate::control::{Cancellation, Notice};
use crate::error::{Damage, OpenError};
use crate::keys::{Identities, unwrap_slots};
use crate::report::JobKind;
use crate::trailer_search::{MAGIC, search};

/// A superblock and the bytes that it was read from.
#[derive(Clone)]
pub(crate) struct FoundSuperblock {
    pub(crate) superblock: Superblock,
    pub(crate) bytes: Box<[u8; SUPERBLOCK_LEN]>,
}

impl FoundSuperblock {
    /// Parses a block; the MAC is not checked.
    pub(crate) fn parse(bytes: Box<[u8; SUPERBLOCK_LEN]>, limits: &Limits) -> Result<Self, FormatError> {
        Ok(FoundSuperblock { superblock: Superblock::parse(&bytes[..], limits)?, bytes })
    }

    fn mac_is_right(&self, key: &MacKey) -> bool {
        let (body, mac) = mac_of(&self.bytes[..]);
        key.verify(labels::SUPERBLOCK, body, &mac)
    }
}

/// One copy of the superblock as it was found.
#[derive(Clone)]
pub(crate) enum SuperblockCopy {
    /// Checksum and fields are right. The MAC is not checked yet.
    Good(FoundSuperblock),
    /// Not intact.
    Damaged,
    /// Intact, but it says something that is refused.
    Refused(FormatError),
}

impl SuperblockCopy {
    pub(crate) fn good(&self) -> Option<&FoundSuperblock> {
        match self {
            SuperblockCopy::Good(found) => Some(found),
            _ => None,
        }
    }
}

/// What stands at the end of a file.
#[expect(clippy::large_enum_variant, reason = "one is made per opened file, and taken apart at once")]
pub(crate) enum Located {
    /// No trailer.
    Plain,
    /// The file ends with a trailer of its own length; at least one copy is good or refused for what it says.
    Trailer { a: SuperblockCopy, b: SuperblockCopy },
    /// There is or was a trailer, but the file does not end where it should.
    Damaged(Damage),
}

/// Looks for a trailer. Reads a few blocks for a sound file, and mostly 128 MiB for one without.
pub(crate) fn locate(data: &dyn Storage, limits: &Limits) -> Result<Located, (u64, io::Error)> {
    let len = data.len().map_err(|error| (0, error))?;
    if len.is_multiple_of(BLOCK) && len >= BLOCK {
        let b = read_superblock(data, len - BLOCK, limits)?;
        match &b {
            SuperblockCopy::Good(found) if found.superblock.geometry.sealed_len() == len => {
                let a = read_superblock(data, found.superblock.geometry.superblock_a_offset(), limits)?;
                return Ok(Located::Trailer { a, b });
            }
            // Its offsets cannot be trusted, so copy A is not looked for.
            SuperblockCopy::Refused(_) => return Ok(Located::Trailer { a: SuperblockCopy::Damaged, b }),
            _ => {}
        }
        if let Some(located) = locate_without_b(data, &b, len, limits)? {
            return Ok(located);
        }
    }
    Ok(match search(data, len, limits)? {
        Some((_, damage)) => Located::Damaged(damage),
        None => Located::Plain,
    })
}

/// Copy B cannot be read: looks for copy A wherever the length of the file lets it be.
fn locate_without_b(
    data: &dyn Storage,
    b: &SuperblockCopy,
    len: u64,
    limits: &Limits,
) -> Result<Option<Located>, (u64, io::Error)> {
    // A whole superblock here is that of a file cut off, or of one inside of this one.
    let mut remains = matches!(b, SuperblockCopy::Damaged) && starts_with_magic(data, len - BLOCK)?;
    let mut refused = None;
    for (chunk_log2, offset) in trailer_candidates(len, limits) {
        let a = read_superblock(data, offset, limits)?;
        match &a {
            SuperblockCopy::Good(found) => {
                let geometry = &found.superblock.geometry;
                if geometry.sealed_len() == len && geometry.chunk_log2() == chunk_log2 {
                    return Ok(Some(Located::Trailer { a, b: SuperblockCopy::Damaged }));
                }
            }
            SuperblockCopy::Refused(_) => refused = Some(a),
            SuperblockCopy::Damaged => remains |= starts_with_magic(data, offset)?,
        }
    }
    Ok(match refused {
        Some(a) => Some(Located::Trailer { a, b: SuperblockCopy::Damaged }),
        None => remains.then_some(Located::Damaged(Damage::SuperblocksUnreadable)),
    })
}

fn starts_with_magic(data: &dyn Storage, offset: u64) -> Result<bool, (u64, io::Error)> {
    let mut magic = [0; MAGIC.len()];
    data.read_exact_at(&mut magic, offset).map_err(|error| (offset, error))?;
    Ok(magic == *MAGIC)
}

fn read_superblock(
    data: &dyn Storage,
    offset: u64,
    limits: &Limits,
) -> Result<SuperblockCopy, (u64, io::Error)> {
    let mut bytes = Box::new([0; SUPERBLOCK_LEN]);
    data.read_exact_at(&mut bytes[..], offset).map_err(|error| (offset, error))?;
    Ok(match FoundSuperblock::parse(bytes, limits) {
        Ok(found) => SuperblockCopy::Good(found),
        Err(error) if error.is_damage() => SuperblockCopy::Damaged,
        Err(error) => SuperblockCopy::Refused(error),
    })
}

/// The superblock that both copies stand for, by the rules of `docs/FORMAT.md` section 2, and what to tell about it.
pub(crate) fn agree(
    path: &Path,
    a: &SuperblockCopy,
    b: &SuperblockCopy,
) -> Result<(FoundSuperblock, Option<Notice>), OpenError> {
    match (a, b) {
        (SuperblockCopy::Good(one), SuperblockCopy::Good(other)) => {
            if one.bytes == other.bytes {
                Ok((one.clone(), None))
            } else {
                Err(OpenError::Damaged { path: path.into(), damage: Damage::SuperblocksDiffer })
            }
        }
        (SuperblockCopy::Good(found), SuperblockCopy::Damaged) => {
            Ok((found.clone(), Some(Notice::SuperblockCopyDamaged { copy: 'B' })))
        }
        (SuperblockCopy::Damaged, SuperblockCopy::Good(found)) => {
            Ok((found.clone(), Some(Notice::SuperblockCopyDamaged { copy: 'A' })))
        }
        (SuperblockCopy::Refused(error), _) => Err(refused(path, 'A', error)),
        (_, SuperblockCopy::Refused(error)) => Err(refused(path, 'B', error)),
        (SuperblockCopy::Damaged, SuperblockCopy::Damaged) => Err(OpenError::NotSealed { path: path.into() }),
    }
}

fn refused(path: &Path, copy: char, error: &FormatError) -> OpenError {
    match error {
        FormatError::NewerVersion(_) | FormatError::UnknownSuite(_) | FormatError::UnknownIncompatBits(_) => {
            OpenError::Newer { path: path.into(), what: error.to_string() }
        }
        _ => OpenError::Damaged {
            path: path.into(),
            damage: Damage::SuperblockMalformed { copy, what: error.to_string() },
        },
    }
}

/// Reads the slots from whichever area is intact.
pub(crate) fn read_slots(
    path: &Path,
    data: &dyn Storage,
    geometry: &Geometry,
) -> Result<(SlotArea, Vec<u8>, Option<Notice>), OpenError> {
    let read = |copy: usize| -> Result<_, OpenError> {
        let mut bytes = vec![0; SLOT_AREA_LEN];
        let offset = geometry.slot_area_offset(copy);
        data.read_exact_at(&mut bytes, offset).map_err(|source| OpenError::Io {
            path: path.into(),
            offset,
            source,
        })?;
        Ok((SlotArea::parse(&bytes), bytes))
    };
    let damaged =
        |what: String| OpenError::Damaged { path: path.into(), damage: Damage::SlotsUnreadable { what } };
    match (read(0)?, read(1)?) {
        ((Ok(_), one), (Ok(_), two)) if one != two => Err(damaged("the two copies differ".into())),
        ((Ok(area), bytes), (Ok(_), _)) => Ok((area, bytes, None)),
        ((Ok(area), bytes), (Err(_), _)) => Ok((area, bytes, Some(Notice::SlotAreaDamaged { copy: 2 }))),
        ((Err(_), _), (Ok(area), bytes)) => Ok((area, bytes, Some(Notice::SlotAreaDamaged { copy: 1 }))),
        ((Err(error), _), (Err(_), _)) => Err(damaged(error.to_string())),
    }
}

/// A sealed file whose metadata is authenticated. Its chunks are not, until they are opened.
pub(crate) struct SealedFile {
    pub(crate) data: Arc<dyn Storage>,
    pub(crate) superblock: Superblock,
    pub(crate) superblock_bytes: Box<[u8; SUPERBLOCK_LEN]>,
    pub(crate) slot_bytes: Vec<u8>,
    pub(crate) suite: Suite,
    pub(crate) keys: Arc<DerivedKeys>,
    pub(crate) notices: Vec<Notice>,
}

impl SealedFile {
    /// Opens a file in the state *sealed*.
    pub(crate) fn open(
        path: &Path,
        data: Arc<dyn Storage>,
        identities: &Identities,
        limits: &Limits,
        cancellation: &Cancellation,
    ) -> Result<Self, OpenError> {
        let (found, mut notices) = settled_superblock(path, &*data, limits)?;
        let superblock = &found.superblock;
        let (area, slot_bytes, notice) = read_slots(path, &*data, &superblock.geometry)?;
        notices.extend(notice);
        if area.file_id != superblock.file_id {
            let damage = Damage::SlotsUnreadable { what: "they belong to another file".into() };
            return Err(OpenError::Damaged { path: path.into(), damage });
        }
        let suite = suite_of(path, superblock)?;
        let file_key = unwrap_slots(&area, &hash_of(superblock, suite), identities, cancellation)?;
        let keys = Arc::new(authenticate(path, superblock, suite, &file_key)?);
        crate::job::keep_from_swap(&keys);
        check_macs(path, &found, &slot_bytes, &keys.metadata)?;
        let FoundSuperblock { superblock, bytes: superblock_bytes } = found;
        Ok(SealedFile { data, superblock, superblock_bytes, slot_bytes, suite, keys, notices })
    }
}

/// The superblock of a file that no job is working on.
pub(crate) fn settled_superblock(
    path: &Path,
    data: &dyn Storage,
    limits: &Limits,
) -> Result<(FoundSuperblock, Vec<Notice>), OpenError> {
    let (a, b) = match locate(data, limits).map_err(|(offset, source)| OpenError::Io {
        path: path.into(),
        offset,
        source,
    })? {
        Located::Plain => return Err(OpenError::NotSealed { path: path.into() }),
        Located::Damaged(damage) => return Err(OpenError::Damaged { path: path.into(), damage }),
        Located::Trailer { a, b } => (a, b),
    };
    let (found, notice) = agree(path, &a, &b)?;
    let kind = match found.superblock.state {
        FileState::Sealed => return Ok((found, notice.into_iter().collect())),
        FileState::Encrypting => JobKind::Encrypt,
        FileState::Decrypting => JobKind::Decrypt,
    };
    let journal_found =
        crate::names::Names::of(path).is_ok_and(|names| names.path_of(&names.journal()).exists());
    Err(OpenError::Interrupted { path: path.into(), kind, journal_found })
}

/// The suite; a superblock that parsed names a known one.
pub(crate) fn suite_of(path: &Path, superblock: &Superblock) -> Result<Suite, OpenError> {
    Suite::try_from(superblock.suite)
        .map_err(|error| OpenError::Newer { path: path.into(), what: error.to_string() })
}

/// Refuses to change a file whose features a writer must know.
pub(crate) fn check_writable(path: &Path, superblock: &Superblock) -> Result<(), OpenError> {
    match superblock.ro_compat {
        0 => Ok(()),
        bits => {
            let what = format!("unknown read-only compatible feature bits {bits:#x}");
            Err(OpenError::Newer { path: path.into(), what })
        }
    }
}

/// What the slots' age files bind the key to.
pub(crate) fn hash_of(superblock: &Superblock, suite: Suite) -> [u8; 32] {
    header_hash(suite, superblock.geometry.chunk_log2(), &superblock.file_id, 0, 1)
}

/// Derives all keys and checks the commitment.
pub(crate) fn authenticate(
    path: &Path,
    superblock: &Superblock,
    suite: Suite,
    file_key: &FileKey,
) -> Result<DerivedKeys, OpenError> {
    let context =
        KeyContext { suite, chunk_log2: superblock.geometry.chunk_log2(), file_id: superblock.file_id };
    let keys = DerivedKeys::derive(file_key, &context);
    if keys.commitment_matches(&superblock.commitment) {
        Ok(keys)
    } else {
        Err(OpenError::Damaged { path: path.into(), damage: Damage::WrongMac { block: "key commitment" } })
    }
}

/// Checks the MACs of superblock and slot area.
pub(crate) fn check_macs(
    path: &Path,
    found: &FoundSuperblock,
    slot_bytes: &[u8],
    key: &MacKey,
) -> Result<(), OpenError> {
    let wrong = |block| OpenError::Damaged { path: path.into(), damage: Damage::WrongMac { block } };
    if !found.mac_is_right(key) {
        return Err(wrong("superblock"));
    }
    let (body, mac) = mac_of(slot_bytes);
    if !key.verify(labels::SLOTS, body, &mac) {
        return Err(wrong("slot area"));
    }
    Ok(())
}

/// Why entries of the chunk table could not be read.
#[derive(Debug)]
pub(crate) enum TableError {
    Io { offset: u64, source: io::Error },
    Malformed { chunk: u64 },
}

impl TableError {
    /// The error of an operation that only reads.
    pub(crate) fn into_open_error(self, path: &Path) -> OpenError {
        let path = path.to_path_buf();
        match self {
            TableError::Io { offset, source } => OpenError::Io { path, offset, source },
            TableError::Malformed { chunk } => OpenError::Damaged { path, damage: Damage::Table { chunk } },
        }
    }
}

/// Reads the entries of chunks `[first, first + count)`. They are authenticated by opening their chunks, not before.
pub(crate) fn read_entries(
    data: &dyn Storage,
    geometry: &Geometry,
    first: u64,
    count: u64,
) -> Result<Vec<TableEntry>, TableError> {
    let offset = geometry.table_entry_offset(first);
    let mut bytes = vec![0; count as usize * TABLE_ENTRY_LEN];
    data.read_exact_at(&mut bytes, offset).map_err(|source| TableError::Io { offset, source })?;
    let (entries, _) = bytes.as_chunks::<TABLE_ENTRY_LEN>();
    (first..)
        .zip(entries)
        .map(|(chunk, entry)| TableEntry::parse(entry).map_err(|_| TableError::Malformed { chunk }))
        .collect()
}
