//! The way from a socket to its session.
//!
//! A driver runs one transport connection for as long as it lives; the session it carries may change once, when another
//! connection's session moves here (`migrate.rs`). So a driver knows its [`Path`], and a path knows the session.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Instant;

use futures_util::FutureExt;
use nnrp_session::{Arrival, DRAIN_TIME, HeaderVerdict, Machine, Side, Transmit, TransportEnd};
use nnrp_wire::{Header, Packet};

use crate::budget::{Amount, Share};
use crate::clock;
use crate::inbox::Room;
use crate::link::{Link, Taken};
use crate::pen::{Pen, Written};
use crate::quic_link::QuicLink;
use crate::shared::Shared;
use crate::tls::{Failure, TlsFault};
use crate::turns;

/// What a path is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It carries the session.
    InUse,
    /// The session has left it last: results may still come.
    Left,
    /// The session has left it before that, or waits for nothing any more.
    Forgotten,
}

/// What drivers hold. See the module.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) link: Arc<Link>,
    side: Side,
    /// What it carried first. Where a session has joined, the empty rest of a raw connection, which goes with the path.
    first: Arc<Shared>,
    /// The session that came here from elsewhere.
    joined: OnceLock<Arc<Shared>>,
}

impl Path {
    pub(crate) fn new(link: Arc<Link>, side: Side, session: Arc<Shared>) -> Arc<Self> {
        let path = Arc::new(Path { link, side, first: session, joined: OnceLock::new() });
        let _ = path.link.path.set(Arc::downgrade(&path));
        path
    }

    pub(crate) fn session(&self) -> &Arc<Shared> {
        self.joined.get().unwrap_or(&self.first)
    }

    /// From now on this path carries `session`. Both machines are locked. Happens once: what it carried before is over then.
    pub(crate) fn carry(&self, session: Arc<Shared>) {
        let again = self.joined.set(session).is_err();
        debug_assert!(!again, "a session joins a raw connection, which is no more after that");
    }

    /// Whether this path still carries `session`, whose machine is locked: that changes only under the lock.
    fn carries(&self, session: &Arc<Shared>) -> bool {
        Arc::ptr_eq(session, self.session())
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Calls `act` with the session this path belongs to, its machine locked.
    pub(crate) fn locked<R>(&self, act: impl FnOnce(&Shared, MutexGuard<'_, Machine>, Standing) -> R) -> R {
        loop {
            let session = self.session();
            let machine = session.lock();
            if self.carries(session) {
                return act(session, machine, session.standing(&self.link));
            }
        }
    }

    /// Runs `act` on the machine of that session.
    fn with<R>(&self, act: impl FnOnce(&mut Machine, Standing, Instant) -> R) -> R {
        self.locked(|session, machine, standing| {
            session.run(machine, &mut Room::default(), |machine, now| act(machine, standing, now))
        })
    }

    // ------------------------------------------------------------ receiving
    pub(crate) fn is_raw(&self) -> bool {
        self.session().lock().is_raw()
    }

    pub(crate) fn handle_header(&self, bytes: &[u8; Header::LEN]) -> (HeaderVerdict, Option<Header>) {
        self.with(|machine, standing, now| handle_header(machine, standing, now, bytes))
    }

    /// Counts a packet. Under the machine's lock, and only there.
    pub(crate) fn count(&self, session: &Shared, packet: &Packet, arrival: Arrival, room: &Room) {
        let bytes = (Header::LEN + packet.metadata.len() + packet.body.len()) as u64;
        add(&session.counters.packets_received, 1);
        add(&session.counters.bytes_received, bytes);
        if room.0.is_some() {
            self.link.count_frame(arrival);
        }
    }

    pub(crate) fn handle_truncated_header(&self, got: usize) {
        self.with(|machine, standing, now| {
            if standing == Standing::InUse {
                machine.handle_truncated_header(now, got);
            }
        });
    }

    pub(crate) fn handle_truncated(&self, header: &Header) {
        self.with(|machine, standing, now| {
            if standing == Standing::InUse {
                machine.handle_truncated(now, header);
            }
        });
    }

    /// One received packet, with the room it takes until the application has it.
    pub(crate) fn handle_packet(&self, packet: Packet, arrival: Arrival, mut room: Room) {
        let quic = self.link.quic.as_ref().filter(|_| self.side == Side::Client);
        let round_trip = quic.map(QuicLink::round_trip);
        self.locked(|session, machine, standing| {
            self.count(session, &packet, arrival, &room);
            session.run(machine, &mut room, |machine, now| {
                if let Some(round_trip) = round_trip.filter(|_| standing == Standing::InUse) {
                    machine.set_round_trip(round_trip);
                }
                handle_packet(machine, standing, now, packet, arrival);
            });
        });
    }

    pub(crate) fn handle_timeout(&self) {
        self.with(|machine, standing, now| {
            if standing == Standing::InUse {
                if let Some(since) = self.link.heard_since(now) {
                    machine.handle_heard(now, since);
                }
                machine.handle_timeout(now);
            }
        });
    }

    /// The transport broke, or ended; packets may still be on their way through the readers.
    pub(crate) fn transport_lost(&self, end: &TransportEnd) {
        self.with(|machine, standing, _| {
            if standing == Standing::InUse {
                machine.handle_transport_closed(end);
            }
        });
    }

    /// The transport failed; says why it will have ended.
    pub(crate) fn transport_failed(&self, failure: Failure) {
        if let Some(fault) = failure.fault {
            self.note_tls_fault(fault);
        }
        self.transport_lost(&TransportEnd { clean: false, text: failure.text });
    }

    /// TLS is why the transport ends.
    pub(crate) fn note_tls_fault(&self, fault: TlsFault) {
        let session = self.session();
        if Arc::ptr_eq(&session.link(), &self.link) {
            session.note_tls_fault(fault);
        }
    }

    /// The transport ended. The last thing a driver does.
    pub(crate) fn transport_closed(&self, end: &TransportEnd) {
        self.transport_lost(end);
        self.with(|machine, standing, now| {
            if standing == Standing::Left {
                machine.handle_left_path_closed(now);
            }
        });
        self.link.say_drained();
        self.link.go();
    }

    pub(crate) async fn until_gone(&self) {
        self.link.until_gone().await;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.session().is_ended()
    }

    /// Room for one more frame, if there is any that need not be waited for.
    pub(crate) fn frame_room_now(&self) -> Option<FrameRoom> {
        if self.link.is_left() {
            return None;
        }
        Share::take_now(&self.session().unread, Amount::ONE).map(|share| FrameRoom(Some(share)))
    }

    /// Room for the body of `len` bytes of a frame that has room itself, if there is any that need not be waited for.
    pub(crate) fn body_room_now(&self, session: &Shared, frame: &mut FrameRoom, len: usize) -> Option<Room> {
        if self.link.is_left() || session.is_ended() {
            return None;
        }
        let amount = Amount::bytes(len);
        if frame.0.as_mut().is_some_and(|share| share.grow_now(&session.unread, amount)) {
            return Some(Room(frame.0.take(), None));
        }
        let body = Share::take_now(&session.unread, amount)?;
        Some(Room(frame.0.take(), Some(body)))
    }

    /// Waits for room for one more frame. `None` when the connection ended meanwhile. On a path that was left there is room
    /// of its own: what has arrived there comes before what the new one brings, and must not wait behind it.
    pub(crate) async fn frame_room(&self) -> Option<FrameRoom> {
        let session = self.session();
        tokio::select! {
            biased;
            () = self.link.until_left() => self.late_room(Amount::ONE).await,
            share = Share::take(&session.unread, Amount::ONE) => Some(FrameRoom(Some(share))),
            _ = session.until_ended() => None,
        }
    }

    /// Waits for room for a body of `len` bytes. `None` when the connection ended meanwhile.
    pub(crate) async fn body_room(&self, len: usize) -> Option<FrameRoom> {
        let session = self.session();
        tokio::select! {
            biased;
            () = self.link.until_left() => self.late_room(Amount::bytes(len)).await,
            share = Share::take(&session.unread, Amount::bytes(len)) => Some(FrameRoom(Some(share))),
            _ = session.until_ended() => None,
        }
    }

    /// Room for a frame and its body, if there is any that need not be waited for.
    pub(crate) fn room_now(&self, session: &Shared, len: usize) -> Option<Room> {
        if self.link.is_left() || session.is_ended() {
            return None;
        }
        Share::take_now(&session.unread, Amount::one_of(len)).map(|share| Room(Some(share), None))
    }

    /// Waits for `amount` of the room there is for what paths bring that the session has left.
    async fn late_room(&self, amount: Amount) -> Option<FrameRoom> {
        let session = self.session();
        tokio::select! {
            biased;
            share = Share::take(&session.late, amount) => Some(FrameRoom(Some(share))),
            _ = session.until_ended() => None,
            () = self.link.until_abandoned() => None,
        }
    }

    /// Waits for room for a frame and its body.
    pub(crate) async fn receive_room(&self, body_len: usize) -> Option<Room> {
        let frame = self.frame_room().await?;
        let body = self.body_room(body_len).await?;
        Some(Room(frame.0, body.0))
    }

    /// The same where waiting means that nothing at all is read: silence is then our own doing.
    pub(crate) async fn receive_room_pausing(&self, body_len: usize) -> Option<Room> {
        let room = self.receive_room(body_len);
        tokio::pin!(room);
        if let Some(ready) = room.as_mut().now_or_never() {
            return ready;
        }
        self.pause(true);
        let room = room.await;
        self.pause(false);
        room
    }

    fn pause(&self, paused: bool) {
        self.with(|machine, standing, now| {
            if standing == Standing::InUse {
                machine.handle_reading(now, paused);
            }
        });
    }

    /// Whether [`Path::replies_fit`] has to be waited for.
    pub(crate) fn waits_for_replies(&self, session: &Shared) -> bool {
        session.is_full_of_replies()
            && !session.is_ended()
            && !(self.side == Side::Client && self.link.is_left())
    }

    /// Waits while the peer owes us the reading of too many answers. Reading on would only make more of them.
    pub(crate) async fn replies_fit(&self) {
        if !self.waits_for_replies(self.session()) {
            return;
        }
        tokio::select! {
            biased;
            () = async { self.session().replies_fit().await } => {}
            // A client reads on: results may still come. A server refuses frames there, and answers each.
            () = self.link.until_left(), if self.side == Side::Client => {}
        }
    }

    /// The session or raw connection has ended this long ago, and twice: nothing may take longer than that to leave,
    /// however many packets it is. Or it has left, and the time of what it left behind is over.
    pub(crate) async fn overdue(&self) {
        let session = self.session();
        let ended = async {
            let ended_at = session.end_time().await;
            clock::sleep_until(Some(ended_at + 2 * DRAIN_TIME)).await;
        };
        tokio::select! {
            () = ended => {}
            () = self.link.until_abandoned() => {}
        }
    }

    // ------------------------------------------------------------ sending
    /// Moves the next transmits to the end of `held`, at most `limit`; they count as in progress until [`Path::done`]. Returns how
    /// many, and when somebody wants to be told the time: the writer is woken when that changes to an earlier one.
    pub(crate) fn take_transmits(
        &self,
        limit: usize,
        held: &mut VecDeque<Transmit>,
    ) -> (usize, Option<Instant>) {
        self.locked(|_, mut machine, standing| {
            let before = held.len();
            if standing == Standing::InUse {
                take(&mut machine, &self.link, limit, held);
            } else if limit > 0 {
                held.extend(self.farewell(clock::now()));
            }
            (held.len() - before, self.arm(&machine, standing))
        })
    }

    /// The end of a path that the session has left, once its time is over.
    fn farewell(&self, now: Instant) -> Option<Transmit> {
        let over = self.link.closing_at().is_some_and(|at| at <= now);
        over.then(|| Transmit::Shutdown { code: 0, reason: String::new() })
    }

    /// Goes on writing with `pen`, or with the one that lies there: comes back with one that has something to write, or with
    /// none when there is nothing, or somebody else writes.
    pub(crate) fn take_up(&self, pen: Option<Box<Pen>>) -> Option<Box<Pen>> {
        self.locked(|_, mut machine, standing| {
            let pen = if standing == Standing::InUse {
                self.link.take_pen(pen, &mut machine)?
            } else {
                let mut pen = pen.or_else(|| self.link.take_empty_pen())?;
                if !pen.has_rest()
                    && let Some(farewell) = self.farewell(clock::now())
                {
                    pen.take(farewell);
                }
                pen
            };
            if pen.has_rest() {
                return Some(pen);
            }
            // Under the machine's lock: who wants it from now on finds it.
            self.link.lay_pen_down(pen);
            None
        })
    }

    /// When somebody wants to be told the time. The writer is woken when that changes to an earlier one.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.locked(|_, machine, standing| self.arm(&machine, standing))
    }

    fn arm(&self, machine: &Machine, standing: Standing) -> Option<Instant> {
        let deadline = match standing {
            Standing::InUse => machine.poll_timeout(),
            _ => self.link.closing_at(),
        };
        self.link.arm(deadline);
        deadline
    }

    /// What has been written, or never will be.
    pub(crate) fn settle(&self, written: Written) {
        let session = self.session();
        let replies = session.settle(&self.link, written);
        if replies > 0 {
            session.with(|machine, _| machine.handle_replies_written(replies));
        }
    }

    /// The peer's transport has the packets with these tickets.
    pub(crate) fn delivered(&self, tickets: &[u64]) {
        if tickets.iter().any(|ticket| *ticket != 0) {
            self.with(|machine, standing, _| {
                if standing == Standing::InUse {
                    tickets.iter().for_each(|ticket| machine.handle_delivered(*ticket));
                }
            });
        }
    }

    pub(crate) fn done(&self, count: usize) {
        self.link.done(count);
    }
}

/// Moves what a machine has to send to the end of `held`, at most `limit` of it.
pub(crate) fn take(machine: &mut Machine, link: &Link, limit: usize, held: &mut VecDeque<Transmit>) {
    let mut taken = Taken::default();
    while taken.transmits < limit {
        let Some(transmit) = machine.poll_transmit() else { break };
        taken.add(&transmit);
        held.push_back(transmit);
    }
    link.note_taken(taken);
}

/// Adds to a counter that is only ever changed under the machine's lock: others look at it, and need no atomic step.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// A place in the receive budget; none for what was there when the session left.
#[derive(Debug)]
pub(crate) struct FrameRoom(pub(crate) Option<Share>);

pub(crate) fn handle_header(
    machine: &mut Machine,
    standing: Standing,
    now: Instant,
    bytes: &[u8; Header::LEN],
) -> (HeaderVerdict, Option<Header>) {
    match standing {
        Standing::InUse => machine.handle_header(now, bytes),
        Standing::Left => machine.handle_late_header(now, bytes),
        Standing::Forgotten => (HeaderVerdict::Stop, None),
    }
}

pub(crate) fn handle_packet(
    machine: &mut Machine,
    standing: Standing,
    now: Instant,
    packet: Packet,
    arrival: Arrival,
) {
    turns::note_arrived(&packet.header, now);
    match standing {
        Standing::InUse => machine.handle_packet(now, packet, arrival),
        Standing::Left => machine.handle_late_packet(now, packet, arrival),
        Standing::Forgotten => {}
    }
}
