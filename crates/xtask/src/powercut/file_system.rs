//! The file systems that are tested.

use std::path::Path;

use super::stop::Outcome;
use super::tool;

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum FileSystem {
    /// ext4
    Ext4,
    /// ext4 without a journal: after a power cut it must be checked before it is mounted, as a system does at boot
    Ext4NoJournal,
    /// ext3
    Ext3,
    /// XFS
    Xfs,
    /// Btrfs
    Btrfs,
}

impl FileSystem {
    /// All of them: those of part replay.
    pub const ALL: [FileSystem; 5] =
        [FileSystem::Ext4, FileSystem::Ext4NoJournal, FileSystem::Ext3, FileSystem::Xfs, FileSystem::Btrfs];
    /// Those of the other parts.
    pub const USUAL: [FileSystem; 3] = [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs];

    /// For people and for names of files.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4NoJournal => "ext4-no-journal",
            other => other.mounted_as(),
        }
    }

    /// As `mount -t` calls it.
    pub fn mounted_as(self) -> &'static str {
        match self {
            FileSystem::Ext4 | FileSystem::Ext4NoJournal => "ext4",
            FileSystem::Ext3 => "ext3",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
        }
    }

    /// What makes one.
    pub fn maker(self) -> &'static str {
        match self {
            FileSystem::Ext4 | FileSystem::Ext4NoJournal => "mkfs.ext4",
            FileSystem::Ext3 => "mkfs.ext3",
            FileSystem::Xfs => "mkfs.xfs",
            FileSystem::Btrfs => "mkfs.btrfs",
        }
    }

    /// Makes one in a file. Its blocks must be those of a real disk, so nothing about sizes is said.
    pub fn make(self, image: &Path) -> Outcome<()> {
        let options: &[&str] = match self {
            FileSystem::Ext4 | FileSystem::Ext3 => {
                &["-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]
            }
            FileSystem::Ext4NoJournal => {
                &["-q", "-F", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0"]
            }
            FileSystem::Xfs => &["-q", "-f", "-K"],
            FileSystem::Btrfs => &["-q", "-f", "-K"],
        };
        let path = image.as_os_str();
        tool::run(self.maker(), options.iter().map(AsRef::as_ref).chain([path])).map(drop)
    }

    /// What a system does at boot, before it mounts one that may not have been unmounted.
    pub fn check(self, image: &Path) -> Outcome<()> {
        if self != FileSystem::Ext4NoJournal {
            return Ok(());
        }
        // 1: something was mended.
        tool::run_with_codes("e2fsck", ["-f".as_ref(), "-y".as_ref(), image.as_os_str()], &[0, 1]).map(drop)
    }
}
