//! How much of a large body is moved before others have their turn.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nnrp_wire::{Header, MessageType};

use crate::buffered::WHOLE_BODY;
use crate::clock;
use crate::loop_sockets::{self, LoopSockets};

/// Bytes read or written in one turn of a task: about 0.05 ms for the kernel. A body of megabytes would otherwise hold up the
/// small frames of every other session on its thread for as long as it takes.
pub(crate) const TURN_BYTES: usize = 128 * 1024;

/// An event loop that waits for frames has not more to do than this. Who was away for longer has let something else have the core,
/// which may want all of it.
const LONG_AWAY: Duration = Duration::from_millis(1);

/// After that, this many times as long nobody goes first.
const PAUSES: u32 = 10;

/// How long after a small frame turns stay short: whoever sends one now and then is not to wait because of the pause.
const REMEMBERED: Duration = Duration::from_secs(10);

/// How often it is noted that there are small frames: often enough for that, and rarely enough that threads do not fight for it.
const NOTED_EVERY: Duration = Duration::from_millis(100);

/// Who might be kept waiting.
#[derive(Debug)]
struct Others {
    /// Ordered streams and QUIC connections that are open.
    streams: AtomicUsize,
    /// When there was a small frame last, in microseconds since this was asked first; 0 if there was none.
    small: AtomicU64,
    begun: OnceLock<Instant>,
}

impl Others {
    const fn none() -> Self {
        Others { streams: AtomicUsize::new(0), small: AtomicU64::new(0), begun: OnceLock::new() }
    }

    fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(*self.begun.get_or_init(|| now));
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn note_small(&self, now: Instant) {
        let now = self.micros(now);
        let last = self.small.load(Ordering::Relaxed);
        if last == 0 || Duration::from_micros(now.saturating_sub(last)) >= NOTED_EVERY {
            self.small.store(now, Ordering::Relaxed);
        }
    }

    fn turn_bytes(&self, now: impl FnOnce() -> Instant) -> usize {
        if self.streams.load(Ordering::Relaxed) <= 1 {
            return usize::MAX;
        }
        let last = self.small.load(Ordering::Relaxed);
        let is_recent = || Duration::from_micros(self.micros(now()).saturating_sub(last)) < REMEMBERED;
        if last != 0 && is_recent() { TURN_BYTES } else { usize::MAX }
    }
}

static OTHERS: Others = Others::none();

/// Stands for an ordered stream or a QUIC connection of this process.
#[derive(Debug)]
pub(crate) struct Stream(());

impl Stream {
    pub(crate) fn open() -> Self {
        OTHERS.streams.fetch_add(1, Ordering::Relaxed);
        Stream(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        OTHERS.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether there is nobody else in this process who might be kept waiting.
pub(crate) fn is_alone() -> bool {
    OTHERS.streams.load(Ordering::Relaxed) <= 1
}

/// A packet has arrived. Small frames and results are what should not have to wait behind large ones.
pub(crate) fn note_arrived(header: &Header, now: Instant) {
    if matches!(header.msg_type, MessageType::FrameSubmit | MessageType::ResultPush) {
        note(header.body_len as usize, now);
    }
}

/// A frame or a result of so many bytes moves. Where nobody else is there yet it keeps nobody waiting.
pub(crate) fn note(bytes: usize, now: Instant) {
    if bytes <= WHOLE_BODY && !is_alone() {
        OTHERS.note_small(now);
    }
}

/// Bytes that may be moved in one turn now. A stream that is the only one keeps nobody waiting, nor do those that all move large
/// bodies keep each other waiting for what matters; and large steps are faster.
pub(crate) fn bytes() -> usize {
    OTHERS.turn_bytes(clock::now)
}

/// An event loop was called from one of our threads, and may not have come yet.
static CALLED: AtomicBool = AtomicBool::new(false);

impl LoopSockets {
    /// Notes that an event loop has been called by other means. Who moves large bodies lets it go first at the end of a turn.
    pub fn note_call() {
        CALLED.store(true, Ordering::Relaxed);
    }
}

/// The end of a turn. Other tasks of this thread are next, and before them the event loops that have something to do: where there
/// are not enough cores the kernel would let them wait for a millisecond or more, however short their work is.
pub(crate) async fn end() {
    let_loops_go_first();
    tokio::task::yield_now().await;
}

/// When loops may go first.
#[derive(Clone, Copy, Debug, Default)]
struct Courtesy {
    /// Somebody else took the core; until then other threads that want it have the kernel's fair share, not more.
    not_before: Option<Instant>,
}

impl Courtesy {
    fn is_due(self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// The thread let go at `before`, and goes on `now`.
    fn note(&mut self, before: Instant, now: Instant) {
        let away = now.saturating_duration_since(before);
        self.not_before = (away >= LONG_AWAY).then(|| now + away * PAUSES);
    }
}

fn let_loops_go_first() {
    thread_local!(static COURTESY: Cell<Courtesy> = const { Cell::new(Courtesy { not_before: None }) });
    if !CALLED.swap(false, Ordering::Relaxed) && !loop_sockets::are_wanted() {
        return;
    }
    let (before, mut courtesy) = (clock::now(), COURTESY.get());
    if courtesy.is_due(before) {
        std::thread::yield_now();
        courtesy.note(before, clock::now());
        COURTESY.set(courtesy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nobody_goes_first_for_a_while_after_the_core_was_taken() {
        let (mut courtesy, mut now) = (Courtesy::default(), clock::now());
        assert!(courtesy.is_due(now));
        for _ in 0..10 {
            courtesy.note(now, now + LONG_AWAY / 2);
            now += LONG_AWAY / 2;
            assert!(courtesy.is_due(now), "a loop needs no longer");
        }
        courtesy.note(now, now + 2 * LONG_AWAY);
        now += 2 * LONG_AWAY;
        assert!(!courtesy.is_due(now));
        assert!(!courtesy.is_due(now + 2 * LONG_AWAY * (PAUSES - 1)));
        assert!(courtesy.is_due(now + 2 * LONG_AWAY * PAUSES), "this much of the time is its own");
    }

    #[test]
    fn turns_are_short_while_somebody_else_has_small_frames() {
        let (others, begun) = (Others::none(), clock::now());
        let at = |seconds: u32| move || begun + SECOND * seconds;
        others.note_small(begun);
        assert_eq!(others.turn_bytes(at(0)), usize::MAX, "nobody else is there");
        others.streams.store(2, Ordering::Relaxed);
        assert_eq!(others.turn_bytes(at(0)), TURN_BYTES);
        assert_eq!(others.turn_bytes(at(9)), TURN_BYTES);
        assert_eq!(others.turn_bytes(at(10)), usize::MAX);
        others.note_small(begun + SECOND * 15);
        assert_eq!(others.turn_bytes(at(24)), TURN_BYTES);
        assert_eq!(others.turn_bytes(at(26)), usize::MAX);
    }

    #[test]
    fn large_frames_alone_need_no_short_turns() {
        let others = Others::none();
        others.streams.store(16, Ordering::Relaxed);
        assert_eq!(others.turn_bytes(clock::now), usize::MAX);
    }

    #[test]
    fn frames_that_follow_each_other_are_noted_now_and_then() {
        let (others, begun) = (Others::none(), clock::now());
        others.note_small(begun);
        let noted = others.small.load(Ordering::Relaxed);
        others.note_small(begun + NOTED_EVERY / 2);
        assert_eq!(others.small.load(Ordering::Relaxed), noted);
        others.note_small(begun + NOTED_EVERY);
        assert!(others.small.load(Ordering::Relaxed) > noted);
    }
}
