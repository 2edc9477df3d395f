//! Whole jobs past the page cache where io_uring is blocked, as it is in many containers: the requests go by threads, and say so.

mod support;

use std::collections::BTreeMap;
use std::process::Output;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use support::{Folder, code, content, stderr};

/// The same number on all architectures (`man 2 io_uring_setup`).
const IO_URING_SETUP: i64 = 425;

/// Runs the command with a filter such as container engines put up: `io_uring_setup` is not permitted. `None` where there are no filters,
/// as under some emulators.
fn run_in_container(folder: &Folder, arguments: &[&str]) -> Option<Output> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(IO_URING_SETUP, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(1),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    // A filter is a thread's, and goes over to the processes that it starts.
    std::thread::scope(|scope| {
        let in_container = scope.spawn(|| {
            seccompiler::apply_filter(&program).ok()?;
            Some(folder.run(arguments))
        });
        in_container.join().unwrap()
    })
}

#[test]
fn jobs_past_the_page_cache_are_whole_without_io_uring() {
    let (folder, recipient) = Folder::with_key();
    // Some windows, and an end that is not aligned.
    let original = content(20_000_001);
    for resilience in ["checksum", "journal"] {
        folder.write("a.bin", &original);
        let encrypt =
            ["encrypt", "-v", "--io", "direct", "--resilience", resilience, "-r", &recipient, "a.bin"];
        let Some(sealed) = run_in_container(&folder, &encrypt) else {
            println!("SKIPPED: the kernel takes no filter for system calls");
            return;
        };
        assert_eq!(code(&sealed), 0, "{}", stderr(&sealed));
        if !stderr(&sealed).contains("store        direct") {
            println!("SKIPPED: no direct I/O on the temporary folder: {}", stderr(&sealed));
            return;
        }
        let how = "direct: as asked (requests by threads: io_uring is not to be had)";
        assert!(stderr(&sealed).contains(how), "{}", stderr(&sealed));
        folder.succeed(["verify", "-i", "key.txt", "a.bin.sealed"]);
        let decrypt =
            ["decrypt", "-v", "--io", "direct", "--resilience", resilience, "-i", "key.txt", "a.bin.sealed"];
        let opened = run_in_container(&folder, &decrypt).expect("a filter as before");
        assert_eq!(code(&opened), 0, "{}", stderr(&opened));
        assert!(stderr(&opened).contains(how), "{}", stderr(&opened));
        assert!(folder.read("a.bin") == original, "{resilience}");
        assert!(!folder.exists("a.bin.sealed") && !folder.exists("a.bin.pageseal-journal"));
    }
}
