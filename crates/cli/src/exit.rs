//! Exit codes: a contract that scripts rely on.

use std::process::ExitCode;

use pageseal::ErrorClass;

/// How the command ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed or refused; nothing is left to resume.
    Failed,
    /// 2: wrong usage.
    Usage,
    /// 3: no key fits.
    NoKey,
    /// 4: damaged or tampered with.
    Damaged,
    /// 5: interrupted; can be resumed.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NoKey => 3,
            Exit::Damaged => 4,
            Exit::Interrupted => 5,
        }
    }

    /// The graver of two ends: of several files 4 > 3 > 5 > 1 > 2 > 0.
    pub fn worst(self, other: Exit) -> Exit {
        if other.gravity() > self.gravity() { other } else { self }
    }

    fn gravity(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Usage => 1,
            Exit::Failed => 2,
            Exit::Interrupted => 3,
            Exit::NoKey => 4,
            Exit::Damaged => 5,
        }
    }
}

impl From<ErrorClass> for Exit {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Usage => Exit::Usage,
            ErrorClass::NoKey => Exit::NoKey,
            ErrorClass::Damaged => Exit::Damaged,
            ErrorClass::Interrupted => Exit::Interrupted,
            // Also what a class of a later library means to a script of today.
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_files_the_gravest_end_counts() {
        let by_gravity = [4, 3, 5, 1, 2, 0];
        let ends = [Exit::Damaged, Exit::NoKey, Exit::Interrupted, Exit::Failed, Exit::Usage, Exit::Done];
        assert_eq!(ends.map(Exit::code), by_gravity);
        for (rank, graver) in ends.iter().enumerate() {
            for lesser in &ends[rank..] {
                assert_eq!(graver.worst(*lesser), *graver);
                assert_eq!(lesser.worst(*graver), *graver);
            }
        }
    }

    #[test]
    fn every_class_has_its_code() {
        let classes = [
            (ErrorClass::Refused, 1),
            (ErrorClass::Usage, 2),
            (ErrorClass::NoKey, 3),
            (ErrorClass::Damaged, 4),
            (ErrorClass::Interrupted, 5),
        ];
        for (class, code) in classes {
            assert_eq!(Exit::from(class).code(), code);
        }
    }
}
