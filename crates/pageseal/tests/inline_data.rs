//! Small files, which some file systems keep in their inodes or among their metadata: what a job stored must be there after
//! unmounting and mounting again, which a sync alone does not show. Mounting needs root.

#[macro_use]
mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pageseal::{
    Cancellation, Control, DecryptOptions, EncryptOptions, Identities, Input, IoChoice, JobError, Output,
    Refusal, ResilienceChoice, ResumeOptions, Stage, decrypt_in_place, decrypt_to, encrypt_in_place,
    encrypt_to, export_trailer, import_trailer, resume, rollback, verify,
};
use support::mount::Mount;
use support::{Keys, WINDOW, digest, folder, interrupt_encrypt, names_in, skip, write_content};

const LENGTHS: [u64; 12] = [0, 1, 59, 60, 61, 100, 150, 160, 400, 800, 900, 1000];
const MIB: u64 = 1 << 20;

struct Place {
    mount: Mount,
    _key_folder: support::Folder,
    keys: Keys,
}

impl Place {
    fn new(mount: Option<Mount>) -> Option<Self> {
        let key_folder = folder();
        let keys = Keys::new(key_folder.path());
        Some(Place { mount: mount?, _key_folder: key_folder, keys })
    }

    fn inline_ext4(inode_size: &str) -> Option<Self> {
        let arguments = ["-F", "-O", "inline_data", "-I", inode_size];
        Self::new(Mount::image_with("mkfs.ext4", &arguments, 160 * MIB))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.mount.at.join(name)
    }

    fn encrypt(&self, path: &Path, options: &EncryptOptions) -> Result<PathBuf, JobError> {
        let recipients = std::slice::from_ref(&self.keys.recipient);
        let report = encrypt_in_place(path, recipients, options, &Control::silent())?;
        Ok(report.path.unwrap())
    }

    fn decrypt(&self, path: &Path) -> PathBuf {
        let options = DecryptOptions::default();
        let report = decrypt_in_place(path, &self.keys.identities(), &options, &Control::silent()).unwrap();
        report.path.unwrap()
    }

    fn verify(&self, path: &Path, case: &str) {
        let result = verify(path, &self.keys.identities(), None, &Control::silent());
        result.unwrap_or_else(|error| panic!("{case}: {error}"));
    }

    /// Seals and opens a small file of each length by each store, and looks at it from the disk after every step. A job
    /// that is refused has to change nothing.
    fn small_files(&self, refused: impl Fn(&JobError) -> bool) -> usize {
        let stores = [
            (IoChoice::Buffered, ResilienceChoice::Auto),
            (IoChoice::Mmap, ResilienceChoice::Auto),
            (IoChoice::Direct, ResilienceChoice::Journal),
        ];
        let cases: Vec<_> =
            LENGTHS.iter().flat_map(|len| stores.iter().map(move |store| (*len, *store))).collect();
        let made: Vec<_> = cases
            .iter()
            .map(|(len, (io, _))| {
                let path = self.file(&format!("{len}-{io:?}"));
                let content = write_content(&path, *len, *len);
                (path, content)
            })
            .collect();
        self.mount.mount_again();
        let mut seals = 0;
        let mut now = Vec::new();
        for ((path, content), (_, (io, resilience))) in made.iter().zip(&cases) {
            let options = EncryptOptions { io: *io, resilience: *resilience, ..EncryptOptions::default() };
            match self.encrypt(path, &options) {
                Ok(sealed) => {
                    seals += 1;
                    now.push((sealed, content));
                }
                Err(error) if refused(&error) => now.push((path.clone(), content)),
                Err(error) => panic!("{path:?}: {error:?}"),
            }
        }
        self.mount.mount_again();
        for (path, content) in &mut now {
            if path.extension().is_some() {
                self.verify(path, &format!("{path:?}"));
                *path = self.decrypt(path);
            }
            assert_eq!(digest(path), **content, "{path:?}");
        }
        self.mount.mount_again();
        for (path, content) in &now {
            assert_eq!(digest(path), **content, "{path:?}, from the disk");
        }
        assert_eq!(names_in(&self.mount.at).iter().filter(|name| name.contains("pageseal")).count(), 0);
        seals
    }
}

/// Ext4 forgets what is written in place to a file that grew out of its inode by `fallocate`, though it syncs it.
#[test]
fn ext4_with_inline_data_loses_nothing() {
    for inode_size in ["256", "1024"] {
        let Some(place) = Place::inline_ext4(inode_size) else { return };
        let seals = place.small_files(|error| {
            matches!(error, JobError::Refused(Refusal::InlineData { file_system: "ext4", .. }))
        });
        assert!((1..LENGTHS.len() * 3).contains(&seals), "{seals} sealed: none lies in its inode, or all do");
    }
}

/// The remedy that is told: out of place the file is only read, and the output is none that lies in its inode.
#[test]
fn what_is_refused_in_place_can_be_sealed_into_another_file() {
    let Some(place) = Place::inline_ext4("256") else { return };
    let (file, sealed) = (place.file("small"), place.file("small.sealed"));
    let content = write_content(&file, 60, 1);
    let before = support::Snapshot::of(&place.mount.at);
    let error = place.encrypt(&file, &EncryptOptions::default()).expect_err("lies in its inode");
    assert!(matches!(error, JobError::Refused(Refusal::InlineData { .. })), "{error:?}");
    before.assert_unchanged(&place.mount.at, "encrypt");
    let recipients = std::slice::from_ref(&place.keys.recipient);
    encrypt_to(
        &Input::File(file.clone()),
        &Output::File(sealed.clone()),
        recipients,
        &EncryptOptions::default(),
        &Control::silent(),
    )
    .unwrap();
    fs::remove_file(&file).unwrap();
    place.mount.mount_again();
    place.verify(&sealed, "out of place");
    assert_eq!(digest(&place.decrypt(&sealed)), content);
    place.mount.mount_again();
    assert_eq!(digest(&file), content);
    // It has a block now, and so it can be sealed in place.
    let sealed = place.encrypt(&file, &EncryptOptions::default()).unwrap();
    place.mount.mount_again();
    place.verify(&sealed, "in place");
}

/// What is made anew lies in an inode or does not, and is read only, or sealed in place from then on.
#[test]
fn outputs_hold_where_small_files_lie_in_inodes() {
    let Some(place) = Place::inline_ext4("1024") else { return };
    let control = Control::silent();
    for len in LENGTHS {
        let (plain, sealed) = (place.mount.beside("plain"), place.file(&format!("{len}.sealed")));
        let content = write_content(&plain, len, len);
        let recipients = std::slice::from_ref(&place.keys.recipient);
        let output = Output::File(sealed.clone());
        encrypt_to(&Input::File(plain), &output, recipients, &EncryptOptions::default(), &control).unwrap();
        place.mount.mount_again();
        let opened = place.file(&format!("{len}.opened"));
        let (input, output) = (Input::File(sealed.clone()), Output::File(opened.clone()));
        let identities = place.keys.identities();
        decrypt_to(&input, &output, &identities, &DecryptOptions::default(), &control).unwrap();
        place.mount.mount_again();
        assert_eq!(digest(&opened), content, "{len} bytes, out of place");
        let opened = place.decrypt(&sealed);
        place.mount.mount_again();
        assert_eq!(digest(&opened), content, "{len} bytes, in place");
    }
}

/// A file that somebody else made grow out of its inode shows no flag any more, and its old content is still in the file
/// system's journal.
#[test]
fn a_file_that_grew_out_of_its_inode_before_the_job_is_not_lost() {
    let Some(place) = Place::inline_ext4("256") else { return };
    let mut contents = Vec::new();
    for name in ["truncated", "allocated"] {
        let path = place.file(name);
        write_content(&path, 60, 2);
        let file = File::options().write(true).open(&path).unwrap();
        file.sync_all().unwrap();
        match name {
            "truncated" => file.set_len(100_000).unwrap(),
            _ => assert!(support::succeeds("fallocate", &["-l", "100000", path.to_str().unwrap()])),
        }
        file.sync_all().unwrap();
        contents.push((path.clone(), digest(&path)));
    }
    let options = EncryptOptions { allow_sparse: true, ..EncryptOptions::default() };
    for (path, content) in contents {
        let sealed = match place.encrypt(&path, &options) {
            Ok(sealed) => sealed,
            // Before Linux 5.14 nothing can be done about it.
            Err(JobError::Refused(Refusal::OldCopyMayReturn { .. })) => {
                return skip("a kernel that empties the journal of ext4");
            }
            Err(error) => panic!("{error:?}"),
        };
        place.mount.mount_again();
        place.verify(&sealed, &format!("{path:?}"));
        assert_eq!(digest(&place.decrypt(&sealed)), content);
    }
}

/// Written bit by bit, a file leaves its inode by itself, the next time that it is written back.
#[test]
fn a_file_that_is_leaving_its_inode_is_sealed() {
    let Some(place) = Place::inline_ext4("256") else { return };
    let path = place.file("appended");
    write_content(&path, 60, 2);
    let mut file = File::options().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &[7; 9000]).unwrap();
    drop(file);
    let content = digest(&path);
    let sealed = place.encrypt(&path, &EncryptOptions::default()).unwrap();
    place.mount.mount_again();
    place.verify(&sealed, "appended");
    assert_eq!(digest(&place.decrypt(&sealed)), content);
}

/// The journal is a file of its own there, too: made, written over again and again, and read after a restart.
#[test]
fn the_journal_of_a_large_file_holds_where_small_files_lie_in_inodes() {
    let Some(place) = Place::inline_ext4("1024") else { return };
    let path = place.file("large");
    let content = write_content(&path, 12 * WINDOW + 5, 3);
    for back in [false, true] {
        interrupt_encrypt(&path, &place.keys, &EncryptOptions::default());
        place.mount.mount_again();
        let options = ResumeOptions::default();
        if back {
            rollback(&path, &Identities::none(), &options, &Control::silent()).unwrap();
            place.mount.mount_again();
            assert_eq!(digest(&path), content);
        } else {
            let sealed =
                resume(&path, &Identities::none(), &options, &Control::silent()).unwrap().path.unwrap();
            place.mount.mount_again();
            place.verify(&sealed, "resumed");
            assert_eq!(digest(&place.decrypt(&sealed)), content);
        }
    }
}

/// `trailer import` makes a file grow, too.
#[test]
fn a_trailer_is_not_put_behind_what_lies_in_an_inode() {
    let Some(place) = Place::inline_ext4("256") else { return };
    let path = place.file("small");
    write_content(&path, 9000, 1);
    support::set_len(&path, 60);
    let sealed = place.encrypt(&path, &EncryptOptions::default()).unwrap();
    let (trailer, copy) = (place.mount.beside("trailer"), place.file("copy"));
    export_trailer(&sealed, &trailer).unwrap();
    fs::write(&copy, support::read_at(&sealed, 0, 60)).unwrap();
    let before = support::Snapshot::of(&place.mount.at);
    let import = |path: &Path| import_trailer(path, &trailer, &place.keys.identities(), &Control::silent());
    let error = import(&copy).expect_err("lies in its inode");
    assert!(matches!(error, JobError::Refused(Refusal::InlineData { .. })), "{error:?}");
    before.assert_unchanged(&place.mount.at, "trailer import");
    // A copy elsewhere takes it, as the remedy says.
    let elsewhere = place.mount.beside("copy");
    fs::copy(&copy, &elsewhere).unwrap();
    import(&elsewhere).unwrap();
    place.verify(&elsewhere, "imported");
}

#[test]
fn small_files_hold_on_xfs() {
    let Some(place) = Place::new(Mount::image("mkfs.xfs", 320 * MIB)) else { return };
    assert_eq!(place.small_files(|_| false), LENGTHS.len() * 3);
}

#[test]
fn small_files_hold_on_btrfs() {
    let Some(place) = Place::new(Mount::image("mkfs.btrfs", 192 * MIB)) else { return };
    assert_eq!(place.small_files(|_| false), LENGTHS.len() * 3);
}

/// Asks to stop as soon as the job converts, so that not one chunk is.
struct StopAtOnce(Cancellation);

impl pageseal::Progress for StopAtOnce {
    fn stage(&self, stage: Stage, _: u64, _: u64) {
        if stage == Stage::Encrypting {
            self.0.cancel();
        }
    }
}

/// An interrupted job on a small file, whose content Btrfs keeps among its metadata, is undone after mounting again.
#[test]
fn a_small_file_on_btrfs_comes_back_from_an_interrupted_job() {
    let Some(place) = Place::new(Mount::image("mkfs.btrfs", 192 * MIB)) else { return };
    for len in LENGTHS {
        let path = place.file(&format!("small-{len}"));
        let content = write_content(&path, len, 4);
        place.mount.mount_again();
        let cancellation = Cancellation::new();
        let progress = StopAtOnce(cancellation.clone());
        let control = Control { progress: &progress, cancellation };
        let recipients = std::slice::from_ref(&place.keys.recipient);
        let stopped = encrypt_in_place(&path, recipients, &EncryptOptions::default(), &control);
        assert!(matches!(stopped, Err(JobError::Interrupted { .. })), "{len}: {stopped:?}");
        place.mount.mount_again();
        rollback(&path, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
        place.mount.mount_again();
        assert_eq!((digest(&path), fs::metadata(&path).unwrap().len()), (content, len), "{len} bytes");
    }
}
