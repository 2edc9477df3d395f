//! The folder of the simulated disk.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use pageseal_storage::{FileIdentity, Folder, MountInstance, Storage, UnnamedFile, rename_by_links};

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

    fn own_identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity { device: 1, inode: 0 })
    }

    fn rename_noreplace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        if !self.0.lock().renames_by_links {
            return self.change_name(NameChange::Rename(from.into(), to.into()));
        }
        let inode = self.identity_of(from)?.ok_or(io::ErrorKind::NotFound)?.inode;
        rename_by_links(
            || self.change_name(NameChange::Add(to.into(), inode)),
            || self.sync(),
            || self.remove_if(from, FileIdentity { device: 1, inode }).map(drop),
        )
    }

    /// In one step: nobody can be between the look and the removal, as on a real system somebody can for a moment.
    fn remove_if(&self, name: &OsStr, identity: FileIdentity) -> io::Result<bool> {
        let mut machine = self.0.operate();
        let mut is_still = false;
        machine.atomic_change(
            || Operation::Name,
            |state| {
                is_still = state.names.get(name) == Some(&identity.inode);
                if is_still {
                    state.change_name(NameChange::Remove(name.into()));
                }
            },
        )?;
        Ok(is_still)
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

    fn begin_file(&self) -> io::Result<Box<dyn UnnamedFile + '_>> {
        let mut machine = self.0.operate();
        machine.whole_step()?;
        if machine.full.is_some() {
            return Err(no_space());
        }
        let mut inode = 0;
        machine.change(|| Operation::Create, |state| inode = state.new_inode());
        drop(machine);
        let storage: Arc<dyn Storage> = Arc::new(SimFile::new(self.0.clone(), inode));
        Ok(Box::new(SimUnnamedFile { folder: self, inode, storage }))
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

/// A file that has no name yet.
struct SimUnnamedFile<'a> {
    folder: &'a SimFolder,
    inode: u64,
    storage: Arc<dyn Storage>,
}

impl UnnamedFile for SimUnnamedFile<'_> {
    fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn link(&self, name: &OsStr) -> io::Result<()> {
        self.folder.change_name(NameChange::Add(name.into(), self.inode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::State;

    const NAME: &str = "journal";

    fn disk(seed: u64) -> SimDisk {
        SimDisk::at(State::on_file_system(true), seed)
    }

    #[test]
    fn a_file_that_was_made_whole_keeps_its_name_without_a_journal_too() {
        for seed in 0..64 {
            let disk = disk(seed);
            let fill = &mut |file: &Arc<dyn Storage>| {
                file.write_all_at(b"whole", 0)?;
                file.sync_data()
            };
            disk.folder().create_whole(NAME.as_ref(), fill).unwrap();
            disk.restart();
            assert_eq!(disk.state().content(NAME), Some(&b"whole"[..]), "seed {seed}");
        }
    }

    #[test]
    fn one_that_is_not_synced_with_its_name_may_lose_it() {
        let kept = (0..64).filter(|seed| {
            let disk = disk(*seed);
            let folder = disk.folder();
            let file = folder.begin_file().unwrap();
            file.storage().sync_data().unwrap();
            file.link(NAME.as_ref()).unwrap();
            folder.sync().unwrap();
            drop(file);
            disk.restart();
            disk.state().has(NAME)
        });
        assert!((1..64).contains(&kept.count()));
    }
}
