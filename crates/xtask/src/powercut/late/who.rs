//! By whom a job is run, and how its requests go to the kernel.

use std::path::Path;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::super::stop::{At, Outcome, Stop};

/// Ids that need no account.
const USER: u32 = 64_001;
const GROUP: u32 = 64_002;
const IO_URING_SETUP: i64 = 425;
const EPERM: u32 = 1;

/// Whose job it is. A lease tells of requests in flight, but only the owner or who has `CAP_LEASE` may ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The file is root's, and so is the job.
    Owner,
    /// The file is root's, and of a group that may write to it.
    GroupMember,
    /// The file is a user's, and root has everything but the right to ask for leases.
    RootWithoutLease,
}

impl Who {
    /// What starts the command.
    pub fn wrapper(self) -> Vec<String> {
        let line = match self {
            Who::Owner => return Vec::new(),
            Who::GroupMember => format!("setpriv --reuid {USER} --regid {GROUP} --clear-groups"),
            Who::RootWithoutLease => "setpriv --bounding-set -lease --inh-caps -lease".into(),
        };
        line.split(' ').map(str::to_owned).collect()
    }

    /// Gives him what the command must be able to write to or to read.
    pub fn own(self, path: &Path) -> Outcome<()> {
        let id = if self == Who::GroupMember { (USER, GROUP) } else { (0, 0) };
        std::os::unix::fs::chown(path, Some(id.0), Some(id.1)).at("change the owner of", path)
    }

    /// Gives the file, and the folder it lies in, their owners.
    pub fn share(self, path: &Path) -> Outcome<()> {
        let (user, group) = match self {
            Who::Owner => (0, 0),
            Who::GroupMember => (0, GROUP),
            Who::RootWithoutLease => (USER, GROUP),
        };
        std::os::unix::fs::chown(path, Some(user), Some(group)).at("change the owner of", path)
    }
}

/// How requests go to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// They outlive the process.
    IoUring,
    /// They do not, but neither can the process end before.
    Threads,
}

impl Requests {
    /// Does something, mostly starting a process, where requests can only go this way.
    pub fn within<T: Send>(self, act: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
        if self == Requests::IoUring {
            return act();
        }
        let setup =
            |error: &dyn std::fmt::Display| Stop::Setup(format!("a filter for system calls: {error}"));
        let architecture = std::env::consts::ARCH.try_into().map_err(|error| setup(&error))?;
        let rules = [(IO_URING_SETUP, Vec::new())].into();
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EPERM), architecture);
        let program: BpfProgram =
            filter.map_err(|error| setup(&error))?.try_into().map_err(|error| setup(&error))?;
        // A filter is a thread's, and goes over to the processes that it starts.
        std::thread::scope(|scope| {
            let filtered = scope.spawn(|| {
                seccompiler::apply_filter(&program).map_err(|error| setup(&error))?;
                act()
            });
            filtered.join().unwrap_or_else(|_| Err(Stop::Setup("the thread with the filter panicked".into())))
        })
    }
}
