//! Names of a file, its sealed form and its journal, found from either name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::Refusal;

/// Appended to the plain name by `encrypt`.
pub(crate) const SEALED_SUFFIX: &str = ".sealed";
/// Appended to the plain name for the journal.
pub(crate) const JOURNAL_SUFFIX: &str = ".pageseal-journal";

/// The three names of one file, all in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The directory that holds them.
    pub(crate) directory: PathBuf,
    /// The name as the caller gave it.
    pub(crate) given: OsString,
    /// Without `.sealed`.
    pub(crate) plain: OsString,
    /// With `.sealed`.
    pub(crate) sealed: OsString,
}

impl Names {
    /// Takes a path apart. A path without a file name (`/`, `..`) is no regular file.
    pub(crate) fn of(path: &Path) -> Result<Self, Refusal> {
        let ends_in_slash = path.as_os_str().as_bytes().ends_with(b"/");
        let given = match path.file_name() {
            Some(name) if !ends_in_slash => name.to_os_string(),
            _ => return Err(Refusal::NotRegular { path: path.to_path_buf(), what: "a directory" }),
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let plain = strip_sealed(&given).unwrap_or_else(|| given.clone());
        let sealed = append(&plain, SEALED_SUFFIX);
        Ok(Names { directory, given, plain, sealed })
    }

    /// The given name if there is such a file, else the other one.
    pub(crate) fn existing(self) -> Self {
        let other = if self.given_is_sealed() { self.plain.clone() } else { self.sealed.clone() };
        let exists = |name: &OsString| self.path_of(name).symlink_metadata().is_ok();
        if !exists(&self.given) && exists(&other) { Names { given: other, ..self } } else { self }
    }

    /// Whether the given name ends in `.sealed`.
    pub(crate) fn given_is_sealed(&self) -> bool {
        self.given == self.sealed
    }

    /// The journal's name beside the file.
    pub(crate) fn journal(&self) -> OsString {
        append(&self.plain, JOURNAL_SUFFIX)
    }

    /// The path of one of the names.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        if self.directory == Path::new(".") { PathBuf::from(name) } else { self.directory.join(name) }
    }

    /// The name as given, with its directory.
    pub(crate) fn given_path(&self) -> PathBuf {
        self.path_of(&self.given)
    }

    /// Refuses names that the file system cannot hold.
    pub(crate) fn check_length(&self, name: &OsStr, limit_bytes: u32) -> Result<(), Refusal> {
        if name.len() > limit_bytes as usize {
            return Err(Refusal::NameTooLong { path: self.path_of(name), limit_bytes });
        }
        Ok(())
    }
}

/// The name without `.sealed`; `None` if it has no such suffix or nothing would be left.
pub(crate) fn strip_sealed(name: &OsStr) -> Option<OsString> {
    let bytes = name.as_bytes().strip_suffix(SEALED_SUFFIX.as_bytes())?;
    (!bytes.is_empty()).then(|| OsString::from_vec(bytes.to_vec()))
}

fn append(name: &OsStr, suffix: &str) -> OsString {
    let mut whole = name.to_os_string();
    whole.push(suffix);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_lead_to_the_same_journal() {
        let plain = Names::of(Path::new("/data/video.mkv")).unwrap();
        let sealed = Names::of(Path::new("/data/video.mkv.sealed")).unwrap();
        assert_eq!(plain.journal(), sealed.journal());
        assert_eq!(plain.journal(), OsString::from("video.mkv.pageseal-journal"));
        assert_eq!(plain.path_of(&plain.sealed), Path::new("/data/video.mkv.sealed"));
        assert!(sealed.given_is_sealed() && !plain.given_is_sealed());
    }

    #[test]
    fn a_bare_suffix_is_a_plain_name() {
        let names = Names::of(Path::new(".sealed")).unwrap();
        assert_eq!(names.plain, OsString::from(".sealed"));
        assert!(!names.given_is_sealed());
    }

    #[test]
    fn a_path_without_a_file_name_is_refused() {
        for path in ["/", "..", "a/..", "a/"] {
            assert!(Names::of(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn long_names_are_refused_with_the_limit() {
        let names = Names::of(Path::new("x")).unwrap();
        let long = OsString::from("n".repeat(256));
        assert!(matches!(names.check_length(&long, 255), Err(Refusal::NameTooLong { limit_bytes: 255, .. })));
        assert!(names.check_length(&OsString::from("n".repeat(255)), 255).is_ok());
    }
}
