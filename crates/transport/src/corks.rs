//! What corks keep back, and who sees to it that this is never for long.
//!
//! That is a thread for all sessions of the process, not the writer of each. With hundreds of sessions an event loop comes to
//! each of them every twenty milliseconds; a writer that looks every millisecond has stopped by then, and would have to be
//! called, from another thread, for each visit.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::alarm;
use crate::clock;
use crate::shared::Shared;

/// Bytes a cork keeps back at most: four frames of 64 KiB. Written one by one they woke the peer four times.
const CORKED_BYTES: usize = 256 * 1024;

/// How long a cork keeps anything back at most, twice over: the shortest time the runtime's timers know. A handler that
/// computes for seconds after it has queued an answer does not hold the answer up.
const CORKED_TIME: Duration = Duration::from_millis(1);

/// How often nobody has to be looked after until the thread sleeps: calling it costs more than it costs to look in vain.
const IDLE_LOOKS: u32 = 20;

/// What corks keep back in one session.
#[derive(Debug, Default)]
pub(crate) struct Corks {
    held: AtomicUsize,
    /// Bytes kept back.
    bytes: AtomicUsize,
    /// They were there at the last look.
    aged: AtomicBool,
    /// It is looked every [`CORKED_TIME`]: without that, nothing is kept back.
    watched: AtomicBool,
    /// A frame, or the answer to one, has been received and nothing has been queued since.
    news: AtomicBool,
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
        if !corks.watched.load(Ordering::Relaxed) {
            watch(session);
        }
    }

    /// One less. Whether it was the last.
    pub(crate) fn take_out(&self) -> bool {
        self.held.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// A frame, or the answer to one, has been received. Under the machine's lock.
    pub(crate) fn note_news(&self) {
        self.news.store(true, Ordering::Relaxed);
    }

    /// Whether what is queued now is the first since then. Under the machine's lock.
    pub(crate) fn answers_news(&self) -> bool {
        let first = self.news.load(Ordering::Relaxed);
        if first {
            self.news.store(false, Ordering::Relaxed);
        }
        first
    }

    /// What to do with a packet of `bytes`. Under the machine's lock.
    pub(crate) fn verdict(&self, bytes: usize) -> Verdict {
        if self.held.load(Ordering::Relaxed) == 0 {
            return Verdict::Open;
        }
        if !self.watched.load(Ordering::Relaxed) {
            return Verdict::Write;
        }
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before == 0 {
            self.aged.store(false, Ordering::Relaxed);
        }
        if before + bytes < CORKED_BYTES { Verdict::Keep } else { Verdict::Write }
    }

    /// Whether what is queued leaves when a cork is taken out, or at the latest when it has been kept back for long: the writer need
    /// not be called. Under the machine's lock.
    pub(crate) fn hold(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0 && self.watched.load(Ordering::Relaxed)
    }

    /// Everything that was kept back is written, or about to be.
    pub(crate) fn let_go(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Looks at what is kept back.
    fn look(&self) -> Look {
        let kept = self.bytes.load(Ordering::Relaxed) > 0;
        match (kept, self.aged.swap(true, Ordering::Relaxed)) {
            (true, true) => Look::Late,
            (false, true) => Look::Idle,
            _ => Look::Busy,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Something has been kept back since the last look, or may have been.
    Busy,
    /// Something that was there at the last look still is.
    Late,
    /// Nothing was kept back for as long.
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
    loop {
        clock::sleep_until(Some(clock::now() + CORKED_TIME)).await;
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.sessions.retain(|session| session.upgrade().is_some_and(|session| stays(&session)));
        idle = if watched.sessions.is_empty() { idle + 1 } else { 0 };
        if idle > IDLE_LOOKS {
            watched.running = false;
            return;
        }
    }
}

/// Has the writer take what has been kept back for long. Whether there may be more.
fn stays(session: &Shared) -> bool {
    match session.corks.look() {
        Look::Busy => true,
        Look::Late => {
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
        assert!(!corks.hold());
        assert_eq!(corks.verdict(100), Verdict::Write);
        corks.watched.store(true, Ordering::Relaxed);
        assert!(corks.hold());
        assert_eq!(corks.verdict(100), Verdict::Keep);
        assert_eq!(corks.verdict(CORKED_BYTES), Verdict::Write, "it is too much");
    }

    #[test]
    fn what_was_there_at_the_last_look_is_late() {
        let corks = Corks::default();
        corks.held.store(1, Ordering::Relaxed);
        corks.watched.store(true, Ordering::Relaxed);
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Busy);
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Late, "the first of them");
        corks.let_go();
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Busy, "another one");
        corks.let_go();
        assert_eq!(corks.look(), Look::Idle);
        corks.verdict(100);
        assert_eq!(corks.look(), Look::Busy, "a third one");
    }
}
