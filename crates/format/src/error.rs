//! Why bytes were refused.

/// The first flaw that a parser met, or the reason why a struct can not be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the structure has.
    #[error("{found} bytes where {needed} are needed")]
    TooShort {
        /// Bytes that the structure has.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// More bytes than the structure has.
    #[error("{found} bytes where {needed} are needed")]
    TooLong {
        /// Bytes that the structure has.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The structure does not begin with its magic: it is something else, or was never written.
    #[error("wrong magic")]
    WrongMagic,
    /// The SHA-256 at the end does not fit the bytes before it: damaged or half written.
    #[error("wrong checksum")]
    Checksum,
    /// The counts of a window record place its checksum outside of its slot: damaged or half written.
    #[error("impossible counts in a window record ({chunks} chunks, {fingerprints} fingerprints)")]
    RecordBounds {
        /// The number of chunks that the record states.
        chunks: u32,
        /// The number of fingerprints that the record states.
        fingerprints: u32,
    },
    /// Intact, but made by a newer version of this program.
    #[error("made by a newer version (format {0})")]
    NewerVersion(u16),
    /// Intact, but sealed with a suite that version 1 does not have.
    #[error("unknown suite {0}")]
    UnknownSuite(u8),
    /// Intact, but with features that a reader must know.
    #[error("unknown incompatible feature bits {0:#x}")]
    UnknownIncompatBits(u64),
    /// A reserved or padding byte is not zero.
    #[error("reserved byte at offset {offset} is not zero")]
    Reserved {
        /// Offset of that byte in the structure.
        offset: usize,
    },
    /// A field has a value that version 1 refuses.
    #[error("field \"{name}\" has the refused value {value}")]
    Field {
        /// The field, in the words of `docs/FORMAT.md`.
        name: &'static str,
        /// What stands there.
        value: u64,
    },
    /// A slot's label is not UTF-8, or has control characters in it.
    #[error("label of slot {slot} is not clean UTF-8")]
    Label {
        /// Index of the slot in its area.
        slot: usize,
    },
    /// More key slots than an area may have.
    #[error("{found} key slots, at most {max} fit")]
    TooManySlots {
        /// How many were to be written.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The key slots need more bytes than an area has.
    #[error("the key slots need {needed} bytes, the area has {available}")]
    AreaFull {
        /// Bytes that all slot records take.
        needed: usize,
        /// Bytes that there are.
        available: usize,
    },
}

impl FormatError {
    /// Whether the bytes are not intact (never written, torn, rotten), in contrast to intact bytes that
    /// say something which is refused. Only a torn structure may be passed over in favour of another copy.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::TooShort { .. }
                | Self::TooLong { .. }
                | Self::WrongMagic
                | Self::Checksum
                | Self::RecordBounds { .. }
        )
    }

    pub(crate) fn field(name: &'static str, value: impl Into<u64>) -> Self {
        Self::Field { name, value: value.into() }
    }
}
