//! Files past the page cache: the same bytes as through it, wherever a request begins and ends.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use pageseal_storage::{BufferedFile, DIRECT_ALIGNMENT, DirectError, DirectFile, Storage};

const MIB: usize = 1 << 20;
/// Several pieces, and a tail that is not aligned.
const LEN: usize = 21 * MIB + 3 * DIRECT_ALIGNMENT + 777;

/// Bytes that begin at an aligned address.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + DIRECT_ALIGNMENT];
        let start = bytes.as_ptr().align_offset(DIRECT_ALIGNMENT);
        Aligned { bytes, start }
    }

    fn slice(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + len]
    }
}

fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A file with this content in the build's own folder, which lies on a disk; `None` where that cannot do direct I/O.
fn direct_file(content: &[u8]) -> Option<(File, DirectFile)> {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
    match DirectFile::open(file.try_clone().unwrap()) {
        Ok(direct) => Some((file, direct)),
        Err(error) => {
            let required = std::env::var_os("PAGESEAL_REQUIRE_OPTIONAL_TESTS").is_some();
            assert!(!required, "no direct I/O here: {error}");
            println!("SKIPPED: no direct I/O here: {error}");
            None
        }
    }
}

#[test]
fn large_and_unaligned_requests_give_the_bytes_of_the_file() {
    let expected = content(LEN, 1);
    let Some((file, direct)) = direct_file(&expected) else { return };
    println!("io_uring: {}", direct.uses_io_uring());
    let mut room = Aligned::new(LEN + 1);
    direct.read_exact_at(room.slice(LEN), 0).unwrap();
    assert!(*room.slice(LEN) == expected[..]);
    // Wrong addresses, offsets and lengths go through the cache.
    for (address, offset, len) in
        [(1, 0, 2 * MIB), (0, 1, 2 * MIB), (0, DIRECT_ALIGNMENT, MIB + 1), (3, 5, 7)]
    {
        let buf = &mut room.slice(address + len)[address..];
        direct.read_exact_at(buf, offset as u64).unwrap();
        assert!(*buf == expected[offset..offset + len], "{address} {offset} {len}");
    }
    // Nothing behind the end, and no error up to it.
    let beyond = direct.read_exact_at(room.slice(LEN + 1), 0);
    assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let far = direct.read_exact_at(room.slice(8 * MIB), (16 * MIB) as u64);
    assert_eq!(far.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(file.metadata().unwrap().len(), LEN as u64);
}

#[test]
fn both_views_see_what_either_writes() {
    let Some((file, direct)) = direct_file(&content(LEN, 2)) else { return };
    let buffered = BufferedFile::new(file);
    let mut expected = content(LEN, 3);
    let mut room = Aligned::new(LEN);
    room.slice(LEN).copy_from_slice(&expected);
    direct.write_all_at(room.slice(LEN), 0).unwrap();
    let mut seen = vec![0; LEN];
    buffered.read_exact_at(&mut seen, 0).unwrap();
    assert!(seen == expected);
    // The pages are in the cache now. Change them there, and read past it.
    expected[5 * MIB + 7..6 * MIB].fill(0xA5);
    buffered.write_all_at(&expected[5 * MIB + 7..6 * MIB], (5 * MIB + 7) as u64).unwrap();
    direct.read_exact_at(room.slice(LEN), 0).unwrap();
    assert!(*room.slice(LEN) == expected[..]);
    // And the other way round, with a tail that the cache has.
    room.slice(LEN).fill(0x5A);
    let tail = 4 * DIRECT_ALIGNMENT + 777;
    direct.write_all_at(&room.slice(LEN)[..tail], (LEN - tail) as u64 / 4096 * 4096).unwrap();
    direct.sync_data().unwrap();
    buffered.read_exact_at(&mut seen, 0).unwrap();
    let start = (LEN - tail) / 4096 * 4096;
    assert!(seen[..start] == expected[..start]);
    assert!(seen[start..start + tail].iter().all(|byte| *byte == 0x5A));
}

#[test]
fn two_threads_transfer_at_the_same_time() {
    let expected = content(LEN, 4);
    let Some((_file, direct)) = direct_file(&expected) else { return };
    let half = 10 * MIB;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut room = Aligned::new(half);
                for _ in 0..10 {
                    direct.read_exact_at(room.slice(half), 0).unwrap();
                    assert!(*room.slice(half) == expected[..half]);
                }
            });
        }
        scope.spawn(|| {
            let mut room = Aligned::new(half);
            room.slice(half).copy_from_slice(&expected[half..2 * half]);
            for _ in 0..10 {
                direct.write_all_at(room.slice(half), half as u64).unwrap();
            }
        });
    });
    let mut room = Aligned::new(LEN);
    direct.read_exact_at(room.slice(LEN), 0).unwrap();
    assert!(*room.slice(LEN) == expected[..]);
}

/// `/proc` has files that cannot be read that way.
#[test]
fn what_the_file_system_cannot_do_is_an_error() {
    let file = File::options().read(true).write(true).open(Path::new("/proc/self/comm")).unwrap();
    let before = std::fs::read("/proc/self/comm").unwrap();
    let error = DirectFile::open(file).unwrap_err();
    assert!(matches!(error, DirectError::Unsupported), "{error:?}");
    assert_eq!(std::fs::read("/proc/self/comm").unwrap(), before);
}

#[test]
fn opening_changes_nothing_and_holds_no_writer_back() {
    let expected = content(MIB, 5);
    let Some((file, direct)) = direct_file(&expected) else { return };
    assert_eq!(direct.len().unwrap(), MIB as u64);
    file.write_all_at(b"x", 0).unwrap();
    let mut byte = [0];
    direct.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte, *b"x");
}
