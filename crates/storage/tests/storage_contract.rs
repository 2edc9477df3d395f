//! What every storage promises, run over each of them.

use std::{fs::File, io};

use pageseal_storage::{BufferedFile, DirectFile, MappedFile, MemoryStorage, Storage};

/// A storage with the given content, made in one of the ways there are.
type Make = fn(&[u8]) -> Box<dyn Storage>;

fn file_with(content: &[u8]) -> File {
    use std::os::unix::fs::FileExt;
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(content, 0).unwrap();
    file
}

fn buffered(content: &[u8]) -> Box<dyn Storage> {
    Box::new(BufferedFile::new(file_with(content)))
}

fn memory(content: &[u8]) -> Box<dyn Storage> {
    Box::new(MemoryStorage::from(content.to_vec()))
}

/// Nothing mapped, so that the length may change freely.
fn unmapped(content: &[u8]) -> Box<dyn Storage> {
    Box::new(MappedFile::new(file_with(content), 0).unwrap())
}

/// The first half mapped, so that ranges lie inside, outside and across.
fn half_mapped(content: &[u8]) -> Box<dyn Storage> {
    Box::new(MappedFile::new(file_with(content), content.len() as u64 / 2).unwrap())
}

/// In the build's own folder, which lies on a disk.
fn direct(content: &[u8]) -> Box<dyn Storage> {
    use std::os::unix::fs::FileExt;
    let file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all_at(content, 0).unwrap();
    match DirectFile::open(file.try_clone().unwrap()) {
        Ok(direct) => Box::new(direct),
        Err(error) => {
            assert!(
                std::env::var_os("PAGESEAL_REQUIRE_OPTIONAL_TESTS").is_none(),
                "no direct I/O here: {error}"
            );
            println!("SKIPPED: no direct I/O here: {error}");
            Box::new(BufferedFile::new(file))
        }
    }
}

const ALL: [Make; 5] = [buffered, memory, unmapped, half_mapped, direct];
/// Those that may become shorter than they were.
const SHRINKING: [Make; 4] = [buffered, memory, unmapped, direct];

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 256) as u8).collect()
}

fn read(storage: &dyn Storage, offset: u64, length: usize) -> Vec<u8> {
    let mut buffer = vec![0xEE; length];
    storage.read_exact_at(&mut buffer, offset).unwrap();
    buffer
}

#[test]
fn reads_what_is_there() {
    for make in ALL {
        for length in [0, 1, 4095, 4096, 4097, 70_000] {
            let expected = content(length);
            let storage = make(&expected);
            assert_eq!(storage.len().unwrap(), length as u64);
            assert_eq!(storage.is_empty().unwrap(), length == 0);
            assert_eq!(read(&*storage, 0, length), expected, "{storage:?}");
            assert_eq!(read(&*storage, length as u64 / 3, length / 3), expected[length / 3..][..length / 3]);
        }
    }
}

#[test]
fn reading_behind_the_end_is_an_error() {
    for make in ALL {
        let storage = make(&content(100));
        for (offset, length) in [(0, 101), (99, 2), (100, 1), (1 << 40, 1)] {
            let error = storage.read_exact_at(&mut vec![0; length], offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{storage:?} {offset}");
        }
        storage.read_exact_at(&mut [], 100).unwrap();
    }
}

#[test]
fn writes_stay_where_they_are_put() {
    for make in ALL {
        let mut expected = content(20_000);
        let storage = make(&expected);
        for (offset, length) in [(0, 1), (4095, 2), (9_990, 20), (10_000, 4096), (19_999, 1)] {
            let new = vec![0xA5; length];
            storage.write_all_at(&new, offset as u64).unwrap();
            expected[offset..offset + length].copy_from_slice(&new);
        }
        storage.write_all_at(&[], 1 << 40).unwrap();
        assert_eq!(storage.len().unwrap(), 20_000);
        assert_eq!(read(&*storage, 0, 20_000), expected, "{storage:?}");
        storage.sync_data().unwrap();
        storage.sync_all().unwrap();
    }
}

#[test]
fn writing_behind_the_end_grows_and_fills_with_zeros() {
    for make in ALL {
        let storage = make(&content(10));
        storage.write_all_at(b"end", 5000).unwrap();
        assert_eq!(storage.len().unwrap(), 5003);
        assert_eq!(read(&*storage, 0, 10), content(10));
        assert_eq!(read(&*storage, 10, 4990), vec![0; 4990]);
        assert_eq!(read(&*storage, 5000, 3), b"end");
    }
}

#[test]
fn growing_adds_zeros_and_cutting_forgets() {
    for make in SHRINKING {
        let storage = make(&content(5000));
        storage.set_len(3).unwrap();
        assert_eq!(storage.len().unwrap(), 3);
        storage.set_len(5000).unwrap();
        assert_eq!(read(&*storage, 0, 3), content(3));
        assert_eq!(read(&*storage, 3, 4997), vec![0; 4997], "{storage:?}");
    }
}

#[test]
fn reserving_grows_and_changes_no_content() {
    for make in ALL {
        let storage = make(&content(5000));
        storage.reserve(1000, 2000).unwrap();
        assert_eq!(storage.len().unwrap(), 5000, "inside");
        storage.reserve(4000, 6000).unwrap();
        assert_eq!(storage.len().unwrap(), 10_000, "across the end");
        storage.reserve(20_000, 0).unwrap();
        assert_eq!(storage.len().unwrap(), 10_000, "nothing");
        storage.reserve(20_000, 5).unwrap();
        assert_eq!(storage.len().unwrap(), 20_005, "behind the end");
        assert_eq!(read(&*storage, 0, 5000), content(5000));
        assert_eq!(read(&*storage, 5000, 15_005), vec![0; 15_005], "{storage:?}");
    }
}

#[test]
fn a_reservation_that_fails_leaves_the_length() {
    for make in ALL {
        let storage = make(&content(5000));
        // More than any disk or memory has, but a valid file offset.
        let error = storage.reserve(0, i64::MAX as u64 - 4096).unwrap_err();
        assert!(error.raw_os_error().is_some(), "an errno: {error:?}");
        assert_eq!(storage.len().unwrap(), 5000);
        assert_eq!(read(&*storage, 0, 5000), content(5000));
    }
}

/// Without filling the disk to find out, which other programs would notice.
#[test]
fn more_than_the_disk_has_cannot_be_reserved() {
    for make in [buffered, unmapped] as [Make; 2] {
        let storage = make(&content(5000));
        let place = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
        let wanted = place.f_blocks * place.f_frsize + (1 << 30);
        let error = storage.reserve(0, wanted).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error:?}");
        assert_eq!(storage.len().unwrap(), 5000);
    }
}

/// Here the file system itself runs out of space, half-way. To be run as
/// `PAGESEAL_FULL_FS=/path/to/a/file/system/of/16/MiB cargo test -- --ignored`.
#[test]
#[ignore = "needs a small file system in PAGESEAL_FULL_FS"]
fn a_disk_that_gets_full_leaves_the_length_and_the_space() {
    let place = std::env::var_os("PAGESEAL_FULL_FS").expect("PAGESEAL_FULL_FS names a directory");
    let file = tempfile::tempfile_in(&place).unwrap();
    let storage = BufferedFile::new(file);
    // Holes, so that the growth alone would fit.
    storage.set_len(64 << 20).unwrap();
    let error = storage.reserve(0, 65 << 20).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error:?}");
    assert_eq!(storage.len().unwrap(), 64 << 20);
    // What lies in the file's own holes may stay allocated; what lies behind its end may not.
    storage.set_len(0).unwrap();
    storage.write_all_at(&[1; 4096], 0).unwrap();
    storage.sync_all().unwrap();
    let free = || rustix::fs::statvfs(&place).unwrap().f_bfree;
    let free_before = free();
    let frsize = rustix::fs::statvfs(&place).unwrap().f_frsize;
    // A block more than there is, which is not yet so much that it is not tried.
    let error = storage.reserve(4096, free_before * frsize + 4096).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error:?}");
    assert_eq!(storage.len().unwrap(), 4096);
    storage.sync_all().unwrap();
    assert!(free_before - free() < 16, "{free_before} {}", free());
}

#[test]
fn holes_read_as_zeros() {
    for make in ALL {
        let mut expected = content(50_000);
        let storage = make(&expected);
        match storage.punch_hole(5_000, 30_000) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                eprintln!("skipped: no holes here");
                continue;
            }
            other => other.unwrap(),
        }
        storage.punch_hole(0, 0).unwrap();
        storage.punch_hole(49_999, 100_000).unwrap();
        expected[5_000..35_000].fill(0);
        expected[49_999] = 0;
        assert_eq!(storage.len().unwrap(), 50_000);
        assert_eq!(read(&*storage, 0, 50_000), expected, "{storage:?}");
    }
}

#[test]
fn offsets_that_no_file_has_are_refused() {
    for make in ALL {
        let storage = make(&content(10));
        let far = i64::MAX as u64;
        for offset in [far, u64::MAX] {
            for result in [
                storage.read_exact_at(&mut [0], offset),
                storage.write_all_at(&[0], offset),
                storage.reserve(offset, 1),
                storage.punch_hole(offset, 1),
                storage.set_len(far + 1),
            ] {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{storage:?} {offset}");
            }
        }
        assert_eq!(storage.len().unwrap(), 10);
    }
}

#[test]
fn workers_share_a_storage() {
    for make in ALL {
        let storage = make(&content(4 * 8192));
        std::thread::scope(|scope| {
            for worker in 0..4_u8 {
                let storage = &*storage;
                scope.spawn(move || {
                    let start = u64::from(worker) * 8192;
                    for at in (0..8192).step_by(512) {
                        storage.write_all_at(&[worker; 512], start + at).unwrap();
                    }
                });
            }
        });
        let expected: Vec<u8> = (0..4).flat_map(|worker| [worker; 8192]).collect();
        assert_eq!(read(&*storage, 0, 4 * 8192), expected);
    }
}
