//! Where the kernel refuses a call that is only for speed: io_uring, as in many containers and as before Linux 5.6, and
//! `MADV_POPULATE_WRITE`, as before Linux 5.14.
//! A filter for system calls refuses it here.

mod optional;
mod support;

use std::collections::BTreeMap;
use std::process::Output;

use optional::skip;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use support::{Folder, code, content, stderr};

/// The same numbers on all architectures (`man 2 io_uring_setup`).
const IO_URING_SETUP: i64 = 425;
const IO_URING_ENTER: i64 = 426;
const IO_URING_REGISTER: i64 = 427;
const MADVISE: i64 = if cfg!(target_arch = "x86_64") { 28 } else { 233 };
const FALLOCATE: i64 = if cfg!(target_arch = "x86_64") { 285 } else { 47 };
/// `FALLOC_FL_KEEP_SIZE`.
const KEEP_SIZE: u64 = 1;
/// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`.
const POPULATE: [u64; 2] = [22, 23];
const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const EOPNOTSUPP: u32 = 95;

/// Runs the command where a call with one of these rules' arguments fails with `errno`. `None` where there are no filters, as under some
/// emulators.
fn run_without(
    call: i64,
    rules: Vec<SeccompRule>,
    errno: u32,
    folder: &Folder,
    arguments: &[&str],
) -> Option<Output> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    // A filter is a thread's, and goes over to the processes that it starts.
    std::thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            seccompiler::apply_filter(&program).ok()?;
            Some(folder.run(arguments))
        });
        filtered.join().unwrap()
    })
}

/// As before Linux 5.14.
fn run_on_older_kernel(folder: &Folder, arguments: &[&str]) -> Option<Output> {
    let populates =
        |advice| SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, advice).unwrap();
    let rules = POPULATE.map(|advice| SeccompRule::new(vec![populates(advice)]).unwrap());
    run_without(MADVISE, rules.into(), EINVAL, folder, arguments)
}

/// What is said where it is known beforehand that requests go by threads.
const BY_THREADS: &str = "direct: as asked (requests by threads: io_uring is not to be had)";

#[test]
fn jobs_past_the_page_cache_are_whole_without_io_uring() {
    seal_and_open_without(IO_URING_SETUP, EPERM, BY_THREADS);
}

/// Rings could be had before they could read and write into plain memory, and before they told what they can.
#[test]
fn jobs_past_the_page_cache_are_whole_with_the_io_uring_of_older_kernels() {
    seal_and_open_without(IO_URING_REGISTER, EINVAL, BY_THREADS);
}

#[test]
fn jobs_past_the_page_cache_are_whole_where_io_uring_takes_no_requests() {
    seal_and_open_without(IO_URING_ENTER, EPERM, "direct: as asked");
}

/// Seals and opens a file past the page cache while a call fails with `errno`, and looks for what is said of how that goes.
fn seal_and_open_without(call: i64, errno: u32, how: &str) {
    let (folder, recipient) = Folder::with_key();
    // Some windows, and an end that is not aligned.
    let original = content(20_000_001);
    for resilience in ["checksum", "journal"] {
        folder.write("a.bin", &original);
        let encrypt =
            ["encrypt", "-v", "--io", "direct", "--resilience", resilience, "-r", &recipient, "a.bin"];
        let Some(sealed) = run_without(call, Vec::new(), errno, &folder, &encrypt) else {
            return skip("a filter for system calls");
        };
        assert_eq!(code(&sealed), 0, "{}", stderr(&sealed));
        if !stderr(&sealed).contains("store        direct") {
            println!("SKIPPED: no direct I/O on the temporary folder: {}", stderr(&sealed));
            return;
        }
        assert!(stderr(&sealed).contains(how), "{}", stderr(&sealed));
        if call == IO_URING_ENTER && stderr(&sealed).contains(BY_THREADS) {
            return skip("a ring that could take requests");
        }
        folder.succeed(["verify", "-i", "key.txt", "a.bin.sealed"]);
        let decrypt =
            ["decrypt", "-v", "--io", "direct", "--resilience", resilience, "-i", "key.txt", "a.bin.sealed"];
        let opened = run_without(call, Vec::new(), errno, &folder, &decrypt).expect("a filter as before");
        assert_eq!(code(&opened), 0, "{}", stderr(&opened));
        assert!(stderr(&opened).contains(how), "{}", stderr(&opened));
        assert!(folder.read("a.bin") == original, "{resilience}");
        assert!(!folder.exists("a.bin.sealed") && !folder.exists("a.bin.pageseal-journal"));
    }
}

#[test]
fn pages_are_faulted_in_where_they_cannot_be_brought_in() {
    let (folder, recipient) = Folder::with_key();
    let original = content(5_000_001);
    folder.write("a.bin", &original);
    for resilience in ["process", "journal"] {
        let encrypt =
            ["encrypt", "-q", "--io", "mmap", "--resilience", resilience, "-r", &recipient, "a.bin"];
        let Some(sealed) = run_on_older_kernel(&folder, &encrypt) else {
            return skip("a filter for system calls");
        };
        assert_eq!(code(&sealed), 0, "{}", stderr(&sealed));
        let decrypt =
            ["decrypt", "-q", "--io", "mmap", "--resilience", resilience, "-i", "key.txt", "a.bin.sealed"];
        let opened = run_on_older_kernel(&folder, &decrypt).expect("a filter as before");
        assert_eq!(code(&opened), 0, "{}", stderr(&opened));
        assert!(folder.read("a.bin") == original, "{resilience}");
    }
    for measured in [["bench", "io", "--size", "1MiB", "."], ["bench", "io", "--size", "1MiB", "a.bin"]] {
        let bench = run_on_older_kernel(&folder, &measured).expect("a filter as before");
        assert_eq!(code(&bench), 0, "{measured:?}: {}", stderr(&bench));
    }
    assert!(folder.read("a.bin") == original);
}

/// As on NFS 4.2, which reserves space only by making the file longer: what was made longer so is not taken for somebody else's.
#[test]
fn files_grow_where_space_cannot_be_reserved_behind_their_end() {
    let (folder, recipient) = Folder::with_key();
    let original = content(1_000_001);
    folder.write("a.bin", &original);
    let keeps = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, KEEP_SIZE).unwrap();
    let rules = vec![SeccompRule::new(vec![keeps]).unwrap()];
    let encrypt = ["encrypt", "-q", "-r", &recipient, "a.bin"];
    let Some(sealed) = run_without(FALLOCATE, rules, EOPNOTSUPP, &folder, &encrypt) else {
        return skip("a filter for system calls");
    };
    assert_eq!(code(&sealed), 0, "{}", stderr(&sealed));
    folder.succeed(["decrypt", "-q", "-i", "key.txt", "a.bin.sealed"]);
    assert!(folder.read("a.bin") == original);
}
