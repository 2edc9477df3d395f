//! Writes past the page cache that outlive the process that asked for them.
//!
//! The kernel has taken them, the process is gone, and they land at any time after: in any order, in part,
//! while a recovery runs, or when it has long said that the file is whole.

use super::file::PAGE;
use super::inode::SECTOR;
use super::{Machine, State};
use crate::Generator;

/// A write that the kernel has taken and not completed.
#[derive(Clone, Debug)]
pub(super) struct Request {
    inode: u64,
    offset: u64,
    bytes: Vec<u8>,
}

/// Who can wait for the requests of a process that is gone. Real systems where jobs write past the cache have
/// both; each is looked at where the other is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waits {
    /// The lock lives as long as the requests; the file system cannot wait.
    #[default]
    Lock,
    /// The file system completes direct I/O when it is asked to; locks are lost with the process.
    Drain,
}

/// One operation in so many sees a request land, or a part of it.
const LANDS: u64 = 6;

impl State {
    /// What a process leaves that is killed in a write past the cache: of each page, the write is done, still on its
    /// way, or was never asked for.
    pub fn write_direct_killed(&mut self, inode: u64, offset: u64, bytes: &[u8], generator: &mut Generator) {
        for (number, page) in bytes.chunks(PAGE).enumerate() {
            let request = Request { inode, offset: offset + (number * PAGE) as u64, bytes: page.to_vec() };
            match generator.below(4) {
                0 => self.apply(request),
                1 => {}
                _ => self.in_flight.push(request),
            }
        }
    }

    /// Some request lands, or some sectors of one.
    fn land_some(&mut self, generator: &mut Generator) {
        let number = generator.below(self.in_flight.len() as u64) as usize;
        let mut request = self.in_flight.swap_remove(number);
        let sectors = request.bytes.len() / SECTOR;
        if sectors > 1 && generator.below(2) == 0 {
            let at = (1 + generator.below(sectors as u64 - 1) as usize) * SECTOR;
            let (offset, bytes) = (request.offset + at as u64, request.bytes.split_off(at));
            self.in_flight.push(Request { inode: request.inode, offset, bytes });
        }
        self.apply(request);
    }

    /// Every request lands.
    pub fn land_all(&mut self) {
        for request in std::mem::take(&mut self.in_flight) {
            self.apply(request);
        }
    }

    /// It lies in the device's cache then, like any other write.
    fn apply(&mut self, request: Request) {
        if self.inodes.contains_key(&request.inode) {
            self.inode(request.inode).write(request.offset as usize, &request.bytes);
        }
    }

    fn has_in_flight(&self, inode: u64) -> bool {
        self.in_flight.iter().any(|request| request.inode == inode)
    }
}

impl Machine {
    /// Time goes on: what is on its way may get there.
    pub(super) fn let_requests_land(&mut self) {
        if !self.state.in_flight.is_empty() && self.generator.below(LANDS) == 0 {
            self.state.land_some(&mut self.generator);
        }
    }

    /// Whether the lock says that requests are on their way; more of them land each time that somebody asks.
    pub(super) fn lock_says_in_flight(&mut self, inode: u64) -> bool {
        if self.waits != Waits::Lock || !self.state.has_in_flight(inode) {
            return false;
        }
        self.state.land_some(&mut self.generator);
        self.state.has_in_flight(inode)
    }

    /// Completes what is on its way, if the file system can.
    pub(super) fn drain(&mut self) {
        if self.waits == Waits::Drain {
            self.state.land_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn what_a_killed_process_asked_for_lands_later() {
        let disk = SimDisk::new(7);
        let inode = disk.install("f", vec![0; 16 * PAGE], true);
        let new = vec![1; 16 * PAGE];
        let mut state = disk.state();
        state.write_direct_killed(inode, 0, &new, &mut Generator::new(1));
        let landed = |state: &State| {
            let bytes = state.bytes_of(inode, 0, 16 * PAGE);
            bytes.chunks(PAGE).filter(|page| page[0] == 1).count()
        };
        let (at_first, waiting) = (landed(&state), state.in_flight.len());
        assert!(at_first > 0 && waiting > 0 && at_first + waiting < 16, "{at_first} and {waiting}");
        state.land_all();
        assert_eq!(landed(&state), at_first + waiting);
    }
}
