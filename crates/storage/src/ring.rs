//! One transfer at a time through one `io_uring`, with many requests in flight (`io_uring(7)`).

use std::fmt;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode, squeue, types};
use rustix::io::Errno;

use crate::direct::DIRECT_ALIGNMENT;
use crate::transfers::PIECE_BYTES;

/// Requests in flight.
const DEPTH: usize = 16;
/// How long completions are waited for where the system does not let us wait for them.
const PAUSE: Duration = Duration::from_millis(1);

/// A submission and a completion queue. Belongs to one thread at a time.
pub(crate) struct Ring(IoUring);

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring")
    }
}

/// What is transferred. The bytes are borrowed for as long as the kernel may touch them: [`Ring::run`] does not return, whatever
/// happens, before every request that was submitted is complete.
pub(crate) enum Task<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

/// Why a transfer is not whole.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel takes no more requests, or does not work on them, which says nothing of the file: it can be transferred by other means.
    Refused,
    /// A request failed.
    Request(io::Error),
}

/// A part of a transfer that is not done yet: offsets from its start.
#[derive(Clone, Copy)]
struct Piece {
    at: usize,
    end: usize,
}

/// A transfer under way.
struct Transfer<'a> {
    fd: types::Fd,
    is_write: bool,
    /// Valid for `len` bytes, for writing unless `is_write`.
    base: *mut u8,
    len: usize,
    offset: u64,
    /// Where the pieces begin that were never submitted.
    next: usize,
    /// What short requests have left, and what the kernel asked to have once more.
    again: Vec<Piece>,
    /// By the number in a request's user data; `None` where none is in flight.
    slots: [Option<Piece>; DEPTH],
    failure: Option<Failure>,
    buffer: PhantomData<&'a mut [u8]>,
}

impl Ring {
    /// # Errors
    /// Those of `io_uring_setup`: `ENOSYS`, `EPERM` and others where it cannot be used. Those of `io_uring_register`, or
    /// [`io::ErrorKind::Unsupported`], before Linux 5.6: rings could be had, but could not read and write into plain memory.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::new(DEPTH as u32)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let can_transfer =
            [opcode::Read::CODE, opcode::Write::CODE].into_iter().all(|code| probe.is_supported(code));
        if can_transfer { Ok(Ring(ring)) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Transfers everything, from `offset` of the file on.
    ///
    /// # Errors
    /// The first failure of a request, [`io::ErrorKind::UnexpectedEof`] or [`io::ErrorKind::WriteZero`], or that no more are taken; any
    /// part may have been transferred. The ring must not be used after an error.
    pub(crate) fn run(&mut self, file: &File, task: Task<'_>, offset: u64) -> Result<(), Failure> {
        let mut transfer = Transfer::new(file, task, offset);
        loop {
            while let Some((slot, request)) = transfer.next_request() {
                // SAFETY: the request reads or writes a part of the caller's buffer, which `task` borrows as long as this function
                // runs; and it runs until nothing is in the hands of the kernel. The same holds for the descriptor.
                let pushed = unsafe { self.0.submission().push(&request) };
                if pushed.is_err() {
                    // Cannot be: the queue has an entry for every slot.
                    transfer.take_back(slot);
                    break;
                }
            }
            let queued = self.0.submission().len();
            let in_flight = transfer.requests();
            if in_flight == 0 || (transfer.failure.is_some() && in_flight == queued) {
                break;
            }
            match self.0.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(_) => {
                    // What the kernel has it still completes, and that shows up in memory by itself.
                    transfer.failure.get_or_insert(Failure::Refused);
                    std::thread::sleep(PAUSE);
                }
            }
            for completion in self.0.completion() {
                transfer.complete(completion.user_data() as usize, completion.result());
            }
        }
        transfer.failure.map_or(Ok(()), Err)
    }
}

impl<'a> Transfer<'a> {
    fn new(file: &File, task: Task<'a>, offset: u64) -> Self {
        let (is_write, base, len) = match task {
            Task::Read(buf) => (false, buf.as_mut_ptr(), buf.len()),
            Task::Write(buf) => (true, buf.as_ptr().cast_mut(), buf.len()),
        };
        Transfer {
            fd: types::Fd(file.as_raw_fd()),
            is_write,
            base,
            len,
            offset,
            next: 0,
            again: Vec::new(),
            slots: [None; DEPTH],
            failure: None,
            buffer: PhantomData,
        }
    }

    /// Requests that were made and are not complete.
    fn requests(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Takes a free slot and the next piece, if there are both. After a failure nothing new is begun.
    fn next_request(&mut self) -> Option<(usize, squeue::Entry)> {
        if self.failure.is_some() {
            return None;
        }
        let slot = self.slots.iter().position(Option::is_none)?;
        let piece = self.again.pop().or_else(|| self.next_piece())?;
        self.slots[slot] = Some(piece);
        let (len, offset) = ((piece.end - piece.at) as u32, self.offset + piece.at as u64);
        let address = self.base.wrapping_add(piece.at);
        let request = match self.is_write {
            true => opcode::Write::new(self.fd, address, len).offset(offset).build(),
            false => opcode::Read::new(self.fd, address, len).offset(offset).build(),
        };
        Some((slot, request.user_data(slot as u64)))
    }

    fn next_piece(&mut self) -> Option<Piece> {
        let at = self.next;
        self.next = (at + PIECE_BYTES).min(self.len);
        (at < self.len).then_some(Piece { at, end: self.next })
    }

    fn take_back(&mut self, slot: usize) {
        self.again.extend(self.slots[slot].take());
    }

    /// Keeps the first failure that says something of the file.
    fn fail(&mut self, error: io::Error) {
        if !matches!(self.failure, Some(Failure::Request(_))) {
            self.failure = Some(Failure::Request(error));
        }
    }

    /// Notes the outcome of a request: bytes that were transferred, or a negated errno.
    fn complete(&mut self, slot: usize, outcome: i32) {
        let Some(piece) = self.slots.get_mut(slot).and_then(Option::take) else {
            return self.fail(io::Error::other("io_uring completed a request that was not made"));
        };
        if outcome < 0 {
            let error = io::Error::from_raw_os_error(-outcome);
            if is_passing(&error) {
                self.again.push(piece);
            } else if is_refused(&error) {
                self.failure.get_or_insert(Failure::Refused);
            } else {
                self.fail(error);
            }
            return;
        }
        let done = piece.at + outcome as usize;
        if done >= piece.end {
            return;
        }
        // Short. What is left must begin aligned again, so a little of it may be transferred twice.
        let at = piece.at + outcome as usize / DIRECT_ALIGNMENT * DIRECT_ALIGNMENT;
        if at > piece.at {
            self.again.push(Piece { at, ..piece });
        } else {
            let kind = if self.is_write { io::ErrorKind::WriteZero } else { io::ErrorKind::UnexpectedEof };
            self.fail(kind.into());
        }
    }
}

/// Whether the same request may work if it is made once more.
fn is_passing(error: &io::Error) -> bool {
    [Errno::INTR, Errno::AGAIN, Errno::BUSY]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether the kernel itself gave the request up, as nobody else cancels any: it may start no thread for it (a limit on processes).
fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::CANCELED.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(buf: &mut [u8]) -> (File, Transfer<'_>) {
        let file = tempfile::tempfile().unwrap();
        let transfer = Transfer::new(&file, Task::Read(buf), 0);
        (file, transfer)
    }

    #[test]
    fn every_piece_is_asked_for_once_and_no_more_than_the_depth_at_a_time() {
        let mut buf = vec![0; 40 * PIECE_BYTES + DIRECT_ALIGNMENT];
        let (_file, mut transfer) = transfer(&mut buf);
        let mut asked = 0;
        loop {
            while transfer.next_request().is_some() {
                asked += 1;
            }
            assert!(transfer.requests() <= DEPTH);
            let Some(slot) = transfer.slots.iter().position(Option::is_some) else { break };
            let piece = transfer.slots[slot].unwrap();
            transfer.complete(slot, (piece.end - piece.at) as i32);
        }
        assert_eq!(asked, 41);
        assert!(transfer.failure.is_none());
    }

    #[test]
    fn the_rest_of_a_short_request_is_asked_for_from_an_aligned_place() {
        let mut buf = vec![0; PIECE_BYTES];
        let (_file, mut transfer) = transfer(&mut buf);
        let (slot, _) = transfer.next_request().unwrap();
        transfer.complete(slot, 3 * DIRECT_ALIGNMENT as i32 + 512);
        let (slot, _) = transfer.next_request().unwrap();
        let piece = transfer.slots[slot].unwrap();
        assert_eq!((piece.at, piece.end), (3 * DIRECT_ALIGNMENT, PIECE_BYTES));
        // Passing errors too.
        transfer.complete(slot, -Errno::AGAIN.raw_os_error());
        let (slot, _) = transfer.next_request().unwrap();
        assert_eq!(transfer.slots[slot].unwrap().at, 3 * DIRECT_ALIGNMENT);
        transfer.complete(slot, 100);
        let Some(Failure::Request(error)) = &transfer.failure else { panic!("{:?}", transfer.failure) };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(transfer.next_request().is_none());
    }

    #[test]
    fn the_first_failure_is_kept_and_what_is_in_flight_still_counts() {
        let mut buf = vec![0; 3 * PIECE_BYTES];
        let (_file, mut transfer) = transfer(&mut buf);
        while transfer.next_request().is_some() {}
        // That the kernel takes no more is not what is wrong with the file.
        transfer.complete(2, -Errno::CANCELED.raw_os_error());
        assert!(matches!(transfer.failure, Some(Failure::Refused)));
        transfer.complete(1, -Errno::IO.raw_os_error());
        transfer.complete(0, -Errno::NOSPC.raw_os_error());
        assert_eq!(transfer.requests(), 0);
        let Some(Failure::Request(error)) = transfer.failure else { panic!("{:?}", transfer.failure) };
        assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
    }
}
