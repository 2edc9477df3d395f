//! Conditions that no errno describes.

use std::io;

/// What went wrong where the system has no errno for it.
///
/// It travels inside an [`io::Error`], because everything else that can fail in a
/// [`Storage`](crate::Storage) is one; [`StorageError::of`] gets it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The file became shorter than its mapping, so part of a range has no bytes any more. What was
    /// stored into the range may be lost, what was read from it may be zeros.
    #[error(
        "the file was truncated to {file_length} bytes while {length} bytes at offset {offset} were in use"
    )]
    TruncatedMapping {
        /// First byte of the range that was in use.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// Length of the file in bytes, as found afterwards.
        file_length: u64,
    },

    /// Memory of the mapping could not be backed by the file (the kernel sent SIGBUS) although the
    /// file is long enough and can be read: a full disk under a hole, failing memory, or a file that
    /// was cut and grown again in between.
    #[error("the mapping lost its file while {length} bytes at offset {offset} were in use")]
    LostMapping {
        /// First byte of the range that was in use.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },

    /// An earlier fault replaced part of the mapping by memory that is not the file's, so nothing
    /// may be stored through it any more.
    #[error("the mapping was given up after an earlier fault")]
    PoisonedMapping,

    /// The range overlaps one that is handed out at this moment.
    #[error("{length} bytes at offset {offset} overlap a range that is in use")]
    RangeInUse {
        /// First byte of the refused range.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },

    /// The range does not lie inside the mapping.
    #[error("{length} bytes at offset {offset} leave the mapping of {mapped} bytes")]
    OutsideMapping {
        /// First byte of the refused range.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// Length of the mapping in bytes.
        mapped: u64,
    },

    /// The file is shorter than the mapping that was asked for.
    #[error("{wanted} bytes were to be mapped, the file has {file_length}")]
    FileShorterThanMapping {
        /// Length of the mapping asked for, in bytes.
        wanted: u64,
        /// Length of the file in bytes.
        file_length: u64,
    },

    /// Setting this length would cut the file's own mapping.
    #[error("a length of {length} bytes would cut the mapping of {mapped} bytes")]
    CutsMapping {
        /// The refused length in bytes.
        length: u64,
        /// Length of the mapping in bytes.
        mapped: u64,
    },

    /// The offset and length do not fit the range of file offsets, 2^63 - 1.
    #[error("{length} bytes at offset {offset} are beyond the largest file offset")]
    OffsetTooLarge {
        /// First byte of the refused range.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },

    /// The file was to grow from one length, and somebody else made it longer first.
    #[error("the file was to grow from {expected} bytes, and somebody else made it {found} bytes long")]
    Appended {
        /// The length that it had before, in bytes.
        expected: u64,
        /// The length that it has now.
        found: u64,
    },

    /// So many mappings exist at once that another could not be guarded against SIGBUS.
    #[error("{limit} mappings are in use, another could not be guarded")]
    TooManyMappings {
        /// The number of mappings that can be guarded.
        limit: usize,
    },
}

impl StorageError {
    /// The storage error inside `error`, if that is what it carries.
    ///
    /// ```
    /// use pageseal_storage::StorageError;
    /// let error = std::io::Error::from(StorageError::PoisonedMapping);
    /// assert_eq!(StorageError::of(&error), Some(&StorageError::PoisonedMapping));
    /// ```
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        let kind = match error {
            StorageError::TruncatedMapping { .. } | StorageError::FileShorterThanMapping { .. } => {
                io::ErrorKind::UnexpectedEof
            }
            StorageError::RangeInUse { .. }
            | StorageError::TooManyMappings { .. }
            | StorageError::Appended { .. } => io::ErrorKind::ResourceBusy,
            StorageError::OutsideMapping { .. }
            | StorageError::CutsMapping { .. }
            | StorageError::OffsetTooLarge { .. } => io::ErrorKind::InvalidInput,
            StorageError::LostMapping { .. } | StorageError::PoisonedMapping => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
