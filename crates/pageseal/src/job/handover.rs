//! Handing windows from stage to stage: a place for one window before each stage, how far the disk is, and the first failure.
//!
//! All of it is one state behind one lock, so that every stage sees a failure when it next asks. The tests walk through
//! every order in which the threads can meet here.

use super::sync::{Condvar, Mutex, MutexGuard};
use crate::surroundings::Schedule;

/// What the three stages of a pipeline share. `C` waits to be stored, `S` to be settled; `M` says how far the disk is, `E` why
/// it went no further.
pub(crate) struct Handover<'s, C, S, M, E> {
    state: Mutex<State<C, S, M, E>>,
    changed: Condvar,
    schedule: Option<&'s dyn Schedule>,
}

struct State<C, S, M, E> {
    committed: Place<C>,
    stored: Place<S>,
    mark: M,
    failure: Option<E>,
}

/// Room for one window between two stages.
struct Place<T> {
    window: Option<T>,
    /// Nothing more will come.
    closed: bool,
}

impl<T> Place<T> {
    const EMPTY: Self = Place { window: None, closed: false };
}

impl<'s, C, S, M: Copy, E> Handover<'s, C, S, M, E> {
    /// Begins with nothing on its way and the disk at `mark`.
    pub(crate) fn new(mark: M, schedule: Option<&'s dyn Schedule>) -> Self {
        let state = State { committed: Place::EMPTY, stored: Place::EMPTY, mark, failure: None };
        Handover { state: Mutex::new(state), changed: Condvar::new(), schedule }
    }

    /// Hands a committed window to the store stage, once there is room. `false` after a failure.
    pub(crate) fn give_committed(&self, window: C) -> bool {
        self.give(window, |state| &mut state.committed)
    }

    /// The next committed window; `None` when there will be none, or after a failure.
    pub(crate) fn take_committed(&self) -> Option<C> {
        self.take(|state| &mut state.committed)
    }

    /// No more committed windows will come.
    pub(crate) fn close_committed(&self) {
        self.change(|state| state.committed.closed = true);
    }

    /// Hands a stored window to the settle stage, once there is room. `false` after a failure.
    pub(crate) fn give_stored(&self, window: S) -> bool {
        self.give(window, |state| &mut state.stored)
    }

    /// The next stored window; `None` when there will be none, or after a failure.
    pub(crate) fn take_stored(&self) -> Option<S> {
        self.take(|state| &mut state.stored)
    }

    /// No more stored windows will come.
    pub(crate) fn close_stored(&self) {
        self.change(|state| state.stored.closed = true);
    }

    /// Says how far the disk is now.
    pub(crate) fn settled(&self, mark: M) {
        self.change(|state| state.mark = mark);
    }

    /// Waits until the disk is far enough. `None` after a failure.
    pub(crate) fn wait_until(&self, is_far_enough: impl Fn(&M) -> bool) -> Option<M> {
        let state = self.wait_while(|state| !is_far_enough(&state.mark));
        state.failure.is_none().then_some(state.mark)
    }

    /// Latches the first failure; later ones are its consequences.
    pub(crate) fn fail(&self, cause: E) {
        self.change(|state| {
            state.failure.get_or_insert(cause);
        });
    }

    /// Whether a stage has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// How far the disk is in the end, and the first failure.
    pub(crate) fn end(&self) -> (M, Option<E>) {
        let mut state = self.lock();
        (state.mark, state.failure.take())
    }

    fn give<T>(&self, window: T, place: impl Fn(&mut State<C, S, M, E>) -> &mut Place<T>) -> bool {
        let mut state = self.wait_while(|state| place(state).window.is_some());
        if state.failure.is_some() {
            return false;
        }
        place(&mut state).window = Some(window);
        drop(state);
        self.changed.notify_all();
        true
    }

    fn take<T>(&self, place: impl Fn(&mut State<C, S, M, E>) -> &mut Place<T>) -> Option<T> {
        let mut state = self.wait_while(|state| {
            let place = place(state);
            place.window.is_none() && !place.closed
        });
        if state.failure.is_some() {
            return None;
        }
        let window = place(&mut state).window.take();
        drop(state);
        self.changed.notify_all();
        window
    }

    fn change(&self, change: impl FnOnce(&mut State<C, S, M, E>)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits as long as the condition holds, and no longer than until the first failure.
    fn wait_while(
        &self,
        condition: impl Fn(&mut State<C, S, M, E>) -> bool,
    ) -> MutexGuard<'_, State<C, S, M, E>> {
        let mut state = self.lock();
        while state.failure.is_none() && condition(&mut state) {
            state = self.wait(state);
        }
        state
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State<C, S, M, E>>) -> MutexGuard<'a, State<C, S, M, E>> {
        let Some(schedule) = self.schedule else {
            return self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        };
        drop(state);
        schedule.pause();
        self.lock()
    }

    /// The state is whole at every point where a panic could poison the lock.
    fn lock(&self) -> MutexGuard<'_, State<C, S, M, E>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
