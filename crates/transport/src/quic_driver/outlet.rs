//! Where frames leave: each on a stream of its own, in the order in which the machine wants them sent.
//!
//! Whoever has queued a frame writes it here, as far as quinn takes it without waiting, so that no task has to be woken for it
//! first. What has to wait, and everything that is no frame, is left to the writer task ([`send`](super::send)).
//!
//! The outlet is locked before the machine. Who has locked the machine already only tries, and calls the writer task where
//! somebody else is at it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use nnrp_session::{Lane, Machine, Origin, Transmit};
use nnrp_wire::{EncodedPacket, Header};
use quinn::{SendStream, Side};

use crate::clock;
use crate::link::Link;
use crate::path::{Path, take};
use crate::pen::Written;
use crate::quic_window;
use crate::shared::Shared;
use crate::turns;

/// Transmits taken from the machine at once.
pub(super) const BATCH: usize = 64;

/// Results and drops larger than this give way to smaller ones; so do, among them, the larger.
const BIG_FRAME_BYTES: usize = 64 * 1024;

/// A frame larger than this is watched by a task of its own: when the peer does not want it any more, what is left of it is not sent.
/// Smaller ones have left by the time anybody could hear of that.
const WATCHED_BYTES: usize = 256 * 1024;

/// What quinn is handed of such a frame at once, where it may not have all of it: it counts what it was handed as on its way until all
/// of that has been acknowledged.
const SEGMENT_BYTES: usize = 32 * 1024;

/// How often it is looked how much may be on its way.
const WINDOW_LOOK: Duration = Duration::from_millis(100);

/// Priorities of small frames, from just below [`CONTROL_PRIORITY`] down to 0: some hours of a busy session, until once a few frames
/// may leave before those in front of them.
const NUMBERS: u32 = 1 << 30;

/// The same below 0, for each class of sizes of big frames, of which 64 would fit: more than there are bits in a size.
const BIG_NUMBER_BITS: u32 = 25;

/// That of control packets.
pub(super) const CONTROL_PRIORITY: i32 = 1 << 30;

/// A packet that is to leave: where it came from, and the ticket of its delivery.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) packet: EncodedPacket,
    pub(super) origin: Origin,
    pub(super) ticket: u64,
}

/// A frame that was not written in one go, or that somebody should look after because it is large.
#[derive(Debug)]
pub(super) struct Stalled {
    pub(super) stream: SendStream,
    pub(super) pieces: Pieces,
    pub(super) bytes: usize,
    pub(super) origin: Origin,
    pub(super) ticket: u64,
}

/// What a packet consists of; pieces that were written are empty. Most packets are one, and need no memory for a list.
#[derive(Debug)]
pub(super) enum Pieces {
    One([Bytes; 1]),
    Many(Vec<Bytes>),
}

impl Pieces {
    fn of(packet: EncodedPacket) -> Self {
        let (first, mut more) = packet.into_first_and_more();
        if more.is_empty() {
            return Pieces::One([first]);
        }
        more.insert(0, first);
        Pieces::Many(more)
    }

    /// Those that are longer than a segment are cut.
    fn cut(self) -> Self {
        let pieces = match self {
            Pieces::One([only]) => vec![only],
            Pieces::Many(pieces) => pieces,
        };
        Pieces::Many(segments(pieces))
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Bytes] {
        match self {
            Pieces::One(only) => only,
            Pieces::Many(pieces) => pieces,
        }
    }
}

/// A frame that was written, and is not known to have arrived.
#[derive(Debug)]
struct Sent {
    stream: SendStream,
    ticket: u64,
}

/// What was done that others have to be told of.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) written: Written,
    /// Tickets of packets that have arrived.
    pub(super) delivered: Vec<u64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outlet {
    quic: quinn::Connection,
    /// In the machine's order, up to a barrier that still holds, or to something for the writer task.
    held: VecDeque<Transmit>,
    /// What was taken from `held`, and for which there was no stream yet.
    frames: VecDeque<Leaving>,
    stalled: Vec<Stalled>,
    /// Small frames begun so far, and headers of big ones.
    number: u32,
    /// Big frames begun so far: within a class of sizes the first leaves first, and small ones must not use up their numbers.
    big_number: u32,
    /// In the order of sending.
    sent: VecDeque<Sent>,
    /// The writer task looks for acknowledgements before long.
    watched: bool,
    /// What quinn takes before it waits for acknowledgements, and when that was looked at: with large frames.
    window: Option<(u64, Instant)>,
    /// As long as it is open, others are not alone.
    _open: Option<turns::Stream>,
    closed: bool,
}

impl Outlet {
    pub(crate) fn new(quic: quinn::Connection) -> Self {
        Outlet {
            quic,
            held: VecDeque::new(),
            frames: VecDeque::new(),
            stalled: Vec::new(),
            number: 0,
            big_number: 0,
            sent: VecDeque::new(),
            watched: false,
            window: None,
            _open: Some(turns::Stream::open()),
            closed: false,
        }
    }

    /// Nothing leaves any more.
    pub(crate) fn close(&mut self) {
        *self = Outlet { closed: true, _open: None, ..Outlet::new(self.quic.clone()) };
    }

    /// Takes what is to be sent, as much as goes at once, if nothing is held. Returns how much that was, and when the machine
    /// wants to be told the time.
    pub(super) fn fill(&mut self, path: &Path) -> (usize, Option<Instant>) {
        let limit = if self.held.is_empty() { BATCH } else { 0 };
        path.take_transmits(limit, &mut self.held)
    }

    /// Puts back what cannot be done yet.
    pub(super) fn hold(&mut self, transmit: Transmit) {
        self.held.push_front(transmit);
    }

    /// What is next and no frame, once all frames before that are ready to be written.
    pub(super) fn next_other(&mut self) -> Option<Transmit> {
        while let Some(transmit) = self.held.pop_front() {
            match transmit {
                Transmit::Packet { lane: Lane::Frame, origin, packet, ticket } => {
                    self.frames.push_back(Leaving { packet, origin, ticket });
                }
                other => return Some(other),
            }
        }
        None
    }

    /// Whether nothing was taken that has not begun to leave.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.frames.is_empty()
    }

    /// Whether frames wait for the peer to allow more streams.
    pub(super) fn waits_for_streams(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Whether frames are on their way, as far as is known.
    pub(super) fn is_busy(&self) -> bool {
        !self.frames.is_empty() || !self.stalled.is_empty() || !self.sent.is_empty()
    }

    /// Whether the writer task has to look for acknowledgements, and says it does or does not.
    pub(super) fn watch(&mut self) -> bool {
        self.watched = !self.sent.is_empty();
        self.watched
    }

    /// What the writer task has to look after.
    pub(super) fn take_stalled(&mut self) -> Vec<Stalled> {
        std::mem::take(&mut self.stalled)
    }

    /// Writes the frames that are ready, as far as that goes without waiting.
    pub(super) fn write(&mut self, progress: &mut Progress) {
        self.settle_arrived(progress);
        while !self.frames.is_empty()
            && let Some(Ok(stream)) = self.quic.open_uni().now_or_never()
        {
            self.write_first(stream, progress);
        }
    }

    /// Writes the first of them on a stream of its own.
    pub(super) fn write_first(&mut self, stream: SendStream, progress: &mut Progress) {
        let Some(Leaving { packet, origin, ticket }) = self.frames.pop_front() else { return };
        let bytes = packet.len();
        let mut pieces = Pieces::of(packet);
        // A bound that was set once follows the path, and who else is there, with each frame.
        let looks = bytes > WATCHED_BYTES || self.window.is_some();
        if looks && self.fit_window() < quic_window::MOST_BYTES && bytes > SEGMENT_BYTES {
            pieces = pieces.cut();
        }
        let mut frame = Stalled { stream, pieces, bytes, origin, ticket };
        if bytes < BIG_FRAME_BYTES {
            frame.prefer(bytes, &mut self.number);
        } else {
            if frame.is_kept_in_order() {
                frame.prefer(0, &mut self.number);
                frame.write_header();
            }
            frame.prefer(bytes, &mut self.big_number);
        }
        if bytes > WATCHED_BYTES {
            self.stalled.push(frame);
            return;
        }
        match frame.write_now() {
            None => self.stalled.push(frame),
            Some(written) => {
                progress.written.add(bytes, origin);
                if written && frame.stream.finish().is_ok() {
                    self.sent.push_back(Sent { stream: frame.stream, ticket });
                } else {
                    progress.written.transmits += 1;
                }
            }
        }
    }

    /// Lets quinn take no more than may be on its way, and returns how much that is.
    fn fit_window(&mut self) -> u64 {
        let now = clock::now();
        match self.window {
            Some((bytes, looked_at)) if now < looked_at + WINDOW_LOOK => bytes,
            before => {
                let bytes = quic_window::bytes(&self.quic);
                if before.is_none_or(|(before, _)| before != bytes) {
                    self.quic.set_send_window(bytes);
                }
                self.window = Some((bytes, now));
                bytes
            }
        }
    }

    /// Forgets the frames that have arrived, up to the first that has not, and those among them that the peer does not want.
    pub(super) fn settle(&mut self, progress: &mut Progress) {
        while !self.settle_arrived(progress)
            && let Some(Sent { stream, .. }) = self.sent.front()
            && stream.stopped().now_or_never().is_some()
        {
            // Not wanted, or lost with the connection.
            progress.written.transmits += 1;
            self.sent.pop_front();
        }
    }

    /// Forgets the frames that have arrived, up to the first that has not. True when that was all.
    fn settle_arrived(&mut self, progress: &mut Progress) -> bool {
        while let Some(Sent { stream, ticket }) = self.sent.front() {
            // quinn knows a stream until everything of it was acknowledged.
            if stream.priority().is_ok() {
                return false;
            }
            if *ticket != 0 {
                progress.delivered.push(*ticket);
            }
            progress.written.transmits += 1;
            self.sent.pop_front();
        }
        true
    }

    /// Waits until the oldest frame that was written has arrived, or is not wanted, or the connection is lost.
    pub(super) fn acknowledgement(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.sent.front().map(|sent| sent.stream.stopped().map(drop))
    }
}

impl Stalled {
    /// Whether the peer hands it out in the order of the streams: a client does that with the results of a frame, a server with none.
    fn is_kept_in_order(&self) -> bool {
        self.stream.id().initiator() == Side::Server
    }

    /// What is written from now on leaves like a frame of `bytes`, and after those that have lower numbers.
    fn prefer(&mut self, bytes: usize, number: &mut u32) {
        let _ = self.stream.set_priority(priority(bytes, *number));
        *number = number.wrapping_add(1);
    }

    /// Writes the packet's header by itself, as far as the peer and quinn have room for it. Nobody can tell which frame a stream belongs
    /// to that has none, and results of any frame that were sent later wait until it is known: that must not take as long as the frames
    /// before this one. (It does where that packet is lost: quinn repeats what a stream lost by the stream's priority of then.)
    fn write_header(&mut self) {
        let Some(first) = self.pieces.as_mut_slice().first_mut() else { return };
        let header = &first[..first.len().min(Header::LEN)];
        if let Some(Ok(written)) = self.stream.write(header).now_or_never() {
            first.advance(written);
        }
    }

    /// Writes what is taken without waiting. `None` when something is left; true when the peer wants the frame.
    fn write_now(&mut self) -> Option<bool> {
        let mut at = 0;
        let pieces = self.pieces.as_mut_slice();
        while let Some(rest) = pieces.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match self.stream.write_chunks(rest).now_or_never()? {
                Ok(written) => at += written.chunks,
                Err(_) => return Some(false),
            }
        }
        Some(true)
    }
}

/// Cuts what is longer than a segment.
fn segments(pieces: Vec<Bytes>) -> Vec<Bytes> {
    let mut segments =
        Vec::with_capacity(pieces.iter().map(|piece| piece.len().div_ceil(SEGMENT_BYTES)).sum());
    for mut piece in pieces {
        while piece.len() > SEGMENT_BYTES {
            segments.push(piece.split_to(SEGMENT_BYTES));
        }
        segments.push(piece);
    }
    segments
}

/// Of a frame of `bytes`, the `number`th: small before big, among the big the smaller first, and those of about the same size in the
/// order in which they were queued. Where several had the same priority, quinn would go on to the next where a packet ends: the rest
/// of a small frame would leave behind all others, and big ones would share the path and all arrive when the last does.
/// Control packets come before all ([`CONTROL_PRIORITY`]).
fn priority(bytes: usize, number: u32) -> i32 {
    let before = |numbers: u32| i32::try_from(number % numbers).unwrap_or_default();
    match (bytes / BIG_FRAME_BYTES).checked_ilog2() {
        None => CONTROL_PRIORITY - 1 - before(NUMBERS),
        Some(class) => {
            let class = i32::try_from(class).unwrap_or_default();
            -1 - class * (1 << BIG_NUMBER_BITS) - before(1 << BIG_NUMBER_BITS)
        }
    }
}

impl Shared {
    /// Writes the frames that are queued, as far as that goes without waiting; the rest is left to the writer task.
    pub(crate) fn write_frames<'a>(
        &'a self,
        mut machine: MutexGuard<'a, Machine>,
        link: &Link,
        outlet: &Mutex<Outlet>,
    ) {
        let Ok(mut outlet) = outlet.try_lock() else {
            drop(machine);
            return link.wake_writer.notify_one();
        };
        if outlet.closed || !outlet.is_empty() {
            drop(machine);
            return link.wake_writer.notify_one();
        }
        take(&mut machine, link, BATCH, &mut outlet.held);
        let more = machine.has_transmits();
        drop(machine);
        let other = outlet.next_other();
        let mut progress = Progress::default();
        outlet.write(&mut progress);
        let more = more || other.is_some() || outlet.waits_for_streams() || !outlet.stalled.is_empty();
        if let Some(other) = other {
            outlet.hold(other);
        }
        let unwatched = !outlet.watched && !outlet.sent.is_empty();
        outlet.watched |= unwatched;
        drop(outlet);
        let replies = self.settle(link, progress.written);
        if replies > 0 {
            self.with(|machine, _| machine.handle_replies_written(replies));
        }
        if !progress.delivered.is_empty()
            && let Some(path) = link.path()
        {
            path.delivered(&progress.delivered);
        }
        if more || unwatched {
            link.wake_writer.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_pieces_are_cut_and_nothing_is_lost() {
        let body = Bytes::from((0..=255).cycle().take(2 * SEGMENT_BYTES + 1).collect::<Vec<u8>>());
        let cut = segments(vec![
            Bytes::from_static(b"head"),
            body.clone(),
            Bytes::new(),
            body.slice(..SEGMENT_BYTES),
        ]);
        let lengths: Vec<_> = cut.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [4, SEGMENT_BYTES, SEGMENT_BYTES, 1, 0, SEGMENT_BYTES]);
        assert_eq!(cut.concat(), [b"head", &body[..], &body[..SEGMENT_BYTES]].concat());
    }

    #[test]
    fn small_frames_leave_in_order_and_before_big_ones() {
        assert!(CONTROL_PRIORITY > priority(0, 0));
        assert!(priority(100, 0) > priority(BIG_FRAME_BYTES - 1, 1));
        assert!(priority(100, NUMBERS - 1) > priority(BIG_FRAME_BYTES, 0));
        assert!(priority(2 * BIG_FRAME_BYTES - 1, 1) > priority(BIG_FRAME_BYTES, 2), "of one class");
        assert!(priority(BIG_FRAME_BYTES, u32::MAX) > priority(8 * BIG_FRAME_BYTES, 0));
        assert!(priority(usize::MAX, 0) < 0);
    }
}
