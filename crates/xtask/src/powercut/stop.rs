//! Why a part stops early.

use std::path::Path;

/// Why something did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Rights, devices or tools are not there.
    #[error("this machine lacks:\n{}", .0.iter().map(|what| format!("  {what}")).collect::<Vec<_>>().join("\n"))]
    Lacks(Vec<String>),
    /// Somebody asked to stop.
    #[error("stopped as asked")]
    Interrupted,
    /// A test could not be set up; nothing about pageseal is said.
    #[error("cannot set the test up: {0}")]
    Setup(String),
    /// A check failed.
    #[error("FAILED: {0}")]
    Failed(String),
}

/// What everything here returns.
pub type Outcome<T> = Result<T, Stop>;

/// Says what was tried on which path.
pub trait At<T> {
    /// The error with its place.
    fn at(self, what: &str, path: &Path) -> Outcome<T>;
}

impl<T, E: std::fmt::Display> At<T> for Result<T, E> {
    fn at(self, what: &str, path: &Path) -> Outcome<T> {
        self.map_err(|error| Stop::Setup(format!("{what} {}: {error}", path.display())))
    }
}

/// A failed check, with its reason.
pub fn failed<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Stop::Failed(reason.into()))
}

/// Fails unless a condition holds.
pub fn check(holds: bool, reason: impl FnOnce() -> String) -> Outcome<()> {
    if holds { Ok(()) } else { failed(reason()) }
}
