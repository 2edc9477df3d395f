//! Edits of a file, read from a fuzzer's bytes.
//!
//! Every input means something, so that no mutation of it is wasted. Offsets count from the start of a *region*, a part of the
//! file that has a name in `docs/FORMAT.md`: a small change of the input stays a small change of the same structure.

use sha2::{Digest, Sha256};

/// More edits than this tell nothing new, and each costs time.
const MAX_EDITS: usize = 24;
/// No edit makes a file longer than this much.
const MAX_EXTENSION_BYTES: usize = 3 * 4096;

/// Reads choices from a fuzzer's input; zeros when it has ended.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes as a number.
    pub fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// The next `len` bytes, or what is left.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(self.0.len())
    }
}

/// A part of a file that edits address.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// Where it begins.
    pub offset: usize,
    /// Its length in bytes.
    pub len: usize,
    /// Whether its last 32 bytes are the SHA-256 of those before.
    pub has_checksum: bool,
}

/// A file, or a journal, and its parts.
#[derive(Clone, Debug)]
pub struct Document {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// Its parts, which may overlap: coarse ones and fine ones.
    pub regions: Vec<Region>,
}

impl Document {
    /// Applies the edits that are left in `input`. With `fix_checksums`, the checksums of all parts that were changed are made right
    /// again afterwards, as anybody can: they have no key.
    pub fn edit(&mut self, input: &mut Input<'_>, fix_checksums: bool) {
        let before = self.bytes.clone();
        for _ in 0..MAX_EDITS {
            if input.is_empty() {
                break;
            }
            self.edit_once(input);
        }
        if !fix_checksums {
            return;
        }
        for region in self.regions.iter().filter(|region| region.has_checksum) {
            let range = region.offset..region.offset + region.len;
            let Some(part) = self.bytes.get_mut(range.clone()) else { continue };
            if before.get(range).is_none_or(|old| old != part) {
                fix_checksum(part);
            }
        }
    }

    fn edit_once(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0 => {
                let (at, room) = self.spot(input);
                let len = (usize::from(input.byte()) % 16 + 1).min(room);
                let value = input.take(len);
                self.bytes[at..at + value.len()].copy_from_slice(value);
            }
            1 => {
                let (at, room) = self.spot(input);
                if room > 0 {
                    self.bytes[at] ^= 1 << (input.byte() % 8);
                }
            }
            2 => {
                let (at, _) = self.spot(input);
                self.bytes.truncate(at);
            }
            3 => {
                let len = input.number() % MAX_EXTENSION_BYTES;
                let byte = input.byte();
                let end = self.bytes.len() + len;
                self.bytes.resize(end, byte);
            }
            4 => self.copy_or_swap(input, true),
            5 => self.copy_or_swap(input, false),
            6 => {
                let (at, room) = self.spot(input);
                let len = input.number().min(room);
                self.bytes[at..at + len].fill(0);
            }
            _ => {
                // A field: eight bytes at a multiple of eight, with a value that limits are written for.
                let (at, room) = self.spot(input);
                let at = at - at % 8;
                let value = extreme(input.byte()).to_le_bytes();
                let len = room.min(8).min(self.bytes.len() - at);
                self.bytes[at..at + len].copy_from_slice(&value[..len]);
            }
        }
    }

    /// A place in a region, and how many bytes there are from it to the region's end or the file's.
    fn spot(&self, input: &mut Input<'_>) -> (usize, usize) {
        let region = self.region(input);
        let at = (region.offset + input.number() % region.len.max(1)).min(self.bytes.len());
        let end = (region.offset + region.len).clamp(at, self.bytes.len());
        (at, end - at)
    }

    /// Whole regions, or sectors of them, change places or cover each other.
    fn copy_or_swap(&mut self, input: &mut Input<'_>, swap: bool) {
        let (one, other) = (self.region(input), self.region(input));
        let sector = usize::from(input.byte());
        let (skip, len) = match sector {
            0 => (0, usize::MAX),
            _ => ((sector - 1) * 512, 512),
        };
        let part = |region: Region| {
            let start = (region.offset + skip.min(region.len)).min(self.bytes.len());
            let end = (region.offset + region.len).clamp(start, self.bytes.len());
            (start, end - start)
        };
        let ((from, from_len), (to, to_len)) = (part(one), part(other));
        let len = len.min(from_len).min(to_len);
        let source = self.bytes[from..from + len].to_vec();
        if swap {
            self.bytes.copy_within(to..to + len, from);
        }
        self.bytes[to..to + len].copy_from_slice(&source);
    }

    fn region(&self, input: &mut Input<'_>) -> Region {
        self.regions[usize::from(input.byte()) % self.regions.len()]
    }
}

/// Puts the right SHA-256 at the end of a structure.
pub fn fix_checksum(part: &mut [u8]) {
    if let Some(body) = part.len().checked_sub(32) {
        let sum = Sha256::digest(&part[..body]);
        part[body..].copy_from_slice(&sum);
    }
}

fn extreme(choice: u8) -> u64 {
    const VALUES: [u64; 12] = [
        0,
        1,
        2,
        u64::MAX,
        1 << 63,
        i64::MAX as u64,
        1 << 60,
        (1 << 60) + 1,
        u32::MAX as u64,
        1 << 32,
        4096,
        65536,
    ];
    VALUES[usize::from(choice) % VALUES.len()]
}
