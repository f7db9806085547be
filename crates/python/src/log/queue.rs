//! Lines on their way from the threads that have something to say to the one that hands them to Python.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Line;
use crate::runtime::{PerProcess, lock};

/// Events that wait for the thread; what comes when it is full is counted and not logged. Enough for every connection of a
/// busy listener to fail at once.
const MAX_WAITING: usize = 1024;

/// How long the interpreter's exit waits until `logging` has what is waiting. What a slow handler has not got then is not
/// logged.
const EXIT_WAIT: Duration = Duration::from_secs(1);

/// The queue of one process.
#[derive(Default)]
pub(super) struct Queue {
    lines: Mutex<VecDeque<Line>>,
    arrived: Condvar,
    /// There are none left.
    taken: Condvar,
    /// Events that found it full, since the last time that was said.
    lost: AtomicU64,
    /// Whether there is a thread that hands them over.
    served: AtomicBool,
}

static QUEUE: PerProcess<Queue> = PerProcess::new();

impl Queue {
    /// The one of this process.
    pub(super) fn ours() -> &'static Self {
        QUEUE.get()
    }

    /// Whether there is no room; if so, one more event is lost.
    pub(super) fn loses_one(&self) -> bool {
        let full = lock(&self.lines).len() >= MAX_WAITING;
        if full {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        full
    }

    pub(super) fn push(&self, line: Line) {
        lock(&self.lines).push_back(line);
        self.arrived.notify_one();
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.lines).len()
    }

    pub(super) fn pop(&self) -> Option<Line> {
        let mut lines = lock(&self.lines);
        let line = lines.pop_front();
        if lines.is_empty() {
            self.taken.notify_all();
        }
        line
    }

    /// How many events found no room since the last time this was asked.
    pub(super) fn lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// Waits until there are lines, at most for `limit`.
    pub(super) fn wait(&self, limit: Duration) {
        let nothing = |lines: &mut VecDeque<Line>| lines.is_empty();
        let woken = self.arrived.wait_timeout_while(lock(&self.lines), limit, nothing);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until there are none left, if somebody takes them.
    pub(super) fn flush(&self) {
        if self.served.load(Ordering::Relaxed) {
            let some = |lines: &mut VecDeque<Line>| !lines.is_empty();
            let empty = self.taken.wait_timeout_while(lock(&self.lines), EXIT_WAIT, some);
            drop(empty.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Has `start` start the thread that takes them, once.
    pub(super) fn serve<E>(&self, start: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.served.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        // What fails now may be possible later.
        start().inspect_err(|_| self.served.store(false, Ordering::Relaxed))
    }
}
