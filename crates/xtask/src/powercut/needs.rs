//! What the parts need from the machine, looked for before anything is touched.

use std::path::Path;

use super::Part;
use super::file_system::FileSystem;
use super::stop::{Outcome, Stop};
use super::tool;

/// Fails with all that is missing for these parts and file systems.
pub fn check(parts: &[Part], file_systems: &[FileSystem]) -> Outcome<()> {
    let mut missing = Vec::new();
    if parts == [Part::Kills] {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("the rights of root: run it as root or with sudo".to_owned());
    }
    need_path(&mut missing, "/dev/loop-control", "the kernel module loop: `modprobe loop`");
    for (program, package) in [
        ("unshare", "util-linux"),
        ("losetup", "util-linux"),
        ("mount", "util-linux"),
        ("umount", "util-linux"),
        ("cp", "coreutils"),
    ] {
        need_program(&mut missing, program, package);
    }
    let mut made: Vec<_> = file_systems.to_vec();
    if parts.contains(&Part::Faults) {
        made.extend(FileSystem::USUAL);
        made.sort_unstable();
        made.dedup();
    }
    for file_system in made {
        let package = match file_system {
            FileSystem::Ext4 | FileSystem::Ext4NoJournal | FileSystem::Ext3 => "e2fsprogs",
            FileSystem::Xfs => "xfsprogs",
            FileSystem::Btrfs => "btrfs-progs",
        };
        need_program(&mut missing, file_system.maker(), package);
        if file_system == FileSystem::Btrfs {
            need_program(&mut missing, "btrfs", package);
        }
        need_file_system(&mut missing, file_system);
    }
    if parts.iter().any(|part| matches!(part, Part::Replay | Part::Faults)) {
        need_program(&mut missing, "e2fsck", "e2fsprogs");
    }
    if parts.contains(&Part::Faults) {
        need_program(&mut missing, "filefrag", "e2fsprogs");
    }
    if parts.contains(&Part::Late) {
        need_program(&mut missing, "setpriv", "util-linux");
        need_program(&mut missing, "chattr", "e2fsprogs");
    }
    if parts.contains(&Part::Shutdown) {
        need_program(&mut missing, "xfs_io", "xfsprogs");
    }
    if parts.iter().any(|part| matches!(part, Part::Replay | Part::Faults | Part::Late)) {
        need_path(&mut missing, "/dev/fuse", "the kernel module fuse: `modprobe fuse`");
    }
    if missing.is_empty() { Ok(()) } else { Err(Stop::Lacks(missing)) }
}

fn need_path(missing: &mut Vec<String>, path: &str, cure: &str) {
    if !Path::new(path).exists() {
        missing.push(format!("{path}, {cure}"));
    }
}

fn need_program(missing: &mut Vec<String>, program: &str, package: &str) {
    if tool::find(program).is_none() {
        missing.push(format!("the program {program}, in package {package}"));
    }
}

/// Modules are loaded by mount, so one that is not listed yet is only missing if `modprobe` does not know it either.
fn need_file_system(missing: &mut Vec<String>, file_system: FileSystem) {
    let name = file_system.mounted_as();
    let listed = std::fs::read_to_string("/proc/filesystems")
        .is_ok_and(|text| text.lines().any(|line| line.split_whitespace().last() == Some(name)));
    if !listed && tool::run("modprobe", [name]).is_err() {
        missing.push(format!("the file system {name} in the kernel: `modprobe {name}`"));
    }
}
