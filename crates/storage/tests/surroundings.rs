//! What is asked of the machine: file systems, memory, limits.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use pageseal_storage::{
    FileSystemKind, MappedFile, MappedRange, Medium,
    secrets::{disable_core_dumps, is_volatile_file_system, runtime_directory},
    usage::ProcessUsage,
};

const MIB: u64 = 1 << 20;

#[test]
fn a_temporary_file_has_a_medium() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&vec![1; MIB as usize], 0).unwrap();
    file.sync_all().unwrap();
    let medium = Medium::of(&file).unwrap();
    eprintln!("{medium:?}");
    assert!(medium.block_size.is_power_of_two() && medium.block_size >= 512, "{medium:?}");
    assert!(medium.free_bytes > 0 && medium.name_max >= 100, "{medium:?}");
    assert!(medium.kernel > (3, 0), "{medium:?}");
    assert!(!medium.read_only_mount && !medium.immutable && !medium.append_only, "{medium:?}");
    if medium.kind == FileSystemKind::Ext4 {
        assert!(medium.allocated_bytes >= MIB, "{medium:?}");
        assert_eq!(medium.shared_extents, Some(false));
        assert!(medium.checksum_is_sound() && !medium.copy_on_write);
    }
}

#[test]
fn holes_take_no_space() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(64 * MIB).unwrap();
    file.write_all_at(b"x", 32 * MIB).unwrap();
    file.sync_all().unwrap();
    let medium = Medium::of(&file).unwrap();
    assert!(medium.allocated_bytes < MIB, "{medium:?}");
    assert_ne!(medium.shared_extents, Some(true));
}

#[test]
fn many_extents_are_looked_through() {
    let file = tempfile::tempfile().unwrap();
    for at in 0..1000 {
        file.write_all_at(&[1; 4096], at * 8192).unwrap();
    }
    file.sync_all().unwrap();
    let medium = Medium::of(&file).unwrap();
    if medium.kind == FileSystemKind::Ext4 {
        assert_eq!(medium.shared_extents, Some(false));
    }
}

#[test]
fn shared_memory_is_volatile() {
    let shm = Path::new("/dev/shm");
    if !is_volatile_file_system(shm).unwrap_or(false) {
        eprintln!("skipped: /dev/shm is no tmpfs here");
        return;
    }
    let medium = Medium::of(&tempfile::tempfile_in(shm).unwrap()).unwrap();
    assert!(medium.checksum_is_sound(), "{medium:?}");
    assert!(!medium.copy_on_write);
    if medium.kind == FileSystemKind::Tmpfs {
        assert_eq!(medium.shared_extents, Some(false));
    }
    assert!(!is_volatile_file_system(Path::new("/proc")).unwrap());
    assert!(is_volatile_file_system(Path::new("/missing/path")).is_err());
    let directory = runtime_directory().unwrap();
    assert!(is_volatile_file_system(&directory).unwrap());
}

#[test]
fn a_mapping_counts_as_shared_memory_not_as_private() {
    let length = 64 * MIB;
    let file = tempfile::tempfile().unwrap();
    file.set_len(length).unwrap();
    let mapped = MappedFile::new(file, length).unwrap();
    let before = ProcessUsage::now().unwrap();
    mapped.with_range(0, length as usize, &mut |bytes| bytes.fill(1)).unwrap();
    let after = ProcessUsage::now().unwrap();
    let shared = after.shared_resident_bytes - before.shared_resident_bytes;
    let private = after.private_resident_bytes.saturating_sub(before.private_resident_bytes);
    assert!(shared >= length / 2, "{shared}");
    assert!(private < length / 8, "{private}");
    assert!(after.minor_faults + after.major_faults > 0);
}

/// In a process of its own, because it cannot be undone.
#[test]
fn core_dumps_are_off() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_without_core_dumps", "--ignored"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

#[test]
#[ignore = "run as a child"]
fn child_without_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
    disable_core_dumps().unwrap();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    let limit = getrlimit(Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    // What the crate needs of /proc still works.
    let temp = tempfile::NamedTempFile::new().unwrap();
    let file = File::options().read(true).write(true).open(temp.path()).unwrap();
    pageseal_storage::watch::ChangeWatch::new(&file).unwrap();
    ProcessUsage::now().unwrap();
    use pageseal_storage::{Directory, RealDirectory};
    let place = tempfile::tempdir().unwrap();
    let directory = RealDirectory::open(place.path()).unwrap();
    let unnamed = directory.create_unnamed().unwrap();
    directory.link_temporary(&unnamed, "named".as_ref()).unwrap();
}
