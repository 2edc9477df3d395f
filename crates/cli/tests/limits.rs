//! Within a limit on the length of files (`ulimit -f`).

mod support;

use std::process::Command;

use support::{Folder, code, content, stderr};

#[test]
fn a_file_that_may_not_grow_is_refused_with_nothing_changed() {
    let (folder, recipient) = Folder::with_key();
    let plain = content(1_000_000);
    folder.write("file", &plain);
    folder.write("other", &plain);
    folder.succeed(["encrypt", "-q", "-r", &recipient, "other"]);
    let sealed = folder.read("other.sealed");
    let program = env!("CARGO_BIN_EXE_pageseal");
    // Units of 512 bytes: less than the file has; enough for the file and not for its trailer.
    for limit in [1000, 1960] {
        for arguments in [
            &["encrypt", "-q", "-r", &recipient, "file"][..],
            &["decrypt", "-q", "-i", "key.txt", "other.sealed"],
        ] {
            let limited = format!("ulimit -f {limit} && exec \"$0\" \"$@\"");
            let mut command = Command::new("sh");
            command.args(["-c", &limited, program]).args(arguments).current_dir(folder.path(""));
            let output = command.output().unwrap();
            assert_eq!(code(&output), 1, "{limit} {arguments:?}: {}", stderr(&output));
            assert!(stderr(&output).contains("ulimit -f unlimited"), "{}", stderr(&output));
            assert!(folder.read("file") == plain && folder.read("other.sealed") == sealed);
            assert!(!folder.exists("file.pageseal-journal") && !folder.exists("other.pageseal-journal"));
        }
    }
}

/// The signal of that limit would end the process with half a key under its name.
#[test]
fn a_key_that_cannot_be_written_leaves_nothing() {
    let folder = Folder::new();
    let limited = "ulimit -f 0 && exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_pageseal"), "keygen", "-o", "key.txt"]);
    let output = command.current_dir(folder.path("")).output().unwrap();
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("ulimit -f unlimited"), "{}", stderr(&output));
    assert!(!folder.exists("key.txt"));
}
