//! `pageseal bench`: what it prints, what it refuses, that it leaves nothing behind, and its page in a browser. No
//! time is judged.

mod optional;
mod support;

use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use optional::skip;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Folder, code, content, stderr};

const SMALL: [&str; 4] = ["--size", "2MiB", "--threads", "2"];

fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path(".")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_ciphers_are_measured() {
    let folder = Folder::new();
    let printed = folder.succeed(["bench", "cipher", "--threads", "2", "--json"]);
    let json: Value = serde_json::from_str(&printed).unwrap();
    assert!(json["io"].is_null());
    assert!(!json["machine"]["kernel"].as_str().unwrap().is_empty());
    let rates = json["cipher"]["rates"].as_array().unwrap();
    for work in
        ["aegis-256x2 seal", "xaes-256-gcm open", "xchacha20-poly1305 seal", "fingerprints", "XOR", "memcpy"]
    {
        for threads in [1, 2] {
            let rate = rates.iter().find(|rate| rate["work"] == work && rate["threads"] == threads).unwrap();
            assert!(rate["gb_per_s"].as_f64().unwrap() > 0.0);
            assert!(!rate["instructions"].as_str().unwrap().is_empty());
        }
    }
    assert!(names(&folder).is_empty());
}

#[test]
fn a_folder_is_measured_and_stays_empty() {
    let folder = Folder::new();
    let printed = folder.succeed(["bench", "io", "--json"].iter().chain(&SMALL));
    let json: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(json["io"]["path"], ".");
    assert_eq!(json["io"]["read_only"], false);
    let rates = json["io"]["rates"].as_array().unwrap();
    for method in ["mmap", "mmap_populated", "read_write"] {
        for pattern in ["sequential", "random 64 KiB", "random 4 KiB"] {
            let found = rates.iter().any(|rate| rate["method"] == method && rate["pattern"] == pattern);
            assert!(found, "{method}, {pattern}");
        }
    }
    for field in ["bytes", "seconds", "gb_per_s", "durable_gb_per_s", "minor_faults", "major_faults"] {
        assert!(rates.iter().all(|rate| rate[field].is_number()), "{field}");
    }
    assert!(!json["io"]["advice"].as_array().unwrap().is_empty());
    let job = &json["job"];
    assert_eq!((&job["path"], &job["size_bytes"]), (&".".into(), &(2 << 20).into()));
    for field in ["seconds", "gb_per_s", "windows", "window_bytes", "windowless_seconds"] {
        assert!(job[field].is_number(), "{field}");
    }
    for field in ["store", "resilience", "suite", "file_system", "bound"] {
        assert!(!job[field].as_str().unwrap().is_empty(), "{field}");
    }
    for step in ["prepare", "commit", "store", "settle"] {
        let of_step = |list: &str| {
            let list = job[list].as_array().unwrap();
            list.iter().filter(|entry| entry["step"] == step).count()
        };
        assert_eq!(
            (of_step("steps"), of_step("spans") as u64),
            (1, job["windows"].as_u64().unwrap()),
            "{step}"
        );
    }
    assert!(names(&folder).is_empty());
}

#[test]
fn a_file_is_read_and_not_changed() {
    let folder = Folder::new();
    let original = content((3 << 20) + 17);
    folder.write("a", &original);
    let before = std::fs::metadata(folder.path("a")).unwrap();
    let printed = folder.succeed(["bench", "io", "a"]);
    assert!(printed.contains("Reading a; "), "{printed}");
    assert!(printed.contains("For this disk:"), "{printed}");
    assert!(printed.contains("TLB"), "{printed}");
    assert!(!printed.contains("A whole job"), "nothing is written: {printed}");
    assert!(folder.read("a") == original);
    assert_eq!(std::fs::metadata(folder.path("a")).unwrap().modified().unwrap(), before.modified().unwrap());
    assert_eq!(names(&folder), ["a"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new();
    folder.write("short", b"short");
    folder.write("taken.html", b"precious");
    let refused = |arguments: &[&str], exit: i32, message: &str| {
        let output = folder.run(arguments);
        assert_eq!(code(&output), exit, "{}", stderr(&output));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(stderr(&output).contains("  → "), "{}", stderr(&output));
    };
    refused(
        &["bench", "io", "--size", "1000"],
        2,
        "1000 bytes are too few to measure with, 1048576 are the least",
    );
    refused(&["bench", "io", "--size", "1TiB", "--threads", "2000"], 2, "cannot measure with 2000 threads");
    refused(
        &["bench", "io", "--size", "1048576TiB"],
        1,
        "no space for a temporary file of 1152921504606846976 bytes",
    );
    refused(&["bench", "io", "missing"], 1, "cannot open missing");
    refused(&["bench", "io", "short"], 1, "short has 5 bytes, too few to measure with");
    refused(&["bench", "io", "/dev/null"], 1, "/dev/null is neither a folder nor a regular file");
    refused(&["bench", "--report", "taken.html"], 1, "cannot write taken.html");
    refused(&["bench", "cipher", "--report", "missing/r.html"], 1, "cannot write missing/r.html");
    assert_eq!(folder.read("taken.html"), b"precious");
    assert_eq!(code(&folder.run(["bench", "--size", "1MiB", "io"])), 2);
}

#[test]
fn ctrl_c_and_kill_leave_nothing() {
    for (signal, unnamed_files) in [
        (Signal::INT, 1),
        (Signal::TERM, 1),
        (Signal::KILL, 1),
        // The file of a job and its journal.
        (Signal::INT, 2),
        (Signal::KILL, 2),
    ] {
        let folder = Folder::new();
        let mut child = folder
            .command(["bench", "io", "--size", "64MiB"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Until the temporary files are there: they have no names that could be waited for.
        let begun = Instant::now();
        while unnamed_files_of(child.id()) < unnamed_files {
            assert!(child.try_wait().unwrap().is_none(), "ended before it began");
            assert!(begun.elapsed() < Duration::from_secs(300), "no temporary file appears");
            sleep(Duration::from_millis(1));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "ended by the signal");
        assert!(names(&folder).is_empty(), "{:?}", names(&folder));
    }
}

fn unnamed_files_of(process: u32) -> usize {
    let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return 0;
    };
    let targets = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    // Several descriptors lead to one file.
    let unnamed: std::collections::HashSet<_> =
        targets.filter(|target| target.to_string_lossy().ends_with(" (deleted)")).collect();
    unnamed.len()
}

/// The page of a small run; the file is in `report.html`.
fn page(folder: &Folder) -> String {
    folder.succeed(["bench", "-q", "--report", "report.html"].iter().chain(&SMALL));
    String::from_utf8(folder.read("report.html")).unwrap()
}

/// A chart for each order and the threads, the time line of the job, and two of the ciphers.
const CHARTS: usize = 3 + 1 + 1 + 2;
/// How the time line says what it is.
const TIME_LINE: &str = "<svg role=\"img\" aria-label=\"Time line of a job";

#[test]
fn the_page_needs_nothing_else_and_tells_nobodys_name() {
    let folder = Folder::new();
    let page = page(&folder);
    assert_eq!(page.matches("<svg role=\"img\" aria-label=\"").count(), CHARTS);
    assert_eq!(page.matches(TIME_LINE).count(), 1);
    assert_eq!(page.matches("<table>").count(), 3);
    assert!(page.contains("<html lang=\"en\">") && page.contains("<title>pageseal bench"));
    assert!(page.contains("prefers-color-scheme: dark"));
    for outside in ["<script", "<link", "<img", "<iframe", "@import", "url(", "src=", "href="] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The only address is the name of SVG, which is never fetched.
    assert_eq!(page.matches("://").count(), page.matches("http://www.w3.org/2000/svg").count());
    assert!(
        !page.contains(folder.path(".").parent().unwrap().to_str().unwrap()),
        "a path that was not given"
    );

    let again = folder.run(["bench", "cipher", "--report", "report.html"]);
    assert_eq!(code(&again), 1);
    assert!(String::from_utf8(folder.read("report.html")).unwrap() == page, "never overwritten");
}

#[test]
fn a_name_of_a_folder_cannot_put_anything_into_the_page() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("<b>&\"")).unwrap();
    folder.succeed(["bench", "io", "-q", "--report", "r.html", "<b>&\""].iter().chain(&SMALL));
    let page = String::from_utf8(folder.read("r.html")).unwrap();
    assert!(page.contains("temporary, in &lt;b&gt;&amp;&quot;") && !page.contains("<b>"));
}

#[test]
fn the_page_opens_in_a_browser() {
    let Some(browser) =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| is_there(name))
    else {
        return skip("Chromium");
    };
    let folder = Folder::new();
    let page = page(&folder);
    for width in [1400, 380] {
        let picture = folder.path(&format!("{width}.png"));
        let screenshot = format!("--screenshot={}", picture.display());
        let window = format!("--window-size={width},2000");
        let output = browse(browser, &folder, "report.html", &[&window, &screenshot]);
        assert_eq!(console(&output), Vec::<String>::new());
        let bytes = std::fs::read(picture).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
        // A page without charts and text would be one colour and pack to next to nothing.
        assert!(bytes.len() > 20_000, "{} bytes", bytes.len());
    }
    let output = browse(browser, &folder, "report.html", &["--dump-dom"]);
    assert_eq!(console(&output), Vec::<String>::new());
    let dom = String::from_utf8_lossy(&output.stdout);
    assert_eq!(dom.matches("<svg role=\"img\"").count(), CHARTS, "{dom}");
    // Lines with marks in five charts, bars in one.
    assert!(dom.matches("<polyline").count() >= 5 && dom.matches("<circle").count() >= 5);
    assert!(dom.matches("<rect").count() >= 2 * 9);
    // The time line: a lane for each step, with its name, and a bar for each of its windows.
    let (_, time_line) = dom.split_once(TIME_LINE).unwrap();
    let (time_line, _) = time_line.split_once("</svg>").unwrap();
    for step in ["prepare", "commit", "store", "settle"] {
        assert_eq!(text_nodes(time_line).filter(|text| *text == step).count(), 1, "{step}: {time_line}");
    }
    assert!(text_nodes(time_line).any(|text| text.ends_with("from the beginning of the job")), "{time_line}");
    assert!(time_line.matches("<rect").count() >= 4, "{time_line}");

    // That an error would have been seen: the page's own policy refuses a script and says so on the console.
    folder.write("broken.html", page.replace("<main>", "<main><script>1</script>").as_bytes());
    let output = browse(browser, &folder, "broken.html", &["--dump-dom"]);
    assert_eq!(console(&output).len(), 1, "{}", stderr(&output));
}

/// The texts of an SVG.
fn text_nodes(svg: &str) -> impl Iterator<Item = &str> {
    svg.split("<text").skip(1).filter_map(|text| Some(text.split_once('>')?.1.split_once('<')?.0.trim()))
}

fn browse(browser: &str, folder: &Folder, file: &str, options: &[&str]) -> Output {
    Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        // Nothing outside is reachable, and nothing of the user's own browser is touched.
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!("--user-data-dir={}", folder.path("profile").display()))
        .args(options)
        .arg(format!("file://{}", folder.path(file).display()))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a page wrote, or the browser about it, on the console.
fn console(output: &Output) -> Vec<String> {
    let log = String::from_utf8_lossy(&output.stderr);
    log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect()
}

fn is_there(program: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
