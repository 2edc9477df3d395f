//! An open file of the simulated disk.

use std::io;
use std::ops::Range;

use pageseal_storage::{FileIdentity, MappedRange, MountInstance, Storage, StorageError};

use super::inode::SECTOR;
use super::trace::{Storing, places_of_a_cut};
use super::{Choices, Fault, Machine, MissingSync, Operation, SimDisk, Step, error, no_space};

/// An open file, by system calls or as a mapping.
#[derive(Clone, Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: u64,
    way: Way,
}

/// How its bytes are reached. Past the page cache they lie in the device's cache until a sync, which loses and tears what it likes
/// just as the system's does: nothing is less certain, so nothing but the requests differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Calls,
    Mapping,
    Direct,
}

/// Pages, in bytes: a killed write ends at one.
pub(super) const PAGE: usize = 4096;
/// One read or write in so many is done in two parts, as where the first is short.
const SHORT: u64 = 8;

impl SimFile {
    pub(super) fn new(disk: SimDisk, inode: u64) -> Self {
        SimFile { disk, inode, way: Way::Calls }
    }

    /// The same file as a mapping.
    #[must_use]
    pub fn mapping(&self) -> Self {
        SimFile { way: Way::Mapping, ..self.clone() }
    }

    /// The same file past the page cache.
    #[must_use]
    pub fn direct(&self) -> Self {
        SimFile { way: Way::Direct, ..self.clone() }
    }

    /// Which file it is.
    pub fn identity(&self) -> FileIdentity {
        FileIdentity { device: 1, inode: self.inode }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Machine, u64) -> io::Result<T>) -> io::Result<T> {
        let mut machine = self.disk.operate();
        if !machine.state.inodes.contains_key(&self.inode) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        work(&mut machine, self.inode)
    }

    fn write_part(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|machine, inode| match machine.step()? {
            Step::Work if machine.lacks_space(inode, offset + bytes.len() as u64) => {
                machine.do_part(inode, offset, bytes);
                Err(no_space())
            }
            Step::Work => {
                machine.write(inode, offset, bytes, self.storing());
                Ok(())
            }
            Step::Fail(Fault::Kill) if self.way == Way::Direct => {
                machine.state.write_direct_killed(inode, offset, bytes, &mut machine.generator);
                Err(error())
            }
            Step::Fail(Fault::Kill) => {
                machine.do_part(inode, offset, bytes);
                Err(error())
            }
            Step::Fail(_) => {
                machine.tear(inode, offset, bytes);
                Err(error())
            }
        })
    }

    fn storing(&self) -> Storing {
        if self.way == Way::Direct { Storing::Direct } else { Storing::Call }
    }

    /// Part of a read, as a short one returns.
    fn read_part(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|machine, inode| {
            machine.whole_step()?;
            let start = offset as usize;
            let found = machine.state.inodes[&inode].visible.get(start..start + buffer.len());
            buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            if !machine.is_journal(inode) {
                machine.last_read = Some((inode, start, buffer.len()));
            }
            Ok(())
        })
    }

    /// Where a read or write of so many bytes is cut in two by being short: at a page, or nowhere.
    fn cut_short(&self, len: usize) -> Option<usize> {
        let pages = len / PAGE;
        let is_short = pages > 1 && self.disk.lock().generator.below(SHORT) == 0;
        is_short.then_some(pages / 2 * PAGE)
    }
}

impl Machine {
    fn write(&mut self, inode: u64, offset: u64, bytes: &[u8], how: Storing) {
        let operation = || Operation::Write { inode, offset, bytes: bytes.to_vec(), how };
        self.change(operation, |state| state.write(inode, offset, bytes, how));
    }

    /// Whole pages from the start of a write, as many as chance will.
    fn do_part(&mut self, inode: u64, offset: u64, bytes: &[u8]) {
        let pages = self.generator.below((bytes.len() / PAGE) as u64 + 1) as usize;
        self.write(inode, offset, &bytes[..pages * PAGE], Storing::Call);
    }

    /// Every sector of a torn write is there or not.
    fn tear(&mut self, inode: u64, offset: u64, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let sector_end = (offset as usize + at) / SECTOR * SECTOR + SECTOR;
            let end = (sector_end - offset as usize).min(bytes.len());
            if self.generator.below(2) == 0 {
                self.write(inode, offset + at as u64, &bytes[at..end], Storing::Call);
            }
            at = end;
        }
    }

    /// What a killed process was storing in order is there up to some unit.
    fn cut_off(&mut self, inode: u64, offset: u64, bytes: &[u8]) {
        let places = places_of_a_cut(bytes.len());
        let end = self.generator.pick(&places).to_owned();
        self.write(inode, offset, &bytes[..end], Storing::MappedInOrder);
    }

    /// Some of the bytes that a killed process was storing are there.
    fn mix(&mut self, inode: u64, offset: u64, before: &[u8], bytes: &[u8]) {
        let mut mixed = before.to_vec();
        for (byte, after) in mixed.iter_mut().zip(bytes) {
            if self.generator.below(2) == 0 {
                *byte = *after;
            }
        }
        self.write(inode, offset, &mixed, Storing::Mapped);
    }

    fn fail_write_back(&mut self, inode: u64, offset: u64, len: u64, drop_pages: bool) {
        let mut choices = Choices::random(self.generator.next_u64());
        self.change(
            || Operation::Sync { inode },
            |state| {
                let (start, end) = (offset as usize, (offset + len) as usize);
                state.inode(inode).fail_write_back(inode, start..end, &mut choices, drop_pages);
            },
        );
    }

    fn fail_sync(&mut self, inode: u64, drop_pages: bool) {
        self.sync_failed = true;
        let mut choices = Choices::random(self.generator.next_u64());
        self.change(
            || Operation::Sync { inode },
            |state| {
                state.inode(inode).fail_sync(inode, &mut choices, drop_pages);
            },
        );
    }
}

impl Storage for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|machine, inode| {
            machine.whole_step()?;
            Ok(machine.state.inodes[&inode].visible.len() as u64)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|machine, inode| {
            machine.put_off_append();
            if machine.lacks_space(inode, len) {
                machine.whole_step()?;
                return Err(no_space());
            }
            machine.atomic_change(
                || Operation::Length { inode },
                |state| state.inode(inode).set_len(len as usize),
            )
        })
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = offset + len;
        self.with(|machine, inode| {
            machine.whole_step()?;
            if machine.lacks_space(inode, end) {
                return Err(no_space());
            }
            if (machine.state.inodes[&inode].visible.len() as u64) < end {
                machine
                    .change(|| Operation::Length { inode }, |state| state.inode(inode).set_len(end as usize));
            }
            Ok(())
        })
    }

    fn grow(&self, _: u64, from: u64, to: u64) -> io::Result<()> {
        self.with(|machine, inode| {
            machine.whole_step()?;
            let found = machine.state.inodes[&inode].visible.len() as u64;
            if found != from {
                return Err(StorageError::Appended { expected: from, found }.into());
            }
            if machine.lacks_space(inode, to) {
                return Err(no_space());
            }
            machine.change(|| Operation::Length { inode }, |state| state.inode(inode).set_len(to as usize));
            Ok(())
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(first) = self.cut_short(buffer.len()) else { return self.read_part(buffer, offset) };
        let (start, rest) = buffer.split_at_mut(first);
        self.read_part(start, offset)?;
        self.read_part(rest, offset + first as u64)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some(first) = self.cut_short(bytes.len()) else { return self.write_part(bytes, offset) };
        self.write_part(&bytes[..first], offset)?;
        self.write_part(&bytes[first..], offset + first as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|machine, inode| match machine.step()? {
            Step::Work => {
                match machine.misses(inode).cloned() {
                    None => machine.change(|| Operation::Sync { inode }, |state| state.inode(inode).sync()),
                    Some(MissingSync::OldContent(len)) if !machine.state.has_windows() => {
                        let from = len as usize;
                        machine
                            .change(|| Operation::Sync { inode }, |state| state.inode(inode).sync_from(from));
                    }
                    Some(MissingSync::OldContent(_)) => {
                        machine.change(|| Operation::Sync { inode }, |state| state.inode(inode).sync());
                    }
                    Some(_) => {}
                }
                Ok(())
            }
            Step::Fail(Fault::InputOutput { drop_pages }) => {
                machine.fail_sync(inode, drop_pages);
                Err(error())
            }
            Step::Fail(_) => Err(error()),
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    /// What is submitted may lie in the device's cache, so nothing is durable. If it fails, these bytes are lost, and no sync says so.
    fn start_write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        self.with(|machine, inode| match machine.step()? {
            Step::Work => Ok(()),
            Step::Fail(Fault::InputOutput { drop_pages }) => {
                machine.fail_write_back(inode, offset, len, drop_pages);
                Err(error())
            }
            Step::Fail(_) => Err(error()),
        })
    }

    /// Every block of zeros is one.
    fn next_hole(&self, offset: u64, end: u64) -> io::Result<Option<Range<u64>>> {
        self.with(|machine, inode| {
            machine.whole_step()?;
            let bytes = &machine.state.inodes[&inode].visible;
            let blocks =
                (offset / PAGE as u64..end.min(bytes.len() as u64).div_ceil(PAGE as u64)).map(|block| {
                    let start = block as usize * PAGE;
                    let end = (start + PAGE).min(bytes.len());
                    (start as u64..end as u64, bytes[start..end].iter().all(|byte| *byte == 0))
                });
            let mut empty = blocks.skip_while(|(_, empty)| !empty).take_while(|(_, empty)| *empty);
            let Some((first, _)) = empty.next().filter(|(first, _)| offset < first.end.min(end)) else {
                return Ok(None);
            };
            let last = empty.last().map_or(first.end, |(last, _)| last.end);
            Ok(Some(first.start.max(offset)..last.min(end)))
        })
    }

    /// Its zeros reach the medium sector by sector, as it is where blocks are zeroed rather than given back.
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.write_all_at(&vec![0; len as usize], offset)
    }

    fn mount_instance(&self) -> Option<MountInstance> {
        Some(self.disk.mount_instance())
    }

    fn as_mapped(&self) -> Option<&dyn MappedRange> {
        (self.way == Way::Mapping).then_some(self)
    }

    fn requests_in_flight(&self) -> io::Result<bool> {
        self.with(|machine, inode| Ok(machine.lock_says_in_flight(inode)))
    }

    fn drain_requests(&self) -> io::Result<()> {
        self.with(|machine, _| {
            machine.drain();
            Ok(())
        })
    }

    fn prefers_large_requests(&self) -> bool {
        self.way == Way::Direct
    }
}

impl SimFile {
    /// What the mapping shows.
    fn mapped(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let start = offset as usize;
        self.with(|machine, inode| {
            let found = machine.state.inodes[&inode].visible.get(start..start + len);
            Ok(found.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
        })
    }

    /// Stores into the mapping; `stop` does what a process leaves that is killed meanwhile.
    fn store_mapped(
        &self,
        offset: u64,
        bytes: &[u8],
        how: Storing,
        stop: impl FnOnce(&mut Machine, u64),
    ) -> io::Result<()> {
        self.with(|machine, inode| match machine.step()? {
            _ if machine.state.inodes[&inode].visible.len() < offset as usize + bytes.len() => {
                Err(io::Error::from(io::ErrorKind::UnexpectedEof))
            }
            Step::Work if machine.full == Some(true) => Err(no_space()),
            Step::Work => {
                machine.write(inode, offset, bytes, how);
                Ok(())
            }
            Step::Fail(Fault::InputOutput { .. }) => Err(error()),
            Step::Fail(_) => {
                stop(machine, inode);
                Err(error())
            }
        })
    }
}

impl MappedRange for SimFile {
    fn with_range(&self, offset: u64, len: usize, f: &mut dyn FnMut(&mut [u8])) -> io::Result<()> {
        let before = self.mapped(offset, len)?;
        let mut bytes = before.clone();
        f(&mut bytes);
        self.store_mapped(offset, &bytes, Storing::Mapped, |machine, inode| {
            machine.mix(inode, offset, &before, &bytes);
        })
    }

    fn bring_in(&self, offset: u64, len: usize) -> io::Result<()> {
        self.mapped(offset, len).map(drop)
    }

    fn with_range_again(&self, offset: u64, len: usize, f: &mut dyn FnMut(&mut [u8])) -> io::Result<()> {
        self.with_range(offset, len, f)
    }

    fn replace(&self, offset: u64, new: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
        if !check(&self.mapped(offset, new.len())?) {
            return Ok(false);
        }
        self.store_mapped(offset, new, Storing::MappedInOrder, |machine, inode| {
            machine.cut_off(inode, offset, new);
        })?;
        Ok(true)
    }

    fn copy_out(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }
}
