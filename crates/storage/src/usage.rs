//! What this process took from the system so far.

use std::{fs, io, mem};

/// Page faults and resident memory of this process.
///
/// Private and shared are `RssAnon` and `RssFile + RssShmem` of `/proc/self/status`. The sums of
/// `smaps` will not do: they count a shared file mapping as private when nobody else has it mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Page faults that needed no I/O, since the start of the process.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// Resident bytes that are no file's: heap, stacks, private copies.
    pub private_resident_bytes: u64,
    /// Resident bytes of files and shared memory, which exist in the page cache anyway.
    pub shared_resident_bytes: u64,
}

impl ProcessUsage {
    /// The figures at this moment. The kernel counts resident pages per processor and sums them up now
    /// and then, so they can be off by some hundred KiB.
    ///
    /// # Errors
    /// Those of `getrusage` and of reading `/proc/self/status`;
    /// [`io::ErrorKind::InvalidData`] if a line is missing there (before Linux 4.5).
    pub fn now() -> io::Result<Self> {
        let (minor_faults, major_faults) = page_faults()?;
        let status = fs::read_to_string("/proc/self/status")?;
        let bytes = |field| bytes_of(&status, field).ok_or(io::ErrorKind::InvalidData);
        Ok(Self {
            minor_faults,
            major_faults,
            private_resident_bytes: bytes("RssAnon:")?,
            shared_resident_bytes: bytes("RssFile:")? + bytes("RssShmem:")?,
        })
    }
}

fn page_faults() -> io::Result<(u64, u64)> {
    // SAFETY: rusage is a plain C struct of integers, for which zero is a valid value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: `usage` is a valid rusage, exclusively borrowed, which the kernel fills.
    match unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } {
        0 => Ok((usage.ru_minflt.unsigned_abs(), usage.ru_majflt.unsigned_abs())),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The value of a line such as `RssAnon:\t    123 kB`, in bytes. The files of `/proc` say kB and mean
/// 1024 bytes.
pub(crate) fn bytes_of(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_are_read() {
        let text = "VmRSS:\t 7 kB\nRssAnon:\t    123 kB\nRssFile:\tx kB\nThreads:\t1\n";
        assert_eq!(bytes_of(text, "RssAnon:"), Some(123 * 1024));
        assert_eq!(bytes_of(text, "RssFile:"), None);
        assert_eq!(bytes_of(text, "Threads:"), None);
        assert_eq!(bytes_of(text, "RssShmem:"), None);
    }
}
