//! Files as the engine sees them: mapped, buffered and in memory; the only unsafe code
//!
//! This crate knows nothing of ciphers and nothing of the file format. It turns what Linux offers
//! into the few promises the engine builds on:
//!
//! * [`Storage`]: bytes at offsets, with lengths, reservation and durability, whatever is below.
//! * [`MappedRange`]: the one way by which memory of a shared mapping leaves this crate, a closure
//!   over an exclusive range.
//! * names and identities ([`directory`]), locks and foreign writers ([`lock`], [`watch`]), what the
//!   file system promises ([`medium`]), and what else the process needs of the system.
//!
//! Errors stay [`std::io::Error`] with the errno they came with, so that a caller can tell `ENOSPC`
//! from `EIO`. Conditions that have no errno carry a [`StorageError`] inside, which
//! [`StorageError::of`] finds again.
//!
//! Linux only, 64 bit only.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("pageseal-storage needs Linux on a 64-bit machine");

// Unsafe code is where the list below allows it, module by module.
pub mod attributes;
pub mod available;
#[expect(
    unsafe_code,
    reason = "madvise takes an address, and a file that others write to is read without references"
)]
pub mod bench_access;
pub mod directory;
pub mod durability;
#[expect(unsafe_code, reason = "emptying the journal of ext4 is an ioctl")]
pub mod inline_data;
#[expect(unsafe_code, reason = "locks of open files have no safe call")]
pub mod lock;
pub mod medium;
#[expect(unsafe_code, reason = "BTRFS_IOC_FS_INFO is an ioctl")]
pub mod mount;
pub mod readiness;
#[expect(unsafe_code, reason = "cachestat and mincore have no safe calls")]
pub mod residency;
#[expect(unsafe_code, reason = "mlock takes an address")]
pub mod secrets;
#[expect(unsafe_code, reason = "signal handling")]
pub mod sigbus;
#[expect(unsafe_code, reason = "only the loader runs before the standard library does")]
pub mod standard_streams;
pub mod tlb;
#[expect(unsafe_code, reason = "getrusage has no safe call")]
pub mod usage;
pub mod watch;
#[expect(unsafe_code, reason = "sync_file_range has no safe call")]
pub mod write_back;

mod buffered;
mod direct;
mod drain;
mod error;
mod exclusive_ranges;
#[expect(unsafe_code, reason = "the features of ext4 are asked for by an ioctl")]
mod ext4_features;
#[expect(unsafe_code, reason = "FIEMAP is an ioctl")]
mod extents;
mod folder;
mod mapped;
#[expect(unsafe_code, reason = "slices over a mapping")]
mod mapped_memory;
mod memory;
#[expect(unsafe_code, reason = "stores that the compiler must not reorder")]
mod ordered_store;
mod private_buffer;
mod read_behind;
#[expect(unsafe_code, reason = "io_uring takes addresses")]
mod ring;
mod space;
mod storage;
mod transfers;
#[cfg(pageseal_mutations)]
#[expect(unsafe_code, reason = "sync_file_range has no safe call")]
mod unflushed_sync;
mod user_namespace;
#[expect(unsafe_code, reason = "leases have no safe call")]
mod writer_probe;

pub use buffered::BufferedFile;
pub use direct::{DIRECT_ALIGNMENT, DirectError, DirectFile};
pub use directory::{Access, Directory, FileIdentity, RealDirectory};
pub use error::StorageError;
pub use folder::{Folder, UnnamedFile, rename_by_links};
pub use mapped::{MappedFile, POPULATE_STEP_BYTES};
pub use medium::{FileSystemKind, Medium};
pub use memory::MemoryStorage;
pub use mount::MountInstance;
pub use ordered_store::STORE_UNIT_BYTES;
pub use private_buffer::PrivateBuffer;
pub use storage::{GroupWriters, MappedRange, Storage, Writers};
