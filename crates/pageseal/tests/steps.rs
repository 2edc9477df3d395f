//! What a job tells of its steps: each of them once for every window, in order, whatever the store.

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;

use pageseal::{
    Cancellation, Control, DecryptOptions, EncryptOptions, IoChoice, Progress, ResilienceChoice, Step,
    StepSpan, decrypt_in_place, encrypt_in_place,
};
use support::{Keys, folder, write_content};

const LEN: u64 = (21 << 20) + 4321;
const CHUNK: u64 = 65536;

#[derive(Default)]
struct Spans(Mutex<Vec<StepSpan>>);

impl Progress for Spans {
    fn step(&self, step: &StepSpan) {
        self.0.lock().unwrap().push(*step);
    }
}

/// Runs a job and checks what it told.
fn told(case: &str, reads_ahead: bool, job: impl FnOnce(&Control<'_>)) {
    let spans = Spans::default();
    job(&Control { progress: &spans, cancellation: Cancellation::new() });
    let spans = spans.0.into_inner().unwrap();
    let mut windows: BTreeMap<u64, Vec<StepSpan>> = BTreeMap::new();
    for span in &spans {
        windows.entry(span.first_chunk).or_default().push(*span);
    }
    let steps: Vec<Step> =
        Step::ALL.into_iter().filter(|step| reads_ahead || *step != Step::ReadAhead).collect();
    let mut next_chunk = 0;
    let mut bytes = 0;
    for (first_chunk, of_window) in windows {
        assert_eq!(first_chunk, next_chunk, "{case}: no gap and no chunk twice");
        let mut of_window = of_window;
        of_window.sort_by_key(|span| span.step);
        assert_eq!(
            of_window.iter().map(|span| span.step).collect::<Vec<_>>(),
            steps,
            "{case}: {first_chunk}"
        );
        for span in &of_window {
            assert!(span.started <= span.ended, "{case}");
            assert_eq!((span.chunks, span.bytes), (of_window[0].chunks, of_window[0].bytes), "{case}");
        }
        for pair in of_window.windows(2) {
            assert!(pair[0].ended <= pair[1].started, "{case}: {pair:?}");
        }
        next_chunk += of_window[0].chunks;
        bytes += of_window[0].bytes;
    }
    assert_eq!((next_chunk, bytes), (LEN.div_ceil(CHUNK), LEN), "{case}");
    // One thread does a step, so it is never in two windows at a time.
    for step in steps {
        let mut of_step: Vec<&StepSpan> = spans.iter().filter(|span| span.step == step).collect();
        of_step.sort_by_key(|span| span.started);
        assert!(of_step.windows(2).all(|pair| pair[0].ended <= pair[1].started), "{case}: {step:?}");
        assert!(of_step.windows(2).all(|pair| pair[0].first_chunk < pair[1].first_chunk), "{case}: {step:?}");
    }
}

#[test]
fn every_step_of_every_window_is_told_once_and_in_order() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let plain = folder.path().join("file");
    let sealed = folder.path().join("file.sealed");
    write_content(&plain, LEN, 7);
    let cases = [
        (IoChoice::Buffered, ResilienceChoice::Checksum),
        (IoChoice::Buffered, ResilienceChoice::Journal),
        (IoChoice::Buffered, ResilienceChoice::None),
        (IoChoice::Mmap, ResilienceChoice::Process),
        (IoChoice::Direct, ResilienceChoice::Checksum),
    ];
    for (io, resilience) in cases {
        // Where direct I/O is refused the file goes through the cache, and nothing is read ahead.
        let options = EncryptOptions { io, resilience, accept_data_loss: true, ..EncryptOptions::default() };
        let reads_ahead = pageseal::plan_encrypt(&plain, &options).unwrap().io == "direct";
        told(&format!("encrypt, {io:?}, {resilience:?}"), reads_ahead, |control| {
            encrypt_in_place(&plain, std::slice::from_ref(&keys.recipient), &options, control).unwrap();
        });
        let options = DecryptOptions { io, resilience, accept_data_loss: true, ..DecryptOptions::default() };
        told(&format!("decrypt, {io:?}, {resilience:?}"), reads_ahead, |control| {
            decrypt_in_place(&sealed, &keys.identities(), &options, control).unwrap();
        });
    }
}
