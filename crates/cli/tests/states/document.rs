//! The tables of `docs/DESIGN.md`, section 6, as the document has them.

use std::collections::BTreeMap;

const DESIGN: &str = include_str!("../../../../docs/DESIGN.md");

/// The exit code of a command, and a word for what it says or does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub exit: i32,
    /// Both, as the document writes them.
    pub text: String,
}

/// All that section 6 says in tables.
pub struct Document {
    /// By state and command.
    pub cells: BTreeMap<String, BTreeMap<String, Cell>>,
    /// What stands in a message, by the cell for it.
    pub messages: BTreeMap<String, String>,
}

impl Document {
    /// Tables whose first column is `state` say how commands end, the one of what is said, what the
    /// cells mean.
    pub fn read() -> Self {
        let start = DESIGN.find("\n## 6. ").expect("section 6");
        let section = &DESIGN[start + 1..];
        let section = &section[..section.find("\n## ").expect("section 7")];
        let mut document = Document { cells: BTreeMap::new(), messages: BTreeMap::new() };
        let mut header: Option<Vec<String>> = None;
        for line in section.lines() {
            let Some(row) = row_of(line) else {
                header = None;
                continue;
            };
            match &header {
                None => header = Some(row),
                Some(_) if row[0].starts_with("---") => {}
                Some(header) => document.take(header, &row, line),
            }
        }
        document
    }

    fn take(&mut self, header: &[String], row: &[String], line: &str) {
        assert_eq!(header.len(), row.len(), "{line}");
        match header[0].as_str() {
            "state" => {
                assert!(line.chars().count() <= 100, "{line}");
                let commands = self.cells.entry(row[0].clone()).or_default();
                for (command, cell) in header[1..].iter().zip(&row[1..]) {
                    let twice = commands.insert(command.trim_matches('`').to_owned(), cell_of(cell, line));
                    assert_eq!(twice, None, "{command}, {line}");
                }
            }
            "cell" if header[1] == "what is said" => {
                let twice = self.messages.insert(row[0].clone(), row[1].clone());
                assert_eq!(twice, None, "{line}");
            }
            _ => {}
        }
    }
}

fn row_of(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
}

fn cell_of(text: &str, line: &str) -> Cell {
    let exit = text.split(' ').next().and_then(|exit| exit.parse().ok());
    Cell { exit: exit.unwrap_or_else(|| panic!("{text:?} in {line}")), text: text.to_owned() }
}
