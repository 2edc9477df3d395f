//! The mapping's exclusive ranges, where nobody cuts the file under them.

use std::{fs::File, io, os::unix::fs::FileExt};

use pageseal_storage::{MappedFile, MappedRange, POPULATE_STEP_BYTES, Storage, StorageError};

fn file_of(length: usize) -> File {
    let file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
    file.write_all_at(&bytes, 0).unwrap();
    file
}

fn invert(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
}

fn refusal(result: io::Result<()>) -> StorageError {
    let error = result.unwrap_err();
    *StorageError::of(&error).unwrap_or_else(|| panic!("no storage error: {error:?}"))
}

#[test]
fn what_is_stored_in_a_range_is_in_the_file() {
    for length in [1, 4095, 4096, 4097, 3 * POPULATE_STEP_BYTES + 5] {
        let mapped = MappedFile::new(file_of(length), length as u64).unwrap();
        assert_eq!(mapped.mapped_len(), length as u64);
        mapped.with_range(0, length, &mut invert).unwrap();
        mapped.sync_data().unwrap();
        let mut found = vec![0; length];
        mapped.read_exact_at(&mut found, 0).unwrap();
        assert!(found.iter().enumerate().all(|(at, byte)| *byte == !(at as u8)), "{length}");
        assert_eq!(mapped.len().unwrap(), length as u64);
    }
}

#[test]
fn a_range_is_no_longer_than_asked_for() {
    let mapped = MappedFile::new(file_of(10_000), 9_000).unwrap();
    mapped
        .with_range(4_090, 4_910, &mut |bytes| {
            assert_eq!(bytes.len(), 4_910);
            assert_eq!(bytes[0], 4_090_usize as u8);
            bytes.fill(0);
        })
        .unwrap();
    let mut found = vec![0; 10_000];
    mapped.read_exact_at(&mut found, 0).unwrap();
    for (at, byte) in found.into_iter().enumerate() {
        assert_eq!(byte, if (4_090..9_000).contains(&at) { 0 } else { at as u8 }, "{at}");
    }
}

#[test]
fn what_is_written_beside_the_mapping_is_seen_in_it() {
    let mapped = MappedFile::new(file_of(10_000), 10_000).unwrap();
    mapped.with_range(0, 1, &mut |_| {}).unwrap();
    mapped.write_all_at(b"new", 5_000).unwrap();
    mapped.with_range(5_000, 3, &mut |bytes| assert_eq!(bytes, b"new")).unwrap();
}

#[test]
fn nothing_mapped_is_fine() {
    let mapped = MappedFile::new(file_of(0), 0).unwrap();
    let mut ran = 0;
    let mut count = |bytes: &mut [u8]| {
        assert!(bytes.is_empty());
        ran += 1;
    };
    mapped.with_range(0, 0, &mut count).unwrap();
    MappedFile::new(file_of(9), 9).unwrap().with_range(9, 0, &mut count).unwrap();
    assert_eq!(ran, 2);
    assert!(matches!(
        refusal(mapped.with_range(0, 1, &mut |_| panic!("must not run"))),
        StorageError::OutsideMapping { mapped: 0, .. }
    ));
}

#[test]
fn ranges_outside_the_mapping_are_refused() {
    let mapped = MappedFile::new(file_of(10_000), 5_000).unwrap();
    for (offset, len) in [(0, 5_001), (5_000, 1), (4_999, 2), (u64::MAX, 1), (1, usize::MAX), (5_001, 0)] {
        let refused = refusal(mapped.with_range(offset, len, &mut |_| panic!("must not run")));
        assert!(matches!(refused, StorageError::OutsideMapping { .. }), "{offset} {len} {refused}");
    }
}

#[test]
fn overlapping_ranges_are_refused_while_in_use() {
    let mapped = MappedFile::new(file_of(10_000), 10_000).unwrap();
    let mut neighbour_ran = false;
    mapped
        .with_range(1_000, 1_000, &mut |_| {
            for (offset, len) in [(1_000, 1_000), (0, 1_001), (1_999, 1), (1_500, 2), (0, 10_000)] {
                let refused = refusal(mapped.with_range(offset, len, &mut |_| panic!("must not run")));
                assert_eq!(refused, StorageError::RangeInUse { offset, length: len as u64 });
            }
            mapped.with_range(2_000, 10, &mut |_| neighbour_ran = true).unwrap();
        })
        .unwrap();
    assert!(neighbour_ran);
    mapped.with_range(0, 10_000, &mut |_| {}).unwrap();
}

#[test]
fn a_range_is_free_again_after_a_panic() {
    let mapped = MappedFile::new(file_of(100), 100).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        mapped.with_range(0, 100, &mut |_| std::panic::panic_any("on purpose"))
    }));
    assert!(panicked.is_err());
    mapped.with_range(0, 100, &mut invert).unwrap();
}

#[test]
fn workers_use_ranges_at_the_same_time() {
    const PART: usize = 1 << 20;
    let mapped = MappedFile::new(file_of(4 * PART), 4 * PART as u64).unwrap();
    let all_inside = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (mapped, all_inside) = (&mapped, &all_inside);
            scope.spawn(move || {
                let mut work = |bytes: &mut [u8]| {
                    all_inside.wait();
                    invert(bytes);
                };
                mapped.with_range((part * PART) as u64, PART, &mut work).unwrap();
            });
        }
    });
    let mut found = vec![0; 4 * PART];
    mapped.read_exact_at(&mut found, 0).unwrap();
    assert!(found.iter().enumerate().all(|(at, byte)| *byte == !(at as u8)));
}

#[test]
fn the_mapping_is_never_cut_by_ourselves() {
    let mapped = MappedFile::new(file_of(10_000), 5_000).unwrap();
    let refused = refusal(mapped.set_len(4_999));
    assert_eq!(refused, StorageError::CutsMapping { length: 4_999, mapped: 5_000 });
    assert_eq!(mapped.len().unwrap(), 10_000);
    mapped.set_len(5_000).unwrap();
    mapped.with_range(0, 5_000, &mut invert).unwrap();
    mapped.set_len(20_000).unwrap();
    mapped.with_range(0, 5_000, &mut invert).unwrap();
}

#[test]
fn a_file_shorter_than_the_mapping_is_refused() {
    let error = MappedFile::new(file_of(4_000), 4_001).unwrap_err();
    assert_eq!(
        StorageError::of(&error),
        Some(&StorageError::FileShorterThanMapping { wanted: 4_001, file_length: 4_000 })
    );
}

#[test]
fn a_file_open_for_reading_only_cannot_be_mapped() {
    let temp = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(temp.path(), [1; 10]).unwrap();
    let error = MappedFile::new(File::open(temp.path()).unwrap(), 10).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

/// Needs no handler: bringing the pages in fails before anything touches them.
#[test]
fn a_file_cut_before_its_pages_are_brought_in_is_an_error() {
    let temp = tempfile::NamedTempFile::new().unwrap();
    let length = 3 * POPULATE_STEP_BYTES;
    temp.as_file().set_len(length as u64).unwrap();
    let mapped = MappedFile::new(temp.reopen().unwrap(), length as u64).unwrap();
    for left in [length as u64 - 4096, 4096, 0] {
        temp.as_file().set_len(left).unwrap();
        let cut = StorageError::TruncatedMapping { offset: 0, length: length as u64, file_length: left };
        assert_eq!(refusal(mapped.with_range(0, length, &mut |_| panic!("must not run"))), cut);
        assert_eq!(refusal(mapped.bring_in(0, length)), cut);
    }
    // What is still there, or there again, can be used.
    temp.as_file().set_len(length as u64).unwrap();
    mapped.with_range(0, length, &mut invert).unwrap();
}

/// A hole needs space when it is stored to. To be run as
/// `PAGESEAL_FULL_FS=/path/to/a/file/system/of/16/MiB cargo test -- --ignored`.
#[test]
#[ignore = "needs a small file system in PAGESEAL_FULL_FS"]
fn a_full_disk_under_a_hole_is_reported_as_such() {
    let place = std::env::var_os("PAGESEAL_FULL_FS").expect("PAGESEAL_FULL_FS names a directory");
    let file = tempfile::tempfile_in(place).unwrap();
    file.set_len(64 << 20).unwrap();
    let mapped = MappedFile::new(file, 64 << 20).unwrap();
    let error = mapped.with_range(0, 64 << 20, &mut |_| panic!("must not run")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error:?}");
}

/// Bringing in is for time alone: what was brought in and went again, or never was, is the file's content all the same.
#[test]
fn a_range_is_used_with_and_without_being_brought_in() {
    let length = 3 * 4096 + 100;
    let mapped = MappedFile::new(file_of(length), length as u64).unwrap();
    mapped.bring_in(4096, 4096).unwrap();
    mapped.release(4096, 4096);
    mapped.with_range_again(0, length, &mut invert).unwrap();
    let new = vec![7; 4096];
    let may = mapped
        .replace(4096, &new, &mut |old| old.iter().enumerate().all(|(at, byte)| *byte == !(at as u8)))
        .unwrap();
    assert!(may);
    assert!(!mapped.replace(8192, &new, &mut |_| false).unwrap());
    let mut found = vec![0; length];
    mapped.read_exact_at(&mut found, 0).unwrap();
    let expected = |at: usize| if (4096..8192).contains(&at) { 7 } else { !(at as u8) };
    assert!(found.iter().enumerate().all(|(at, byte)| *byte == expected(at)));
    assert!(matches!(refusal(mapped.bring_in(0, length + 1)), StorageError::OutsideMapping { .. }));
}

#[test]
fn a_released_range_keeps_its_content() {
    let length = 3 * 4096 + 100;
    let mapped = MappedFile::new(file_of(length), length as u64).unwrap();
    mapped.with_range(0, length, &mut invert).unwrap();
    // Its neighbours lie in the same pages and are in use meanwhile.
    mapped
        .with_range(0, 100, &mut |bytes| {
            mapped.release(100, length - 100);
            bytes.fill(1);
        })
        .unwrap();
    mapped.release(0, length);
    // Refused quietly.
    mapped.release(4096, length);
    let expected = |at: usize| if at < 100 { 1 } else { !(at as u8) };
    let is_right = |bytes: &[u8]| bytes.iter().enumerate().all(|(at, byte)| *byte == expected(at));
    mapped.with_range(0, length, &mut |bytes| assert!(is_right(bytes))).unwrap();
    let mut found = vec![0; length];
    mapped.read_exact_at(&mut found, 0).unwrap();
    assert!(is_right(&found));
}
