//! Surviving the truncation of a mapped file.
//!
//! A load or store behind the end of a mapped file raises SIGBUS, which kills the process; so does an
//! I/O error or a full disk under a hole. [`MappedRange::with_range`](crate::MappedRange::with_range)
//! brings pages in beforehand and so turns most of these into errors, but a file can still be cut while
//! the memory is in use. **Without the handler such a truncation kills the process.**
//!
//! Signal handlers belong to the program, not to a library: nothing in this crate installs the handler
//! by itself.

use std::{
    ffi::{c_int, c_void},
    io, mem, ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

pub(crate) mod registry;

/// Filled before the handler can run, because asking for it is not async-signal-safe everywhere.
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Installs the SIGBUS handler for the whole process, replacing the one there was. To be called by
/// the command at its start; calling it again does no harm.
///
/// On SIGBUS at an address inside a mapping of this crate the handler marks the mapping as poisoned
/// and maps zero pages over the faulting page and the rest of the mapping, so that the running closure
/// ends and its [`with_range`](crate::MappedRange::with_range) fails. Any other SIGBUS gets the default
/// action: the process dies.
///
/// # Errors
/// Those of `sigaction`.
pub fn install_handler() -> io::Result<()> {
    PAGE_SIZE.store(rustix::param::page_size(), Ordering::SeqCst);
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_sigbus;
    // The alternate stack is the one that Rust gives every thread it starts.
    set_action(handler as usize, libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART)
}

/// Sets the action of SIGBUS; async-signal-safe.
fn set_action(handler: usize, flags: c_int) -> io::Result<()> {
    // SAFETY: sigaction is a plain C struct of integers, a signal set and an optional function
    // pointer, for all of which zero is a valid value (the empty set, no restorer).
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is initialised; its handler is SIG_DFL or `on_sigbus` with SA_SIGINFO, whose
    // signature that flag asks for. The old action is not wanted, for which null is allowed.
    match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls async-signal-safe functions only (atomics, mmap, sigaction, raise), allocates nothing, takes
/// no lock, and leaves errno as it was.
extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: errno's address is valid for the running thread, always.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; no reference to errno is held, only its value is copied.
    let errno_before = unsafe { errno.read() };
    // SAFETY: SA_SIGINFO makes the kernel pass a valid siginfo_t, which lives while the handler runs.
    let info = unsafe { &*info };
    // Other codes are no faults of this thread at this address (kill, sigqueue, early notice of
    // failing memory), and repairing memory because of them would be wrong.
    let is_fault = matches!(info.si_code, libc::BUS_ADRERR | libc::BUS_MCEERR_AR);
    // SAFETY: for a SIGBUS raised by a fault the kernel fills si_addr; it is read for those only.
    let repaired = is_fault && repair(unsafe { info.si_addr() }.addr());
    if !repaired {
        // If even this fails, the fault repeats for ever; there is nothing left to call.
        let _ = set_action(libc::SIG_DFL, 0);
        // SAFETY: raise has no preconditions. The signal is blocked here and is delivered, with the
        // default action, when the handler returns.
        unsafe { libc::raise(signal) };
    }
    // SAFETY: as for the read above.
    unsafe { errno.write(errno_before) };
}

/// Puts zero pages where the file has no bytes any more. `false` if the address is none of ours.
fn repair(address: usize) -> bool {
    let page = PAGE_SIZE.load(Ordering::SeqCst);
    let Some(end) = registry::poison(address, page) else {
        return false;
    };
    let first = address / page * page;
    // The whole rest at once, else each page of a long range would fault. Strict overcommit may
    // refuse that; then a page at a time.
    map_zero_pages(first, end - first) || map_zero_pages(first, page)
}

fn map_zero_pages(start: usize, len: usize) -> bool {
    let start = ptr::without_provenance_mut(start);
    // SAFETY: `[start, start + len)` is whole pages of a mapping registered by this crate. That mapping
    // exists: the faulting thread is using it inside `with_range`, which borrows it, and it is
    // unregistered before it is unmapped. So MAP_FIXED replaces pages of ours only. They stay readable
    // and writable, so every slice over them stays valid memory.
    let mapped = unsafe {
        mmap_anonymous(
            start,
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
        )
    };
    mapped.is_ok()
}
