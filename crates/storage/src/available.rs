//! How much memory there is to plan with, and which boot this is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::usage::bytes_of;

/// Bytes of memory this process could take without swapping: what the kernel thinks is available
/// (`MemAvailable`), or less if a control group (version 2 or 1) leaves less. It is an estimate and can be
/// wrong a moment later.
///
/// # Errors
/// Those of reading `/proc/meminfo`; [`io::ErrorKind::InvalidData`] if the line is missing there.
/// Control groups that cannot be read do not count.
pub fn available_memory_bytes() -> io::Result<u64> {
    let system =
        bytes_of(&fs::read_to_string("/proc/meminfo")?, "MemAvailable:").ok_or(io::ErrorKind::InvalidData)?;
    // A name of a group need not be text.
    let group = fs::read("/proc/self/cgroup").ok().and_then(|groups| {
        let groups = String::from_utf8_lossy(&groups);
        [&UNIFIED, &LEGACY]
            .into_iter()
            .filter_map(|hierarchy| hierarchy.left(Path::new(hierarchy.root), hierarchy.group_in(&groups)?))
            .min()
    });
    Ok(group.map_or(system, |group| group.min(system)))
}

/// Where a version of control groups says what it allows of memory
/// (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
struct Hierarchy {
    /// Its controllers, as `/proc/self/cgroup` names them.
    controller: &'static str,
    /// Where it is mounted as a rule; limits elsewhere are not found.
    root: &'static str,
    /// Files with a limit; the least of them counts.
    limits: &'static [&'static str],
    used: &'static str,
    /// The line of `memory.stat` with the pages that are given up first, those below the group included.
    reclaimable: &'static str,
}

const UNIFIED: Hierarchy = Hierarchy {
    controller: "",
    root: "/sys/fs/cgroup",
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    reclaimable: "inactive_file ",
};

const LEGACY: Hierarchy = Hierarchy {
    controller: "memory",
    root: "/sys/fs/cgroup/memory",
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file ",
};

impl Hierarchy {
    /// The path in the line of this hierarchy, `NUMBER:CONTROLLER,CONTROLLER:/path`.
    fn group_in<'t>(&self, groups: &'t str) -> Option<&'t str> {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(":/")?;
            controllers.split(',').any(|name| name == self.controller).then_some(path)
        })
    }

    /// The least that the group or any group above it leaves; `None` if none has a limit. Inside of a container the path may be
    /// one of outside; the root is the container's own group then.
    fn left(&self, root: &Path, group: &str) -> Option<u64> {
        let group: PathBuf = root.join(group);
        group.ancestors().take_while(|at| at.starts_with(root)).filter_map(|at| self.left_by(at)).min()
    }

    /// Limit less use; file pages that were not used lately are given up first, so they count as left.
    fn left_by(&self, group: &Path) -> Option<u64> {
        let read = |name: &str| fs::read_to_string(group.join(name)).ok();
        // "max" is no number and no limit; in version 1 no limit is a number larger than any memory.
        let limits = self.limits.iter().filter_map(|name| read(name)?.trim().parse::<u64>().ok());
        let limit = limits.min()?;
        let used: u64 = read(self.used)?.trim().parse().ok()?;
        let reclaimable = read("memory.stat")
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix(self.reclaimable)?.parse().ok()))
            .unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
    }
}

/// How long a file this process may make, in bytes (`RLIMIT_FSIZE`); `None` without a limit. Writing behind it is `EFBIG`, and a
/// signal that ends the process (SIGXFSZ) unless that is ignored.
#[must_use]
pub fn file_size_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

/// The random id the kernel drew when it started: two equal ids mean that the machine was not
/// restarted in between. `None` without `/proc`.
#[must_use]
pub fn boot_id() -> Option<[u8; 16]> {
    parse_boot_id(&fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
}

/// The 16 bytes of a UUID in its usual spelling, in the order they are spelled.
fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text
        .trim()
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() == 32 { pairs.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_ids_are_read() {
        let id = parse_boot_id("00112233-4455-6677-8899-aabbccddeeff\n").unwrap();
        assert_eq!(id[..3], [0x00, 0x11, 0x22]);
        assert_eq!(id[15], 0xff);
        assert_eq!(parse_boot_id("00112233-4455-6677-8899-aabbccddeef"), None);
        assert_eq!(parse_boot_id("g0112233-4455-6677-8899-aabbccddeeff"), None);
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let left = || UNIFIED.left(root.path(), "a/b");
        let write = |dir: &Path, max: &str, current: &str| {
            fs::write(dir.join("memory.max"), max).unwrap();
            fs::write(dir.join("memory.current"), current).unwrap();
        };
        assert_eq!(left(), None);
        write(&inner, "max\n", "5\n");
        assert_eq!(left(), None);
        write(&root.path().join("a"), "1000\n", "900\n");
        assert_eq!(left(), Some(100));
        fs::write(root.path().join("a/memory.stat"), "anon 1\ninactive_file 50\n").unwrap();
        assert_eq!(left(), Some(150));
        fs::write(root.path().join("a/memory.high"), "990\n").unwrap();
        assert_eq!(left(), Some(140));
        write(&inner, "10\n", "20\n");
        assert_eq!(left(), Some(0));
    }

    #[test]
    fn version_1_counts_too() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("box");
        fs::create_dir(&group).unwrap();
        let write = |dir: &Path, name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
        let left = || LEGACY.left(root.path(), "box");
        assert_eq!(left(), None);
        write(root.path(), "memory.limit_in_bytes", "9223372036854771712\n");
        write(root.path(), "memory.usage_in_bytes", "1000\n");
        assert!(left().unwrap() > 1 << 62);
        write(&group, "memory.limit_in_bytes", "5000\n");
        write(&group, "memory.usage_in_bytes", "4000\n");
        write(&group, "memory.stat", "inactive_file 7\ntotal_inactive_file 500\n");
        assert_eq!(left(), Some(1500));
        // A path of outside the container, which is not there.
        assert!(LEGACY.left(root.path(), "docker/0123").unwrap() > 1 << 62);
    }

    #[test]
    fn each_hierarchy_has_its_line() {
        let groups = "12:cpu,cpuacct:/c\n4:memory:/m/n\n1:name=systemd:/s\n0::/a/b\n";
        assert_eq!(UNIFIED.group_in(groups), Some("a/b"));
        assert_eq!(LEGACY.group_in(groups), Some("m/n"));
        assert_eq!(LEGACY.group_in("0::/a/b\n"), None);
        assert_eq!(UNIFIED.group_in("0::/\n"), Some(""));
    }

    #[test]
    fn this_machine_has_memory_and_an_id() {
        assert!(available_memory_bytes().unwrap() > 0);
        assert_eq!(boot_id(), boot_id());
        assert_ne!(boot_id().unwrap(), [0; 16]);
    }
}
