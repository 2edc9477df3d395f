//! `pageseal bench`

use std::path::Path;

use pageseal::bench::{
    self, BenchReport, CipherOptions, CipherReport, IoOptions, IoReport, JobFigures, JobOptions,
};

use crate::arguments::{BenchArguments, BenchCommand, BenchOutputArguments};
use crate::bench_page;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print_aside, print_json, print_result, shown_path};
use crate::shell_quote::printable;

/// Measures what was asked for and shows the figures.
pub fn run(arguments: &BenchArguments, quiet: bool) -> Result<Exit, Failure> {
    let (output, wants_cipher, wants_io) = match &arguments.command {
        None => (&arguments.output, true, Some((None, arguments.size))),
        Some(BenchCommand::Cipher(cipher)) => (&cipher.output, true, None),
        Some(BenchCommand::Io(io)) => (&io.output, false, Some((io.path.as_deref(), io.size))),
    };
    if let Some(path) = &output.report {
        bench_page::refuse_existing(path)?;
    }
    // The file comes first: if it cannot be measured, nobody waits for the ciphers in vain.
    let io = match wants_io {
        Some((path, size_bytes)) => Some(measure_io(path, size_bytes, output.threads, quiet)?),
        None => None,
    };
    let job = match (&io, wants_io) {
        // A file that was named is only read.
        (Some(io), Some((path, size_bytes))) if !io.read_only => {
            Some(measure_job(path, size_bytes, output.threads, quiet)?)
        }
        _ => None,
    };
    let cipher = if wants_cipher { Some(measure_cipher(output.threads, quiet)?) } else { None };
    show(&BenchReport::new(cipher, io, job), output, quiet)
}

fn measure_cipher(threads: Option<usize>, quiet: bool) -> Result<CipherReport, Failure> {
    if !quiet {
        print_aside("pageseal: measuring the ciphers in memory ...");
    }
    let mut options = CipherOptions::default();
    options.threads = threads;
    Ok(bench::cipher(&options)?)
}

fn measure_io(
    path: Option<&Path>,
    size_bytes: u64,
    threads: Option<usize>,
    quiet: bool,
) -> Result<IoReport, Failure> {
    // Somebody may cut a file that is only read under its mapping.
    pageseal::process::install_sigbus_handler().map_err(|source| Failure::Signals { source })?;
    let mut options = IoOptions::default();
    options.path = path.map(Path::to_path_buf);
    options.size_bytes = size_bytes;
    options.threads = threads;
    if !quiet {
        let place = path.map_or_else(|| "the current folder".into(), shown_path);
        print_aside(&format!("pageseal: measuring accesses to a file: {place} ..."));
    }
    Ok(bench::io(&options)?)
}

fn measure_job(
    path: Option<&Path>,
    size_bytes: u64,
    threads: Option<usize>,
    quiet: bool,
) -> Result<JobFigures, Failure> {
    let mut options = JobOptions::default();
    options.path = path.map(Path::to_path_buf);
    options.size_bytes = size_bytes;
    options.threads = threads;
    if !quiet {
        print_aside("pageseal: measuring a whole job on a temporary file there ...");
    }
    Ok(bench::job(&options)?)
}

fn show(report: &BenchReport, output: &BenchOutputArguments, quiet: bool) -> Result<Exit, Failure> {
    if let Some(path) = &output.report {
        bench_page::write(report, path)?;
    }
    if output.json {
        print_json(report)?;
    } else if !quiet {
        // The path in it is the user's own, but may come from a script.
        let text = report.to_string();
        let lines: Vec<String> = text.lines().map(printable).collect();
        print_result(&lines.join("\n"))?;
        if let Some(path) = &output.report {
            print_result(&format!("\nreport: {}", shown_path(path)))?;
        }
    }
    Ok(Exit::Done)
}
