//! All that a disk and its system hold at one moment. A copy of it is cheap, so that a run can be gone back to at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use pageseal_storage::MountInstance;

use super::choice::{Choices, Subject};
use super::in_flight::Request;
use super::inode::Inode;
use super::trace::Storing;

/// Everything that a crash can change.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(super) inodes: BTreeMap<u64, Arc<Inode>>,
    pub(super) names: BTreeMap<OsString, u64>,
    durable_names: BTreeMap<OsString, u64>,
    /// Changes of names since the last sync of the folder.
    name_changes: Vec<NameChange>,
    pub(super) next_inode: u64,
    /// Counts the boots.
    boot: u64,
    /// Counts how often the file system was mounted in this boot.
    mount: u64,
    /// Job keys in memory, by job.
    pub(super) job_keys: BTreeMap<[u8; 16], [u8; 32]>,
    /// Files whose name was removed; their sectors are free, and still there.
    removed: Vec<Arc<Inode>>,
    /// Writes of processes that are gone.
    pub(super) in_flight: Vec<Request>,
    /// Whether the file system has no journal: then a file that gets a name is lost in a power cut, whatever becomes of its
    /// folder, until it is synced with the name, because its inode on the medium says "deleted".
    forgets_unsynced_names: bool,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Add(OsString, u64),
    Remove(OsString),
    Rename(OsString, OsString),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<OsString, u64>) {
        match self {
            NameChange::Add(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

impl State {
    /// Nothing, on a file system that forgets unsynced names or does not.
    pub(super) fn on_file_system(forgets_unsynced_names: bool) -> Self {
        State { forgets_unsynced_names, ..State::default() }
    }

    /// Puts a file onto the medium, as if it had always been there, or into the cache only.
    pub(super) fn install(&mut self, name: &str, bytes: Vec<u8>, is_durable: bool) -> u64 {
        let inode = self.new_inode();
        let file = if is_durable {
            Inode::durable(bytes)
        } else {
            let mut file = Inode::durable(vec![0; bytes.len()]);
            file.write(0, &bytes);
            file
        };
        self.inodes.insert(inode, Arc::new(file));
        self.names.insert(name.into(), inode);
        self.durable_names.insert(name.into(), inode);
        inode
    }

    /// Somebody puts these bytes in place of a file, or makes it, and syncs that.
    pub fn put(&mut self, name: &str, bytes: Vec<u8>) {
        match self.inode_of(name) {
            Some(inode) => *self.inode(inode) = Inode::durable(bytes),
            None => drop(self.install(name, bytes, true)),
        }
    }

    pub(super) fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Arc::default());
        self.next_inode
    }

    pub(super) fn inode(&mut self, inode: u64) -> &mut Inode {
        Arc::make_mut(self.inodes.entry(inode).or_default())
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        let has_name = |inode: u64| self.names.values().filter(|other| **other == inode).count();
        if let NameChange::Remove(name) = &change
            && self.names.get(name).is_some_and(|inode| has_name(*inode) == 1)
            && let Some(file) = self.names.get(name).and_then(|inode| self.inodes.get(inode))
        {
            self.removed.push(Arc::clone(file));
        }
        // The inode of a file that has a name already says so.
        if let NameChange::Add(_, inode) = &change
            && self.forgets_unsynced_names
            && has_name(*inode) == 0
        {
            self.inode(*inode).name_newly();
        }
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    pub(super) fn sync_names(&mut self) {
        self.durable_names.clone_from(&self.names);
        self.name_changes.clear();
    }

    /// The power goes and comes back: what is there is what the medium had. Memory is empty.
    pub fn cut(&mut self, choices: &mut Choices) {
        self.lose_caches(choices);
        self.boot += 1;
        // Numbers of mounts mean nothing after a restart, and the same may come again.
        self.mount = 0;
        self.job_keys.clear();
    }

    /// The file system is shut down and mounted again: what is there is what the medium had, and the system goes on.
    pub fn shut_down(&mut self, choices: &mut Choices) {
        self.lose_caches(choices);
        self.mount += 1;
    }

    fn lose_caches(&mut self, choices: &mut Choices) {
        // Each sector of what was on its way is there or not, as of what lay in the cache.
        self.land_all();
        let mut names = self.durable_names.clone();
        for (number, change) in std::mem::take(&mut self.name_changes).iter().enumerate() {
            if choices.pick(Subject::Name(number), 2) == 1 {
                change.apply(&mut names);
            }
        }
        for (number, inode) in &self.inodes {
            if inode.is_newly_named() && choices.pick(Subject::Named(*number), 2) == 0 {
                names.retain(|_, named| named != number);
            }
        }
        self.inodes.retain(|inode, _| names.values().any(|named| named == inode));
        for (number, inode) in &mut self.inodes {
            Arc::make_mut(inode).cut(*number, choices);
        }
        self.names.clone_from(&names);
        self.durable_names = names;
    }

    /// The process is gone, and with it files without a name; unless the medium still knows a name, which a power cut would
    /// bring back.
    pub fn end_process(&mut self) {
        let added = self.name_changes.iter().filter_map(|change| match change {
            NameChange::Add(_, inode) => Some(*inode),
            _ => None,
        });
        let kept: BTreeSet<u64> =
            self.names.values().chain(self.durable_names.values()).copied().chain(added).collect();
        self.inodes.retain(|inode, _| kept.contains(inode));
    }

    /// A process that is killed in the middle of a write has done the first part of it.
    pub fn write(&mut self, inode: u64, offset: u64, bytes: &[u8], how: Storing) {
        let inode = self.inode(inode);
        match how {
            Storing::Mapped | Storing::MappedInOrder => inode.store_mapped(offset as usize, bytes),
            Storing::Call | Storing::Direct => inode.write(offset as usize, bytes),
        }
    }

    /// Everything in the cache reaches the medium.
    pub fn sync(&mut self) {
        for inode in self.inodes.values_mut() {
            Arc::make_mut(inode).sync();
        }
        self.sync_names();
    }

    /// The names and what they lead to.
    pub fn files(&self) -> impl Iterator<Item = (&OsStr, u64, &[u8])> {
        self.names.iter().map(|(name, inode)| (name.as_os_str(), *inode, &self.inodes[inode].visible[..]))
    }

    /// Whether the name leads to anything.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(OsStr::new(name))
    }

    /// What the name leads to.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        self.names.get(OsStr::new(name)).map(|inode| &self.inodes[inode].visible[..])
    }

    /// Which file has the name.
    pub fn inode_of(&self, name: &str) -> Option<u64> {
        self.names.get(OsStr::new(name)).copied()
    }

    /// Bytes of a file, as they are visible.
    pub fn bytes_of(&self, inode: u64, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        if let Some(found) = self.inodes.get(&inode).and_then(|inode| inode.visible.get(offset..)) {
            let found = &found[..len.min(found.len())];
            bytes[..found.len()].copy_from_slice(found);
        }
        bytes
    }

    /// Whether the same names lead to the same bytes.
    pub fn looks_like(&self, other: &State) -> bool {
        self.names.len() == other.names.len()
            && self.files().zip(other.files()).all(|(one, two)| one.0 == two.0 && one.2 == two.2)
    }

    /// Whether the medium has these bytes anywhere, also in files that were removed.
    pub fn medium_has(&self, bytes: &[u8]) -> bool {
        let finder = memchr::memmem::Finder::new(bytes);
        let mut files = self.inodes.values().chain(&self.removed);
        files.any(|file| finder.find(file.medium()).is_some())
    }

    /// Job keys that are still kept in memory.
    pub fn kept_job_keys(&self) -> usize {
        self.job_keys.len()
    }

    /// Forgets all job keys in memory.
    pub fn forget_job_keys(&mut self) {
        self.job_keys.clear();
    }

    /// Whether a journal has a window, or had one.
    pub(super) fn has_windows(&self) -> bool {
        let ring = pageseal_format::journal::RING_OFFSET as usize;
        self.files().any(|(name, _, bytes)| {
            super::is_journal(name)
                && bytes.get(ring..).is_some_and(|ring| ring.iter().any(|byte| *byte != 0))
        })
    }

    /// Which mounting of the file system this is.
    pub fn mount_instance(&self) -> MountInstance {
        MountInstance::FileSystem(self.mount)
    }

    /// Which boot this is.
    pub fn boot_id(&self) -> [u8; 16] {
        let mut id = [0xB0; 16];
        // Never zeros, which stand for an unknown boot.
        id[..8].copy_from_slice(&(self.boot + 1).to_le_bytes());
        id
    }
}
