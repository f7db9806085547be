//! What a listener's clients wait in, and the clock that counts how long they take.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nnrp_transport::clock;
use tokio::sync::Notify;

/// A limited number of places for clients nobody has decided about.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// One of the [`Places`]. Free again when all clones are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held to be dropped")] Arc<Taken>);

#[derive(Debug)]
struct Taken(Arc<AtomicUsize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(crate) fn new(limit: usize) -> Self {
        Places { taken: Arc::default(), limit }
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A place, if one is free.
    pub(crate) fn take(&self) -> Option<Place> {
        let limit = self.limit;
        let one_more = |taken: usize| (taken < limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place(Arc::new(Taken(self.taken.clone()))))
    }
}

/// A queue whose readers wait; bounded by its users, each of whom holds a [`Place`]. After it was closed, what is
/// pushed is dropped: a connection that finishes its handshake then has nobody to talk to.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// `None` once closed.
    items: Mutex<Option<VecDeque<T>>>,
    arrived: Notify,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { items: Mutex::new(Some(VecDeque::new())), arrived: Notify::new() }
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<T>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, item: T) {
        if let Some(items) = self.lock().as_mut() {
            items.push_back(item);
            self.arrived.notify_one();
        }
    }

    pub(crate) fn put_back(&self, item: T) {
        if let Some(items) = self.lock().as_mut() {
            items.push_front(item);
            self.arrived.notify_one();
        }
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.lock().as_mut()?.pop_front()
    }

    fn has_items(&self) -> bool {
        self.lock().as_ref().is_some_and(|items| !items.is_empty())
    }

    pub(crate) fn close(&self) {
        let items = self.lock().take();
        drop(items);
    }

    /// The next item. Cancel-safe: a notification that is not used goes to the next waiter.
    pub(crate) async fn next(&self) -> T {
        loop {
            let arrived = self.arrived.notified();
            if let Some(item) = self.take() {
                // One notification may stand for several items.
                if self.has_items() {
                    self.arrived.notify_one();
                }
                return item;
            }
            arrived.await;
        }
    }

    /// Waits until there is an item.
    pub(crate) async fn wait(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.has_items() {
                return;
            }
            arrived.await;
        }
    }
}

/// A clock that runs only while somebody accepts: a server that finishes one session before it accepts the next
/// must not find its waiting clients timed out.
#[derive(Debug, Default)]
pub(crate) struct AcceptClock {
    state: Mutex<ClockState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct ClockState {
    accepting: usize,
    ran: Duration,
    since: Option<Instant>,
}

pub(crate) struct Running<'a>(&'a AcceptClock);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.accepting -= 1;
        if state.accepting == 0 {
            if let Some(since) = state.since.take() {
                state.ran += clock::now().saturating_duration_since(since);
            }
            drop(state);
            self.0.changed.notify_waiters();
        }
    }
}

impl AcceptClock {
    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn run(&self) -> Running<'_> {
        let mut state = self.lock();
        state.accepting += 1;
        if state.accepting == 1 {
            state.since = Some(clock::now());
            drop(state);
            self.changed.notify_waiters();
        }
        Running(self)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let state = self.lock();
        state.ran + state.since.map_or(Duration::ZERO, |since| clock::now().saturating_duration_since(since))
    }

    /// Waits until the clock shows `at`.
    pub(crate) async fn reached(&self, at: Duration) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let deadline = {
                let state = self.lock();
                state.since.and_then(|since| since.checked_add(at.saturating_sub(state.ran)))
            };
            if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = clock::sleep_until(deadline) => {}
            }
        }
    }
}
