//! What another process does to the file.

use std::ffi::OsStr;

use super::fault::{APPENDED, FOREIGN, Fault, ForeignWrite, Meddling, RENAMED};
use super::{Machine, is_journal, state};

impl Machine {
    pub(super) fn meddle(&mut self, meddling: Meddling) {
        let is_subject = |name: &OsStr| !is_journal(name) && name != RENAMED;
        let found = self.state.names.iter().rfind(|(name, _)| is_subject(name));
        let Some((name, inode)) = found.map(|(name, inode)| (name.clone(), *inode)) else { return };
        let len = self.state.inodes[&inode].visible.len();
        let part = |thousandths: u16| len * usize::from(thousandths) / 1000;
        match meddling {
            Meddling::Write(thousandths) => {
                // Every other one into what the job has just read, and may be about to read again.
                let at = match self.last_read {
                    Some((read, offset, len)) if read == inode && thousandths % 2 == 1 => {
                        offset + len * usize::from(thousandths) / 1000
                    }
                    _ => part(thousandths),
                };
                self.flip(inode, at);
                self.foreign_writes.push(ForeignWrite::Flipped { inode, at });
            }
            Meddling::Cut(thousandths) => self.state.inode(inode).set_len(part(thousandths)),
            Meddling::Append => {
                self.state.inode(inode).write(len, APPENDED);
                self.foreign_writes.push(ForeignWrite::Grown { inode, from: len });
            }
            Meddling::Rename => {
                self.moved_from = Some(name.clone());
                self.state.change_name(state::NameChange::Rename(name, RENAMED.into()));
                self.state.sync_names();
            }
            Meddling::Remove => {
                self.state.change_name(state::NameChange::Remove(name));
                self.state.sync_names();
            }
            Meddling::Replace => {
                self.moved_from = Some(name.clone());
                self.state.change_name(state::NameChange::Rename(name.clone(), RENAMED.into()));
                let foreign = self.state.new_inode();
                self.state.inode(foreign).write(0, FOREIGN);
                self.state.change_name(state::NameChange::Add(name, foreign));
                self.state.inode(foreign).sync();
                self.state.sync_names();
            }
        }
    }

    /// No call looks at a length and cuts in one step, so what is appended between the two is lost, and the documents say so. Here
    /// it comes after the cut instead.
    pub(super) fn put_off_append(&mut self) {
        let next = self.operations + 1;
        let due =
            |(at, fault): &&mut (u64, Fault)| *at == next && *fault == Fault::Meddling(Meddling::Append);
        if let Some((at, _)) = self.faults.iter_mut().find(due) {
            *at += 1;
        }
    }

    /// Changes a byte, if the file has it.
    pub(super) fn flip(&mut self, inode: u64, at: usize) {
        let byte = self.state.inodes.get(&inode).and_then(|inode| inode.visible.get(at)).map(|byte| byte ^ 1);
        if let Some(byte) = byte {
            self.state.inode(inode).write(at, &[byte]);
        }
    }

    pub(super) fn put_back(&mut self) {
        let foreign = self.state.files().find(|(_, _, bytes)| *bytes == FOREIGN);
        let foreign = foreign.map(|(name, _, _)| name.to_owned());
        let name = self.moved_from.take();
        if let Some(foreign) = foreign {
            self.state.change_name(state::NameChange::Remove(foreign));
        }
        if let Some(name) = name.filter(|_| self.state.has(RENAMED)) {
            self.state.change_name(state::NameChange::Rename(RENAMED.into(), name));
        }
        self.state.sync_names();
    }
}
