//! The layout against a second, plainer computation of FORMAT.md section 2.

use pageseal_format::{FormatError, Geometry, Limits, trailer_candidates};
use proptest::prelude::*;

/// Lengths near every border that matters to a chunk size.
fn lengths_near_borders(log2: u8) -> Vec<u64> {
    let chunk = 1_u64 << log2;
    let mut borders = vec![0, 1 << 60];
    // 64 chunks fill a block of the table.
    for chunks in [1, 2, 3, 63, 64, 65, 127, 128, 129, 4096] {
        borders.push(chunks * chunk);
        borders.push(chunks * chunk + 4096);
    }
    let mut lengths = Vec::new();
    for border in borders {
        for delta in -2_i64..=2 {
            lengths.extend(border.checked_add_signed(delta));
        }
    }
    lengths.retain(|&len| len <= 1 << 60);
    lengths
}

fn round_up(x: u64, m: u64) -> u64 {
    (0..).map(|i| x / m * m + i * m).find(|&r| r >= x).unwrap()
}

fn check(data_len: u64, log2: u8, limits: &Limits) {
    let g = Geometry::new(data_len, log2, limits).unwrap();
    let chunk = 1_u64 << log2;
    let n = (data_len / chunk + u64::from(!data_len.is_multiple_of(chunk))).max(1);
    let t0 = round_up(data_len, 4096);
    let tl = round_up(64 * n, 4096);
    assert_eq!(g.chunk_count(), n);
    assert_eq!(g.trailer_offset(), t0);
    assert_eq!(g.superblock_a_offset(), t0);
    assert_eq!(g.slot_area_offset(0), t0 + 4096);
    assert_eq!(g.slot_area_offset(1), t0 + 28672);
    assert_eq!(g.table_offset(), t0 + 53248);
    assert_eq!(g.table_len(), tl);
    assert_eq!(g.superblock_b_offset(), t0 + 53248 + tl);
    assert_eq!(g.sealed_len(), t0 + 53248 + tl + 4096);
    assert_eq!(g.chunk_len(n - 1), data_len - (n - 1) * chunk);
    assert!(g.is_final(n - 1));
    assert_eq!(g.table_entry_offset(n - 1), t0 + 53248 + 64 * (n - 1));
    if n > 1 {
        assert_eq!(g.chunk_len(0), chunk);
        assert_eq!(g.chunk_offset(n - 1), (n - 1) * chunk);
        assert!(!g.is_final(0));
    }
    assert_eq!(g.bytes_of_chunks(0, n), (0, data_len));
    assert_eq!(g.blocks_of_chunks(0, n), (0, data_len.div_ceil(4096)));
    let found = trailer_candidates(g.sealed_len(), limits);
    assert!(found.contains(&(log2, t0)), "L={data_len} log2={log2}: {found:?}");
}

#[test]
#[cfg_attr(miri, ignore = "thousands of lengths, minutes in Miri")]
fn layout_near_every_border_and_for_every_chunk_size() {
    for limits in [Limits::PRODUCTION, Limits::TEST] {
        for log2 in limits.chunk_log2s() {
            for len in lengths_near_borders(log2) {
                check(len, log2, &limits);
            }
        }
    }
}

#[test]
fn chunks_cover_the_data_without_gap_or_overlap() {
    for len in [0, 1, 4095, 4096, 4097, 8192, 12_288, 50_001] {
        let g = Geometry::new(len, 12, &Limits::TEST).unwrap();
        let mut at = 0;
        for i in 0..g.chunk_count() {
            assert_eq!(g.chunk_offset(i), at);
            assert_eq!(g.bytes_of_chunks(i, 1), (at, g.chunk_len(i)));
            at += g.chunk_len(i);
        }
        assert_eq!(at, len);
        assert_eq!(g.bytes_of_chunks(g.chunk_count(), 0).1, 0);
    }
}

#[test]
fn every_candidate_explains_the_file_length_and_other_lengths_have_none() {
    for file_len in (0..200 * 4096).step_by(512) {
        for (log2, t0) in trailer_candidates(file_len, &Limits::TEST) {
            let g = Geometry::new(t0, log2, &Limits::TEST).unwrap();
            assert_eq!(g.sealed_len(), file_len);
        }
        if file_len % 4096 != 0 || file_len < 15 * 4096 {
            assert_eq!(trailer_candidates(file_len, &Limits::TEST), []);
        }
    }
    assert_eq!(trailer_candidates(15 * 4096, &Limits::PRODUCTION).len(), 5);
    for file_len in [u64::MAX, u64::MAX - 4095, 1 << 63] {
        assert_eq!(trailer_candidates(file_len, &Limits::TEST), []);
    }
}

#[test]
fn limits_are_kept() {
    let name = |result| match result {
        Err(FormatError::Field { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    for log2 in [0, 11, 12, 15, 21, 63, 64, 255] {
        let result = Geometry::new(1, log2, &Limits::PRODUCTION);
        assert_eq!(name(result), "chunk_log2");
    }
    for len in [(1 << 60) + 1, u64::MAX] {
        assert_eq!(name(Geometry::new(len, 16, &Limits::PRODUCTION)), "L");
    }
    let careless = Limits { min_chunk_log2: 0, max_chunk_log2: 255, window_chunk_multiple: 1 };
    for log2 in [0, 11, 21, 64, 255] {
        assert_eq!(name(Geometry::new(1, log2, &careless)), "chunk_log2");
    }
}

#[test]
#[should_panic(expected = "does not exist")]
fn an_offset_beyond_the_last_chunk_is_a_bug_not_a_number() {
    let g = Geometry::new(65_536, 16, &Limits::PRODUCTION).unwrap();
    let _ = g.chunk_offset(1);
}

#[test]
#[should_panic(expected = "do not exist")]
fn a_range_beyond_the_last_chunk_is_a_bug_not_a_number() {
    let g = Geometry::new(65_536, 16, &Limits::PRODUCTION).unwrap();
    let _ = g.bytes_of_chunks(1, u64::MAX);
}

proptest! {
    #[test]
    fn any_length_is_found_again(len in 0_u64..=1 << 60, small in 0_u64..1 << 28, log2 in 12_u8..=20) {
        check(len, log2, &Limits::TEST);
        check(small, log2, &Limits::TEST);
    }
}
