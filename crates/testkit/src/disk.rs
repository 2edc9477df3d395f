//! A disk with one folder. Every operation is counted, so that a run can be stopped at each of them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use pageseal_storage::{FileIdentity, Folder, Storage};

use crate::Generator;
use crate::inode::{Inode, SECTOR};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: a write is torn, and nothing works any more until [`SimDisk::restart`].
    PowerCut,
    /// SIGKILL: nothing works any more until [`SimDisk::next_process`]; nothing is lost.
    Kill,
    /// The operation fails once with `EIO`; a failed sync loses what it was to save, as on Linux.
    InputOutput,
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<OsString, u64>,
    durable_names: BTreeMap<OsString, u64>,
    /// Changes of names since the last sync of the folder.
    name_changes: Vec<NameChange>,
    next_inode: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    dead: bool,
    generator: Generator,
    /// Protections that are switched off, to see that the simulation notices.
    ignored_syncs: Vec<OsString>,
    ignore_folder_sync: bool,
}

#[derive(Clone)]
enum NameChange {
    Add(OsString, u64),
    Remove(OsString),
    Rename(OsString, OsString),
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    /// An empty disk; `seed` decides what a power cut leaves.
    pub fn new(seed: u64) -> Self {
        SimDisk(Arc::new(Mutex::new(State {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            next_inode: 1,
            operations: 0,
            fault: None,
            dead: false,
            generator: Generator::new(seed),
            ignored_syncs: Vec::new(),
            ignore_folder_sync: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts a file onto the medium, as if it had always been there.
    pub fn install(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.lock();
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::durable(bytes));
        state.names.insert(name.into(), inode);
        state.durable_names.insert(name.into(), inode);
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Plans a fault at the `nth` operation from now (1 is the next).
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.operations + nth, fault));
    }

    /// Switches off syncs of the file that has this name when it is synced; `""` means files without name.
    pub fn ignore_syncs_of(&self, name: &str) {
        self.lock().ignored_syncs.push(name.into());
    }

    /// Switches off syncs of the folder.
    pub fn ignore_folder_sync(&self) {
        self.lock().ignore_folder_sync = true;
    }

    /// Cuts the power, now if that has not happened, and starts again: what is visible is what the medium had.
    pub fn restart(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut names = state.durable_names.clone();
        for change in std::mem::take(&mut state.name_changes) {
            if state.generator.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        for inode in state.inodes.values_mut() {
            inode.cut(&mut state.generator);
        }
        state.inodes.retain(|inode, _| names.values().any(|named| named == inode));
        state.names = names.clone();
        state.durable_names = names;
        state.fault = None;
        state.dead = false;
    }

    /// A new process on the running system: what was planned is forgotten, nothing is lost.
    pub fn next_process(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.dead = false;
    }

    /// The names in the folder.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.keys().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The content of a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        state.names.get(OsStr::new(name)).map(|inode| state.inodes[inode].visible.clone())
    }

    /// A handle on a file.
    pub fn open(&self, name: &str) -> Option<SimFile> {
        let inode = *self.lock().names.get(OsStr::new(name))?;
        Some(SimFile { disk: self.clone(), inode })
    }

    /// The folder.
    pub fn folder(&self) -> SimFolder {
        SimFolder(self.clone())
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<OsString, u64>) {
        match self {
            NameChange::Add(name, inode) => {
                names.insert(name, inode);
            }
            NameChange::Remove(name) => {
                names.remove(&name);
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
        }
    }
}

/// What a counted operation has to do.
enum Step {
    Work,
    Fail(Fault),
}

impl State {
    fn step(&mut self) -> io::Result<Step> {
        if self.dead {
            return Err(error());
        }
        self.operations += 1;
        Ok(match self.fault {
            Some((at, fault)) if at == self.operations => {
                self.dead = fault != Fault::InputOutput;
                Step::Fail(fault)
            }
            _ => Step::Work,
        })
    }

    /// A step that a fault stops before it does anything.
    fn whole_step(&mut self) -> io::Result<()> {
        match self.step()? {
            Step::Work => Ok(()),
            Step::Fail(_) => Err(error()),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn sync_is_ignored(&self, inode: u64) -> bool {
        let name = self.names.iter().find(|(_, named)| **named == inode).map(|(name, _)| name.as_os_str());
        self.ignored_syncs.iter().any(|ignored| ignored == name.unwrap_or(OsStr::new("")))
    }
}

fn error() -> io::Error {
    io::Error::other("simulated fault")
}

/// An open file.
#[derive(Clone, Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl SimFile {
    /// Which file it is.
    pub fn identity(&self) -> FileIdentity {
        FileIdentity { device: 1, inode: self.inode }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        if !state.inodes.contains_key(&self.inode) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        work(&mut state, self.inode)
    }
}

impl State {
    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.entry(inode).or_default()
    }

    /// Every sector of a torn write is there or not.
    fn tear(&mut self, inode: u64, offset: usize, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let end = (((offset + at) / SECTOR + 1) * SECTOR - offset).min(bytes.len());
            if self.generator.below(2) == 0 {
                self.inode(inode).write(offset + at, &bytes[at..end]);
            }
            at = end;
        }
    }
}

impl Storage for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(
            |state, inode| {
                if state.dead { Err(error()) } else { Ok(state.inode(inode).visible.len() as u64) }
            },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.whole_step()?;
            state.inode(inode).set_len(len as usize);
            Ok(())
        })
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.whole_step()?;
            let end = (offset + len) as usize;
            if state.inode(inode).visible.len() < end {
                state.inode(inode).set_len(end);
            }
            Ok(())
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.whole_step()?;
            let start = offset as usize;
            let found = state.inode(inode).visible.get(start..start + buffer.len());
            buffer.copy_from_slice(found.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, inode| match state.step()? {
            Step::Work => {
                state.inode(inode).write(offset as usize, bytes);
                Ok(())
            }
            Step::Fail(_) => {
                state.tear(inode, offset as usize, bytes);
                Err(error())
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, inode| match state.step()? {
            Step::Work => {
                if !state.sync_is_ignored(inode) {
                    state.inode(inode).sync();
                }
                Ok(())
            }
            Step::Fail(Fault::PowerCut | Fault::Kill) => Err(error()),
            Step::Fail(Fault::InputOutput) => {
                let mut generator = state.generator.clone();
                state.inode(inode).fail_sync(&mut generator);
                state.generator = generator;
                Err(error())
            }
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.write_all_at(&vec![0; len as usize], offset)
    }
}

/// The folder of a disk.
#[derive(Clone, Debug)]
pub struct SimFolder(SimDisk);

impl Folder for SimFolder {
    fn identity_of(&self, name: &OsStr) -> io::Result<Option<FileIdentity>> {
        let mut state = self.0.lock();
        state.whole_step()?;
        Ok(state.names.get(name).map(|inode| FileIdentity { device: 1, inode: *inode }))
    }

    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole_step()?;
        if state.names.contains_key(to) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        if !state.names.contains_key(from) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        state.change_name(NameChange::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole_step()?;
        if !state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        state.change_name(NameChange::Remove(name.into()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole_step()?;
        if !state.ignore_folder_sync {
            state.durable_names = state.names.clone();
            state.name_changes.clear();
        }
        Ok(())
    }

    fn create_whole(
        &self,
        name: &OsStr,
        fill: &mut dyn FnMut(&Arc<dyn Storage>) -> io::Result<()>,
    ) -> io::Result<()> {
        let inode = {
            let mut state = self.0.lock();
            state.whole_step()?;
            let inode = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(inode, Inode::default());
            inode
        };
        let storage: Arc<dyn Storage> = Arc::new(SimFile { disk: self.0.clone(), inode });
        fill(&storage)?;
        {
            let mut state = self.0.lock();
            state.whole_step()?;
            if state.names.contains_key(name) {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            state.change_name(NameChange::Add(name.into(), inode));
        }
        self.sync()
    }

    fn open_storage(&self, name: &OsStr) -> io::Result<Arc<dyn Storage>> {
        let mut state = self.0.lock();
        state.whole_step()?;
        let inode = *state.names.get(name).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(SimFile { disk: self.0.clone(), inode }))
    }
}
