//! What a job does with its folder, on a real one.

use std::{ffi::OsStr, fs, io, sync::Arc};

use pageseal_storage::{BufferedFile, Folder, RealDirectory, Storage};

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let temp = tempfile::tempdir().unwrap();
    let folder: Arc<dyn Folder> = Arc::new(RealDirectory::open(temp.path()).unwrap());
    let name = OsStr::new("journal");
    folder
        .create_whole(name, &mut |storage| {
            assert_eq!(
                fs::read_dir(temp.path())
                    .unwrap()
                    .filter(|entry| { entry.as_ref().unwrap().file_name() == "journal" })
                    .count(),
                0
            );
            storage.write_all_at(b"whole", 0)
        })
        .unwrap();
    assert_eq!(fs::read(temp.path().join(name)).unwrap(), b"whole");
    let taken = folder.create_whole(name, &mut |_| Ok(())).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    let mut bytes = [0; 5];
    let opened = folder.open_storage(name).unwrap();
    opened.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"whole");
    assert_eq!(folder.open_storage(name).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(opened);
    folder.open_storage(name).unwrap();
}

#[test]
fn a_failed_filling_leaves_no_name() {
    let temp = tempfile::tempdir().unwrap();
    let folder = RealDirectory::open(temp.path()).unwrap();
    let failed = folder.create_whole(OsStr::new("journal"), &mut |_| Err(io::Error::other("full")));
    assert!(failed.is_err());
    drop(folder);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn only_a_regular_file_is_opened() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("directory")).unwrap();
    let folder = RealDirectory::open(temp.path()).unwrap();
    assert!(folder.open_storage(OsStr::new("directory")).is_err());
    assert_eq!(folder.open_storage(OsStr::new("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn holes_are_told_from_data() {
    // On the disk of the build: a temporary folder may lie on a file system without holes.
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = temp.path().join("sparse");
    let file = fs::File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let storage = BufferedFile::new(file);
    storage.set_len(3 << 20).unwrap();
    storage.write_all_at(&[1; 4096], 1 << 20).unwrap();
    storage.sync_all().unwrap();
    let hole_from = |offset, end| storage.next_hole(offset, end).unwrap();
    assert_eq!(hole_from(0, 3 << 20), Some(0..1 << 20));
    assert_eq!(hole_from(1 << 19, 3 << 19), Some(1 << 19..1 << 20));
    assert_eq!(hole_from(0, 1 << 19), Some(0..1 << 19));
    let after = hole_from(1 << 20, 3 << 20).unwrap();
    assert!(after.start >= (1 << 20) + 4096 && after.start < 2 << 20 && after.end == 3 << 20, "{after:?}");
    assert_eq!(hole_from(1 << 20, (1 << 20) + 4096), None);
    assert_eq!(hole_from(3 << 20, 4 << 20), None, "the end of the file is none");
}
