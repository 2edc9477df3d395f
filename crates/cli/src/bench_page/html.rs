//! The page around charts and tables.

use pageseal::bench::{BenchReport, CipherReport, IoReport, JobFigures, Machine, Pattern, TlbCounting};

use super::charts::{self, Axes, COLOURS, ChartError};
use super::series::{self, Line};
use super::tables;
use super::time_line;
use crate::output::suite_title;
use crate::size::format_size;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn page(report: &BenchReport) -> Result<String, ChartError> {
    let mut body = String::from("<h1>pageseal bench</h1>\n");
    body.push_str(&machine(report));
    if let Some(io) = &report.io {
        body.push_str(&accesses(io)?);
    }
    if let Some(job) = &report.job {
        body.push_str(&whole_job(job)?);
    }
    if let Some(cipher) = &report.cipher {
        body.push_str(&ciphers(cipher)?);
    }
    if let Some(io) = &report.io {
        body.push_str("<h2>All figures of the file</h2>\n");
        body.push_str(&tables::accesses(io));
    }
    // The policy makes the browser itself see to it that nothing is loaded and no script runs.
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>pageseal bench: how fast this machine is</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    ))
}

fn machine(report: &BenchReport) -> String {
    let Machine { cpu_model, cores, architecture, cpu_features, memory_bytes, kernel, .. } = &report.machine;
    let model = if cpu_model.is_empty() { "unknown" } else { cpu_model };
    let mut rows = vec![
        ("Processor", format!("{model}, {architecture}")),
        ("Cores", cores.to_string()),
        ("Features for ciphers", cpu_features.join(", ")),
        ("Memory", format_size(*memory_bytes)),
        ("Kernel", kernel.clone()),
    ];
    if let Some(io) = &report.io {
        let place = io.path.to_string_lossy();
        rows.push(("File system", io.file_system.to_owned()));
        let place = match (io.read_only, &*place) {
            (true, _) => format!("{place}, only read"),
            (false, ".") => "temporary, in the current folder".into(),
            (false, _) => format!("temporary, in {place}"),
        };
        rows.push(("File", format!("{place}; sizes up to {}", format_size(io.size_bytes))));
    }
    let rows: Vec<String> =
        rows.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value))).collect();
    format!("<dl>{}</dl>\n", rows.join("\n"))
}

fn accesses(io: &IoReport) -> Result<String, ChartError> {
    let mut text = String::from("<h2>Which way to the file</h2>\n");
    if let Some((answer, details)) = split_advice(&io.advice) {
        text.push_str(&format!("{}{}", list(answer), list(details)));
    }
    text.push_str("<div class=\"charts\">\n");
    for pattern in Pattern::ALL {
        let title = format!("Rate against size, {pattern}, in the page cache (direct: past it)");
        let axes = Axes {
            title: &title,
            below: "size of the file",
            label: &|power| format_size((power.exp2() * (1_u64 << 20) as f64).round() as u64),
            labels: 6,
        };
        text.push_str(&figure(&series::rate_against_size(io, pattern), &axes)?);
    }
    if io.threads > 1 {
        let title = format!("Rate against threads, sequential, {}", format_size(io.size_bytes));
        text.push_str(&figure(&series::io_against_threads(io), &threads_axes(&title, io.threads))?);
    }
    text.push_str("</div>\n<p>GB/s: 10<sup>9</sup> bytes a second, ");
    text.push_str(if io.read_only {
        "each byte read once. "
    } else {
        "each byte counted once, though it is read and stored. "
    });
    let tlb = match &io.tlb {
        TlbCounting::Counted(scope) => format!("TLB misses are those of {scope}."),
        TlbCounting::NotReadable(reason) => format!("TLB misses: not readable here ({reason})."),
    };
    text.push_str(&format!("{}</p>\n", escape(&tlb)));
    if !io.skipped.is_empty() {
        let skipped: Vec<String> = io
            .skipped
            .iter()
            .map(|skipped| format!("Skipped: {}: {}", skipped.what, skipped.reason))
            .collect();
        text.push_str(&list(&skipped));
    }
    Ok(text)
}

fn whole_job(job: &JobFigures) -> Result<String, ChartError> {
    let mut text = String::from("<h2>A whole job</h2>\n");
    let summary = format!(
        "A temporary file of {} encrypted in place, crash-safe: {:.2} GB/s ({:.2} s) with {}, store {}, resilience {}, threads: {}.",
        format_size(job.size_bytes),
        job.gb_per_s,
        job.seconds,
        suite_title(job.suite),
        job.store,
        job.resilience,
        job.threads
    );
    text.push_str(&format!("<p>{}</p>\n{}", escape(&summary), list(std::slice::from_ref(&job.bound))));
    let lanes = series::lanes(job);
    if !lanes.is_empty() {
        let caption = series::time_line_caption(job.window_bytes, job.windows);
        let items: Vec<(usize, char, String)> =
            lanes.iter().map(|lane| (lane.colour, '■', lane.legend.clone())).collect();
        // On a narrow screen it is moved under the window rather than made too small to read.
        let svg = format!("<div class=\"scroll wide\">{}</div>\n", time_line::draw(&lanes, &caption)?);
        text.push_str(&figure_of(&caption, &svg, &items));
    }
    text.push_str(&tables::steps(job));
    Ok(text)
}

/// The sentences that answer, and those that give figures.
fn split_advice(advice: &[String]) -> Option<(&[String], &[String])> {
    let answers = advice.iter().take_while(|sentence| sentence.contains(" for: ")).count();
    advice.split_at_checked(answers)
}

fn ciphers(cipher: &CipherReport) -> Result<String, ChartError> {
    let mut text = String::from("<h2>Ciphers in memory</h2>\n<div class=\"charts\">\n");
    let (threads, bars) = series::cipher_bars(cipher);
    let title = "Rates of the suites beside fingerprints, XOR and memcpy";
    let items: Vec<(usize, char, String)> = threads
        .iter()
        .enumerate()
        .map(|(colour, threads)| (colour, '■', format!("threads: {threads}")))
        .collect();
    text.push_str(&figure_of(title, &charts::bars(&bars, title)?, &items));
    if cipher.threads > 1 {
        let lines = series::ciphers_against_threads(cipher);
        text.push_str(&figure(&lines, &threads_axes("Rate against threads, sealing", cipher.threads))?);
    }
    text.push_str("</div>\n");
    text.push_str(&tables::ciphers(cipher));
    Ok(text)
}

fn threads_axes(title: &str, threads: usize) -> Axes<'_> {
    // Halves of threads would be labelled twice.
    Axes { title, below: "threads", label: &whole, labels: threads.clamp(2, 9) }
}

fn whole(value: &f64) -> String {
    if (value - value.round()).abs() < 1e-6 { format!("{value:.0}") } else { String::new() }
}

fn figure(lines: &[Line], axes: &Axes<'_>) -> Result<String, ChartError> {
    if lines.is_empty() {
        return Ok(String::new());
    }
    let items: Vec<(usize, char, String)> =
        lines.iter().map(|line| (line.colour, charts::mark(line.colour), line.name.to_owned())).collect();
    Ok(figure_of(axes.title, &charts::lines(lines, axes)?, &items))
}

fn figure_of(title: &str, svg: &str, items: &[(usize, char, String)]) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|(colour, mark, name)| {
            let colour = COLOURS[colour % COLOURS.len()];
            format!(
                "<li><span aria-hidden=\"true\" style=\"color:#{:02x}{:02x}{:02x}\">{mark}</span> {}</li>",
                colour.0,
                colour.1,
                colour.2,
                escape(name)
            )
        })
        .collect();
    format!(
        "<figure><figcaption>{}</figcaption>\n{svg}<ul class=\"legend\">{}</ul></figure>\n",
        escape(title),
        items.concat()
    )
}

fn list(sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let items: Vec<String> =
        sentences.iter().map(|sentence| format!("<li>{}</li>", escape(sentence))).collect();
    format!("<ul>{}</ul>\n", items.concat())
}

/// Text as HTML takes it, in attributes too. Bytes that are no text were replaced before.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(escape("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
    }
}
