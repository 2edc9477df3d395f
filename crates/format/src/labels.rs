//! What goes before the bytes under each MAC, so that no MAC of one kind passes for another.

/// Superblocks, under the metadata key.
pub const SUPERBLOCK: &[u8] = b"pageseal superblock v1";
/// Slot areas, under the metadata key.
pub const SLOTS: &[u8] = b"pageseal slots v1";
/// The journal's header, under the journal key.
pub const JOURNAL: &[u8] = b"pageseal journal v1";
/// Phase blocks, under the journal key.
pub const PHASE: &[u8] = b"pageseal phase v1";
/// Window records, under the journal key.
pub const WINDOW: &[u8] = b"pageseal window v1";
