//! That every case is measured and nothing is left behind or changed. No time is judged.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::ErrorClass;

const SIZE: u64 = 5 << 20;

fn options(path: &Path) -> IoOptions {
    IoOptions {
        path: Some(path.into()),
        size_bytes: SIZE,
        threads: Some(2),
        time_per_case: Duration::from_secs(10),
    }
}

fn expected_cases(report: &IoReport) -> usize {
    let skips = |what: &str| report.skipped.iter().any(|skipped| skipped.what == what);
    let methods = if skips(Method::Direct.name()) { 3 } else { 4 };
    let cold = if skips(CacheState::Cold.name()) { 0 } else { 3 };
    // 1, 4 and 5 MiB with two threads; the largest, in sequence, with one.
    Pattern::ALL.len() * (3 * methods + cold) + methods
}

#[test]
fn a_folder_is_measured_and_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let report = io(&options(dir.path())).unwrap();
    assert!(!report.read_only);
    assert_eq!(report.size_bytes, SIZE);
    assert_eq!(report.rates.len(), expected_cases(&report));
    for rate in &report.rates {
        assert_eq!(rate.bytes, rate.case.size_bytes, "{:?}", rate.case);
        assert!(rate.gb_per_s > 0.0 && rate.durable_gb_per_s.unwrap() <= rate.gb_per_s);
        if rate.case.method == Method::Mmap && rate.case.pattern == Pattern::Sequential {
            assert!(rate.minor_faults + rate.major_faults > 0, "{:?}", rate.case);
        }
    }
    assert!(!report.advice.is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    let text = BenchReport::new(None, Some(report), None).to_string();
    for part in ["mmap, plain faults", "read/write", "random 4 KiB", "TLB", "For this disk:"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn a_file_is_only_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    let content: Vec<u8> = (0..SIZE as usize + 12_345).map(|place| (place % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let before = std::fs::metadata(&path).unwrap();
    let mut permissions = before.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();

    let report = io(&IoOptions { size_bytes: 1 << 40, ..options(&path) }).unwrap();
    assert!(report.read_only);
    assert_eq!(report.size_bytes, SIZE, "cut to whole MiB");
    assert_eq!(report.rates.len(), expected_cases(&report));
    assert!(report.rates.iter().all(|rate| rate.durable_gb_per_s.is_none() && rate.gb_per_s > 0.0));

    let after = std::fs::metadata(&path).unwrap();
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    assert!(std::fs::read(&path).unwrap() == content);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_case_that_takes_too_long_counts_what_it_reached() {
    let dir = tempfile::tempdir().unwrap();
    let report = io(&IoOptions { time_per_case: Duration::ZERO, ..options(dir.path()) }).unwrap();
    assert!(report.rates.iter().any(|rate| rate.bytes < rate.case.size_bytes));
    assert!(report.rates.iter().all(|rate| rate.bytes > 0));
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut IoOptions)| {
        let mut options = options(dir.path());
        change(&mut options);
        io(&options).unwrap_err()
    };
    let error = refused(&|options| options.size_bytes = 1000);
    assert!(matches!(error, BenchError::TooSmall { size_bytes: 1000, .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Usage);
    let error = refused(&|options| options.threads = Some(0));
    assert_eq!(error.class(), ErrorClass::Usage);
    let error = refused(&|options| options.size_bytes = 1 << 60);
    assert!(
        matches!(error, BenchError::NoSpace { needed_bytes, .. } if needed_bytes == 1 << 60),
        "{error:?}"
    );
    let error = refused(&|options| options.path = Some(dir.path().join("missing")));
    assert!(matches!(error, BenchError::Io { what: "open", .. }), "{error:?}");
    let error = refused(&|options| options.path = Some("/dev/null".into()));
    assert!(matches!(error, BenchError::NotMeasurable { .. }), "{error:?}");
    let short = dir.path().join("short");
    std::fs::write(&short, [1; 5000]).unwrap();
    let error = refused(&|options| options.path = Some(short.clone()));
    assert!(matches!(error, BenchError::FileTooShort { len_bytes: 5000, .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Refused);
}

fn job_options(path: &Path) -> JobOptions {
    JobOptions { path: Some(path.into()), size_bytes: SIZE + 12_345, threads: Some(2) }
}

#[test]
fn a_job_is_measured_step_by_step_and_never_has_a_name() {
    let dir = tempfile::tempdir().unwrap();
    // A kill at any moment leaves what is there then.
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let look = |_: &crate::StepSpan| {
        let there = std::fs::read_dir(dir.path()).unwrap().count();
        seen.fetch_add(there, std::sync::atomic::Ordering::SeqCst);
    };
    let figures = job::run(&job_options(dir.path()), &look).unwrap();
    assert_eq!(seen.into_inner(), 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    assert_eq!(figures.size_bytes, SIZE, "cut to whole MiB");
    assert_eq!(figures.threads, 2);
    assert!(figures.gb_per_s > 0.0 && figures.windows >= 2);
    assert_eq!(figures.windows as u64, SIZE.div_ceil(figures.window_bytes));
    for step in &figures.steps {
        let spans: Vec<_> = figures.spans.iter().filter(|span| span.step == step.step).collect();
        assert_eq!(spans.len(), figures.windows);
        assert_eq!(spans.iter().map(|span| span.bytes).sum::<u64>(), SIZE);
        assert!(spans.iter().all(|span| 0.0 <= span.from_seconds && span.to_seconds <= figures.seconds));
        assert!((0.0..=1.0).contains(&step.share));
    }

    let text = BenchReport::new(None, None, Some(figures.clone())).to_string();
    for part in ["A whole job", "prepare", "commit", "store", "settle", &figures.bound] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let json = serde_json::to_value(&figures).unwrap();
    assert_eq!(json["spans"].as_array().unwrap().len(), figures.spans.len());
    assert_eq!(json["steps"].as_array().unwrap().last().unwrap()["step"], "settle");
}

#[test]
fn a_job_is_run_on_nobodys_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    std::fs::write(&path, vec![7; SIZE as usize]).unwrap();
    let error = job(&job_options(&path)).unwrap_err();
    assert!(matches!(error, BenchError::NotAFolder { .. }), "{error:?}");
    assert!(std::fs::read(&path).unwrap() == vec![7; SIZE as usize]);

    let error = job(&JobOptions { size_bytes: 1000, ..job_options(dir.path()) }).unwrap_err();
    assert!(matches!(error, BenchError::TooSmall { .. }), "{error:?}");
    let error = job(&JobOptions { size_bytes: 1 << 60, ..job_options(dir.path()) }).unwrap_err();
    assert!(matches!(error, BenchError::NoSpace { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
