//! `--resilience process` counts on what is written and not synced, which goes with the file system when that is unmounted or shut
//! down. Mounting needs root: without it these tests are skipped with a message.

#[macro_use]
mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use pageseal::{
    Control, Damage, EncryptOptions, Identities, JobError, OpenError, Refusal, ResilienceChoice,
    ResumeOptions, encrypt_in_place, resume, rollback, verify,
};
use support::{Keys, Recorder, Snapshot, WINDOW, digest, folder, skip, succeeds, write_content};

/// An image of a file system, mounted below a folder.
struct Image {
    folder: support::Folder,
    at: PathBuf,
    keys: Keys,
}

impl Image {
    fn ext4() -> Option<Self> {
        let folder = folder();
        let (image, at) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(128 << 20).unwrap();
        let keys = Keys::new(folder.path());
        let image = Image { folder, at, keys };
        let path = image.folder.path().join("image");
        if succeeds("mkfs.ext4", &["-q", path.to_str().unwrap()]) && image.mount() {
            return Some(image);
        }
        skip("the right to mount a small file system");
        None
    }

    fn mount(&self) -> bool {
        let image = self.folder.path().join("image");
        succeeds("mount", &["-o", "loop", image.to_str().unwrap(), self.at.to_str().unwrap()])
    }

    fn unmount(&self) -> bool {
        succeeds("umount", &[self.at.to_str().unwrap()])
    }

    fn file(&self) -> PathBuf {
        self.at.join("file")
    }

    /// Leaves what SIGKILL leaves: a job that has said nothing of its end, and all that it wrote in the page cache.
    fn kill_encrypt(&self, journal: Option<PathBuf>) -> [u8; 32] {
        let content = write_content(&self.file(), 8 * WINDOW, 3);
        let dies = Recorder::at_first_window(|| panic!("the process dies here"));
        let options = EncryptOptions { journal, ..process() };
        let recipients = std::slice::from_ref(&self.keys.recipient);
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            encrypt_in_place(&self.file(), recipients, &options, &dies.control())
        }));
        assert!(!matches!(stopped, Ok(Ok(_))), "the job was not stopped");
        content
    }

    fn go_on(&self, path: &Path, journal: Option<PathBuf>) -> Result<(), JobError> {
        let options = ResumeOptions { journal, ..ResumeOptions::default() };
        resume(path, &Identities::none(), &options, &Control::silent()).map(|_| ())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let path = self.at.to_str().unwrap_or_default();
        let _ = self.unmount() || succeeds("umount", &["-l", path]);
    }
}

fn process() -> EncryptOptions {
    EncryptOptions { resilience: ResilienceChoice::Process, ..EncryptOptions::default() }
}

#[test]
fn a_killed_process_job_is_refused_on_a_new_mount_of_its_file_system() {
    for is_shut_down in [false, true] {
        let Some(image) = Image::ext4() else { return };
        let content = image.kill_encrypt(None);
        let path = image.at.to_str().unwrap();
        if is_shut_down && !succeeds("xfs_io", &["-x", "-c", "shutdown", path]) {
            return skip("xfs_io");
        }
        let device = || fs::metadata(&image.at).unwrap().dev();
        let device_before = device();
        assert!(image.unmount() && image.mount());
        let before = Snapshot::of(&image.at);
        let go_back = || {
            rollback(&image.file(), &Identities::none(), &ResumeOptions::default(), &Control::silent())
                .map(|_| ())
        };
        for result in [image.go_on(&image.file(), None), go_back()] {
            let error = result.expect_err("what was not synced may be gone");
            let damage = Damage::PowerCutDuringProcessJob;
            // Other tests use loop devices, too. On another one it may be another file system, of which nobody knows.
            let expected = match &error {
                JobError::Open(OpenError::Damaged { damage: found, .. }) => *found == damage,
                JobError::Refused(Refusal::OtherMount { .. }) => device() != device_before,
                _ => false,
            };
            assert!(expected, "shut down: {is_shut_down}: {error:?}");
        }
        before.assert_unchanged(&image.at, "refused");
        let _ = content;
    }
}

#[test]
fn a_killed_process_job_goes_on_where_its_file_system_stays_mounted() {
    let Some(image) = Image::ext4() else { return };
    let content = image.kill_encrypt(None);
    // Through another mount of the same file system, as from a container.
    let bound = image.folder.path().join("bound");
    fs::create_dir(&bound).unwrap();
    assert!(succeeds("mount", &["--bind", image.at.to_str().unwrap(), bound.to_str().unwrap()]));
    let result = image.go_on(&bound.join("file"), None);
    let sealed = bound.join("file.sealed");
    let verified = verify(&sealed, &image.keys.identities(), None, &Control::silent());
    assert!(succeeds("umount", &[bound.to_str().unwrap()]));
    result.unwrap();
    verified.unwrap();
    let sealed = image.at.join("file.sealed");
    let options = pageseal::DecryptOptions::default();
    pageseal::decrypt_in_place(&sealed, &image.keys.identities(), &options, &Control::silent()).unwrap();
    assert_eq!(digest(&image.file()), content);
}

/// The records are not synced either.
#[test]
fn a_killed_process_job_is_refused_if_the_file_system_of_its_journal_was_mounted_anew() {
    let (Some(image), Some(other)) = (Image::ext4(), Image::ext4()) else { return };
    let journal = other.at.join("journal");
    let content = image.kill_encrypt(Some(journal.clone()));
    assert!(other.unmount() && other.mount());
    assert_refused!(
        &image.at,
        Refused,
        JobError::Refused(Refusal::OtherMount { .. }),
        image.go_on(&image.file(), Some(journal.clone())),
        "the journal's file system"
    );
    let _ = content;
}

/// Where the system tells of single mounts only, another mount of the same file system may be refused, and is never "lost".
#[test]
fn a_killed_process_job_is_refused_and_not_called_lost_on_another_mount_of_a_tmpfs() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let (at, bound) = (folder.path().join("mounted"), folder.path().join("bound"));
    fs::create_dir(&at).unwrap();
    fs::create_dir(&bound).unwrap();
    let names = [&at, &bound].map(|path| path.to_str().unwrap().to_owned());
    if !succeeds("mount", &["-t", "tmpfs", "-o", "size=64m", "pageseal-test", &names[0]]) {
        return skip("the right to mount a small file system");
    }
    let image = Image { folder, at, keys };
    image.kill_encrypt(None);
    assert!(succeeds("mount", &["--bind", &names[0], &names[1]]));
    let error = image.go_on(&bound.join("file"), None);
    assert!(succeeds("umount", &[&names[1]]));
    match error.expect_err("another mount") {
        JobError::Refused(Refusal::OtherMount { mount, .. }) => assert_eq!(mount, bound),
        other => panic!("{other:?}"),
    }
    image.go_on(&image.file(), None).unwrap();
}
