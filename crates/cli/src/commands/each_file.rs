//! Files one after another: progress, result line or JSON object, errors, and the exit code of them all.

use std::path::{Path, PathBuf};

use pageseal::{Control, Info, JobPlan, JobReport, Notice, VerifyReport};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::{FileObject, ResultObject};
use crate::output::{
    job_line, print_aside, print_failure, print_json, print_note, print_result, shown_path, verify_line,
};
use crate::progress::Display;
use crate::remedies::Situation;

use super::info::info_text;
use super::session::Session;

/// What the work on a file can end with.
pub trait Report {
    /// Whether it is made for what it prints, so that without this nothing was done.
    const IS_ITS_TEXT: bool = false;
    /// For people.
    fn text(&self, file: &Path) -> String;
    /// For scripts.
    fn object(&self) -> ResultObject;
    /// The exit code.
    fn exit(&self) -> Exit {
        Exit::Done
    }
}

/// A finished job.
pub struct JobDone {
    /// The library's report.
    pub report: JobReport,
    /// Whether the file itself was converted.
    pub in_place: bool,
}

impl Report for JobDone {
    fn text(&self, _file: &Path) -> String {
        job_line(&self.report, self.in_place)
    }
    fn object(&self) -> ResultObject {
        (&self.report).into()
    }
    fn exit(&self) -> Exit {
        // The content is as asked for, the name is not; a note says why.
        if self.report.name_kept { Exit::Failed } else { Exit::Done }
    }
}

impl Report for VerifyReport {
    fn text(&self, file: &Path) -> String {
        verify_line(file, self)
    }
    fn object(&self) -> ResultObject {
        self.into()
    }
}

/// What a file is, and how it would be sealed if that was asked.
pub struct InfoAndPlan {
    /// What it is.
    pub info: Info,
    /// How it would be sealed.
    pub plan: Option<JobPlan>,
    /// `--journal`
    pub journal: Option<PathBuf>,
}

impl Report for InfoAndPlan {
    const IS_ITS_TEXT: bool = true;

    fn text(&self, file: &Path) -> String {
        info_text(file, &self.info, self.plan.as_ref(), self.journal.as_deref())
    }
    fn object(&self) -> ResultObject {
        ResultObject::of_info(&self.info, self.plan.clone())
    }
    fn exit(&self) -> Exit {
        match self.info.status {
            pageseal::FileStatus::Damaged(_) => Exit::Damaged,
            _ => Exit::Done,
        }
    }
}

/// How the files of one command are worked on and reported.
pub struct EachFile<'a> {
    /// The run.
    pub session: &'a Session,
    /// For the remedies.
    pub situation: Situation<'a>,
    /// One object a file instead of lines.
    pub json: bool,
    /// Standard output carries data, so lines go to standard error.
    pub stdout_is_data: bool,
}

impl EachFile<'_> {
    /// Works on all files, even if some fail, until somebody asks to stop.
    pub fn run<R: Report>(
        &self,
        files: &[PathBuf],
        mut work: impl FnMut(&Path, &Control<'_>) -> Result<R, Failure>,
    ) -> Exit {
        let mut exit = Exit::Done;
        for (index, file) in files.iter().enumerate() {
            // Also for the first file the library decides: a job may be about to end anyway.
            let result = if index > 0 && self.session.cancellation.is_cancelled() {
                let path = file.clone();
                (Err(Failure::NotBegun { path }), Vec::new())
            } else {
                self.run_one(file, &mut work)
            };
            exit = exit.worst(self.report(file, &result.0, &result.1));
        }
        exit
    }

    fn run_one<R>(
        &self,
        file: &Path,
        work: &mut impl FnMut(&Path, &Control<'_>) -> Result<R, Failure>,
    ) -> (Result<R, Failure>, Vec<Notice>) {
        let display = Display::new(self.session.quiet, self.session.verbose);
        let control = Control { progress: &display, cancellation: self.session.cancellation.clone() };
        let result = work(file, &control).map_err(|failure| self.session.cancelled_or(failure));
        (result, display.finish())
    }

    fn report<R: Report>(&self, file: &Path, result: &Result<R, Failure>, notices: &[Notice]) -> Exit {
        let situation = self.situation.on(file);
        let exit = match result {
            Ok(report) => report.exit(),
            Err(failure) => {
                if !failure.is_of_reader() {
                    print_failure(failure, &situation);
                }
                failure.exit()
            }
        };
        match self.print(file, result, notices, &situation) {
            Ok(()) => exit,
            // What was asked for is done, and how it ended is the exit code.
            Err(failure) if result.is_ok() && !R::IS_ITS_TEXT => {
                print_note(&format!("{} is done all the same: {}", shown_path(file), failure.message()));
                exit
            }
            Err(failure) => {
                print_failure(&failure, &situation);
                exit.worst(failure.exit())
            }
        }
    }

    fn print<R: Report>(
        &self,
        file: &Path,
        result: &Result<R, Failure>,
        notices: &[Notice],
        situation: &Situation<'_>,
    ) -> Result<(), Failure> {
        if self.json {
            let part = result.as_ref().map(Report::object);
            let mut object = FileObject::new(file, situation, part, notices);
            if let Ok(report) = result {
                object = object.with_exit_code(report.exit().code());
            }
            return print_json(&object);
        }
        match result {
            Ok(report) if !self.session.quiet => {
                let text = report.text(file);
                if self.stdout_is_data {
                    print_aside(&text);
                    Ok(())
                } else {
                    print_result(&text)
                }
            }
            _ => Ok(()),
        }
    }
}
