use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::*;
use crate::ErrorClass;

fn options(dir: &Path, len_bytes: u64, threads: usize) -> DemoOptions {
    DemoOptions { len_bytes, threads, dir: Some(dir.into()), keep: false }
}

fn names_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A filled file in its mapping, as a job finds it.
fn filled(dir: &Path, workers: &Workers, len_bytes: u64) -> (ScratchFile, Mapping) {
    let (scratch, file) = ScratchFile::create(dir, len_bytes).unwrap();
    let mapping = Mapping::new(&scratch, file, len_bytes).unwrap();
    workers
        .each(workers.parts(len_bytes), |part| mapping.fill_part(&part, &mut |bytes| bytes.fill(FILL_BYTE)))
        .unwrap();
    (scratch, mapping)
}

fn flip_bit(mapping: &Mapping, offset: u64) {
    let part = workers::Part { offset, len_bytes: 1 };
    mapping.with_part(&part, &mut |bytes| bytes[0] ^= 0x10).unwrap();
}

#[test]
fn every_length_and_thread_count_is_done_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    for len_bytes in [0, 1, 4096, 65_536, 65_537, (1 << 20) + 123] {
        for threads in [1, 3, 4] {
            let report = run(&options(dir.path(), len_bytes, threads)).unwrap();
            assert!(report.xor.verified && report.aead.verified, "{len_bytes} {threads}");
            assert_eq!(report.verified_bytes, PerJob { xor: len_bytes, aead: len_bytes });
            assert_eq!((report.bytes, report.threads), (len_bytes, threads));
            assert_eq!(report.chunks, len_bytes.div_ceil(65_536).max(1));
            assert_eq!(report.aead.suite, Suite::default_for_cpu());
            assert!(report.xor.gb_per_s.is_finite() && report.aead.gb_per_s.is_finite());
            assert!(report.kept.is_empty());
        }
    }
    assert_eq!(names_in(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn more_threads_than_bytes_are_fine() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(&options(dir.path(), 2, 5)).unwrap();
    assert!(report.xor.verified && report.aead.verified);
}

#[test]
fn every_suite_seals_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let workers = Workers::new(3).unwrap();
    let len_bytes = 200_000;
    for suite in Suite::ALL {
        let (_scratch, mapping) = filled(dir.path(), &workers, len_bytes);
        let mut job = SealJob::new(suite, len_bytes).unwrap();
        job.work(&mapping, &workers).unwrap();
        assert_eq!(job.verify(&mapping, &workers).unwrap(), len_bytes);
    }
}

#[test]
fn machine_output_has_exactly_the_documented_keys() {
    let dir = tempfile::tempdir().unwrap();
    let with_keep = DemoOptions { keep: true, ..options(dir.path(), 100_000, 2) };
    let json = serde_json::to_value(run(&with_keep).unwrap()).unwrap();
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let expect = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).into()).collect() };
    assert_eq!(keys(&json), expect(&["bytes", "threads", "chunks", "xor", "aead", "faults", "memory"]));
    assert_eq!(keys(&json["xor"]), expect(&["seconds", "gb_per_s", "verified"]));
    assert_eq!(keys(&json["aead"]), expect(&["suite", "seconds", "gb_per_s", "verified"]));
    for job in ["xor", "aead"] {
        assert_eq!(keys(&json["faults"][job]), expect(&["minor", "major"]));
        assert_eq!(keys(&json["memory"][job]), expect(&["private_growth_bytes", "shared_growth_bytes"]));
        assert_eq!(json[job]["verified"], Value::Bool(true));
        assert!(json[job]["seconds"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(json["bytes"], 100_000);
    assert_eq!(json["chunks"], 2);
    assert_eq!(json["aead"]["suite"], Suite::default_for_cpu().name());
}

#[test]
fn keep_leaves_both_files_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let len_bytes = 70_001;
    let report = run(&DemoOptions { keep: true, ..options(dir.path(), len_bytes, 4) }).unwrap();
    let [xored, sealed] = &report.kept[..] else { panic!("{:?}", report.kept) };
    assert_eq!(names_in(dir.path()).len(), 2);
    for path in [xored, sealed] {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("pageseal-demo-") && name.ends_with(".bin"), "{name}");
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(report.to_string().contains(path.to_str().unwrap()));
    }
    assert_eq!(std::fs::read(xored).unwrap(), vec![0xEB; len_bytes as usize]);
    let sealed = std::fs::read(sealed).unwrap();
    assert_eq!(sealed.len() as u64, len_bytes);
    // Of 70,001 random bytes about 273 are 0x41; that as many as 1000 are has no measurable chance.
    assert!(sealed.iter().filter(|byte| **byte == FILL_BYTE).count() < 1000);
}

#[test]
fn a_missing_directory_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = run(&options(&missing, 4096, 1)).unwrap_err();
    let DemoError::Io { what: "create", path, source } = &error else { panic!("{error:?}") };
    assert!(path.starts_with(&missing));
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(error.class(), ErrorClass::Refused);
}

#[test]
fn no_and_too_many_threads_are_refused_before_any_file_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&options(dir.path(), 4096, 0)).unwrap_err();
    assert!(matches!(error, DemoError::NoThreads), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Usage);
    let error = run(&options(dir.path(), 4096, usize::MAX)).unwrap_err();
    assert!(matches!(error, DemoError::TooManyThreads { threads: usize::MAX, .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Usage);
    assert!(names_in(dir.path()).is_empty());
}

#[test]
fn a_file_that_does_not_fit_is_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&options(dir.path(), 1 << 60, 2)).unwrap_err();
    assert!(matches!(error, DemoError::NoSpace { needed_bytes, .. } if needed_bytes == 1 << 60), "{error:?}");
    assert!(names_in(dir.path()).is_empty());
}

#[test]
fn an_error_removes_the_file_also_with_keep() {
    let dir = tempfile::tempdir().unwrap();
    let workers = Workers::new(2).unwrap();
    let with_keep = DemoOptions { keep: true, ..options(dir.path(), 10_000, 2) };
    let failing = || Err::<XorJob, _>(DemoError::NoThreads);
    assert!(run_job(&with_keep, dir.path(), &workers, failing).is_err());
    assert!(names_in(dir.path()).is_empty());
}

#[test]
fn a_flipped_bit_is_found_after_the_xor() {
    let dir = tempfile::tempdir().unwrap();
    let workers = Workers::new(3).unwrap();
    let len_bytes = 300_001;
    for wrong in [0, 99_999, 100_000, 250_123, len_bytes - 1] {
        let (_scratch, mapping) = filled(dir.path(), &workers, len_bytes);
        XorJob.work(&mapping, &workers).unwrap();
        flip_bit(&mapping, wrong);
        let error = XorJob.verify(&mapping, &workers).unwrap_err();
        let DemoError::Verification { job: DemoJob::Xor, offset } = error else { panic!("{error:?}") };
        assert_eq!(offset, wrong);
    }
}

#[test]
fn a_flipped_bit_is_found_after_sealing_and_the_file_is_not_wiped() {
    let dir = tempfile::tempdir().unwrap();
    let workers = Workers::new(3).unwrap();
    let len_bytes = 300_001;
    for wrong in [0, 65_535, 65_536, 299_999, len_bytes - 1] {
        let (scratch, mapping) = filled(dir.path(), &workers, len_bytes);
        let mut job = SealJob::new(Suite::default_for_cpu(), len_bytes).unwrap();
        job.work(&mapping, &workers).unwrap();
        flip_bit(&mapping, wrong);
        let error = job.verify(&mapping, &workers).unwrap_err();
        let DemoError::Verification { job: DemoJob::Aead, offset } = error else { panic!("{error:?}") };
        assert_eq!(offset, wrong / 65_536 * 65_536);

        flip_bit(&mapping, wrong);
        assert_eq!(job.verify(&mapping, &workers).unwrap(), len_bytes, "verify changed the file");
        drop(mapping);
        scratch.delete().unwrap();
    }
}

#[test]
fn plaintext_that_opens_but_differs_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let workers = Workers::new(2).unwrap();
    let (_scratch, mapping) = filled(dir.path(), &workers, 150_000);
    flip_bit(&mapping, 140_007);
    let mut job = SealJob::new(Suite::default_for_cpu(), 150_000).unwrap();
    job.work(&mapping, &workers).unwrap();
    let error = job.verify(&mapping, &workers).unwrap_err();
    assert!(matches!(error, DemoError::Verification { offset: 140_007, .. }), "{error:?}");
}

#[test]
fn the_first_difference_is_found_wherever_it_is() {
    let mut bytes = vec![7; 3 * 4096 + 5];
    assert_eq!(first_difference(&bytes, 7), None);
    assert_eq!(first_difference(&[], 7), None);
    for place in [3 * 4096 + 4, 3 * 4096, 8191, 4096, 1, 0] {
        bytes[place] = 6;
        assert_eq!(first_difference(&bytes, 7), Some(place));
    }
}

#[test]
fn the_text_holds_the_figures_and_one_conclusion() {
    let dir = tempfile::tempdir().unwrap();
    let mut report = run(&options(dir.path(), 4096, 2)).unwrap();
    report.bytes = 64 << 20;
    report.xor.seconds = 0.004;
    report.aead.seconds = 0.006;
    report.faults.aead = FaultCounts { minor: 12_345, major: 6 };
    report.memory.xor = MemoryGrowth { private_growth_bytes: 524_288, shared_growth_bytes: 64 << 20 };
    report.memory.aead.private_growth_bytes = -4096;
    let text = report.to_string();
    for part in ["4.000 ms", "12345 minor, 6 major", "private +512.0 KiB, shared +64.0 MiB"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(
        report.conclusion(),
        "The file is 64.0 MiB, and private memory grew by 512.0 KiB during the XOR and shrank by 4.0 KiB \
         during the encryption; authenticated encryption took 1.50 times the time of the XOR."
    );
}

#[test]
fn an_empty_file_gets_no_comparison() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(&options(dir.path(), 0, 4)).unwrap();
    assert!(report.conclusion().ends_with("there was too little work to compare their times."));
    assert_eq!(report.xor.gb_per_s, 0.0);
}
