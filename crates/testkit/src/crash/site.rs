//! One simulated machine with one file on it: running jobs there, recovering them, and judging what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pageseal::simulation::World;
use pageseal::simulation::journal::{PHASE_LEN, PHASE_OFFSETS, Phase, PhaseRecord};
use pageseal::{
    Cancellation, Control, Damage, Identities, IdentitySource, JobError, JobOutcome, JobReport, KeyError,
    OpenError, Passphrase, PassphrasePrompt, Progress, Recipient, Refusal, Stage, generate_identity,
};
use pageseal_storage::Storage;

use super::scenario::{Job, Scenario, Survives};
use crate::Generator;
use crate::disk::{Fault, Meddling, SimDisk, State};
use crate::surroundings::{Past, SimSurroundings};

/// The file's name before it is sealed.
pub const PLAIN: &str = "f";
/// Its name when it is sealed.
pub const SEALED: &str = "f.sealed";
/// The journal's name.
pub const JOURNAL: &str = "f.pageseal-journal";
/// A recovery that needs more runs than this does not converge.
const MOST_RUNS: usize = 6;

/// One key pair for all runs.
#[derive(Debug)]
pub struct Keys {
    recipient: Recipient,
    with: Identities,
    without: Identities,
}

struct Silence;

impl PassphrasePrompt for Silence {
    fn ask(&self, _: &str) -> Result<Option<Passphrase>, KeyError> {
        Ok(None)
    }
}

impl Keys {
    /// Draws a key pair.
    ///
    /// # Errors
    /// If there is no temporary folder to load it from.
    pub fn new() -> Result<Self, String> {
        let made = generate_identity();
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = folder.path().join("identity");
        std::fs::write(&file, made.file_contents().as_bytes()).map_err(|error| error.to_string())?;
        let with = Identities::load([IdentitySource::File(file)], Arc::new(Silence));
        let without = Identities::load([], Arc::new(Silence));
        Ok(Keys {
            recipient: Recipient::parse(&made.public).map_err(|error| error.to_string())?,
            with: with.map_err(|error| error.to_string())?,
            without: without.map_err(|error| error.to_string())?,
        })
    }
}

/// What came before the run that is looked at, beside the disk's state.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Nonces and keys so far.
    pub past: Past,
    /// What has stopped runs so far.
    pub faults: Vec<Fault>,
    /// Whether the system was restarted although nothing had stopped a run.
    pub restarted: bool,
}

/// What came of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The file is whole, in one form or the other.
    Whole,
    /// The tool says that the file is lost, as it promises for this mode and fault.
    SaidToBeLost,
}

/// A file on a machine.
pub struct Site<'k> {
    /// What is run.
    pub scenario: Scenario,
    /// The machine's disk.
    pub disk: SimDisk,
    keys: &'k Keys,
    surroundings: SimSurroundings,
    plaintext: Arc<Vec<u8>>,
    inode: u64,
    faults: Vec<Fault>,
    restarted: bool,
    /// Whether somebody moved the file.
    moved: bool,
}

/// The content of the file in this scenario.
pub fn plaintext_of(scenario: &Scenario) -> Vec<u8> {
    let mut plaintext = vec![0; scenario.data_len as usize];
    let mut generator = Generator::new(scenario.seed ^ 0xDA7A);
    generator.fill(&mut plaintext);
    if scenario.holes {
        let chunk = scenario.sizes.chunk_len_bytes();
        plaintext.chunks_mut(chunk).filter(|_| generator.below(2) == 0).for_each(|chunk| chunk.fill(0));
    }
    plaintext
}

impl<'k> Site<'k> {
    /// A machine in that state. `seed` decides what chance does from here on.
    pub fn new(
        scenario: Scenario,
        keys: &'k Keys,
        plaintext: Arc<Vec<u8>>,
        state: State,
        history: History,
        seed: u64,
    ) -> Self {
        let inode = [PLAIN, SEALED].iter().find_map(|name| state.inode_of(name)).unwrap_or(0);
        let disk = SimDisk::at(state, seed);
        disk.set_waits(scenario.waits);
        disk.set_renames_by_links(scenario.renames_by_links());
        let surroundings =
            SimSurroundings::new(disk.clone(), seed ^ 0xA11, history.past, scenario.hides_boot);
        let History { faults, restarted, .. } = history;
        Site { scenario, disk, keys, surroundings, plaintext, inode, faults, restarted, moved: false }
    }

    /// The same machine once more, to try something on.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        let plaintext = Arc::clone(&self.plaintext);
        let copy =
            Site::new(self.scenario, self.keys, plaintext, self.disk.state(), self.history(None), seed);
        Site { inode: self.inode, moved: self.moved, ..copy }
    }

    /// What came before, with this fault at last.
    pub fn history(&self, fault: Option<Fault>) -> History {
        let faults = self.faults.iter().copied().chain(fault).collect();
        History { past: self.surroundings.past(), faults, restarted: self.restarted }
    }

    /// Whether there is a journal.
    pub fn has_journal(&self) -> bool {
        self.disk.look(|state| state.has(JOURNAL))
    }

    fn world(&self) -> Result<World, String> {
        let name = if self.disk.look(|state| state.has(PLAIN)) { PLAIN } else { SEALED };
        let file = self.disk.open(name).ok_or("the file has lost its names")?;
        Ok(World {
            folder: Arc::new(self.disk.folder()),
            identity: file.identity(),
            mapping: Arc::new(file.mapping()),
            direct: Arc::new(file.direct()),
            data: Arc::new(file),
            name: name.into(),
            surroundings: Arc::new(self.surroundings.clone()),
            sizes: self.scenario.sizes,
            drops_behind: self.scenario.drops_behind,
        })
    }

    /// Seals the file.
    pub fn encrypt(&self, control: &Control<'_>) -> Result<JobReport, JobError> {
        self.on_world(|world| world.encrypt(&self.keys.recipient, &self.scenario.choices(), control))
    }

    /// Opens the file.
    pub fn decrypt(&self, control: &Control<'_>) -> Result<JobReport, JobError> {
        self.on_world(|world| world.decrypt(&self.keys.with, &self.scenario.choices(), control))
    }

    /// Does what the scenario is about.
    pub fn run(&self) -> Result<JobReport, JobError> {
        let control = Control::silent();
        match self.scenario.cell.job {
            Job::Encrypt => self.encrypt(&control),
            Job::Decrypt => self.decrypt(&control),
            Job::ResumeEncrypt | Job::ResumeDecrypt => self.go_on(false, &control),
            Job::UndoEncrypt | Job::UndoDecrypt => self.go_on(true, &control),
        }
    }

    /// Goes on with an interrupted job, or takes it back, with no more keys than should be needed.
    pub fn go_on(&self, back: bool, control: &Control<'_>) -> Result<JobReport, JobError> {
        let identities = if self.needs_identity() { &self.keys.with } else { &self.keys.without };
        let io = self.scenario.cell.store.io();
        self.on_world(|world| match back {
            true => world.rollback(identities, io, control),
            false => world.resume(identities, io, control),
        })
    }

    /// As [`go_on`](Self::go_on), although chunks are damaged.
    pub fn accept_damage(&self, back: bool) -> Result<JobReport, JobError> {
        let identities = if self.needs_identity() { &self.keys.with } else { &self.keys.without };
        let io = self.scenario.cell.store.io();
        self.on_world(|world| world.accept_damage(identities, io, back, &Control::silent()))
    }

    fn needs_identity(&self) -> bool {
        let lost_memory = self.restarted || self.faults.contains(&Fault::PowerCut);
        match self.scenario.job_key {
            _ if self.scenario.cell.job.begins_sealed() => true,
            pageseal::JobKeyMode::Runtime => lost_memory,
            pageseal::JobKeyMode::Disk => false,
            _ => true,
        }
    }

    fn on_world<T>(&self, run: impl FnOnce(World) -> Result<T, JobError>) -> Result<T, JobError> {
        let world = self.world().map_err(|what| {
            let source = std::io::Error::other(what);
            JobError::Open(OpenError::Io { path: PLAIN.into(), offset: 0, source })
        })?;
        run(world)
    }

    /// The system is restarted while no job runs.
    pub fn restart(&mut self) {
        self.disk.restart();
        self.restarted = true;
    }

    /// The machine comes back from whatever stopped it.
    pub fn come_back(&mut self, fault: Fault) {
        match fault {
            Fault::PowerCut => self.disk.restart(),
            Fault::Shutdown => self.disk.shut_down(),
            _ => self.disk.next_process(),
        }
        self.faults.push(fault);
    }

    /// Recovers the file, in as many runs as that takes, and judges it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn recover_and_judge(&mut self) -> Result<Ending, String> {
        let had_journal = self.has_journal();
        let ending = self.recover()?;
        // What a killed process asked for gets there in the end, whatever was said of the file before.
        self.disk.land_requests();
        if ending == Ending::Whole {
            self.judge(had_journal)?;
            // What is called done must not need any more luck. Where nothing was left to do, nothing was called done: a name that
            // was removed and not synced may be back.
            self.come_back(Fault::PowerCut);
            if !had_journal && self.has_journal() {
                self.recover()?;
            }
            self.judge(had_journal)?;
        }
        if self.reused_a_nonce() {
            return Err("a nonce sealed two plaintexts".into());
        }
        Ok(ending)
    }

    fn recover(&self) -> Result<Ending, String> {
        let mut back = match self.scenario.cell.job {
            Job::UndoEncrypt | Job::UndoDecrypt => true,
            Job::ResumeEncrypt | Job::ResumeDecrypt => false,
            Job::Encrypt | Job::Decrypt => self.scenario.go_back,
        };
        for _ in 0..MOST_RUNS {
            if !self.has_journal() {
                return Ok(Ending::Whole);
            }
            match self.go_on(back, &Control::silent()) {
                Ok(report) => return self.check_outcome(&report, back).map(|()| Ending::Whole),
                Err(JobError::Refused(Refusal::BeingRolledBack { .. })) => back = true,
                Err(JobError::Refused(Refusal::OnlyFinish { .. })) => back = false,
                Err(error) if self.may_be_lost(&error) => return self.check_lost(),
                Err(error) => return Err(format!("recovery failed: {error:?}")),
            }
        }
        Err("recovery does not come to an end".into())
    }

    /// Whether the file has the form that was asked for.
    fn check_outcome(&self, report: &JobReport, back: bool) -> Result<(), String> {
        let sealed = self.scenario.cell.job.begins_sealed() == back;
        // A job that was over already is only given its names.
        let was_over = report.threads == 0;
        if was_over || (report.outcome == JobOutcome::Sealed) == sealed {
            Ok(())
        } else {
            Err(format!("the file is {:?} now, which was not asked for", report.outcome))
        }
    }

    /// What a mode does not promise to survive, it must say.
    pub fn may_be_lost(&self, error: &JobError) -> bool {
        let JobError::Open(OpenError::Damaged { damage, .. }) = error else { return false };
        if !self.has_windows_in_the_open() {
            return false;
        }
        match self.scenario.cell.resilience {
            Survives::Checksum | Survives::Journal => false,
            Survives::Process => {
                let lost_caches = |fault: &Fault| matches!(fault, Fault::PowerCut | Fault::Shutdown);
                let lost = self.faults.iter().any(lost_caches) || self.disk.had_a_failed_sync();
                lost && matches!(damage, Damage::PowerCutDuringProcessJob | Damage::Journal { .. })
            }
            Survives::None => !self.faults.is_empty() && matches!(damage, Damage::Unprotected),
        }
    }

    /// Whether the journal says that windows may be in flight, which is where `process` and `none` may lose a file.
    fn has_windows_in_the_open(&self) -> bool {
        let journal = self.disk.look(|state| state.content(JOURNAL).map(<[u8]>::to_vec)).unwrap_or_default();
        let phase = |offset: &u64| {
            let start = *offset as usize;
            PhaseRecord::parse(journal.get(start..start + PHASE_LEN)?).ok()
        };
        let newest = PHASE_OFFSETS.iter().filter_map(phase).max_by_key(|phase| phase.sequence);
        newest.is_some_and(|phase| phase.phase == Phase::Running && !phase.clean)
    }

    /// A file that is said to be lost must be said so whatever is asked, and stay where it is.
    fn check_lost(&self) -> Result<Ending, String> {
        let before = self.disk.state();
        for back in [false, true] {
            match self.go_on(back, &Control::silent()) {
                Err(error) if self.may_be_lost(&error) => {}
                other => return Err(format!("lost at first, and then {other:?}")),
            }
        }
        let unchanged = self.disk.look(|state| state.looks_like(&before));
        unchanged.then_some(Ending::SaidToBeLost).ok_or("a refusal changed something".into())
    }

    /// Whether there is exactly the file, whole, with the right name and nothing secret beside it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, had_journal: bool) -> Result<(), String> {
        let state = self.disk.state();
        let names: Vec<_> = state.files().map(|(name, inode, _)| (name.to_owned(), inode)).collect();
        let [(name, inode)] = &names[..] else { return Err(format!("the folder holds {names:?}")) };
        if *inode != self.inode {
            return Err("the file is another one".into());
        }
        self.judge_content(name.to_str().unwrap_or(""))?;
        self.judge_secrets(had_journal)
    }

    /// Whether no key is left where it should not be.
    ///
    /// # Errors
    /// Where one is.
    pub fn judge_secrets(&self, had_journal: bool) -> Result<(), String> {
        let state = self.disk.state();
        if had_journal && state.kept_job_keys() > 0 {
            return Err("a job key was left in memory".into());
        }
        let Past { secrets, ledger } = self.surroundings.past();
        if ledger.is_empty() && self.disk.could_not_overwrite() {
            // A refused job could not wipe its key; nothing was ever sealed that this key opens.
            return Ok(());
        }
        if secrets.iter().any(|secret| state.medium_has(secret)) {
            return Err("a key was left on the medium".into());
        }
        Ok(())
    }

    /// Whether the file under this name is the plaintext, or opens to it.
    pub fn judge_content(&self, name: &str) -> Result<(), String> {
        let found = self.read(name)?;
        match found == *self.plaintext {
            true => Ok(()),
            false => Err(format!("{name}: {} bytes, which are not the plaintext", found.len())),
        }
    }

    /// The plaintext of the file under this name, as far as it says what it is.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let bytes = self.disk.look(|state| state.content(name).map(<[u8]>::to_vec)).ok_or("no file")?;
        // A file whose name went to another one keeps the name that it has, also when it is sealed.
        let is_plain = if self.moved { bytes == *self.plaintext } else { name == PLAIN };
        if is_plain {
            return Ok(bytes);
        }
        let world = self.world()?;
        let read = world.read_sealed(&self.keys.with);
        read.map_err(|error| format!("the sealed file does not open: {error:?}"))
    }

    /// The plaintext of each chunk of the file under this name that can be read.
    pub fn read_what_opens(&self, name: &str) -> Result<Vec<Option<Vec<u8>>>, String> {
        if name == SEALED {
            let read = self.world()?.read_what_opens(&self.keys.with);
            return read.map_err(|error| format!("the sealed file does not open: {error:?}"));
        }
        let bytes = self.disk.look(|state| state.content(name).map(<[u8]>::to_vec)).ok_or("no file")?;
        Ok(bytes.chunks(self.scenario.sizes.chunk_len_bytes()).map(|chunk| Some(chunk.to_vec())).collect())
    }

    /// What the file held before everything.
    pub fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }

    /// The file itself, whatever its name.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether a nonce was used for two ciphertexts.
    pub fn reused_a_nonce(&self) -> bool {
        self.surroundings.past().ledger.has_reuse()
    }

    /// The file gets the name back that somebody took away.
    pub fn put_back(&mut self) {
        self.disk.put_back();
        self.moved = true;
    }

    /// Somebody changes the file while no job runs.
    pub fn meddle(&mut self, meddling: Meddling) {
        self.disk.meddle(meddling);
        for name in [PLAIN, SEALED] {
            if let Some(file) = self.disk.open(name) {
                let _ = file.sync_all();
            }
        }
    }
}

/// Asks for a stop after so many windows.
#[derive(Debug)]
pub struct StopAfter {
    windows: AtomicU64,
    /// Other stages have no windows.
    converting: AtomicBool,
    /// To be given to the job.
    pub cancellation: Cancellation,
}

impl StopAfter {
    /// After so many windows.
    pub fn new(windows: u64) -> Self {
        StopAfter {
            windows: windows.into(),
            converting: AtomicBool::new(false),
            cancellation: Cancellation::default(),
        }
    }

    /// The job's control.
    pub fn control(&self) -> Control<'_> {
        Control { progress: self, cancellation: self.cancellation.clone() }
    }
}

impl Progress for StopAfter {
    fn stage(&self, stage: Stage, _total_bytes: u64, _done_bytes: u64) {
        self.converting.store(matches!(stage, Stage::Encrypting | Stage::Decrypting), Ordering::SeqCst);
    }

    fn advance(&self, _bytes: u64) {
        if self.converting.load(Ordering::SeqCst) && self.windows.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.cancellation.cancel();
        }
    }
}
