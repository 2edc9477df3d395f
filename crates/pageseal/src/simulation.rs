//! Jobs on a simulated disk: stopped at random operations, by power cuts that lose, tear and reorder everything that was not
//! synced, and by I/O errors; recovered, stopped again while recovering, and compared with what they must leave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pageseal_crypto::Suite;
use pageseal_format::journal::Resilience;
use pageseal_format::{Geometry, Limits};
use pageseal_storage::Storage;
use pageseal_testkit::{Fault, Generator, SimDisk};

use crate::job::for_simulation::{
    Io, JournalPlace, Plan, Wish, begin_decrypt, begin_encrypt, continue_on, record_kind,
};
use crate::job::{Workers, chunk_meta};
use crate::keys::{Identities, IdentitySource, KeyError, Passphrase, PassphrasePrompt, Recipient};
use crate::names::Names;
use crate::options::{DecryptOptions, EncryptOptions, JobKeyMode, ResumeOptions};
use crate::report::JobReport;
use crate::sealed::{SealedFile, read_entries};
use crate::target::Target;
use crate::{Control, JobError, Refusal, generate_identity};

const CHUNK_LOG2: u8 = 12;
const WINDOW: u64 = 2 << CHUNK_LOG2;
const PLAIN: &str = "f";
const SEALED: &str = "f.sealed";
const JOURNAL: &str = "f.pageseal-journal";
/// Faults in one scenario: the first hits the job, the others its recoveries.
const MOST_FAULTS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Encrypt,
    Decrypt,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    kind: Kind,
    resilience: Resilience,
    suite: Suite,
    faults: [Fault; MOST_FAULTS],
    ring_slots: u8,
    data_len: u64,
    go_back: bool,
    seed: u64,
}

/// A protection that is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    None,
    JournalSync,
    DataSync,
    FolderSync,
}

struct Silence;

impl PassphrasePrompt for Silence {
    fn ask(&self, _: &str) -> Result<Option<Passphrase>, KeyError> {
        Ok(None)
    }
}

/// One key pair for all scenarios.
struct Keys {
    recipient: Recipient,
    identities: Identities,
}

impl Keys {
    fn new() -> Self {
        let made = generate_identity();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity");
        std::fs::write(&file, made.file_contents().as_bytes()).unwrap();
        let identities = Identities::load([IdentitySource::File(file)], Arc::new(Silence)).unwrap();
        Keys { recipient: Recipient::parse(&made.public).unwrap(), identities }
    }
}

/// The tag that each nonce of each run made; the path names the run.
type Sealings = BTreeMap<(PathBuf, [u8; 24]), [u8; 32]>;

/// What every nonce of a run sealed. Two tags for one nonce are two ciphertexts.
static SEALINGS: Mutex<Sealings> = Mutex::new(BTreeMap::new());
/// Runs that used a nonce for two ciphertexts.
static REUSED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Called for every ciphertext that leaves the process.
pub(crate) fn note_sealing(run: &Path, nonce: [u8; 24], tag: [u8; 32]) {
    let mut sealings = SEALINGS.lock().unwrap();
    let first = *sealings.entry((run.to_path_buf(), nonce)).or_insert(tag);
    if first != tag {
        REUSED.lock().unwrap().insert(run.to_path_buf());
    }
}

struct Run<'a> {
    name: PathBuf,
    scenario: Scenario,
    keys: &'a Keys,
    disk: SimDisk,
    plaintext: Vec<u8>,
}

impl<'a> Run<'a> {
    fn new(scenario: Scenario, keys: &'a Keys, name: String) -> Self {
        let mut plaintext = vec![0; scenario.data_len as usize];
        Generator::new(scenario.seed ^ 0xDA7A).fill(&mut plaintext);
        let disk = SimDisk::new(scenario.seed);
        disk.install(PLAIN, plaintext.clone());
        let run = Run { name: name.into(), scenario, keys, disk, plaintext };
        if scenario.kind == Kind::Decrypt {
            run.encrypt().unwrap();
            run.disk.restart();
        }
        run
    }

    fn target(&self) -> Target {
        let name = if self.disk.names().iter().any(|name| name == PLAIN) { PLAIN } else { SEALED };
        let file = self.disk.open(name).expect("the file has lost its names");
        Target {
            names: Names::of(Path::new(name)).unwrap(),
            path: self.name.clone(),
            folder: Arc::new(self.disk.folder()),
            identity: file.identity(),
            data: Arc::new(file),
            modified: (0, 0),
            limits: Limits::TEST,
            file: None,
            watch: None,
            _lock: None,
        }
    }

    fn place(&self) -> JournalPlace {
        JournalPlace { folder: Arc::new(self.disk.folder()), name: JOURNAL.into(), path: JOURNAL.into() }
    }

    fn plan(&self) -> Plan {
        let resilience = self.scenario.resilience;
        Plan {
            io: Io::Buffered,
            resilience,
            record_kind: record_kind(Io::Buffered, resilience),
            fixed_sizes: Some((WINDOW, self.scenario.ring_slots)),
        }
    }

    fn encrypt(&self) -> Result<JobReport, JobError> {
        let options = EncryptOptions {
            suite: Some(self.scenario.suite),
            threads: Some(1),
            job_key: JobKeyMode::None,
            ..EncryptOptions::default()
        };
        let geometry = Geometry::new(self.scenario.data_len, CHUNK_LOG2, &Limits::TEST).unwrap();
        let recipients = std::slice::from_ref(&self.keys.recipient);
        let control = Control::silent();
        begin_encrypt(
            self.target(),
            self.place(),
            geometry,
            self.plan(),
            recipients,
            &options,
            &control,
            Instant::now(),
        )
    }

    fn decrypt(&self) -> Result<JobReport, JobError> {
        let target = self.target();
        let data = Arc::clone(&target.data);
        let sealed = SealedFile::open(Path::new(SEALED), data, &self.keys.identities, &Limits::TEST)?;
        let options = DecryptOptions { threads: Some(1), ..DecryptOptions::default() };
        begin_decrypt(target, self.place(), sealed, self.plan(), &options, &Control::silent(), Instant::now())
    }

    fn job(&self) -> Result<JobReport, JobError> {
        match self.scenario.kind {
            Kind::Encrypt => self.encrypt(),
            Kind::Decrypt => self.decrypt(),
        }
    }

    fn recover(&self, wish: Wish) -> Result<JobReport, JobError> {
        let options = ResumeOptions { threads: Some(1), decrypt: true, ..ResumeOptions::default() };
        let control = Control::silent();
        continue_on(
            self.target(),
            self.place(),
            &self.keys.identities,
            &options,
            wish,
            &control,
            Instant::now(),
        )
    }

    /// Operations of the whole job when nothing stops it.
    fn operations(&self) -> u64 {
        let before = self.disk.operations();
        self.job().unwrap();
        self.disk.operations() - before
    }

    fn restart_after(&self, fault: Fault) {
        match fault {
            Fault::PowerCut => self.disk.restart(),
            Fault::InputOutput | Fault::Kill => self.disk.next_process(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.disk.names().iter().any(|found| found == name)
    }

    /// Somebody changes a byte of the data while no job runs.
    fn meddle(&self, generator: &mut Generator) {
        let name = if self.has(PLAIN) { PLAIN } else { SEALED };
        let (Some(file), 1..) = (self.disk.open(name), self.scenario.data_len) else { return };
        let offset = generator.below(self.scenario.data_len);
        let mut byte = [0];
        if file.read_exact_at(&mut byte, offset).is_ok() {
            file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
            file.sync_all().unwrap();
        }
    }

    /// Stops the job, changes the data, and recovers as far as that goes, again and again. What is left may be called
    /// damaged, but no nonce may have sealed two plaintexts.
    fn play_meddled(&self, at: u64, generator: &mut Generator) {
        self.disk.fail_at(at, Fault::PowerCut);
        let _ = self.job();
        for _ in 0..4 {
            self.disk.restart();
            self.meddle(generator);
            if !self.has(JOURNAL) {
                break;
            }
            self.disk.fail_at(1 + generator.below(80), Fault::PowerCut);
            let wish = *generator.pick(&[Wish::Forward, Wish::Backward]);
            let _ = self.recover(wish);
        }
        self.disk.restart();
        if self.has(JOURNAL) {
            let _ = self.recover(Wish::Forward);
            let _ = self.recover(Wish::Backward);
        }
    }

    fn reused_a_nonce(&self) -> bool {
        REUSED.lock().unwrap().contains(&self.name)
    }

    /// Stops the job at operation `at`, recovers it however often that is stopped too, and judges what is left.
    fn play(&self, at: u64, generator: &mut Generator) -> Result<(), String> {
        let mut fault = self.scenario.faults[0];
        self.disk.fail_at(at, fault);
        let mut done = self.job().is_ok();
        let mut wish = if self.scenario.go_back { Wish::Backward } else { Wish::Forward };
        let faults = generator.below(MOST_FAULTS as u64) as usize;
        for attempt in 0.. {
            self.restart_after(fault);
            if !done && !self.has(JOURNAL) {
                // The last run said that it failed, perhaps because the journal's removal was not made durable.
                self.disk.restart();
            }
            if done || !self.has(JOURNAL) {
                break;
            }
            if attempt < faults {
                fault = self.scenario.faults[attempt + 1];
                self.disk.fail_at(1 + generator.below(60), fault);
            } else if attempt > faults + 2 {
                return Err("recovery does not come to an end".into());
            }
            match self.recover(wish) {
                Ok(_) => done = true,
                Err(JobError::Refused(Refusal::BeingRolledBack { .. })) => wish = Wish::Backward,
                Err(JobError::Refused(Refusal::OnlyFinish { .. })) => wish = Wish::Forward,
                Err(error) if attempt >= faults => return Err(format!("recovery failed: {error:?}")),
                Err(_) => {}
            }
        }
        // What the job called done must not need any more luck.
        self.disk.restart();
        self.judge()
    }

    fn judge(&self) -> Result<(), String> {
        let names = self.disk.names();
        match names.as_slice() {
            [name] if name == PLAIN => {
                let found = self.disk.content(PLAIN).unwrap_or_default();
                if found == self.plaintext {
                    Ok(())
                } else {
                    Err(format!(
                        "plain, {} bytes instead of {}, or others",
                        found.len(),
                        self.plaintext.len()
                    ))
                }
            }
            [name] if name == SEALED => self.judge_sealed(),
            _ => Err(format!("the folder holds {names:?}")),
        }
    }

    fn judge_sealed(&self) -> Result<(), String> {
        let data: Arc<dyn Storage> = Arc::new(self.disk.open(SEALED).ok_or("no sealed file")?);
        let path = Path::new(SEALED);
        let sealed = SealedFile::open(path, data, &self.keys.identities, &Limits::TEST)
            .map_err(|error| format!("sealed file does not open: {error:?}"))?;
        let geometry = sealed.superblock.geometry;
        let workers =
            Workers::start(Some(1), geometry.chunk_len_bytes()).map_err(|error| error.to_string())?;
        crate::verify::verify_chunks(
            path,
            &*sealed.data,
            &geometry,
            &sealed.keys,
            &workers,
            &Control::silent(),
        )
        .map_err(|error| format!("sealed file does not verify: {error:?}"))?;
        let entries = read_entries(&*sealed.data, &geometry, 0, geometry.chunk_count())
            .map_err(|error| format!("{error:?}"))?;
        let mut found = Vec::new();
        for (chunk, entry) in (0..).zip(&entries) {
            let mut piece = vec![0; geometry.chunk_len(chunk) as usize];
            sealed
                .data
                .read_exact_at(&mut piece, geometry.chunk_offset(chunk))
                .map_err(|error| error.to_string())?;
            let meta = chunk_meta(&geometry, chunk, entry);
            sealed
                .keys
                .chunk
                .open_in_place(&meta, &entry.tag, &mut piece)
                .map_err(|error| error.to_string())?;
            found.extend(piece);
        }
        if found == self.plaintext { Ok(()) } else { Err("sealed, with other content".into()) }
    }
}

fn scenario(seed: u64) -> Scenario {
    let mut generator = Generator::new(seed);
    let lengths = [0, 1, 4096, WINDOW + 1, 5 * WINDOW, 7 * WINDOW + 513, 11 * WINDOW - 4095];
    Scenario {
        kind: *generator.pick(&[Kind::Encrypt, Kind::Decrypt]),
        resilience: *generator.pick(&[Resilience::Checksum, Resilience::Journal]),
        suite: *generator.pick(&Suite::ALL),
        faults: std::array::from_fn(|_| {
            *generator.pick(&[Fault::PowerCut, Fault::PowerCut, Fault::InputOutput, Fault::Kill])
        }),
        ring_slots: *generator.pick(&[2, 3, 4]),
        data_len: *generator.pick(&lengths),
        go_back: generator.below(2) == 0,
        seed,
    }
}

/// Plays a seed; `Err` names it.
fn play(seed: u64, keys: &Keys, mutation: Mutation) -> Result<(), String> {
    let scenario = scenario(seed);
    let operations = Run::new(scenario, keys, format!("{seed} {mutation:?} whole")).operations();
    let run = Run::new(scenario, keys, format!("{seed} {mutation:?}"));
    match mutation {
        Mutation::None => {}
        Mutation::JournalSync => ["", JOURNAL].iter().for_each(|name| run.disk.ignore_syncs_of(name)),
        Mutation::DataSync => [PLAIN, SEALED].iter().for_each(|name| run.disk.ignore_syncs_of(name)),
        Mutation::FolderSync => run.disk.ignore_folder_sync(),
    }
    let mut generator = Generator::new(seed ^ 0xFA17);
    // Often near the ends, where lengths and names change.
    let at = match generator.below(3) {
        0 => 1 + generator.below(operations.min(16)),
        1 => operations - generator.below(operations.min(12)),
        _ => 1 + generator.below(operations),
    };
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.play(at, &mut generator)));
    let reused = run.reused_a_nonce().then(|| "a nonce sealed two plaintexts".to_owned());
    played
        .unwrap_or_else(|_| Err("panic".into()))
        .and(reused.map_or(Ok(()), Err))
        .map_err(|what| format!("seed {seed}, stopped at {at} of {operations}: {what}; {scenario:?}"))
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let first = number("PAGESEAL_SIMULATION_FIRST_SEED", 0);
    first..first + number("PAGESEAL_SIMULATION_SEEDS", 1500)
}

#[test]
fn whatever_stops_a_job_nothing_is_lost() {
    let keys = Keys::new();
    let failures: Vec<String> = seeds().filter_map(|seed| play(seed, &keys, Mutation::None).err()).collect();
    assert!(failures.is_empty(), "{} of {:?} fail:\n{}", failures.len(), seeds(), failures.join("\n"));
}

#[test]
fn a_nonce_never_seals_two_plaintexts_though_somebody_changes_them() {
    let keys = Keys::new();
    let mut changed = 0;
    for seed in seeds() {
        let scenario = scenario(seed);
        let operations = Run::new(scenario, &keys, format!("{seed} meddled whole")).operations();
        let run = Run::new(scenario, &keys, format!("{seed} meddled"));
        let mut generator = Generator::new(seed ^ 0x3EDD);
        run.play_meddled(1 + generator.below(operations), &mut generator);
        changed += u64::from(run.disk.names().iter().any(|name| name == JOURNAL));
        assert!(!run.reused_a_nonce(), "seed {seed}: {scenario:?}");
    }
    assert!(changed > 0, "no change was ever noticed");
}

/// The ledger notices what it is for.
#[test]
fn the_ledger_notices_a_nonce_that_is_used_twice() {
    let run = Path::new("ledger");
    note_sealing(run, [1; 24], [1; 32]);
    note_sealing(run, [1; 24], [1; 32]);
    assert!(!REUSED.lock().unwrap().contains(run));
    note_sealing(run, [1; 24], [2; 32]);
    assert!(REUSED.lock().unwrap().contains(run));
}

/// A simulation that cannot fail proves nothing: without each of these syncs it must.
fn fails_without(mutation: Mutation) {
    let keys = Keys::new();
    let caught = (0..400).any(|seed| play(seed, &keys, mutation).is_err());
    assert!(caught, "nothing is lost without {mutation:?}: the simulation is blind");
}

#[test]
fn the_simulation_notices_a_missing_journal_sync() {
    fails_without(Mutation::JournalSync);
}

#[test]
fn the_simulation_notices_a_missing_data_sync() {
    fails_without(Mutation::DataSync);
}

#[test]
fn the_simulation_notices_a_missing_folder_sync() {
    fails_without(Mutation::FolderSync);
}
