//! The same figures as tables, for those who want them exact or do not see charts.

use pageseal::bench::{CipherReport, IoReport, JobFigures};

use super::html::escape;
use super::series::long_name;
use crate::size::format_size;

/// A table with a caption; the first cell of a row names the row.
fn table(caption: &str, head: &[String], rows: &[Vec<String>]) -> String {
    let mut text = format!("<div class=\"scroll\"><table><caption>{}</caption><thead><tr>", escape(caption));
    for cell in head {
        text.push_str(&format!("<th scope=\"col\">{}</th>", escape(cell)));
    }
    text.push_str("</tr></thead><tbody>");
    for row in rows {
        text.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            let cell = if place == 0 {
                format!("<th scope=\"row\">{cell}</th>")
            } else {
                format!("<td>{cell}</td>")
            };
            text.push_str(&cell);
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>\n");
    text
}

/// Every work against threads.
pub fn ciphers(cipher: &CipherReport) -> String {
    let mut threads: Vec<usize> = cipher.rates.iter().map(|rate| rate.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let mut head = vec!["work".to_owned()];
    head.extend(threads.iter().map(|threads| format!("GB/s, threads: {threads}")));
    head.push("instructions".into());
    let first = cipher.rates.iter().filter(|rate| Some(&rate.threads) == threads.first());
    let rows: Vec<Vec<String>> = first
        .map(|named| {
            let mut row = vec![long_name(named.work)];
            let of_work = cipher.rates.iter().filter(|rate| rate.work == named.work);
            row.extend(of_work.map(|rate| format!("{:.2}", rate.gb_per_s)));
            row.push(named.instructions.into());
            row
        })
        .collect();
    table("Rates in memory", &head, &rows)
}

/// Every step of a job.
pub fn steps(job: &JobFigures) -> String {
    let head = ["step", "busy, seconds", "share of the job", "what it does"].map(str::to_owned);
    let row = |name: &str, what: &str, seconds: f64, share: f64| {
        vec![name.to_owned(), format!("{seconds:.3}"), format!("{:.0} %", share * 100.0), what.to_owned()]
    };
    let mut rows: Vec<Vec<String>> = job
        .steps
        .iter()
        .map(|figures| row(figures.step.name(), figures.step.purpose(), figures.busy_seconds, figures.share))
        .collect();
    let share = if job.seconds > 0.0 { job.windowless_seconds / job.seconds } else { 0.0 };
    let what = "journal, trailer and names, before and after the windows";
    rows.push(row("none", what, job.windowless_seconds, share));
    let caption = "Steps of the job; they overlap, so shares can add up to more than 100 %";
    format!("<div class=\"words-last\">{}</div>\n", table(caption, &head, &rows))
}

/// Every case.
pub fn accesses(io: &IoReport) -> String {
    let head = [
        "access",
        "order",
        "cache",
        "size",
        "threads",
        "GB/s",
        "GB/s with fdatasync",
        "minor faults",
        "major faults",
        "faults per MiB",
        "TLB misses per MiB",
    ]
    .map(str::to_owned);
    let rows: Vec<Vec<String>> = io
        .rates
        .iter()
        .map(|rate| {
            let case = rate.case;
            let or_dash = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
            };
            let size = format_size(case.size_bytes);
            let size = if rate.bytes < case.size_bytes {
                format!("{size} (stopped after {})", format_size(rate.bytes))
            } else {
                size
            };
            vec![
                case.method.name().to_owned(),
                case.pattern.to_string(),
                case.cache.name().to_owned(),
                size,
                case.threads.to_string(),
                format!("{:.2}", rate.gb_per_s),
                or_dash(rate.durable_gb_per_s, 2),
                rate.minor_faults.to_string(),
                rate.major_faults.to_string(),
                format!("{:.1}", rate.faults_per_mib),
                or_dash(rate.tlb_misses_per_mib, 1),
            ]
        })
        .collect();
    table("Every access that was measured", &head, &rows)
}
