//! Files that grew out of their inodes (ext4, `inline_data`), where the folder that they are reached by cannot tell of that:
//! mounted alone, in a folder that must not be changed, through an overlay. Mounting needs root.

#[macro_use]
mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pageseal::{Control, EncryptOptions, JobError, Refusal, encrypt_in_place, verify};
use pageseal_storage::{BufferedFile, Medium, Storage};
use support::mount::Mount;
use support::{Keys, folder, skip, succeeds, write_content};

const MIB: u64 = 1 << 20;

fn inline_ext4() -> Option<Mount> {
    Mount::image_with("mkfs.ext4", &["-F", "-O", "inline_data", "-I", "256"], 160 * MIB)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file whose content was moved from its inode into a block a moment ago.
fn grown_file(path: &Path) {
    write_content(path, 60, 2);
    let file = File::options().write(true).open(path).unwrap();
    file.sync_all().unwrap();
    file.set_len(5000).unwrap();
}

/// Something mounted that goes before the file system below it.
struct Unmounted(PathBuf);

impl Drop for Unmounted {
    fn drop(&mut self) {
        succeeds("umount", &[text(&self.0)]);
    }
}

/// Seals `through`, which is another way to `file`, and looks at what the disk has then. A refusal is as good.
fn is_sealed_or_refused(mount: &Mount, file: &Path, through: &Path, undo: impl FnOnce(), case: &str) {
    let elsewhere = folder();
    let keys = Keys::new(elsewhere.path());
    // The journal lies where nothing can be told of the file's own file system.
    let options = EncryptOptions {
        keep_name: true,
        allow_sparse: true,
        journal: Some(elsewhere.path().join("journal")),
        ..EncryptOptions::default()
    };
    let before = fs::read(file).unwrap();
    let recipients = std::slice::from_ref(&keys.recipient);
    let result = encrypt_in_place(through, recipients, &options, &Control::silent());
    undo();
    mount.mount_again();
    match result {
        Ok(_) => drop(verify(file, &keys.identities(), None, &Control::silent()).expect(case)),
        Err(JobError::Refused(Refusal::OldCopyMayReturn { .. })) => {
            assert_eq!(fs::read(file).unwrap(), before, "{case}");
        }
        Err(error) => panic!("{case}: {error:?}"),
    }
}

#[test]
fn a_file_that_is_mounted_alone() {
    let Some(mount) = inline_ext4() else { return };
    let file = mount.at.join("file");
    grown_file(&file);
    let through = mount.beside("alone");
    fs::write(&through, b"").unwrap();
    assert!(succeeds("mount", &["--bind", text(&file), text(&through)]));
    let bound = Unmounted(through.clone());
    is_sealed_or_refused(&mount, &file, &through, || drop(bound), "mounted alone");
}

#[test]
fn a_file_in_a_folder_that_must_not_be_changed() {
    let Some(mount) = inline_ext4() else { return };
    let locked = mount.at.join("locked");
    fs::create_dir(&locked).unwrap();
    let file = locked.join("file");
    grown_file(&file);
    if !succeeds("chattr", &["+i", text(&locked)]) {
        return skip("chattr");
    }
    let undo = || assert!(succeeds("chattr", &["-i", text(&locked)]));
    is_sealed_or_refused(&mount, &file, &file, undo, "locked folder");
}

#[test]
fn a_file_in_the_upper_layer_of_an_overlay() {
    let Some(mount) = inline_ext4() else { return };
    let part = |name: &str| {
        let path = mount.at.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let [lower, upper, work] = ["lower", "upper", "work"].map(part);
    let file = upper.join("file");
    grown_file(&file);
    let merged = mount.beside("merged");
    fs::create_dir(&merged).unwrap();
    let options = format!("lowerdir={},upperdir={},workdir={}", text(&lower), text(&upper), text(&work));
    assert!(succeeds("mount", &["-t", "overlay", "-o", &options, "pageseal-test", text(&merged)]));
    let overlay = Unmounted(merged.clone());
    is_sealed_or_refused(&mount, &file, &merged.join("file"), || drop(overlay), "overlay");
}

/// Waiting for requests is a `fallocate` on ext4, and that would move such a file out of its inode.
#[test]
fn a_drain_leaves_a_file_in_its_inode() {
    let Some(mount) = inline_ext4() else { return };
    let path = mount.at.join("small");
    write_content(&path, 60, 2);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.sync_all().unwrap();
    assert!(Medium::of(&file).unwrap().inline_data);
    BufferedFile::new(file.try_clone().unwrap()).drain_requests().unwrap();
    assert!(Medium::of(&file).unwrap().inline_data);
}
