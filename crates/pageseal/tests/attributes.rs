//! Mode, owner, extended attributes, modification time and inode survive, in place, and out of place when that is asked for.

mod support;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Input, JobError, Output, Refusal, decrypt_in_place, decrypt_to,
    encrypt_in_place, encrypt_to,
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

/// The kernel takes them away with the first write, and after a crash nobody would know them.
#[test]
fn what_a_write_takes_away_is_refused() {
    let folder = folder();
    let key_folder = support::folder();
    let keys = Keys::new(key_folder.path());
    let (plain, sealed) = (folder.path().join("file"), folder.path().join("file.sealed"));
    let recipients = [keys.recipient.clone()];
    let encrypt = || encrypt_in_place(&plain, &recipients, &EncryptOptions::default(), &Control::silent());
    let decrypt =
        || decrypt_in_place(&sealed, &keys.identities(), &DecryptOptions::default(), &Control::silent());
    let refused = |result: Result<pageseal::JobReport, JobError>, case: &str, path: &Path| {
        let error = result.expect_err(case);
        assert!(matches!(error, JobError::Refused(Refusal::Privileges { .. })), "{case}: {error:?}");
        FileAttributes::read(&File::open(path).unwrap()).unwrap()
    };
    let capability = |path: &Path, set: bool| {
        let option = if set { "cap_net_raw+ep" } else { "-r" };
        support::succeeds("setcap", &[option, path.to_str().unwrap()])
    };
    write_content(&plain, 100_000, 8);
    for (mode, case) in [(0o4755, "set-user-id"), (0o2755, "set-group-id")] {
        for (path, is_sealed) in [(&plain, false), (&sealed, true)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let after = refused(if is_sealed { decrypt() } else { encrypt() }, case, path);
            assert_eq!(after.mode, mode, "{case}");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            if is_sealed { decrypt() } else { encrypt() }.unwrap();
        }
    }
    if !capability(&plain, true) {
        return support::skip("setcap, or the right to use it");
    }
    let before = FileAttributes::read(&File::open(&plain).unwrap()).unwrap();
    assert!(before.xattrs.iter().any(|(name, _)| name == "security.capability"), "{before:?}");
    let after = refused(encrypt(), "capabilities", &plain);
    assert_eq!(after.xattrs, before.xattrs);
    assert!(capability(&plain, false));
    encrypt().unwrap();
}

#[test]
fn out_of_place_when_asked_for() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = |name| folder.path().join(name);
    make(&path("file"));
    let before = FileAttributes::read(&File::open(path("file")).unwrap()).unwrap();
    let recipients = [keys.recipient.clone()];
    let (input, output) = (Input::File(path("file")), Output::File(path("sealed")));
    encrypt_to(
        &input,
        &output,
        &recipients,
        &EncryptOptions { preserve: true, ..Default::default() },
        &Control::silent(),
    )
    .unwrap();
    assert_same(&before, &path("sealed"), "sealed");
    let (input, output) = (Input::File(path("sealed")), Output::File(path("again")));
    decrypt_to(
        &input,
        &output,
        &keys.identities(),
        &DecryptOptions { preserve: true, ..Default::default() },
        &Control::silent(),
    )
    .unwrap();
    assert_same(&before, &path("again"), "opened");
}

/// The running user's, and open to nobody who could not read the input; no set-id bits, whatever is asked for.
#[test]
fn an_output_is_a_new_file_of_the_running_user() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = |name: &str| folder.path().join(name);
    make(&path("file"));
    fs::set_permissions(path("file"), fs::Permissions::from_mode(0o6755)).unwrap();
    let mine = fs::metadata(keys.identity_file.clone()).unwrap();
    let recipients = [keys.recipient.clone()];
    let made_by = |input: &str, output: &str, preserve: bool| {
        let (from, to) = (Input::File(path(input)), Output::File(path(output)));
        let control = Control::silent();
        if input == "file" {
            let options = EncryptOptions { preserve, ..Default::default() };
            encrypt_to(&from, &to, &recipients, &options, &control).unwrap();
        } else {
            let options = DecryptOptions { preserve, ..Default::default() };
            decrypt_to(&from, &to, &keys.identities(), &options, &control).unwrap();
        }
        fs::metadata(path(output)).unwrap()
    };
    let before = fs::metadata(path("file")).unwrap();
    for (input, output) in [("file", "sealed"), ("sealed", "opened")] {
        fs::set_permissions(path(input), fs::Permissions::from_mode(0o6755)).unwrap();
        let made = made_by(input, output, false);
        assert_eq!(made.mode() & 0o7000, 0, "{output}: set-id bits");
        assert_eq!(made.mode() & 0o777 & !0o755, 0, "{output}: {:o}", made.mode());
        assert_eq!((made.uid(), made.gid()), (mine.uid(), mine.gid()), "{output}: owner");
        assert_ne!(made.mtime(), before.mtime(), "{output}: it is new");
    }
    let made = made_by("file", "kept", true);
    assert_eq!(made.mode() & 0o7777, 0o755, "set-id bits");
    assert_eq!((made.uid(), made.mtime()), (before.uid(), before.mtime()));
    // What a group may, another one may not.
    fs::set_permissions(path("file"), fs::Permissions::from_mode(0o640)).unwrap();
    let made = made_by("file", "narrow", false);
    let expected = if before.gid() == mine.gid() { 0o640 } else { 0o600 };
    assert_eq!(made.mode() & 0o7777 & !expected, 0, "{:o}", made.mode());
}
