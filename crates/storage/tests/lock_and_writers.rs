//! Locks between opens and processes, and the search for foreign writers.

use std::{
    fs::File,
    path::Path,
    process::{Command, ExitStatus},
};

use pageseal_storage::lock::{FileLock, LockError, WriterProbe, probe_writers};
use tempfile::NamedTempFile;

const PATH_FOR_CHILD: &str = "PAGESEAL_TEST_LOCK_PATH";

fn open_for_writing(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

/// This program again, running one of the ignored tests on `path`.
fn child(test: &str, path: &Path) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .env(PATH_FOR_CHILD, path)
        .status()
        .unwrap()
}

fn path_for_child() -> std::path::PathBuf {
    std::env::var_os(PATH_FOR_CHILD)
        .expect("run by another test")
        .into()
}

#[test]
fn a_second_open_is_kept_out_until_the_lock_is_dropped() {
    let temp = NamedTempFile::new().unwrap();
    let (first, second) = (open_for_writing(temp.path()), open_for_writing(temp.path()));
    let lock = FileLock::exclusive(&first).unwrap();
    assert!(matches!(
        FileLock::exclusive(&second),
        Err(LockError::HeldElsewhere)
    ));
    drop(lock);
    FileLock::exclusive(&second).unwrap();
}

#[test]
fn the_lock_outlives_the_file_it_was_taken_through() {
    let temp = NamedTempFile::new().unwrap();
    let first = open_for_writing(temp.path());
    let lock = FileLock::exclusive(&first).unwrap();
    drop(first);
    // Record locks of the older kind would be lost here.
    drop(open_for_writing(temp.path()));
    let second = open_for_writing(temp.path());
    assert!(matches!(
        FileLock::exclusive(&second),
        Err(LockError::HeldElsewhere)
    ));
    drop(lock);
    FileLock::exclusive(&second).unwrap();
}

#[test]
fn a_file_open_for_reading_only_cannot_be_locked() {
    let temp = NamedTempFile::new().unwrap();
    let error = FileLock::exclusive(&File::open(temp.path()).unwrap()).unwrap_err();
    let LockError::Io(source) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        source.raw_os_error(),
        Some(rustix::io::Errno::BADF.raw_os_error())
    );
}

#[test]
fn another_process_is_kept_out() {
    let temp = NamedTempFile::new().unwrap();
    let file = open_for_writing(temp.path());
    assert!(!child("child_finds_it_locked", temp.path()).success());
    assert!(child("child_finds_it_free", temp.path()).success());
    let lock = FileLock::exclusive(&file).unwrap();
    assert!(child("child_finds_it_locked", temp.path()).success());
    drop(lock);
    assert!(child("child_finds_it_free", temp.path()).success());
}

#[test]
#[ignore = "run as a child"]
fn child_finds_it_locked() {
    let file = open_for_writing(&path_for_child());
    assert!(matches!(
        FileLock::exclusive(&file),
        Err(LockError::HeldElsewhere)
    ));
}

#[test]
#[ignore = "run as a child"]
fn child_finds_it_free() {
    let file = open_for_writing(&path_for_child());
    FileLock::exclusive(&file).unwrap();
}

#[test]
fn writers_are_found_and_readers_are_not() {
    let (_file, path) = NamedTempFile::new().unwrap().into_parts();
    drop(_file);
    let reader = File::open(&path).unwrap();
    match probe_writers(&reader) {
        WriterProbe::Unknown => {
            eprintln!("skipped: no leases here");
            return;
        }
        found => assert_eq!(found, WriterProbe::None),
    }
    let other_reader = File::open(&path).unwrap();
    assert_eq!(probe_writers(&reader), WriterProbe::None);
    for options in [
        File::options().write(true),
        File::options().append(true),
        File::options().read(true).write(true),
    ] {
        let writer = options.open(&path).unwrap();
        assert_eq!(probe_writers(&reader), WriterProbe::OpenForWriting);
        assert_eq!(probe_writers(&other_reader), WriterProbe::OpenForWriting);
        drop(writer);
        assert_eq!(probe_writers(&reader), WriterProbe::None);
    }
}

#[test]
fn a_mapping_without_its_descriptor_is_a_writer() {
    let (file, path) = NamedTempFile::new().unwrap().into_parts();
    file.set_len(4096).unwrap();
    let mapping = memmap2::MmapOptions::new()
        .len(4096)
        .map_raw(&file)
        .unwrap();
    drop(file);
    let reader = File::open(&path).unwrap();
    let found = probe_writers(&reader);
    drop(mapping);
    if probe_writers(&reader) == WriterProbe::Unknown {
        eprintln!("skipped: no leases here");
        return;
    }
    assert_eq!(found, WriterProbe::OpenForWriting);
}

/// The lease is gone after the probe: whoever opens for writing would wait for it otherwise, and a
/// broken lease would signal this process.
#[test]
fn the_probe_leaves_nothing_behind() {
    use std::os::unix::fs::OpenOptionsExt;
    let (file, path) = NamedTempFile::new().unwrap().into_parts();
    drop(file);
    let reader = File::open(&path).unwrap();
    let _ = probe_writers(&reader);
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    File::options()
        .write(true)
        .custom_flags(nonblocking)
        .open(&path)
        .unwrap();
}

#[test]
fn a_probe_that_cannot_tell_says_so() {
    let temp = NamedTempFile::new().unwrap();
    assert_eq!(
        probe_writers(&open_for_writing(temp.path())),
        WriterProbe::Unknown
    );
    // Leases are for regular files.
    assert_eq!(
        probe_writers(&File::open(std::env::temp_dir()).unwrap()),
        WriterProbe::Unknown
    );
}
