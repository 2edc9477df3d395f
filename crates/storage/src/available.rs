//! How much memory there is to plan with, and which boot this is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::usage::bytes_of;

/// Bytes of memory this process could take without swapping: what the kernel thinks is available
/// (`MemAvailable`), or less if a control group (version 2) leaves less. It is an estimate and can be
/// wrong a moment later.
///
/// # Errors
/// Those of reading `/proc/meminfo`; [`io::ErrorKind::InvalidData`] if the line is missing there.
/// Control groups that cannot be read do not count.
pub fn available_memory_bytes() -> io::Result<u64> {
    let system =
        bytes_of(&fs::read_to_string("/proc/meminfo")?, "MemAvailable:").ok_or(io::ErrorKind::InvalidData)?;
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| left_by_groups(Path::new("/sys/fs/cgroup"), unified_group(&text)?));
    Ok(group.map_or(system, |group| group.min(system)))
}

/// The path in the line of the version 2 hierarchy, `0::/path`.
fn unified_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// The least that the group or any group above it leaves; `None` if none has a limit.
fn left_by_groups(root: &Path, group: &str) -> Option<u64> {
    let group: PathBuf = root.join(group);
    group.ancestors().take_while(|at| at.starts_with(root)).filter_map(left_by_group).min()
}

/// Limit less use; file pages that were not used lately are given up first, so they count as left.
fn left_by_group(group: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    // "max" is no number and no limit.
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let reclaimable = read("memory.stat")
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok()))
        .unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
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
        let write = |dir: &Path, max: &str, current: &str| {
            fs::write(dir.join("memory.max"), max).unwrap();
            fs::write(dir.join("memory.current"), current).unwrap();
        };
        assert_eq!(left_by_groups(root.path(), "a/b"), None);
        write(&inner, "max\n", "5\n");
        assert_eq!(left_by_groups(root.path(), "a/b"), None);
        write(&root.path().join("a"), "1000\n", "900\n");
        assert_eq!(left_by_groups(root.path(), "a/b"), Some(100));
        fs::write(root.path().join("a/memory.stat"), "anon 1\ninactive_file 50\n").unwrap();
        assert_eq!(left_by_groups(root.path(), "a/b"), Some(150));
        write(&inner, "10\n", "20\n");
        assert_eq!(left_by_groups(root.path(), "a/b"), Some(0));
        assert_eq!(unified_group("3:cpu:/x\n0::/a/b\n"), Some("a/b"));
    }

    #[test]
    fn this_machine_has_memory_and_an_id() {
        assert!(available_memory_bytes().unwrap() > 0);
        assert_eq!(boot_id(), boot_id());
        assert_ne!(boot_id().unwrap(), [0; 16]);
    }
}
