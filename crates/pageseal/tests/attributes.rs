//! Mode, owner, extended attributes, modification time and inode survive, in place and out of place.

mod support;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Input, Output, decrypt_in_place, decrypt_to, encrypt_in_place,
    encrypt_to,
};
use pageseal_storage::attributes::FileAttributes;
use support::{Keys, folder, write_content};

/// A file with everything that can be set on it by whoever runs the test.
fn make(path: &Path) {
    write_content(path, 5_000_000, 8);
    let file = File::options().write(true).open(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may give files away; without the right the owner stays and must stay.
    let _ = chown(path, Some(4242), Some(4343));
    let set = Command::new("setfattr").args(["-n", "user.origin", "-v", "camera 3"]).arg(path).status();
    if !set.is_ok_and(|status| status.success()) {
        println!("without extended attribute: setfattr or the file system lacks them");
    }
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    file.set_times(FileTimes::new().set_modified(old)).unwrap();
}

fn assert_same(before: &FileAttributes, path: &Path, step: &str) {
    let after = FileAttributes::read(&File::open(path).unwrap()).unwrap();
    assert_eq!(after.mode, before.mode, "{step}: mode");
    assert_eq!((after.uid, after.gid), (before.uid, before.gid), "{step}: owner");
    assert_eq!(after.modified, before.modified, "{step}: modification time");
    assert_eq!(after.xattrs, before.xattrs, "{step}: extended attributes");
}

#[test]
fn in_place() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let plain = folder.path().join("file");
    make(&plain);
    let before = FileAttributes::read(&File::open(&plain).unwrap()).unwrap();
    let inode = fs::metadata(&plain).unwrap().ino();
    let recipients = [keys.recipient.clone()];
    let report =
        encrypt_in_place(&plain, &recipients, &EncryptOptions::default(), &Control::silent()).unwrap();
    let sealed = report.path.unwrap();
    assert_same(&before, &sealed, "sealed");
    decrypt_in_place(&sealed, &keys.identities(), &DecryptOptions::default(), &Control::silent()).unwrap();
    assert_same(&before, &plain, "opened");
    assert_eq!(fs::metadata(&plain).unwrap().ino(), inode);
}

#[test]
fn out_of_place() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = |name| folder.path().join(name);
    make(&path("file"));
    let before = FileAttributes::read(&File::open(path("file")).unwrap()).unwrap();
    let recipients = [keys.recipient.clone()];
    let (input, output) = (Input::File(path("file")), Output::File(path("sealed")));
    encrypt_to(&input, &output, &recipients, &EncryptOptions::default(), &Control::silent()).unwrap();
    assert_same(&before, &path("sealed"), "sealed");
    let (input, output) = (Input::File(path("sealed")), Output::File(path("again")));
    decrypt_to(&input, &output, &keys.identities(), &DecryptOptions::default(), &Control::silent()).unwrap();
    assert_same(&before, &path("again"), "opened");
}
