//! Which store a file gets, where the caller left that open, and why.

use std::fs::File;
use std::sync::Arc;

use pageseal_storage::available::available_memory_bytes;
use pageseal_storage::residency::cached_bytes_estimate;
use pageseal_storage::{BufferedFile, DirectError, DirectFile, FileSystemKind, Medium, Storage};

use super::plan::{Io, KEPT_WINDOWS, LARGEST_KEPT_WINDOW_BYTES};
use crate::ahead::LARGE_READS_BYTES;
use crate::control::{Control, Notice, Progress};
use crate::options::IoChoice;
use crate::target::OpenedTarget;

/// A store, and what spoke for it.
pub(crate) struct StoreChoice {
    pub(crate) io: Io,
    /// The file past the page cache, for [`Io::Direct`].
    pub(crate) direct: Option<Arc<DirectFile>>,
    /// Whether the pages of what is done are given back, so that a file that does not fit pushes nothing else out of the cache. A job that
    /// is gone on with may be one of another store than this.
    pub(crate) drops_behind: bool,
    /// What a pass that only reads, before the job, reads through, if not through the store.
    pub(crate) reader: Option<Arc<dyn Storage>>,
    /// For people.
    pub(crate) reason: String,
}

/// How often a file is read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reads {
    /// An encryption, or a decryption that does not authenticate all of it first.
    Once,
    /// A decryption that does, and finds it in the page cache afterwards. A resumed job counts as one, too: most of what it needs
    /// may have been read shortly before. And `verify`: whoever looks whether a file is good may well open it next.
    Twice,
}

/// From here on a file that is read once, and not from the page cache, is sealed faster past it: with 2 GiB on a virtual disk 1.5
/// instead of 2.5 s, with 1 GiB 0.8 instead of 1.0 s, and no difference with 256 MiB; into another file, 2 GiB in 1.5 instead of 2.9 s
/// (medians by turns).
const COLD_LEN_BYTES: u64 = 1 << 30;

/// Chooses the store for an opened file, whose windows have `window_len` bytes past the page cache.
pub(crate) fn choose_store(
    choice: IoChoice,
    file: &File,
    medium: &Medium,
    reads: Reads,
    window_len: u64,
) -> StoreChoice {
    choose_within(CacheUse::of(file), choice, file, medium, reads, window_len)
}

fn choose_within(
    cached: CacheUse,
    choice: IoChoice,
    file: &File,
    medium: &Medium,
    reads: Reads,
    window_len: u64,
) -> StoreChoice {
    let drops_behind = !cached.fits();
    let through_cache = |io: Io, reader: Option<Arc<dyn Storage>>, reason: String| StoreChoice {
        io,
        direct: None,
        drops_behind,
        reader,
        reason,
    };
    let reads_behind = || cached.leaves_behind(reads).then(|| read_behind(file)).flatten();
    let reason = match choice {
        IoChoice::Mmap => return through_cache(Io::Mmap, None, "as asked".into()),
        IoChoice::Buffered => return through_cache(Io::Buffered, reads_behind(), "as asked".into()),
        IoChoice::Direct => "as asked".into(),
        IoChoice::Auto => match cached.asks_for_direct(medium, reads) {
            Ok(_) if !cached.leaves_room_for(private_bytes(reads, window_len)) => {
                let reason = format!(
                    "past the page cache it would take {} of the available {}",
                    size(private_bytes(reads, window_len)),
                    size(cached.available)
                );
                return through_cache(Io::Buffered, reads_behind(), reason);
            }
            // Past the cache they would be read twice from the disk, and by small requests.
            Ok(_) if window_len > LARGEST_KEPT_WINDOW_BYTES => {
                let reader = open_direct(file).ok().map(|direct| Arc::new(direct) as Arc<dyn Storage>);
                let reason = format!("windows of {} are too large to be kept in memory", size(window_len));
                return through_cache(Io::Buffered, reader, reason);
            }
            Ok(reason) => reason,
            Err(reason) => return through_cache(Io::Buffered, reads_behind(), reason),
        },
    };
    if !medium.waits_for_direct_requests() {
        return through_cache(Io::Buffered, reads_behind(), cannot_wait(medium));
    }
    match open_direct(file) {
        Ok(direct) => {
            let reason = reason + how_requests_go(&direct);
            StoreChoice { io: Io::Direct, direct: Some(Arc::new(direct)), drops_behind, reader: None, reason }
        }
        Err(error) => through_cache(Io::Buffered, reads_behind(), error.to_string()),
    }
}

/// Why nothing is written past the cache where a recovery could not wait for it.
fn cannot_wait(medium: &Medium) -> String {
    let name = medium.kind.name();
    format!("{name} does not tell here when the direct requests of a killed process are complete")
}

/// What a job past the page cache holds in memory that nobody can take from it. What does not fit into the memory that it may
/// have is not slow but killed, and so is every job that goes on with it.
fn private_bytes(reads: Reads, window_len: u64) -> u64 {
    let windows = KEPT_WINDOWS.saturating_mul(window_len);
    match reads {
        Reads::Once => windows,
        Reads::Twice => windows.max(LARGE_READS_BYTES),
    }
}

/// Chooses the store, tells of a wish that could not be fulfilled, and makes the target ready for it.
pub(crate) fn prepare_store(
    choice: IoChoice,
    opened: &mut OpenedTarget,
    reads: Reads,
    window_len: u64,
    control: &Control<'_>,
) -> StoreChoice {
    let mut store = choose_store(choice, &opened.file, &opened.medium, reads, window_len);
    if let (Some(direct), Some(lock)) = (&store.direct, &opened.target.lock)
        && let Err(error) = direct.hold_lock(lock)
    {
        let reason = format!("requests past the page cache cannot hold its lock: {error}");
        store = choose_store(IoChoice::Buffered, &opened.file, &opened.medium, reads, window_len);
        store.reason = reason;
    }
    if choice == IoChoice::Direct && store.io != Io::Direct {
        control.progress.notice(&Notice::DirectRefused { reason: store.reason.clone() });
    }
    opened.target.direct = store.direct.clone().map(|direct| direct as Arc<dyn Storage>);
    opened.target.drops_behind = store.drops_behind;
    opened.target.reader.clone_from(&store.reader);
    opened.target.store_reason.clone_from(&store.reason);
    store
}

/// How a whole file is read when nothing of it is to be changed; `progress` is told.
pub(crate) fn storage_for_reading(file: File, reads: Reads, progress: &dyn Progress) -> Arc<dyn Storage> {
    let cached = CacheUse::of(&file);
    let asked = Medium::of(&file)
        .map_err(|error| error.to_string())
        .and_then(|medium| cached.asks_for_direct(&medium, reads))
        .and_then(|reason| match cached.leaves_room_for(LARGE_READS_BYTES) {
            true => Ok(reason),
            false => Err(format!("{} of memory are too few for large requests", size(cached.available))),
        });
    let opened = asked.and_then(|reason| {
        let direct = open_direct(&file).map_err(|error| error.to_string())?;
        Ok((reason + how_requests_go(&direct), direct))
    });
    match opened {
        Ok((reason, direct)) => {
            progress.access(Io::Direct.name(), &reason);
            Arc::new(direct)
        }
        Err(reason) => {
            if cached.leaves_behind(reads) {
                progress.access(Io::Buffered.name(), &(reason + "; what was read leaves the page cache"));
                Arc::new(BufferedFile::leaving_cache(file))
            } else {
                progress.access(Io::Buffered.name(), &reason);
                Arc::new(BufferedFile::new(file))
            }
        }
    }
}

/// What is to be said where not all is as it should be.
fn how_requests_go(direct: &DirectFile) -> &'static str {
    if direct.uses_io_uring() { "" } else { " (requests by threads: io_uring is not to be had)" }
}

/// The longest file that may stay in the page cache as a whole.
pub(crate) fn longest_cached_len() -> u64 {
    part_for_one_file(available())
}

/// Where it cannot be told how much memory there is, everything fits.
fn available() -> u64 {
    available_memory_bytes().unwrap_or(u64::MAX)
}

fn part_for_one_file(available: u64) -> u64 {
    available / 2
}

fn read_behind(file: &File) -> Option<Arc<dyn Storage>> {
    let reader = file.try_clone().map(BufferedFile::leaving_cache);
    reader.ok().map(|reader| Arc::new(reader) as Arc<dyn Storage>)
}

fn open_direct(file: &File) -> Result<DirectFile, DirectError> {
    DirectFile::open(file.try_clone()?)
}

/// What a file means to the page cache at this moment, in bytes.
struct CacheUse {
    len: u64,
    available: u64,
    /// About how much of it is there; `None` where that cannot be told, or where it is not asked because the file is short and fits.
    cached: Option<u64>,
}

impl CacheUse {
    fn of(file: &File) -> Self {
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        let mut cache = CacheUse { len, available: available(), cached: None };
        if len >= COLD_LEN_BYTES || !cache.fits() {
            cache.cached = cached_bytes_estimate(file, len);
        }
        cache
    }

    fn fits(&self) -> bool {
        self.len <= part_for_one_file(self.available)
    }

    /// Half of the memory is left to everything else that the job needs, and to what the page cache holds meanwhile, which counts
    /// in a control group as well.
    fn leaves_room_for(&self, private_bytes: u64) -> bool {
        private_bytes <= part_for_one_file(self.available)
    }

    fn is_mostly_there(&self) -> bool {
        self.cached.is_some_and(|cached| cached >= self.len / 2)
    }

    /// Whether what is only read through the cache is to leave it. Not where most of it was there before, or may have been, for somebody
    /// may need it; nor what is read twice, if all of the available memory can hold it until then.
    fn leaves_behind(&self, reads: Reads) -> bool {
        let is_hardly_there = self.cached.is_some() && !self.is_mostly_there();
        !self.fits() && is_hardly_there && (reads == Reads::Once || self.len > self.available)
    }

    /// Through the page cache a file that fits is read and written at the speed of memory, if it is there: the disk has only to
    /// write it. One that does not fit would push everything else out, and then itself; unless most of it is there already.
    /// Returns why it asks for direct I/O, or why not.
    fn asks_for_direct(&self, medium: &Medium, reads: Reads) -> Result<String, String> {
        let CacheUse { len, available, cached } = *self;
        let is_cold = len >= COLD_LEN_BYTES && cached.is_some_and(|cached| cached < len / 8);
        if self.fits() && !(is_cold && reads == Reads::Once) {
            return Err(format!("its {} fit into half of the available memory", size(len)));
        }
        let overwrites = matches!(medium.kind, FileSystemKind::Ext4 | FileSystemKind::Xfs);
        if !overwrites || medium.copy_on_write {
            return Err(format!("{} does not overwrite blocks where they are", medium.kind.name()));
        }
        match cached {
            _ if self.fits() => Ok(format!("hardly any of its {} is in the page cache", size(len))),
            Some(cached) if self.is_mostly_there() => {
                Err(format!("{} of its {} are in the page cache", size(cached), size(len)))
            }
            _ => Ok(format!("its {} are more than half of the available {}", size(len), size(available))),
        }
    }
}

/// Two digits at least are enough to see why.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fitting = units.into_iter().find(|(shift, _)| bytes >> shift >= 10);
    fitting.map_or(format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn asks(len: u64, cached: Option<u64>, kind: FileSystemKind) -> Result<String, String> {
        asks_reading(Reads::Twice, len, cached, kind)
    }

    fn asks_reading(
        reads: Reads,
        len: u64,
        cached: Option<u64>,
        kind: FileSystemKind,
    ) -> Result<String, String> {
        let file = tempfile::tempfile().unwrap();
        let medium = Medium { kind, copy_on_write: false, ..Medium::of(&file).unwrap() };
        CacheUse { len, available: 4 * GIB, cached }.asks_for_direct(&medium, reads)
    }

    #[test]
    fn what_fits_and_is_read_once_goes_past_the_cache_where_hardly_any_of_it_is_there() {
        let ext4 = FileSystemKind::Ext4;
        assert!(asks_reading(Reads::Once, 2 * GIB, Some(GIB / 5), ext4).unwrap().contains("hardly any"));
        assert!(asks_reading(Reads::Once, GIB, Some(0), ext4).is_ok());
        for (reads, len, cached) in [
            (Reads::Twice, 2 * GIB, Some(0)),
            (Reads::Once, 2 * GIB, Some(GIB / 2)),
            (Reads::Once, GIB - 1, Some(0)),
            (Reads::Once, 2 * GIB, None),
        ] {
            assert!(asks_reading(reads, len, cached, ext4).unwrap_err().contains("fit into half"));
        }
        assert!(asks_reading(Reads::Once, 2 * GIB, Some(0), FileSystemKind::Btrfs).is_err());
    }

    #[test]
    fn a_file_that_does_not_fit_and_is_not_there_goes_past_the_cache() {
        assert!(asks(3 * GIB, Some(0), FileSystemKind::Ext4).unwrap().contains("3072 MiB"));
        assert!(asks(3 * GIB, None, FileSystemKind::Xfs).is_ok());
        assert!(asks(2 * GIB, Some(0), FileSystemKind::Ext4).unwrap_err().contains("fit into half"));
        assert!(asks(3 * GIB, Some(2 * GIB), FileSystemKind::Ext4).unwrap_err().contains("page cache"));
        assert!(asks(3 * GIB, Some(0), FileSystemKind::Btrfs).unwrap_err().contains("Btrfs"));
        assert!(asks(3 * GIB, Some(0), FileSystemKind::Fuse).is_err());
    }

    #[test]
    fn what_was_asked_for_is_taken_where_it_can_be() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.set_len(1 << 20).unwrap();
        let medium = Medium::of(&file).unwrap();
        let choose = |choice| choose_store(choice, &file, &medium, Reads::Once, 4 << 20);
        assert_eq!(choose(IoChoice::Mmap).io, Io::Mmap);
        assert_eq!(choose(IoChoice::Buffered).io, Io::Buffered);
        assert_eq!(choose(IoChoice::Auto).io, Io::Buffered);
        let asked = choose(IoChoice::Direct);
        assert_eq!(asked.io == Io::Direct, asked.direct.is_some());
        // No file system does that.
        let odd = File::open("/proc/self/status").unwrap();
        let refused = choose_store(IoChoice::Direct, &odd, &Medium::of(&odd).unwrap(), Reads::Once, 4 << 20);
        assert_eq!(refused.io, Io::Buffered);
        assert!(refused.reason.contains("direct"), "{}", refused.reason);
    }

    /// A control group, or a small machine: what is private cannot be given back, and the process would be killed.
    #[test]
    fn windows_in_memory_are_taken_only_where_they_fit() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let medium =
            Medium { kind: FileSystemKind::Ext4, copy_on_write: false, ..Medium::of(&file).unwrap() };
        let has_direct = medium.waits_for_direct_requests() && open_direct(&file).is_ok();
        let choose = |available, len: u64, choice, reads| {
            let cached = CacheUse { len, available, cached: Some(0) };
            let window_len = super::super::plan::kept_window_len(len, 1 << 16);
            choose_within(cached, choice, &file, &medium, reads, window_len)
        };
        // The windows of this file have 24 MiB, four of them 96.
        for (available_mib, fits) in [(40, false), (64, false), (96, false), (191, false), (192, true)] {
            let chosen = choose(available_mib << 20, GIB, IoChoice::Auto, Reads::Twice);
            assert_eq!(chosen.io == Io::Direct, fits && has_direct, "{available_mib} MiB: {}", chosen.reason);
            assert!(chosen.drops_behind, "it does not fit into the page cache either");
            assert_eq!(chosen.reason.contains("would take 96 MiB"), !fits, "{}", chosen.reason);
        }
        // Those of a shorter one have 4 MiB; but the pass that verifies takes 48.
        for (reads, available_mib, fits) in [
            (Reads::Once, 32, true),
            (Reads::Once, 31, false),
            (Reads::Twice, 95, false),
            (Reads::Twice, 96, true),
        ] {
            let chosen = choose(available_mib << 20, 100 << 20, IoChoice::Auto, reads);
            assert_eq!(chosen.io == Io::Direct, fits && has_direct, "{available_mib} MiB: {}", chosen.reason);
        }
        // What was asked for is done.
        let asked = choose(40 << 20, GIB, IoChoice::Direct, Reads::Once);
        assert_eq!(asked.io == Io::Direct, has_direct);
    }

    /// The length alone asks for direct I/O, so the windows are what speaks against it.
    #[test]
    fn windows_that_cannot_be_kept_go_through_the_cache_and_leave_it() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let longer_than_memory = available().saturating_mul(2).min(1 << 43);
        file.set_len(longer_than_memory).unwrap();
        let medium = Medium::of(&file).unwrap();
        let choose = |choice, window_len| choose_store(choice, &file, &medium, Reads::Twice, window_len);
        let kept = choose(IoChoice::Auto, LARGEST_KEPT_WINDOW_BYTES);
        let too_large = choose(IoChoice::Auto, LARGEST_KEPT_WINDOW_BYTES + 1);
        assert_eq!((too_large.io, too_large.drops_behind), (Io::Buffered, true));
        let asked = choose(IoChoice::Direct, LARGEST_KEPT_WINDOW_BYTES + 1);
        if asked.io == Io::Direct && matches!(medium.kind, FileSystemKind::Ext4 | FileSystemKind::Xfs) {
            assert_eq!(kept.io, Io::Direct);
            assert!(too_large.reason.contains("kept in memory"), "{}", too_large.reason);
            assert!(too_large.reader.is_some_and(|reader| reader.prefers_large_requests()));
        } else {
            println!("SKIPPED in part: no direct I/O here");
        }
    }

    #[test]
    fn what_is_read_leaves_the_cache_where_nobody_misses_it() {
        let use_of = |len, cached| CacheUse { len, available: 4 * GIB, cached };
        for (len, cached, once, twice) in [
            (2 * GIB, Some(0), false, false),
            (3 * GIB, Some(0), true, false),
            (5 * GIB, Some(GIB), true, true),
            (5 * GIB, Some(3 * GIB), false, false),
            (5 * GIB, None, false, false),
        ] {
            assert_eq!(use_of(len, cached).leaves_behind(Reads::Once), once, "{len} bytes, {cached:?}");
            assert_eq!(use_of(len, cached).leaves_behind(Reads::Twice), twice, "{len} bytes, {cached:?}");
        }
    }
}
