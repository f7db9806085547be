//! One transport connection, whatever session it carries.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use nnrp_session::{Arrival, Machine, Origin, Transmit};
use nnrp_wire::TransportId;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

use crate::buffer::BufferPool;
use crate::clock;
use crate::commands::write_cost;
use crate::path::Path;
use crate::pen::{Attempt, Pen, PenRest, Written};
use crate::quic_link::QuicLink;
use crate::serving::Served;
use crate::shared::Parts;

/// One transport connection: facts and signals, without what it carries.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) transport: TransportId,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) quic: Option<QuicLink>,
    encrypted: bool,
    pub(crate) pool: BufferPool,
    pub(crate) wake_writer: Notify,
    pub(crate) last_frame_stream: AtomicU64,
    frames_received: AtomicU64,
    gone: watch::Sender<bool>,
    claimed: watch::Sender<bool>,
    /// The call when nothing is in progress any more, if somebody waits for it.
    settled: Notify,
    /// How many wait for that call: somebody has to look for acknowledgements.
    awaited: AtomicUsize,
    desk: Mutex<Desk>,
    /// When the writer wants to be woken at the latest, in nanoseconds since `made`; nobody has to tell it of anything later than
    /// that. Under the machine's lock.
    armed: AtomicU64,
    made: Instant,
    /// The session has left; when this connection closes at the latest.
    left: watch::Sender<Option<Instant>>,
    /// It has, for those who ask with every packet.
    is_left: AtomicBool,
    /// Reading stops until it is known which session what comes is for.
    hold: watch::Sender<Hold>,
    /// [`Hold::control`], likewise.
    holds_control: AtomicBool,
    /// Everything that had arrived when the session left has been passed on.
    drained: watch::Sender<bool>,
    pub(crate) path: OnceLock<Weak<Path>>,
    /// There was a sign of life on an ordered stream since it was looked last; QUIC counts by itself.
    life: AtomicBool,
    looked: Mutex<Look>,
    /// Who polls the reader of an ordered stream.
    pub(crate) served: Served,
    /// What somebody wants to live as long as this connection.
    kept: Mutex<Kept>,
}

struct Kept(Option<Box<dyn Any + Send>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.0.is_some()).finish()
    }
}

/// See [`Link::await_settled`].
pub(crate) struct Awaited<'a>(&'a Link);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Ordering::AcqRel);
    }
}

/// When it was last looked for signs of life, and what QUIC had counted.
#[derive(Debug)]
struct Look {
    at: Instant,
    datagrams: u64,
}

/// What is taken from the machine to be written.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) transmits: usize,
    room: usize,
    replies: usize,
}

/// [`Link::armed`] when the writer waits for no time.
const NEVER: u64 = u64::MAX;

impl Taken {
    pub(crate) fn add(&mut self, transmit: &Transmit) {
        self.transmits += 1;
        match transmit {
            Transmit::Packet { origin: Origin::Application, packet, .. } => {
                self.room += write_cost(packet.len());
            }
            Transmit::Packet { origin: Origin::Library, .. } => self.replies += 1,
            _ => {}
        }
    }
}

/// What is looked at together by whoever writes.
#[derive(Debug, Default)]
struct Desk {
    unwritten: Unwritten,
    /// What an ordered stream is written with, when nobody writes.
    pen: PenRest,
}

/// What the writer has taken and not written.
#[derive(Debug, Default)]
struct Unwritten {
    /// Taken and not yet written (TCP) or acknowledged (QUIC).
    transmits: usize,
    room: usize,
    replies: usize,
    /// Given back already: the session has left.
    settled: bool,
}

impl Unwritten {
    fn add(&mut self, taken: &Taken) {
        self.transmits += taken.transmits;
        self.room += taken.room;
        self.replies += taken.replies;
    }

    /// Takes what was written off. True when nothing is in progress any more.
    fn take_off(&mut self, written: &Written) -> bool {
        if !self.settled {
            self.room = self.room.saturating_sub(written.room);
            self.replies = self.replies.saturating_sub(written.replies);
        }
        self.finish(written.transmits)
    }

    /// `count` are not in progress any more. True when they were the last.
    fn finish(&mut self, count: usize) -> bool {
        let last = self.transmits > 0 && self.transmits <= count;
        self.transmits = self.transmits.saturating_sub(count);
        last
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Hold {
    control: bool,
    frames: bool,
}

impl Link {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Link {
            transport: parts.transport,
            peer: parts.peer,
            local: parts.local,
            quic: parts.quic,
            encrypted: parts.encrypted,
            pool: parts.pool,
            wake_writer: Notify::new(),
            last_frame_stream: AtomicU64::new(u64::MAX),
            frames_received: AtomicU64::new(0),
            gone: watch::Sender::new(false),
            claimed: watch::Sender::new(parts.claimed),
            settled: Notify::new(),
            awaited: AtomicUsize::new(0),
            desk: Mutex::default(),
            armed: AtomicU64::new(NEVER),
            made: clock::now(),
            left: watch::Sender::new(None),
            is_left: AtomicBool::new(false),
            hold: watch::Sender::new(Hold::default()),
            holds_control: AtomicBool::new(false),
            drained: watch::Sender::new(false),
            path: OnceLock::new(),
            served: Served::default(),
            kept: Mutex::new(Kept(None)),
            life: AtomicBool::new(false),
            looked: Mutex::new(Look { at: clock::now(), datagrams: 0 }),
        })
    }

    /// Something moved.
    pub(crate) fn note_life(&self) {
        self.life.store(true, Ordering::Relaxed);
    }

    /// The last look, if there was any sign of life since.
    pub(crate) fn heard_since(&self, now: Instant) -> Option<Instant> {
        let datagrams = self.quic.as_ref().map_or(0, QuicLink::datagrams_received);
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *looked, Look { at: now, datagrams });
        let life = match &self.quic {
            Some(_) => before.datagrams != datagrams,
            None => self.life.swap(false, Ordering::Relaxed),
        };
        life.then_some(before.at)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, what: Box<dyn Any + Send>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept(Some(what).filter(|_| !self.is_gone()));
    }

    /// The last thing that happens to it.
    pub(crate) fn go(&self) {
        let pen = self.desk().pen.close();
        drop(pen);
        self.done(usize::MAX);
        self.settled.notify_waiters();
        self.gone.send_replace(true);
        let kept =
            std::mem::replace(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner), Kept(None));
        drop(kept);
    }

    pub(crate) fn path(&self) -> Option<Arc<Path>> {
        self.path.get().and_then(Weak::upgrade)
    }

    /// Whether nobody on the way can read along: it is encrypted, or does not leave this host.
    pub(crate) fn is_private(&self) -> bool {
        self.encrypted || self.peer.ip().to_canonical().is_loopback()
    }

    pub(crate) fn claim(&self) {
        self.claimed.send_replace(true);
    }

    pub(crate) fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }

    pub(crate) async fn until_gone(&self) {
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// Whether nothing that was taken from the machine is still on its way.
    pub(crate) fn is_settled(&self) -> bool {
        self.desk().unwritten.transmits == 0
    }

    /// Tells that the last packet in progress has arrived, while [`Link::await_settled`]. Ask [`Link::is_settled`] once it is enabled.
    pub(crate) fn settled(&self) -> Notified<'_> {
        self.settled.notified()
    }

    /// Somebody waits for [`Link::settled`], until what this returns is dropped.
    pub(crate) fn await_settled(&self) -> Awaited<'_> {
        self.awaited.fetch_add(1, Ordering::AcqRel);
        if self.quic.is_some() {
            self.wake_writer.notify_one();
        }
        Awaited(self)
    }

    /// Whether anybody does.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire) > 0
    }

    /// The writer waits until `deadline`, or is about to.
    pub(crate) fn arm(&self, deadline: Option<Instant>) {
        self.armed.store(deadline.map_or(NEVER, |at| self.nanos(at)), Ordering::Relaxed);
    }

    /// The distance of a time that is soon: centuries fit.
    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.made).as_nanos()).unwrap_or(NEVER - 1)
    }

    /// Whether the writer would sleep beyond `deadline`, and is to be woken.
    pub(crate) fn rearm(&self, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else { return false };
        let deadline = self.nanos(deadline);
        let earlier = deadline < self.armed.load(Ordering::Relaxed);
        if earlier {
            self.armed.store(deadline, Ordering::Relaxed);
        }
        earlier
    }

    /// These are taken from the machine, under its lock: flush() never sees a packet in neither place. They count as in
    /// progress until [`Link::done`].
    pub(crate) fn note_taken(&self, taken: Taken) {
        self.desk().unwritten.add(&taken);
    }

    /// Takes the pen up, the one in hand or the one that lies there, with what is queued. Under the machine's lock.
    pub(crate) fn take_pen(&self, in_hand: Option<Box<Pen>>, machine: &mut Machine) -> Option<Box<Pen>> {
        let mut desk = self.desk();
        let mut pen = in_hand.or_else(|| desk.pen.take())?;
        let taken = pen.fill(machine);
        desk.unwritten.add(&taken);
        // It takes so many at once. Who has it looks again before laying it down.
        if machine.has_transmits() {
            desk.pen.want();
        }
        Some(pen)
    }

    /// The same without anything new.
    pub(crate) fn take_empty_pen(&self) -> Option<Box<Pen>> {
        self.desk().pen.take()
    }

    /// Lays the pen down. Under the machine's lock and with nothing left that is queued, or the writer is called after that.
    pub(crate) fn lay_pen_down(&self, pen: Box<Pen>) {
        self.desk().pen.lay_down(pen);
    }

    /// The end of an attempt to write: takes what was written off what was taken, and lays the pen down, unless it has written
    /// everything and somebody wants it. Says whether the session has left, as [`Link::note_written`] does.
    pub(crate) fn end_attempt(
        &self,
        written: &Written,
        attempt: Attempt,
        pen: Box<Pen>,
    ) -> (bool, Option<Box<Pen>>) {
        let mut desk = self.desk();
        let last = desk.unwritten.take_off(written);
        let wanted = match attempt {
            Attempt::Done => desk.pen.lay_down_unless_wanted(pen),
            Attempt::Rest => {
                desk.pen.lay_down(pen);
                None
            }
        };
        let settled = desk.unwritten.settled;
        drop(desk);
        self.tell_settled(last);
        (settled, wanted)
    }

    /// Takes what was written off what was taken; true when the session has left, and was given it back then.
    pub(crate) fn note_written(&self, written: &Written) -> bool {
        let mut desk = self.desk();
        let last = desk.unwritten.take_off(written);
        let settled = desk.unwritten.settled;
        drop(desk);
        self.tell_settled(last);
        settled
    }

    /// `count` transmits are not in progress any more.
    pub(crate) fn done(&self, count: usize) {
        let last = self.desk().unwritten.finish(count);
        self.tell_settled(last);
    }

    fn tell_settled(&self, last: bool) {
        // Who asks to be called looks after that whether anything is in progress.
        if last && self.is_awaited() {
            self.settled.notify_waiters();
        }
    }

    /// A frame has arrived. On one stream they are numbered as if each had one of its own. Under the machine's lock.
    pub(crate) fn count_frame(&self, arrival: Arrival) {
        let number = self.frames_received.load(Ordering::Relaxed);
        self.frames_received.store(number + 1, Ordering::Relaxed);
        let stream = match arrival {
            Arrival::Stream(id) => id,
            _ => 2 + 4 * number,
        };
        self.last_frame_stream.store(stream, Ordering::Relaxed);
    }

    /// The session leaves: the connection closes at `at`, or earlier if it was told so before. Returns the write room
    /// and the number of replies that were taken and not written.
    pub(crate) fn leave(&self, at: Instant) -> (usize, usize) {
        let mut desk = self.desk();
        desk.unwritten.settled = true;
        let unwritten = &mut desk.unwritten;
        let rest = (std::mem::take(&mut unwritten.room), std::mem::take(&mut unwritten.replies));
        drop(desk);
        self.close_at(at);
        rest
    }

    /// Closes a connection that its session has left at `at`, if not before.
    pub(crate) fn close_at(&self, at: Instant) {
        self.is_left.store(true, Ordering::Release);
        let sooner = self.left.send_if_modified(|left| {
            let sooner = left.is_none_or(|before| at < before);
            if sooner {
                *left = Some(at);
            }
            sooner
        });
        if sooner {
            self.wake_writer.notify_one();
        }
    }

    /// Whether the session has left.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Acquire)
    }

    pub(crate) fn closing_at(&self) -> Option<Instant> {
        *self.left.borrow()
    }

    /// Waits until the session has left, and the time of what it left behind is over.
    pub(crate) async fn until_abandoned(&self) {
        let mut left = self.left.subscribe();
        loop {
            let at = *left.borrow_and_update();
            tokio::select! {
                () = clock::sleep_until(at) => return,
                changed = left.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
        }
    }

    pub(crate) async fn until_left(&self) {
        let _ = self.left.subscribe().wait_for(Option::is_some).await;
    }

    /// Frames wait: it is not known yet for which session they are.
    pub(crate) fn hold_frames(&self) {
        self.hold.send_modify(|hold| hold.frames = true);
    }

    pub(crate) fn hold_control(&self) {
        self.holds_control.store(true, Ordering::Release);
        self.hold.send_modify(|hold| hold.control = true);
    }

    /// Whether the next control packet (or, on one stream, any packet) has to wait.
    pub(crate) fn holds_control(&self) -> bool {
        self.holds_control.load(Ordering::Acquire)
    }

    /// Waits while it is not known for which session the next control packet (or, on one stream, any packet) is.
    pub(crate) async fn control_released(&self) {
        if self.holds_control() {
            let _ = self.hold.subscribe().wait_for(|hold| !hold.control).await;
        }
    }

    /// The same for frames on streams of their own.
    pub(crate) async fn frames_released(&self) {
        if self.hold.borrow().frames {
            let _ = self.hold.subscribe().wait_for(|hold| !hold.frames).await;
        }
    }

    pub(crate) async fn until_claimed(&self) {
        let _ = self.claimed.subscribe().wait_for(|claimed| *claimed).await;
    }

    pub(crate) fn release(&self) {
        self.holds_control.store(false, Ordering::Release);
        self.hold.send_replace(Hold::default());
    }

    /// What had arrived is passed on.
    pub(crate) fn say_drained(&self) {
        self.drained.send_replace(true);
    }

    pub(crate) async fn until_drained(&self) {
        let _ = self.drained.subscribe().wait_for(|drained| *drained).await;
    }
}
