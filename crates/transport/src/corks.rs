//! What corks keep back, and who sees to it that this is never for long.
//!
//! That is a thread for all sessions of the process, not the writer of each. With hundreds of sessions an event loop comes to
//! each of them every twenty milliseconds; a writer that looks every millisecond has stopped by then, and would have to be
//! called, from another thread, for each visit.
//!
//! Of few frames in flight they keep back pieces only, so that the peer has something to do while the loop goes on.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
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

/// Of so few frames in flight a cork keeps back less than a third. With eight of 4 KiB a loop and its peer slept in
/// turns, and had two thirds of the frames; with more of them both have enough to do, and each piece costs a system call and wakes the peer.
const FEW_FRAMES: usize = 16;

/// The part of them that leaves before the turn is over.
const SHARE: usize = 3;

/// No piece is smaller: one frame is not worth a system call.
const LEAST_PIECE: usize = 2;

/// Nor larger in bytes: writing it takes the loop longer than the peer sleeps meanwhile.
const PIECE_BYTES: usize = 64 * 1024;

/// Packets after which a third of the most frames in flight is still remembered: a loop with thirty of them reads sixteen at a time, and
/// thirty now and then.
const FORGET: usize = 256;

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
    /// A frame, or the answer to one, has been received and nothing has been queued since.
    news: AtomicBool,
    /// The most frames in flight of late, in parts of [`FORGET`].
    most: AtomicUsize,
    /// An event loop has put one in.
    looped: AtomicBool,
    /// Frames without an answer when something was queued last.
    live: AtomicUsize,
    /// Answers that QUIC was handed since something was received, and has not sent as far as is known.
    unsent: AtomicUsize,
    /// Whoever receives next lets others run before.
    gives_way: AtomicBool,
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

    /// Whether what is kept back is a piece that leaves now: `waiting` packets, with so many frames in flight. Under the machine's lock.
    pub(crate) fn is_piece(&self, waiting: usize, in_flight: usize) -> bool {
        let before = self.most.load(Ordering::Relaxed);
        let most = (in_flight * FORGET).max(before - before / FORGET);
        self.most.store(most, Ordering::Relaxed);
        waiting >= LEAST_PIECE
            && most <= FEW_FRAMES * FORGET
            && waiting * SHARE >= in_flight
            && self.bytes.load(Ordering::Relaxed) <= PIECE_BYTES
    }

    /// Whether frames without an answer are fewer than when something was queued last, so that what has just been queued ended one: parts of
    /// answers, hints and what else leaves meanwhile make no piece. Under the machine's lock.
    pub(crate) fn has_fewer(&self, live: usize) -> bool {
        live < self.live.swap(live, Ordering::Relaxed)
    }

    /// Whether an event loop has ever put a cork in: it has turns of its own.
    pub(crate) fn is_looped(&self) -> bool {
        self.looped.load(Ordering::Relaxed)
    }

    /// QUIC is handed a frame or the end of an answer, the `first` packet since something was received; it sends when the caller gives up
    /// its turn. The caller is to do that if what it has is a piece, and pieces `help`. Under the machine's lock.
    pub(crate) fn hand_on(&self, first: bool, help: bool, in_flight: impl FnOnce(usize) -> usize) {
        let unsent = if first { 1 } else { self.unsent.load(Ordering::Relaxed) + 1 };
        let is_piece = self.is_piece(unsent, in_flight(unsent));
        self.unsent.store(if is_piece { 0 } else { unsent }, Ordering::Relaxed);
        if is_piece && help {
            self.gives_way.store(true, Ordering::Relaxed);
        }
    }

    /// Whether whoever receives next lets others run before. Once.
    pub(crate) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed) && self.gives_way.swap(false, Ordering::Relaxed)
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

/// Whether anybody can run while we go on: on one core pieces are only more work.
pub(crate) fn has_cores() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().map_or(true, |cores| cores.get() > 1))
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

    /// What leaves, and when, of `frames` that all were there and are answered one after the other.
    fn pieces(corks: &Corks, frames: usize, bytes: usize) -> Vec<usize> {
        corks.held.store(1, Ordering::Relaxed);
        corks.watched.store(true, Ordering::Relaxed);
        let (mut pieces, mut waiting) = (Vec::new(), 0);
        for live in (0..frames).rev() {
            waiting += 1;
            assert_eq!(corks.verdict(bytes), Verdict::Keep);
            if corks.is_piece(waiting, live + waiting) {
                corks.let_go();
                pieces.push(std::mem::take(&mut waiting));
            }
        }
        pieces
    }

    #[test]
    fn of_few_frames_a_third_leaves_at_a_time() {
        assert_eq!(pieces(&Corks::default(), 8, 100), [3, 2, 2]);
        assert_eq!(pieces(&Corks::default(), 16, 100), [6, 4, 2, 2, 2]);
        assert!(pieces(&Corks::default(), 1, 100).is_empty());
    }

    #[test]
    fn many_frames_leave_together_and_so_do_the_few_that_are_read_at_once_of_many() {
        let corks = Corks::default();
        assert!(pieces(&corks, 32, 100).is_empty());
        assert!(pieces(&corks, 16, 100).is_empty());
        // When they have become few for good, that is forgotten.
        for _ in 0..FORGET {
            corks.is_piece(1, 8);
        }
        assert_eq!(pieces(&corks, 8, 100), [3, 2, 2]);
    }

    #[test]
    fn large_frames_leave_together() {
        assert!(pieces(&Corks::default(), 3, PIECE_BYTES).is_empty());
    }

    #[test]
    fn whoever_answers_over_quic_gives_up_its_turn_after_a_third_of_few_frames() {
        /// After which answers of so many frames it does, where all are there at once.
        fn turns(corks: &Corks, frames: usize) -> Vec<usize> {
            let turn = |answer| {
                corks.hand_on(answer == 1, true, |unsent| frames - answer + unsent);
                corks.gives_way()
            };
            (1..=frames).filter(|answer| turn(*answer)).collect()
        }
        let corks = Corks::default();
        assert_eq!(turns(&corks, 8), [3, 5, 7]);
        assert_eq!(turns(&corks, 8), [3, 5, 7], "what is received next is counted anew");
        assert!(turns(&corks, 1).is_empty());
        assert!(turns(&corks, 64).is_empty());
    }

    #[test]
    fn only_what_ends_a_frame_makes_a_piece() {
        let corks = Corks::default();
        let ends = |live| corks.has_fewer(live);
        assert_eq!([2, 2, 1, 3].map(ends), [false, false, true, false], "the second is a part of an answer");
    }

    #[test]
    fn nobody_gives_way_twice_for_one_piece_or_where_that_is_no_help() {
        let corks = Corks::default();
        corks.hand_on(true, true, |_| 4);
        corks.hand_on(false, true, |_| 4);
        assert!(corks.gives_way());
        assert!(!corks.gives_way());
        corks.hand_on(true, false, |_| 4);
        corks.hand_on(false, false, |_| 4);
        assert!(!corks.gives_way());
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
