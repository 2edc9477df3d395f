//! The page of `pageseal bench --report`: one file that needs nothing else, neither network nor script.

mod charts;
mod html;
mod series;
mod tables;
mod time_line;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use pageseal::bench::BenchReport;

use crate::failure::Failure;

/// Refuses a name that is taken before anything is measured, so that nobody waits in vain.
pub fn refuse_existing(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Err(Failure::Write { path: path.into(), source: ErrorKind::AlreadyExists.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let found = std::fs::metadata(parent);
            found.map(drop).map_err(|source| Failure::Write { path: path.into(), source })
        }
        Err(source) => Err(Failure::Write { path: path.into(), source }),
    }
}

/// Writes the page, never over a file that is there.
pub fn write(report: &BenchReport, path: &Path) -> Result<(), Failure> {
    let page = html::page(report).map_err(|what| Failure::Chart { what })?;
    let failed = |source| Failure::Write { path: path.into(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(page.as_bytes()).map_err(|source| {
        // Half a page is worse than none. That it cannot be removed changes nothing about the error.
        let _ = std::fs::remove_file(path);
        failed(source)
    })
}
