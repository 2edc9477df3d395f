//! What a process leaves that is killed while it stores into a mapping: new up to one place, old from there on.
//!
//! The process is this program again, running the ignored test.

use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pageseal_storage::{MappedFile, MappedRange, STORE_UNIT_BYTES};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

const LENGTH: usize = 8 << 20;
const FILE: &str = "PAGESEAL_TEST_KILLED_STORE_FILE";
const KILLS: usize = 60;

/// Goes over the file with one pass after the other, each with a byte of its own, until it is killed.
#[test]
#[ignore = "the process that `a_killed_store_is_torn_at_one_place` starts and kills"]
fn store_for_ever() {
    let path = std::env::var_os(FILE).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mapped = MappedFile::new(file, LENGTH as u64).unwrap();
    for pass in (1..=u8::MAX).cycle() {
        assert!(mapped.replace(0, &vec![pass; LENGTH], &mut |_| true).unwrap());
    }
}

#[test]
fn a_killed_store_is_torn_at_one_place() {
    let temp = NamedTempFile::new().unwrap();
    let mut within = 0;
    for round in 0..KILLS {
        temp.as_file().write_all_at(&vec![0; LENGTH], 0).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store_for_ever"])
            .env(FILE, temp.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_stores(&temp, &mut child);
        std::thread::sleep(Duration::from_micros(97 * round as u64));
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        let mut left = vec![0; LENGTH];
        temp.as_file().read_exact_at(&mut left, 0).unwrap();
        let tear = left.iter().position(|byte| *byte != left[0]);
        let Some(tear) = tear else { continue };
        within += 1;
        assert!(left[tear..].iter().all(|byte| *byte == left[tear]), "torn at {tear} and once more");
        assert_eq!(tear % STORE_UNIT_BYTES, 0);
        let before = if left[0] == 1 && left[tear] == u8::MAX { 0 } else { left[tear] };
        assert_eq!(left[0].wrapping_sub(1), before, "old bytes before new ones");
    }
    assert!(within > KILLS / 10, "only {within} of {KILLS} kills came within a store");
}

/// However long that takes, as long as the child lives.
fn wait_for_stores(temp: &NamedTempFile, child: &mut Child) {
    let mut first = [0];
    while first == [0] {
        assert!(child.try_wait().unwrap().is_none(), "the child does not store");
        temp.as_file().read_exact_at(&mut first, 0).unwrap();
    }
}
