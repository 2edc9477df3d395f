//! The key area, which lets a job go on without the recipient's identity.

use std::fmt;

use zeroize::Zeroizing;

use super::layout::KEY_AREA_LEN;
use crate::FormatError;
use crate::codec::{array_at, check_len, check_zero, put};

/// Nonce (24), wrapped file key (32) and tag (16), in bytes.
pub const WRAPPED_KEY_LEN: usize = 72;

const AT_WRAPPED: usize = 8;
const AT_JOB_KEY: usize = AT_WRAPPED + WRAPPED_KEY_LEN;
const AT_RESERVED: usize = AT_JOB_KEY + 32;

// All of it in the first sector, so that wiping is atomic on a disk.
const _: () = assert!(AT_RESERVED == 112 && AT_RESERVED as u64 <= crate::limits::SECTOR);

/// The file key under the job key, and where the job key is.
///
/// It has no checksum: the AEAD of the wrapped key is its proof.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyArea {
    /// No wrapped key here, or no more.
    Empty,
    /// The job key is kept outside of the journal.
    Outside {
        /// nonce || XChaCha20-Poly1305(job key, nonce, file key).
        wrapped: [u8; WRAPPED_KEY_LEN],
    },
    /// The job key lies beside the key it wraps: the user asked for that.
    Inside {
        /// nonce || XChaCha20-Poly1305(job key, nonce, file key).
        wrapped: [u8; WRAPPED_KEY_LEN],
        /// The job key in the clear, wiped on drop.
        job_key: Zeroizing<[u8; 32]>,
    },
}

impl KeyArea {
    /// The 4096 bytes, wiped on drop.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![0; KEY_AREA_LEN]);
        match self {
            Self::Empty => {}
            Self::Outside { wrapped } => {
                bytes[0] = 1;
                put(&mut bytes, AT_WRAPPED, wrapped);
            }
            Self::Inside { wrapped, job_key } => {
                bytes[0] = 2;
                put(&mut bytes, AT_WRAPPED, wrapped);
                put(&mut bytes, AT_JOB_KEY, &job_key[..]);
            }
        }
        bytes
    }

    /// Reads a key area.
    ///
    /// # Errors
    /// A wrong length, an unknown mode, or anything but zeros where the mode leaves them.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        check_len(bytes, KEY_AREA_LEN)?;
        let mode = bytes[0];
        check_zero(bytes, 1, AT_WRAPPED)?;
        let area = match mode {
            0 => {
                check_zero(bytes, AT_WRAPPED, AT_RESERVED)?;
                Self::Empty
            }
            1 => {
                check_zero(bytes, AT_JOB_KEY, AT_RESERVED)?;
                Self::Outside { wrapped: array_at(bytes, AT_WRAPPED) }
            }
            2 => Self::Inside {
                wrapped: array_at(bytes, AT_WRAPPED),
                job_key: Zeroizing::new(array_at(bytes, AT_JOB_KEY)),
            },
            other => return Err(FormatError::field("key area mode", other)),
        };
        check_zero(bytes, AT_RESERVED, KEY_AREA_LEN)?;
        Ok(area)
    }
}

/// Shows the mode only.
impl fmt::Debug for KeyArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "KeyArea::Empty",
            Self::Outside { .. } => "KeyArea::Outside",
            Self::Inside { .. } => "KeyArea::Inside",
        })
    }
}
