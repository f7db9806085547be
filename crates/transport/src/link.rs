//! One transport connection, whatever session it carries.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use nnrp_session::{Arrival, Origin, Transmit};
use nnrp_wire::TransportId;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

use crate::buffer::BufferPool;
use crate::clock;
use crate::path::Path;
use crate::pen::{PenRest, Written};
use crate::quic_link::QuicLink;
use crate::serving::Served;
use crate::shared::{Parts, write_cost};

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
    unwritten: Mutex<Unwritten>,
    /// What an ordered stream is written with, when nobody writes.
    pub(crate) pen: PenRest,
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
            unwritten: Mutex::default(),
            pen: PenRest::default(),
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

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, what: Box<dyn Any + Send>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept(Some(what).filter(|_| !self.is_gone()));
    }

    /// The last thing that happens to it.
    pub(crate) fn go(&self) {
        self.pen.close();
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
        self.unwritten().transmits == 0
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
        let mut unwritten = self.unwritten();
        unwritten.transmits += taken.transmits;
        unwritten.room += taken.room;
        unwritten.replies += taken.replies;
    }

    /// Takes what was written off what was taken; true when the session has left, and was given it back then.
    pub(crate) fn note_written(&self, written: &Written) -> bool {
        let mut unwritten = self.unwritten();
        if !unwritten.settled {
            unwritten.room = unwritten.room.saturating_sub(written.room);
            unwritten.replies = unwritten.replies.saturating_sub(written.replies);
        }
        let settled = unwritten.settled;
        self.take_off(unwritten, written.transmits);
        settled
    }

    /// `count` transmits are not in progress any more.
    pub(crate) fn done(&self, count: usize) {
        self.take_off(self.unwritten(), count);
    }

    fn take_off(&self, mut unwritten: MutexGuard<'_, Unwritten>, count: usize) {
        let last = unwritten.transmits > 0 && unwritten.transmits <= count;
        unwritten.transmits = unwritten.transmits.saturating_sub(count);
        drop(unwritten);
        // Who asks to be called looks after that whether anything is in progress.
        if last && self.is_awaited() {
            self.settled.notify_waiters();
        }
    }

    /// A frame has arrived. On one stream they are numbered as if each had one of its own.
    pub(crate) fn count_frame(&self, arrival: Arrival) {
        let number = self.frames_received.fetch_add(1, Ordering::Relaxed);
        let stream = match arrival {
            Arrival::Stream(id) => id,
            _ => 2 + 4 * number,
        };
        self.last_frame_stream.store(stream, Ordering::Relaxed);
    }

    /// The session leaves: the connection closes at `at`, or earlier if it was told so before. Returns the write room
    /// and the number of replies that were taken and not written.
    pub(crate) fn leave(&self, at: Instant) -> (usize, usize) {
        let mut unwritten = self.unwritten();
        unwritten.settled = true;
        let rest = (std::mem::take(&mut unwritten.room), std::mem::take(&mut unwritten.replies));
        drop(unwritten);
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
