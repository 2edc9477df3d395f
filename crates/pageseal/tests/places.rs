//! Where file and journal lie: on overlayfs, in memory, moved while a job was interrupted, mounted alone. Most of it needs
//! root.

#[macro_use]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Identities, JobError, JobReport, Notice, Refusal,
    ResilienceChoice, ResumeOptions, decrypt_in_place, encrypt_in_place, plan_encrypt, resume, rollback,
    verify,
};
use pageseal_storage::Medium;
use support::mount::Mount;
use support::{
    Keys, Recorder, WINDOW, digest, folder, interrupt_encrypt, names_in, skip, succeeds, write_content,
};

const LEN: u64 = 200_000;
const CHECKSUM: EncryptOptions = with(ResilienceChoice::Checksum);

const fn with(resilience: ResilienceChoice) -> EncryptOptions {
    EncryptOptions {
        suite: None,
        chunk_len_bytes: 64 * 1024,
        io: pageseal::IoChoice::Buffered,
        resilience,
        threads: Some(2),
        job_key: pageseal::JobKeyMode::Runtime,
        journal: None,
        keep_name: false,
        allow_links: false,
        allow_sparse: false,
        accept_data_loss: false,
        preserve: false,
    }
}

struct User {
    folder: support::Folder,
    keys: Keys,
}

impl User {
    fn new() -> Self {
        let folder = folder();
        let keys = Keys::new(folder.path());
        User { folder, keys }
    }

    fn encrypt(&self, path: &Path, options: &EncryptOptions) -> Result<JobReport, JobError> {
        self.encrypt_telling(path, options, &Control::silent())
    }

    fn encrypt_telling(
        &self,
        path: &Path,
        options: &EncryptOptions,
        control: &Control<'_>,
    ) -> Result<JobReport, JobError> {
        encrypt_in_place(path, std::slice::from_ref(&self.keys.recipient), options, control)
    }

    fn decrypt(&self, path: &Path, options: &DecryptOptions) -> Result<JobReport, JobError> {
        decrypt_in_place(path, &self.keys.identities(), options, &Control::silent())
    }

    fn verify(&self, path: &Path) {
        verify(path, &self.keys.identities(), None, &Control::silent()).unwrap();
    }

    /// A disk of the build where fingerprints are sound; a job that rests on them can be begun there.
    fn interrupted_with_checksum(&self) -> Option<(PathBuf, PathBuf, [u8; 32])> {
        let file = self.folder.path().join("file");
        let content = write_content(&file, 12 * WINDOW, 6);
        if !Medium::of(&fs::File::open(&file).unwrap()).unwrap().checksum_is_sound() {
            skip("a build folder where fingerprints are sound");
            return None;
        }
        let journal = interrupt_encrypt(&file, &self.keys, &CHECKSUM);
        Some((file, journal, content))
    }
}

fn go_on(path: &Path, back: bool, journal: Option<&Path>) -> Result<JobReport, JobError> {
    let options = ResumeOptions { journal: journal.map(Path::to_path_buf), ..ResumeOptions::default() };
    let go_on = if back { rollback } else { resume };
    go_on(path, &Identities::none(), &options, &Control::silent())
}

fn copy_into(folder: &Path, paths: &[&Path]) {
    for path in paths {
        fs::copy(path, folder.join(path.file_name().unwrap())).unwrap();
    }
}

/// What rests on fingerprints is not gone on with where they do not hold, and can be brought back to where they do.
#[test]
fn a_job_that_was_moved_to_where_fingerprints_do_not_hold_is_refused() {
    let user = User::new();
    let Some((file, journal, content)) = user.interrupted_with_checksum() else { return };
    let Some(mount) = Mount::overlay(|lower| copy_into(lower, &[&file, &journal])) else { return };
    let moved = mount.at.join("file");
    for back in [false, true] {
        assert_refused!(
            &mount.at,
            Refused,
            JobError::Refused(Refusal::ChecksumUnsoundHere { .. }),
            go_on(&moved, back, None),
            "back: {back}"
        );
        assert_eq!(names_in(&mount.beside("upper")), [""; 0], "copied up by a refusal");
    }
    // The same pair in a folder that fits.
    let fitting = folder();
    copy_into(fitting.path(), &[&moved, &mount.at.join("file.pageseal-journal")]);
    let sealed = go_on(&fitting.path().join("file"), false, None).unwrap().path.unwrap();
    user.verify(&sealed);
    assert_eq!(digest(&user.decrypt(&sealed, &DecryptOptions::default()).unwrap().path.unwrap()), content);
}

/// Whole windows in the journal are sound on every file system.
#[test]
fn whole_windows_in_the_journal_can_be_moved_anywhere() {
    let user = User::new();
    let file = user.folder.path().join("file");
    let content = write_content(&file, 12 * WINDOW, 6);
    let journal = interrupt_encrypt(&file, &user.keys, &with(ResilienceChoice::Journal));
    let Some(mount) = Mount::overlay(|lower| copy_into(lower, &[&file, &journal])) else { return };
    let moved = mount.at.join("file");
    go_on(&moved, true, None).unwrap();
    assert_eq!(digest(&moved), content);
}

/// Opening a file for writing makes overlayfs copy all of it, so what can be refused is refused before.
#[test]
fn a_refused_choice_copies_nothing_up_on_overlayfs() {
    let user = User::new();
    let (plain, sealed) = (user.folder.path().join("file"), user.folder.path().join("other"));
    write_content(&plain, LEN, 6);
    write_content(&sealed, LEN, 7);
    let sealed = user.encrypt(&sealed, &with(ResilienceChoice::Auto)).unwrap().path.unwrap();
    let Some(mount) = Mount::overlay(|lower| copy_into(lower, &[&plain, &sealed])) else { return };
    let decrypt = DecryptOptions { resilience: ResilienceChoice::Checksum, ..DecryptOptions::default() };
    let results = [
        user.encrypt(&mount.at.join("file"), &CHECKSUM),
        user.decrypt(&mount.at.join("other.sealed"), &decrypt),
    ];
    for error in results.map(|result| result.expect_err("not sound")) {
        let expected = matches!(&error, JobError::Refused(Refusal::ChecksumUnsound { file_system }) if file_system == "overlayfs");
        assert!(expected, "{error:?}");
    }
    assert_eq!(names_in(&mount.beside("upper")), [""; 0], "copied up by a refusal");
}

#[test]
fn plaintext_that_may_stay_in_a_lower_layer_is_told() {
    let user = User::new();
    let plain = user.folder.path().join("file");
    let content = write_content(&plain, LEN, 6);
    let Some(mount) = Mount::overlay(|lower| copy_into(lower, &[&plain])) else { return };
    let recorder = Recorder::default();
    let report =
        user.encrypt_telling(&mount.at.join("file"), &with(ResilienceChoice::Auto), &recorder.control());
    let sealed = report.unwrap().path.unwrap();
    assert!(recorder.notices().contains(&Notice::LowerLayerMayKeep), "{:?}", recorder.notices());
    user.verify(&sealed);
    assert_eq!(digest(&mount.beside("lower").join("file")), content, "that is what the notice warns of");
}

/// A restart would leave half a file without its journal, which `checksum` and `journal` promise to survive.
#[test]
fn a_journal_in_memory_needs_a_word() {
    let user = User::new();
    let Some(memory) = Mount::tmpfs(256 << 20) else { return };
    let place = folder();
    let file = place.path().join("file");
    let content = write_content(&file, 12 * WINDOW, 6);
    let journal = memory.at.join("journal");
    let options = |resilience| EncryptOptions { journal: Some(journal.clone()), ..with(resilience) };
    use ResilienceChoice as Choice;
    for resilience in [Choice::Auto, Choice::Checksum, Choice::Journal] {
        let options = options(resilience);
        for is_plan in [false, true] {
            assert_refused!(
                place.path(),
                Refused,
                JobError::Refused(Refusal::JournalInMemory { file_system: "tmpfs", .. }),
                if is_plan {
                    plan_encrypt(&file, &options).map(drop)
                } else {
                    user.encrypt(&file, &options).map(drop)
                },
                "{resilience:?}, plan: {is_plan}"
            );
            assert!(!journal.exists());
        }
    }
    // `process` promises nothing after a restart, and the plan says where the journal lies.
    let plan = plan_encrypt(&file, &options(Choice::Process)).unwrap();
    assert_eq!(plan.resilience_reason, "as asked; the journal lies on tmpfs");
    let sealed = user.encrypt(&file, &options(Choice::Process)).unwrap().path.unwrap();
    for resilience in [Choice::Auto, Choice::Checksum, Choice::Journal] {
        let options =
            DecryptOptions { journal: Some(journal.clone()), resilience, ..DecryptOptions::default() };
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JournalInMemory { .. }),
            user.decrypt(&sealed, &options),
            "decrypt, {resilience:?}"
        );
    }
    user.decrypt(&sealed, &DecryptOptions::default()).unwrap();

    // A job that is gone on with: its journal was brought there.
    let on_disk = interrupt_encrypt(&file, &user.keys, &with(Choice::Auto));
    fs::copy(&on_disk, &journal).unwrap();
    for back in [false, true] {
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JournalInMemory { .. }),
            go_on(&file, back, Some(&journal)),
            "back: {back}"
        );
    }
    go_on(&file, true, None).unwrap();
    assert_eq!(digest(&file), content);
    // File and journal in memory are lost together.
    let inside = memory.at.join("file");
    fs::copy(&file, &inside).unwrap();
    let sealed = user.encrypt(&inside, &with(Choice::Checksum)).unwrap().path.unwrap();
    user.verify(&sealed);
}

/// Nobody can rename a mount point: the job ends well all the same, and says so.
#[test]
fn a_file_that_is_mounted_alone_keeps_its_name() {
    let user = User::new();
    let mut content = None;
    let Some(mount) = Mount::of_file(|file| content = Some(write_content(file, 12 * WINDOW, 6))) else {
        return;
    };
    let file = mount.at.as_path();
    let recorder = Recorder::default();
    for interrupted in [false, true] {
        let report = if interrupted {
            interrupt_encrypt(file, &user.keys, &EncryptOptions::default());
            go_on(file, false, None)
        } else {
            user.encrypt_telling(file, &EncryptOptions::default(), &recorder.control())
        };
        let report = report.unwrap();
        assert!(report.name_kept, "interrupted: {interrupted}");
        assert_eq!(report.path.as_deref(), Some(file));
        assert_eq!(names_in(file.parent().unwrap()), ["mounted"]);
        user.verify(file);
        let options = DecryptOptions { keep_name: true, ..DecryptOptions::default() };
        user.decrypt(file, &options).unwrap();
        assert_eq!(Some(digest(file)), content);
    }
    let told = recorder.notices();
    assert!(told.iter().any(|notice| matches!(notice, Notice::JournalNotBeside { .. })), "{told:?}");
    assert!(told.iter().any(|notice| matches!(notice, Notice::NameRefused { .. })), "{told:?}");
    interrupt_encrypt(file, &user.keys, &EncryptOptions::default());
    let report = go_on(file, true, None).unwrap();
    assert!(!report.name_kept, "it has the name that it should have");
    assert_eq!(Some(digest(file)), content);
}

/// The same for every other name that the system does not let go.
#[test]
fn a_name_in_a_folder_that_nobody_may_change_is_kept() {
    let user = User::new();
    let place = folder();
    let file = place.path().join("file");
    write_content(&file, LEN, 6);
    let locked = place.path().to_str().unwrap();
    if !succeeds("chattr", &["+i", locked]) {
        return skip("chattr and a file system with attributes");
    }
    let options =
        EncryptOptions { journal: Some(user.folder.path().join("journal")), ..EncryptOptions::default() };
    let result = user.encrypt(&file, &options);
    assert!(succeeds("chattr", &["-i", locked]));
    assert!(result.unwrap().name_kept);
    user.verify(&file);
    assert!(!user.folder.path().join("journal").exists());
}

/// Such a file system wants to be checked after a power cut, so the plan names it.
#[test]
fn the_plan_says_where_ext4_has_no_journal() {
    for (arguments, says_so) in [(&["-O", "^has_journal"][..], true), (&[][..], false)] {
        let Some(mount) = Mount::image_with("mkfs.ext4", arguments, 64 << 20) else { return };
        let file = mount.at.join("file");
        write_content(&file, LEN, 7);
        for (resilience, promises) in [(ResilienceChoice::Auto, true), (ResilienceChoice::Process, false)] {
            let plan = plan_encrypt(&file, &with(resilience)).unwrap();
            let told = plan.resilience_reason.contains("no journal of its own");
            assert_eq!(told, says_so && promises, "{arguments:?}, {}", plan.resilience_reason);
        }
    }
}
