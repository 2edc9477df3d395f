//! `pageseal keygen`

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pageseal::generate_identity;

use crate::arguments::KeygenArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print_aside, print_note, print_result, shown_path, write_stdout};

/// Makes an identity. The public key is the result: on standard output if the secret went into a file.
pub fn run(arguments: &KeygenArguments, quiet: bool) -> Result<Exit, Failure> {
    let identity = generate_identity();
    let contents = identity.file_contents();
    match arguments.output.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            write_new_secret(path, contents.as_bytes())
                .map_err(|source| Failure::Write { path: path.into(), source })?;
            print_result(&identity.public)?;
            if !quiet {
                print_note(&format!(
                    "{} is the only key to what is sealed for this recipient; keep a copy of it",
                    shown_path(path)
                ));
            }
        }
        None => {
            write_stdout(contents.as_bytes())?;
            if !quiet && !stdout().is_terminal() {
                print_aside(&format!("public key: {}", identity.public));
            }
        }
    }
    Ok(Exit::Done)
}

/// Writes a new file that only its owner can read, durably: files may be sealed for the key at once.
fn write_new_secret(path: &Path, contents: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = write_durably(file, contents).and_then(|()| sync_parent(path));
    if written.is_err() {
        // Half a key is worse than none, and the file is ours.
        let _ = fs::remove_file(path);
    }
    written
}

fn write_durably(mut file: File, contents: &[u8]) -> io::Result<()> {
    file.write_all(contents)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}
