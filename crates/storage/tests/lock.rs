//! Locks between opens and between processes.

use std::{fs::File, path::Path, process::Command};

use pageseal_storage::lock::{FileLock, LockError, LockHolder, is_locked, lock_holder};
use tempfile::NamedTempFile;

const PATH_FOR_CHILD: &str = "PAGESEAL_TEST_LOCK_PATH";

fn open_for_writing(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

/// Whether this program, run again with one of the ignored tests on `path`, passes it.
fn child_passes(test: &str, path: &Path) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .env(PATH_FOR_CHILD, path)
        .output()
        .unwrap();
    let ran_one = String::from_utf8_lossy(&output.stdout).contains("running 1 test\n");
    assert!(ran_one, "{output:?}");
    output.status.success()
}

fn path_for_child() -> std::path::PathBuf {
    std::env::var_os(PATH_FOR_CHILD).expect("run by another test").into()
}

/// What is left of a job that was killed: its own open file is gone, the one with requests in flight is not.
#[test]
fn the_upper_half_lives_as_long_as_the_open_file_of_the_requests() {
    let temp = NamedTempFile::new().unwrap();
    let [job, requests, next] = [(); 3].map(|()| open_for_writing(temp.path()));
    let reader = File::open(temp.path()).unwrap();
    let lock = FileLock::exclusive(&job).unwrap();
    lock.cover_requests_of(&requests).unwrap();
    assert_eq!(lock_holder(&reader).unwrap(), LockHolder::Job);
    assert!(matches!(FileLock::exclusive(&next), Err(LockError::HeldElsewhere)));
    drop((lock, job));
    assert_eq!(lock_holder(&reader).unwrap(), LockHolder::Requests);
    assert!(is_locked(&reader).unwrap());
    assert!(matches!(FileLock::exclusive(&next), Err(LockError::HeldElsewhere)));
    drop(requests);
    assert_eq!(lock_holder(&reader).unwrap(), LockHolder::Nobody);
    FileLock::exclusive(&next).unwrap();
}

#[test]
fn a_half_that_cannot_be_moved_stays_where_it_was() {
    let temp = NamedTempFile::new().unwrap();
    let [job, next] = [(); 2].map(|()| open_for_writing(temp.path()));
    let lock = FileLock::exclusive(&job).unwrap();
    // A write lock wants a file that is open for writing.
    let reader = File::open(temp.path()).unwrap();
    assert!(matches!(lock.cover_requests_of(&reader), Err(LockError::Io(_))));
    drop(reader);
    assert!(matches!(FileLock::exclusive(&next), Err(LockError::HeldElsewhere)));
    assert_eq!(lock_holder(&next).unwrap(), LockHolder::Job);
}

#[test]
fn a_reader_can_ask_whether_another_open_is_locked() {
    let temp = NamedTempFile::new().unwrap();
    let (writer, reader) = (open_for_writing(temp.path()), File::open(temp.path()).unwrap());
    assert!(!is_locked(&reader).unwrap());
    let lock = FileLock::exclusive(&writer).unwrap();
    assert!(is_locked(&reader).unwrap());
    drop(lock);
    assert!(!is_locked(&reader).unwrap());
}

#[test]
fn readers_share_a_lock_that_keeps_a_writer_out() {
    let temp = NamedTempFile::new().unwrap();
    let readers = [File::open(temp.path()).unwrap(), File::open(temp.path()).unwrap()];
    let writer = open_for_writing(temp.path());
    let locks = readers.each_ref().map(|reader| FileLock::shared(reader).unwrap());
    assert!(is_locked(&writer).unwrap());
    let [first, second] = locks;
    drop(first);
    assert!(matches!(FileLock::exclusive(&writer), Err(LockError::HeldElsewhere)));
    drop(second);
    let _lock = FileLock::exclusive(&writer).unwrap();
    assert!(matches!(FileLock::shared(&readers[0]), Err(LockError::HeldElsewhere)));
}

#[test]
fn a_second_open_is_kept_out_until_the_lock_is_dropped() {
    let temp = NamedTempFile::new().unwrap();
    let (first, second) = (open_for_writing(temp.path()), open_for_writing(temp.path()));
    let lock = FileLock::exclusive(&first).unwrap();
    assert!(matches!(FileLock::exclusive(&second), Err(LockError::HeldElsewhere)));
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
    assert!(matches!(FileLock::exclusive(&second), Err(LockError::HeldElsewhere)));
    drop(lock);
    FileLock::exclusive(&second).unwrap();
}

#[test]
fn a_file_open_for_reading_only_cannot_be_locked() {
    let temp = NamedTempFile::new().unwrap();
    let error = FileLock::exclusive(&File::open(temp.path()).unwrap()).unwrap_err();
    let LockError::Io(source) = error else { panic!("{error:?}") };
    assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
}

#[test]
fn another_process_is_kept_out() {
    let temp = NamedTempFile::new().unwrap();
    let file = open_for_writing(temp.path());
    assert!(!child_passes("child_finds_it_locked", temp.path()));
    assert!(child_passes("child_finds_it_free", temp.path()));
    let lock = FileLock::exclusive(&file).unwrap();
    assert!(child_passes("child_finds_it_locked", temp.path()));
    drop(lock);
    assert!(child_passes("child_finds_it_free", temp.path()));
}

#[test]
#[ignore = "run as a child"]
fn child_finds_it_locked() {
    let file = open_for_writing(&path_for_child());
    assert!(matches!(FileLock::exclusive(&file), Err(LockError::HeldElsewhere)));
}

#[test]
#[ignore = "run as a child"]
fn child_finds_it_free() {
    let file = open_for_writing(&path_for_child());
    FileLock::exclusive(&file).unwrap();
}
