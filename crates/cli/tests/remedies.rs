//! Every command that a remedy proposes is run, in the state in which it was proposed, and must do what it says.

mod optional;
mod support;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use optional::skip;
use pageseal::{
    Cancellation, Control, DecryptOptions, EncryptOptions, Identities, IdentitySource, JobError, JobKeyMode,
    Progress, Recipient, ResumeOptions, Stage, decrypt_in_place, encrypt_in_place, rollback,
};
use support::{Folder, code, content, stderr, stdout};

const WINDOW: usize = 4 << 20;
/// So long that a job that is stopped after its first window is in the middle.
const LEN: usize = 7 * WINDOW + 70_001;

/// Stops a job after so many windows.
struct Stop {
    after: usize,
    seen: AtomicUsize,
    converting: Mutex<bool>,
    cancellation: Cancellation,
}

impl Progress for Stop {
    fn stage(&self, stage: Stage, _: u64, _: u64) {
        *self.converting.lock().unwrap() = matches!(stage, Stage::Encrypting | Stage::Decrypting);
    }

    fn advance(&self, _: u64) {
        if *self.converting.lock().unwrap() && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.after {
            self.cancellation.cancel();
        }
    }
}

fn stopped<T: std::fmt::Debug>(after: usize, job: impl FnOnce(&Control<'_>) -> Result<T, JobError>) {
    let cancellation = Cancellation::new();
    let (seen, converting) = Default::default();
    let stop = Stop { after, seen, converting, cancellation: cancellation.clone() };
    let error = job(&Control { progress: &stop, cancellation }).expect_err("was stopped");
    assert!(matches!(error, JobError::Interrupted { .. }), "{error:?}");
}

/// A folder with the key pair of `key.txt`, made once for all states.
struct Place {
    folder: Folder,
    recipient: String,
}

impl Place {
    fn new() -> Self {
        let (folder, recipient) = Folder::with_key();
        Place { folder, recipient }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    fn recipients(&self) -> [Recipient; 1] {
        [Recipient::parse(&self.recipient).unwrap()]
    }

    fn identities(&self) -> Identities {
        struct Nobody;
        impl pageseal::PassphrasePrompt for Nobody {
            fn ask(&self, _: &str) -> Result<Option<pageseal::Passphrase>, pageseal::KeyError> {
                Ok(None)
            }
        }
        let source = IdentitySource::File(self.path("key.txt"));
        Identities::load([source], std::sync::Arc::new(Nobody)).unwrap()
    }

    /// `a`, sealed.
    fn sealed(len: usize) -> Self {
        let place = Place::new();
        place.folder.write("a", &content(len));
        place.folder.succeed(["encrypt", "-q", "-r", &place.recipient, "a"]);
        place
    }

    /// `a`, in the middle of an encrypt.
    fn half_sealed(job_key: JobKeyMode) -> Self {
        let place = Place::new();
        place.folder.write("a", &content(LEN));
        let options = EncryptOptions { job_key, threads: Some(2), ..EncryptOptions::default() };
        stopped(1, |control| encrypt_in_place(&place.path("a"), &place.recipients(), &options, control));
        place
    }

    /// `a.sealed`, in the middle of a decrypt.
    fn half_opened() -> Self {
        let place = Place::sealed(LEN);
        let options = DecryptOptions { threads: Some(2), ..DecryptOptions::default() };
        stopped(1, |control| {
            decrypt_in_place(&place.path("a.sealed"), &place.identities(), &options, control)
        });
        place
    }

    /// `a`, an encrypt that is being undone.
    fn half_undone() -> Self {
        let place = Place::new();
        place.folder.write("a", &content(16 * WINDOW + 1));
        let options = EncryptOptions { threads: Some(2), ..EncryptOptions::default() };
        stopped(9, |control| encrypt_in_place(&place.path("a"), &place.recipients(), &options, control));
        let options = ResumeOptions { threads: Some(2), ..ResumeOptions::default() };
        stopped(1, |control| rollback(&place.path("a"), &Identities::none(), &options, control));
        place
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.folder.run(arguments)
    }

    /// Runs what was proposed as a user would paste it, with the words that stand for something filled in.
    fn paste(&self, command: &str) -> Output {
        let filled = command.replace("IDENTITY", "key.txt").replace("TRAILER", "a.trailer");
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_pageseal"));
        let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &filled]).env("PATH", path).current_dir(self.path("."));
        shell.stdin(Stdio::null()).output().unwrap()
    }
}

/// The job of `a` ends, and its journal stays in phase FINISHED, as a crash before its removal leaves it.
fn finish_but_for_the_journal(place: &Place) {
    const PHASES: [usize; 2] = [36_864, 40_960];
    const FINISHED: u8 = 6;
    let mut journal = place.folder.read("a.pageseal-journal");
    place.folder.succeed(["resume", "-q", "a"]);
    let sequence = |at: &usize| u64::from_le_bytes(journal[at + 8..at + 16].try_into().unwrap());
    let newest = PHASES.into_iter().max_by_key(sequence).unwrap();
    let block = &mut journal[newest..newest + 4096];
    block[32] = FINISHED;
    // No key holder has to say so: the keys are wiped by then. Its checksum must be right.
    place.folder.write("phase", &block[..4064]);
    let sum = stdout(&place.paste("sha256sum phase"));
    for (index, byte) in block[4064..].iter_mut().enumerate() {
        *byte = u8::from_str_radix(&sum[2 * index..2 * index + 2], 16).unwrap();
    }
    place.folder.write("a.pageseal-journal", &journal);
    let told = place.folder.succeed(["info", "a"]);
    assert!(told.contains("phase FINISHED"), "{told}");
}

/// What the last line with an arrow says to do.
fn remedy(output: &Output) -> String {
    let told = stdout(output) + &stderr(output);
    let last = told.lines().rev().find_map(|line| line.trim().strip_prefix("→ "));
    last.unwrap_or_else(|| panic!("no remedy in {told}")).to_owned()
}

/// The commands in it.
fn commands(remedy: &str) -> Vec<String> {
    remedy.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Makes the state anew for each command that `arguments` propose in it, and runs that command. `expected` are the
/// beginnings of these commands, and what lies there after each of them.
#[track_caller]
fn check(make: impl Fn() -> Place, arguments: &[&str], exit: i32, expected: &[(&str, &str)]) {
    let place = make();
    let output = place.run(arguments);
    assert_eq!(code(&output), exit, "{arguments:?}: {}", stderr(&output));
    let told = remedy(&output);
    let proposed = commands(&told);
    let starts: Vec<&str> = expected.iter().map(|(start, _)| *start).collect();
    let fits = proposed.len() == starts.len()
        && proposed.iter().zip(&starts).all(|(command, start)| command.starts_with(start));
    assert!(fits, "{arguments:?} proposes {proposed:?}, not {starts:?}: {told}");
    let mut place = Some(place);
    for (command, (_, left)) in proposed.iter().zip(expected) {
        // The first command is run in the very place that it was proposed in.
        let place = place.take().unwrap_or_else(&make);
        let done = place.paste(command);
        assert_eq!(code(&done), 0, "{arguments:?} → {command}: {}", stderr(&done));
        assert!(place.folder.exists(left), "{arguments:?} → {command}: no {left}");
        let journal_stays = !command.contains("resume") && !command.contains("rollback");
        assert!(journal_stays || !place.folder.exists("a.pageseal-journal"), "{command}");
    }
}

#[test]
fn of_a_half_sealed_file() {
    let make = || Place::half_sealed(JobKeyMode::Runtime);
    let both = &[("pageseal resume a", "a.sealed"), ("pageseal rollback a", "a")];
    check(make, &["info", "a"], 0, both);
    check(
        make,
        &["decrypt", "-i", "key.txt", "a"],
        5,
        &[("pageseal resume -i key.txt a", "a.sealed"), ("pageseal rollback -i key.txt a", "a")],
    );
    for arguments in [
        &["info", "a.sealed"][..],
        &["verify", "--passphrase-file", "key.txt", "a"],
        &["encrypt", "-r", &Place::new().recipient, "a"],
        &["trailer", "export", "-o", "t", "a"],
    ] {
        let place = make();
        let told = place.run(arguments);
        assert_eq!(commands(&remedy(&told)).len(), 2, "{arguments:?}");
        let done = place.paste(&commands(&remedy(&told))[0]);
        assert_eq!(code(&done), 0, "{arguments:?}: {}", stderr(&done));
    }
}

#[test]
fn of_a_half_sealed_file_without_its_job_key() {
    let make = || Place::half_sealed(JobKeyMode::None);
    check(
        make,
        &["info", "a"],
        0,
        &[("pageseal resume -i IDENTITY a", "a.sealed"), ("pageseal rollback -i IDENTITY a", "a")],
    );
    let place = make();
    for command in ["resume", "rollback"] {
        let output = place.run(&[command, "a"]);
        assert_eq!(code(&output), 3);
        assert!(stderr(&output).contains("a: no identity or passphrase was given"), "{}", stderr(&output));
        assert!(remedy(&output).starts_with("add -i IDENTITY"), "{}", remedy(&output));
    }
    assert_eq!(code(&place.paste("pageseal resume -i IDENTITY a")), 0);
}

#[test]
fn of_a_half_opened_file() {
    let make = Place::half_opened;
    // Under either name.
    check(
        make,
        &["info", "a.sealed"],
        0,
        &[
            ("pageseal resume --decrypt -i IDENTITY a.sealed", "a"),
            ("pageseal rollback -i IDENTITY a.sealed", "a.sealed"),
        ],
    );
    check(
        make,
        &["info", "a"],
        0,
        &[("pageseal resume --decrypt -i IDENTITY a", "a"), ("pageseal rollback -i IDENTITY a", "a.sealed")],
    );
    let place = make();
    assert!(stdout(&place.run(&["info", "a"])).starts_with("a.sealed: in the middle of a decrypt\n"));
    for arguments in [
        &["resume", "-i", "key.txt", "a"][..],
        &["verify", "-i", "key.txt", "a.sealed"],
        &["decrypt", "-i", "key.txt", "a.sealed"],
        &["encrypt", "--keep-name", "-r", &place.recipient, "a.sealed"],
    ] {
        let place = make();
        let told = place.run(arguments);
        let proposed = commands(&remedy(&told));
        assert_eq!(proposed.len(), 2, "{arguments:?}: {}", remedy(&told));
        let done = place.paste(&proposed[0]);
        assert_eq!(code(&done), 0, "{arguments:?} → {}: {}", proposed[0], stderr(&done));
        assert!(place.folder.exists("a"), "{arguments:?}");
    }
}

#[test]
fn a_speed_is_that_of_what_was_converted() {
    let place = Place::half_sealed(JobKeyMode::Runtime);
    let left = place.folder.succeed(["info", "--json", "a"]);
    let left: serde_json::Value = serde_json::from_str(&left).unwrap();
    let done = left["journal"]["done_bytes"].as_u64().unwrap();
    let printed = place.folder.succeed(["resume", "--json", "a"]);
    let resumed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(resumed["data_len_bytes"], LEN);
    assert_eq!(resumed["converted_bytes"], LEN as u64 - done);
    let place = Place::half_sealed(JobKeyMode::Runtime);
    let line = place.folder.succeed(["resume", "a"]);
    assert!(line.starts_with("sealed  a.sealed  28.1 MiB, the last "), "{line}");
}

#[test]
fn of_a_job_of_which_only_the_journal_is_left() {
    let make = || {
        let place = Place::half_sealed(JobKeyMode::Runtime);
        finish_but_for_the_journal(&place);
        place
    };
    check(make, &["info", "a"], 0, &[("pageseal resume a", "a.sealed")]);
    let line = make().folder.succeed(["resume", "a"]);
    assert!(line.starts_with("sealed  a.sealed  28.1 MiB, nothing was left to convert, "), "{line}");
}

#[test]
fn of_a_half_undone_file() {
    check(Place::half_undone, &["info", "a"], 0, &[("pageseal rollback a", "a")]);
    check(Place::half_undone, &["resume", "a"], 1, &[("pageseal rollback a", "a")]);
}

#[test]
fn of_a_job_that_lost_its_journal_and_of_a_journal_that_is_no_ones() {
    let place = Place::half_opened();
    fs::rename(place.path("a.pageseal-journal"), place.path("PATH")).unwrap();
    let output = place.run(&["verify", "-i", "key.txt", "a.sealed"]);
    let proposed = commands(&remedy(&output));
    let resume = "pageseal resume --decrypt -i key.txt --journal PATH a.sealed";
    assert_eq!(proposed, [resume, "pageseal rollback -i key.txt a.sealed"]);
    // A journal beside another file says nothing of it.
    fs::copy(place.path("PATH"), place.path("b.pageseal-journal")).unwrap();
    place.folder.write("b", &content(100));
    let output = place.run(&["encrypt", "-r", &place.recipient, "b"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("an interrupted job's journal exists: b.pageseal-journal"));
    // One that cannot be read is not called missing.
    fs::write(place.path("a.pageseal-journal"), "nothing").unwrap();
    let output = place.run(&["info", "a.sealed"]);
    assert!(stderr(&output).contains("note: the journal a.pageseal-journal cannot be used: "));
    assert!(remedy(&output).starts_with("its journal is there and cannot be used"), "{}", remedy(&output));
    fs::remove_file(place.path("a.pageseal-journal")).unwrap();

    let done = place.paste(&proposed[0]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(place.folder.exists("a"));
}

#[test]
fn of_a_key_that_is_not_given_or_does_not_fit() {
    let place = Place::sealed(1000);
    for command in [&["verify", "a.sealed"][..], &["decrypt", "a.sealed"]] {
        let output = place.run(command);
        assert_eq!(code(&output), 3);
        assert!(stderr(&output).contains("no identity or passphrase was given"), "{}", stderr(&output));
        assert!(remedy(&output).starts_with("add -i IDENTITY"), "{}", remedy(&output));
    }
    place.folder.succeed(["keygen", "-q", "-o", "other.txt"]);
    check(
        || {
            let place = Place::sealed(1000);
            place.folder.succeed(["keygen", "-q", "-o", "other.txt"]);
            place
        },
        &["verify", "-i", "other.txt", "a.sealed"],
        3,
        &[("pageseal info a.sealed", "a.sealed")],
    );
    // The public key instead of the secret one.
    place.folder.write("public.txt", place.recipient.as_bytes());
    let output = place.run(&["verify", "-i", "public.txt", "a.sealed"]);
    assert!(remedy(&output).contains("the file with the secret key"), "{}", remedy(&output));
}

#[test]
fn of_a_file_that_is_not_what_was_asked_for() {
    let sealed = || Place::sealed(300_000);
    check(
        sealed,
        &["encrypt", "--keep-name", "-r", &sealed().recipient, "a.sealed"],
        1,
        &[("pageseal verify -i IDENTITY a.sealed", "a.sealed")],
    );
    // An option that is told must be taken.
    let place = sealed();
    fs::rename(place.path("a.sealed"), place.path("b")).unwrap();
    let output = place.run(&["decrypt", "-i", "key.txt", "b"]);
    assert!(remedy(&output).contains("--keep-name"), "{}", remedy(&output));
    place.folder.succeed(["decrypt", "--keep-name", "-i", "key.txt", "b"]);
    fs::hard_link(place.path("b"), place.path("c")).unwrap();
    let output = place.run(&["encrypt", "-r", &place.recipient, "b"]);
    assert!(remedy(&output).contains("--allow-links"), "{}", remedy(&output));
    place.folder.succeed(["encrypt", "--allow-links", "-r", &place.recipient, "b"]);
    fs::File::create(place.path("sparse")).unwrap().set_len(8 << 20).unwrap();
    let output = place.run(&["encrypt", "-r", &place.recipient, "sparse"]);
    assert!(remedy(&output).contains("--allow-sparse"), "{}", remedy(&output));
    place.folder.succeed(["encrypt", "--allow-sparse", "-r", &place.recipient, "sparse"]);
    // Nothing of that name, but of the other one.
    let output = place.run(&["verify", "-i", "key.txt", "b"]);
    assert_eq!(remedy(&output), "check the name: b.sealed is there");
    let output = place.run(&["rollback", "b.sealed"]);
    assert_eq!(commands(&remedy(&output)), ["pageseal info b.sealed"]);
}

#[test]
fn of_an_end_that_is_missing_or_too_long() {
    let with_trailer = |change: fn(&fs::File)| {
        let place = Place::sealed(300_000);
        place.folder.succeed(["trailer", "export", "-q", "-o", "a.trailer", "a.sealed"]);
        change(&fs::File::options().write(true).open(place.path("a.sealed")).unwrap());
        place
    };
    let import = &[("pageseal trailer import --from TRAILER -i IDENTITY a.sealed", "a.sealed")];
    check(
        || with_trailer(|file| file.set_len(300_100).unwrap()),
        &["verify", "a.sealed"],
        1,
        &[("pageseal info a.sealed", "a.sealed"), import[0]],
    );
    check(
        || with_trailer(|file| file.set_len(file.metadata().unwrap().len() - 1).unwrap()),
        &["verify", "-i", "key.txt", "a.sealed"],
        4,
        import,
    );
    let appended = || with_trailer(|file| file.write_all_at(b"x", file.metadata().unwrap().len()).unwrap());
    check(appended, &["verify", "-i", "key.txt", "a.sealed"], 4, &[("truncate -s ", "a.sealed")]);
}

#[test]
fn of_damage_that_a_pipe_brought() {
    let place = Place::sealed(300_000);
    let whole = place.folder.read("a.sealed");
    let open = |bytes: &[u8]| {
        place.folder.write("FILE", bytes);
        let mut command = place.folder.command(["decrypt", "-i", "key.txt", "-o", "out", "-"]);
        command.stdin(fs::File::open(place.path("FILE")).unwrap()).output().unwrap()
    };
    let mut damaged = whole.clone();
    damaged[7] ^= 1;
    let output = open(&damaged);
    assert_eq!(code(&output), 4);
    let proposed = commands(&remedy(&output));
    assert_eq!(proposed, ["pageseal verify -i key.txt FILE"], "{}", remedy(&output));
    assert_eq!(code(&place.paste(&proposed[0])), 4, "it names the damage");
    let output = open(&[&whole[..], b"x"].concat());
    let proposed = commands(&remedy(&output));
    assert!(proposed[0].starts_with("truncate -s ") && proposed[0].ends_with(" FILE"), "{proposed:?}");
    assert_eq!(code(&place.paste(&proposed[0])), 0);
    assert!(place.folder.read("FILE") == whole);
    for cut in [&whole[..whole.len() - 1], &whole[..300_000]] {
        let output = open(cut);
        for command in commands(&remedy(&output)) {
            assert!(!command.contains("standard input") && !command.contains(" -`"), "{command}");
        }
        assert!(!place.folder.exists("out"));
    }
}

#[test]
fn of_a_file_that_must_not_be_changed() {
    let place = Place::new();
    place.folder.write("a", b"content");
    fs::set_permissions(place.path("a"), fs::Permissions::from_mode(0o444)).unwrap();
    let encrypt = ["encrypt", "-r", &place.recipient, "a"];
    let output = place.run(&encrypt);
    assert_eq!(code(&output), 1);
    assert_eq!(commands(&remedy(&output)), ["chmod u+w a"]);
    assert_eq!(code(&place.paste("chmod u+w a")), 0);
    if code(&place.paste("chattr +i a")) == 0 {
        let output = place.run(&encrypt);
        assert_eq!(commands(&remedy(&output)), ["chattr -i -a a"]);
        assert_eq!(code(&place.paste("chattr -i -a a")), 0);
    } else {
        skip("chattr and a file system with attributes");
    }
    fs::create_dir(place.path("mount")).unwrap();
    // In a mount namespace of its own, which goes with the shell.
    let mounted = format!(
        "mount -t tmpfs none mount && cp a mount/a && mount -o remount,ro mount && \
         pageseal encrypt -r {} mount/a",
        place.recipient
    );
    if code(&place.paste("unshare --mount true")) != 0 {
        skip("the right to mount");
    } else {
        let output = place.paste(&format!("unshare --mount sh -c '{mounted}'"));
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert!(!remedy(&output).contains("chattr"), "{}", remedy(&output));
        assert_eq!(commands(&remedy(&output)), ["findmnt -T mount/a"]);
        let findmnt = mounted.replace("pageseal", "findmnt -T mount/a; pageseal");
        let output = place.paste(&format!("unshare --mount sh -c '{findmnt}'"));
        assert!(stdout(&output).contains("/mount"), "{}", stdout(&output));
        let output = place.paste(&format!("unshare --mount sh -c '{mounted} -o out'"));
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    place.folder.succeed(encrypt);
}

#[test]
fn of_rights_and_limits_that_do_not_reach() {
    let place = Place::half_sealed(JobKeyMode::None);
    // Enough for the file and its folder, and not for what comes then.
    let mut told = 0;
    for limit in 4..16 {
        let output = place.paste(&format!("ulimit -n {limit}; pageseal resume -i key.txt a"));
        if output.status.code().is_none_or(|code| code == 127) || stderr(&output).contains("shared libraries")
        {
            continue;
        }
        if code(&output) == 0 {
            break;
        }
        if stderr(&output).contains("Too many open files") {
            assert!(remedy(&output).contains("`ulimit -n`"), "{limit}: {}", stderr(&output));
            told += 1;
        }
    }
    assert!(told > 0, "no limit was met");
}

#[test]
fn of_the_journal_of_another_user() {
    let place = Place::half_sealed(JobKeyMode::None);
    let nobody = "setpriv --reuid 65534 --clear-groups";
    if code(&place.paste(&format!("{nobody} true"))) != 0 {
        return skip("the right to be another user");
    }
    place.paste("chmod 777 . && chmod 666 key.txt && chown 65534 a && chmod 600 *.pageseal-journal");
    let output = place.paste(&format!("{nobody} pageseal resume -i key.txt a"));
    assert!(stderr(&output).contains("Permission denied"), "{}", stderr(&output));
    assert_eq!(commands(&remedy(&output)), ["ls -l a.pageseal-journal"], "{}", stderr(&output));
    assert_eq!(code(&place.paste("ls -l a.pageseal-journal")), 0);
}
