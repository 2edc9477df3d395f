//! Files and options that a job must not be started with: what is no regular file, protected, sparse, linked, badly named.

#[macro_use]
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, Identities, IoChoice, JobError, JobReport, OpenError, Recipient,
    Refusal, ResilienceChoice, decrypt_in_place, encrypt_in_place, info, verify,
};
use support::{Keys, digest, folder, names_in, sealed_file, skip, succeeds, write_content};

const LEN: u64 = 200_000;

struct Place {
    folder: support::Folder,
    elsewhere: support::Folder,
    keys: Keys,
    identities: Identities,
}

impl Place {
    fn new() -> Self {
        let (folder, elsewhere) = (folder(), folder());
        let keys = Keys::new(elsewhere.path());
        let identities = keys.identities();
        Place { folder, elsewhere, keys, identities }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn plain(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        write_content(&path, LEN, 5);
        path
    }

    fn encrypt(&self, path: &Path, options: &EncryptOptions) -> Result<JobReport, JobError> {
        encrypt_in_place(path, std::slice::from_ref(&self.keys.recipient), options, &Control::silent())
    }

    fn decrypt(&self, path: &Path, options: &DecryptOptions) -> Result<JobReport, JobError> {
        decrypt_in_place(path, &self.identities, options, &Control::silent())
    }

    fn both_refuse(&self, path: &Path, case: &str, expected: fn(&Refusal) -> bool) {
        let before = support::Snapshot::of(self.path());
        let keep = DecryptOptions { keep_name: true, ..DecryptOptions::default() };
        let results = [self.encrypt(path, &EncryptOptions::default()), self.decrypt(path, &keep)];
        for error in results.map(|result| result.expect_err(case)) {
            assert!(matches!(&error, JobError::Refused(refusal) if expected(refusal)), "{case}: {error:?}");
            assert_eq!(error.class(), pageseal::ErrorClass::Refused, "{case}");
        }
        before.assert_unchanged(self.path(), case);
    }
}

#[test]
fn what_is_not_a_regular_file_is_refused_by_name() {
    let place = Place::new();
    let file = place.plain("file");
    let not_regular = |refusal: &Refusal| matches!(refusal, Refusal::NotRegular { .. });
    let is_link = |refusal: &Refusal| matches!(refusal, Refusal::SymbolicLink { .. });
    let directory = place.path().join("directory");
    fs::create_dir(&directory).unwrap();
    place.both_refuse(&directory, "directory", not_regular);
    place.both_refuse(&place.path().join("directory/"), "directory with a slash", not_regular);
    place.both_refuse(&place.path().join("file/"), "file with a slash", |refusal| {
        matches!(refusal, Refusal::NotRegular { .. } | Refusal::Unopenable { .. })
    });
    for (name, target) in
        [("link", file.as_path()), ("dangling", Path::new("nowhere")), ("to-folder", &directory)]
    {
        let link = place.path().join(name);
        symlink(target, &link).unwrap();
        place.both_refuse(&link, name, is_link);
    }
    place.both_refuse(Path::new("/dev/null"), "device", not_regular);
    place.both_refuse(Path::new("/"), "root folder", not_regular);
    let socket = place.elsewhere.path().join("s");
    match std::os::unix::net::UnixListener::bind(&socket) {
        Ok(_listener) => place.both_refuse(&socket, "socket", not_regular),
        // The path may be longer than the 108 bytes that a socket's name can have.
        Err(_) => eprintln!("no socket could be made here"),
    }
    let fifo = place.path().join("fifo");
    if succeeds("mkfifo", &[fifo.to_str().unwrap()]) {
        place.both_refuse(&fifo, "FIFO", not_regular);
        assert!(info(&fifo, None).is_err());
        assert!(verify(&fifo, &place.identities, None, &Control::silent()).is_err());
    } else {
        skip("mkfifo");
    }
    place.both_refuse(&place.path().join("missing"), "missing", |refusal| {
        matches!(refusal, Refusal::Unopenable { .. })
    });
}

#[test]
fn a_protected_file_is_refused_even_to_root() {
    let place = Place::new();
    let file = place.plain("file");
    let immutable = |refusal: &Refusal| matches!(refusal, Refusal::Immutable { .. });
    fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
    let read_only = |refusal: &Refusal| matches!(refusal, Refusal::ReadOnlyFile { .. });
    place.both_refuse(&file, "mode 0444", read_only);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    for attribute in ["i", "a"] {
        let path = file.to_str().unwrap();
        if !succeeds("chattr", &[&format!("+{attribute}"), path]) {
            skip("chattr and a file system with attributes");
            return;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            place.both_refuse(&file, attribute, immutable);
        }));
        assert!(succeeds("chattr", &[&format!("-{attribute}"), path]));
        outcome.unwrap();
    }
    place.encrypt(&file, &EncryptOptions::default()).unwrap();
}

#[test]
fn where_no_journal_can_be_made_nothing_begins() {
    let place = Place::new();
    let file = place.plain("file");
    let missing = Some(place.path().join("missing/journal"));
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::JournalUnmakable { .. }),
        place.encrypt(&file, &EncryptOptions { journal: missing.clone(), ..EncryptOptions::default() }),
        "encrypt, journal in a missing folder"
    );
    let taken = place.plain("taken");
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::JobOpen { .. }),
        place.encrypt(&file, &EncryptOptions { journal: Some(taken.clone()), ..EncryptOptions::default() }),
        "encrypt, journal's name taken"
    );
    let (sealed, _) = sealed_file(place.path(), &place.keys, "other", LEN);
    for (journal, case) in [(missing, "missing folder"), (Some(taken), "name taken")] {
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JournalUnmakable { .. } | Refusal::JobOpen { .. }),
            place.decrypt(&sealed, &DecryptOptions { journal, ..DecryptOptions::default() }),
            "decrypt, {case}"
        );
    }
    // Root may write where the mode forbids it, but not into an immutable folder.
    let path = place.path().to_str().unwrap();
    if !succeeds("chattr", &["+i", path]) {
        skip("chattr and a file system with attributes");
        return;
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JournalUnmakable { .. }),
            place.encrypt(&file, &EncryptOptions::default()),
            "encrypt in a folder without the right to make files"
        );
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::JournalUnmakable { .. }),
            place.decrypt(&sealed, &DecryptOptions::default()),
            "decrypt in a folder without the right to make files"
        );
    }));
    assert!(succeeds("chattr", &["-i", path]));
    outcome.unwrap();
}

#[test]
fn names_that_leave_no_room_for_the_suffixes_are_refused() {
    let place = Place::new();
    let name = |len: usize| "n".repeat(len);
    // ".sealed" has 7 bytes, ".pageseal-journal" 17, and ext4, XFS and tmpfs allow 255.
    for len in [239, 248, 249, 250, 255] {
        let file = place.plain(&name(len));
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::NameTooLong { limit_bytes: 255, .. }),
            place.encrypt(&file, &EncryptOptions::default()),
            "a name of {len} bytes"
        );
        let elsewhere = Some(place.elsewhere.path().join("journal"));
        let options = EncryptOptions { journal: elsewhere.clone(), ..EncryptOptions::default() };
        if len > 248 {
            assert_refused!(
                place.path(),
                Refused,
                JobError::Refused(Refusal::NameTooLong { limit_bytes: 255, .. }),
                place.encrypt(&file, &options),
                "a name of {len} bytes, journal elsewhere"
            );
            let options = EncryptOptions { keep_name: true, ..options };
            place.encrypt(&file, &options).unwrap();
            let options = DecryptOptions { keep_name: true, journal: elsewhere, ..DecryptOptions::default() };
            place.decrypt(&file, &options).unwrap();
        } else {
            let sealed = place.encrypt(&file, &options).unwrap().path.unwrap();
            assert_refused!(
                place.path(),
                Refused,
                JobError::Refused(Refusal::NameTooLong { .. }),
                place.decrypt(&sealed, &DecryptOptions::default()),
                "a sealed name of {} bytes",
                len + 7
            );
            place
                .decrypt(&sealed, &DecryptOptions { journal: elsewhere, ..DecryptOptions::default() })
                .unwrap();
        }
        fs::remove_file(&file).unwrap();
    }
    let longest = place.plain(&name(238));
    let sealed = place.encrypt(&longest, &EncryptOptions::default()).unwrap().path.unwrap();
    place.decrypt(&sealed, &DecryptOptions::default()).unwrap();
    assert!(longest.exists());
}

#[test]
fn a_taken_target_name_is_refused() {
    let place = Place::new();
    let file = place.plain("file");
    let target = place.path().join("file.sealed");
    let kinds: [(&str, &dyn Fn()); 3] = [
        ("file", &|| fs::write(&target, b"mine").unwrap()),
        ("dangling link", &|| symlink("nowhere", &target).unwrap()),
        ("hard link to the file itself", &|| fs::hard_link(&file, &target).unwrap()),
    ];
    for (case, make) in kinds {
        make();
        let options = EncryptOptions { allow_links: true, ..EncryptOptions::default() };
        assert_refused!(
            place.path(),
            Refused,
            JobError::Refused(Refusal::TargetExists { .. }),
            place.encrypt(&file, &options),
            "{case}"
        );
        fs::remove_file(&target).unwrap();
    }
    let sealed = place.encrypt(&file, &EncryptOptions::default()).unwrap().path.unwrap();
    place.plain("file");
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::TargetExists { .. }),
        place.decrypt(&sealed, &DecryptOptions::default()),
        "decrypt onto a file"
    );
    let options = DecryptOptions { keep_name: true, ..DecryptOptions::default() };
    place.decrypt(&sealed, &options).unwrap();
    assert_eq!(digest(&sealed), digest(&file), "under its own name it could be opened");
}

#[test]
fn hard_links_need_a_word() {
    let place = Place::new();
    let (file, link) = (place.plain("file"), place.path().join("link"));
    let content = digest(&file);
    fs::hard_link(&file, &link).unwrap();
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::HardLinks { links: 2, .. }),
        place.encrypt(&file, &EncryptOptions::default()),
        "encrypt"
    );
    let sealed = place
        .encrypt(&file, &EncryptOptions { allow_links: true, ..EncryptOptions::default() })
        .unwrap()
        .path
        .unwrap();
    assert_eq!(digest(&link), digest(&sealed), "all names show the new content");
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::HardLinks { links: 2, .. }),
        place.decrypt(&sealed, &DecryptOptions::default()),
        "decrypt"
    );
    place.decrypt(&sealed, &DecryptOptions { allow_links: true, ..DecryptOptions::default() }).unwrap();
    assert_eq!((digest(&file), digest(&link)), (content, content));
}

/// Makes a file of 24 MiB, 1.1 MiB of them allocated.
fn sparse_file(path: &Path) {
    write_content(path, 1 << 20, 8);
    support::set_len(path, 24 << 20);
    support::write_at(path, 16 << 20, &[7; 100_000]);
    let metadata = fs::metadata(path).unwrap();
    assert!(metadata.blocks() * 512 < metadata.len() / 4, "the file system knows no holes");
}

#[test]
fn sparse_files_need_a_word() {
    let place = Place::new();
    let file = place.path().join("file");
    sparse_file(&file);
    let content = digest(&file);
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::Sparse { len_bytes: 25_165_824, .. }),
        place.encrypt(&file, &EncryptOptions::default()),
        "encrypt"
    );
    let options = EncryptOptions { allow_sparse: true, ..EncryptOptions::default() };
    let sealed = place.encrypt(&file, &options).unwrap().path.unwrap();
    let metadata = fs::metadata(&sealed).unwrap();
    assert!(metadata.blocks() * 512 >= metadata.len(), "no holes while sealed");
    verify(&sealed, &place.identities, None, &Control::silent()).unwrap();
    place.decrypt(&sealed, &DecryptOptions::default()).unwrap();
    assert_eq!(digest(&file), content);
}

#[test]
fn sparse_files_get_their_holes_back() {
    for resilience in [ResilienceChoice::Checksum, ResilienceChoice::Journal] {
        let place = Place::new();
        let file = place.path().join("file");
        sparse_file(&file);
        let (content, blocks) = (digest(&file), fs::metadata(&file).unwrap().blocks());
        let options = EncryptOptions { allow_sparse: true, resilience, ..EncryptOptions::default() };
        let sealed = place.encrypt(&file, &options).unwrap().path.unwrap();
        place.decrypt(&sealed, &DecryptOptions { resilience, ..DecryptOptions::default() }).unwrap();
        assert_eq!(digest(&file), content, "{resilience:?}");
        let now = fs::metadata(&file).unwrap().blocks();
        // Chunks that were partly a hole are whole now: two of 64 KiB at most.
        assert!(now <= blocks + 2 * 128 + 16, "{resilience:?}: {now} blocks, before {blocks}");
    }
}

#[test]
fn contradictory_options_are_usage_errors() {
    let place = Place::new();
    let file = place.plain("file");
    let (sealed, _) = sealed_file(place.path(), &place.keys, "other", LEN);
    let usage = |options: EncryptOptions, case: &str, expected: fn(&Refusal) -> bool| {
        assert_refused!(
            place.path(),
            Usage,
            JobError::Refused(_),
            place.encrypt(&file, &options).inspect_err(|error| {
                assert!(
                    matches!(error, JobError::Refused(refusal) if expected(refusal)),
                    "{case}: {error:?}"
                );
            }),
            "{case}"
        );
    };
    let bad_value = |refusal: &Refusal| matches!(refusal, Refusal::BadValue { .. });
    for chunk_len_bytes in [0, 1, 4096, 32768, 65535, 65537, 100_000, 2 << 20, 1 << 32, u64::MAX] {
        let options = EncryptOptions { chunk_len_bytes, ..EncryptOptions::default() };
        usage(options, &format!("chunks of {chunk_len_bytes}"), bad_value);
    }
    usage(EncryptOptions { threads: Some(0), ..EncryptOptions::default() }, "no threads", bad_value);
    let unsound = EncryptOptions {
        io: IoChoice::Mmap,
        resilience: ResilienceChoice::Checksum,
        ..EncryptOptions::default()
    };
    usage(unsound, "mmap with checksum", |refusal| matches!(refusal, Refusal::UnsoundPair));
    let reckless = EncryptOptions { resilience: ResilienceChoice::None, ..EncryptOptions::default() };
    usage(reckless, "none", |refusal| matches!(refusal, Refusal::DataLossNotAccepted));

    let encrypt = |recipients: &[Recipient]| {
        encrypt_in_place(&file, recipients, &EncryptOptions::default(), &Control::silent())
    };
    assert_refused!(
        place.path(),
        Usage,
        JobError::Refused(Refusal::NoRecipients),
        encrypt(&[]),
        "no recipients"
    );
    let many = vec![place.keys.recipient.clone(); 33];
    assert_refused!(
        place.path(),
        Usage,
        JobError::Refused(Refusal::TooManyRecipients { given: 33 }),
        encrypt(&many),
        "33 recipients"
    );
    let options = [
        DecryptOptions { threads: Some(0), ..DecryptOptions::default() },
        DecryptOptions {
            io: IoChoice::Mmap,
            resilience: ResilienceChoice::Checksum,
            ..DecryptOptions::default()
        },
        DecryptOptions { resilience: ResilienceChoice::None, ..DecryptOptions::default() },
    ];
    for options in options {
        assert_refused!(
            place.path(),
            Usage,
            JobError::Refused(Refusal::BadValue { .. } | Refusal::UnsoundPair | Refusal::DataLossNotAccepted),
            place.decrypt(&sealed, &options),
            "decrypt, {options:?}"
        );
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let place = Place::new();
    let file = place.path().join("empty");
    fs::write(&file, b"").unwrap();
    let sealed = place.encrypt(&file, &EncryptOptions::default()).unwrap().path.unwrap();
    let len = fs::metadata(&sealed).unwrap().len();
    assert_refused!(
        place.path(),
        NoKey,
        OpenError::Key(_),
        verify(&sealed, &Identities::none(), None, &Control::silent()),
        "no key"
    );
    // Nothing but the empty chunk's entry can be wrong, and it is found.
    support::flip(&sealed, support::layout(0).table_entry_offset(0) + 30, 1);
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { .. }),
        place.decrypt(&sealed, &DecryptOptions::default()),
        "bad entry"
    );
    support::flip(&sealed, support::layout(0).table_entry_offset(0) + 30, 1);
    support::set_len(&sealed, len - 1);
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { .. }),
        place.decrypt(&sealed, &DecryptOptions::default()),
        "truncated"
    );
    support::set_len(&sealed, len);
    place.decrypt(&sealed, &DecryptOptions::default()).unwrap();
    assert_eq!(names_in(place.path()), ["empty"]);
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
}
