//! How packets leave that an application has queued: at once, with others, or when it has queued all it has.
//!
//! A packet that is alone leaves in the call that makes it ([`pen`](crate::pen)): an answer nothing else is due with, a
//! submit nothing else is under way with. On the only stream of a process so does the first one after news of the peer, and
//! each one while few frames are in flight: the peer has probably nothing else to do, and going to sleep and waking up takes
//! longer than a system call. Otherwise more of its kind are likely to follow before the calling task gives up its turn, and
//! the writer task, which runs then, sends them together.
//!
//! An event loop outside the runtime knows better when its turn ends. It corks the connection: what it queues stays there
//! until it takes the [`Cork`] out, or, while few frames are in flight, until it is a [piece](crate::pieces) of them.
//!
//! QUIC is handed packets at once, and sends when the caller gives up its turn. A task that answers or submits one frame after the other
//! does so before it receives the next one ([`Connection::give_way`](crate::Connection::give_way)), when it has handed a piece on.

use std::sync::{Arc, MutexGuard};

use nnrp_session::{Machine, Side};

use crate::corks::{Corks, Verdict};
use crate::link::Link;
use crate::pen::Attempt;
use crate::pieces;
use crate::shared::Shared;
use crate::turns;

/// How often a thread of the application goes on writing what others have queued meanwhile, before it leaves that to the
/// writer task.
const TURNS: usize = 4;

/// A lone packet larger than this is left to the writer task: copying it into the socket would take the caller longer than
/// waking that task does.
const INLINE_BYTES: usize = 128 * 1024;

/// On TCP each packet of so few frames in flight leaves by itself. Eight of 64 B kept two sides that each answered all at once
/// asleep for half of the time; with more of them both have enough to do.
const SINGLE_FRAMES: usize = 8;

/// On QUIC nothing costs a system call where it is queued: quinn sends it, together with what else it was given, when the caller
/// gives up its turn. So everything leaves there, up to this many frames in flight. With more of them the writer task is
/// better: what it has written is on its way while the caller goes on.
const HANDED_FRAMES: usize = 16;

/// Keeps back what is queued on a connection, for the time of a few calls, so that it leaves together. See
/// [`Connection::cork`](crate::Connection::cork).
#[derive(Debug)]
#[must_use = "the cork is out as soon as it is dropped"]
pub struct Cork(Arc<Shared>);

impl Cork {
    pub(crate) fn of(session: &Arc<Shared>) -> Self {
        Corks::put_in(session);
        Cork(session.clone())
    }
}

impl Drop for Cork {
    fn drop(&mut self) {
        if self.0.corks.take_out() {
            self.0.write_out();
        }
    }
}

impl Shared {
    /// Sends what the application has just queued, `bytes` of it, in the way that fits. `machine` is locked, and is not any
    /// more when this returns.
    pub(crate) fn leave<'a>(&'a self, machine: MutexGuard<'a, Machine>, link: &Arc<Link>, bytes: usize) {
        let first = self.pieces.answers_news();
        let small = bytes <= INLINE_BYTES && !machine.is_raw();
        let live = machine.live_frames();
        let counts = self.pieces.has_fewer(live) || first || self.side == Side::Client;
        if small && live <= usize::from(self.side == Side::Client) {
            return self.write(machine, link);
        }
        match self.corks.verdict(bytes) {
            Verdict::Keep if counts && self.is_piece(&machine) => self.write(machine, link),
            Verdict::Keep => {}
            Verdict::Write => self.write(machine, link),
            Verdict::Open if self.is_urgent(&machine, link, small, first) => {
                if link.quic.is_some() && counts && !self.corks.is_looped() {
                    self.pieces.hand_on(first, pieces::help(), |unsent| self.in_flight(live, unsent));
                }
                self.write(machine, link);
            }
            Verdict::Open => {
                drop(machine);
                link.wake_writer.notify_one();
            }
        }
    }

    /// Whether what is queued leaves in the call that queues it: the first packet after news, and those of few frames, on the only
    /// stream of a process.
    fn is_urgent(&self, machine: &Machine, link: &Link, small: bool, first: bool) -> bool {
        if link.quic.is_some() {
            return machine.live_frames() <= HANDED_FRAMES;
        }
        // What waits leaves with it, and must be small, too.
        let waiting_bytes = self.write_room.used_bytes();
        // With other streams there is other work, and nobody sleeps.
        turns::is_alone()
            && small
            && waiting_bytes <= INLINE_BYTES
            && (first || self.in_flight(machine.live_frames(), machine.waiting_transmits()) <= SINGLE_FRAMES)
    }

    /// Whether what a cork keeps back leaves before the turn of its loop is over.
    fn is_piece(&self, machine: &Machine) -> bool {
        let waiting = machine.waiting_transmits();
        self.pieces.is_piece(waiting, self.corks.bytes(), self.in_flight(machine.live_frames(), waiting))
            && pieces::help()
    }

    /// Frames in flight, where `leaving` packets have not left. On a server, those that are answered by these were a moment ago.
    fn in_flight(&self, live: usize, leaving: usize) -> usize {
        live + if self.side == Side::Server { leaving } else { 0 }
    }

    /// Writes what is queued, as far as that goes without waiting.
    pub(crate) fn write_out(&self) {
        let machine = self.lock();
        self.corks.let_go();
        if machine.has_transmits() {
            self.links.with(|link| self.write(machine, link));
        }
    }

    fn write<'a>(&'a self, mut machine: MutexGuard<'a, Machine>, link: &Arc<Link>) {
        if let Some(quic) = &link.quic {
            self.corks.let_go();
            return quic.write(self, machine, link);
        }
        // Who has it looks again before laying it down.
        let Some(mut pen) = link.take_pen(None, &mut machine) else { return };
        self.corks.let_go();
        for turn in 1.. {
            drop(machine);
            let attempt = pen.attempt();
            let (replies, wanted) = self.settle_attempt(link, pen, attempt);
            if replies > 0 {
                self.with(|machine, _| machine.handle_replies_written(replies));
            }
            let Some(in_hand) = wanted else {
                if attempt == Attempt::Rest {
                    link.wake_writer.notify_one();
                }
                return;
            };
            machine = self.lock();
            // The session may have moved meanwhile, and takes what is queued along.
            if turn >= TURNS || !self.is_on(link) {
                link.lay_pen_down(in_hand);
                drop(machine);
                return link.wake_writer.notify_one();
            }
            let Some(filled) = link.take_pen(Some(in_hand), &mut machine) else { return };
            if !filled.has_rest() {
                // Under the machine's lock: who wants it from now on finds it.
                return link.lay_pen_down(filled);
            }
            pen = filled;
        }
    }
}
