//! Names in a directory.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, PermissionsExt, symlink},
    },
};

use pageseal_storage::{Access, Directory, FileIdentity, RealDirectory};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    io::Errno,
};
use tempfile::TempDir;

fn setup() -> (TempDir, RealDirectory) {
    let temp = tempfile::tempdir().unwrap();
    let directory = RealDirectory::open(temp.path()).unwrap();
    (temp, directory)
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn files_are_created_once_and_opened() {
    let (temp, directory) = setup();
    let mut created = directory.create_new(name("a"), 0o640).unwrap();
    created.write_all(b"content").unwrap();
    let again = directory.create_new(name("a"), 0o640).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    let mode = fs::metadata(temp.path().join("a")).unwrap().permissions().mode();
    assert_eq!(mode & !0o640 & 0o777, 0, "no more than asked for");
    let mut text = String::new();
    directory.open_file(name("a"), Access::ReadOnly).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    directory.open_file(name("a"), Access::ReadWrite).unwrap().write_all(b"CON").unwrap();
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"CONtent");
    assert!(directory.open_file(name("a"), Access::ReadOnly).unwrap().write_all(b"x").is_err());
    directory.sync().unwrap();
}

#[test]
fn renaming_never_replaces() {
    let (temp, directory) = setup();
    fs::write(temp.path().join("a"), "a").unwrap();
    fs::write(temp.path().join("b"), "b").unwrap();
    let refused = directory.rename_noreplace(name("a"), name("b")).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    symlink("nowhere", temp.path().join("dangling")).unwrap();
    let refused = directory.rename_noreplace(name("a"), name("dangling")).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"a");
    assert_eq!(fs::read(temp.path().join("b")).unwrap(), b"b");
    directory.rename_noreplace(name("a"), name("c")).unwrap();
    assert_eq!(fs::read(temp.path().join("c")).unwrap(), b"a");
    assert!(!temp.path().join("a").exists());
    let missing = directory.rename_noreplace(name("a"), name("d")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn symbolic_links_are_not_followed() {
    let (temp, directory) = setup();
    fs::write(temp.path().join("target"), "x").unwrap();
    symlink("target", temp.path().join("link")).unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = directory.open_file(name("link"), access).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }
    let link = directory.identity_of(name("link")).unwrap().unwrap();
    assert_ne!(Some(link), directory.identity_of(name("target")).unwrap());
    symlink("created", temp.path().join("dangling")).unwrap();
    let error = directory.create_new(name("dangling"), 0o600).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert!(!temp.path().join("created").exists());
    directory.remove(name("link")).unwrap();
    assert!(temp.path().join("target").exists());
}

#[test]
fn a_fifo_does_not_hang() {
    let (temp, directory) = setup();
    mknodat(CWD, temp.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let fifo = directory.open_file(name("fifo"), access).unwrap();
        assert!(fifo.metadata().unwrap().file_type().is_fifo());
    }
}

#[test]
fn identities_tell_files_apart() {
    let (temp, directory) = setup();
    let file = directory.create_new(name("a"), 0o600).unwrap();
    directory.create_new(name("b"), 0o600).unwrap();
    let identity = FileIdentity::of(&file).unwrap();
    assert_eq!(directory.identity_of(name("a")).unwrap(), Some(identity));
    assert_ne!(directory.identity_of(name("b")).unwrap(), Some(identity));
    assert_eq!(directory.identity_of(name("c")).unwrap(), None);
    fs::hard_link(temp.path().join("a"), temp.path().join("c")).unwrap();
    assert_eq!(directory.identity_of(name("c")).unwrap(), Some(identity));
    directory.remove(name("a")).unwrap();
    assert_eq!(directory.identity_of(name("a")).unwrap(), None);
    let missing = directory.remove(name("a")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn names_stay_in_the_directory() {
    let (temp, directory) = setup();
    fs::create_dir(temp.path().join("sub")).unwrap();
    fs::write(temp.path().join("sub/file"), "x").unwrap();
    fs::write(temp.path().join("a"), "x").unwrap();
    let unnamed = directory.create_unnamed().unwrap();
    let absolute = temp.path().join("a");
    for bad in [name(""), name("."), name(".."), name("sub/file"), name("a/"), absolute.as_os_str()] {
        for result in [
            directory.open_file(bad, Access::ReadOnly).map(drop),
            directory.create_new(bad, 0o600).map(drop),
            directory.rename_noreplace(bad, name("b")),
            directory.rename_noreplace(name("a"), bad),
            directory.remove(bad),
            directory.identity_of(bad).map(drop),
            directory.link_temporary(&unnamed, bad),
        ] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
    }
    // Any other bytes are a name.
    let odd = OsStr::from_bytes(b"\xff\n -rf");
    directory.create_new(odd, 0o600).unwrap();
    assert!(directory.identity_of(odd).unwrap().is_some());
}

#[test]
fn an_unnamed_file_gets_its_name_or_vanishes() {
    let (temp, directory) = setup();
    let mut file = directory.create_unnamed().unwrap();
    file.write_all(b"content").unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0);
    drop(directory.create_unnamed().unwrap());
    fs::write(temp.path().join("taken"), "x").unwrap();
    let refused = directory.link_temporary(&file, name("taken")).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(temp.path().join("taken")).unwrap(), b"x");
    directory.link_temporary(&file, name("final")).unwrap();
    assert_eq!(fs::read(temp.path().join("final")).unwrap(), b"content");
    drop((file, directory));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
}

#[test]
fn only_directories_open_as_such() {
    let temp = tempfile::NamedTempFile::new().unwrap();
    let error = RealDirectory::open(temp.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    RealDirectory::open(std::path::Path::new("")).unwrap();
}
