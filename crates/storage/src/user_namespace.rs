//! Which user and group ids say something. In a user namespace, as rootless containers have them, all that
//! it does not know look like one and the same: the overflow id, mostly 65534.

use std::fs;

/// What the kernel shows for an id that the namespace does not know, where nothing else is told.
const USUAL_OVERFLOW: u32 = 65_534;
/// What the first namespace maps: every id but the one that stands for none.
const ALL_IDS: u64 = u32::MAX as u64;

/// The user, unless it may be any of those that this namespace does not know.
pub(crate) fn known_user(id: u32) -> Option<u32> {
    known(id, "/proc/self/uid_map", "/proc/sys/kernel/overflowuid")
}

/// The group, unless it may be any of those that this namespace does not know.
pub(crate) fn known_group(id: u32) -> Option<u32> {
    known(id, "/proc/self/gid_map", "/proc/sys/kernel/overflowgid")
}

fn known(id: u32, map: &str, overflow: &str) -> Option<u32> {
    let overflow = fs::read_to_string(overflow).ok().and_then(|text| text.trim().parse().ok());
    if id != overflow.unwrap_or(USUAL_OVERFLOW) {
        return Some(id);
    }
    fs::read_to_string(map).is_ok_and(|map| maps_all(&map)).then_some(id)
}

/// Whether the namespace knows every id: first id inside, first id outside, how many, in each line.
fn maps_all(map: &str) -> bool {
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum::<u64>() >= ALL_IDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_knows_all_ids_is_told_from_one_that_does_not() {
        assert!(maps_all("         0          0 4294967295\n"));
        assert!(maps_all("0 100000 65536\n65536 0 4294901759\n"));
        assert!(!maps_all("         0       1000          1\n"));
        assert!(!maps_all("0 1000 1\n1 100000 65536\n"));
        assert!(!maps_all(""));
    }

    #[test]
    fn only_the_id_that_stands_for_others_is_ever_unknown() {
        for id in [0, 1, 1000, 65_533, 65_535] {
            assert_eq!(known(id, "/proc/self/nothing", "/proc/self/nothing"), Some(id));
        }
        assert_eq!(known(USUAL_OVERFLOW, "/proc/self/nothing", "/proc/self/nothing"), None);
    }
}
