//! A mount namespace of our own: no mount of a test is seen outside, and the kernel takes all of them down with the last
//! process in it, also after SIGKILL.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::stop::{Outcome, Stop};

const ENTERED: &str = "PAGESEAL_XTASK_PRIVATE_MOUNTS";

/// Starts this program again in a namespace of its own, with the same arguments. Returns only inside of it.
pub fn enter() -> Outcome<()> {
    if std::env::var_os(ENTERED).is_some() {
        return Ok(());
    }
    let setup = |error: std::io::Error| Stop::Setup(format!("unshare: {error}"));
    let this = std::env::current_exe().map_err(setup)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(this).args(std::env::args_os().skip(1));
    // Only returns if it fails.
    Err(setup(command.env(ENTERED, "1").exec()))
}
