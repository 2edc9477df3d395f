//! Sealing and opening through the command: bytes, names, exit codes, pipes.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Folder, code, content, stderr, stdout};

#[test]
fn keygen_writes_a_private_file_once() {
    let folder = Folder::new();
    let output = folder.run(["keygen", "-o", "key.txt"]);
    assert_eq!(code(&output), 0);
    let public = stdout(&output);
    assert!(public.starts_with("age1") && public.lines().count() == 1, "{public}");
    let mode = fs::metadata(folder.path("key.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = folder.read("key.txt");
    let text = String::from_utf8(before.clone()).unwrap();
    assert!(text.contains(public.trim()) && text.contains("\nAGE-SECRET-KEY-1"));
    assert!(!public.contains("SECRET") && !stderr(&output).contains("SECRET"));

    let again = folder.run(["keygen", "-o", "key.txt"]);
    assert_eq!(code(&again), 1);
    assert_eq!(folder.read("key.txt"), before);
}

#[test]
fn in_place_keeps_the_inode_and_restores_every_byte() {
    let (folder, recipient) = Folder::with_key();
    let original = content(3_000_001);
    folder.write("a.bin", &original);
    let inode = fs::metadata(folder.path("a.bin")).unwrap().ino();

    let line = folder.succeed(["encrypt", "-r", &recipient, "a.bin"]);
    assert!(line.starts_with("sealed  a.bin.sealed  2.9 MiB in "), "{line}");
    assert!(!folder.exists("a.bin") && !folder.exists("a.bin.pageseal-journal"));
    let sealed = folder.read("a.bin.sealed");
    assert!(sealed[..original.len()] != original[..]);
    assert_eq!(fs::metadata(folder.path("a.bin.sealed")).unwrap().ino(), inode);

    assert!(folder.succeed(["verify", "-i", "key.txt", "a.bin.sealed"]).starts_with("good  a.bin.sealed"));
    assert!(folder.succeed(["info", "a.bin.sealed"]).starts_with("a.bin.sealed: sealed\n"));
    assert_eq!(folder.read("a.bin.sealed"), sealed, "verify and info change nothing");

    assert!(folder.succeed(["decrypt", "-i", "key.txt", "a.bin.sealed"]).starts_with("opened  a.bin  "));
    assert_eq!(folder.read("a.bin"), original);
    assert_eq!(fs::metadata(folder.path("a.bin")).unwrap().ino(), inode);
    assert!(!folder.exists("a.bin.sealed"));
}

#[test]
fn one_newline_of_a_passphrase_file_is_no_part_of_it() {
    let folder = Folder::new();
    folder.write("a.bin", b"content");
    folder.write("with-newline", b"correct horse\n");
    folder.write("without", b"correct horse");
    folder.write("wrong", b"correct horse\n\n");
    folder.succeed(["encrypt", "--passphrase-file", "with-newline", "a.bin"]);
    let wrong = folder.run(["decrypt", "--passphrase-file", "wrong", "a.bin.sealed"]);
    assert_eq!(code(&wrong), 3, "{}", stderr(&wrong));
    folder.succeed(["decrypt", "--passphrase-file", "without", "a.bin.sealed"]);
    assert_eq!(folder.read("a.bin"), b"content");
}

#[test]
fn pipes_carry_data_and_nothing_else() {
    let (folder, recipient) = Folder::with_key();
    // Many pieces, which several workers bring to the pipe in turn.
    let original = content(5_000_000);
    folder.write("a.bin", &original);

    let mut sealing = folder
        .command(["encrypt", "--threads", "4", "-r", &recipient, "-o", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = sealing.stdin.take().unwrap();
    let sealed = std::thread::scope(|scope| {
        scope.spawn(|| {
            stdin.write_all(&original).unwrap();
            drop(stdin);
        });
        sealing.wait_with_output().unwrap()
    });
    assert_eq!(code(&sealed), 0, "{}", stderr(&sealed));
    assert!(stderr(&sealed).starts_with("sealed  -  "), "{}", stderr(&sealed));
    folder.write("piped.sealed", &sealed.stdout);

    let opened = folder.run(["decrypt", "--threads", "4", "-i", "key.txt", "-o", "-", "piped.sealed"]);
    assert_eq!(code(&opened), 0);
    assert_eq!(opened.stdout, original);

    folder.succeed(["encrypt", "-r", &recipient, "-o", "b.sealed", "a.bin"]);
    assert_eq!(folder.read("a.bin"), original, "-o leaves the input alone");
    let taken = folder.run(["decrypt", "-i", "key.txt", "-o", "a.bin", "b.sealed"]);
    assert_eq!(code(&taken), 1);
    assert_eq!(folder.read("a.bin"), original, "an existing output is not overwritten");
}

#[test]
fn a_run_that_failed_does_not_wait_for_input_that_may_never_come() {
    let (folder, recipient) = Folder::with_key();
    let mut sealing = folder
        .command(["encrypt", "--threads", "2", "-r", &recipient, "-o", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(sealing.stdout.take());
    // Enough for the first piece to be written; then the pipe stays open and silent.
    let mut stdin = sealing.stdin.take().unwrap();
    let _ = stdin.write_all(&content(1_100_000));
    let started = std::time::Instant::now();
    let status = loop {
        match sealing.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed().as_secs() > 60 => {
                sealing.kill().unwrap();
                panic!("it still waits for input after a minute");
            }
            None => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    assert_eq!(status.code(), Some(1));
}

#[test]
fn damage_is_found_named_and_outweighs_everything_else() {
    let (folder, recipient) = Folder::with_key();
    for name in ["good", "bad"] {
        folder.write(name, &content(300_000));
    }
    folder.succeed(["encrypt", "-q", "-r", &recipient, "good", "bad"]);
    let mut bytes = folder.read("bad.sealed");
    bytes[2 * 65_536 + 5] ^= 1;
    folder.write("bad.sealed", &bytes);

    let arguments = ["verify", "-i", "key.txt", "--json", "good.sealed", "bad.sealed", "missing"];
    let output = folder.run(arguments);
    assert_eq!(code(&output), 4);
    let objects: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[0]["ok"], true);
    assert_eq!(objects[0]["chunks"], 5);
    assert_eq!(objects[1]["exit_code"], 4);
    assert_eq!(objects[1]["error"]["chunk"], 2);
    assert_eq!(objects[1]["error"]["offset_bytes"], 2 * 65_536);
    assert_eq!(objects[2]["error"]["class"], "refused");
    let one = serde_json::json!([{"first_chunk": 2, "chunks": 1, "offset_bytes": 2 * 65_536}]);
    assert_eq!(objects[1]["error"]["damaged_ranges"], one);

    let refused = folder.run(["decrypt", "-i", "key.txt", "bad.sealed"]);
    assert_eq!(code(&refused), 4);
    assert_eq!(folder.read("bad.sealed"), bytes, "a damaged file is refused with no byte changed");
}

#[test]
fn all_damaged_chunks_are_named() {
    let (folder, recipient) = Folder::with_key();
    folder.write("a", &content(40 * 65_536 + 10));
    folder.succeed(["encrypt", "-q", "-r", &recipient, "a"]);
    let mut bytes = folder.read("a.sealed");
    for chunk in [2, 5, 6, 40] {
        bytes[chunk * 65_536 + 5] ^= 1;
    }
    folder.write("a.sealed", &bytes);
    let named = "4 chunks are damaged or were tampered with: chunk 2 (65536 bytes at offset 131072), \
                 chunks 5 to 6 (131072 bytes at offset 327680), chunk 40 (10 bytes at offset 2621440)\n";
    for command in ["verify", "decrypt"] {
        let output = folder.run([command, "-i", "key.txt", "--json", "a.sealed"]);
        assert_eq!(code(&output), 4);
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
        let object: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let error = &object["error"];
        assert_eq!(error["damaged_chunks"], 4);
        assert_eq!(error["damaged_ranges_left_out"], 0);
        let ranges = serde_json::json!([
            {"first_chunk": 2, "chunks": 1, "offset_bytes": 2 * 65_536, "len_bytes": 65_536},
            {"first_chunk": 5, "chunks": 2, "offset_bytes": 5 * 65_536, "len_bytes": 131_072},
            {"first_chunk": 40, "chunks": 1, "offset_bytes": 40 * 65_536, "len_bytes": 10},
        ]);
        assert_eq!(error["damaged_ranges"], ranges);
    }

    // In more pieces than anybody reads.
    for chunk in (0..40).step_by(2).filter(|chunk| ![2, 6].contains(chunk)) {
        bytes[chunk * 65_536 + 5] ^= 1;
    }
    folder.write("a.sealed", &bytes);
    let output = folder.run(["verify", "-i", "key.txt", "a.sealed"]);
    assert!(stderr(&output).contains(", and 4 more ranges\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("`pageseal verify --json -i key.txt a.sealed` names all of them"));
    let output = folder.run(["verify", "--json", "-i", "key.txt", "a.sealed"]);
    let object: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(object["error"]["damaged_chunks"], 22);
    assert_eq!(object["error"]["damaged_ranges"].as_array().unwrap().len(), 20);
}

#[test]
fn another_key_does_not_fit() {
    let (folder, recipient) = Folder::with_key();
    folder.write("a", b"x");
    folder.succeed(["encrypt", "-r", &recipient, "a"]);
    folder.succeed(["keygen", "-q", "-o", "other.txt"]);
    let output = folder.run(["decrypt", "-i", "other.txt", "a.sealed"]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).starts_with("pageseal: error: a.sealed: no identity or passphrase fits"));
    assert!(folder.exists("a.sealed"));
}

#[test]
fn without_a_terminal_nobody_is_asked_and_nothing_hangs() {
    let folder = Folder::new();
    folder.write("a", b"x");
    folder.write("passphrase", b"pw");
    let without_terminal = |arguments: &[&str]| {
        let mut child = Command::new("setsid")
            .arg("--wait")
            .arg(env!("CARGO_BIN_EXE_pageseal"))
            .args(arguments)
            .current_dir(folder.path("."))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("it waits for somebody who is not there");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.wait_with_output().unwrap()
    };
    let sealing = without_terminal(&["encrypt", "-p", "a"]);
    assert_eq!(code(&sealing), 2, "{}", stderr(&sealing));
    assert_eq!(folder.read("a"), b"x");
    folder.succeed(["encrypt", "--passphrase-file", "passphrase", "a"]);
    let opening = without_terminal(&["decrypt", "a.sealed"]);
    assert_eq!(code(&opening), 3, "{}", stderr(&opening));
    assert!(folder.exists("a.sealed"));
}

#[test]
fn a_trailer_can_be_kept_and_put_back() {
    let (folder, recipient) = Folder::with_key();
    folder.write("a", &content(100_000));
    folder.succeed(["encrypt", "-r", &recipient, "a"]);
    let sealed = folder.read("a.sealed");
    folder.succeed(["trailer", "export", "-o", "a.trailer", "a.sealed"]);
    folder.write("a.sealed", &sealed[..100_000]);
    let verify = ["verify", "-i", "key.txt", "a.sealed"];
    assert_ne!(code(&folder.run(verify)), 0);
    folder.succeed(["trailer", "import", "-i", "key.txt", "--from", "a.trailer", "a.sealed"]);
    assert_eq!(folder.read("a.sealed"), sealed);
    folder.succeed(verify);
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let folder = Folder::new();
    for arguments in [["completions", "bash"].as_slice(), &["man"], &["--help"], &["info", "key"]] {
        folder.write("key", b"plain");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = folder.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn results_that_cannot_be_written_are_an_error() {
    let folder = Folder::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = folder.command(["man"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).starts_with("pageseal: error: cannot write to standard output"));
}

#[test]
fn a_job_whose_result_line_cannot_be_written_is_done_all_the_same() {
    let (folder, recipient) = Folder::with_key();
    folder.write("a", &content(100_000));
    let run = |arguments: &[&str]| {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        folder.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap()
    };
    for (arguments, left) in [
        (&["encrypt", "-r", &recipient, "a"][..], "a.sealed"),
        (&["verify", "-i", "key.txt", "a.sealed"], "a.sealed"),
        (&["trailer", "export", "-o", "t", "a.sealed"], "t"),
        (&["decrypt", "--json", "-i", "key.txt", "a.sealed"], "a"),
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        let note = "is done all the same: cannot write to standard output: No space left on device";
        assert!(stderr(&output).contains(note), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("error: "), "{arguments:?}: {}", stderr(&output));
        assert!(folder.exists(left), "{arguments:?}");
    }
    // What is said is all that this one does.
    let output = run(&["info", "a"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).starts_with("pageseal: error: a: cannot write to standard output"));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    fs::create_dir(folder.path("man1")).unwrap();
    folder.succeed(["man", "--dir", "man1"]);
    for page in ["pageseal.1", "pageseal-encrypt.1", "pageseal-trailer-import.1"] {
        let text = String::from_utf8(folder.read(&format!("man1/{page}"))).unwrap();
        assert!(text.contains("Examples:") || page.ends_with("import.1"), "{page}");
    }
}

#[test]
fn the_demonstration_checks_every_byte() {
    let folder = Folder::new();
    let printed = folder.succeed(["demo", "--size", "1MiB", "--threads", "3", "--dir", ".", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["bytes"], 1 << 20);
    assert_eq!(report["threads"], 3);
    assert_eq!(report["xor"]["verified"], true);
    assert_eq!(fs::read_dir(folder.path(".")).unwrap().count(), 0, "its files are removed");
}

#[test]
fn control_characters_of_names_do_not_reach_the_terminal() {
    let folder = Folder::new();
    let output = folder.run(["info", "a\u{1b}[31mred"]);
    assert_eq!(code(&output), 1);
    assert!(!stderr(&output).contains('\u{1b}'), "{:?}", stderr(&output));
    // The same of those that JSON would let through.
    let name = "a\u{9b}31m\u{202e}gpj";
    folder.write(name, b"x");
    for arguments in [&["info", name][..], &["info", "--json", name], &["verify", "--json", "-i", "no", name]]
    {
        let output = folder.run(arguments);
        let told = stdout(&output) + &stderr(&output);
        assert!(!told.contains(['\u{9b}', '\u{202e}']), "{arguments:?}: {told:?}");
    }
    let printed = stdout(&folder.run(["info", "--json", name]));
    let object: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(object["file"], name, "it is only another spelling");
}

#[test]
fn how_a_job_goes_about_it_is_said_when_asked() {
    let (folder, recipient) = Folder::with_key();
    let original = content(3_000_001);
    folder.write("a.bin", &original);
    let text = folder.succeed(["info", "--plan", "a.bin"]);
    assert!(text.starts_with("a.bin: plain"), "{text}");
    assert!(
        text.contains("store        buffered: its 2929 KiB fit into half of the available memory\n"),
        "{text}"
    );
    assert!(text.contains("windows      4.0 MiB each, at most 2 recorded in a journal of "), "{text}");
    let object: serde_json::Value =
        serde_json::from_str(&folder.succeed(["info", "--plan", "--json", "a.bin"])).unwrap();
    assert_eq!(object["plan"]["io"], "buffered", "{object}");
    assert_eq!(folder.read("a.bin"), original);

    let output = folder.run(["encrypt", "--verbose", "-r", &recipient, "a.bin"]);
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("store        buffered: its "), "{}", stderr(&output));
    // A sealed file has none, and nobody is told who did not ask.
    assert!(!folder.succeed(["info", "--plan", "a.bin.sealed"]).contains("store "));
    let output = folder.run(["decrypt", "-v", "--io", "direct", "-i", "key.txt", "a.bin.sealed"]);
    assert_eq!(code(&output), 0);
    let said = stderr(&output);
    assert!(
        said.contains("store        direct: as asked") || said.contains("through the page cache instead"),
        "{said}"
    );
    assert_eq!(folder.read("a.bin"), original);
    let output = folder.run(["encrypt", "--io", "direct", "-r", &recipient, "a.bin"]);
    assert!(!stderr(&output).contains("store "), "{}", stderr(&output));
    // Where nothing is converted in place, only how the file is read.
    let reading = "access       buffered: its ";
    for command in [
        &["verify", "-v", "-i", "key.txt", "a.bin.sealed"][..],
        &["decrypt", "-v", "-i", "key.txt", "-o", "copy.bin", "a.bin.sealed"],
        &["encrypt", "-v", "-r", &recipient, "-o", "copy.sealed", "copy.bin"],
    ] {
        let output = folder.run(command);
        assert_eq!(code(&output), 0, "{command:?}");
        assert!(stderr(&output).contains(reading), "{command:?}: {}", stderr(&output));
    }
    assert_eq!(code(&folder.run(["info", "-q", "-v", "a.bin.sealed"])), 2);
}

#[test]
fn an_output_follows_the_umask() {
    let (folder, recipient) = Folder::with_key();
    folder.write("a.bin", b"content");
    let mode_of = |name: &str| fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o7777;
    let open_to_all = fs::Permissions::from_mode(0o4755);
    fs::set_permissions(folder.path("a.bin"), open_to_all.clone()).unwrap();
    let run = |umask: &str, arguments: &str| {
        let script = format!("umask {umask}; exec \"$0\" {arguments}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_pageseal")]).current_dir(folder.path("."));
        let output = command.output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    };
    run("077", &format!("encrypt -r {recipient} -o a.sealed a.bin"));
    assert_eq!(mode_of("a.sealed"), 0o700);
    fs::set_permissions(folder.path("a.sealed"), open_to_all).unwrap();
    run("077", "decrypt -i key.txt -o b.bin a.sealed");
    assert_eq!(mode_of("b.bin"), 0o700);
    run("027", "decrypt -i key.txt -o c.bin a.sealed");
    assert_eq!(mode_of("c.bin"), 0o750);
    run("027", "decrypt -i key.txt -o d.bin - < a.sealed");
    assert_eq!(mode_of("d.bin"), 0o640);
    run("077", "decrypt -i key.txt --preserve -o e.bin a.sealed");
    assert_eq!(mode_of("e.bin"), 0o755);
}
