//! The search for foreign writers. In a program that starts no children: between fork and exec a child
//! has every file of its parent open, which the probe would rightly find.

use std::fs::File;

use pageseal_storage::lock::{WriterProbe, probe_writers};
use tempfile::NamedTempFile;

#[test]
fn writers_are_found_and_readers_are_not() {
    let (_file, path) = NamedTempFile::new().unwrap().into_parts();
    drop(_file);
    let reader = File::open(&path).unwrap();
    match probe_writers(&reader) {
        WriterProbe::Unknown => {
            eprintln!("skipped: no leases here");
            return;
        }
        found => assert_eq!(found, WriterProbe::None),
    }
    let other_reader = File::open(&path).unwrap();
    assert_eq!(probe_writers(&reader), WriterProbe::None);
    for options in
        [File::options().write(true), File::options().append(true), File::options().read(true).write(true)]
    {
        let writer = options.open(&path).unwrap();
        assert_eq!(probe_writers(&reader), WriterProbe::OpenForWriting);
        assert_eq!(probe_writers(&other_reader), WriterProbe::OpenForWriting);
        drop(writer);
        assert_eq!(probe_writers(&reader), WriterProbe::None);
    }
}

#[test]
fn a_mapping_without_its_descriptor_is_a_writer() {
    let (file, path) = NamedTempFile::new().unwrap().into_parts();
    file.set_len(4096).unwrap();
    let mapping = memmap2::MmapOptions::new().len(4096).map_raw(&file).unwrap();
    drop(file);
    let reader = File::open(&path).unwrap();
    let found = probe_writers(&reader);
    drop(mapping);
    if probe_writers(&reader) == WriterProbe::Unknown {
        eprintln!("skipped: no leases here");
        return;
    }
    assert_eq!(found, WriterProbe::OpenForWriting);
}

/// The lease is gone after the probe: whoever opens for writing would wait for it otherwise, and a
/// broken lease would signal this process.
#[test]
fn the_probe_leaves_nothing_behind() {
    use std::os::unix::fs::OpenOptionsExt;
    let (file, path) = NamedTempFile::new().unwrap().into_parts();
    drop(file);
    let reader = File::open(&path).unwrap();
    let _ = probe_writers(&reader);
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    File::options().write(true).custom_flags(nonblocking).open(&path).unwrap();
}

#[test]
fn a_probe_that_cannot_tell_says_so() {
    let temp = NamedTempFile::new().unwrap();
    assert_eq!(probe_writers(temp.as_file()), WriterProbe::Unknown);
    // Leases are for regular files.
    assert_eq!(probe_writers(&File::open(std::env::temp_dir()).unwrap()), WriterProbe::Unknown);
}
