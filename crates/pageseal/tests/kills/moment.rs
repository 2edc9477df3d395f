//! When a child is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use super::child::{Answer, Order, Running};
use super::found::wait_for_window;
use super::support::Generator;

/// A moment in the life of a child.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// So long after the first window's commit.
    AfterFirstWindow(Duration),
    /// So long after the commit of this window: lands in time also when the machine's speed changes.
    AfterWindow(u64, Duration),
    /// So long after the start, wherever that is.
    Anywhere(Duration),
}

/// How long a job takes that nobody kills.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub whole: Duration,
    /// From the first window's commit to the end.
    pub rest: Duration,
    pub windows: u64,
}

impl Pace {
    /// Runs `order` to its end.
    pub fn measure(order: &Order, journal: &Path, runtime: &Path) -> Self {
        let started = Instant::now();
        let mut child = Running::start(order, runtime);
        let windows = wait_for_window(journal, 1, &mut child).expect("the job ended without a window");
        let first = Instant::now();
        let answer = child.finish();
        assert!(matches!(answer, Answer::Done { .. }), "{order:?}: {answer:?}");
        Pace { whole: started.elapsed(), rest: first.elapsed(), windows }
    }

    /// The measured job was slower than those that follow.
    pub fn was_too_slow(&mut self) {
        self.rest = self.rest * 9 / 10;
        self.whole = self.whole * 9 / 10;
    }

    /// A moment, most likely between the first window's commit and FINISHED. The last tenth of a job is names and the end
    /// of the process, and the next job may be faster, so it is left to the moments behind the last windows.
    pub fn draw(&self, generator: &mut Generator) -> Moment {
        match generator.below(20) {
            0..=12 => Moment::AfterFirstWindow(below(self.rest * 9 / 10, generator)),
            13..=17 => {
                let window = 1 + generator.below(self.windows);
                Moment::AfterWindow(window, below(self.rest / self.windows as u32, generator))
            }
            _ => Moment::Anywhere(below(self.whole, generator)),
        }
    }
}

/// A time below `bound`.
pub fn below(bound: Duration, generator: &mut Generator) -> Duration {
    Duration::from_nanos(generator.below(bound.as_nanos().max(1) as u64))
}

/// Starts a child and kills it at a moment. Its answer, if it was done before that.
pub fn kill_at(moment: Moment, order: &Order, journal: &Path, runtime: &Path) -> Option<Answer> {
    let mut child = Running::start(order, runtime);
    let pause = match moment {
        Moment::Anywhere(pause) => pause,
        Moment::AfterFirstWindow(pause) => {
            wait_for_window(journal, 1, &mut child);
            pause
        }
        Moment::AfterWindow(window, pause) => {
            wait_for_window(journal, window, &mut child);
            pause
        }
    };
    std::thread::sleep(pause);
    child.kill()
}
