//! One file: what processes see, what the medium holds, and every version in between.
//!
//! What was written since the last sync that worked lies in some cache, the system's or the device's. Both lose it in a power
//! cut and write it back when they like, in any order, so the two are one here: of each sector the medium has any version
//! since then.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::choice::{Choices, Subject};

/// What a disk writes atomically, in bytes.
pub const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

/// A content that a sector had, or can have on the medium.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are whole, and a box for each would cost more")]
enum Version {
    Whole(Sector),
    /// The page was written back while a store into the mapping was under way: each byte is that of before or after.
    Mixture(Box<(Sector, Sector)>),
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// What a read returns.
    pub(crate) visible: Vec<u8>,
    /// What the medium holds.
    durable: Vec<u8>,
    /// Every version of a sector that was written since it was last known to be on the medium.
    dirty: BTreeMap<usize, Vec<Version>>,
    /// Every length that the file had since the last sync.
    lengths: Vec<usize>,
    /// Whether it got a name since then, on a file system that forgets such a file (see [`State`](super::State)).
    is_newly_named: bool,
}

impl Inode {
    /// A file that the medium has.
    pub(crate) fn durable(bytes: Vec<u8>) -> Self {
        Inode { visible: bytes.clone(), durable: bytes, ..Inode::default() }
    }

    /// It got a name that a file system without a journal takes away unless the file is synced after that.
    pub(crate) fn name_newly(&mut self) {
        self.is_newly_named = true;
    }

    /// Whether a power cut takes its name away now, though that may be durable in the folder.
    pub(crate) fn is_newly_named(&self) -> bool {
        self.is_newly_named
    }

    /// What the medium has, for one that reads it without the system.
    pub(crate) fn medium(&self) -> &[u8] {
        &self.durable
    }

    /// A write by a system call.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.put(offset, bytes, false);
    }

    /// A store into a mapping, which can be written back at any time while it is under way.
    pub(crate) fn store_mapped(&mut self, offset: usize, bytes: &[u8]) {
        self.put(offset, bytes, true);
    }

    fn put(&mut self, offset: usize, bytes: &[u8], mapped: bool) {
        let end = offset + bytes.len();
        if end > self.visible.len() {
            self.set_len(end);
        }
        let sectors = offset / SECTOR..end.div_ceil(SECTOR);
        let before: Vec<Sector> = sectors.clone().map(|sector| self.sector(sector)).collect();
        self.visible[offset..end].copy_from_slice(bytes);
        for (sector, before) in sectors.zip(before) {
            let after = self.sector(sector);
            let versions = self.dirty.entry(sector).or_default();
            if mapped && before != after {
                versions.push(Version::Mixture(Box::new((before, after))));
            }
            versions.push(Version::Whole(after));
        }
    }

    /// Cuts or grows the file.
    pub(crate) fn set_len(&mut self, len: usize) {
        let old_len = self.visible.len();
        self.visible.resize(len, 0);
        self.lengths.push(len);
        // The rest of the last sector is zeroed with a cut, and what a file grows by reads as zeros whatever was there before. What
        // was cut off is as it was, as long as the cut is not on the medium.
        let end = if len < old_len { len } else { len.max(old_len) };
        let changed = len.min(old_len) / SECTOR..end.div_ceil(SECTOR);
        for sector in changed {
            if self.dirty.contains_key(&sector) || sector * SECTOR < self.durable.len() {
                let version = self.sector(sector);
                self.dirty.entry(sector).or_default().push(Version::Whole(version));
            }
        }
    }

    fn sector(&self, sector: usize) -> Sector {
        sector_of(&self.visible, sector)
    }

    /// A sync that works: the last version of everything is on the medium.
    pub(crate) fn sync(&mut self) {
        self.sync_from(0);
    }

    /// A sync that does not reach what lies before `offset`.
    pub(crate) fn sync_from(&mut self, offset: usize) {
        self.lengths.clear();
        self.is_newly_named = false;
        self.durable.resize(self.visible.len(), 0);
        // What an earlier sync lost is clean, so this one does not write it.
        for (sector, _) in self.dirty.split_off(&(offset / SECTOR)) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.visible.len());
            if start < end {
                self.durable[start..end].copy_from_slice(&self.visible[start..end]);
            }
        }
    }

    /// A sync that fails, after which the pages are marked clean although the medium got any part of them. They stay readable as
    /// new, as on Linux, or are dropped, so that the next read shows what the medium has.
    pub(crate) fn fail_sync(&mut self, number: u64, choices: &mut Choices, drop_pages: bool) {
        self.lay_down(number, choices);
        if drop_pages {
            self.visible.clone_from(&self.durable);
        } else {
            // Still to become durable: the length is metadata and is written again.
            self.lengths.push(self.visible.len());
        }
    }

    /// Writing back these bytes fails: as [`fail_sync`](Self::fail_sync), for them alone.
    pub(crate) fn fail_write_back(
        &mut self,
        number: u64,
        bytes: Range<usize>,
        choices: &mut Choices,
        drop_pages: bool,
    ) {
        for sector in bytes.start / SECTOR..bytes.end.div_ceil(SECTOR) {
            let Some(versions) = self.dirty.remove(&sector) else { continue };
            self.lay_down_sector(number, sector, &versions, choices);
            let (start, end) = (sector * SECTOR, (sector * SECTOR + SECTOR).min(self.visible.len()));
            if drop_pages && start < end {
                self.visible[start..end].copy_from_slice(&sector_of(&self.durable, sector)[..end - start]);
            }
        }
    }

    /// A power cut: of each dirty sector the medium has any version, or none, and the length is one of those it had.
    pub(crate) fn cut(&mut self, number: u64, choices: &mut Choices) {
        self.lay_down(number, choices);
        self.visible.clone_from(&self.durable);
    }

    fn lay_down(&mut self, number: u64, choices: &mut Choices) {
        let mut lengths = vec![self.durable.len()];
        for len in std::mem::take(&mut self.lengths) {
            if !lengths.contains(&len) {
                lengths.push(len);
            }
        }
        let len = lengths[choices.pick(Subject::Length(number), lengths.len())];
        self.durable.resize(len, 0);
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            self.lay_down_sector(number, sector, &versions, choices);
        }
    }

    /// The medium gets any version of a sector, or none.
    fn lay_down_sector(&mut self, number: u64, sector: usize, versions: &[Version], choices: &mut Choices) {
        let start = sector * SECTOR;
        let len = self.durable.len();
        if start >= len {
            return;
        }
        let different = different(sector_of(&self.durable, sector), versions);
        let picked = choices.pick(Subject::Sector(number, sector), different.len() + 1);
        let chosen = match picked.checked_sub(1).map(|at| different[at]) {
            None => return,
            Some(Version::Whole(whole)) => *whole,
            Some(Version::Mixture(both)) => mixture(both, choices),
        };
        let end = (start + SECTOR).min(len);
        self.durable[start..end].copy_from_slice(&chosen[..end - start]);
    }
}

fn sector_of(bytes: &[u8], sector: usize) -> Sector {
    let mut found = [0; SECTOR];
    let start = sector * SECTOR;
    if start < bytes.len() {
        let end = (start + SECTOR).min(bytes.len());
        found[..end - start].copy_from_slice(&bytes[start..end]);
    }
    found
}

/// The different contents that a sector can have, beside what the medium has.
fn different(durable: Sector, versions: &[Version]) -> Vec<&Version> {
    let mut seen = BTreeSet::from([durable]);
    let is_new = |version: &&Version| match version {
        Version::Whole(sector) => seen.insert(*sector),
        Version::Mixture(_) => true,
    };
    versions.iter().filter(is_new).collect()
}

fn mixture((before, after): &(Sector, Sector), choices: &mut Choices) -> Sector {
    let mut mixed = *before;
    for (byte, after) in mixed.iter_mut().zip(after) {
        if choices.coin() {
            *byte = *after;
        }
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;

    #[test]
    fn what_is_synced_survives_and_what_is_not_may_be_anything() {
        let mut generator = Generator::new(1);
        let mut kept = 0;
        for _ in 0..100 {
            let mut inode = Inode::durable(vec![0; 2048]);
            inode.write(0, &[1; 1024]);
            inode.sync();
            inode.write(512, &[2; 1024]);
            inode.cut(1, &mut Choices::random(generator.next_u64()));
            assert_eq!(inode.visible[..512], [1; 512]);
            assert!(inode.visible[512..1024] == [1; 512] || inode.visible[512..1024] == [2; 512]);
            assert!(inode.visible[1024..1536] == [0; 512] || inode.visible[1024..1536] == [2; 512]);
            kept += usize::from(inode.visible[512] == 2) + usize::from(inode.visible[1024] == 2);
        }
        assert!((50..150).contains(&kept), "{kept} of 200 sectors kept");
    }

    #[test]
    fn a_failed_sync_leaves_new_bytes_readable_that_a_later_sync_may_lose() {
        let mut generator = Generator::new(2);
        let mut lost = 0;
        for _ in 0..50 {
            let mut inode = Inode::durable(vec![0; 512]);
            inode.write(0, &[1; 512]);
            inode.fail_sync(1, &mut Choices::random(generator.next_u64()), false);
            assert_eq!(inode.visible, [1; 512]);
            inode.sync();
            inode.cut(1, &mut Choices::random(generator.next_u64()));
            lost += usize::from(inode.visible[0] == 0);
        }
        assert!(lost > 0);
    }

    #[test]
    fn a_failed_sync_that_drops_pages_shows_what_the_medium_has() {
        let mut generator = Generator::new(2);
        let mut old = 0;
        for _ in 0..50 {
            let mut inode = Inode::durable(vec![0; 512]);
            inode.write(0, &[1; 512]);
            inode.fail_sync(1, &mut Choices::random(generator.next_u64()), true);
            assert_eq!(inode.visible, inode.durable);
            old += usize::from(inode.visible[0] == 0);
        }
        assert!((1..50).contains(&old));
    }

    #[test]
    fn a_failed_write_back_loses_what_it_was_for_and_nothing_else() {
        let mut generator = Generator::new(4);
        let mut lost = 0;
        for drop_pages in [false, true].repeat(25) {
            let mut inode = Inode::durable(vec![0; 2048]);
            inode.write(0, &[1; 2048]);
            inode.fail_write_back(1, 512..1024, &mut Choices::random(generator.next_u64()), drop_pages);
            let seen = inode.visible[512];
            assert!(drop_pages || seen == 1);
            inode.sync();
            inode.cut(1, &mut Choices::random(generator.next_u64()));
            assert!(!drop_pages || inode.visible[512] == seen);
            assert!(inode.visible[..512] == [1; 512] && inode.visible[1024..] == [1; 1024]);
            lost += usize::from(inode.visible[512] == 0);
        }
        assert!((1..50).contains(&lost));
    }

    #[test]
    fn an_unsynced_length_may_be_lost() {
        let mut generator = Generator::new(3);
        let lengths: Vec<usize> = (0..50)
            .map(|_| {
                let mut inode = Inode::durable(vec![7; 100]);
                inode.set_len(5000);
                inode.cut(1, &mut Choices::random(generator.next_u64()));
                inode.visible.len()
            })
            .collect();
        assert!(lengths.contains(&100) && lengths.contains(&5000));
    }

    #[test]
    fn a_store_into_a_mapping_can_leave_any_mixture_of_bytes() {
        let mut generator = Generator::new(4);
        let mixed = (0..50).any(|_| {
            let mut inode = Inode::durable(vec![0; 512]);
            inode.store_mapped(0, &[1; 512]);
            inode.cut(1, &mut Choices::random(generator.next_u64()));
            inode.visible.contains(&0) && inode.visible.contains(&1)
        });
        assert!(mixed);
    }

    #[test]
    fn a_cut_that_was_not_synced_may_leave_what_was_cut_off() {
        let mut generator = Generator::new(5);
        let mut found = BTreeSet::new();
        for _ in 0..50 {
            let mut inode = Inode::durable(vec![7; 1024]);
            inode.set_len(100);
            inode.set_len(1024);
            inode.cut(1, &mut Choices::random(generator.next_u64()));
            found.insert((inode.visible.len(), inode.visible.last().copied()));
        }
        assert!(found.contains(&(1024, Some(7))) && found.contains(&(1024, Some(0))), "{found:?}");
    }
}
