//! The hash that binds a key slot to the header it was made for (FORMAT.md section 2.2).

use sha2::{Digest, Sha256};

use crate::suite::Suite;

const FORMAT_VERSION: u16 = 1;

/// SHA-256 over the header fields that never change during a file's life.
#[must_use]
pub fn header_hash(
    suite: Suite,
    chunk_log2: u8,
    file_id: &[u8; 16],
    shard_index: u32,
    shard_count: u32,
) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"pageseal header v1")
        .chain_update(FORMAT_VERSION.to_le_bytes())
        .chain_update([suite.id(), chunk_log2])
        .chain_update(file_id)
        .chain_update(shard_index.to_le_bytes())
        .chain_update(shard_count.to_le_bytes())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts() {
        let id = [9; 16];
        let hash = header_hash(Suite::Aegis256X2, 16, &id, 0, 1);
        let others = [
            header_hash(Suite::Xaes256Gcm, 16, &id, 0, 1),
            header_hash(Suite::Aegis256X2, 17, &id, 0, 1),
            header_hash(Suite::Aegis256X2, 16, &[8; 16], 0, 1),
            header_hash(Suite::Aegis256X2, 16, &id, 1, 1),
            header_hash(Suite::Aegis256X2, 16, &id, 0, 2),
        ];
        assert!(others.iter().all(|other| *other != hash));
    }

    #[test]
    fn layout_is_the_documented_one() {
        let mut message = b"pageseal header v1".to_vec();
        message.extend([1, 0, 3, 20]);
        message.extend([5; 16]);
        message.extend([2, 0, 0, 0, 7, 0, 0, 0]);
        let expected: [u8; 32] = Sha256::digest(&message).into();
        assert_eq!(header_hash(Suite::XChaCha20Poly1305, 20, &[5; 16], 2, 7), expected);
    }
}
