//! What a file carries beside its content, copied from one file to another.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
};

use rustix::{
    fs::{
        Gid, Mode, RawMode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, fchmod, fchown, fgetxattr,
        flistxattr, fsetxattr, futimens,
    },
    io::Errno,
};

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const CAPABILITIES: &[u8] = b"security.capability";
const SET_ID_BITS: u32 = 0o6000;
const PERMISSION_BITS: u32 = 0o777;
const GROUP_BITS: u32 = 0o070;
const OTHERS_BITS: u32 = 0o007;

/// Owner, permissions, times and extended attributes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAttributes {
    /// Permission bits with set-user-id, set-group-id and sticky; no file type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of content: seconds since 1970 (UTC) and nanoseconds.
    pub modified: (i64, u32),
    /// Time of the last reading, likewise.
    pub accessed: (i64, u32),
    /// Name and value of extended attributes: `user.*`, `security.*` and POSIX access lists, as far
    /// as this process may read them. IMA and EVM signatures are left out: they are over the content.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}

/// One of the things that [`FileAttributes::apply`] sets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute {
    /// Owner (user).
    Owner,
    /// Group.
    Group,
    /// Permission bits.
    Mode,
    /// Times of modification and access.
    Times,
    /// An extended attribute, by name.
    Extended(OsString),
}

/// An attribute that could not be set, and why.
#[derive(Debug, thiserror::Error)]
#[error("{attribute:?} could not be set")]
pub struct AttributeFailure {
    /// Which one.
    pub attribute: Attribute,
    /// Why.
    pub source: io::Error,
}

impl FileAttributes {
    /// Reads the attributes of an open file.
    ///
    /// # Errors
    /// Those of `fstat`. Extended attributes that cannot be read are left out.
    pub fn read(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let nanoseconds = |value: i64| u32::try_from(value).unwrap_or(0);
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: (metadata.mtime(), nanoseconds(metadata.mtime_nsec())),
            accessed: (metadata.atime(), nanoseconds(metadata.atime_nsec())),
            xattrs: read_xattrs(file),
        })
    }

    /// Sets all of them on `file` as far as possible and says what was not. Nothing is durable before
    /// the file is synced.
    ///
    /// Nobody gets more access than before because a part failed: without the owner or group the
    /// set-id bits are dropped, without the group it gets no more than others have, and no access list
    /// is set.
    #[must_use]
    pub fn apply(&self, file: &File) -> Vec<AttributeFailure> {
        let mut failures = Vec::new();
        let mut note = |attribute, result: rustix::io::Result<()>| {
            let is_set = result.is_ok();
            failures.extend(result.err().map(|errno| AttributeFailure { attribute, source: errno.into() }));
            is_set
        };
        // Changing the owner drops capabilities and set-id bits, so it comes first; a mode without
        // write permission would keep extended attributes from being set, so it comes after those.
        let has_group = note(Attribute::Group, fchown(file, None, Some(Gid::from_raw(self.gid))));
        let has_owner = note(Attribute::Owner, fchown(file, Some(Uid::from_raw(self.uid)), None));
        for (name, value) in &self.xattrs {
            let is_allowed = has_group || name.as_bytes() != ACCESS_LIST;
            let result =
                if is_allowed { fsetxattr(file, name, value, XattrFlags::empty()) } else { Err(Errno::PERM) };
            note(Attribute::Extended(name.clone()), result);
        }
        let mode = self.safe_mode(has_owner, has_group);
        note(Attribute::Mode, fchmod(file, Mode::from_raw_mode(mode as RawMode)));
        let times =
            Timestamps { last_access: timespec(self.accessed), last_modification: timespec(self.modified) };
        note(Attribute::Times, futimens(file, &times));
        failures
    }

    /// The permission bits that a copy may be made with, before the umask: nobody gets more than he has, and no set-id bits.
    ///
    /// Where an access list names others, the group's bits are those of the list, so the copy's group gets what everybody has.
    #[must_use]
    pub fn mode_of_copy(&self) -> u32 {
        let has_list = self.xattrs.iter().any(|(name, _)| name.as_bytes() == ACCESS_LIST);
        self.safe_mode(false, !has_list) & PERMISSION_BITS
    }

    /// Takes from a new copy what its group, if that is another one, would get from the bits that were meant for this file's.
    ///
    /// # Errors
    /// Those of `fstat` and `fchmod`.
    pub fn narrow_copy(&self, copy: &File) -> io::Result<()> {
        let metadata = copy.metadata()?;
        if metadata.gid() == self.gid {
            return Ok(());
        }
        let mode = metadata.mode() & PERMISSION_BITS & self.safe_mode(false, false);
        Ok(fchmod(copy, Mode::from_raw_mode(mode as RawMode))?)
    }

    /// The same without what lets a program do more than its caller may: set-id bits and file capabilities.
    #[must_use]
    pub fn without_privileges(mut self) -> Self {
        self.mode &= !SET_ID_BITS;
        self.xattrs.retain(|(name, _)| name.as_bytes() != CAPABILITIES);
        self
    }

    fn safe_mode(&self, has_owner: bool, has_group: bool) -> u32 {
        let mut mode = self.mode & 0o7777;
        if !(has_owner && has_group) {
            mode &= !SET_ID_BITS;
        }
        if !has_group {
            let others_as_group = (mode & OTHERS_BITS) << 3;
            mode &= !GROUP_BITS | others_as_group;
        }
        mode
    }
}

/// Sets the time of the last change (seconds since 1970, UTC, and nanoseconds) and leaves that of the
/// last reading.
///
/// # Errors
/// Those of `futimens`.
pub fn set_modified(file: &File, modified: (i64, u32)) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: timespec(modified),
    };
    Ok(futimens(file, &times)?)
}

fn timespec((seconds, nanoseconds): (i64, u32)) -> Timespec {
    Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() }
}

/// The access control list of a file as the file system has it; empty where there is none.
pub(crate) fn access_list(file: &File) -> Vec<u8> {
    read_whole(|buffer| fgetxattr(file, ACCESS_LIST, buffer)).unwrap_or_default()
}

fn read_xattrs(file: &File) -> Vec<(OsString, Vec<u8>)> {
    let Ok(names) = read_whole(|buffer| flistxattr(file, buffer)) else {
        return Vec::new();
    };
    names
        .split(|byte| *byte == 0)
        .filter(|name| is_copied(name))
        .map(OsStr::from_bytes)
        .filter_map(|name| {
            let value = read_whole(|buffer| fgetxattr(file, name, buffer)).ok()?;
            Some((name.to_owned(), value))
        })
        .collect()
}

fn is_copied(name: &[u8]) -> bool {
    match name {
        b"security.ima" | b"security.evm" => false,
        ACCESS_LIST | b"system.posix_acl_default" => true,
        _ => name.starts_with(b"user.") || name.starts_with(b"security."),
    }
}

/// Asks again with more room if there is more than there was room for.
fn read_whole(mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    // The kernel's limit for a list and for a value (XATTR_LIST_MAX, XATTR_SIZE_MAX).
    const LIMIT: usize = 65536;
    let mut buffer = vec![0; 1024];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < LIMIT => buffer.resize(buffer.len() * 4, 0),
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_lost_owner_or_group_gives_nobody_more() {
        let attributes = |mode| FileAttributes {
            mode,
            uid: 0,
            gid: 0,
            modified: (0, 0),
            accessed: (0, 0),
            xattrs: Vec::new(),
        };
        assert_eq!(attributes(0o6755).safe_mode(true, true), 0o6755);
        assert_eq!(attributes(0o6755).safe_mode(false, true), 0o755);
        assert_eq!(attributes(0o2750).safe_mode(true, false), 0o700);
        assert_eq!(attributes(0o664).safe_mode(true, false), 0o644);
        assert_eq!(attributes(0o640).safe_mode(false, false), 0o600);
    }

    #[test]
    fn a_copy_gives_nobody_more_and_no_privilege() {
        let acl = (OsString::from("system.posix_acl_access"), Vec::new());
        let capability = (OsString::from("security.capability"), vec![1]);
        let mut attributes = FileAttributes {
            mode: 0o6764,
            uid: 0,
            gid: 0,
            modified: (0, 0),
            accessed: (0, 0),
            xattrs: vec![capability],
        };
        assert_eq!(attributes.mode_of_copy(), 0o764);
        let plain = attributes.clone().without_privileges();
        assert_eq!((plain.mode, plain.xattrs), (0o764, Vec::new()));
        attributes.xattrs.push(acl);
        assert_eq!(attributes.mode_of_copy(), 0o744);
    }

    #[test]
    fn only_attributes_that_make_sense_elsewhere_are_copied() {
        for name in ["user.a", "security.selinux", "system.posix_acl_access"] {
            assert!(is_copied(name.as_bytes()), "{name}");
        }
        for name in ["", "security.ima", "security.evm", "trusted.overlay.opaque", "system.nfs4_acl"] {
            assert!(!is_copied(name.as_bytes()), "{name}");
        }
    }
}
