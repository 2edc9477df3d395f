//! The figures as people read them on a terminal.

use std::fmt;
use std::path::Path;

use super::figures::{BenchReport, CipherReport, IoRate, IoReport, JobFigures, TlbCounting};
use super::machine::Machine;

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.machine)?;
        if let Some(cipher) = &self.cipher {
            write!(f, "\n\n{cipher}")?;
        }
        if let Some(io) = &self.io {
            write!(f, "\n\n{io}")?;
        }
        if let Some(job) = &self.job {
            write!(f, "\n\n{job}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = if self.cpu_model.is_empty() { "processor of unknown model" } else { &self.cpu_model };
        write!(
            f,
            "{model}, {} cores, {}, {} of memory, {}\nfeatures: {}",
            self.cores,
            self.architecture,
            size(self.memory_bytes),
            self.kernel,
            if self.cpu_features.is_empty() {
                "none that ciphers use".into()
            } else {
                self.cpu_features.join(", ")
            }
        )
    }
}

impl fmt::Display for CipherReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Ciphers in memory, GB/s (10^9 bytes a second); chunks of {}, {} a thread\n{:<26}",
            size(self.chunk_bytes as u64),
            size(self.stream_bytes as u64),
            "threads"
        )?;
        let steps: Vec<usize> = distinct(self.rates.iter().map(|rate| rate.threads));
        for threads in &steps {
            write!(f, "{threads:>8}")?;
        }
        write!(f, "  instructions")?;
        for work in distinct(self.rates.iter().map(|rate| rate.work)) {
            let of_work: Vec<_> = self.rates.iter().filter(|rate| rate.work == work).collect();
            write!(f, "\n{work:<26}")?;
            for rate in &of_work {
                write!(f, "{:>8.2}", rate.gb_per_s)?;
            }
            write!(f, "  {}", of_work[0].instructions)?;
        }
        Ok(())
    }
}

impl fmt::Display for IoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.read_only {
            format!("Reading {}", self.path.display())
        } else {
            format!("Every byte of a temporary file in {} XORed in place", place(&self.path))
        };
        writeln!(
            f,
            "{what}; {}, up to {}, threads: {}",
            self.file_system,
            size(self.size_bytes),
            self.threads
        )?;
        write!(
            f,
            "{:<20} {:<14} {:<14} {:>9} {:>7} {:>7} {:>8} {:>10} {:>8} {:>9} {:>9}",
            "method",
            "order",
            "cache",
            "size",
            "threads",
            "GB/s",
            "durable",
            "minor",
            "major",
            "flt/MiB",
            "TLB/MiB"
        )?;
        for rate in &self.rates {
            write!(f, "\n{}", Row(rate))?;
        }
        write!(
            f,
            "\nGB/s count each byte once; durable: with an fdatasync behind it; flt: page faults of the process"
        )?;
        match &self.tlb {
            TlbCounting::Counted(scope) => write!(f, "; TLB: misses of {scope}")?,
            TlbCounting::NotReadable(reason) => write!(f, "; TLB misses: not readable here ({reason})")?,
        }
        for skipped in &self.skipped {
            write!(f, "\nskipped: {}: {}", skipped.what, skipped.reason)?;
        }
        write!(f, "\n\nFor this disk:")?;
        if self.advice.is_empty() {
            write!(f, "\n  too little was measured to say anything")?;
        }
        for sentence in &self.advice {
            write!(f, "\n  {sentence}")?;
        }
        Ok(())
    }
}

impl fmt::Display for JobFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "A whole job: a temporary file in {} encrypted in place, crash-safe; {}, {}, threads: {}",
            place(&self.path),
            self.file_system,
            size(self.size_bytes),
            self.threads
        )?;
        writeln!(
            f,
            "{:.2} GB/s ({:.2} s); {}, store {}, resilience {}, windows: {} of {}",
            self.gb_per_s,
            self.seconds,
            self.suite,
            self.store,
            self.resilience,
            self.windows,
            size(self.window_bytes)
        )?;
        write!(f, "{:<12} {:>8} {:>7}", "step", "busy s", "share")?;
        let mut row = |name: &str, seconds: f64, share: f64, what: &str| {
            write!(f, "\n{name:<12} {seconds:>8.3} {:>5.0} %  {what}", share * 100.0)
        };
        for figures in &self.steps {
            let what = figures.step.purpose();
            row(figures.step.name(), figures.busy_seconds, figures.share, what)?;
        }
        let share = if self.seconds > 0.0 { self.windowless_seconds / self.seconds } else { 0.0 };
        row(
            "(none)",
            self.windowless_seconds,
            share,
            "journal, trailer and names, before and after the windows",
        )?;
        write!(
            f,
            "\nDifferent windows are in different steps at the same time, so shares can add up to more than 100 %."
        )?;
        write!(f, "\n  {}", self.bound)
    }
}

/// A folder as a sentence names it.
fn place(path: &Path) -> String {
    if path == Path::new(".") { "the current folder".into() } else { path.display().to_string() }
}

struct Row<'a>(&'a IoRate);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0;
        let case = rate.case;
        let or_dash = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2}"));
        let cut = if rate.bytes < case.size_bytes { "*" } else { "" };
        write!(
            f,
            "{:<20} {:<14} {:<14} {:>9} {:>7} {:>7.2} {:>8} {:>10} {:>8} {:>9.1} {:>9}{cut}",
            case.method.name(),
            case.pattern,
            case.cache.name(),
            size(case.size_bytes),
            case.threads,
            rate.gb_per_s,
            or_dash(rate.durable_gb_per_s),
            rate.minor_faults,
            rate.major_faults,
            rate.faults_per_mib,
            or_dash(rate.tlb_misses_per_mib),
        )
    }
}

/// Each once, in the order in which it comes first.
fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// Bytes in the largest unit that leaves at least one of it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let power = (bytes.ilog2() as usize / 10).min(UNITS.len());
    format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * power)) as f64, UNITS[power - 1])
}
