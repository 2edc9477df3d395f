//! Clock, page faults and TLB misses around a piece of work.

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use pageseal_storage::tlb::TlbCounter;
use pageseal_storage::usage::ProcessUsage;

/// Where TLB misses are counted, if they can be.
#[derive(Clone, Copy)]
pub(super) struct Probe<'a> {
    pub(super) tlb: Option<&'a RefCell<TlbCounter>>,
}

/// From the begin to the end of the work.
pub(super) struct Running<'a> {
    tlb: Option<&'a RefCell<TlbCounter>>,
    usage: io::Result<ProcessUsage>,
    misses: Option<u64>,
    started: Instant,
}

/// What the work took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) tlb_misses: Option<u64>,
}

impl<'a> Probe<'a> {
    pub(super) fn begin(self) -> Running<'a> {
        let usage = ProcessUsage::now();
        let misses = misses(self.tlb);
        Running { tlb: self.tlb, usage, misses, started: Instant::now() }
    }
}

impl Running<'_> {
    pub(super) fn end(self, bytes: u64) -> io::Result<Measured> {
        let seconds = self.started.elapsed().as_secs_f64();
        let tlb_misses =
            self.misses.zip(misses(self.tlb)).map(|(before, after)| after.saturating_sub(before));
        let (before, after) = (self.usage?, ProcessUsage::now()?);
        Ok(Measured {
            bytes,
            seconds,
            minor_faults: after.minor_faults.saturating_sub(before.minor_faults),
            major_faults: after.major_faults.saturating_sub(before.major_faults),
            tlb_misses,
        })
    }
}

fn misses(tlb: Option<&RefCell<TlbCounter>>) -> Option<u64> {
    tlb?.try_borrow_mut().ok()?.misses().ok()
}
