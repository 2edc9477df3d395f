//! The journal's structures: header, key area, phase blocks and window records.

mod header;
mod key_area;
mod kinds;
mod layout;
mod phase;
mod window;

pub use header::JournalHeader;
pub use key_area::{KeyArea, WRAPPED_KEY_LEN};
pub use kinds::{Direction, JobKind, Phase, RecordKind, Resilience};
pub use layout::{
    HEADER_LEN, HEADER_OFFSET, KEY_AREA_LEN, KEY_AREA_OFFSET, MAX_RING_SLOTS, MIN_RING_SLOTS, PHASE_LEN,
    PHASE_OFFSETS, RECORD_HEAD_LEN, RING_OFFSET, SLOT_AREA_COPY_OFFSET, SUPERBLOCK_COPY_OFFSET,
    largest_window, payload_offset_in_slot, record_len, slot_stride,
};
pub use phase::PhaseRecord;
pub use window::{ChunkRecord, WindowRecord};
