//! What all parts share: the command, a key, a place for images, and the wish to stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::TempDir;

use super::stop::{At, Outcome, Stop};
use super::victim::Pageseal;

/// Set up once, gone with all that lies in it when dropped.
pub struct Bench {
    /// The command under test.
    pub pageseal: Pageseal,
    /// The same, with a protection switched off if that was asked for: for jobs, not for what ends them.
    pub mutated: Pageseal,
    /// The identity's file.
    pub identity: PathBuf,
    /// Its public key.
    pub recipient: String,
    /// Repeats the choices of a run.
    pub seed: u64,
    /// On a disk: for what shall be as slow as one.
    pub on_disk: TempDir,
    /// In memory: for the many images of replays.
    pub in_memory: TempDir,
    wish: Wish,
}

/// Whether somebody asked to stop: Ctrl-C, SIGTERM, SIGHUP.
#[derive(Clone)]
pub struct Wish(Arc<AtomicBool>);

impl Wish {
    /// Listens from now on.
    pub fn listen() -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(|error| Stop::Setup(format!("signal handler: {error}")))?;
        }
        Ok(Wish(stop))
    }

    /// An error if somebody did.
    pub fn go_on(&self) -> Outcome<()> {
        if self.0.load(Ordering::Relaxed) { Err(Stop::Interrupted) } else { Ok(()) }
    }
}

impl Bench {
    /// Makes the folders and a key.
    pub fn new(
        program: PathBuf,
        mutation: Option<&str>,
        folder: &Path,
        seed: u64,
        wish: Wish,
    ) -> Outcome<Self> {
        let on_disk = folder_in(folder)?;
        let in_memory = folder_in(Path::new("/dev/shm"))?;
        let runtime = in_memory.path().join("runtime");
        fs::create_dir(&runtime).at("create", &runtime)?;
        // A folder that others may enter is not trusted with job keys.
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).at("close", &runtime)?;
        let pageseal = Pageseal { program, runtime, mutation: None, wrapper: Vec::new() };
        let identity = in_memory.path().join("key.txt");
        let made = pageseal.succeed(["keygen".as_ref(), "-o".as_ref(), identity.as_os_str()])?;
        let recipient = made.stdout.trim().to_owned();
        let mutated = Pageseal { mutation: mutation.map(str::to_owned), ..pageseal.clone() };
        Ok(Bench { pageseal, mutated, identity, recipient, seed, on_disk, in_memory, wish })
    }

    /// An error if somebody asked to stop. To be called wherever nothing is half done.
    pub fn go_on(&self) -> Outcome<()> {
        self.wish.go_on()
    }
}

fn folder_in(folder: &Path) -> Outcome<TempDir> {
    tempfile::Builder::new().prefix("pageseal-powercut-").tempdir_in(folder).at("make a folder in", folder)
}
