//! Writes past the page cache that land after the job that asked for them was killed: the kernel reaps the process and still
//! holds its requests. The disk below takes them and does them when this program says so, so no test here depends on time.
//!
//! Nothing that ends a job may read or store anything before the last of them has landed.

mod memory_group;
mod scene;
mod who;

use super::bench::Bench;
use super::file_system::FileSystem;
use super::job::Way;
use super::report::Report;
use super::stop::Outcome;
use super::subject::Form;
use scene::{LateScene, expect_refusals, expect_wait};
use who::{Requests, Who};

/// How a job is ended while its requests are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Sigkill,
    SecondCtrlC,
    OutOfMemory,
}

/// A job whose writes land late, and what ends it.
#[derive(Clone, Copy, Debug)]
struct Case {
    file_system: FileSystem,
    /// What the file is before.
    form: Form,
    resilience: &'static str,
    who: Who,
    requests: Requests,
    end: End,
    way: Way,
    /// What else is tried while the requests are in flight: a new job, `trailer import`, Ctrl-C while waiting.
    tries_all: bool,
    /// Belongs to the share for every change.
    is_shared: bool,
}

/// The case that all others are told from: the defaults for a large cold file, by a user whom no lease protects.
const FIRST: Case = Case {
    file_system: FileSystem::Ext4,
    form: Form::Plain,
    resilience: "checksum",
    who: Who::GroupMember,
    requests: Requests::IoUring,
    end: End::Sigkill,
    way: Way::Rollback,
    tries_all: false,
    is_shared: true,
};

const CASES: &[Case] = &[
    FIRST,
    Case { resilience: "journal", way: Way::Resume, is_shared: false, ..FIRST },
    Case { form: Form::Sealed, tries_all: true, is_shared: false, ..FIRST },
    Case { tries_all: true, is_shared: false, ..FIRST },
    Case { who: Who::RootWithoutLease, end: End::SecondCtrlC, is_shared: false, ..FIRST },
    Case { end: End::OutOfMemory, is_shared: false, ..FIRST },
    Case { who: Who::Owner, way: Way::Resume, is_shared: false, ..FIRST },
    Case { requests: Requests::Threads, is_shared: false, ..FIRST },
    Case { file_system: FileSystem::Xfs, resilience: "journal", ..FIRST },
    Case { file_system: FileSystem::Xfs, form: Form::Sealed, way: Way::Resume, is_shared: false, ..FIRST },
    Case { file_system: FileSystem::Xfs, who: Who::RootWithoutLease, is_shared: false, ..FIRST },
    Case { file_system: FileSystem::Xfs, requests: Requests::Threads, is_shared: false, ..FIRST },
    Case { file_system: FileSystem::Btrfs, is_shared: false, ..FIRST },
    Case {
        file_system: FileSystem::Btrfs,
        form: Form::Sealed,
        resilience: "journal",
        is_shared: false,
        ..FIRST
    },
];

/// Runs all cases, or those of the share.
pub fn run(bench: &Bench, is_share: bool, file_systems: &[FileSystem], report: &mut Report) -> Outcome<()> {
    report.begin("late writes");
    let is_meant = |case: &&Case| (case.is_shared || !is_share) && file_systems.contains(&case.file_system);
    let cases: Vec<_> = CASES.iter().filter(is_meant).collect();
    for (index, case) in cases.iter().enumerate() {
        bench.go_on()?;
        let result = case.run(bench);
        let line = case.to_string();
        let result = result.map(|observed| report.note(format!("{line:<72} {observed}")));
        report.keep(&format!("--seed {} {line}", bench.seed), result)?;
        report.progress(index as u64 + 1, cases.len() as u64);
    }
    Ok(())
}

impl Case {
    fn run(&self, bench: &Bench) -> Outcome<String> {
        let mut scene = LateScene::new(bench, self.file_system, self.form, self.who)?;
        let killed = scene.killed_job(self.form, self.resilience, self.requests, self.end)?;
        let held = scene.held();
        let observed = match killed {
            // It cannot end before its requests do, and holds all its locks until then.
            Some(killed) => {
                expect_refusals(&scene, self.form, &["locked"])?;
                scene.land_all();
                killed.kill()?;
                scene.way(self.way)?.finish()?.expect_codes(&[0])?;
                "refused as long as the process was not gone"
            }
            None => {
                if self.tries_all {
                    expect_refusals(&scene, self.form, &[])?;
                }
                expect_wait(&mut scene, self.way, self.tries_all)?;
                "waited"
            }
        };
        scene.mount_again()?;
        scene.expect_form(if self.way == Way::Resume { self.form.other() } else { self.form })?;
        Ok(format!("{held} requests of 512 KiB or more: {observed}, and nothing was lost"))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let job = if self.form == Form::Plain { "encrypt" } else { "decrypt" };
        let Case { resilience, who, requests, end, way, .. } = self;
        write!(f, "{} {job} {resilience}, {who:?}, {requests:?}, {end:?}, {way:?}", self.file_system.name())?;
        if self.tries_all { write!(f, ", all commands") } else { Ok(()) }
    }
}
