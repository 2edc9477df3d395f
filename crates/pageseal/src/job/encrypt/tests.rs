//! What a job leaves in the page cache.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

use pageseal_storage::FileSystemKind;
use pageseal_storage::residency::cached_bytes;

use super::super::plan::Io;
use super::*;
use crate::control::Progress;
use crate::keys::generate_identity;
use crate::options::ResilienceChoice;

const MIB: u64 = 1 << 20;
const LEN: u64 = 96 * MIB;
/// The kernel may keep some pages that it has in hand.
const KEPT: u64 = 4 * MIB;

/// Looks how much of what was settled is in the page cache, but for the window that was settled last, and then has all of it written, so
/// that it could leave.
struct Watching {
    file: File,
    window_len: u64,
    settled: AtomicU64,
    most_cached: AtomicU64,
}

impl Progress for Watching {
    fn advance(&self, bytes: u64) {
        let settled = self.settled.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let cached = cached_bytes(&self.file, 0, settled.saturating_sub(self.window_len)).unwrap();
        self.most_cached.fetch_max(cached, Ordering::Relaxed);
        self.file.sync_data().unwrap();
    }
}

/// Bytes in the page cache.
struct Cached {
    /// Of all windows but the last, at most, while the job ran.
    behind: u64,
    /// Of the whole file, when it had ended.
    afterwards: u64,
}

/// Seals a file in place through the page cache; `None` where nothing is told of that.
fn seal(resilience: ResilienceChoice, drops_behind: bool) -> Option<Cached> {
    // Beside the source, for the temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("a.bin");
    std::fs::write(&path, vec![7; LEN as usize]).unwrap();
    let mut opened = open_for_change(Names::of(&path).unwrap(), false, &Control::silent()).unwrap();
    if opened.medium.kind == FileSystemKind::Tmpfs || cached_bytes(&opened.file, 0, LEN).is_none() {
        println!("SKIPPED: nothing is told of the page cache here, or a file system in memory");
        return None;
    }
    opened.file.sync_all().unwrap();
    let file = opened.file.try_clone().unwrap();
    let geometry = check_file(&opened.target, 16).unwrap();
    let place = journal_place(&opened.target.folder, &opened.target.names, None).unwrap();
    let (plan, _) = plan(Io::Buffered, resilience, &opened.medium).unwrap();
    opened.target.drops_behind = drops_behind;
    let recipients = [generate_identity().public.parse().unwrap()];
    let options = EncryptOptions::default();
    let watching = Watching {
        file: file.try_clone().unwrap(),
        window_len: plan.sizes(&geometry).window_len,
        settled: AtomicU64::new(0),
        most_cached: AtomicU64::new(0),
    };
    let control = Control { progress: &watching, ..Control::silent() };
    begin(opened.target, place, geometry, plan, &recipients, &options, &control, Instant::now()).unwrap();
    assert_eq!(watching.settled.into_inner(), LEN);
    Some(Cached {
        behind: watching.most_cached.into_inner(),
        afterwards: cached_bytes(&file, 0, LEN).unwrap(),
    })
}

#[test]
fn what_is_sealed_leaves_the_page_cache_if_it_is_too_long_for_it() {
    for resilience in [
        ResilienceChoice::Checksum,
        ResilienceChoice::Journal,
        ResilienceChoice::Process,
        ResilienceChoice::None,
    ] {
        let Some(dropped) = seal(resilience, true) else { return };
        assert!(dropped.behind <= KEPT, "{resilience:?}: {} bytes stay behind", dropped.behind);
        assert!(dropped.afterwards <= KEPT, "{resilience:?}: {} bytes are left", dropped.afterwards);
        let Some(kept) = seal(resilience, false) else { return };
        assert!(kept.behind + KEPT + LEN / 8 >= LEN, "{resilience:?}: only {} bytes stay", kept.behind);
        assert!(kept.afterwards + KEPT >= LEN, "{resilience:?}: only {} bytes are left", kept.afterwards);
    }
}
