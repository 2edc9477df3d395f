//! What an ext4 was made with, in its own words.

use std::os::fd::{AsFd, AsRawFd};

/// `EXT4_IOC_GET_TUNE_SB_PARAM`, linux/ext4.h: `_IOR('f', 45, struct ext4_tune_sb_params)`; since Linux 6.18.
const GET_PARAMETERS: u32 = 0x80E8_662D;
const PARAMETERS_LEN: usize = 232;
/// Where `feature_compat` and `feature_incompat` lie in it.
const COMPATIBLE_OFFSET: usize = 64;
const INCOMPATIBLE_OFFSET: usize = 68;
/// `EXT4_FEATURE_COMPAT_HAS_JOURNAL`, fs/ext4/ext4.h.
const HAS_JOURNAL: u32 = 0x4;
/// `EXT4_FEATURE_INCOMPAT_INLINE_DATA`.
const INLINE_DATA: u32 = 0x8000;

/// Features of the ext4 that a file or folder lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ext4Features {
    pub has_journal: bool,
    /// Whether small files may lie in their inodes.
    pub inline_data: bool,
}

impl Ext4Features {
    /// `None` if it does not tell, because it is another file system or an older kernel.
    pub(crate) fn of(file: impl AsFd) -> Option<Self> {
        let mut answer = [0_u8; PARAMETERS_LEN];
        let file = file.as_fd();
        // SAFETY: the descriptor is open, being borrowed. The number says that the kernel writes 232 bytes, which the
        // exclusively borrowed array has; any bytes are valid in it.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), GET_PARAMETERS as _, answer.as_mut_ptr()) };
        if result != 0 {
            return None;
        }
        let word = |at: usize| answer[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        Some(Self {
            has_journal: word(COMPATIBLE_OFFSET) & HAS_JOURNAL != 0,
            inline_data: word(INCOMPATIBLE_OFFSET) & INLINE_DATA != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::FileSystemKind;

    #[test]
    fn only_ext4_tells_and_it_tells_what_sysfs_does() {
        for folder in [env!("CARGO_MANIFEST_DIR"), "/dev/shm", "/tmp"] {
            let Ok(file) = tempfile::tempfile_in(folder) else { continue };
            let told = Ext4Features::of(&file);
            if FileSystemKind::of(&file).unwrap() != FileSystemKind::Ext4 {
                assert_eq!(told, None, "{folder}");
            } else if let (Some(features), Some(has_journal)) = (told, crate::mount::ext4_has_journal(&file))
            {
                assert_eq!(features.has_journal, has_journal, "{folder}");
            }
        }
    }
}
