//! The transport connections of a session, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::link::Link;

/// Which one carries it. Hardly any session ever moves, and each packet asks: so the first is there without a lock, and without
/// another reference to it. It stays until the session is over.
#[derive(Debug)]
pub(crate) struct Links {
    first: Arc<Link>,
    /// It is another one now.
    moved: AtomicBool,
    now: watch::Sender<Arc<Link>>,
}

impl Links {
    pub(crate) fn new(first: Arc<Link>) -> Self {
        Links { now: watch::Sender::new(first.clone()), first, moved: AtomicBool::new(false) }
    }

    /// The one that carries it now.
    pub(crate) fn now(&self) -> Arc<Link> {
        self.with(Arc::clone)
    }

    /// Calls `act` with that one. It is not locked meanwhile.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&Arc<Link>) -> R) -> R {
        if !self.have_changed() {
            return act(&self.first);
        }
        let now = self.now.borrow().clone();
        act(&now)
    }

    /// Whether it has changed.
    pub(crate) fn have_changed(&self) -> bool {
        self.moved.load(Ordering::Acquire)
    }

    /// Another one carries it from now on. Returns the one that did. Under the machine's lock.
    pub(crate) fn change(&self, link: Arc<Link>) -> Arc<Link> {
        let old = self.now.send_replace(link);
        self.moved.store(true, Ordering::Release);
        old
    }

    /// Tells of changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Link>> {
        self.now.subscribe()
    }
}
