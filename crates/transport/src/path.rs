//! The way from a socket to its session.
//!
//! A driver runs one transport connection for as long as it lives; the session it carries may change once, when another
//! connection's session moves here (`migrate.rs`). So a driver knows its [`Path`], and a path knows the session.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use futures_util::FutureExt;
use nnrp_session::{Arrival, DRAIN_TIME, HeaderVerdict, Machine, Origin, Side, Transmit, TransportEnd};
use nnrp_wire::{Header, Packet, TransportId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::buffer::BufferPool;
use crate::clock;
use crate::inbox::Room;
use crate::quic_link::{self, QuicConnection};
use crate::shared::{MAX_LATE_BYTES, Parts, Shared, write_cost};
use crate::tls::{Failure, TlsFault};

/// One transport connection: facts and signals, without what it carries.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) transport: TransportId,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) quic: Option<QuicConnection>,
    encrypted: bool,
    pub(crate) pool: BufferPool,
    pub(crate) wake_writer: Notify,
    pub(crate) last_frame_stream: AtomicU64,
    frames_received: AtomicU64,
    gone: watch::Sender<bool>,
    claimed: watch::Sender<bool>,
    /// Packets taken from the machine and not yet written (TCP) or acknowledged (QUIC).
    in_progress: watch::Sender<usize>,
    taken: Mutex<Taken>,
    /// The session has left; when this connection closes at the latest.
    left: watch::Sender<Option<Instant>>,
    /// Reading stops until it is known which session what comes is for.
    hold: watch::Sender<Hold>,
    /// Everything that had arrived when the session left has been passed on.
    drained: watch::Sender<bool>,
    path: OnceLock<Weak<Path>>,
    /// Moves on with every sign of life on an ordered stream; QUIC counts by itself.
    life: AtomicU64,
    looked: Mutex<Look>,
    /// What somebody wants to live as long as this connection.
    kept: Mutex<Kept>,
}

struct Kept(Option<Box<dyn Any + Send>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.0.is_some()).finish()
    }
}

/// When it was last looked for signs of life, and what was seen.
#[derive(Debug)]
struct Look {
    at: Instant,
    life: u64,
}

/// What the writer has taken and not written.
#[derive(Debug, Default)]
struct Taken {
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
            in_progress: watch::Sender::new(0),
            taken: Mutex::default(),
            left: watch::Sender::new(None),
            hold: watch::Sender::new(Hold::default()),
            drained: watch::Sender::new(false),
            path: OnceLock::new(),
            kept: Mutex::new(Kept(None)),
            life: AtomicU64::new(0),
            looked: Mutex::new(Look { at: clock::now(), life: 0 }),
        })
    }

    /// Something moved.
    pub(crate) fn note_life(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
    }

    /// The last look, if there was any sign of life since.
    fn heard_since(&self, now: Instant) -> Option<Instant> {
        let life = match &self.quic {
            Some(quic) => quic_link::datagrams_received(quic),
            None => self.life.load(Ordering::Relaxed),
        };
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *looked, Look { at: now, life });
        (before.life != life).then_some(before.at)
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, what: Box<dyn Any + Send>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept(Some(what).filter(|_| !self.is_gone()));
    }

    /// The last thing that happens to it.
    fn go(&self) {
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

    pub(crate) fn in_progress(&self) -> watch::Receiver<usize> {
        self.in_progress.subscribe()
    }

    /// The session leaves: the connection closes at `at`, or earlier if it was told so before. Returns the write room
    /// and the number of replies that were taken and not written.
    pub(crate) fn leave(&self, at: Instant) -> (usize, usize) {
        let mut taken = self.taken();
        taken.settled = true;
        let rest = (std::mem::take(&mut taken.room), std::mem::take(&mut taken.replies));
        drop(taken);
        self.close_at(at);
        rest
    }

    /// Closes a connection that its session has left at `at`, if not before.
    pub(crate) fn close_at(&self, at: Instant) {
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

    fn closing_at(&self) -> Option<Instant> {
        *self.left.borrow()
    }

    pub(crate) async fn until_left(&self) {
        let _ = self.left.subscribe().wait_for(Option::is_some).await;
    }

    /// Frames wait: it is not known yet for which session they are.
    pub(crate) fn hold_frames(&self) {
        self.hold.send_modify(|hold| hold.frames = true);
    }

    pub(crate) fn hold_control(&self) {
        self.hold.send_modify(|hold| hold.control = true);
    }

    pub(crate) fn release(&self) {
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
    session: Mutex<Arc<Shared>>,
}

impl Path {
    pub(crate) fn new(link: Arc<Link>, side: Side, session: Arc<Shared>) -> Arc<Self> {
        let path = Arc::new(Path { link, side, session: Mutex::new(session) });
        let _ = path.link.path.set(Arc::downgrade(&path));
        path
    }

    pub(crate) fn session(&self) -> Arc<Shared> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this path carries `session`. Both machines are locked.
    pub(crate) fn carry(&self, session: Arc<Shared>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Runs `act` on the machine of the session this path belongs to.
    fn run<R>(&self, room: &mut Room, act: impl FnOnce(&mut Machine, Standing, Instant) -> R) -> R {
        loop {
            let session = self.session();
            let machine = session.lock();
            // The session changes only under its lock.
            if Arc::ptr_eq(&session, &self.session()) {
                let standing = session.standing(&self.link);
                return session.run(machine, room, |machine, now| act(machine, standing, now));
            }
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Machine, Standing, Instant) -> R) -> R {
        self.run(&mut Room::default(), act)
    }

    // ------------------------------------------------------------ receiving
    pub(crate) fn is_raw(&self) -> bool {
        self.session().lock().is_raw()
    }

    pub(crate) fn handle_header(&self, bytes: &[u8; Header::LEN]) -> (HeaderVerdict, Option<Header>) {
        self.with(|machine, standing, now| match standing {
            Standing::InUse => machine.handle_header(now, bytes),
            Standing::Left => machine.handle_late_header(now, bytes),
            Standing::Forgotten => (HeaderVerdict::Stop, None),
        })
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
        let bytes = (Header::LEN + packet.metadata.len() + packet.body.len()) as u64;
        let session = self.session();
        session.counters.packets_received.fetch_add(1, Ordering::Relaxed);
        session.counters.bytes_received.fetch_add(bytes, Ordering::Relaxed);
        if room.0.is_some() {
            let number = self.link.frames_received.fetch_add(1, Ordering::Relaxed);
            let stream = match arrival {
                Arrival::Stream(id) => id,
                _ => 2 + 4 * number,
            };
            self.link.last_frame_stream.store(stream, Ordering::Relaxed);
        }
        let round_trip = self.link.quic.as_ref().map(quic_link::round_trip);
        self.run(&mut room, |machine, standing, now| match standing {
            Standing::InUse => {
                if let Some(round_trip) = round_trip {
                    machine.set_round_trip(round_trip);
                }
                machine.handle_packet(now, packet, arrival);
            }
            Standing::Left => machine.handle_late_packet(now, packet, arrival),
            Standing::Forgotten => {}
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
        self.link.in_progress.send_replace(0);
        self.link.say_drained();
        self.link.go();
    }

    pub(crate) async fn until_claimed(&self) {
        let _ = self.link.claimed.subscribe().wait_for(|claimed| *claimed).await;
    }

    pub(crate) async fn until_gone(&self) {
        self.link.until_gone().await;
    }

    /// Waits while it is not known for which session the next control packet (or, on one stream, any packet) is.
    pub(crate) async fn control_released(&self) {
        let _ = self.link.hold.subscribe().wait_for(|hold| !hold.control).await;
    }

    /// The same for frames on streams of their own.
    pub(crate) async fn frames_released(&self) {
        let _ = self.link.hold.subscribe().wait_for(|hold| !hold.frames).await;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.session().is_ended()
    }

    /// Waits for room for one more frame. `None` when the connection ended meanwhile. On a path that was left there is room
    /// of its own: what has arrived there comes before what the new one brings, and must not wait behind it.
    pub(crate) async fn frame_room(&self) -> Option<FrameRoom> {
        let session = self.session();
        tokio::select! {
            biased;
            () = self.link.until_left() => self.late_room(&self.session().late_frames, 1).await,
            permit = session.receive_frames.clone().acquire_owned() => permit.ok().map(|permit| FrameRoom(Some(permit))),
            _ = session.until_ended() => None,
        }
    }

    /// Waits for room for a body of `len` bytes. `None` when the connection ended meanwhile.
    pub(crate) async fn body_room(&self, len: usize) -> Option<FrameRoom> {
        let session = self.session();
        tokio::select! {
            biased;
            () = self.link.until_left() => {
                self.late_room(&self.session().late_bytes, len.min(MAX_LATE_BYTES)).await
            }
            permit = session.body_permit(len) => permit.map(|permit| FrameRoom(Some(permit))),
            _ = session.until_ended() => None,
        }
    }

    /// Waits for `amount` of the room there is for what paths bring that the session has left.
    async fn late_room(&self, room: &Arc<Semaphore>, amount: usize) -> Option<FrameRoom> {
        let session = self.session();
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            permit = room.clone().acquire_many_owned(amount) => permit.ok().map(|permit| FrameRoom(Some(permit))),
            _ = session.until_ended() => None,
            () = self.until_abandoned() => None,
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

    /// Waits while the peer owes us the reading of too many answers. Reading on would only make more of them.
    pub(crate) async fn replies_fit(&self) {
        tokio::select! {
            biased;
            () = async { self.session().replies_fit().await } => {}
            // A client reads on: results may still come. A server refuses frames there, and answers each.
            () = self.link.until_left(), if self.side == Side::Client => {}
        }
    }

    /// The session or raw connection has ended this long ago, and twice: nothing may take longer than that to leave.
    /// Or it has left, and the time of what it left behind is over.
    pub(crate) async fn overdue(&self) {
        let session = self.session();
        let ended = async {
            session.until_ended().await;
            clock::sleep_until(Some(clock::now() + 2 * DRAIN_TIME)).await;
        };
        tokio::select! {
            () = ended => {}
            () = self.until_abandoned() => {}
        }
    }

    /// The session has left, and the time of what it left behind is over.
    async fn until_abandoned(&self) {
        let mut left = self.link.left.subscribe();
        loop {
            let at = *left.borrow_and_update();
            tokio::select! {
                () = clock::sleep_until(at) => return,
                changed = left.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
        }
    }

    // ------------------------------------------------------------ sending
    /// The next transmits, at most `limit`, counted as in progress until [`Path::done`].
    pub(crate) fn take_transmits(&self, limit: usize) -> (Vec<Transmit>, Option<Instant>) {
        let mut shutdown = None;
        let (taken, deadline) = self.with(|machine, standing, now| {
            if standing != Standing::InUse {
                let at = self.link.closing_at();
                if at.is_some_and(|at| at <= now) {
                    shutdown = Some(Transmit::Shutdown { code: 0, reason: String::new() });
                }
                return (Vec::new(), at);
            }
            let mut taken = Vec::new();
            while taken.len() < limit {
                let Some(transmit) = machine.poll_transmit() else { break };
                taken.push(transmit);
            }
            let mut sums = self.link.taken();
            for transmit in &taken {
                match transmit {
                    Transmit::Packet { origin: Origin::Application, packet, .. } => {
                        sums.room += write_cost(packet.len()) as usize;
                    }
                    Transmit::Packet { origin: Origin::Library, .. } => sums.replies += 1,
                    _ => {}
                }
            }
            drop(sums);
            // Under the lock, so that flush() never sees a packet in neither place.
            if !taken.is_empty() {
                self.link.in_progress.send_modify(|count| *count += taken.len());
            }
            (taken, machine.poll_timeout())
        });
        match shutdown {
            Some(shutdown) => (vec![shutdown], None),
            None => (taken, deadline),
        }
    }

    /// When somebody wants to be told the time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let session = self.session();
        let machine = session.lock();
        if Arc::ptr_eq(&session.link(), &self.link) { machine.poll_timeout() } else { self.link.closing_at() }
    }

    /// A packet of `bytes` has been written, or never will be.
    pub(crate) fn written(&self, bytes: usize, origin: Origin) {
        let session = self.session();
        let settled = {
            let mut taken = self.link.taken();
            if !taken.settled {
                match origin {
                    Origin::Application => taken.room = taken.room.saturating_sub(write_cost(bytes) as usize),
                    Origin::Library => taken.replies = taken.replies.saturating_sub(1),
                    Origin::Repetition => {}
                }
            }
            taken.settled
        };
        session.written(bytes, origin, settled);
    }

    /// The peer's transport has the packet with this ticket.
    pub(crate) fn delivered(&self, ticket: u64) {
        if ticket != 0 {
            self.with(|machine, standing, _| {
                if standing == Standing::InUse {
                    machine.handle_delivered(ticket);
                }
            });
        }
    }

    pub(crate) fn done(&self, count: usize) {
        self.link.in_progress.send_modify(|in_progress| *in_progress = in_progress.saturating_sub(count));
    }
}

/// A place in the receive budget; none for what was there when the session left.
#[derive(Debug)]
pub(crate) struct FrameRoom(pub(crate) Option<OwnedSemaphorePermit>);
