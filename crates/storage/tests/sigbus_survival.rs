//! A file cut while its memory is in use: survived with the handler, deadly without.
//!
//! What kills is tried in child processes: this program again, running one of the ignored tests.

#![expect(unsafe_code, reason = "a fault outside every mapping of the crate has to be made")]

use std::{
    fs::File,
    os::unix::{fs::FileExt, process::ExitStatusExt},
    process::Command,
    sync::Barrier,
};

use pageseal_storage::{
    MappedFile, MappedRange, Storage, StorageError, secrets::disable_core_dumps, sigbus::install_handler,
};
use rustix::process::{Signal, getpid, kill_process};
use tempfile::NamedTempFile;

const PAGE: usize = 4096;
const PAGES: usize = 16;
const LENGTH: usize = PAGES * PAGE;

fn mapped_file() -> (NamedTempFile, MappedFile) {
    let temp = NamedTempFile::new().unwrap();
    temp.as_file().write_all_at(&[b'A'; LENGTH], 0).unwrap();
    let mapped = MappedFile::new(temp.reopen().unwrap(), LENGTH as u64).unwrap();
    (temp, mapped)
}

fn cut(temp: &NamedTempFile, length: usize) {
    File::options().write(true).open(temp.path()).unwrap().set_len(length as u64).unwrap();
}

fn storage_error(result: std::io::Result<()>) -> StorageError {
    *StorageError::of(&result.unwrap_err()).unwrap()
}

#[test]
fn a_cut_during_use_is_an_error_and_what_is_left_is_kept() {
    install_handler().unwrap();
    let (temp, mapped) = mapped_file();
    let mut ran_to_its_end = false;
    let result = mapped.with_range(0, LENGTH, &mut |bytes| {
        bytes[..PAGE].fill(b'B');
        cut(&temp, 2 * PAGE);
        bytes[PAGE..].fill(b'C');
        assert_eq!(bytes[LENGTH - 1], b'C', "the memory stays usable");
        ran_to_its_end = true;
    });
    assert!(ran_to_its_end);
    assert_eq!(
        storage_error(result),
        StorageError::TruncatedMapping { offset: 0, length: LENGTH as u64, file_length: 2 * PAGE as u64 }
    );
    let again = mapped.with_range(0, PAGE, &mut |_| panic!("must not run"));
    assert_eq!(storage_error(again), StorageError::PoisonedMapping);
    let mut left = [0; 2 * PAGE];
    mapped.read_exact_at(&mut left, 0).unwrap();
    assert!(left[..PAGE].iter().all(|byte| *byte == b'B'));
    assert!(left[PAGE..].iter().all(|byte| *byte == b'C'));
    assert_eq!(mapped.len().unwrap(), 2 * PAGE as u64);
    mapped.sync_all().unwrap();
}

/// As a store comes some time after its pages were brought in.
#[test]
fn a_cut_between_bringing_in_and_storing_is_an_error() {
    install_handler().unwrap();
    let (temp, mapped) = mapped_file();
    mapped.bring_in(0, LENGTH).unwrap();
    cut(&temp, PAGE);
    let result = mapped.replace(0, &[b'B'; LENGTH], &mut |_| true).map(drop);
    assert_eq!(
        storage_error(result),
        StorageError::TruncatedMapping { offset: 0, length: LENGTH as u64, file_length: PAGE as u64 }
    );
    assert_eq!(mapped.len().unwrap(), PAGE as u64, "the file does not grow again");
}

#[test]
fn a_read_behind_the_cut_is_an_error_too() {
    install_handler().unwrap();
    let (temp, mapped) = mapped_file();
    let mut last = b'?';
    let result = mapped.with_range(PAGE as u64, LENGTH - PAGE, &mut |bytes| {
        cut(&temp, 0);
        last = bytes[bytes.len() - 1];
    });
    assert_eq!(last, 0);
    assert!(matches!(storage_error(result), StorageError::TruncatedMapping { file_length: 0, .. }));
}

#[test]
fn ranges_in_use_beside_the_fault_fail_as_well() {
    install_handler().unwrap();
    let (temp, mapped) = mapped_file();
    let (both_inside, fault_done) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        // Shares a page with the range that faults.
        let beside = scope.spawn(|| {
            mapped.with_range(PAGE as u64 + 100, LENGTH - PAGE - 100, &mut |bytes| {
                both_inside.wait();
                fault_done.wait();
                bytes.fill(1);
            })
        });
        let faulting = mapped.with_range(0, PAGE + 100, &mut |bytes| {
            both_inside.wait();
            cut(&temp, PAGE);
            bytes[PAGE] = 1;
            fault_done.wait();
        });
        assert!(matches!(storage_error(faulting), StorageError::TruncatedMapping { .. }));
        let beside = storage_error(beside.join().unwrap());
        assert!(matches!(beside, StorageError::TruncatedMapping { .. }), "{beside}");
    });
}

#[test]
fn a_file_cut_and_grown_again_does_not_pass_for_whole() {
    install_handler().unwrap();
    let (temp, mapped) = mapped_file();
    let result = mapped.with_range(0, LENGTH, &mut |bytes| {
        cut(&temp, 0);
        bytes[PAGE] = 1;
        cut(&temp, LENGTH);
    });
    assert_eq!(storage_error(result), StorageError::LostMapping { offset: 0, length: LENGTH as u64 });
}

#[test]
fn other_mappings_do_not_suffer() {
    install_handler().unwrap();
    let (temp, cut_file) = mapped_file();
    let (_other_temp, other) = mapped_file();
    other
        .with_range(0, LENGTH, &mut |other_bytes| {
            let result = cut_file.with_range(0, LENGTH, &mut |bytes| {
                cut(&temp, 0);
                bytes.fill(1);
            });
            result.unwrap_err();
            other_bytes.fill(b'Z');
        })
        .unwrap();
    let mut found = [0; LENGTH];
    other.read_exact_at(&mut found, 0).unwrap();
    assert!(found.iter().all(|byte| *byte == b'Z'));
}

#[test]
fn all_workers_survive_at_once() {
    install_handler().unwrap();
    for _ in 0..50 {
        let (temp, mapped) = mapped_file();
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (temp, mapped, start) = (&temp, &mapped, &start);
                scope.spawn(move || {
                    let part = LENGTH / 4;
                    let result = mapped.with_range((worker * part) as u64, part, &mut |bytes| {
                        start.wait();
                        if worker == 3 {
                            cut(temp, 0);
                        }
                        start.wait();
                        bytes.fill(worker as u8);
                    });
                    assert!(matches!(storage_error(result), StorageError::TruncatedMapping { .. }));
                });
            }
        });
    }
}

/// The signal that killed a child running one of the tests below.
fn killed_by(test: &str) -> Option<i32> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    output.status.signal()
}

const SIGBUS: Option<i32> = Some(Signal::BUS.as_raw());

#[test]
fn what_the_handler_is_not_for_still_kills() {
    assert_eq!(killed_by("child_cut_without_handler"), SIGBUS);
    assert_eq!(killed_by("child_killed_with_handler"), SIGBUS);
    assert_eq!(killed_by("child_faults_elsewhere_with_handler"), SIGBUS);
    assert_eq!(killed_by("child_faults_where_a_mapping_was"), SIGBUS);
}

#[test]
#[ignore = "run as a child"]
fn child_cut_without_handler() {
    disable_core_dumps().unwrap();
    let (temp, mapped) = mapped_file();
    let _ = mapped.with_range(0, LENGTH, &mut |bytes| {
        cut(&temp, 0);
        bytes.fill(1);
    });
}

#[test]
#[ignore = "run as a child"]
fn child_killed_with_handler() {
    disable_core_dumps().unwrap();
    install_handler().unwrap();
    let (_temp, mapped) = mapped_file();
    let _ = mapped.with_range(0, LENGTH, &mut |_| kill_process(getpid(), Signal::BUS).unwrap());
}

fn fault_in_foreign_mapping() {
    let (temp, _) = mapped_file();
    let foreign = memmap2::MmapOptions::new().len(LENGTH).map_raw(temp.as_file()).unwrap();
    cut(&temp, 0);
    // SAFETY: the address lies in a mapping that is alive; that the access raises SIGBUS is the point.
    unsafe { foreign.as_ptr().read_volatile() };
}

#[test]
#[ignore = "run as a child"]
fn child_faults_elsewhere_with_handler() {
    disable_core_dumps().unwrap();
    install_handler().unwrap();
    let (_temp, _mapped) = mapped_file();
    fault_in_foreign_mapping();
}

#[test]
#[ignore = "run as a child"]
fn child_faults_where_a_mapping_was() {
    disable_core_dumps().unwrap();
    install_handler().unwrap();
    // The address is most likely used again.
    drop(mapped_file());
    fault_in_foreign_mapping();
}
