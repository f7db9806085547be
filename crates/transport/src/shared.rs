//! What the application's end of a connection and its driver tasks share: the machine, the inbox, and the bounds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use nnrp_session::{
    CommandError, Ended, EndedBy, Event, FrameKey, MAX_QUEUED_REPLIES, Machine, Origin, RejectedPacket, Side,
};
use nnrp_wire::{FlowUpdateMetadata, Packet, ResultHintMetadata, TransportId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};

use crate::buffer::BufferPool;
use crate::clock;
use crate::error::{Closed, SendError};
use crate::inbox::{Inbox, Item, Room};
use crate::path::{Link, Path, Standing};
use crate::quic_link::QuicConnection;
use crate::stats::{Book, ConnectionStats};
use crate::tls::TlsFault;

/// Bytes the application may have handed in before [`Connection::command`](crate::Connection::command) waits. One body of an eighth of
/// the default limit: enough to keep a fast network busy, little enough to notice a slow peer. Half of what a session that may
/// move keeps (`MAX_KEPT_BYTES`): the other half is for what the lost path had taken.
pub const WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Frames received and not yet taken (R-LIM-6, R-LIM-7); beyond it the peer is held back.
pub const MAX_UNREAD_FRAMES: usize = 1024;

/// Bytes of bodies received and not yet taken, in multiples of the largest body.
pub const UNREAD_BODIES: usize = 8;

/// Bytes of bodies received on paths the session has left, and not yet taken; beside [`UNREAD_BODIES`]. What may be on its way
/// when a path is left: the window of a QUIC connection. Beyond it such a path is read no further.
pub const MAX_LATE_BYTES: usize = 32 * 1024 * 1024;

/// Hints, flow updates and cancelled frames a subscriber may fall behind before it misses the oldest. The room is taken as a whole, some
/// 50 KiB, by the first subscriber.
const SUBSCRIPTION_BACKLOG: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) packets_received: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) packets_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) packets_refused: AtomicU64,
    pub(crate) limits_hit: AtomicU64,
}

/// What the driver tasks and the application share.
#[derive(Debug)]
pub(crate) struct Shared {
    machine: Mutex<Machine>,
    pub(crate) inbox: Arc<Inbox>,
    write_room: Semaphore,
    pub(crate) receive_frames: Arc<Semaphore>,
    receive_bytes: Mutex<BodyBudget>,
    /// The same for what comes on paths the session has left.
    pub(crate) late_frames: Arc<Semaphore>,
    pub(crate) late_bytes: Arc<Semaphore>,
    /// Library packets not written yet, and the call when there are fewer; beyond the bound reading waits.
    unwritten_replies: AtomicUsize,
    replies_written: Notify,
    pub(crate) hints: Subscribers<(Packet, ResultHintMetadata)>,
    pub(crate) flow_updates: Subscribers<(Packet, FlowUpdateMetadata)>,
    pub(crate) cancels: Subscribers<FrameKey>,
    /// [`Machine::credit_changes`], for submits that wait.
    pub(crate) credit: watch::Sender<u64>,
    pub(crate) ended: watch::Sender<Option<Closed>>,
    /// The transport connection that carries it now.
    link: watch::Sender<Arc<Link>>,
    /// The one it has left last, as long as something may still come from there.
    left: Mutex<Option<Arc<Link>>>,
    pub(crate) counters: Counters,
    pub(crate) side: Side,
    pub(crate) certificates: Vec<Bytes>,
    tls_fault: OnceLock<TlsFault>,
    /// Where what was counted goes in the end.
    pub(crate) book: OnceLock<Arc<Book>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(book) = self.book.get() {
            book.close(self.stats());
        }
    }
}

/// Who wants to hear of something, if anybody does: most sessions have no subscriber, and pay nothing for it.
#[derive(Debug)]
pub(crate) struct Subscribers<T>(OnceLock<broadcast::Sender<T>>);

impl<T> Default for Subscribers<T> {
    fn default() -> Self {
        Subscribers(OnceLock::new())
    }
}

impl<T: Clone> Subscribers<T> {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<T> {
        self.0.get_or_init(|| broadcast::Sender::new(SUBSCRIPTION_BACKLOG)).subscribe()
    }

    fn send(&self, news: impl FnOnce() -> T) {
        if let Some(sender) = self.0.get() {
            let _ = sender.send(news());
        }
    }
}

/// Bytes of bodies that may wait for the application: permits, and how many there are in all.
#[derive(Clone, Debug)]
struct BodyBudget {
    permits: Arc<Semaphore>,
    total: usize,
}

impl BodyBudget {
    fn of(machine: &Machine) -> Self {
        let body = usize::try_from(machine.limits().max_body_bytes).unwrap_or(usize::MAX);
        let total = body.saturating_mul(UNREAD_BODIES).clamp(1, Semaphore::MAX_PERMITS);
        BodyBudget { permits: Arc::new(Semaphore::new(total)), total }
    }
}

/// What a connection is made of.
pub(crate) struct Parts {
    pub(crate) side: Side,
    pub(crate) transport: TransportId,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) quic: Option<QuicConnection>,
    /// What is sent is encrypted.
    pub(crate) encrypted: bool,
    /// What the peer showed in the TLS handshake, DER, leaf first.
    pub(crate) certificates: Vec<Bytes>,
    pub(crate) pool: BufferPool,
    /// Whether reading starts at once; a listener's connections wait until somebody claims them.
    pub(crate) claimed: bool,
}

impl Shared {
    /// What a new connection carries, and the path its driver is to hold.
    pub(crate) fn new(mut parts: Parts) -> (Arc<Self>, Arc<Path>) {
        let machine = Machine::new(parts.side, parts.transport);
        let budget = BodyBudget::of(&machine);
        let side = parts.side;
        let certificates = std::mem::take(&mut parts.certificates);
        let link = Link::new(parts);
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            inbox: Arc::new(Inbox::default()),
            write_room: Semaphore::new(WRITE_BUFFER_BYTES),
            receive_frames: Arc::new(Semaphore::new(MAX_UNREAD_FRAMES)),
            receive_bytes: Mutex::new(budget),
            late_frames: Arc::new(Semaphore::new(MAX_UNREAD_FRAMES)),
            late_bytes: Arc::new(Semaphore::new(MAX_LATE_BYTES)),
            unwritten_replies: AtomicUsize::new(0),
            replies_written: Notify::new(),
            hints: Subscribers::default(),
            flow_updates: Subscribers::default(),
            cancels: Subscribers::default(),
            credit: watch::Sender::new(0),
            ended: watch::Sender::new(None),
            link: watch::Sender::new(link.clone()),
            left: Mutex::default(),
            counters: Counters::default(),
            side,
            certificates,
            tls_fault: OnceLock::new(),
            book: OnceLock::new(),
        });
        let path = Path::new(link, side, shared.clone());
        (shared, path)
    }

    /// The transport connection that carries the session now.
    pub(crate) fn link(&self) -> Arc<Link> {
        self.link.borrow().clone()
    }

    /// Another one carries it from now on. Returns the one that did. Under the machine's lock.
    pub(crate) fn change_link(&self, link: Arc<Link>) -> Arc<Link> {
        let old = self.link.send_replace(link);
        let before = self.left_link().replace(old.clone());
        if let Some(before) = before {
            before.close_at(clock::now());
        }
        old
    }

    /// What this transport connection is to the session. Under the machine's lock.
    pub(crate) fn standing(&self, link: &Arc<Link>) -> Standing {
        if Arc::ptr_eq(&*self.link.borrow(), link) {
            Standing::InUse
        } else if self.left_link().as_ref().is_some_and(|left| Arc::ptr_eq(left, link)) {
            Standing::Left
        } else {
            Standing::Forgotten
        }
    }

    fn left_link(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has nothing to wait for on the path its session has left once no frame is live.
    pub(crate) fn close_left_if_idle(&self, machine: &Machine, now: std::time::Instant) {
        if self.side == Side::Client
            && machine.live_frames() == 0
            && let Some(left) = self.left_link().take()
        {
            left.close_at(now);
        }
    }

    /// Room of packets that will not be written: what a path had taken, and packets that were withdrawn.
    pub(crate) fn give_back_room(&self, room: usize, withdrawn: &[usize]) {
        let withdrawn: usize = withdrawn.iter().map(|bytes| write_cost(*bytes) as usize).sum();
        self.write_room.add_permits(room + withdrawn);
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        let counters = &self.counters;
        ConnectionStats {
            packets_received: counters.packets_received.load(Ordering::Relaxed),
            bytes_received: counters.bytes_received.load(Ordering::Relaxed),
            packets_sent: counters.packets_sent.load(Ordering::Relaxed),
            bytes_sent: counters.bytes_sent.load(Ordering::Relaxed),
            packets_refused: counters.packets_refused.load(Ordering::Relaxed),
            limits_hit: counters.limits_hit.load(Ordering::Relaxed),
            control_discarded: self.inbox.discarded(),
            frames: self.lock().frame_stats(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Runs `act` on the machine, then passes on what it has to say.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Machine, std::time::Instant) -> R) -> R {
        self.run(self.lock(), &mut Room::default(), act)
    }

    /// The same on a machine that is locked already. `room` goes with the first item that comes of it.
    pub(crate) fn run<R>(
        &self,
        mut machine: MutexGuard<'_, Machine>,
        room: &mut Room,
        act: impl FnOnce(&mut Machine, std::time::Instant) -> R,
    ) -> R {
        let now = clock::now();
        let deadline = machine.poll_timeout();
        let result = act(&mut machine, now);
        self.publish(&mut machine, room);
        self.close_left_if_idle(&machine, now);
        let wants_writer = machine.has_transmits() || machine.poll_timeout() != deadline;
        let link = wants_writer.then(|| self.link());
        drop(machine);
        if let Some(link) = link {
            link.wake_writer.notify_one();
        }
        result
    }

    pub(crate) fn adopt<R>(&self, act: impl FnOnce(&mut Machine, std::time::Instant) -> R) -> R {
        let now = clock::now();
        let mut machine = self.lock();
        let result = act(&mut machine, now);
        // The session brings its own limits.
        let budget = BodyBudget::of(&machine);
        *self.receive_bytes.lock().unwrap_or_else(PoisonError::into_inner) = budget;
        self.publish(&mut machine, &mut Room::default());
        // Under the machine's lock no reader can deliver anything newer.
        for (packet, mut room) in self.inbox.take_packets() {
            machine.handle_packet(now, packet, nnrp_session::Arrival::Control);
            self.publish(&mut machine, &mut room);
        }
        drop(machine);
        self.link().wake_writer.notify_one();
        result
    }

    pub(crate) fn publish(&self, machine: &mut Machine, room: &mut Room) {
        self.unwritten_replies.store(machine.unwritten_replies(), Ordering::Relaxed);
        let credit = machine.credit_changes();
        self.credit.send_if_modified(|last| std::mem::replace(last, credit) != credit);
        while let Some(event) = machine.poll_event() {
            let item = match event {
                Event::Packet(packet, _) | Event::Control(packet) => Item::Packet(packet),
                Event::Hello(mut hello) => {
                    hello.peer_certificates.clone_from(&self.certificates);
                    Item::Hello(hello)
                }
                Event::Migrate(migration) => Item::Migrate(migration),
                Event::MigrationAnswered(answer) => {
                    // What follows is for the session, which is not here yet.
                    self.link().hold_control();
                    Item::MigrationAnswered(answer)
                }
                Event::Established(established) => Item::Established(established),
                Event::HandshakeFailed(failure) => Item::HandshakeFailed(failure),
                Event::Submit(submit) => {
                    self.log_frame(&submit.packet, "a frame arrived");
                    Item::Submit(submit)
                }
                Event::Result(result) => {
                    let drop = result.push.is_none();
                    self.log_frame(&result.packet, if drop { "a drop arrived" } else { "a result arrived" });
                    Item::Result(result)
                }
                Event::FrameFailed(failed) => Item::FrameFailed(failed),
                Event::Rejected(rejected) => {
                    self.counters.packets_refused.fetch_add(1, Ordering::Relaxed);
                    let limit = rejected.fault.rule.is_some_and(|rule| rule.as_str().starts_with("R-LIM-"));
                    self.counters.limits_hit.fetch_add(u64::from(limit), Ordering::Relaxed);
                    if self.side == Side::Client {
                        // Nobody receives these on a client: what they concern has failed by itself.
                        self.log_refused(machine.session_id(), &rejected);
                        continue;
                    }
                    Item::Rejected(rejected)
                }
                Event::Hint(packet, hint) => {
                    self.hints.send(|| (packet.clone(), hint));
                    Item::Packet(packet)
                }
                Event::FlowUpdate(packet, update) => {
                    self.flow_updates.send(|| (packet.clone(), update));
                    Item::Packet(packet)
                }
                Event::Cancelled(key) => {
                    self.log_unwanted(machine.session_id(), key, "a frame was cancelled");
                    self.cancels.send(|| key);
                    continue;
                }
                Event::Expired(key) => {
                    self.log_unwanted(machine.session_id(), key, "a frame expired");
                    self.cancels.send(|| key);
                    continue;
                }
                Event::PeerClosing(reason) => {
                    let ended = Ended { by: EndedBy::Peer, fault: None, reason };
                    self.inbox.end_frames(Closed(Arc::new(ended), None));
                    continue;
                }
                Event::Ended(mut ended) => {
                    // The machine knows no addresses; whoever waits wants to know whom it has lost.
                    let peer = self.link().peer;
                    if ended.by == EndedBy::Transport && peer.port() != 0 {
                        ended.reason = format!("{peer}: {}", ended.reason);
                    }
                    let closed = Closed(Arc::new(ended), self.tls_fault.get().copied());
                    let session = machine.session_id();
                    if session == 0 {
                        tracing::debug!(%peer, "a connection without a session is over: {closed}");
                    } else {
                        tracing::info!(session, %peer, "the session is over: {closed}");
                    }
                    self.inbox.close(closed.clone());
                    self.write_room.close();
                    self.ended.send_replace(Some(closed));
                    continue;
                }
                _ => continue,
            };
            self.inbox.push(item, std::mem::take(room));
        }
    }

    fn log_frame(&self, packet: &Packet, what: &str) {
        let (header, peer) = (&packet.header, || self.link().peer);
        tracing::debug!(
            session = header.session_id, frame = header.frame_id, view = header.view_id, trace = header.trace_id,
            peer = %peer(), bytes = packet.body.len(), "{what}"
        );
    }

    fn log_unwanted(&self, session: u32, key: FrameKey, what: &str) {
        let peer = || self.link().peer;
        tracing::debug!(session, frame = key.frame_id, view = key.view_id, peer = %peer(), "{what}");
    }

    fn log_refused(&self, session: u32, rejected: &RejectedPacket) {
        let trace = rejected.packet.as_ref().map_or(0, |packet| packet.header.trace_id);
        let (fault, peer) = (&rejected.fault, || self.link().peer);
        tracing::debug!(
            session, frame = fault.frame_id, view = fault.view_id, trace, peer = %peer(), %fault,
            "a packet of the server was refused"
        );
    }

    pub(crate) async fn until_ended(&self) -> Closed {
        let mut ended = self.ended.subscribe();
        loop {
            if let Some(closed) = ended.borrow_and_update().clone() {
                return closed;
            }
            if ended.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the transport is gone, whichever it is in the end.
    pub(crate) async fn until_gone(&self) {
        let mut links = self.link.subscribe();
        loop {
            let link = links.borrow_and_update().clone();
            tokio::select! {
                biased;
                Ok(()) = links.changed() => {}
                () = link.until_gone() => return,
            }
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// TLS is why the transport ends. The first reason stays.
    pub(crate) fn note_tls_fault(&self, fault: TlsFault) {
        let _ = self.tls_fault.set(fault);
    }

    /// Waits for room for a body of `len` bytes. `None` when there will never be any.
    pub(crate) async fn body_permit(&self, len: usize) -> Option<OwnedSemaphorePermit> {
        let budget = self.receive_bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // No body may wait for more than there can ever be.
        let wanted = u32::try_from(len.min(budget.total)).unwrap_or(u32::MAX);
        budget.permits.acquire_many_owned(wanted).await.ok()
    }

    /// Waits while the peer owes us the reading of too many answers. Reading on would only make more of them. Half of
    /// what may be queued is left for what is under way: no answer is thrown away because a peer is slow.
    pub(crate) async fn replies_fit(&self) {
        let full = || self.unwritten_replies.load(Ordering::Relaxed) > MAX_QUEUED_REPLIES / 2;
        while full() {
            let written = self.replies_written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            if !full() {
                return;
            }
            tokio::select! {
                () = written => {}
                _ = self.until_ended() => return,
            }
        }
    }

    pub(crate) async fn command<R>(
        &self,
        bytes: usize,
        act: impl FnOnce(&mut Machine, std::time::Instant) -> Result<R, CommandError>,
    ) -> Result<R, SendError> {
        let permit = match self.write_room.acquire_many(write_cost(bytes)).await {
            Ok(permit) => permit,
            Err(_) => return Err(self.until_ended().await.into()),
        };
        let done = self.with(|machine, now| {
            let before = machine.waiting_transmits();
            act(machine, now).map(|result| (result, machine.waiting_transmits() > before))
        });
        match done {
            Ok((result, sends)) => {
                // What is not to be sent, a late answer for instance, is never written either.
                if sends {
                    permit.forget();
                }
                Ok(result)
            }
            Err(CommandError::State { .. }) if self.ended.borrow().is_some() => {
                drop(permit);
                Err(self.until_ended().await.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A packet of `bytes` has been written, or never will be; `settled` when the session has left the path it was
    /// written on, and its room was given back then.
    pub(crate) fn written(&self, bytes: usize, origin: Origin, settled: bool) {
        match origin {
            Origin::Application if !settled => self.write_room.add_permits(write_cost(bytes) as usize),
            Origin::Library if !settled => {
                self.with(|machine, _| machine.handle_replies_written(1));
                self.replies_written.notify_waiters();
            }
            _ => {}
        }
        self.counters.packets_sent.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) async fn flush(&self) {
        let mut links = self.link.subscribe();
        loop {
            let link = links.borrow_and_update().clone();
            let mut in_progress = link.in_progress();
            let idle = async {
                loop {
                    let busy = *in_progress.borrow_and_update() != 0;
                    let empty = !self.lock().holds_transmits() && !busy;
                    if empty || in_progress.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                // What had not left goes on over another connection.
                Ok(()) = links.changed() => {}
                () = idle => return,
                () = link.until_gone() => {
                    if !self.lock().is_moving() {
                        return;
                    }
                    tokio::select! {
                        _ = links.changed() => {}
                        _ = self.until_ended() => return,
                    }
                }
            }
        }
    }

    pub(crate) fn stream_id(&self, number: u64) -> u64 {
        let server_quic = self.side == Side::Server && self.link().transport == TransportId::Quic;
        if server_quic { 3 + 4 * number } else { 2 + 4 * number }
    }

    /// The stream of the frame sent last; every frame opens one, the library's own drops too.
    pub(crate) fn last_stream_id(&self, machine: &Machine) -> Option<u64> {
        machine.frames_sent().checked_sub(1).map(|number| self.stream_id(number))
    }
}

pub(crate) fn write_cost(bytes: usize) -> u32 {
    u32::try_from(bytes.min(WRITE_BUFFER_BYTES)).unwrap_or(u32::MAX)
}
