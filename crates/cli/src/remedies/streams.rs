//! What to do about standard input and output.

use std::io::{self, ErrorKind};

use super::LONGER_FILES;

/// A sealed stream found no room in a file of its own.
pub fn of_spool(is_temporary: bool, source: &io::Error) -> String {
    let elsewhere =
        if is_temporary { "name another folder with TMPDIR" } else { "choose another with -o OUT" };
    let first = match source.kind() {
        ErrorKind::FileTooLarge => return format!("{LONGER_FILES}; or {elsewhere}"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space there",
        _ => "make that folder writable",
    };
    format!("{first}, or {elsewhere}: a sealed stream has to be whole before it is opened")
}
