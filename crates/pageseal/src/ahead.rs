//! What a thread of its own reads ahead of time, so that nobody waits for it when it is needed.

use std::thread::{Builder, Result, Scope, ScopedJoinHandle};

/// Bytes of a request where large ones are much faster.
pub(crate) const LARGE_READ_BYTES: u64 = 16 << 20;

/// Bytes of memory that reading so takes: one that is worked on, the next, and one that is given back.
pub(crate) const LARGE_READS_BYTES: u64 = 3 * LARGE_READ_BYTES;

/// At most one read at a time, named by what begins with it: an offset, or a chunk.
pub(crate) struct Ahead<'scope, 'env, T> {
    scope: &'scope Scope<'scope, 'env>,
    pending: Option<(u64, Reading<'scope, T>)>,
}

enum Reading<'scope, T> {
    UnderWay(ScopedJoinHandle<'scope, T>),
    Done(T),
}

impl<'scope, 'env, T: Send + 'scope> Ahead<'scope, 'env, T> {
    /// Nothing is read yet.
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        Ahead { scope, pending: None }
    }

    /// Begins to read what begins at `start`. If there is no thread to be had, nothing is begun, and whoever needs it has to read it.
    pub(crate) fn start(&mut self, start: u64, read: impl FnOnce() -> T + Send + 'scope) {
        self.end();
        if let Ok(thread) = Builder::new().name("pageseal-read".into()).spawn_scoped(self.scope, read) {
            self.pending = Some((start, Reading::UnderWay(thread)));
        }
    }

    /// Reads it now, where a thread would run at a time that nobody can repeat. In the same order it is all the same.
    pub(crate) fn read_now(&mut self, start: u64, read: impl FnOnce() -> T) {
        self.end();
        self.pending = Some((start, Reading::Done(read())));
    }

    /// What begins at `start`, waited for, if it was begun. The error is a panic.
    pub(crate) fn take(&mut self, start: u64) -> Option<Result<T>> {
        match self.pending.take_if(|(begun, _)| *begun == start)?.1 {
            Reading::UnderWay(thread) => Some(thread.join()),
            Reading::Done(read) => Some(Ok(read)),
        }
    }
}

impl<T> Ahead<'_, '_, T> {
    /// After an error nobody asks for what is being read. Not joined, a panic in there would become one of the caller's.
    fn end(&mut self) {
        if let Some((_, Reading::UnderWay(thread))) = self.pending.take() {
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Ahead<'_, '_, T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_found_under_its_start_alone() {
        std::thread::scope(|scope| {
            let mut ahead = Ahead::new(scope);
            assert!(ahead.take(0).is_none());
            ahead.start(7, || 1);
            assert!(ahead.take(8).is_none());
            assert_eq!(ahead.take(7).unwrap().unwrap(), 1);
            assert!(ahead.take(7).is_none());
            ahead.read_now(9, || 2);
            assert_eq!(ahead.take(9).unwrap().unwrap(), 2);
        });
    }

    #[test]
    fn a_panic_reaches_whoever_asks_and_nobody_else() {
        std::thread::scope(|scope| {
            let mut ahead: Ahead<'_, '_, ()> = Ahead::new(scope);
            let panic = || std::panic::panic_any("on purpose");
            ahead.start(0, panic);
            assert!(ahead.take(0).unwrap().is_err());
            ahead.start(1, panic);
            ahead.start(2, panic);
        });
    }
}
