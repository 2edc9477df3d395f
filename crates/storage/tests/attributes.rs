//! Attributes copied from one file to another.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use pageseal_storage::attributes::{FileAttributes, set_modified};
use rustix::{
    fs::{XattrFlags, fsetxattr},
    io::Errno,
};

/// Sets an extended attribute; `false`, with a message, where there are none.
fn set_xattr(file: &File, name: &str, value: &[u8]) -> bool {
    match fsetxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::OPNOTSUPP) => {
            eprintln!("skipped: no extended attributes here");
            false
        }
        Err(errno) => panic!("{errno}"),
    }
}

#[test]
fn attributes_survive_the_copy() {
    let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    set_modified(&from, (1_234_567_890, 123_456_789)).unwrap();
    // More than the first try has room for.
    let large = vec![0x5A; 3000];
    let has_xattrs = set_xattr(&from, "user.small", b"")
        && set_xattr(&from, "user.binary", b"\0\xff\n")
        && set_xattr(&from, "user.large", &large);
    // Last, because only root may add extended attributes to what it may not write to.
    from.set_permissions(fs::Permissions::from_mode(0o451)).unwrap();
    let attributes = FileAttributes::read(&from).unwrap();
    assert_eq!(attributes.mode, 0o451);
    assert_eq!(attributes.modified, (1_234_567_890, 123_456_789));
    assert_eq!(attributes.uid, from.metadata().unwrap().uid());
    if has_xattrs {
        for (name, value) in [("user.small", &b""[..]), ("user.binary", b"\0\xff\n"), ("user.large", &large)]
        {
            assert!(attributes.xattrs.contains(&(OsString::from(name), value.to_vec())), "{name}");
        }
    }
    let failures = attributes.apply(&to);
    assert!(failures.is_empty(), "{failures:?}");
    let mut copied = FileAttributes::read(&to).unwrap();
    copied.xattrs.sort();
    let mut expected = attributes;
    expected.xattrs.sort();
    assert_eq!(copied, expected);
}

#[test]
fn only_the_time_of_modification_is_set() {
    let file = tempfile::tempfile().unwrap();
    let before = FileAttributes::read(&file).unwrap();
    // Before 1970 as well.
    set_modified(&file, (-5, 250_000_000)).unwrap();
    let after = FileAttributes::read(&file).unwrap();
    assert_eq!(after.modified, (-5, 250_000_000));
    assert_eq!(after.accessed, before.accessed);
}

#[test]
fn what_cannot_be_set_is_reported_and_the_rest_is_set() {
    let file = tempfile::tempfile().unwrap();
    let mut attributes = FileAttributes::read(&file).unwrap();
    attributes.mode = 0o640;
    let nameless = OsString::from("user.");
    attributes.xattrs.push((nameless.clone(), b"x".to_vec()));
    let failures = attributes.apply(&file);
    assert_eq!(failures.len(), 1, "{failures:?}");
    let expected = pageseal_storage::attributes::Attribute::Extended(nameless);
    assert_eq!(failures[0].attribute, expected);
    assert!(failures[0].source.raw_os_error().is_some());
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o640);
}
