//! By whom a job is run: of the lease that tells of a killed job's requests, only the owner and who has `CAP_LEASE` know.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support;

/// Ids that need no account.
const USER: u32 = 64_001;
const GROUP: u32 = 64_002;

/// Whose job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The file's owner.
    Owner,
    /// Somebody in the file's group, who may write to file and folder.
    GroupMember,
    /// Root, on a user's file, with everything but the right to ask for leases.
    RootWithoutLease,
}

impl By {
    pub const ALL: [By; 3] = [By::Owner, By::GroupMember, By::RootWithoutLease];

    /// A command that starts `program`.
    pub fn command(self, program: &Path) -> Command {
        let words: &[&str] = match self {
            By::Owner => return Command::new(program),
            By::GroupMember => &["--reuid", "64001", "--regid", "64002", "--clear-groups"],
            By::RootWithoutLease => &["--bounding-set", "-lease", "--inh-caps", "-lease"],
        };
        let mut command = Command::new("setpriv");
        command.args(words).arg(program);
        command
    }

    /// Gives a file and its folder the owners that this takes.
    pub fn share(self, file: &Path) {
        let (user, group) = match self {
            By::Owner => (0, 0),
            By::GroupMember => (0, GROUP),
            By::RootWithoutLease => (USER, GROUP),
        };
        for (path, mode) in [(file, 0o660), (file.parent().unwrap(), 0o770)] {
            chown(path, Some(user), Some(group)).unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    }

    /// Gives him a file or a folder for himself.
    pub fn own(self, path: &Path) {
        let (user, group) = if self == By::GroupMember { (USER, GROUP) } else { (0, 0) };
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// Where jobs can be run by everybody, and the program that they run.
pub struct Place {
    pub folder: support::Folder,
    pub program: PathBuf,
    /// By whom; only by the owner where this is not root, or has no way to become somebody else.
    pub everybody: &'static [By],
}

impl Place {
    pub fn new() -> Self {
        let own = std::env::current_exe().unwrap();
        for base in [env!("CARGO_TARGET_TMPDIR"), "/var/tmp"] {
            let Ok(folder) = tempfile::tempdir_in(base) else { continue };
            let folder = support::Folder::from(folder);
            let program = folder.path().join("program");
            let is_reached = |by: &By| {
                let answer = by.command("true".as_ref()).current_dir(folder.path()).status();
                let runs = by.command(&program).args(["--exact", "nothing"]).output();
                answer.is_ok_and(|it| it.success()) && runs.is_ok_and(|it| it.status.success())
            };
            let _ = fs::set_permissions(folder.path(), Permissions::from_mode(0o711));
            let is_copied = fs::copy(&own, &program).is_ok();
            if is_copied && is_on_disk(folder.path()) && By::ALL.iter().all(is_reached) {
                return Place { folder, program, everybody: &By::ALL };
            }
        }
        Place { folder: support::folder(), program: own, everybody: &[By::Owner] }
    }
}

fn is_on_disk(folder: &Path) -> bool {
    let answer = Command::new("stat").args(["-f", "-c", "%T"]).arg(folder).output();
    answer.is_ok_and(|it| it.status.success() && it.stdout.trim_ascii() != b"tmpfs")
}
