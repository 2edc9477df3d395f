//! Keeping secrets in memory, and in places that a power cut empties.

use std::{
    ffi::c_void,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat},
    io::Errno,
    mm::mlock,
    process::{DumpableBehavior, Resource, Rlimit, geteuid, set_dumpable_behavior, setrlimit},
};

use crate::FileSystemKind;

/// Keeps the process's memory out of core dumps, and out of reach of debuggers of the same user. Both
/// ways are tried, even if one fails: a core pattern that is a pipe ignores the limit.
///
/// # Errors
/// Those of `prctl` and `setrlimit`.
pub fn disable_core_dumps() -> io::Result<()> {
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(limited?)
}

/// Keeps the pages of `secret` from being swapped out, for as long as they belong to the process; the
/// page is the unit, so neighbours stay as well. `false` if the limit (`RLIMIT_MEMLOCK`) or the system
/// does not allow it: then the secret is as safe as swap is.
#[must_use]
pub fn lock_memory(secret: &[u8]) -> bool {
    let start = secret.as_ptr().cast_mut().cast::<c_void>();
    // SAFETY: the slice is valid memory of this process. Locking pages changes neither their content
    // nor their protection, so the mutable pointer is never written through.
    secret.is_empty() || unsafe { mlock(start, secret.len()) }.is_ok()
}

/// As [`lock_memory`], for a value that stays where it is, such as one in an `Arc`. What it points to elsewhere is not
/// covered.
#[must_use]
pub fn lock_value<T>(value: &T) -> bool {
    let start = std::ptr::from_ref(value).cast_mut().cast::<c_void>();
    // SAFETY: the value is valid memory of this process; see `lock_memory` for the rest.
    size_of::<T>() == 0 || unsafe { mlock(start, size_of::<T>()) }.is_ok()
}

/// Whether a path lies on a file system that keeps its files in memory (tmpfs, ramfs), so that they
/// are gone when the power is. Pages of a tmpfs can be swapped out.
///
/// # Errors
/// Those of opening it and of `fstatfs`.
pub fn is_volatile_file_system(path: &Path) -> io::Result<bool> {
    let opened = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(FileSystemKind::of(opened)?.is_volatile())
}

/// The user whose rights this process has.
#[must_use]
pub fn effective_user() -> u32 {
    geteuid().as_raw()
}

/// A directory of this user's for secrets that must not survive a power cut: `pageseal` in
/// `$XDG_RUNTIME_DIR`, else `/dev/shm/pageseal-UID`. It is created if missing and has mode 0700.
///
/// `None` if there is no such place that can be trusted: in memory, owned by the effective user, closed
/// to everybody else, and itself no symbolic link.
#[must_use]
pub fn runtime_directory() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime_directory_in(runtime.as_deref(), Path::new("/dev/shm"))
}

fn runtime_directory_in(runtime: Option<&Path>, shared: &Path) -> Option<PathBuf> {
    let user = effective_user();
    let in_runtime = || {
        let parent = open_directory(CWD, runtime.filter(|path| path.is_absolute())?).ok()?;
        is_private(&parent, user).then_some(())?;
        private_directory(&parent, runtime?, "pageseal", user)
    };
    let in_shared = || {
        let parent = open_directory(CWD, shared).ok()?;
        private_directory(&parent, shared, &format!("pageseal-{user}"), user)
    };
    in_runtime().or_else(in_shared)
}

/// Everything is checked on open descriptors, so nobody can swap a directory after the check.
fn private_directory(parent: &OwnedFd, parent_path: &Path, name: &str, user: u32) -> Option<PathBuf> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(_) => return None,
    }
    let directory = open_directory(parent, Path::new(name)).ok()?;
    let is_volatile = FileSystemKind::of(&directory).is_ok_and(FileSystemKind::is_volatile);
    (is_volatile && is_private(&directory, user)).then(|| parent_path.join(name))
}

fn open_directory(at: impl std::os::fd::AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

fn is_private(directory: &OwnedFd, user: u32) -> bool {
    fstat(directory).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::Directory
            && found.st_uid == user
            && found.st_mode & 0o777 == 0o700
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    /// A directory in memory; `None`, with a message, where there is none.
    fn in_memory() -> Option<tempfile::TempDir> {
        let shm = Path::new("/dev/shm");
        if is_volatile_file_system(shm).unwrap_or(false) {
            let temp = tempfile::tempdir_in(shm).unwrap();
            set_mode(temp.path(), 0o700);
            return Some(temp);
        }
        eprintln!("skipped: /dev/shm is no tmpfs here");
        None
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_private_runtime_directory_is_used_and_reused() {
        let Some(temp) = in_memory() else { return };
        let nowhere = temp.path().join("missing");
        for _ in 0..2 {
            let found = runtime_directory_in(Some(temp.path()), &nowhere).unwrap();
            assert_eq!(found, temp.path().join("pageseal"));
            assert_eq!(fs::metadata(&found).unwrap().permissions().mode() & 0o7777, 0o700);
        }
    }

    #[test]
    fn what_others_may_enter_is_not_trusted() {
        let Some(temp) = in_memory() else { return };
        let nowhere = temp.path().join("missing");
        set_mode(temp.path(), 0o755);
        assert_eq!(runtime_directory_in(Some(temp.path()), &nowhere), None, "open parent");
        let name = format!("pageseal-{}", effective_user());
        let shared = temp.path().join(&name);
        assert_eq!(runtime_directory_in(None, temp.path()), Some(shared.clone()));
        set_mode(&shared, 0o750);
        assert_eq!(runtime_directory_in(None, temp.path()), None, "open directory");
        fs::remove_dir(&shared).unwrap();
        symlink(tempfile::tempdir_in(temp.path()).unwrap().keep(), &shared).unwrap();
        assert_eq!(runtime_directory_in(None, temp.path()), None, "symbolic link");
        assert_eq!(runtime_directory_in(Some(Path::new("relative")), &nowhere), None);
    }

    #[test]
    fn a_disk_is_not_volatile() {
        let temp = tempfile::tempdir().unwrap();
        if is_volatile_file_system(temp.path()).unwrap() {
            eprintln!("skipped: temporary files are in memory here");
            return;
        }
        set_mode(temp.path(), 0o700);
        assert_eq!(runtime_directory_in(Some(temp.path()), temp.path()), None);
    }

    #[test]
    fn memory_can_be_locked_or_says_so() {
        assert!(lock_memory(&[]));
        let secret = vec![7; 100];
        let locked = lock_memory(&secret);
        assert_eq!(secret, [7; 100]);
        if !locked {
            eprintln!("memory may not be locked here");
        }
    }
}
