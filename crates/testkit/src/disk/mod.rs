//! A disk with one folder. Every operation is counted, so that a run can be stopped at each of them, and can be written down
//! with what was there after it.

mod choice;
mod fault;
mod file;
mod folder;
mod in_flight;
mod inode;
mod meddle;
mod state;
mod trace;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use pageseal_storage::MountInstance;

pub use choice::{Choice, Choices, Subject, combinations};
pub use fault::{APPENDED, FOREIGN, Fault, ForeignWrite, Meddling, RENAMED};
pub use file::SimFile;
pub use folder::SimFolder;
pub use in_flight::Waits;
pub use inode::SECTOR;
pub use state::State;
pub(crate) use trace::places_of_a_cut;
pub use trace::{Moment, Operation, Storing};

use crate::{Generator, Turns};
use trace::Recording;

/// One file system in so many has no journal.
const WITHOUT_JOURNAL: u64 = 3;

/// A sync that is switched off, to see that the simulation notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingSync {
    /// Of the file that has this name when it is synced; `""` means files without name.
    Of(OsString),
    /// Of the folder.
    Folder,
    /// Of what lay in the file before the job, so many bytes from its start: until the journal has its first window.
    OldContent(u64),
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    machine: Arc<Mutex<Machine>>,
    turns: Arc<Turns>,
}

struct Machine {
    state: State,
    /// Operations of all kinds.
    operations: u64,
    /// Operations that change something.
    changes: u64,
    faults: Vec<(u64, Fault)>,
    dead: bool,
    /// No space: `Some(true)` where also overwriting needs some.
    full: Option<bool>,
    generator: Generator,
    recording: Recording,
    missing_syncs: Vec<MissingSync>,
    /// Whether a sync has failed.
    sync_failed: bool,
    /// Whether there was no space even to overwrite.
    overwriting_failed: bool,
    /// The name that another process took away.
    moved_from: Option<OsString>,
    /// Whether a power cut takes everything that was not synced.
    loses_all: bool,
    /// What was read last of a file that is no journal: inode, offset, length.
    last_read: Option<(u64, usize, usize)>,
    /// What another process wrote.
    foreign_writes: Vec<ForeignWrite>,
    /// Who can wait for requests of a process that is gone.
    waits: Waits,
    /// Whether a name is changed by a link and an unlink.
    renames_by_links: bool,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    /// An empty disk; `seed` decides everything that chance does in it, and which kind of file system it has.
    pub fn new(seed: u64) -> Self {
        let forgets_unsynced_names = Generator::new(seed ^ 0x11AC).below(WITHOUT_JOURNAL) == 0;
        Self::at(State::on_file_system(forgets_unsynced_names), seed)
    }

    /// A disk in a state of another one.
    pub fn at(state: State, seed: u64) -> Self {
        let machine = Machine {
            state,
            operations: 0,
            changes: 0,
            faults: Vec::new(),
            dead: false,
            full: None,
            generator: Generator::new(seed),
            recording: Recording::Off,
            missing_syncs: Vec::new(),
            sync_failed: false,
            overwriting_failed: false,
            moved_from: None,
            loses_all: false,
            last_read: None,
            foreign_writes: Vec::new(),
            waits: Waits::default(),
            renames_by_links: false,
        };
        SimDisk { machine: Arc::new(Mutex::new(machine)), turns: Arc::new(Turns::new(seed ^ 0x7124)) }
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the turn away, perhaps, and then has the disk to itself.
    fn operate(&self) -> MutexGuard<'_, Machine> {
        self.turns.at_operation();
        self.lock()
    }

    /// Who may run.
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Puts a file onto the medium, as if it had always been there; or into the cache only.
    pub fn install(&self, name: &str, bytes: Vec<u8>, is_durable: bool) -> u64 {
        self.lock().state.install(name, bytes, is_durable)
    }

    /// A copy of all there is.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Looks at all there is.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Changing operations so far.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Plans a fault at the `nth` operation from now (1 is the next).
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        let mut machine = self.lock();
        let at = machine.operations + nth;
        machine.faults.push((at, fault));
    }

    /// Switches off syncs.
    pub fn miss(&self, syncs: &[MissingSync]) {
        self.lock().missing_syncs = syncs.to_vec();
    }

    /// Writes down every operation that changes something from now on.
    pub fn record(&self) {
        self.lock().recording = Recording::All(Vec::new());
    }

    /// Writes down the operations with these numbers.
    pub fn record_only(&self, numbers: Vec<u64>) {
        self.lock().recording = Recording::Some(numbers, Vec::new());
    }

    /// Writes down so many operations, chosen by chance.
    pub fn record_sample(&self, most: usize, seed: u64) {
        let generator = Generator::new(seed);
        self.lock().recording = Recording::Sample { most, seen: 0, generator, kept: Vec::new() };
    }

    /// What was written down.
    pub fn take_record(&self) -> Vec<Moment> {
        match std::mem::take(&mut self.lock().recording) {
            Recording::Off => Vec::new(),
            Recording::All(moments) | Recording::Some(_, moments) => moments,
            Recording::Sample { kept, .. } => kept,
        }
    }

    /// Cuts the power, now if that has not happened, and starts again: what is visible is what the medium had.
    pub fn restart(&self) {
        let mut guard = self.lock();
        let machine = &mut *guard;
        let seed = machine.generator.next_u64();
        let mut choices = if machine.loses_all { Choices::leaning(seed, 0) } else { Choices::random(seed) };
        machine.state.cut(&mut choices);
        machine.revive();
    }

    /// Shuts the file system down and mounts it again: what is visible is what the medium had, and nothing is restarted.
    pub fn shut_down(&self) {
        let mut guard = self.lock();
        let machine = &mut *guard;
        let seed = machine.generator.next_u64();
        let mut choices = if machine.loses_all { Choices::leaning(seed, 0) } else { Choices::random(seed) };
        machine.state.shut_down(&mut choices);
        machine.revive();
    }

    /// Which mounting of the file system this is.
    pub fn mount_instance(&self) -> MountInstance {
        self.lock().state.mount_instance()
    }

    /// A new process on the running system: what was planned is forgotten, nothing is lost, and there is space again.
    pub fn next_process(&self) {
        let mut machine = self.lock();
        machine.state.end_process();
        machine.revive();
    }

    /// From here on a power cut takes everything that was not synced, as one soon after it was written does.
    pub fn lose_all(&self) {
        self.lock().loses_all = true;
    }

    /// Decides who can wait for requests of a process that is gone.
    pub fn set_waits(&self, waits: Waits) {
        self.lock().waits = waits;
    }

    /// Decides whether the file system can only rename without replacing by a link and an unlink.
    pub fn set_renames_by_links(&self, by_links: bool) {
        self.lock().renames_by_links = by_links;
    }

    /// What is on its way to the disk gets there, however long that takes.
    pub fn land_requests(&self) {
        self.lock().state.land_all();
    }

    /// Whether the system has stopped and waits for [`SimDisk::restart`] or [`SimDisk::next_process`].
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Whether a sync of a file has failed since the machine was made.
    pub fn had_a_failed_sync(&self) -> bool {
        self.lock().sync_failed
    }

    /// Whether the disk was so full, since the machine was made, that not even overwriting was possible.
    pub fn could_not_overwrite(&self) -> bool {
        self.lock().overwriting_failed
    }

    /// Does to the file what another process may do.
    pub fn meddle(&self, meddling: Meddling) {
        self.lock().meddle(meddling);
    }

    /// Somebody changes a byte of a file, for good.
    pub fn change_byte(&self, inode: u64, at: usize) {
        let mut machine = self.lock();
        machine.flip(inode, at);
        machine.state.inode(inode).sync();
    }

    /// Undoes [`Meddling::Rename`] and [`Meddling::Replace`], and makes that durable. The file gets a name without `.sealed` unless
    /// it had one with it.
    pub fn put_back(&self) {
        self.lock().put_back();
    }

    /// What another process has written to the file since the machine was made.
    pub fn foreign_writes(&self) -> Vec<ForeignWrite> {
        self.lock().foreign_writes.clone()
    }

    /// Puts back what another process wrote over, and makes that durable.
    pub fn take_back(&self, write: ForeignWrite) {
        let mut machine = self.lock();
        match write {
            ForeignWrite::Flipped { inode, at } => machine.flip(inode, at),
            ForeignWrite::Grown { inode, from } => machine.state.inode(inode).set_len(from),
        }
        let (ForeignWrite::Flipped { inode, .. } | ForeignWrite::Grown { inode, .. }) = write;
        machine.state.inode(inode).sync();
    }

    /// A handle on a file.
    pub fn open(&self, name: &str) -> Option<SimFile> {
        let inode = self.lock().state.inode_of(name)?;
        Some(SimFile::new(self.clone(), inode))
    }

    /// The folder.
    pub fn folder(&self) -> SimFolder {
        SimFolder(self.clone())
    }

    /// Keeps a job key in memory.
    pub fn keep_job_key(&self, job: [u8; 16], key: [u8; 32]) {
        self.lock().state.job_keys.insert(job, key);
    }

    /// A job key in memory.
    pub fn job_key(&self, job: &[u8; 16]) -> Option<[u8; 32]> {
        self.lock().state.job_keys.get(job).copied()
    }

    /// Forgets a job key, unless the process is dead.
    pub fn forget_job_key(&self, job: &[u8; 16]) {
        let mut machine = self.lock();
        if !machine.dead {
            machine.state.job_keys.remove(job);
        }
    }
}

/// What a counted operation has to do.
enum Step {
    Work,
    Fail(Fault),
}

impl Machine {
    fn revive(&mut self) {
        self.faults.clear();
        self.dead = false;
        self.full = None;
    }

    fn step(&mut self) -> io::Result<Step> {
        if self.dead {
            return Err(error());
        }
        self.operations += 1;
        self.let_requests_land();
        let due = self.faults.iter().find(|(at, _)| *at == self.operations).map(|(_, fault)| *fault);
        match due {
            Some(fault) => match fault {
                Fault::Meddling(meddling) => {
                    self.meddle(meddling);
                    Ok(Step::Work)
                }
                Fault::NoSpace => {
                    let overwriting_too = self.generator.below(2) == 0;
                    self.full = Some(overwriting_too);
                    self.overwriting_failed |= overwriting_too;
                    Ok(Step::Work)
                }
                _ => {
                    self.dead = fault.ends_the_process();
                    Ok(Step::Fail(fault))
                }
            },
            None => Ok(Step::Work),
        }
    }

    /// A step that a fault stops before it does anything.
    fn whole_step(&mut self) -> io::Result<()> {
        match self.step()? {
            Step::Work => Ok(()),
            Step::Fail(_) => Err(error()),
        }
    }

    /// A change that is done or not. What fails may have been done all the same: the answer was lost, not the change.
    fn atomic_change(
        &mut self,
        operation: impl FnOnce() -> Operation,
        change: impl FnOnce(&mut State),
    ) -> io::Result<()> {
        let has_failed = matches!(self.step()?, Step::Fail(_));
        if !has_failed || self.generator.below(2) == 0 {
            self.change(operation, change);
        }
        if has_failed { Err(error()) } else { Ok(()) }
    }

    /// Whether there is no space for a write up to `end`.
    fn lacks_space(&self, inode: u64, end: u64) -> bool {
        let len = self.state.inodes.get(&inode).map_or(0, |inode| inode.visible.len() as u64);
        self.full.is_some_and(|overwriting_too| overwriting_too || end > len)
    }

    /// Does something to the state, and writes it down.
    fn change(&mut self, operation: impl FnOnce() -> Operation, change: impl FnOnce(&mut State)) {
        self.changes += 1;
        if !self.recording.wants(self.changes) {
            return change(&mut self.state);
        }
        let operation = operation();
        let before = matches!(operation, Operation::Write { .. }).then(|| self.state.clone());
        change(&mut self.state);
        let after = self.state.clone();
        self.recording.push(Moment { number: self.changes, operation, before, after });
    }

    fn is_journal(&self, inode: u64) -> bool {
        self.state.names.iter().any(|(name, named)| *named == inode && is_journal(name))
    }

    fn misses(&self, inode: u64) -> Option<&MissingSync> {
        let name =
            self.state.names.iter().find(|(_, named)| **named == inode).map(|(name, _)| name.as_os_str());
        let name = name.unwrap_or(OsStr::new(""));
        self.missing_syncs.iter().find(|missing| match missing {
            MissingSync::Of(ignored) => ignored == name,
            MissingSync::Folder => false,
            MissingSync::OldContent(_) => !is_journal(name) && !name.is_empty(),
        })
    }
}

fn is_journal(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b"-journal")
}

fn error() -> io::Error {
    io::Error::other("simulated fault")
}

fn no_space() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}
