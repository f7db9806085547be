//! Of few frames in flight a piece leaves before the turn is over, so that the peer has something to do while it goes on.
//!
//! Two sides that each answer all that has come, and send it together at the end, sleep in turns; and with few frames waking up takes
//! longer than the work. So an event loop's [cork](crate::corks) lets a piece go at a time, and a task that QUIC sends for only when it gives
//! up its turn does so after each piece. Of many frames in flight the peer has some left to work on, and they leave together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::turns;

/// With more frames in flight both sides have enough to do, and each piece costs a system call and wakes the peer. With eight of 4 KiB a
/// loop and its peer slept in turns, and had two thirds of the frames.
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

/// What a session knows of its frames in flight. Changed under the machine's lock, but for [`Pieces::gives_way`].
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// A frame, or the answer to one, has been received and nothing has been queued since.
    news: AtomicBool,
    /// The most frames in flight of late, in parts of [`FORGET`].
    most: AtomicUsize,
    /// Frames without an answer when something was queued last.
    live: AtomicUsize,
    /// Frames and answers that QUIC was handed since something was received, and has not sent as far as is known.
    unsent: AtomicUsize,
    /// Whoever receives next lets others run before.
    gives_way: AtomicBool,
}

impl Pieces {
    /// A frame, or the answer to one, has been received.
    pub(crate) fn note_news(&self) {
        self.news.store(true, Ordering::Relaxed);
    }

    /// Whether what is queued now is the first since then.
    pub(crate) fn answers_news(&self) -> bool {
        let first = self.news.load(Ordering::Relaxed);
        if first {
            self.news.store(false, Ordering::Relaxed);
        }
        first
    }

    /// Whether frames without an answer are fewer than when something was queued last, so that what has just been queued ended one: parts of
    /// answers, hints and what else leaves meanwhile make no piece.
    pub(crate) fn has_fewer(&self, live: usize) -> bool {
        live < self.live.swap(live, Ordering::Relaxed)
    }

    /// Whether `waiting` packets of so many bytes are a piece, with so many frames in flight.
    pub(crate) fn is_piece(&self, waiting: usize, bytes: usize, in_flight: usize) -> bool {
        let before = self.most.load(Ordering::Relaxed);
        let most = (in_flight * FORGET).max(before - before / FORGET);
        self.most.store(most, Ordering::Relaxed);
        waiting >= LEAST_PIECE
            && most <= FEW_FRAMES * FORGET
            && waiting * SHARE >= in_flight
            && bytes <= PIECE_BYTES
    }

    /// QUIC is handed a frame or the end of an answer, the `first` packet since something was received; it sends when the caller gives up
    /// its turn. The caller is to do that if what it has is a piece, and pieces `help`.
    pub(crate) fn hand_on(&self, first: bool, help: bool, in_flight: impl FnOnce(usize) -> usize) {
        let unsent = if first { 1 } else { self.unsent.load(Ordering::Relaxed) + 1 };
        // Whatever it has of large ones leaves while the caller goes on.
        let is_piece = self.is_piece(unsent, 0, in_flight(unsent));
        self.unsent.store(if is_piece { 0 } else { unsent }, Ordering::Relaxed);
        if is_piece && help {
            self.gives_way.store(true, Ordering::Relaxed);
        }
    }

    /// Whether whoever receives next lets others run before. Once.
    pub(crate) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed) && self.gives_way.swap(false, Ordering::Relaxed)
    }
}

/// Whether the peer gains by what leaves in pieces: with other streams there is other work, and on one core nobody can do it meanwhile.
pub(crate) fn help() -> bool {
    turns::is_alone() && has_cores()
}

fn has_cores() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().map_or(true, |cores| cores.get() > 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves, and when, of `frames` that all were there and are answered one after the other.
    fn pieces(pieces: &Pieces, frames: usize, bytes: usize) -> Vec<usize> {
        let (mut left, mut waiting) = (Vec::new(), 0);
        for live in (0..frames).rev() {
            waiting += 1;
            if pieces.is_piece(waiting, waiting * bytes, live + waiting) {
                left.push(std::mem::take(&mut waiting));
            }
        }
        left
    }

    #[test]
    fn of_few_frames_a_third_leaves_at_a_time() {
        assert_eq!(pieces(&Pieces::default(), 8, 100), [3, 2, 2]);
        assert_eq!(pieces(&Pieces::default(), 16, 100), [6, 4, 2, 2, 2]);
        assert!(pieces(&Pieces::default(), 1, 100).is_empty());
    }

    #[test]
    fn many_frames_leave_together_and_so_do_the_few_that_are_read_at_once_of_many() {
        let session = Pieces::default();
        assert!(pieces(&session, 32, 100).is_empty());
        assert!(pieces(&session, 16, 100).is_empty());
        // When they have become few for good, that is forgotten.
        for _ in 0..FORGET {
            session.is_piece(1, 100, 8);
        }
        assert_eq!(pieces(&session, 8, 100), [3, 2, 2]);
    }

    #[test]
    fn large_frames_leave_together() {
        assert!(pieces(&Pieces::default(), 3, PIECE_BYTES).is_empty());
    }

    #[test]
    fn whoever_answers_over_quic_gives_up_its_turn_after_a_third_of_few_frames() {
        /// After which answers of so many frames it does, where all are there at once.
        fn turns(pieces: &Pieces, frames: usize) -> Vec<usize> {
            let turn = |answer| {
                pieces.hand_on(answer == 1, true, |unsent| frames - answer + unsent);
                pieces.gives_way()
            };
            (1..=frames).filter(|answer| turn(*answer)).collect()
        }
        let session = Pieces::default();
        assert_eq!(turns(&session, 8), [3, 5, 7]);
        assert_eq!(turns(&session, 8), [3, 5, 7], "what is received next is counted anew");
        assert!(turns(&session, 1).is_empty());
        assert!(turns(&session, 64).is_empty());
    }

    #[test]
    fn only_what_ends_a_frame_makes_a_piece() {
        let session = Pieces::default();
        let ends = |live| session.has_fewer(live);
        assert_eq!([2, 2, 1, 3].map(ends), [false, false, true, false], "the second is a part of an answer");
    }

    #[test]
    fn nobody_gives_way_twice_for_one_piece_or_where_that_is_no_help() {
        let session = Pieces::default();
        session.hand_on(true, true, |_| 4);
        session.hand_on(false, true, |_| 4);
        assert!(session.gives_way());
        assert!(!session.gives_way());
        session.hand_on(true, false, |_| 4);
        session.hand_on(false, false, |_| 4);
        assert!(!session.gives_way());
    }
}
