//! The folder of the simulated disk.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use pageseal_storage::{FileIdentity, Folder, MountInstance, Storage};

use super::state::NameChange;
use super::{MissingSync, Operation, SimDisk, SimFile, no_space};

/// The one folder that there is.
#[derive(Clone, Debug)]
pub struct SimFolder(pub(super) SimDisk);

impl SimFolder {
    fn change_name(&self, change: NameChange) -> io::Result<()> {
        let mut machine = self.0.operate();
        let names = &machine.state.names;
        let (gone, taken) = match &change {
            NameChange::Add(name, _) => (false, names.contains_key(name)),
            NameChange::Remove(name) => (!names.contains_key(name), false),
            NameChange::Rename(from, to) => (!names.contains_key(from), names.contains_key(to)),
        };
        if taken || gone {
            machine.whole_step()?;
            let kind = if taken { io::ErrorKind::AlreadyExists } else { io::ErrorKind::NotFound };
            return Err(io::Error::from(kind));
        }
        machine.atomic_change(|| Operation::Name, |state| state.change_name(change))
    }
}

impl Folder for SimFolder {
    fn identity_of(&self, name: &OsStr) -> io::Result<Option<FileIdentity>> {
        let mut machine = self.0.operate();
        machine.whole_step()?;
        Ok(machine.state.names.get(name).map(|inode| FileIdentity { device: 1, inode: *inode }))
    }

    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.change_name(NameChange::Rename(from.into(), to.into()))
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.change_name(NameChange::Remove(name.into()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.0.operate();
        machine.whole_step()?;
        if !machine.missing_syncs.contains(&MissingSync::Folder) {
            machine.change(|| Operation::SyncFolder, |state| state.sync_names());
        }
        Ok(())
    }

    fn create_whole(
        &self,
        name: &OsStr,
        fill: &mut dyn FnMut(&Arc<dyn Storage>) -> io::Result<()>,
    ) -> io::Result<()> {
        let inode = {
            let mut machine = self.0.operate();
            machine.whole_step()?;
            if machine.full.is_some() {
                return Err(no_space());
            }
            let mut inode = 0;
            machine.change(|| Operation::Create, |state| inode = state.new_inode());
            inode
        };
        let storage: Arc<dyn Storage> = Arc::new(SimFile::new(self.0.clone(), inode));
        fill(&storage)?;
        self.change_name(NameChange::Add(name.into(), inode))?;
        self.sync()
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        Some(self.0.mount_instance())
    }

    fn open_storage(&self, name: &OsStr) -> io::Result<Arc<dyn Storage>> {
        let mut machine = self.0.operate();
        machine.whole_step()?;
        let inode = *machine.state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile::new(self.0.clone(), inode)))
    }
}
