//! A state, made in a folder of its own, and what a command does in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use pageseal::{Cancellation, Control, encrypt_in_place};

use crate::document::Cell;
use crate::parts::{AtFirstRecord, Parts, encrypt_options};
use crate::states::{Company, Place, State};
use crate::support::{Folder, code, stderr, stdout};

/// As the document calls them.
pub const COMMANDS: [&str; 11] = [
    "encrypt",
    "encrypt -o",
    "decrypt",
    "decrypt -o",
    "verify",
    "info",
    "export",
    "resume",
    "resume --decrypt",
    "rollback",
    "import",
];

const JOURNAL: &str = "a.pageseal-journal";

/// All that is seen of a folder: inode and content by name.
type Seen = BTreeMap<String, (u64, Vec<u8>)>;

pub struct Made<'a> {
    /// Goes before the folders.
    _company: Option<Busy>,
    parts: &'a Parts,
    state: &'a State,
    folder: Folder,
    elsewhere: Folder,
    before: [Seen; 2],
}

/// Somebody else at the file, until this is dropped.
enum Busy {
    Writer(#[expect(dead_code, reason = "held open")] fs::File),
    Job { go_on: Option<Sender<()>>, thread: Option<JoinHandle<()>> },
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Busy::Job { go_on, thread } = self {
            drop(go_on.take());
            thread.take().map(JoinHandle::join);
        }
    }
}

impl<'a> Made<'a> {
    pub fn new(parts: &'a Parts, state: &'a State) -> Self {
        let (folder, elsewhere) = (Folder::new(), Folder::new());
        folder.write(state.file, &state.bytes);
        let inode = fs::metadata(folder.path(state.file)).unwrap().ino();
        if let Some(other) = state.other {
            folder.write(other, b"another file");
        }
        if let Some(journal) = &state.journal {
            let journal = parts.of_inode(journal, if state.is_of_inode { inode } else { inode + 1 });
            let place = if state.place == Place::Beside { &folder } else { &elsewhere };
            place.write(JOURNAL, &journal);
        }
        elsewhere.write("trailer", if state.has_own_trailer { &parts.trailer } else { &parts.older_trailer });
        let company = match state.company {
            Company::Nobody => None,
            Company::Writer => {
                Some(Busy::Writer(fs::File::options().append(true).open(folder.path(state.file)).unwrap()))
            }
            Company::Job => Some(running_encrypt(parts, &folder, state.file)),
        };
        let before = [seen(&folder), seen(&elsewhere)];
        Made { parts, state, folder, elsewhere, before, _company: company }
    }

    pub fn run(&self, command: &str) -> Ended {
        let key = self.parts.keys.folder.path("key.txt");
        let key = key.to_str().unwrap();
        let recipient = self.parts.keys.recipient.as_str();
        let mut words: Vec<&str> = match command {
            "encrypt" => vec!["encrypt", "-r", recipient],
            "encrypt -o" => vec!["encrypt", "-r", recipient, "-o", "out"],
            "decrypt" => vec!["decrypt", "-i", key],
            "decrypt -o" => vec!["decrypt", "-i", key, "-o", "out"],
            "verify" => vec!["verify", "-i", key],
            "info" => vec!["info"],
            "export" => vec!["trailer", "export", "-o", "out"],
            "resume" => vec!["resume", "-i", key],
            "resume --decrypt" => vec!["resume", "--decrypt", "-i", key],
            "rollback" => vec!["rollback", "-i", key],
            "import" => vec!["trailer", "import", "-i", key, "--from"],
            other => panic!("{other}"),
        };
        let (trailer, journal) = (self.elsewhere.path("trailer"), self.elsewhere.path(JOURNAL));
        if command == "import" {
            words.push(trailer.to_str().unwrap());
        }
        let takes_journal =
            ["encrypt", "decrypt", "info", "resume", "resume --decrypt", "rollback"].contains(&command);
        if self.state.place == Place::Named && takes_journal {
            words.extend(["--journal", journal.to_str().unwrap()]);
        }
        words.push(self.state.given);
        Ended::of(&self.folder.run(words))
    }

    /// Whether what lies there now is what the word says. `true` if the state is as it was made.
    pub fn check_result(&self, command: &str, cell: &Cell, is_message: bool) -> Result<bool, String> {
        let result = match cell.text.as_str() {
            _ if cell.exit != 0 || is_message => Ok(()),
            "0 good" => Ok(()),
            "0 copy" => {
                self.check_copy(command)?;
                fs::remove_file(self.folder.path("out")).map_err(|error| error.to_string())
            }
            "0 seals" => {
                return self.check_only("a.sealed").and_then(|()| self.check_opens()).map(|()| false);
            }
            "0 opens" => {
                self.check_only("a")?;
                let is_whole = self.folder.read("a") == self.parts.plain();
                return if is_whole { Ok(false) } else { Err("`a` is another content".into()) };
            }
            "0 restores" => {
                let is_whole = self.folder.read(self.state.file) == self.parts.sealed();
                return if is_whole { Ok(false) } else { Err("it is not as it was sealed".into()) };
            }
            other => Err(format!("the document does not say what {other} means")),
        };
        result.and_then(|()| self.check_unchanged()).map(|()| true)
    }

    /// Runs the first command of `program` that was proposed, as a user would paste it; whether there was one and it did well.
    pub fn paste(&self, ended: &Ended, program: &str) -> bool {
        let command = ended.text.split('`').skip(1).step_by(2).find(|command| command.starts_with(program));
        let run =
            |command| Command::new("sh").args(["-c", command]).current_dir(self.folder.path("")).status();
        command.is_some_and(|command| run(command).unwrap().success())
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        self.folder.read(name)
    }

    pub fn check_unchanged(&self) -> Result<(), String> {
        let now = [seen(&self.folder), seen(&self.elsewhere)];
        for (before, now) in self.before.iter().zip(&now) {
            if !before.keys().eq(now.keys()) {
                return Err(format!("names are {:?}", now.keys().collect::<Vec<_>>()));
            }
            for (name, old) in before {
                let new = &now[name];
                if old.1.len() != new.1.len() {
                    return Err(format!("{name} has {} bytes instead of {}", new.1.len(), old.1.len()));
                }
                if old != new {
                    return Err(format!("{name} was changed"));
                }
            }
        }
        Ok(())
    }

    fn check_only(&self, name: &str) -> Result<(), String> {
        let now = seen(&self.folder);
        let others: Vec<&str> =
            now.keys().map(String::as_str).filter(|found| Some(*found) != self.state.other).collect();
        if others != [name] { Err(format!("names are {others:?}")) } else { Ok(()) }
    }

    pub fn check_opens(&self) -> Result<(), String> {
        self.open_into("opened", "a.sealed", self.parts.plain())
    }

    fn check_copy(&self, command: &str) -> Result<(), String> {
        match command {
            "encrypt -o" => self.open_into("opened", "out", &self.state.bytes),
            "decrypt -o" if self.folder.read("out") == self.parts.plain() => Ok(()),
            "export" if self.folder.read("out").len() == self.parts.trailer.len() => Ok(()),
            _ => Err("the copy is another content".into()),
        }
    }

    fn open_into(&self, output: &str, name: &str, content: &[u8]) -> Result<(), String> {
        let key = self.parts.keys.folder.path("key.txt");
        let ended = Ended::of(&self.folder.run(["decrypt", "-i", key.to_str().unwrap(), "-o", output, name]));
        if ended.exit != 0 {
            return Err(ended.text);
        }
        let is_right = self.folder.read(output) == content;
        fs::remove_file(self.folder.path(output)).unwrap();
        if is_right { Ok(()) } else { Err(format!("{name} opens to another content")) }
    }
}

fn seen(folder: &Folder) -> Seen {
    let entries = fs::read_dir(folder.path(".")).unwrap().map(Result::unwrap);
    let see = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, (entry.metadata().unwrap().ino(), fs::read(entry.path()).unwrap()))
    };
    entries.map(see).collect()
}

/// Begins an encrypt in this process and stops it at its first record, until the sender is dropped.
fn running_encrypt(parts: &Parts, folder: &Folder, name: &str) -> Busy {
    let (path, recipients) = (folder.path(name), parts.keys.recipients());
    let ((begun, has_begun), (go_on, may_go_on)) = (channel(), channel::<()>());
    let thread = std::thread::spawn(move || {
        let cancellation = Cancellation::new();
        let flag = cancellation.clone();
        let progress = AtFirstRecord::new(move || {
            begun.send(()).unwrap();
            let _ = may_go_on.recv();
            flag.cancel();
        });
        let control = Control { progress: &progress, cancellation };
        encrypt_in_place(&path, &recipients, &encrypt_options(), &control).expect_err("was stopped");
    });
    has_begun.recv().unwrap();
    Busy::Job { go_on: Some(go_on), thread: Some(thread) }
}

/// How a command ended.
pub struct Ended {
    pub exit: i32,
    pub text: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        Ended { exit: code(output), text: stdout(output) + &stderr(output) }
    }

    /// What its remedy says to run next, as the document calls it. One that goes on elsewhere is
    /// another state's.
    pub fn proposed_commands(&self) -> Vec<&'static str> {
        let remedy: String = self.text.lines().filter(|line| line.trim_start().starts_with('→')).collect();
        let commands = remedy.split('`').skip(1).step_by(2).filter(|command| !command.contains("PATH"));
        let named = |command: &str| match command.strip_prefix("pageseal ")? {
            words if words.starts_with("resume --decrypt") => Some("resume --decrypt"),
            words if words.starts_with("resume") => Some("resume"),
            words if words.starts_with("rollback") => Some("rollback"),
            words if words.starts_with("trailer import") => Some("import"),
            _ => None,
        };
        commands.filter_map(named).collect()
    }
}
