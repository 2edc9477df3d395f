//! Small file systems of a test's own. Mounting needs root: without it a test is skipped with a message.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{folder, skip, succeeds};

/// A small file system that is unmounted when dropped.
pub struct Mount {
    folder: super::Folder,
    /// Where it is mounted.
    pub at: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

/// Held by the one test at a time that has a file system. A program that another test starts has, until it runs, a copy
/// of every open descriptor of this process: a file deleted meanwhile keeps its space, and gives it back only after
/// the disk was filled up.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Mount {
    pub fn tmpfs(len: u64) -> Option<Self> {
        let alone = alone();
        let folder = folder();
        let at = folder.path().join("mounted");
        fs::create_dir(&at).unwrap();
        let options = format!("size={len}");
        let mounted = succeeds("mount", &["-t", "tmpfs", "-o", &options, "pageseal-test", text(&at)]);
        Self::if_mounted(mounted, folder, at, alone)
    }

    pub fn image(program: &str, len: u64) -> Option<Self> {
        Self::image_with(program, &[], len)
    }

    /// As [`Mount::image`], with more arguments for the program that makes it.
    pub fn image_with(program: &str, arguments: &[&str], len: u64) -> Option<Self> {
        let alone = alone();
        let folder = folder();
        let (image, at) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(len).unwrap();
        let arguments: Vec<&str> = [&["-q"], arguments, &[text(&image)]].concat();
        let mounted =
            succeeds(program, &arguments) && succeeds("mount", &["-o", "loop", text(&image), text(&at)]);
        Self::if_mounted(mounted, folder, at, alone)
    }

    /// An overlayfs of two folders `lower`, which is filled before, and `upper` beside it.
    pub fn overlay(fill_lower: impl FnOnce(&Path)) -> Option<Self> {
        let alone = alone();
        let folder = folder();
        let part = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let at = part("mounted");
        let [lower, upper, work] = ["lower", "upper", "work"].map(part);
        fill_lower(&lower);
        let options = format!("lowerdir={},upperdir={},workdir={}", text(&lower), text(&upper), text(&work));
        let mounted = succeeds("mount", &["-t", "overlay", "-o", &options, "pageseal-test", text(&at)]);
        Self::if_mounted(mounted, folder, at, alone)
    }

    /// A file `source` that is mounted alone, as containers do, over another file in a folder of its own.
    pub fn of_file(fill: impl FnOnce(&Path)) -> Option<Self> {
        let alone = alone();
        let folder = folder();
        let (source, inside) = (folder.path().join("source"), folder.path().join("folder"));
        fs::create_dir(&inside).unwrap();
        let at = inside.join("mounted");
        fs::write(&at, b"").unwrap();
        fill(&source);
        let mounted = succeeds("mount", &["--bind", text(&source), text(&at)]);
        Self::if_mounted(mounted, folder, at, alone)
    }

    fn if_mounted(
        mounted: bool,
        folder: super::Folder,
        at: PathBuf,
        alone: MutexGuard<'static, ()>,
    ) -> Option<Self> {
        if !mounted {
            skip("the right to mount a small file system");
            return None;
        }
        Some(Mount { folder, at, _alone: alone })
    }

    /// What lies beside the mount point, outside of the file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Unmounts an image and mounts it again, so that everything comes from the disk.
    pub fn mount_again(&self) {
        assert!(succeeds("umount", &[text(&self.at)]), "{} is busy", text(&self.at));
        let image = self.beside("image");
        assert!(succeeds("mount", &["-o", "loop", text(&image), text(&self.at)]));
    }

    /// Takes all free space but about `left` bytes.
    pub fn fill_up(&self, left: u64) {
        let path = self.at.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let piece = vec![1; 65536];
        while file.write_all(&piece).is_ok() {}
        let _ = file.sync_all();
        let len = file.metadata().unwrap().len();
        file.set_len(len.saturating_sub(left)).unwrap();
        let _ = file.sync_all();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        super::forget_job_keys(&self.at);
        // Lazily, so that nothing stays mounted even when a failed test has a file open.
        let path = self.at.to_str().unwrap_or_default();
        let gone = succeeds("umount", &[path]) || succeeds("umount", &["-l", path]);
        assert!(gone || std::thread::panicking(), "{} stays mounted in {:?}", path, self.folder);
    }
}
