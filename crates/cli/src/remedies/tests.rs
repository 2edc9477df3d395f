//! Remedies must name commands that exist and can be pasted.

use std::io;

use clap::Parser;
use pageseal::InterruptCause;

use super::*;
use crate::arguments::Arguments;

fn interrupted(kind: JobKind, rolling_back: bool, cause: InterruptCause) -> Failure {
    Failure::Job(JobError::Interrupted {
        path: "my video.mkv".into(),
        kind,
        rolling_back,
        done_bytes: 43,
        total_bytes: 100,
        journal: "j".into(),
        cause,
    })
}

/// The content is done, so there is nothing to undo, and without a journal nothing to go on with
/// either.
#[test]
fn a_job_that_is_over_is_not_called_half_converted() {
    let failure = |journal: Option<&str>| {
        Failure::Job(JobError::NotTidied {
            path: "my video.mkv".into(),
            outcome: pageseal::JobOutcome::Sealed,
            journal: journal.map(PathBuf::from),
            what: "removing its journal",
            source: io::Error::from_raw_os_error(5),
        })
    };
    let situation = Situation::of("encrypt");
    let (stays, gone) = (failure(Some("j")), failure(None));
    for failure in [&stays, &gone] {
        assert!(failure.message().starts_with("my video.mkv is sealed, but removing its journal failed"));
        assert!(!remedy(failure, &situation).contains("rollback"));
    }
    assert_eq!(stays.exit(), crate::exit::Exit::Interrupted);
    assert!(remedy(&stays, &situation).contains("run `pageseal resume 'my video.mkv'`"));
    assert_eq!(gone.exit(), crate::exit::Exit::Failed);
    assert!(remedy(&gone, &situation).contains("nothing is left to resume"));
}

fn refusals() -> Vec<Refusal> {
    let path = || "my file".into();
    let source = || io::Error::from_raw_os_error(13);
    vec![
        Refusal::Unopenable { path: path(), source: source() },
        Refusal::NotRegular { path: path(), what: "a directory" },
        Refusal::SymbolicLink { path: path() },
        Refusal::Immutable { path: path(), attribute: "immutable" },
        Refusal::ReadOnlyMount { path: path() },
        Refusal::ReadOnlyFile { path: path() },
        Refusal::AlreadySealed { path: path() },
        Refusal::HardLinks { path: path(), links: 2 },
        Refusal::Sparse { path: path(), allocated_bytes: 0, len_bytes: 1 },
        Refusal::OpenForWriting { path: path() },
        Refusal::Locked { path: path() },
        Refusal::RequestsInFlight { path: path() },
        Refusal::TargetExists { path: path() },
        Refusal::NoSealedSuffix { path: path() },
        Refusal::NameTooLong { path: path(), limit_bytes: 255 },
        Refusal::JobOpen { journal: path() },
        Refusal::JournalIsFile { journal: path(), path: path() },
        Refusal::IsJournal { path: path(), kind: JobKind::Encrypt },
        Refusal::SlotsAlone { path: path() },
        Refusal::NothingToResume { path: path() },
        Refusal::BeingRolledBack { path: path() },
        Refusal::OnlyFinish { path: path() },
        Refusal::DecryptWordMissing { path: path() },
        Refusal::StaleJournal { journal: path() },
        Refusal::NothingBegun { path: path(), data_len_bytes: 1 },
        Refusal::ForeignJournal { journal: path() },
        Refusal::JournalOfOthers { journal: path(), file: path(), who: "user 7".into() },
        Refusal::JournalOfUnknown { journal: path(), file: path() },
        Refusal::NoSpace { path: path(), needed_bytes: 1 << 20, source: source() },
        Refusal::JournalUnmakable { path: path(), source: source() },
        Refusal::NoRecipients,
        Refusal::TooManyRecipients { given: 40 },
        Refusal::UnsoundPair,
        Refusal::ChecksumUnsound { file_system: "nfs".into() },
        Refusal::ChecksumUnsoundHere { path: path(), file_system: "overlayfs".into() },
        Refusal::JournalInMemory { journal: path(), file_system: "tmpfs" },
        Refusal::InlineData { path: path(), file_system: "ext4" },
        Refusal::OldCopyMayReturn { path: path(), is_known: true, source: source() },
        Refusal::DataLossNotAccepted,
        Refusal::BadValue { what: "x", must_be: "y", value: 1 },
        Refusal::TooLong { path: path() },
        Refusal::Threads { threads: 9, source: source() },
        Refusal::Output { path: path(), source: source() },
        Refusal::Spool { folder: path(), is_temporary: true, source: source() },
        Refusal::Input { path: path(), source: source() },
        Refusal::Cancelled,
        Refusal::Random,
    ]
}

fn damages() -> Vec<Damage> {
    let what = || "x".to_owned();
    vec![
        Damage::Truncated { missing_bytes: 1 },
        Damage::ForeignBytes { trailer_end: 4096, foreign_bytes: 1 },
        Damage::SuperblocksDiffer,
        Damage::SuperblockMalformed { copy: 'A', what: what() },
        Damage::SlotsUnreadable { what: what() },
        Damage::WrongMac { block: "superblock" },
        Damage::Chunk { chunk: 0, offset: 0 },
        Damage::Chunks { count: 2, ranges: Vec::new(), ranges_left_out: 0 },
        Damage::Table { chunk: 0 },
        Damage::NeitherOldNorNew { chunk: 0, offset: 0 },
        Damage::Ambiguous { chunk: 0, offset: 0 },
        Damage::NotAsClaimed { chunk: 0, offset: 0 },
        Damage::InNeitherForm { count: 1, first_chunk: 0, offset: 0 },
        Damage::CannotBeOpened { count: 1, first_chunk: 0, offset: 0, can_end_sealed: true },
        Damage::CannotBeOpened { count: 1, first_chunk: 0, offset: 0, can_end_sealed: false },
        Damage::Padding { offset: 0 },
        Damage::JournalMissing { journal: "j".into() },
        Damage::Journal { what: what() },
        Damage::Length { found_bytes: 0, expected_bytes: 1 },
        Damage::Length { found_bytes: 2, expected_bytes: 1 },
        Damage::Unprotected,
        Damage::PowerCutDuringProcessJob,
        Damage::SuperblocksUnreadable,
    ]
}

fn all_failures() -> Vec<Failure> {
    let mut failures: Vec<Failure> = refusals().into_iter().map(Failure::from).collect();
    failures.extend(
        damages()
            .into_iter()
            .map(|damage| Failure::from(OpenError::Damaged { path: "my file".into(), damage })),
    );
    for kind in [JobKind::Encrypt, JobKind::Decrypt] {
        for rolling_back in [false, true] {
            failures.push(interrupted(kind, rolling_back, InterruptCause::Cancelled));
        }
        for journal_found in [false, true] {
            let path = "my file".into();
            failures.push(OpenError::Interrupted { path, kind, journal_found }.into());
        }
    }
    failures.push(OpenError::NotSealed { path: "my file".into() }.into());
    failures.push(OpenError::Newer { path: "my file".into(), what: "x".into() }.into());
    failures
}

/// The commands that a remedy proposes, as words.
fn proposed(remedy: &str) -> Vec<Vec<String>> {
    remedy
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|command| command.starts_with("pageseal ") && !command.ends_with("--help"))
        .map(words)
        .collect()
}

/// Splits at spaces outside single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn proposed_commands_are_accepted_by_the_parser() {
    let journal = Path::new("a journal");
    let mut seen = 0;
    for failure in all_failures() {
        for journal in [None, Some(journal)] {
            let situation = Situation { journal, ..Situation::of("encrypt").on(Path::new("my file")) };
            for command in proposed(&remedy(&failure, &situation)) {
                Arguments::try_parse_from(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} commands found");
}

#[test]
fn known_errors_never_fall_through_to_the_general_remedy() {
    let situation = Situation::of("encrypt").on(Path::new("f"));
    for refusal in refusals() {
        let text = of_refusal(&refusal, &situation);
        assert!(!text.starts_with("nothing was changed; see"), "{refusal:?}");
    }
    for damage in damages() {
        assert_ne!(of_damage(&damage, Path::new("f"), &situation), "restore a backup", "{damage:?}");
    }
}

#[test]
fn an_interrupted_job_says_how_to_go_on() {
    let situation = Situation::of("encrypt").on(Path::new("my video.mkv"));
    let cancelled = |kind, back| remedy(&interrupted(kind, back, InterruptCause::Cancelled), &situation);
    assert_eq!(
        cancelled(JobKind::Encrypt, false),
        "43 % done; run `pageseal resume 'my video.mkv'` to go on or `pageseal rollback 'my video.mkv'` to undo"
    );
    assert!(cancelled(JobKind::Decrypt, false).contains("`pageseal resume --decrypt 'my video.mkv'`"));
    assert_eq!(
        cancelled(JobKind::Decrypt, true),
        "43 % done; run `pageseal rollback 'my video.mkv'` to finish undoing"
    );
    let elsewhere = Situation { journal: Some(Path::new("/j")), ..situation };
    let keys = KeyArguments { identities: vec!["key.txt".into()], passphrase_file: None };
    let with_keys = Situation { keys: Some(&keys), ..situation };
    assert!(
        remedy(&interrupted(JobKind::Decrypt, false, InterruptCause::Cancelled), &with_keys)
            .contains("resume --decrypt -i key.txt 'my video.mkv'")
    );
    assert!(
        remedy(&interrupted(JobKind::Encrypt, false, InterruptCause::Cancelled), &elsewhere)
            .contains("resume --journal /j 'my video.mkv'")
    );
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    let situation = Situation::of("encrypt");
    let of_errno = |errno| {
        let source = io::Error::from_raw_os_error(errno);
        let cause = InterruptCause::Io { what: "writing", offset: 0, source };
        remedy(&interrupted(JobKind::Encrypt, false, cause), &situation)
    };
    assert!(of_errno(28).contains("free some space"));
    assert!(of_errno(5).contains("check the disk"));
    let cause = InterruptCause::Threads { source: io::Error::from_raw_os_error(11) };
    assert!(remedy(&interrupted(JobKind::Encrypt, false, cause), &situation).contains("ulimit -u"));
}
