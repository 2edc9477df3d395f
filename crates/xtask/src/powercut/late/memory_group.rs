//! A control group whose memory runs out, so that the kernel kills the job in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::stop::{At, Outcome, Stop, check};

/// More than a job needs.
const LIMIT_BYTES: u64 = 512 << 20;
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(1);
const ROOT: &str = "/sys/fs/cgroup";

/// The group. Removed when dropped.
pub struct MemoryGroup {
    folder: PathBuf,
    /// Takes all the memory.
    hog: Option<Child>,
}

impl MemoryGroup {
    /// A group with this process, the first that the kernel kills.
    pub fn around(process: u32) -> Outcome<Self> {
        let unified = Path::new(ROOT).join("cgroup.controllers");
        let is_unified = fs::read_to_string(unified).is_ok_and(|text| text.contains("memory"));
        let (above, limit) = if is_unified {
            (ROOT.into(), "memory.max")
        } else {
            (format!("{ROOT}/memory"), "memory.limit_in_bytes")
        };
        let folder = Path::new(&above).join(format!("pageseal-powercut-{}", std::process::id()));
        fs::create_dir(&folder).at("make the control group", &folder)?;
        let group = MemoryGroup { folder, hog: None };
        let write = |path: &Path, text: &str| fs::write(path, text).at("write to", path);
        write(&group.folder.join(limit), &LIMIT_BYTES.to_string())?;
        write(&group.folder.join("cgroup.procs"), &process.to_string())?;
        write(Path::new(&format!("/proc/{process}/oom_score_adj")), "1000")?;
        Ok(group)
    }

    /// Uses the memory up until that has happened.
    pub fn run_out(mut self, mut has_happened: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
        let line = "echo $$ > \"$0\" && exec tail /dev/zero";
        let hog = Command::new("sh")
            .args(["-c", line])
            .arg(self.folder.join("cgroup.procs"))
            .stdout(Stdio::null())
            .spawn();
        self.hog = Some(hog.map_err(|error| Stop::Setup(format!("sh: {error}")))?);
        let started = Instant::now();
        while !has_happened()? {
            check(started.elapsed() < PATIENCE, || {
                "the kernel does not kill what runs out of memory".into()
            })?;
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Some(mut hog) = self.hog.take() {
            let _ = hog.kill();
            let _ = hog.wait();
        }
        let started = Instant::now();
        // A process that was waited for may stay in its group for a moment.
        while fs::remove_dir(&self.folder).is_err() && self.folder.exists() && started.elapsed() < PATIENCE {
            std::thread::sleep(POLL);
        }
    }
}
