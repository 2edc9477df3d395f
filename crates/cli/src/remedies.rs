//! From what happened to what to do: a concrete next step for every error. The library says what and where;
//! only the command knows its own options.

mod endings;
mod keys;
mod measuring;
mod next_commands;
mod open_jobs;
mod streams;

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pageseal::{Damage, InterruptCause, JobError, JobKind, OpenError, Refusal};

use crate::arguments::KeyArguments;
use crate::failure::{Failure, UsageError};
use crate::shell_quote::shell_quote;
use crate::size::{format_size, percent};

pub use next_commands::NextCommands;
pub use open_jobs::of_strange_journal;

use endings::of_untidied;
use keys::of_key;
use measuring::{of_bench, of_demo};
use open_jobs::{of_job, of_open_job};
use streams::of_spool;

/// What the user was doing, as far as the proposed commands depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The command's name.
    pub command: &'static str,
    /// The file, if there is one.
    pub file: Option<&'a Path>,
    /// `--journal`
    pub journal: Option<&'a Path>,
    /// `-i` and `--passphrase-file`, which going on needs again
    pub keys: Option<&'a KeyArguments>,
    /// `resume --decrypt`
    pub decrypt_word: bool,
}

impl<'a> Situation<'a> {
    /// A command that works on no file.
    pub fn of(command: &'static str) -> Self {
        Situation { command, file: None, journal: None, keys: None, decrypt_word: false }
    }

    /// The same on one file.
    pub fn on(self, file: &'a Path) -> Self {
        Situation { file: Some(file), ..self }
    }

    fn file_word(&self) -> String {
        self.file.map_or_else(|| "FILE".into(), shell_quote)
    }

    /// Whether a key can be named again.
    fn names_keys(&self) -> bool {
        self.keys.is_some_and(|keys| !keys.identities.is_empty() || keys.passphrase_file.is_some())
    }

    /// The options that `resume` and `rollback` need again, each with a space behind it.
    fn option_words(&self) -> String {
        let mut words = String::new();
        let mut add = |option: &str, path: &Path| {
            words.push_str(&format!("{option} {} ", shell_quote(path)));
        };
        if let Some(keys) = self.keys {
            keys.identities.iter().for_each(|path| add("-i", path));
            keys.passphrase_file.iter().for_each(|path| add("--passphrase-file", path));
        }
        self.journal.iter().for_each(|path| add("--journal", path));
        words
    }

    /// The keys of a command that opens the file, each with a space behind it. Where none were named, a word stands
    /// for one, unless the file was opened all the same: then a passphrase was typed, and will be asked for again.
    fn key_words(&self, was_opened: bool) -> String {
        let was_typed = was_opened && self.keys.is_some();
        if !self.names_keys() && !was_typed {
            return "-i IDENTITY ".into();
        }
        Situation { journal: None, ..*self }.option_words()
    }

    /// Whether there is no file to name in a command.
    fn is_of_pipe(&self) -> bool {
        self.file == Some(Path::new("-"))
    }

    /// The same for the command that was given.
    fn continuation_words(&self) -> String {
        let word = if self.decrypt_word { "--decrypt " } else { "" };
        format!("{word}{}", self.option_words())
    }

    fn resume(&self, kind: JobKind, path: &Path) -> String {
        let word = if kind == JobKind::Decrypt { "--decrypt " } else { "" };
        format!("`pageseal resume {word}{}{}`", self.option_words(), shell_quote(path))
    }

    fn rollback(&self, path: &Path) -> String {
        format!("`pageseal rollback {}{}`", self.option_words(), shell_quote(path))
    }
}

/// The next step after `failure`.
pub fn remedy(failure: &Failure, situation: &Situation<'_>) -> String {
    match failure {
        Failure::Usage(error) => of_usage(error, situation),
        Failure::Job(JobError::Refused(refusal) | JobError::Open(OpenError::Refused(refusal))) => {
            of_refusal(refusal, situation)
        }
        Failure::Job(JobError::Open(error)) => of_open(error, situation),
        Failure::Job(JobError::Interrupted {
            path,
            kind,
            rolling_back,
            done_bytes,
            total_bytes,
            cause,
            ..
        }) => {
            let done = percent(*done_bytes, *total_bytes);
            let next = of_job(*kind, *rolling_back, path, situation);
            format!("{done} % done; {}{next}", before_going_on(cause))
        }
        Failure::Job(JobError::NotTidied { path, journal, source, .. }) => {
            of_untidied(path, journal.as_deref(), source, situation)
        }
        Failure::Key(error) => of_key(error, situation),
        Failure::Demo(error) => of_demo(error),
        Failure::Bench(error) => of_bench(error),
        Failure::Write { source, .. } | Failure::Stdout { source } => match source.kind() {
            ErrorKind::AlreadyExists => "move it away or choose another name; nothing is overwritten".into(),
            ErrorKind::StorageFull => "free some space and run it again".into(),
            ErrorKind::FileTooLarge => LONGER_FILES.into(),
            ErrorKind::NotFound => "make the folder first".into(),
            _ => "check the place with `ls -ld` and `df`, then run it again".into(),
        },
        Failure::NotBegun { path } => {
            format!("it is as it was; run it again for {}", shell_quote(path))
        }
        _ => "run it again; if it stays, check the system's limits (`ulimit -a`)".into(),
    }
}

/// What must be done before the job can go on, with a comma behind it.
fn before_going_on(cause: &InterruptCause) -> &'static str {
    match cause {
        InterruptCause::Cancelled => "",
        InterruptCause::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
            "free some space, then "
        }
        InterruptCause::Io { source, .. } if is_out_of_descriptors(source) => {
            "raise the limit of open files (`ulimit -n`), then "
        }
        InterruptCause::Io { .. } => "check the disk (`dmesg`, `smartctl`), then ",
        InterruptCause::Journal { .. } => "check the disk that holds the journal and its free space, then ",
        InterruptCause::ChangedByOthers { .. } => "stop whatever writes to the file, then ",
        InterruptCause::Damaged(_) => {
            "put the damaged bytes back from a backup, or add --accept-damage if there is none, then "
        }
        InterruptCause::Threads { .. } => {
            "raise the limit of processes (`ulimit -u`, `pids.max` of the control group), then "
        }
        InterruptCause::Worker(_) => "this is a fault of pageseal, please report it; nothing is lost: ",
        _ => "",
    }
}

fn of_usage(error: &UsageError, situation: &Situation<'_>) -> String {
    let command = situation.command;
    match error {
        UsageError::OutputForSeveralFiles { .. } => {
            format!("run `pageseal {command} -o OUT FILE` once for each file")
        }
        UsageError::StdinNeedsOutput => {
            format!("say where the result goes: `pageseal {command} -o OUT -`")
        }
        UsageError::JsonAndDataOnStdout => "write to a file with -o OUT, or leave out --json".into(),
        UsageError::DataToTerminal => "send it to a file or a program: `-o OUT`, `> OUT`, `| PROGRAM`".into(),
        UsageError::NoTerminal => "give the passphrase with --passphrase-file FILE".into(),
        UsageError::PassphrasesDiffer => "nothing was changed; run it again".into(),
    }
}

fn of_refusal(refusal: &Refusal, situation: &Situation<'_>) -> String {
    let file = situation.file_word();
    match refusal {
        Refusal::Unopenable { path, source } => of_unopenable(path, source),
        Refusal::NotRegular { .. } => "name regular files, one by one; for a pipe use -o OUT and `-`".into(),
        Refusal::SymbolicLink { path } => {
            format!("name the file itself: `readlink -f {}` tells it", shell_quote(path))
        }
        Refusal::Immutable { path, .. } => {
            format!("take the attribute off with `chattr -i -a {}`", shell_quote(path))
        }
        Refusal::ReadOnlyMount { .. } => format!(
            "mount that file system for writing (`findmnt -T {file}` tells which){}",
            match situation.command {
                "encrypt" | "decrypt" => ", or write elsewhere with -o OUT",
                _ => "",
            }
        ),
        Refusal::ReadOnlyFile { path } => {
            format!("if it may be changed, make it writable with `chmod u+w {}`", shell_quote(path))
        }
        Refusal::AlreadySealed { path } => format!(
            "there is nothing to do; `pageseal verify {}{}` checks it",
            situation.key_words(false),
            shell_quote(path)
        ),
        Refusal::HardLinks { .. } => {
            "if all of its names may show the new content, add --allow-links; else use -o OUT".into()
        }
        Refusal::Sparse { .. } => {
            "add --allow-sparse: the holes take space while sealed and come back on decrypt".into()
        }
        Refusal::OpenForWriting { path } => {
            format!(
                "find the process with `fuser -v {}` (as root, if it is another user's) and stop it; if there is \
                 none, one that was killed has writes on their way to the disk: wait for them",
                shell_quote(path)
            )
        }
        Refusal::Locked { .. } => {
            "wait until the other job ends, or stop it with Ctrl-C; one that was killed ends when the disk has done \
             what it asked for"
                .into()
        }
        Refusal::RequestsInFlight { .. } => {
            "run the same command again; it waits until the disk has done them".into()
        }
        Refusal::TargetExists { path } => format!(
            "nothing is overwritten: move {} away or choose another name{}",
            shell_quote(path),
            match situation.command {
                "encrypt" | "decrypt" => " (-o OUT, or in place --keep-name)",
                _ => "",
            }
        ),
        Refusal::NoSealedSuffix { .. } => {
            "add --keep-name to decrypt it under this name, or use -o OUT".into()
        }
        Refusal::NameTooLong { .. } => {
            "rename the file, or use --keep-name and a shorter --journal PATH".into()
        }
        Refusal::JobOpen { journal } => of_open_job(journal, situation),
        Refusal::JournalIsFile { .. } => {
            "name another place with --journal PATH, or leave it out: then it lies beside the file".into()
        }
        Refusal::IsJournal { path, .. } => format!(
            "leave it as it is: `pageseal info --journal {} FILE` tells how far the job on its file is, and how to end it",
            shell_quote(path)
        ),
        Refusal::SlotsAlone { path } => format!(
            "find the journal of that encrypt and undo it with `pageseal rollback --journal PATH {0}`; if the file was sealed, \
             put an exported trailer back: `pageseal trailer import --from TRAILER -i IDENTITY {0}`",
            shell_quote(path)
        ),
        Refusal::NothingToResume { path } => format!(
            "`pageseal info {}` tells what it is; if the journal lies elsewhere, add --journal PATH",
            shell_quote(path)
        ),
        Refusal::BeingRolledBack { path } => {
            format!("run {} to finish undoing", situation.rollback(path))
        }
        Refusal::OnlyFinish { path } => {
            format!("run {} to finish it", situation.resume(JobKind::Decrypt, path))
        }
        Refusal::DecryptWordMissing { path } => of_job(JobKind::Decrypt, false, path, situation),
        Refusal::StaleJournal { journal } => format!(
            "check the file with `pageseal info {file}` and `pageseal verify {}{file}`; if it is good, remove {}",
            situation.key_words(false),
            shell_quote(journal)
        ),
        Refusal::NothingBegun { path, data_len_bytes } => format!(
            "keep what follows with `tail -c +{} {file} > APPENDED` (zeros at its beginning and end can be the job's), cut it off with \
             `truncate -s {data_len_bytes} {file}`, and run this again",
            data_len_bytes + 1,
            file = shell_quote(path)
        ),
        Refusal::ForeignJournal { journal } => format!(
            "put {} back beside the file it belongs to, or name the right one with --journal PATH",
            shell_quote(journal)
        ),
        Refusal::JournalOfOthers { journal, file, .. } => format!(
            "if you know that a job of yours or of who shares the file with you made it, give it to the owner of the file (`chown`) and \
             to nobody else (`chmod go-w`); without {} a half converted file cannot be opened, so keep it until `pageseal info {}` \
             tells of no job",
            shell_quote(journal),
            shell_quote(file)
        ),
        Refusal::JournalOfUnknown { .. } => {
            "run it outside of the container or namespace, where owners and groups are known".into()
        }
        // The journal is not what grows then.
        Refusal::NoSpace { path, needed_bytes, .. } if situation.file == Some(path) => {
            format!("free {} on that file system", format_size(*needed_bytes))
        }
        Refusal::NoSpace { needed_bytes, .. } => format!(
            "free {} on that file system, or keep the journal on another one with --journal PATH",
            format_size(*needed_bytes)
        ),
        Refusal::JournalUnmakable { source, .. } => match source.kind() {
            _ if is_out_of_descriptors(source) => MORE_DESCRIPTORS.into(),
            ErrorKind::NotFound => "make its folder first, or name another one with --journal PATH".into(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "make its folder writable, or keep the journal elsewhere with --journal PATH".into()
            }
            _ => "keep the journal elsewhere with --journal PATH".into(),
        },
        Refusal::NoRecipients => {
            "give -r age1..., -R FILE, -p or --passphrase-file FILE; `pageseal keygen -o \
             key.txt` makes a key"
                .into()
        }
        Refusal::TooManyRecipients { .. } => "seal for fewer recipients".into(),
        Refusal::UnsoundPair => "use --io buffered, or --resilience journal with --io mmap".into(),
        Refusal::ChecksumUnsound { .. } => "use --resilience journal, or leave the choice to auto".into(),
        Refusal::CachesUnknown { .. } => match situation.command {
            "encrypt" | "decrypt" => {
                "use --resilience checksum or journal, or leave the choice to auto; process needs /proc and /sys, or Linux 6.8"
            }
            _ => "run it where /proc and /sys are mounted, on the mount and in the container that the job ran in",
        }
        .into(),
        Refusal::OtherMount { .. } => {
            "run it where the job ran: in the same container, on the same mount; if file and journal were moved, put them \
             back; if that file system was unmounted since then, restore the file from a backup"
                .into()
        }
        Refusal::ChecksumUnsoundHere { path, .. } => format!(
            "nothing was changed: copy {} and its journal, under these names, to a folder on ext4, Btrfs or XFS (Linux 6.6 \
             or newer), and run it there; the result can be copied back",
            shell_quote(path)
        ),
        Refusal::JournalInMemory { .. } => match situation.command {
            "encrypt" | "decrypt" | "info" => {
                "keep the journal on a disk with --journal PATH; or say --resilience process, \
                                               if the file can be had again after a restart"
                    .into()
            }
            _ => "copy the journal to a disk and name it there with --journal PATH".into(),
        },
        Refusal::InlineData { path, .. } => without_in_place(path, situation),
        Refusal::OldCopyMayReturn { path, source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            format!(
                "run it as root, who may empty that journal; or else: {}",
                without_in_place(path, situation)
            )
        }
        Refusal::OldCopyMayReturn { path, .. } => without_in_place(path, situation),
        Refusal::FileSizeLimit { .. } => LONGER_FILES.into(),
        Refusal::Privileges { path, .. } => format!(
            "note them (`getcap {0}`, `stat -c %a {0}`), take them off (`setcap -r {0}`, `chmod u-s,g-s {0}`), run it again, \
             and set them again when the file is plain again; or use -o OUT",
            shell_quote(path)
        ),
        Refusal::DataLossNotAccepted => {
            "leave out --resilience none, or add --accept-data-loss if the file can be had again".into()
        }
        Refusal::BadValue { .. } => format!("see `pageseal {} --help`", situation.command),
        Refusal::TooLong { .. } => "split the file".into(),
        Refusal::Threads { .. } => MORE_THREADS.into(),
        Refusal::Output { source, .. } | Refusal::Input { source, .. } | Refusal::Spool { source, .. }
            if is_out_of_descriptors(source) =>
        {
            MORE_DESCRIPTORS.into()
        }
        Refusal::Output { source, .. } | Refusal::Input { source, .. }
            if source.kind() == ErrorKind::NotConnected =>
        {
            "leave it open, or name a file: -o OUT, and FILE instead of -".into()
        }
        Refusal::Output { source, .. } if source.kind() == ErrorKind::FileTooLarge => LONGER_FILES.into(),
        Refusal::Spool { is_temporary, source, .. } => of_spool(*is_temporary, source),
        Refusal::Output { .. } => {
            "check the output's folder and its free space; the input is as it was".into()
        }
        Refusal::Input { .. } => {
            "check the disk or the program that feeds the pipe, then run it again".into()
        }
        Refusal::Cancelled => "there is nothing to clean up; run it again when you like".into(),
        Refusal::Random => "check that /dev/urandom works, then run it again".into(),
        _ => format!("nothing was changed; see `pageseal {} --help`", situation.command),
    }
}

const LONGER_FILES: &str =
    "raise the limit of the shell that starts it (`ulimit -f unlimited`), then run it again";
const MORE_THREADS: &str = "the system allows this user no more processes and threads: raise the limit (`ulimit -u`, or `pids.max` \
     of the control group), end some, or use fewer with --threads N";
const MORE_DESCRIPTORS: &str = "raise the limit of open files (`ulimit -n`), then run it again";

/// Whether the process or the system has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

fn of_unopenable(path: &Path, source: &io::Error) -> String {
    let look = format!("`ls -l {}`", shell_quote(path));
    match source.kind() {
        _ if is_out_of_descriptors(source) => MORE_DESCRIPTORS.into(),
        ErrorKind::NotFound => match other_name(path) {
            Some(other) => format!("check the name: {} is there", shell_quote(&other)),
            None => "check the name".into(),
        },
        ErrorKind::PermissionDenied => format!("check owner and mode with {look}"),
        _ => format!("look at it with {look}"),
    }
}

/// The name with or without `.sealed`, if there is a file of it.
fn other_name(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.as_bytes();
    let other = match name.strip_suffix(b".sealed") {
        Some(plain) => OsStr::from_bytes(plain).to_owned(),
        None => OsStr::from_bytes(&[name, b".sealed"].concat()).to_owned(),
    };
    Some(path.with_file_name(other)).filter(|other| other.symlink_metadata().is_ok())
}

/// What to do with a file that must not be written in place where it lies.
fn without_in_place(path: &Path, situation: &Situation<'_>) -> String {
    let file = shell_quote(path);
    match situation.command {
        "encrypt" | "decrypt" | "info" => {
            format!("use -o OUT, which only reads {file}, and remove {file} when the new file is there")
        }
        "resume" => format!("undo it with {}", situation.rollback(path)),
        _ => format!("copy {file}, and its journal if there is one, to another file system and run it there"),
    }
}

fn of_open(error: &OpenError, situation: &Situation<'_>) -> String {
    match error {
        OpenError::Refused(refusal) => of_refusal(refusal, situation),
        OpenError::NotSealed { .. } if situation.is_of_pipe() => {
            "check what feeds the pipe: a sealed file has to come whole, with its end".into()
        }
        OpenError::NotSealed { path } => format!(
            "`pageseal info {0}` tells what it is; if its end was cut off, an exported trailer can be put back: \
             `pageseal trailer import --from TRAILER -i IDENTITY {0}`",
            shell_quote(path)
        ),
        OpenError::Interrupted { path, kind, journal_found: true } => of_job(*kind, false, path, situation),
        OpenError::Interrupted { path, kind: JobKind::Decrypt, .. } => format!(
            "its journal is missing: put it back, or name it: `pageseal resume --decrypt {0}--journal PATH {1}`; if the \
             journal is lost and nothing was opened yet, `pageseal rollback {0}{1}` makes it a sealed file again",
            situation.key_words(false),
            shell_quote(path)
        ),
        OpenError::Interrupted { path, .. } => format!(
            "its journal is missing: put it back, or name it: `pageseal resume --journal PATH {}`",
            shell_quote(path)
        ),
        OpenError::Newer { .. } => "use a newer pageseal".into(),
        OpenError::Damaged { path, damage } => of_damage(damage, path, situation),
        OpenError::Key(error) => of_key(error, situation),
        OpenError::Io { path, source, .. }
            if source.kind() == ErrorKind::PermissionDenied || is_out_of_descriptors(source) =>
        {
            of_unopenable(path, source)
        }
        OpenError::Io { .. } => {
            "check the disk (`dmesg`, `smartctl`), and copy the file while it can be read".into()
        }
        _ => "use a newer pageseal".into(),
    }
}

fn of_damage(damage: &Damage, path: &Path, situation: &Situation<'_>) -> String {
    // What a pipe brought lies in a file somewhere else.
    let path = if situation.is_of_pipe() { Path::new("FILE") } else { path };
    let file = shell_quote(path);
    let import = format!("`pageseal trailer import --from TRAILER -i IDENTITY {file}`");
    match damage {
        Damage::Truncated { .. } => format!(
            "restore the end from a backup; if only the trailer is missing, put an exported one back: {import}"
        ),
        Damage::ForeignBytes { trailer_end, .. } => {
            format!("if nobody needs the bytes behind it, cut them off: `truncate -s {trailer_end} {file}`")
        }
        Damage::SuperblocksDiffer => format!(
            "put the journal of the interrupted job back beside the file and run {}; without it, a decrypt that had opened \
             nothing yet can be undone with `pageseal rollback -i IDENTITY {file}`; else restore a backup",
            situation.resume(JobKind::Encrypt, path)
        ),
        Damage::SuperblockMalformed { .. } | Damage::SlotsUnreadable { .. } | Damage::Table { .. } => {
            format!("put an exported trailer back: {import}; without one, restore a backup")
        }
        Damage::WrongMac { .. } => {
            format!("do not trust this file: restore a backup, or put an exported trailer back: {import}")
        }
        Damage::Chunk { .. } | Damage::Chunks { .. } => of_damaged_chunks(damage, path, situation),
        Damage::Padding { .. } => "somebody wrote into the file: restore a backup".into(),
        Damage::NeitherOldNorNew { .. } | Damage::Ambiguous { .. } => {
            // An encrypt is not sealed with such a chunk, which may be plaintext; every other job can end either way.
            let goes_forward = situation.command == "resume" && situation.decrypt_word;
            format!(
                "nothing was changed: copy file and journal before trying anything else; find the journal and the file of the same \
                 moment, or restore that block from a backup; if there is neither, `pageseal {0} --accept-damage {1}{file}` leaves \
                 that chunk as it is and goes on with all others",
                if goes_forward { "resume" } else { "rollback" },
                situation.continuation_words()
            )
        }
        Damage::InNeitherForm { .. } => format!(
            "nothing was changed: put back the journal and the file of the same moment, or those bytes from a backup; if there is \
             neither, `pageseal {0} --accept-damage {1}{file}` goes on without those chunks",
            if situation.command == "rollback" { "rollback" } else { "resume" },
            situation.continuation_words()
        ),
        Damage::CannotBeOpened { can_end_sealed: false, .. } => format!(
            "nothing was changed: put back the journal and the file of the same moment, or those bytes from a backup; if there is \
             neither, `pageseal rollback --accept-damage {0}{file}` leaves those chunks as they are and goes on with all others",
            situation.option_words()
        ),
        Damage::CannotBeOpened { .. } => format!(
            "nothing was changed: put back the journal and the file of the same moment, or those bytes from a backup; if there is \
             neither, `pageseal {0} --accept-damage {file}` ends with a sealed file in which all other chunks are whole",
            if situation.command == "rollback" { "resume" } else { "rollback" },
        ),
        // What lies behind may be somebody's, and it may be another file after all.
        Damage::Length { found_bytes, expected_bytes } if found_bytes > expected_bytes => format!(
            "if {} bytes were appended to it during the job, keep them with `tail -c +{} {file} > APPENDED`, cut them off with \
             `truncate -s {expected_bytes} {file}`, and {}; else find the journal and the file of the same moment",
            found_bytes - expected_bytes,
            expected_bytes + 1,
            match situation.command {
                "resume" | "rollback" => "run this again".into(),
                command => {
                    let kind = if command == "decrypt" { JobKind::Decrypt } else { JobKind::Encrypt };
                    format!(
                        "run {} to go on or {} to undo",
                        situation.resume(kind, path),
                        situation.rollback(path)
                    )
                }
            }
        ),
        Damage::NotAsClaimed { .. } | Damage::Length { .. } => {
            "find the journal and the file of the same moment (was one of them copied or restored?)".into()
        }
        Damage::JournalMissing { journal } => format!(
            "put {} back, or name it with --journal PATH; without it only a decrypt that had opened nothing yet can be undone: \
             `pageseal rollback -i IDENTITY {file}` looks at every chunk and says",
            shell_quote(journal)
        ),
        Damage::Journal { .. } => {
            "keep file and journal as they are; restore an undamaged copy of the journal".into()
        }
        Damage::Unprotected | Damage::PowerCutDuringProcessJob => "restore the file from a backup".into(),
        Damage::SuperblocksUnreadable => {
            format!("put an exported trailer back: {import}; without one, restore a backup")
        }
        _ => "restore a backup".into(),
    }
}

/// All of them were looked at, but by a run that stops at the first one.
fn of_damaged_chunks(damage: &Damage, path: &Path, situation: &Situation<'_>) -> String {
    if matches!(situation.command, "resume" | "rollback") {
        return "the job has ended, and all other chunks are whole: restore those bytes from a backup".into();
    }
    let restore = "restore those bytes from a backup of the sealed file";
    let json = match damage {
        Damage::Chunks { .. } if damage.to_string().ends_with("more ranges") => "--json ",
        Damage::Chunk { .. } if situation.command == "decrypt" => "",
        _ => return restore.into(),
    };
    let verify = format!("pageseal verify {json}{}", situation.key_words(true));
    format!("{restore}; `{verify}{}` names all of them", shell_quote(path))
}

#[cfg(test)]
mod tests;
