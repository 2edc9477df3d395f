//! The hand-over under loom, which runs each of these through every order in which its threads can meet at a lock or a
//! condition. A lost wake-up is a deadlock, which loom reports.

use loom::sync::Arc;
use loom::thread;

use self::handover::Handover;

/// The primitives that the module below is built from.
mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

/// The very source of the product, on loom's primitives.
#[path = "handover.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source on other primitives is the point")]
mod handover;

type Windows = Handover<'static, u64, u64, u64, &'static str>;

const LAST: u64 = 3;
/// As with a ring of two slots: a window may be committed when the one two before it is settled.
const IN_FLIGHT: u64 = 2;

/// Everything that three threads can do within two preemptions, which is where such faults show (Musuvathi, Qadeer:
/// "Iterative context bounding", PLDI 2007).
fn explore(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(run);
}

fn commit(windows: &Windows) -> u64 {
    let mut given = 0;
    for window in 1..=LAST {
        let far_enough = |mark: &u64| *mark + IN_FLIGHT >= window;
        if windows.wait_until(far_enough).is_none() || !windows.give_committed(window) {
            break;
        }
        given = window;
    }
    windows.close_committed();
    given
}

fn store(windows: &Windows, fails_at: u64) {
    let mut before = 0;
    while let Some(window) = windows.take_committed() {
        assert_eq!(window, before + 1, "windows keep their order");
        before = window;
        if window == fails_at {
            windows.fail("store");
            break;
        }
        if !windows.give_stored(window) {
            break;
        }
    }
    windows.close_stored();
}

fn settle(windows: &Windows, fails_at: u64) {
    let mut before = 0;
    while let Some(window) = windows.take_stored() {
        assert_eq!(window, before + 1, "windows keep their order");
        before = window;
        if window == fails_at {
            return windows.fail("settle");
        }
        windows.settled(window);
    }
}

fn run(store_fails_at: u64, settle_fails_at: u64) -> (u64, (u64, Option<&'static str>)) {
    let windows = Arc::new(Windows::new(0, None));
    let (storing, settling) = (Arc::clone(&windows), Arc::clone(&windows));
    let storing = thread::spawn(move || store(&storing, store_fails_at));
    let settling = thread::spawn(move || settle(&settling, settle_fails_at));
    let given = commit(&windows);
    storing.join().unwrap();
    settling.join().unwrap();
    (given, windows.end())
}

#[test]
fn every_window_is_settled_in_whatever_order_the_stages_meet() {
    explore(|| {
        assert_eq!(run(0, 0), (LAST, (LAST, None)));
    });
}

#[test]
fn a_store_that_fails_ends_all_stages_and_settles_nothing_after_it() {
    explore(|| {
        let (_, (mark, failure)) = run(2, 0);
        assert!(mark <= 1, "window 2 was never stored");
        assert_eq!(failure, Some("store"));
    });
}

#[test]
fn a_sync_that_fails_ends_all_stages() {
    explore(|| {
        let (given, (mark, failure)) = run(0, 1);
        assert_eq!((mark, failure), (0, Some("settle")));
        assert!(given <= IN_FLIGHT, "window {given} was given before window 1 was settled");
    });
}

#[test]
fn the_first_failure_is_kept() {
    explore(|| {
        let windows = Arc::new(Windows::new(7, None));
        let other = Arc::clone(&windows);
        let failing = thread::spawn(move || other.fail("other"));
        windows.fail("own");
        let first = if windows.has_failed() { windows.wait_until(|_| false) } else { Some(0) };
        failing.join().unwrap();
        assert_eq!(first, None);
        let (mark, failure) = windows.end();
        assert_eq!(mark, 7);
        assert!(failure == Some("own") || failure == Some("other"));
    });
}
