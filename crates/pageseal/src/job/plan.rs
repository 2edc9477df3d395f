//! Which store, which resilience, and how large windows are.

use pageseal_format::Geometry;
use pageseal_format::journal::{RING_OFFSET, RecordKind, Resilience, slot_stride};
use pageseal_storage::medium::{FileSystemKind, Medium};

use super::place::check_checksum;
use crate::control::Notice;
use crate::error::Refusal;
use crate::job_plan::JobPlan;
use crate::options::{IoChoice, ResilienceChoice};

/// Windows of a job whose records carry fingerprints only. Larger ones cost fewer syncs, smaller ones start the
/// overlap of the stages earlier and leave less to redo.
const LARGEST_WINDOW_BYTES: u64 = 64 << 20;
/// Windows of a job that logs whole windows: with the ring they stay far below the 256 MiB of extra disk.
const LARGEST_LOGGED_WINDOW_BYTES: u64 = 32 << 20;
/// Windows of a job that stores into a mapping and waits for no sync: small ones stay in the processor's caches on their way.
const LARGEST_UNSYNCED_MAPPED_WINDOW_BYTES: u64 = 4 << 20;
/// Windows of a job that keeps them in memory between *prepare* and *store*: [`KEPT_WINDOWS`] of them are there at a time, and with
/// everything else they must stay below 128 MiB.
pub(crate) const LARGEST_KEPT_WINDOW_BYTES: u64 = 24 << 20;
/// One that is read ahead, and three on their way.
pub(crate) const KEPT_WINDOWS: u64 = 4;
/// A file should have about this many windows, so that all stages of the pipeline work.
const WINDOWS_PER_FILE: u64 = 32;
/// A window is a multiple of this many chunks (`docs/FORMAT.md` section 1).
const WINDOW_CHUNK_MULTIPLE: u64 = 64;
/// Ring slots: one more than the windows that can be in flight.
const RING_SLOTS: u64 = 4;
/// Ring slots when a slot holds 64 MiB of payload.
const RING_SLOTS_OF_LARGE_PAYLOAD: u64 = 3;

/// How bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    Buffered,
    Direct,
    Mmap,
}

impl Io {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Io::Buffered => "buffered",
            Io::Direct => "direct",
            Io::Mmap => "mmap",
        }
    }
}

/// What was chosen, and the words for what spoke for it.
pub(crate) struct Reasons<'a> {
    pub(crate) store: &'a str,
    pub(crate) resilience: ResilienceChoice,
    pub(crate) medium: &'a Medium,
    /// Where the journal lies.
    pub(crate) journal: Option<FileSystemKind>,
}

impl Reasons<'_> {
    /// What is to be said of the journal: nothing where it lies on the same kind of file system.
    fn of_journal(&self) -> String {
        match self.journal {
            Some(kind) if kind != self.medium.kind => format!("; the journal lies on {}", kind.name()),
            _ => String::new(),
        }
    }

    /// What the place asks for to keep the promise to survive power cuts.
    fn of_power_cuts(&self, resilience: Resilience) -> &'static str {
        let promises = matches!(resilience, Resilience::Checksum | Resilience::Journal);
        if promises && self.medium.lacks_journal {
            "; ext4 has no journal of its own here, so after a power cut it must be checked before it is mounted"
        } else {
            ""
        }
    }
}

/// A sound pair of store and resilience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) io: Io,
    pub(crate) resilience: Resilience,
    pub(crate) record_kind: RecordKind,
    /// Sizes other than those that suit the file: a simulation wants many windows in a small file.
    pub(crate) fixed_sizes: Option<(u64, u8)>,
}

impl Plan {
    /// Sizes of the windows and of the ring.
    pub(crate) fn sizes(&self, geometry: &Geometry) -> WindowSizes {
        match self.fixed_sizes {
            Some((window_len, ring_slots)) if self.record_kind != RecordKind::None => WindowSizes {
                window_len,
                ring_slots,
                slot_stride: slot_stride(geometry, window_len, self.record_kind),
            },
            Some((window_len, _)) => WindowSizes { window_len, ring_slots: 0, slot_stride: 0 },
            None => window_sizes(geometry, self),
        }
    }
}

impl Plan {
    /// The plan for people, with its reasons.
    pub(crate) fn describe(&self, geometry: &Geometry, reasons: &Reasons<'_>) -> JobPlan {
        let sizes = self.sizes(geometry);
        let file_system = reasons.medium.file_system_name();
        let resilience_reason = match (reasons.resilience, self.resilience) {
            (ResilienceChoice::Auto, Resilience::Checksum) => {
                format!("{file_system} writes back nothing but what was written")
            }
            (ResilienceChoice::Auto, _) if self.io == Io::Mmap => {
                "a page can be written back while it is stored into".into()
            }
            (ResilienceChoice::Auto, _) => {
                format!("{file_system} is not known to write back dirty blocks only")
            }
            _ => "as asked".into(),
        };
        JobPlan {
            io: self.io.name(),
            io_reason: reasons.store.into(),
            resilience: super::active::resilience_name(self.resilience),
            resilience_reason: resilience_reason
                + &reasons.of_journal()
                + reasons.of_power_cuts(self.resilience),
            window_len_bytes: sizes.window_len,
            ring_slots: sizes.ring_slots,
            journal_len_bytes: RING_OFFSET + u64::from(sizes.ring_slots) * sizes.slot_stride,
            trailer_len_bytes: geometry.sealed_len() - geometry.data_len(),
        }
    }
}

/// Refuses what contradicts itself, before any file is looked at.
pub(crate) fn check_choices(
    io: IoChoice,
    resilience: ResilienceChoice,
    accept_data_loss: bool,
) -> Result<(), Refusal> {
    if io == IoChoice::Mmap && resilience == ResilienceChoice::Checksum {
        return Err(Refusal::UnsoundPair);
    }
    if resilience == ResilienceChoice::None && !accept_data_loss {
        return Err(Refusal::DataLossNotAccepted);
    }
    Ok(())
}

/// Chooses what was left open, by the file system. `io` is the store that was chosen.
pub(crate) fn plan(
    io: Io,
    resilience: ResilienceChoice,
    medium: &Medium,
) -> Result<(Plan, Option<Notice>), Refusal> {
    let sound = medium.checksum_is_sound();
    let (resilience, notice) = match resilience {
        ResilienceChoice::Checksum => {
            check_checksum(medium)?;
            (Resilience::Checksum, None)
        }
        ResilienceChoice::Auto if io == Io::Mmap => (Resilience::Journal, None),
        ResilienceChoice::Auto if sound => (Resilience::Checksum, None),
        ResilienceChoice::Auto => {
            let file_system = medium.file_system_name();
            (Resilience::Journal, Some(Notice::JournalResilienceChosen { file_system }))
        }
        ResilienceChoice::Journal => (Resilience::Journal, None),
        ResilienceChoice::Process => (Resilience::Process, None),
        ResilienceChoice::None => (Resilience::None, None),
    };
    let record_kind = record_kind(resilience);
    Ok((Plan { io, resilience, record_kind, fixed_sizes: None }, notice))
}

/// What a window's record must hold so that the store can be interrupted anywhere. A power cut can leave any mixture of bytes of a
/// page that was being stored into, which fingerprints cannot undo. A kill leaves a store that goes in order torn at one
/// place, which they can.
pub(crate) fn record_kind(resilience: Resilience) -> RecordKind {
    match resilience {
        Resilience::None => RecordKind::None,
        Resilience::Journal => RecordKind::FingerprintsAndPayload,
        Resilience::Checksum | Resilience::Process => RecordKind::Fingerprints,
    }
}

/// The store of a resumed job, if its resilience allows it. `has_direct`: whether the file was opened for direct
/// I/O. With `process`, a kill of a mapped store leaves a block torn at any place, and a write past the page cache that fails leaves it
/// with some new sectors; nothing looks for both in one block. So what may be in flight is recovered by `write(2)`, which leaves neither.
pub(crate) fn io_to_resume(
    choice: IoChoice,
    resilience: Resilience,
    is_clean: bool,
    has_direct: bool,
) -> Result<Io, Refusal> {
    match (choice, resilience) {
        (IoChoice::Mmap, Resilience::Checksum) => Err(Refusal::UnsoundPair),
        (_, Resilience::Process) if !is_clean => Ok(Io::Buffered),
        (IoChoice::Mmap, _) => Ok(Io::Mmap),
        (IoChoice::Auto | IoChoice::Direct, _) if has_direct => Ok(Io::Direct),
        _ => Ok(Io::Buffered),
    }
}

/// Sizes of the windows and of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSizes {
    pub(crate) window_len: u64,
    pub(crate) ring_slots: u8,
    pub(crate) slot_stride: u64,
}

/// Bytes of the windows that a new job past the page cache would have.
pub(crate) fn kept_window_len(data_len: u64, chunk_len_bytes: u64) -> u64 {
    window_len(data_len, chunk_len_bytes, LARGEST_KEPT_WINDOW_BYTES)
}

/// Windows of at most `largest` bytes, if chunks are small enough for that.
fn window_len(data_len: u64, chunk_len_bytes: u64, largest: u64) -> u64 {
    let step = WINDOW_CHUNK_MULTIPLE * chunk_len_bytes;
    let wanted = (data_len / WINDOWS_PER_FILE).min(largest);
    (wanted / step).max(1) * step
}

/// Windows that suit the file's size.
fn window_sizes(geometry: &Geometry, plan: &Plan) -> WindowSizes {
    let records = plan.record_kind;
    let logged = records == RecordKind::FingerprintsAndPayload;
    let largest = match plan.io {
        Io::Mmap if plan.resilience == Resilience::Process => LARGEST_UNSYNCED_MAPPED_WINDOW_BYTES,
        Io::Direct => LARGEST_KEPT_WINDOW_BYTES,
        Io::Mmap if logged => LARGEST_KEPT_WINDOW_BYTES,
        Io::Buffered if logged => LARGEST_LOGGED_WINDOW_BYTES,
        Io::Buffered | Io::Mmap => LARGEST_WINDOW_BYTES,
    };
    let window_len = window_len(geometry.data_len(), geometry.chunk_len_bytes(), largest);
    let windows = geometry.data_len().div_ceil(window_len);
    let most = if logged && window_len > LARGEST_LOGGED_WINDOW_BYTES {
        RING_SLOTS_OF_LARGE_PAYLOAD
    } else {
        RING_SLOTS
    };
    if records == RecordKind::None {
        return WindowSizes { window_len, ring_slots: 0, slot_stride: 0 };
    }
    WindowSizes {
        window_len,
        ring_slots: windows.clamp(2, most) as u8,
        slot_stride: slot_stride(geometry, window_len, records),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pageseal_format::Limits;

    #[test]
    fn extra_disk_stays_within_its_bounds() {
        for chunk_log2 in 16..=20 {
            for data_len in [0, 1, 1 << 20, 300 << 20, 5 << 30, 5 << 40_u64] {
                let geometry = Geometry::new(data_len, chunk_log2, &Limits::PRODUCTION).unwrap();
                let allowed = geometry.data_len() * 11 / 10_000;
                let trailer = geometry.sealed_len() - data_len;
                assert!(trailer <= allowed + 65536, "trailer of {data_len}");
                let stores = [Io::Buffered, Io::Direct, Io::Mmap];
                let modes = [Resilience::Checksum, Resilience::Journal, Resilience::Process];
                for (io, resilience) in stores.into_iter().flat_map(|io| modes.map(|mode| (io, mode))) {
                    let record_kind = record_kind(resilience);
                    let bound = if record_kind == RecordKind::Fingerprints { 64 << 20 } else { 256 << 20 };
                    let plan = Plan { io, resilience, record_kind, fixed_sizes: None };
                    let sizes = window_sizes(&geometry, &plan);
                    let journal = 45056 + u64::from(sizes.ring_slots) * sizes.slot_stride;
                    assert!(trailer + journal <= allowed + bound, "{plan:?} of {data_len}: {journal}");
                    assert_eq!(sizes.window_len % (64 << chunk_log2), 0);
                }
            }
        }
    }

    #[test]
    fn unsound_choices_are_refused() {
        assert!(matches!(
            check_choices(IoChoice::Mmap, ResilienceChoice::Checksum, false),
            Err(Refusal::UnsoundPair)
        ));
        assert!(matches!(
            check_choices(IoChoice::Auto, ResilienceChoice::None, false),
            Err(Refusal::DataLossNotAccepted)
        ));
        assert!(check_choices(IoChoice::Auto, ResilienceChoice::None, true).is_ok());
        assert!(io_to_resume(IoChoice::Mmap, Resilience::Checksum, false, false).is_err());
        let io = |choice, resilience, is_clean, has_direct| {
            io_to_resume(choice, resilience, is_clean, has_direct).unwrap()
        };
        assert_eq!(io(IoChoice::Direct, Resilience::Checksum, false, false), Io::Buffered);
        assert_eq!(io(IoChoice::Buffered, Resilience::Checksum, false, true), Io::Buffered);
        assert_eq!(io(IoChoice::Auto, Resilience::Checksum, false, true), Io::Direct);
        for choice in [IoChoice::Auto, IoChoice::Direct, IoChoice::Mmap] {
            assert_eq!(io(choice, Resilience::Process, false, true), Io::Buffered);
        }
        assert_eq!(io(IoChoice::Direct, Resilience::Process, true, true), Io::Direct);
        assert_eq!(io(IoChoice::Mmap, Resilience::Process, true, true), Io::Mmap);
    }

    #[test]
    fn fingerprints_alone_protect_a_mapping_from_kills_only() {
        for (resilience, is_sound) in [(Resilience::Checksum, false), (Resilience::Process, true)] {
            assert_eq!(record_kind(resilience), RecordKind::Fingerprints);
            assert_eq!(io_to_resume(IoChoice::Mmap, resilience, false, false).is_ok(), is_sound);
        }
        assert_eq!(record_kind(Resilience::Journal), RecordKind::FingerprintsAndPayload);
    }
}
