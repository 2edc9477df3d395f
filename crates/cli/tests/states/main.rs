//! The tables of `docs/DESIGN.md`, section 6: every state of them is made and every command run in
//! it, and both must agree in exit code, message and result. What is refused changes no byte, no
//! length and no name.

mod document;
mod parts;
mod place;
mod states;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use document::{Cell, Document};
use parts::Parts;
use place::{COMMANDS, Made};
use states::State;

/// How no command may end that another one has proposed. (Some proposals depend on more than a
/// command can see: that a trailer was exported, that nothing was opened yet, that the file has the
/// length that an authentic journal says.)
const REFUSED_FOR_GOOD: [&str; 8] =
    ["1 job", "1 none", "1 word", "1 undone", "1 only on", "1 foreign", "1 stale", "4 forged"];

#[test]
fn every_command_in_every_state_does_what_the_document_says() {
    let document = Document::read();
    let parts = Parts::new();
    let states = states::all(&parts);
    let made: BTreeSet<&str> = states.iter().map(|state| state.name).collect();
    let told: BTreeSet<&str> = document.cells.keys().map(String::as_str).collect();
    assert_eq!(made, told, "states that are made, and states that the document has");
    for (name, cells) in &document.cells {
        let told: BTreeSet<&str> = cells.keys().map(String::as_str).collect();
        assert_eq!(told, BTreeSet::from(COMMANDS), "{name}");
    }
    let used: BTreeSet<&str> =
        document.cells.values().flat_map(BTreeMap::values).map(|cell| cell.text.as_str()).collect();
    let unused: Vec<_> = document.messages.keys().filter(|cell| !used.contains(cell.as_str())).collect();
    assert!(unused.is_empty(), "no cell says {unused:?}");
    let differences = Mutex::new(Vec::new());
    let rest = Mutex::new(states.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(state) = { rest.lock().unwrap().next() } {
                    let found = differences_of(&parts, &document, state);
                    differences.lock().unwrap().extend(found);
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Runs all commands in a state; each finds it as it was made.
fn differences_of(parts: &Parts, document: &Document, state: &State) -> Vec<String> {
    let mut differences = Vec::new();
    let mut place = None;
    for command in COMMANDS {
        let made: Made<'_> = place.take().unwrap_or_else(|| Made::new(parts, state));
        let expected = &document.cells[state.name][command];
        let ended = made.run(command);
        let mut complain = |what: String| {
            differences.push(format!("{} | {command} | {} | {what}", state.name, expected.text));
        };
        if ended.exit != expected.exit {
            complain(format!("ends with {}: {}", ended.exit, ended.text));
        } else if let Some(message) = document.messages.get(&expected.text)
            && !ended.text.contains(message.as_str())
        {
            complain(format!("says: {}", ended.text));
        }
        for proposed in ended.proposed_commands() {
            let Cell { text, .. } = &document.cells[state.name][proposed];
            if REFUSED_FOR_GOOD.contains(&text.as_str()) {
                complain(format!("proposes {proposed}, which ends with {text}: {}", ended.text));
            }
        }
        match made.check_result(command, expected, document.messages.contains_key(&expected.text)) {
            Ok(true) => place = Some(made),
            Ok(false) => {}
            Err(what) => complain(what),
        }
    }
    differences
}

/// The encrypt had changed nothing, and somebody appended: before it reserved space, after that, and more than that.
#[test]
fn what_is_appended_to_a_file_that_is_not_begun_can_be_kept() {
    let parts = Parts::new();
    let (plain_len, grown) = (parts.plain_len(), parts.grown(false));
    let with = |bytes: &[u8], appended: &[u8]| [bytes, appended].concat();
    let long = vec![7; 2 * (grown.len() - plain_len)];
    for bytes in [
        with(parts.plain(), b"appended"),
        with(parts.plain(), &long),
        with(&grown[..plain_len + 5000], b"appended"),
        with(&grown, b"appended"),
    ] {
        for command in ["resume", "rollback"] {
            let state = states::created(&parts, bytes.clone());
            let made = Made::new(&parts, &state);
            let ended = made.run(command);
            assert_eq!(ended.exit, 1, "{}", ended.text);
            assert!(ended.text.contains("before it changed any of"), "{}", ended.text);
            made.check_unchanged().unwrap();
            let (keep, cut) = (made.paste(&ended, "tail"), made.paste(&ended, "truncate"));
            assert!(keep && cut, "{}", ended.text);
            assert!(made.read("APPENDED") == bytes[plain_len..], "{command}");
            let again = made.run(command);
            assert_eq!(again.exit, 0, "{}", again.text);
            match command {
                "resume" => made.check_opens().unwrap(),
                _ => assert!(made.read("a") == parts.plain(), "{}", again.text),
            }
        }
    }
    // A copy, and one in which something of the job is behind the data, are told as before.
    let mut marked = parts.grown(true);
    marked[plain_len..plain_len + 8].copy_from_slice(b"appended");
    for (bytes, copied) in [(with(parts.plain(), b"appended"), true), (marked, false)] {
        let state = states::created(&parts, bytes);
        let state = if copied { state.copied() } else { state };
        let ended = Made::new(&parts, &state).run("rollback");
        assert_eq!(ended.exit, 1, "{}", ended.text);
        assert!(ended.text.contains("belongs to another file"), "{}", ended.text);
    }
}
