//! What to do about a job that is over, but for names and its journal.

use std::io;
use std::path::Path;

use pageseal::InterruptCause;

use super::{Situation, before_going_on};
use crate::shell_quote::shell_quote;

/// The content is done. Where the journal is still there, another run gives the name and removes
/// it.
pub fn of_untidied(
    path: &Path,
    journal: Option<&Path>,
    source: &io::Error,
    situation: &Situation<'_>,
) -> String {
    let source = source.raw_os_error().map_or_else(|| source.kind().into(), io::Error::from_raw_os_error);
    let first = before_going_on(&InterruptCause::Io { what: "", offset: 0, source });
    let file = shell_quote(path);
    match journal {
        Some(_) => {
            // Its keys are wiped or of no more use, so none is asked for.
            let options = Situation { keys: None, ..*situation }.option_words();
            format!(
                "its content is done; {first}run `pageseal resume {options}{file}`, which settles names and removes the journal"
            )
        }
        None => format!(
            "its content and name are done, and nothing is left to resume; {first}run `sync`; if the journal is there again after \
             a power cut, `pageseal resume {file}` removes it"
        ),
    }
}
