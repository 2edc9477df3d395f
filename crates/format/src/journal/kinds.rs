//! The one-byte enumerations of a journal.

use crate::FormatError;

macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident, $field:literal, $($(#[$variant_doc:meta])* $variant:ident = $value:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $value,)+
        }

        impl TryFrom<u8> for $name {
            type Error = FormatError;

            fn try_from(value: u8) -> Result<Self, FormatError> {
                match value {
                    $($value => Ok(Self::$variant),)+
                    other => Err(FormatError::field($field, other)),
                }
            }
        }
    };
}

byte_enum! {
    /// What a job does.
    JobKind, "job",
    /// Plain file to sealed file.
    Encrypt = 1,
    /// Sealed file to plain file.
    Decrypt = 2,
}

byte_enum! {
    /// What a job survives, and by which means.
    Resilience, "resilience",
    /// Power loss, by fingerprints of the old content.
    Checksum = 1,
    /// Power loss, by logging whole windows.
    Journal = 2,
    /// The death of the process, not power loss: the same records, without syncs until the end.
    Process = 3,
    /// Nothing.
    None = 4,
}

byte_enum! {
    /// What window records hold.
    RecordKind, "record kind",
    /// There are none.
    None = 0,
    /// Entries and fingerprints.
    Fingerprints = 1,
    /// Entries, fingerprints and the ciphertext of the window.
    FingerprintsAndPayload = 2,
}

byte_enum! {
    /// Which way a job goes over the file.
    Direction, "direction",
    /// To the job's new form, from the first chunk up.
    Forward = 0,
    /// Back to the old form, from the watermark down.
    Backward = 1,
}

byte_enum! {
    /// How far a job is. Each phase is durable before what it announces is done.
    Phase, "phase",
    /// The journal exists; the file is untouched or growing.
    Created = 1,
    /// The file has its final length (encrypt).
    Grown = 2,
    /// Windows are being converted.
    Running = 3,
    /// All windows and the metadata are durable.
    DataDone = 4,
    /// The trailer is being cut off.
    Truncating = 5,
    /// Only names and the journal are left to be cleaned up.
    Finished = 6,
}
