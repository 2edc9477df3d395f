//! Which caches hold what a job has written and not synced: with `--resilience process` it is lost with them, and nothing in file and
//! journal tells. They go with a restart, and with a file system that is unmounted or shut down, also if it is mounted again at once.

use pageseal_format::Id;
use pageseal_format::journal::{PhaseRecord, Resilience};
use pageseal_protections::{Protection, is_on};
use pageseal_storage::MountInstance;

use super::active::JournalPlace;
use crate::error::Refusal;
use crate::target::Target;

const BOOT_BYTES: usize = 8;
/// The upper two bits of a mount's four bytes say what its number is of.
const KIND_SHIFT: u32 = 30;
const FILE_SYSTEM: u32 = 1 << KIND_SHIFT;
const MOUNT: u32 = 2 << KIND_SHIFT;

/// What is known of the caches that file and journal are written through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caches {
    boot: Option<Id>,
    file: Option<MountInstance>,
    journal: Option<MountInstance>,
}

/// What became of the caches since a phase was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// They are the same: everything written can be read.
    Same,
    /// They are gone, or a sync has failed.
    Lost,
    /// The file system of the file is mounted anew, or the file was moved to another one.
    FileOnNewFileSystem,
    /// The file is reached through another mount, perhaps of the same file system.
    FileOnOtherMount,
    /// The journal is.
    JournalOnOtherMount,
}

impl Caches {
    pub(crate) fn now(target: &Target, place: &JournalPlace) -> Self {
        Caches {
            boot: target.surroundings.boot_id(),
            file: target.data.mount_instance(),
            journal: place.folder.mount_instance(),
        }
    }

    /// Those of a new job with this resilience, as its phases name them.
    pub(crate) fn of_new_job(
        target: &Target,
        place: &JournalPlace,
        resilience: Resilience,
    ) -> Result<Id, Refusal> {
        let caches = Caches::now(target, place);
        if resilience == Resilience::Process {
            caches.refuse_unknown()?;
        }
        Ok(caches.id())
    }

    /// What is not known can never be told from another that is not known.
    pub(crate) fn refuse_unknown(&self) -> Result<(), Refusal> {
        let what = match self {
            _ if !is_on(Protection::KnownCaches) => return Ok(()),
            Caches { boot: None, .. } => "which boot of the system this is",
            Caches { file: None, .. } => "which mounting of its file system the file lies in",
            Caches { journal: None, .. } => "which mounting of its file system the journal lies in",
            _ => return Ok(()),
        };
        Err(Refusal::CachesUnknown { what })
    }

    /// As `docs/FORMAT.md` says for a phase.
    pub(crate) fn id(&self) -> Id {
        let mut id = Id::default();
        let boot = self.boot.unwrap_or_default();
        id[..BOOT_BYTES].copy_from_slice(&boot[..BOOT_BYTES]);
        id[BOOT_BYTES..12].copy_from_slice(&number_of(self.file).to_le_bytes());
        id[12..].copy_from_slice(&number_of(self.journal).to_le_bytes());
        id
    }

    /// What became of the caches that a phase names.
    pub(crate) fn since(&self, recorded: &Id) -> Since {
        let now = self.id();
        let boot = &recorded[..BOOT_BYTES];
        let is_unknown = boot.iter().all(|byte| *byte == 0) && is_on(Protection::KnownCaches);
        if *recorded == PhaseRecord::DATA_LOST || boot != &now[..BOOT_BYTES] || is_unknown {
            return Since::Lost;
        }
        if !is_on(Protection::SameMount) {
            return Since::Same;
        }
        let [file_then, journal_then] = mounts_in(recorded);
        let [file, journal] = mounts_in(&now);
        if file != file_then {
            let both_known = kind_of(file) == FILE_SYSTEM && kind_of(file_then) == FILE_SYSTEM;
            return if both_known { Since::FileOnNewFileSystem } else { Since::FileOnOtherMount };
        }
        if journal == journal_then { Since::Same } else { Since::JournalOnOtherMount }
    }
}

/// Numbers are given in turn, so their lower bits are enough.
fn number_of(mount: Option<MountInstance>) -> u32 {
    let low = |number: u64| (number & ((1 << KIND_SHIFT) - 1)) as u32;
    match mount {
        None => 0,
        Some(MountInstance::FileSystem(number)) => FILE_SYSTEM | low(number),
        Some(MountInstance::Mount(number)) => MOUNT | low(number),
    }
}

fn kind_of(number: u32) -> u32 {
    number >> KIND_SHIFT << KIND_SHIFT
}

fn mounts_in(id: &Id) -> [u32; 2] {
    let at = |start: usize| u32::from_le_bytes([id[start], id[start + 1], id[start + 2], id[start + 3]]);
    [at(BOOT_BYTES), at(12)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Caches = Caches {
        boot: Some([7; 16]),
        file: Some(MountInstance::FileSystem(26_540)),
        journal: Some(MountInstance::Mount(2_147_483_874)),
    };

    #[test]
    fn a_restart_a_new_mount_and_a_failed_sync_are_told_from_each_other() {
        let recorded = KNOWN.id();
        assert_eq!(KNOWN.since(&recorded), Since::Same);
        let since = |caches: Caches| caches.since(&recorded);
        assert_eq!(since(Caches { boot: Some([8; 16]), ..KNOWN }), Since::Lost);
        assert_eq!(KNOWN.since(&PhaseRecord::DATA_LOST), Since::Lost);
        let file = Some(MountInstance::FileSystem(26_587));
        assert_eq!(since(Caches { file, ..KNOWN }), Since::FileOnNewFileSystem);
        let file = Some(MountInstance::Mount(26_540));
        assert_eq!(since(Caches { file, ..KNOWN }), Since::FileOnOtherMount);
        let journal = Some(MountInstance::Mount(2_147_483_876));
        assert_eq!(since(Caches { journal, ..KNOWN }), Since::JournalOnOtherMount);
    }

    #[test]
    fn what_is_not_known_is_never_the_same() {
        let unknown = Caches { boot: None, ..KNOWN };
        assert!(unknown.refuse_unknown().is_err());
        assert_eq!(unknown.since(&unknown.id()), Since::Lost);
        assert_eq!(Caches { boot: None, file: None, journal: None }.id(), [0; 16]);
        for unknown in [Caches { file: None, ..KNOWN }, Caches { journal: None, ..KNOWN }] {
            assert!(unknown.refuse_unknown().is_err());
            assert_ne!(unknown.since(&KNOWN.id()), Since::Same);
        }
        assert!(KNOWN.refuse_unknown().is_ok());
    }
}
