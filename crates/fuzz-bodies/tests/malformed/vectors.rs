//! One vector, and how a list of them is written: as differences from the files of `docs/vectors/example`, since most of a file
//! is zeros or as it was.

use serde_json::{Value, json};

/// Runs of changed bytes that are closer than this become one.
const GAP: usize = 8;

/// A malformed file, or a file with a malformed journal.
pub struct Vector {
    pub name: String,
    pub file: Vec<u8>,
    pub journal: Option<Vec<u8>>,
    /// Class and name of the error, and the beginning of what it says: `Damaged Chunk { chunk: 0`. `Accepted` if there is none.
    pub expected: String,
    /// What the journal alone is refused with; only with a journal.
    pub journal_error: Option<String>,
}

impl Vector {
    pub fn sealed(name: impl Into<String>, file: Vec<u8>, expected: impl Into<String>) -> Self {
        let (name, expected) = (name.into(), expected.into());
        Vector { name, file, journal: None, expected, journal_error: None }
    }
}

pub fn manifest(vectors: &[Vector]) -> String {
    let lines: Vec<String> = vectors.iter().map(|vector| line(vector).to_string()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn line(vector: &Vector) -> Value {
    let (base, name) = match &vector.journal {
        None => (super::example::sealed(), "sealed.bin"),
        Some(_) => (super::example::interrupted(), "interrupted.bin"),
    };
    let mut line = json!({
        "name": vector.name,
        "expected": vector.expected,
        "file": difference(&base, name, &vector.file),
    });
    if let Some(journal) = &vector.journal {
        line["journal"] = difference(&super::example::journal(), "interrupted.journal", journal);
    }
    if let Some(error) = &vector.journal_error {
        line["journal_error"] = json!(error);
    }
    line
}

/// The base cut or filled up with zeros to `len`, then the edits.
fn difference(base: &[u8], base_name: &str, bytes: &[u8]) -> Value {
    let mut old = base.to_vec();
    old.resize(bytes.len(), 0);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for at in (0..bytes.len()).filter(|at| bytes[*at] != old[*at]) {
        match runs.last_mut() {
            Some((_, end)) if at < *end + GAP => *end = at + 1,
            _ => runs.push((at, at + 1)),
        }
    }
    let hex = |range: &[u8]| range.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let edits: Vec<Value> =
        runs.iter().map(|(start, end)| json!([start, hex(&bytes[*start..*end])])).collect();
    json!({"base": base_name, "len": bytes.len(), "edits": edits})
}
