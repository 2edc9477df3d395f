//! From the figures to what a chart shows: named lines and bars.

use pageseal::Step;
use pageseal::bench::{CipherReport, CipherWork, IoReport, JobFigures, Method, Pattern};

use crate::output::suite_title;
use crate::size::format_size;

/// A line of a chart: its name, which of the colours it has everywhere, and its points.
pub struct Line {
    pub name: &'static str,
    pub colour: usize,
    pub points: Vec<(f64, f64)>,
}

/// A bar for each number of threads.
pub struct Bars {
    pub name: String,
    pub rates: Vec<f64>,
}

/// Rate against size, cached (or past the cache), with all threads. Sizes are powers of two in MiB.
pub fn rate_against_size(io: &IoReport, pattern: Pattern) -> Vec<Line> {
    lines_of_methods(|method| {
        io.rates
            .iter()
            .filter(|rate| rate.case.method == method && rate.case.pattern == pattern)
            .filter(|rate| rate.case.threads == io.threads)
            .filter(|rate| rate.case.cache != pageseal::bench::CacheState::Cold)
            .map(|rate| (mib(rate.case.size_bytes).log2(), rate.gb_per_s))
            .collect()
    })
}

/// Rate against threads, in sequence, of the largest size.
pub fn io_against_threads(io: &IoReport) -> Vec<Line> {
    lines_of_methods(|method| {
        io.rates
            .iter()
            .filter(|rate| rate.case.method == method && rate.case.pattern == Pattern::Sequential)
            .filter(|rate| rate.case.size_bytes == io.size_bytes)
            .filter(|rate| rate.case.cache != pageseal::bench::CacheState::Cold)
            .map(|rate| (rate.case.threads as f64, rate.gb_per_s))
            .collect()
    })
}

fn lines_of_methods(points: impl Fn(Method) -> Vec<(f64, f64)>) -> Vec<Line> {
    let lines = Method::ALL.into_iter().enumerate();
    let lines = lines.map(|(colour, method)| Line { name: method.name(), colour, points: points(method) });
    lines.filter(|line| !line.points.is_empty()).collect()
}

/// Sealing, and the references, against threads.
pub fn ciphers_against_threads(cipher: &CipherReport) -> Vec<Line> {
    let mut works: Vec<CipherWork> = Vec::new();
    for rate in &cipher.rates {
        if !matches!(rate.work, CipherWork::Open(_)) && !works.contains(&rate.work) {
            works.push(rate.work);
        }
    }
    let line = |(colour, work): (usize, CipherWork)| Line {
        name: short_name(work),
        colour,
        points: cipher
            .rates
            .iter()
            .filter(|rate| rate.work == work)
            .map(|rate| (rate.threads as f64, rate.gb_per_s))
            .collect(),
    };
    works.into_iter().enumerate().map(line).collect()
}

/// Every work with one thread and with all.
pub fn cipher_bars(cipher: &CipherReport) -> (Vec<usize>, Vec<Bars>) {
    let mut threads = vec![1, cipher.threads];
    threads.dedup();
    let mut bars: Vec<Bars> = Vec::new();
    for rate in cipher.rates.iter().filter(|rate| threads.contains(&rate.threads)) {
        let name = long_name(rate.work);
        match bars.iter_mut().find(|bars| bars.name == name) {
            Some(bars) => bars.rates.push(rate.gb_per_s),
            None => bars.push(Bars { name, rates: vec![rate.gb_per_s] }),
        }
    }
    (threads, bars)
}

/// A lane of the time line: a step, and from when to when it worked on each window, in seconds.
pub struct Lane {
    pub name: &'static str,
    pub colour: usize,
    pub legend: String,
    pub bars: Vec<(f64, f64)>,
}

/// More would be thinner than a dot.
const MOST_WINDOWS_DRAWN: usize = 200;

/// A lane for each step that windows went through, in this order; of a long job only its beginning.
pub fn lanes(job: &JobFigures) -> Vec<Lane> {
    let lane = |(colour, step): (usize, Step)| {
        let spans = job.spans.iter().filter(|span| span.step == step);
        let bars = spans.map(|span| (span.from_seconds, span.to_seconds));
        let share = job.steps.iter().find(|figures| figures.step == step).map_or(0.0, |found| found.share);
        Lane {
            name: step.name(),
            colour,
            legend: format!("{}: busy {:.0} %", step.name(), share * 100.0),
            bars: bars.take(MOST_WINDOWS_DRAWN).collect(),
        }
    };
    Step::ALL.into_iter().enumerate().map(lane).filter(|lane| !lane.bars.is_empty()).collect()
}

/// What the time line shows, and how much of the job.
pub fn time_line_caption(window_bytes: u64, windows: usize) -> String {
    let what = format!("Time line of a job's stages, a bar for each window of {}", format_size(window_bytes));
    if windows > MOST_WINDOWS_DRAWN {
        format!("{what}; the first {MOST_WINDOWS_DRAWN} of {windows} windows")
    } else {
        what
    }
}

/// As tables and bars name it.
pub fn long_name(work: CipherWork) -> String {
    match work {
        CipherWork::Seal(suite) => format!("{}, seal", suite_title(suite)),
        CipherWork::Open(suite) => format!("{}, open", suite_title(suite)),
        other => other.to_string(),
    }
}

fn short_name(work: CipherWork) -> &'static str {
    match work {
        CipherWork::Seal(suite) | CipherWork::Open(suite) => suite_title(suite),
        CipherWork::Fingerprint => "fingerprints",
        CipherWork::Xor => "XOR",
        CipherWork::Copy => "memcpy",
        _ => "other",
    }
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1_u64 << 20) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caption_says_what_is_left_out() {
        let whole = time_line_caption(8 << 20, 200);
        assert_eq!(whole, "Time line of a job's stages, a bar for each window of 8.0 MiB");
        assert_eq!(time_line_caption(8 << 20, 201), whole + "; the first 200 of 201 windows");
    }
}
