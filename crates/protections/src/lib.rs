//! The protections that the mutation check switches off, one at a time, to prove that its tests notice.
//!
//! In every ordinary build [`is_on`] is the constant `true`, and what depends on it is compiled away: there is no option,
//! variable or feature that turns a protection off. Only a build with `--cfg pageseal_mutations`, which `scripts/with-mutations`
//! makes, listens to the variable [`VARIABLE`]. No Cargo feature can set that, so no other crate of a build can switch it on.

/// Names the one protection that is off, in a build with `--cfg pageseal_mutations`.
pub const VARIABLE: &str = "PAGESEAL_MUTATION";

/// Whether this build can switch protections off.
pub const MUTABLE: bool = cfg!(pageseal_mutations);

/// Something that keeps a byte from being lost or a secret from staying, and can be shown to do so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// The journal is synced by `fdatasync`, which flushes the device; off: by `sync_file_range`, which does not.
    JournalFlush,
    /// A window's token is given when its record is durable; off: before it is written.
    TokenOrder,
    /// A ring slot is reused only when its window is retired; off: at once.
    RingReuse,
    /// A half-stored chunk is brought forward block by block against its fingerprints; off: it is taken for whole.
    FingerprintCheck,
    /// What is stored is compared with what was recorded; off: it is not looked at again.
    TileRecheck,
    /// Recovery stores every chunk again; off: only those that do not look new.
    RestoreOnRecovery,
    /// The job key is wiped from the journal before names are given; off: it stays.
    KeyWipe,
    /// The trailer is cut off after phase TRUNCATING is durable; off: before.
    TruncateOrder,
    /// One superblock copy is durable before the other is touched; off: both are written at once.
    SuperblockPair,
    /// A nonce that was used is used again only for the same bytes; off: for any.
    NonceRule,
    /// A store into a mapping without a logged window goes in ascending order; off: in any.
    StoreInOrder,
    /// Recovery finds where such a store was stopped; off: it knows only whole sectors.
    TearSearch,
    /// A job whose windows are settled without a sync is lost when a sync fails; off: it can be gone on with.
    SayLost,
    /// Nothing begins on a file while the requests of a killed job hold its lock; off: nobody looks.
    RequestLock,
    /// The file system has completed the direct I/O on a file before anything begins; off: it is not asked to.
    RequestDrain,
    /// A job whose windows are not synced is not begun or gone on with where nobody tells whether the caches are the same; off: what
    /// is not known counts as the same.
    KnownCaches,
    /// Such a job is lost when its file system is mounted anew; off: only when the system is restarted.
    SameMount,
    /// A file is synced once more when it has got its name; off: only its folder is.
    LinkSync,
    /// Where a link and an unlink stand for a renaming, the link is durable before the unlink; off:
    /// it need not be.
    LinkBeforeUnlink,
    /// Whether a journal is of the file's own time is asked before its windows in flight are settled; off: after.
    AskBeforeSettling,
    /// Where the sync of a file does not make its inode durable, the file system is synced, and what is reserved is written; off:
    /// the file alone is synced.
    FileSystemSync,
    /// A resumed encrypt makes the file longer from the length that was looked at; off: from wherever its end is by then.
    GrowAtEnd,
    /// The length is looked at right before a trailer is cut off; off: whatever lies there is.
    LengthBeforeCut,
}

impl Protection {
    /// All of them.
    pub const ALL: [Protection; 23] = [
        Protection::JournalFlush,
        Protection::TokenOrder,
        Protection::RingReuse,
        Protection::FingerprintCheck,
        Protection::TileRecheck,
        Protection::RestoreOnRecovery,
        Protection::KeyWipe,
        Protection::TruncateOrder,
        Protection::SuperblockPair,
        Protection::NonceRule,
        Protection::StoreInOrder,
        Protection::TearSearch,
        Protection::SayLost,
        Protection::RequestLock,
        Protection::RequestDrain,
        Protection::KnownCaches,
        Protection::SameMount,
        Protection::LinkSync,
        Protection::LinkBeforeUnlink,
        Protection::AskBeforeSettling,
        Protection::FileSystemSync,
        Protection::GrowAtEnd,
        Protection::LengthBeforeCut,
    ];

    /// The name that [`VARIABLE`] takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Protection::JournalFlush => "journal-flush",
            Protection::TokenOrder => "token-order",
            Protection::RingReuse => "ring-reuse",
            Protection::FingerprintCheck => "fingerprint-check",
            Protection::TileRecheck => "tile-recheck",
            Protection::RestoreOnRecovery => "restore-on-recovery",
            Protection::KeyWipe => "key-wipe",
            Protection::TruncateOrder => "truncate-order",
            Protection::SuperblockPair => "superblock-pair",
            Protection::NonceRule => "nonce-rule",
            Protection::StoreInOrder => "store-in-order",
            Protection::TearSearch => "tear-search",
            Protection::SayLost => "say-lost",
            Protection::RequestLock => "request-lock",
            Protection::RequestDrain => "request-drain",
            Protection::KnownCaches => "known-caches",
            Protection::SameMount => "same-mount",
            Protection::LinkSync => "link-sync",
            Protection::LinkBeforeUnlink => "link-before-unlink",
            Protection::AskBeforeSettling => "ask-before-settling",
            Protection::FileSystemSync => "file-system-sync",
            Protection::GrowAtEnd => "grow-at-end",
            Protection::LengthBeforeCut => "length-before-cut",
        }
    }
}

/// Whether a protection is in force: always, except in the mutation check.
#[cfg(not(pageseal_mutations))]
#[inline(always)]
#[must_use]
pub const fn is_on(_: Protection) -> bool {
    true
}

/// Whether a protection is in force.
#[cfg(pageseal_mutations)]
#[must_use]
pub fn is_on(protection: Protection) -> bool {
    *switch::off() != Some(protection)
}

#[cfg(pageseal_mutations)]
pub use switch::switch_off;

#[cfg(pageseal_mutations)]
mod switch {
    use std::sync::OnceLock;

    use super::{Protection, VARIABLE};

    static OFF: OnceLock<Option<Protection>> = OnceLock::new();

    /// Switches one protection off for the rest of the process, whatever the variable says. Must come before its first use.
    pub fn switch_off(protection: Option<Protection>) {
        assert_eq!(*OFF.get_or_init(|| protection), protection, "another protection is off already");
    }

    pub(super) fn off() -> &'static Option<Protection> {
        OFF.get_or_init(|| {
            let name = std::env::var(VARIABLE).ok()?;
            let found = Protection::ALL.into_iter().find(|protection| protection.name() == name);
            assert!(found.is_some(), "{VARIABLE}={name} is not a protection");
            found
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different() {
        let names: std::collections::BTreeSet<_> = Protection::ALL.map(Protection::name).into();
        assert_eq!(names.len(), Protection::ALL.len());
    }

    #[test]
    #[cfg(not(pageseal_mutations))]
    fn nothing_switches_a_protection_off() {
        const { assert!(!MUTABLE) };
        assert!(Protection::ALL.into_iter().all(is_on));
    }
}
