//! Disk images, loop devices and mounts, each gone when its guard is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::file_system::FileSystem;
use super::stop::{At, Outcome, Stop};
use super::tool;

/// Attempts to unmount: something like a device probe may still look at the device for a moment.
const UNMOUNT_ATTEMPTS: u32 = 50;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(100);

/// Makes a sparse file of a length with a file system in it.
pub fn make_image(path: &Path, len_bytes: u64, file_system: FileSystem) -> Outcome<()> {
    let file = File::create(path).at("create", path)?;
    file.set_len(len_bytes).at("set the length of", path)?;
    drop(file);
    file_system.make(path)
}

/// Copies an image with its holes.
pub fn copy_image(from: &Path, to: &Path) -> Outcome<()> {
    tool::run("cp", ["--sparse=auto".as_ref(), from.as_os_str(), to.as_os_str()]).map(drop)
}

/// A loop device, detached when dropped.
pub struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches a file. If `many_at_a_time`, requests go past the cache of `image`, and none waits for another.
    pub fn attach(image: &Path, many_at_a_time: bool) -> Outcome<Self> {
        let direct = if many_at_a_time { "--direct-io=on" } else { "--direct-io=off" };
        let arguments = ["--find".as_ref(), "--show".as_ref(), direct.as_ref(), image.as_os_str()];
        let path = PathBuf::from(tool::run("losetup", arguments)?);
        Ok(LoopDevice { path })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // While it is mounted this only marks it: the kernel detaches it with the last user.
        let _ = tool::run("losetup", ["-d".as_ref(), self.path.as_os_str()]);
    }
}

/// A mounted image. The loop device is only marked as to be detached, so that the kernel takes it down with the mount,
/// whatever becomes of this process.
pub struct Mounted {
    folder: PathBuf,
    device: PathBuf,
    image: PathBuf,
    file_system: FileSystem,
    is_mounted: bool,
}

impl Mounted {
    /// Mounts an image on a folder, which is made if it does not exist.
    pub fn mount(image: &Path, folder: &Path, file_system: FileSystem) -> Outcome<Self> {
        Self::mount_by(image, folder, file_system, false)
    }

    /// The same with a loop device whose requests do not wait for each other.
    pub fn mount_many_at_a_time(image: &Path, folder: &Path, file_system: FileSystem) -> Outcome<Self> {
        Self::mount_by(image, folder, file_system, true)
    }

    fn mount_by(image: &Path, folder: &Path, file_system: FileSystem, many_at_a_time: bool) -> Outcome<Self> {
        fs::create_dir_all(folder).at("create", folder)?;
        file_system.check(image)?;
        let device = LoopDevice::attach(image, many_at_a_time)?;
        let arguments =
            ["-t".as_ref(), file_system.mounted_as().as_ref(), device.path.as_os_str(), folder.as_os_str()];
        tool::run("mount", arguments)?;
        let (folder, image) = (folder.into(), image.into());
        Ok(Mounted { folder, device: device.path.clone(), image, file_system, is_mounted: true })
    }

    /// The device's name, as in `/sys/fs/ext4`.
    pub fn device_name(&self) -> String {
        self.device.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Unmounts, with an error if that cannot be done.
    pub fn unmount(mut self) -> Outcome<()> {
        self.take_down()
    }

    fn take_down(&mut self) -> Outcome<()> {
        if !self.is_mounted {
            return Ok(());
        }
        let mut result = Ok(String::new());
        for _ in 0..UNMOUNT_ATTEMPTS {
            result = tool::run("umount", [&self.folder]);
            if result.is_ok() {
                self.is_mounted = false;
                self.forget();
                self.wait_for_detach();
                return Ok(());
            }
            sleep(UNMOUNT_PAUSE);
        }
        result.map(drop)
    }

    /// The kernel detaches the loop device a little later; until then it holds the image. Then others may have it.
    fn wait_for_detach(&self) {
        let attached = format!("/sys/block/{}/loop/backing_file", self.device_name());
        for _ in 0..UNMOUNT_ATTEMPTS * 10 {
            let image = fs::read_to_string(&attached).unwrap_or_default();
            if image.trim() != self.image.to_string_lossy() {
                return;
            }
            sleep(UNMOUNT_PAUSE / 10);
        }
    }

    /// Btrfs remembers devices that it has seen, and mistakes an older copy of an image for the newer.
    fn forget(&self) {
        if self.file_system == FileSystem::Btrfs {
            let arguments = ["device", "scan", "--forget"].map(AsRef::as_ref);
            let _ = tool::run("btrfs", arguments.into_iter().chain([self.device.as_os_str()]));
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            eprintln!("powercut: {error}; detaching {} lazily", self.folder.display());
            let _ = tool::run("umount", ["-l".as_ref(), self.folder.as_os_str()]);
        }
    }
}

/// The names in a mounted folder but those that the file system puts there itself.
pub fn names_in(folder: &Path) -> Outcome<Vec<String>> {
    let entries = fs::read_dir(folder).at("list", folder)?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Stop::Setup(format!("list {}: {error}", folder.display())))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "lost+found" {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
