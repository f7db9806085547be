//! What corks keep back, and who sees to it that this is never for long.
//!
//! That is a thread for all sessions of the process, not the writer of each. With hundreds of sessions an event loop comes to
//! each of them every twenty milliseconds; a writer that looks every millisecond has stopped by then, and would have to be
//! called, from another thread, for each visit.
//!
//! Of few frames in flight they keep back [pieces](crate::pieces) only, so that the peer has something to do while the loop goes on.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::alarm;
use crate::shared::Shared;

/// Bytes a cork keeps back at most: four frames of 64 KiB. Written one by one they woke the peer four times.
const CORKED_BYTES: usize = 256 * 1024;

/// How often it is looked what corks keep back: the shortest time the runtime's timers know. What was there at the last look leaves, so
/// that nothing stays for much longer than twice this (timers ring up to a millisecond late): a handler that computes for seconds after
/// it has queued an answer does not hold the answer up. What is newer stays: most of it is about to leave by itself, and calling the
/// writer in the middle of a turn of the loop costs more than that turn's own write.
const CORKED_TIME: Duration = Duration::from_millis(1);

/// How often nobody has to be looked after until the thread sleeps: calling it costs more than it costs to look in vain.
const IDLE_LOOKS: u32 = 20;

/// What corks keep back in one session.
#[derive(Debug, Default)]
pub(crate) struct Corks {
    held: AtomicUsize,
    /// Bytes kept back.
    bytes: AtomicUsize,
    /// They were at the last look, too.
    seen: AtomicBool,
    /// There were some since the last look.
    used: AtomicBool,
    /// It is looked every [`CORKED_TIME`]: without that, nothing is kept back.
    watched: AtomicBool,
    /// An event loop has put one in.
    looped: AtomicBool,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no cork.
    Open,
    /// It stays for the moment.
    Keep,
    /// It leaves, and all that was kept back: that is too much, or nobody would look after it.
    Write,
}

impl Corks {
    /// One more.
    pub(crate) fn put_in(session: &Arc<Shared>) {
        let corks = &session.corks;
        corks.held.fetch_add(1, Ordering::Relaxed);
        corks.looped.store(true, Ordering::Relaxed);
        if !corks.watched.load(Ordering::Relaxed) {
            watch(session);
        }
    }

    /// One less. Whether it was the last.
    pub(crate) fn take_out(&self) -> bool {
        self.held.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// What to do with a packet of `bytes`. Under the machine's lock.
    pub(crate) fn verdict(&self, bytes: usize) -> Verdict {
        if self.held.load(Ordering::Relaxed) == 0 {
            return Verdict::Open;
        }
        if !self.watched.load(Ordering::Relaxed) {
            return Verdict::Write;
        }
        self.used.store(true, Ordering::Relaxed);
        let kept = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if kept < CORKED_BYTES { Verdict::Keep } else { Verdict::Write }
    }

    /// Whether what is queued now leaves with what is kept back already: the writer need not be called. Under the machine's lock.
    pub(crate) fn hold(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
            && self.watched.load(Ordering::Relaxed)
            && self.bytes.load(Ordering::Relaxed) > 0
    }

    /// Whether an event loop has ever put a cork in: it has turns of its own.
    pub(crate) fn is_looped(&self) -> bool {
        self.looped.load(Ordering::Relaxed)
    }

    /// Bytes kept back. Under the machine's lock.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Everything that was kept back is written, or about to be.
    pub(crate) fn let_go(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.seen.store(false, Ordering::Relaxed);
    }

    /// Looks at what is kept back.
    fn look(&self) -> Look {
        let used = self.used.swap(false, Ordering::Relaxed);
        if self.bytes.load(Ordering::Relaxed) > 0 {
            if self.seen.swap(true, Ordering::Relaxed) { Look::Kept } else { Look::Busy }
        } else if used {
            Look::Busy
        } else {
            Look::Idle
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Something is kept back, and was at the last look.
    Kept,
    /// Something is, or was in between.
    Busy,
    /// Nothing was since the last look.
    Idle,
}

/// Sessions that are looked after.
#[derive(Debug)]
struct Watched {
    /// Whose they are: a forked child finds its parent's here, and no thread that looks after them.
    process: u32,
    sessions: Vec<Weak<Shared>>,
    /// There is somebody who does.
    running: bool,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched { process: 0, sessions: Vec::new(), running: false });

/// Looks after a session, unless there is no thread for it, or somebody else is about the same at this moment: in a forked child that may be
/// a thread which is not there any more. Then nothing is kept back.
fn watch(session: &Arc<Shared>) {
    let Ok(mut watched) = WATCHED.try_lock() else { return };
    let process = process::id();
    if watched.process != process {
        *watched = Watched { process, sessions: Vec::new(), running: false };
    }
    if !watched.running {
        let Some(keeper) = alarm::keeper() else { return };
        keeper.spawn(look_after());
        watched.running = true;
    }
    if !session.corks.watched.swap(true, Ordering::Relaxed) {
        watched.sessions.push(Arc::downgrade(session));
    }
}

/// Looks after all of them.
async fn look_after() {
    let mut idle = 0;
    let mut ticks = tokio::time::interval(CORKED_TIME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        // Others may be added meanwhile: who finds the list locked keeps nothing back.
        let mut sessions = std::mem::take(&mut all().sessions);
        sessions.retain(|session| session.upgrade().is_some_and(|session| stays(&session)));
        let mut watched = all();
        watched.sessions.append(&mut sessions);
        idle = if watched.sessions.is_empty() { idle + 1 } else { 0 };
        if idle > IDLE_LOOKS {
            watched.running = false;
            return;
        }
    }
}

fn all() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the writer take what is kept back. Whether there may be more.
fn stays(session: &Shared) -> bool {
    match session.corks.look() {
        Look::Busy => true,
        Look::Kept => {
            session.corks.let_go();
            session.links.with(|link| link.wake_writer.notify_one());
            true
        }
        Look::Idle => {
            // Nothing is queued meanwhile.
            let _machine = session.lock();
            let idle = session.corks.bytes.load(Ordering::Relaxed) == 0;
            session.corks.watched.store(!idle, Ordering::Relaxed);
            !idle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_back_while_nobody_looks() {
        let corks = Corks::default();
        assert_eq!(corks.verdict(100), Verdict::Open, "there is no cork");
        corks.held.store(1, Ordering::Relaxed);
        assert_eq!(corks.verdict(100), Verdict::Write);
        assert!(!corks.hold());
        corks.watched.store(true, Ordering::Relaxed);
        assert_eq!(corks.verdict(100), Verdict::Keep);
        assert_eq!(corks.verdict(CORKED_BYTES), Verdict::Write, "it is too much");
    }

    #[test]
    fn the_writer_is_not_called_for_what_leaves_with_what_is_kept_back() {
        let corks = Corks::default();
        corks.held.store(1, Ordering::Relaxed);
        corks.watched.store(true, Ordering::Relaxed);
        assert!(!corks.hold(), "nothing is, and nobody would come for it");
        corks.verdict(100);
        assert!(corks.hold());
        corks.let_go();
        assert!(!corks.hold());
    }

    #[test]
    fn a_session_is_looked_at_until_it_has_kept_nothing_back() {
        let corks = Corks::default();
        corks.held.store(1, Ordering::Relaxed);
        corks.watched.store(true, Ordering::Relaxed);
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Busy);
        corks.let_go();
        corks.verdict(100);
        corks.let_go();
        assert_eq!(corks.look(), Look::Busy, "it came and went between two looks");
        assert_eq!(corks.look(), Look::Idle);
    }

    #[test]
    fn what_was_kept_back_at_the_last_look_leaves() {
        let corks = Corks::default();
        corks.held.store(1, Ordering::Relaxed);
        corks.watched.store(true, Ordering::Relaxed);
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Busy);
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Kept, "a part of it has been there for long");
        corks.let_go();
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Busy, "all of it is new");
        corks.let_go();
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Busy, "and again");
    }
}
