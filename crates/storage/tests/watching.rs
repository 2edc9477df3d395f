//! Foreign changes are seen, our own are not.

use std::{
    fs,
    fs::File,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pageseal_storage::{
    BufferedFile, MappedFile, MappedRange, Storage,
    attributes::set_modified,
    lock::FileLock,
    watch::{Change, ChangeWatch},
};
use tempfile::TempDir;

/// Between fork and exec a child has every file of its parent open, so a file of one test would be
/// closed late because of the child of another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn setup() -> (TempDir, PathBuf, File, ChangeWatch) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, vec![1; 10_000]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let watch = ChangeWatch::new(&file).unwrap();
    (temp, path, file, watch)
}

#[test]
fn our_own_work_is_not_reported() {
    let _alone = alone();
    let (_temp, _path, file, watch) = setup();
    let kept_open = file.try_clone().unwrap();
    let lock = FileLock::exclusive(&file).unwrap();
    let mapped = MappedFile::new(file, 10_000).unwrap();
    mapped.write_all_at(b"own", 17).unwrap();
    mapped.with_range(0, 5_000, &mut |bytes| bytes.fill(2)).unwrap();
    mapped.reserve(0, 20_000).unwrap();
    mapped.sync_all().unwrap();
    set_modified(mapped.file(), (1, 2)).unwrap();
    drop((mapped, lock));
    let buffered = BufferedFile::new(kept_open.try_clone().unwrap());
    buffered.write_all_at(b"own", 9).unwrap();
    buffered.set_len(5).unwrap();
    drop(buffered);
    assert_eq!(watch.poll().unwrap(), []);
    // The last descriptor is the one thing that counts.
    drop(kept_open);
    assert_eq!(watch.poll().unwrap(), [Change::ClosedAfterWriting]);
}

#[test]
fn a_foreign_writer_is_reported_when_it_closes() {
    let _alone = alone();
    let (_temp, path, _file, watch) = setup();
    drop(File::open(&path).unwrap());
    let foreign = File::options().write(true).open(&path).unwrap();
    foreign.write_all_at(b"foreign", 0).unwrap();
    assert_eq!(watch.poll().unwrap(), []);
    drop(foreign);
    assert_eq!(watch.poll().unwrap(), [Change::ClosedAfterWriting]);
    assert_eq!(watch.poll().unwrap(), []);
}

#[test]
fn a_foreign_process_is_seen() {
    let _alone = alone();
    let (_temp, path, _file, watch) = setup();
    let status = std::process::Command::new("sh")
        .args(["-c", "echo foreign >> \"$1\"", "sh"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(watch.poll().unwrap(), [Change::ClosedAfterWriting]);
}

#[test]
fn moving_and_deleting_are_reported() {
    let _alone = alone();
    let (temp, path, _file, watch) = setup();
    let moved = temp.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    assert_eq!(watch.poll().unwrap(), [Change::Moved]);
    fs::hard_link(&moved, &path).unwrap();
    fs::remove_file(&moved).unwrap();
    assert_eq!(watch.poll().unwrap(), [], "a name is left");
    fs::remove_file(&path).unwrap();
    assert_eq!(watch.poll().unwrap(), [Change::Deleted], "although it is still open");
    set_modified(&_file, (1, 2)).unwrap();
    assert_eq!(watch.poll().unwrap(), [], "once");
}

#[test]
fn a_replaced_file_is_reported_as_deleted() {
    let _alone = alone();
    let (temp, path, _file, watch) = setup();
    let other = temp.path().join("other");
    fs::write(&other, "x").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(watch.poll().unwrap(), [Change::Deleted]);
}
