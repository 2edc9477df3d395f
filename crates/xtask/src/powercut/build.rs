//! Builds what is tested.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::stop::{Outcome, Stop, check};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Builds the command as it is released, or with its protections made switchable. Returns where it lies.
pub fn pageseal(mutation: Option<&str>) -> Outcome<PathBuf> {
    let root = workspace();
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    };
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--quiet", "-p", "pageseal-cli"]);
    let target = match mutation {
        None => target,
        Some(_) => {
            command.env("RUSTC_WORKSPACE_WRAPPER", root.join("scripts/with-mutations"));
            target.join("mutations")
        }
    };
    command.arg("--target-dir").arg(&target).current_dir(&root);
    println!(
        "powercut: building pageseal{}",
        if mutation.is_some() { " with switchable protections" } else { "" }
    );
    run(&mut command)?;
    Ok(target.join("release/pageseal"))
}

/// The cargo that started this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|error| Stop::Setup(format!("{command:?}: {error}")))?;
    check(status.success(), || format!("{command:?}: {status}"))
        .map_err(|error| Stop::Setup(error.to_string()))
}
