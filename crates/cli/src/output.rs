//! What people read: results on standard output, errors and notes on standard error. A closed pipe is no
//! error and no panic: the work is done whether somebody reads about it or not.

use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::Path;

use serde::Serialize;

use pageseal::{JobKind, JobOutcome, JobPlan, JobReport, Suite, VerifyReport};

use crate::failure::Failure;
use crate::remedies::{Situation, remedy};
use crate::shell_quote::{is_unprintable, printable};
use crate::size::{format_rate, format_seconds, format_size};

/// Prints `text` and a newline on standard output.
pub fn print_result(text: &str) -> Result<(), Failure> {
    let mut text = text.to_owned();
    text.push('\n');
    write_stdout(text.as_bytes())
}

/// Prints a value as one line of JSON. What steers a terminal is escaped, also where JSON would let it through: names come
/// from others, and people look at such lines too.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Stdout { source: error.into() })?;
    print_result(&escape_json(&text))
}

/// Outside of its strings JSON has none of these characters, and in a string this is another spelling of them.
fn escape_json(text: &str) -> String {
    let mut units = [0; 2];
    text.chars()
        .map(|c| match is_unprintable(c) {
            true => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            false => c.to_string(),
        })
        .collect()
}

/// Writes bytes to standard output; a closed pipe counts as written.
pub fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|source| Failure::Stdout { source }),
    }
}

/// Prints what failed and what to do about it on standard error.
pub fn print_failure(failure: &Failure, situation: &Situation<'_>) {
    let what = printable(&located_message(failure, situation));
    let todo = remedy(failure, situation);
    ignore(writeln!(stderr().lock(), "pageseal: error: {what}\n  → {todo}"));
}

/// What happened and to which file: some errors, as those of keys, know nothing of files.
pub fn located_message(failure: &Failure, situation: &Situation<'_>) -> String {
    let message = failure.message();
    match situation.file.map(|file| file.display().to_string()) {
        Some(file) if !names(&message, &file) => format!("{file}: {message}"),
        _ => message,
    }
}

/// Whether `message` has `file` in it as a name, and not as a part of a word.
fn names(message: &str, file: &str) -> bool {
    let goes_on = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    message.match_indices(file).any(|(start, _)| {
        let (before, after) = (&message[..start], &message[start + file.len()..]);
        !goes_on(before.chars().next_back()) && !goes_on(after.chars().next())
    })
}

/// Prints something worth knowing on standard error.
pub fn print_note(text: &str) {
    ignore(writeln!(stderr().lock(), "pageseal: note: {}", printable(text)));
}

/// Prints a line on standard error.
pub fn print_aside(text: &str) {
    ignore(writeln!(stderr().lock(), "{text}"));
}

/// Nobody is left to tell if standard error fails.
fn ignore(result: io::Result<()>) {
    drop(result);
}

/// `sealed  video.mkv.sealed  5.0 GiB in 2.1 s (2.4 GiB/s), AEGIS-256X2, buffered, checksum`
pub fn job_line(report: &JobReport, in_place: bool) -> String {
    let mut line = format!(
        "{}  {}  {}, {}",
        outcome_name(report),
        report.path.as_deref().map_or_else(|| "-".into(), shown_path),
        converted_amount(report),
        suite_title(report.suite),
    );
    // What does nothing goes no way about it.
    if in_place && (report.converted_bytes > 0 || report.data_len_bytes == 0) {
        line.push_str(&format!(", {}, {}", report.io, report.resilience));
    }
    if report.windows_recovered > 0 {
        line.push_str(&format!(", {} windows recovered", report.windows_recovered));
    }
    line
}

/// `good  video.mkv.sealed  5.0 GiB in 2.1 s (2.4 GiB/s), AEGIS-256X2, 81920 chunks`
pub fn verify_line(path: &Path, report: &VerifyReport) -> String {
    let plural = if report.chunks == 1 { "" } else { "s" };
    format!(
        "good  {}  {}, {}, {} chunk{plural}",
        shown_path(path),
        amount(report.data_len_bytes, report.seconds),
        suite_title(report.suite),
        report.chunks,
    )
}

/// A path for a line that people read; scripts take `--json`.
pub fn shown_path(path: &Path) -> String {
    printable(&path.display().to_string())
}

fn outcome_name(report: &JobReport) -> &'static str {
    match (report.kind, report.outcome) {
        // A rolled back job: the file is what it was.
        (JobKind::Encrypt, JobOutcome::Plain) | (JobKind::Decrypt, JobOutcome::Sealed) => "restored",
        (_, JobOutcome::Sealed) => "sealed",
        (_, JobOutcome::Plain) => "opened",
        _ => "done",
    }
}

/// The suite as its specification spells it.
pub fn suite_title(suite: Suite) -> &'static str {
    match suite {
        Suite::Aegis256X2 => "AEGIS-256X2",
        Suite::Xaes256Gcm => "XAES-256-GCM",
        Suite::XChaCha20Poly1305 => "XChaCha20-Poly1305",
    }
}

/// Time and speed of what this run converted; an interrupted one may have done most or all of it.
fn converted_amount(report: &JobReport) -> String {
    let (all, now) = (report.data_len_bytes, report.converted_bytes);
    if now == all {
        return amount(all, report.seconds);
    }
    match now {
        0 => format!("{}, nothing was left to convert", format_size(all)),
        _ => format!("{}, the last {}", format_size(all), amount(now, report.seconds)),
    }
}

fn amount(bytes: u64, seconds: f64) -> String {
    let rate = format_rate(bytes, seconds).map_or_else(String::new, |rate| format!(" ({rate})"));
    format!("{} in {}{rate}", format_size(bytes), format_seconds(seconds))
}

/// How the bytes of a file are reached.
pub fn access_line(io: &str, reason: &str) -> String {
    format!("access       {io}: {reason}")
}

/// How a job goes about it, a line for each choice.
pub fn plan_lines(plan: &JobPlan) -> Vec<String> {
    let window = format_size(plan.window_len_bytes);
    let journal = format_size(plan.journal_len_bytes);
    vec![
        format!("store        {}: {}", plan.io, plan.io_reason),
        format!("resilience   {}: {}", plan.resilience, plan.resilience_reason),
        match plan.ring_slots {
            0 => format!("windows      {window} each, without records"),
            slots => {
                format!("windows      {window} each, at most {slots} recorded in a journal of {journal}")
            }
        },
        format!("trailer      {}", format_size(plan.trailer_len_bytes)),
    ]
}

#[cfg(test)]
mod tests {
    use pageseal::{KeyError, OpenError};

    use super::*;

    #[test]
    fn an_error_names_its_file() {
        let situation = Situation::of("verify").on(Path::new("a.sealed"));
        let named = |failure| located_message(&failure, &situation);
        assert_eq!(
            named(Failure::Key(KeyError::NoIdentities)),
            "a.sealed: no identity or passphrase was given"
        );
        // A short name is in many words.
        let situation_of_a = Situation::of("verify").on(Path::new("a"));
        let failure = Failure::Key(KeyError::NoIdentities);
        assert_eq!(located_message(&failure, &situation_of_a), "a: no identity or passphrase was given");
        let path = "a.sealed".into();
        assert_eq!(named(OpenError::NotSealed { path }.into()), "a.sealed is not a sealed file");
    }

    #[test]
    fn json_steers_no_terminal() {
        assert_eq!(escape_json(r#"{"a":"ü\n"}"#), r#"{"a":"ü\n"}"#);
        let text = serde_json::to_string("a\u{9b}31m\u{202e}\u{7f}\u{2028}b").unwrap();
        let escaped = escape_json(&text);
        assert_eq!(escaped, r#""a\u009b31m\u202e\u007f\u2028b""#);
        let back: String = serde_json::from_str(&escaped).unwrap();
        assert_eq!(back, "a\u{9b}31m\u{202e}\u{7f}\u{2028}b");
    }

    #[test]
    fn amounts_read_well() {
        assert_eq!(amount(5 << 30, 2.1), "5.0 GiB in 2.1 s (2.4 GiB/s)");
        assert_eq!(amount(0, 0.002), "0 B in 2 ms");
    }

    #[test]
    fn every_suite_is_spelt_like_its_name() {
        for suite in Suite::ALL {
            assert_eq!(suite_title(suite).to_lowercase(), suite.name());
        }
    }
}
