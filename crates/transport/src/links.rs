//! The transport connections of a session, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::link::Link;

/// Which one carries it. Each packet asks, and hardly any session ever moves: asking takes no lock and no other reference.
#[derive(Debug)]
pub(crate) struct Links {
    now: ArcSwap<Link>,
    /// It is not the first one any more.
    changed: AtomicBool,
    changes: watch::Sender<Arc<Link>>,
}

impl Links {
    pub(crate) fn new(first: Arc<Link>) -> Self {
        Links {
            now: ArcSwap::new(first.clone()),
            changed: AtomicBool::new(false),
            changes: watch::Sender::new(first),
        }
    }

    /// The one that carries it now.
    pub(crate) fn now(&self) -> Arc<Link> {
        self.now.load_full()
    }

    /// Calls `act` with that one. It may change meanwhile.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&Arc<Link>) -> R) -> R {
        act(&self.now.load())
    }

    /// Whether it has ever changed.
    pub(crate) fn have_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// Another one carries it from now on. Returns the one that did. Under the machine's lock.
    pub(crate) fn change(&self, link: Arc<Link>) -> Arc<Link> {
        self.changed.store(true, Ordering::Release);
        let old = self.now.swap(link.clone());
        self.changes.send_replace(link);
        old
    }

    /// Tells of changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Link>> {
        self.changes.subscribe()
    }
}
