//! Full disks and file systems that copy on write, on small file systems of their own. Mounting needs root: without it
//! these tests are skipped with a message.

#[macro_use]
mod support;

use std::fs;
use std::io::Write;
use std::path::Path;

use pageseal::{
    Control, DecryptOptions, EncryptOptions, ErrorClass, Identities, IoChoice, JobError, Notice, Refusal,
    ResilienceChoice, ResumeOptions, decrypt_in_place, encrypt_in_place, rollback, verify,
};
use support::mount::Mount;
use support::{Keys, Recorder, WINDOW, digest, folder, names_in, skip, succeeds, write_content};

fn full_disk(mount: &Mount, len: u64) {
    let key_folder = folder();
    let keys = Keys::new(key_folder.path());
    let file = mount.at.join("file");
    let content = write_content(&file, len, 3);
    let encrypt = |options: &EncryptOptions| {
        encrypt_in_place(&file, std::slice::from_ref(&keys.recipient), options, &Control::silent())
    };
    // No room for the journal of 45056 bytes at least; room for it and not for the trailer of 61440 too; journal elsewhere.
    for left in [0, 4096, 49152, 65536] {
        mount.fill_up(left);
        for journal in [None, Some(key_folder.path().join("journal"))] {
            // Records without windows make the smallest journal.
            let resilience = if left > 49152 { ResilienceChoice::None } else { ResilienceChoice::Auto };
            let options = EncryptOptions {
                journal: journal.clone(),
                resilience,
                accept_data_loss: resilience == ResilienceChoice::None,
                ..EncryptOptions::default()
            };
            if left > 49152 && journal.is_some() {
                continue;
            }
            assert_refused!(
                &mount.at,
                Refused,
                JobError::Refused(Refusal::NoSpace { .. }),
                encrypt(&options),
                "{left} bytes left, journal elsewhere: {}",
                journal.is_some()
            );
            assert!(!key_folder.path().join("journal").exists());
        }
    }
    assert_eq!(
        names_in(&mount.at).len(),
        names_in(&mount.at).iter().filter(|name| *name != "file.pageseal-journal").count()
    );
    fs::remove_file(mount.at.join("filler")).unwrap();
    encrypt(&EncryptOptions::default()).unwrap();
    // A decrypt needs room for its journal only.
    let sealed = mount.at.join("file.sealed");
    mount.fill_up(0);
    let identities = keys.identities();
    let decrypt = || decrypt_in_place(&sealed, &identities, &DecryptOptions::default(), &Control::silent());
    assert_refused!(&mount.at, Refused, JobError::Refused(Refusal::NoSpace { .. }), decrypt(), "decrypt");
    fs::remove_file(mount.at.join("filler")).unwrap();
    decrypt().unwrap();
    assert_eq!(digest(&file), content);
}

#[test]
fn a_full_tmpfs_refuses_and_keeps_the_file() {
    let Some(mount) = Mount::tmpfs(8 << 20) else { return };
    full_disk(&mount, 3_000_001);
}

#[test]
fn a_full_ext4_refuses_and_keeps_the_file() {
    let Some(mount) = Mount::image("mkfs.ext4", 24 << 20) else { return };
    full_disk(&mount, 3_000_001);
}

/// All space that a job needs is reserved before its first change, so a disk that fills up meanwhile does not matter.
#[test]
fn a_disk_that_fills_up_during_the_job_does_not_stop_it() {
    let Some(mount) = Mount::image("mkfs.ext4", 128 << 20) else { return };
    let key_folder = folder();
    let keys = Keys::new(key_folder.path());
    let file = mount.at.join("file");
    for resilience in [ResilienceChoice::Checksum, ResilienceChoice::Journal] {
        let content = write_content(&file, 8 * WINDOW, 3);
        let at = mount.at.clone();
        let recorder = Recorder::at_first_window(move || {
            let mut filler = fs::File::create(at.join("filler")).unwrap();
            while filler.write_all(&[1; 65536]).is_ok() {}
        });
        let options = EncryptOptions { resilience, ..EncryptOptions::default() };
        let recipients = std::slice::from_ref(&keys.recipient);
        let report = encrypt_in_place(&file, recipients, &options, &recorder.control()).unwrap();
        assert!(mount.at.join("filler").exists());
        let sealed = report.path.unwrap();
        verify(&sealed, &keys.identities(), None, &Control::silent()).unwrap();
        fs::remove_file(mount.at.join("filler")).unwrap();
        decrypt_in_place(&sealed, &keys.identities(), &DecryptOptions::default(), &Control::silent())
            .unwrap();
        assert_eq!(digest(&file), content);
    }
}

/// Btrfs needs new space for every store, which nobody can promise: a full disk stops the job, and it can be undone.
#[test]
fn a_full_btrfs_stops_the_job_and_room_lets_it_go_back() {
    let Some(mount) = Mount::image("mkfs.btrfs", 192 << 20) else { return };
    let key_folder = folder();
    let keys = Keys::new(key_folder.path());
    let file = mount.at.join("file");
    let content = write_content(&file, 12 * WINDOW, 3);
    fs::File::open(&file).unwrap().sync_all().unwrap();
    let at = mount.at.clone();
    let recorder = Recorder::at_first_window(move || fill(&at));
    let recipients = std::slice::from_ref(&keys.recipient);
    let result = encrypt_in_place(&file, recipients, &EncryptOptions::default(), &recorder.control());
    assert!(recorder.notices().contains(&Notice::OldBlocksMayStay), "{:?}", recorder.notices());
    let _ = fs::remove_file(mount.at.join("filler"));
    succeeds("sync", &["-f", mount.at.to_str().unwrap()]);
    match result {
        // Freed by the file's own old blocks: it can come out either way.
        Ok(report) => {
            let sealed = report.path.unwrap();
            decrypt_in_place(&sealed, &keys.identities(), &DecryptOptions::default(), &Control::silent())
                .unwrap();
        }
        Err(error) => {
            assert_eq!(error.class(), ErrorClass::Interrupted, "{error:?}");
            rollback(&file, &Identities::none(), &ResumeOptions::default(), &Control::silent()).unwrap();
        }
    }
    assert_eq!(digest(&file), content);
    assert_eq!(names_in(&mount.at), ["file"]);
}

/// A journal that cannot be written is not a damaged one: the job stays open, and the error says that there is no space.
#[test]
fn going_on_on_a_full_btrfs_is_an_interruption_and_no_damage() {
    for (io, resilience) in
        [(IoChoice::Buffered, ResilienceChoice::Checksum), (IoChoice::Mmap, ResilienceChoice::Journal)]
    {
        let Some(mount) = Mount::image("mkfs.btrfs", 192 << 20) else { return };
        let key_folder = folder();
        let keys = Keys::new(key_folder.path());
        let file = mount.at.join("file");
        let content = write_content(&file, 12 * WINDOW, 3);
        fs::File::open(&file).unwrap().sync_all().unwrap();
        let at = mount.at.clone();
        let recorder = Recorder::at_first_window(move || fill(&at));
        let recipients = std::slice::from_ref(&keys.recipient);
        let options = EncryptOptions { io, resilience, ..EncryptOptions::default() };
        let result = encrypt_in_place(&file, recipients, &options, &recorder.control());
        let options = ResumeOptions { io, ..ResumeOptions::default() };
        let go_back = || rollback(&file, &Identities::none(), &options, &Control::silent());
        // It can come out either way, as its own old blocks are freed; mostly it does not.
        if let Err(error) = result {
            assert_says_no_space(&error);
            if let Err(error) = go_back() {
                assert_says_no_space(&error);
                let _ = fs::remove_file(mount.at.join("filler"));
                succeeds("sync", &["-f", mount.at.to_str().unwrap()]);
                go_back().unwrap();
            }
            assert_eq!(digest(&file), content, "{io:?}");
        }
    }
}

fn assert_says_no_space(error: &JobError) {
    assert_eq!(error.class(), ErrorClass::Interrupted, "{error:?}");
    assert!(format!("{error:?}").contains("StorageFull"), "{error:?}");
}

fn fill(at: &Path) {
    let mut filler = fs::File::create(at.join("filler")).unwrap();
    while filler.write_all(&[1; 65536]).and_then(|()| filler.sync_data()).is_ok() {}
}

/// Sectors that a file has and bytes that a file system has left.
fn blocks(mount: &Mount, file: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let told =
        std::process::Command::new("stat").args(["-f", "-c", "%f %S"]).arg(&mount.at).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let (free, size) = told.trim().split_once(' ').unwrap();
    let free = free.parse::<u64>().unwrap() * size.parse::<u64>().unwrap();
    (fs::metadata(file).unwrap().blocks(), free)
}

/// A file of so many bytes with 64 KiB of data in each `step` bytes, on the disk.
fn sparse_file(path: &Path, len: u64, step: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(path).unwrap();
    file.set_len(len).unwrap();
    for at in (0..len).step_by(step as usize) {
        file.write_all_at(&[7; 65536], at).unwrap();
    }
    file.sync_all().unwrap();
    succeeds("sync", &[]);
}

fn sparse() -> EncryptOptions {
    EncryptOptions { allow_sparse: true, ..EncryptOptions::default() }
}

/// Holes are space that a job needs too. What is refused for want of it takes none, whether that is seen at once or when most of it
/// is reserved.
#[test]
fn a_refused_sparse_file_takes_no_space() {
    use pageseal_storage::Storage;
    let Some(mount) = Mount::image("mkfs.ext4", 96 << 20) else { return };
    let key_folder = folder();
    let keys = Keys::new(key_folder.path());
    let file = mount.at.join("file");
    for len in [3 << 30, 1 << 40_u64] {
        sparse_file(&file, len, len / 4);
        // Space that was reserved on purpose stays.
        assert!(succeeds("fallocate", &["-n", "-o", "1M", "-l", "1M", file.to_str().unwrap()]));
        succeeds("sync", &[]);
        let before = blocks(&mount, &file);
        let recipients = std::slice::from_ref(&keys.recipient);
        let error = encrypt_in_place(&file, recipients, &sparse(), &Control::silent()).unwrap_err();
        assert!(matches!(error, JobError::Refused(Refusal::NoSpace { .. })), "{error:?}");
        succeeds("sync", &[]);
        assert_eq!((blocks(&mount, &file), names_in(&mount.at).len()), (before, 2), "{len} bytes");
    }
    // As much as is free, but for what it takes to say where it is.
    fs::remove_file(&file).unwrap();
    sparse_file(&file, 40 << 20, 256 << 10);
    assert!(succeeds("fallocate", &["-n", "-o", "128K", "-l", "64K", file.to_str().unwrap()]));
    let holes = (40 << 20) / (256 << 10) * (192 << 10) - (64 << 10);
    let mut refused_late = false;
    for left in (holes - (64 << 10)..).step_by(1024) {
        let _ = fs::remove_file(mount.at.join("filler"));
        mount.fill_up(left);
        let before = blocks(&mount, &file);
        let file = fs::File::options().read(true).write(true).open(&file).unwrap();
        let storage = pageseal_storage::BufferedFile::new(file);
        // A page in the cache makes a reserved block look like data.
        drop(fs::read(mount.at.join("file")));
        if storage.reserve(0, 40 << 20).is_ok() {
            break;
        }
        refused_late |= before.1 >= holes;
        storage.sync_all().unwrap();
        succeeds("sync", &[]);
        let lost = before.1.saturating_sub(blocks(&mount, &mount.at.join("file")).1);
        // ext4 keeps the blocks that say where blocks are.
        assert!(lost <= 16 << 10, "{lost} bytes are gone, of {left}");
    }
    assert!(refused_late, "what had been reserved was never given back");
}

#[test]
fn an_undone_encrypt_gives_the_holes_back() {
    let Some(mount) = Mount::image("mkfs.ext4", 128 << 20) else { return };
    let key_folder = folder();
    let keys = Keys::new(key_folder.path());
    let file = mount.at.join("file");
    sparse_file(&file, 8 * WINDOW, WINDOW);
    let (content, before) = (digest(&file), blocks(&mount, &file).0);
    support::interrupt_encrypt(&file, &keys, &sparse());
    assert!(blocks(&mount, &file).0 > before + 2 * WINDOW / 512, "the holes were not reserved");
    rollback(&file, &keys.identities(), &ResumeOptions::default(), &Control::silent()).unwrap();
    assert_eq!((digest(&file), blocks(&mount, &file).0), (content, before));
}

#[test]
fn a_reflink_copy_is_named_and_keeps_its_own_content() {
    let Some(mount) = Mount::image("mkfs.btrfs", 128 << 20) else { return };
    let key_folder = folder();
    let keys = Keys::new(key_folder.path());
    let (file, copy) = (mount.at.join("file"), mount.at.join("copy"));
    let content = write_content(&file, 1_000_000, 3);
    if !succeeds("cp", &["--reflink=always", file.to_str().unwrap(), copy.to_str().unwrap()]) {
        return skip("cp --reflink");
    }
    let recorder = Recorder::default();
    let recipients = std::slice::from_ref(&keys.recipient);
    encrypt_in_place(&file, recipients, &EncryptOptions::default(), &recorder.control()).unwrap();
    assert!(recorder.notices().contains(&Notice::OldBlocksMayStay), "{:?}", recorder.notices());
    assert_eq!(digest(&copy), content, "that is what the notice warns of");
}
