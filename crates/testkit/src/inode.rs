//! One file: what processes see, what the medium holds, and every version in between.

use std::collections::BTreeMap;

use crate::Generator;

pub(crate) const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Inode {
    /// What a read returns.
    pub(crate) visible: Vec<u8>,
    /// What the medium holds.
    durable: Vec<u8>,
    /// Every version of a sector that was written since it was last known to be on the medium.
    dirty: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Every length that the file had since the last sync.
    lengths: Vec<usize>,
}

impl Inode {
    pub(crate) fn durable(bytes: Vec<u8>) -> Self {
        Inode { visible: bytes.clone(), durable: bytes, ..Inode::default() }
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.visible.len() {
            self.set_len(end);
        }
        self.visible[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let version = self.sector(sector);
            self.dirty.entry(sector).or_default().push(version);
        }
    }

    pub(crate) fn set_len(&mut self, len: usize) {
        if len < self.visible.len() {
            // The rest of the last sector is zeroed with it.
            self.visible.truncate(len);
            self.dirty.retain(|sector, _| sector * SECTOR < len);
        }
        self.visible.resize(len, 0);
        self.lengths.push(len);
    }

    fn sector(&self, sector: usize) -> [u8; SECTOR] {
        let mut version = [0; SECTOR];
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.visible.len());
        version[..end - start].copy_from_slice(&self.visible[start..end]);
        version
    }

    /// A sync that works: the last version of everything dirty is on the medium.
    pub(crate) fn sync(&mut self) {
        let len = self.visible.len();
        self.lay_down(len, |versions| versions.last().copied());
    }

    /// A sync that fails and, as Linux does, marks the pages clean although the medium got any part of them.
    pub(crate) fn fail_sync(&mut self, generator: &mut Generator) {
        let len = self.some_length(generator);
        self.lay_down(len, |versions| some_version(versions, generator));
        self.lengths.push(self.visible.len());
    }

    /// A power cut: of each dirty sector the medium has any version, or none.
    pub(crate) fn cut(&mut self, generator: &mut Generator) {
        let len = self.some_length(generator);
        self.lay_down(len, |versions| some_version(versions, generator));
        self.visible = self.durable.clone();
    }

    fn some_length(&self, generator: &mut Generator) -> usize {
        let lengths: Vec<usize> =
            [self.durable.len()].into_iter().chain(self.lengths.iter().copied()).collect();
        *generator.pick(&lengths)
    }

    fn lay_down(&mut self, len: usize, mut choose: impl FnMut(&[[u8; SECTOR]]) -> Option<[u8; SECTOR]>) {
        self.durable.resize(len, 0);
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let Some(version) = choose(&versions) else { continue };
            if start < len {
                let end = (start + SECTOR).min(len);
                self.durable[start..end].copy_from_slice(&version[..end - start]);
            }
        }
        self.lengths.clear();
    }
}

fn some_version(versions: &[[u8; SECTOR]], generator: &mut Generator) -> Option<[u8; SECTOR]> {
    let choice = generator.below(versions.len() as u64 + 1) as usize;
    versions.get(choice).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced_survives_and_what_is_not_may_be_anything() {
        let mut generator = Generator::new(1);
        let mut kept = 0;
        for _ in 0..100 {
            let mut inode = Inode::durable(vec![0; 2048]);
            inode.write(0, &[1; 1024]);
            inode.sync();
            inode.write(512, &[2; 1024]);
            inode.cut(&mut generator);
            assert_eq!(inode.visible[..512], [1; 512]);
            assert!(inode.visible[512..1024] == [1; 512] || inode.visible[512..1024] == [2; 512]);
            assert!(inode.visible[1024..1536] == [0; 512] || inode.visible[1024..1536] == [2; 512]);
            kept += usize::from(inode.visible[512] == 2) + usize::from(inode.visible[1024] == 2);
        }
        assert!((50..150).contains(&kept), "{kept} of 200 sectors kept");
    }

    #[test]
    fn a_failed_sync_leaves_new_bytes_readable_that_a_later_sync_does_not_save() {
        let mut generator = Generator::new(2);
        let mut lost = 0;
        for _ in 0..50 {
            let mut inode = Inode::durable(vec![0; 512]);
            inode.write(0, &[1; 512]);
            inode.fail_sync(&mut generator);
            assert_eq!(inode.visible, [1; 512]);
            inode.sync();
            inode.cut(&mut generator);
            lost += usize::from(inode.visible[0] == 0);
        }
        assert!(lost > 0);
    }

    #[test]
    fn an_unsynced_length_may_be_lost() {
        let mut generator = Generator::new(3);
        let lengths: Vec<usize> = (0..50)
            .map(|_| {
                let mut inode = Inode::durable(vec![7; 100]);
                inode.set_len(5000);
                inode.cut(&mut generator);
                inode.visible.len()
            })
            .collect();
        assert!(lengths.contains(&100) && lengths.contains(&5000));
    }
}
