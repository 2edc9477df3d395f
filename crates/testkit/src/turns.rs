//! One thread at a time, in an order that a seed decides: so a run of many threads can be repeated, operation by operation.

use std::sync::{Condvar, Mutex, MutexGuard};

use pageseal::simulation::Schedule;

use crate::Generator;

/// Who has the turn.
#[derive(Debug)]
pub struct Turns {
    table: Mutex<Table>,
    /// One for each thread, so that only the next one is woken.
    called: [Condvar; MOST_THREADS],
}

const MOST_THREADS: usize = 4;

#[derive(Debug)]
struct Table {
    generator: Generator,
    current: usize,
    /// Threads that have not left. Empty while only one thread runs.
    present: Vec<usize>,
}

thread_local! {
    static THREAD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Turns {
    /// The order that `seed` decides.
    pub fn new(seed: u64) -> Self {
        let table = Table { generator: Generator::new(seed), current: 0, present: Vec::new() };
        Turns { table: Mutex::new(table), called: std::array::from_fn(|_| Condvar::new()) }
    }

    /// Called at each operation on the disk: the turn may go to another thread.
    pub fn at_operation(&self) {
        let mut table = self.lock();
        if table.present.len() > 1 && table.generator.below(2) == 0 {
            self.pass_on(table);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the turn to anyone who is present, and waits until it is back.
    fn pass_on(&self, mut table: MutexGuard<'_, Table>) {
        let me = THREAD.get();
        let Some(next) = table.next() else { return };
        if next != me {
            self.called[next].notify_one();
            drop(self.wait_for_turn(table, me));
        }
    }

    fn wait_for_turn<'a>(&self, mut table: MutexGuard<'a, Table>, me: usize) -> MutexGuard<'a, Table> {
        while table.current != me {
            table = self.called[me].wait(table).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        table
    }
}

impl Table {
    fn next(&mut self) -> Option<usize> {
        if self.present.is_empty() {
            return None;
        }
        self.current = *self.generator.pick(&self.present);
        Some(self.current)
    }
}

impl Schedule for Turns {
    fn begin(&self, threads: usize) {
        assert!(threads <= MOST_THREADS, "{threads} threads are more than there is room for");
        THREAD.set(0);
        let mut table = self.lock();
        table.present = (0..threads).collect();
        table.current = 0;
    }

    fn enter(&self, thread: usize) {
        THREAD.set(thread);
        drop(self.wait_for_turn(self.lock(), thread));
    }

    fn pause(&self) {
        self.pass_on(self.lock());
    }

    fn leave(&self) {
        let me = THREAD.get();
        let mut table = self.lock();
        table.present.retain(|thread| *thread != me);
        if let Some(next) = table.next() {
            self.called[next].notify_one();
        }
        THREAD.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn order_of(seed: u64) -> Vec<usize> {
        let turns = Turns::new(seed);
        let order = Mutex::new(Vec::new());
        turns.begin(3);
        let work = |thread: usize| {
            for _ in 0..20 {
                turns.at_operation();
                order.lock().unwrap().push(thread);
            }
            turns.leave();
        };
        std::thread::scope(|scope| {
            for thread in 1..3 {
                let (turns, work) = (&turns, &work);
                scope.spawn(move || {
                    turns.enter(thread);
                    work(thread);
                });
            }
            work(0);
        });
        order.into_inner().unwrap()
    }

    #[test]
    fn a_seed_decides_the_order() {
        let orders: std::collections::BTreeSet<_> = (0..20).map(order_of).collect();
        assert!(orders.len() > 15);
        for seed in 0..20 {
            assert_eq!(order_of(seed), order_of(seed));
        }
    }
}
