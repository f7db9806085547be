//! What the application's end of a connection and its driver tasks share: the machine, the inbox, and the bounds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use nnrp_session::{
    CommandError, DRAIN_TIME, Ended, EndedBy, Event, FrameKey, MAX_QUEUED_REPLIES, Machine, Origin, Side,
    Transmit, TransportEnd,
};
use nnrp_wire::{FlowUpdateMetadata, Header, Packet, ResultHintMetadata, TransportId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};

use crate::buffer::BufferPool;
use crate::clock;
use crate::error::{Closed, SendError};
use crate::inbox::{Inbox, Item, Room};
use crate::tls::{Failure, TlsFault};

/// Bytes the application may have handed in before [`Connection::command`](crate::Connection::command) waits. One body of a quarter of
/// the default limit: enough to keep a fast network busy, little enough to notice a slow peer.
pub const WRITE_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Frames received and not yet taken (R-LIM-6, R-LIM-7); beyond it the peer is held back.
pub const MAX_UNREAD_FRAMES: usize = 1024;

/// Bytes of bodies received and not yet taken, in multiples of the largest body.
pub const UNREAD_BODIES: usize = 8;

/// Hints and flow updates a subscriber may fall behind before it misses the oldest.
const SUBSCRIPTION_BACKLOG: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) packets_received: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) packets_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) packets_refused: AtomicU64,
}

/// What the driver tasks and the application share.
#[derive(Debug)]
pub(crate) struct Shared {
    machine: Mutex<Machine>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) pool: BufferPool,
    pub(crate) wake_writer: Notify,
    write_room: Semaphore,
    receive_frames: Arc<Semaphore>,
    receive_bytes: Mutex<BodyBudget>,
    /// Library packets not written yet, and the call when there are fewer; beyond the bound reading waits.
    unwritten_replies: AtomicUsize,
    replies_written: Notify,
    pub(crate) hints: broadcast::Sender<(Packet, ResultHintMetadata)>,
    pub(crate) flow_updates: broadcast::Sender<(Packet, FlowUpdateMetadata)>,
    pub(crate) cancels: broadcast::Sender<FrameKey>,
    /// [`Machine::credit_changes`], for submits that wait.
    pub(crate) credit: watch::Sender<u64>,
    pub(crate) ended: watch::Sender<Option<Closed>>,
    gone: watch::Sender<bool>,
    claimed: watch::Sender<bool>,
    /// Packets taken from the machine and not yet written (TCP) or acknowledged (QUIC).
    in_progress: watch::Sender<usize>,
    pub(crate) counters: Counters,
    frames_received: AtomicU64,
    pub(crate) last_frame_stream: AtomicU64,
    pub(crate) quic: Option<quinn::Connection>,
    pub(crate) transport: TransportId,
    pub(crate) side: Side,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) certificates: Vec<Bytes>,
    tls_fault: OnceLock<TlsFault>,
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
    pub(crate) quic: Option<quinn::Connection>,
    /// What the peer showed in the TLS handshake, DER, leaf first.
    pub(crate) certificates: Vec<Bytes>,
    pub(crate) pool: BufferPool,
    /// Whether reading starts at once; a listener's connections wait until somebody claims them.
    pub(crate) claimed: bool,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let machine = Machine::new(parts.side, parts.transport);
        let budget = BodyBudget::of(&machine);
        Arc::new(Shared {
            machine: Mutex::new(machine),
            inbox: Arc::new(Inbox::default()),
            pool: parts.pool,
            wake_writer: Notify::new(),
            write_room: Semaphore::new(WRITE_BUFFER_BYTES),
            receive_frames: Arc::new(Semaphore::new(MAX_UNREAD_FRAMES)),
            receive_bytes: Mutex::new(budget),
            unwritten_replies: AtomicUsize::new(0),
            replies_written: Notify::new(),
            hints: broadcast::Sender::new(SUBSCRIPTION_BACKLOG),
            flow_updates: broadcast::Sender::new(SUBSCRIPTION_BACKLOG),
            cancels: broadcast::Sender::new(SUBSCRIPTION_BACKLOG),
            credit: watch::Sender::new(0),
            ended: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            claimed: watch::Sender::new(parts.claimed),
            in_progress: watch::Sender::new(0),
            counters: Counters::default(),
            frames_received: AtomicU64::new(0),
            last_frame_stream: AtomicU64::new(u64::MAX),
            quic: parts.quic,
            transport: parts.transport,
            side: parts.side,
            peer: parts.peer,
            local: parts.local,
            certificates: parts.certificates,
            tls_fault: OnceLock::new(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Runs `act` on the machine, then passes on what it has to say.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Machine, std::time::Instant) -> R) -> R {
        let now = clock::now();
        let mut machine = self.lock();
        let deadline = machine.poll_timeout();
        let result = act(&mut machine, now);
        self.publish(&mut machine, &mut Room::default());
        let wants_writer = machine.has_transmits() || machine.poll_timeout() != deadline;
        drop(machine);
        if wants_writer {
            self.wake_writer.notify_one();
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
        self.wake_writer.notify_one();
        result
    }

    /// One received packet, with the room it takes until the application has it.
    pub(crate) fn handle_packet(&self, packet: Packet, arrival: nnrp_session::Arrival, mut room: Room) {
        let bytes = (Header::LEN + packet.metadata.len() + packet.body.len()) as u64;
        self.counters.packets_received.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_received.fetch_add(bytes, Ordering::Relaxed);
        if room.0.is_some() {
            let number = self.frames_received.fetch_add(1, Ordering::Relaxed);
            let stream = match arrival {
                nnrp_session::Arrival::Stream(id) => id,
                _ => 2 + 4 * number,
            };
            self.last_frame_stream.store(stream, Ordering::Relaxed);
        }
        let now = clock::now();
        let mut machine = self.lock();
        let deadline = machine.poll_timeout();
        machine.handle_packet(now, packet, arrival);
        self.publish(&mut machine, &mut room);
        let wants_writer = machine.has_transmits() || machine.poll_timeout() != deadline;
        drop(machine);
        if wants_writer {
            self.wake_writer.notify_one();
        }
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
                Event::Established(established) => Item::Established(established),
                Event::HandshakeFailed(failure) => Item::HandshakeFailed(failure),
                Event::Submit(submit) => Item::Submit(submit),
                Event::Result(result) => Item::Result(result),
                Event::FrameFailed(failed) => Item::FrameFailed(failed),
                Event::Rejected(rejected) => {
                    self.counters.packets_refused.fetch_add(1, Ordering::Relaxed);
                    if self.side == Side::Client {
                        // Nobody receives these on a client: what they concern has failed by itself.
                        tracing::debug!(fault = %rejected.fault, "a packet of the server was refused");
                        continue;
                    }
                    Item::Rejected(rejected)
                }
                Event::Hint(packet, hint) => {
                    let _ = self.hints.send((packet.clone(), hint));
                    Item::Packet(packet)
                }
                Event::FlowUpdate(packet, update) => {
                    let _ = self.flow_updates.send((packet.clone(), update));
                    Item::Packet(packet)
                }
                Event::Cancelled(key) | Event::Expired(key) => {
                    let _ = self.cancels.send(key);
                    continue;
                }
                Event::PeerClosing(reason) => {
                    let ended = Ended { by: EndedBy::Peer, fault: None, reason };
                    self.inbox.end_frames(Closed(Arc::new(ended), None));
                    continue;
                }
                Event::Ended(ended) => {
                    let closed = Closed(Arc::new(ended), self.tls_fault.get().copied());
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

    pub(crate) fn claim(&self) {
        self.claimed.send_replace(true);
    }

    pub(crate) async fn until_claimed(&self) {
        let _ = self.claimed.subscribe().wait_for(|claimed| *claimed).await;
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

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(crate) async fn until_gone(&self) {
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// The transport failed; says why it will have ended.
    pub(crate) fn transport_failed(&self, failure: Failure) {
        if let Some(fault) = failure.fault {
            self.note_tls_fault(fault);
        }
        let end = TransportEnd { clean: false, text: failure.text };
        self.with(|machine, _| machine.handle_transport_closed(&end));
    }

    /// TLS is why the transport ends. The first reason stays.
    pub(crate) fn note_tls_fault(&self, fault: TlsFault) {
        let _ = self.tls_fault.set(fault);
    }

    /// The transport ended. The last thing a driver does.
    pub(crate) fn transport_closed(&self, end: &TransportEnd) {
        self.with(|machine, _| machine.handle_transport_closed(end));
        self.in_progress.send_replace(0);
        self.gone.send_replace(true);
    }

    /// Waits for room for one more frame. `None` when the connection ended meanwhile.
    pub(crate) async fn frame_room(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            permit = self.receive_frames.clone().acquire_owned() => permit.ok(),
            _ = self.until_ended() => None,
        }
    }

    /// Waits for room for a body of `len` bytes. `None` when the connection ended meanwhile.
    pub(crate) async fn body_room(&self, len: usize) -> Option<OwnedSemaphorePermit> {
        let budget = self.receive_bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // No body may wait for more than there can ever be.
        let wanted = u32::try_from(len.min(budget.total)).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            permit = budget.permits.acquire_many_owned(wanted) => permit.ok(),
            _ = self.until_ended() => None,
        }
    }

    /// Waits for room for a frame and its body.
    pub(crate) async fn receive_room(&self, body_len: usize) -> Option<Room> {
        let frame = self.frame_room().await?;
        let body = self.body_room(body_len).await?;
        Some(Room(Some(frame), Some(body)))
    }

    /// The same where waiting means that nothing at all is read: silence is then our own doing.
    pub(crate) async fn receive_room_pausing(&self, body_len: usize) -> Option<Room> {
        let room = self.receive_room(body_len);
        tokio::pin!(room);
        if let Some(ready) = room.as_mut().now_or_never() {
            return ready;
        }
        self.with(|machine, now| machine.handle_reading(now, true));
        let room = room.await;
        self.with(|machine, now| machine.handle_reading(now, false));
        room
    }

    /// Waits while the peer owes us the reading of too many answers. Reading on would only make more of them.
    pub(crate) async fn replies_fit(&self) {
        let full = || self.unwritten_replies.load(Ordering::Relaxed) > MAX_QUEUED_REPLIES;
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

    /// The session or raw connection has ended this long ago, and twice: nothing may take longer than that to leave.
    pub(crate) async fn overdue(&self) {
        self.until_ended().await;
        clock::sleep_until(Some(clock::now() + 2 * DRAIN_TIME)).await;
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
        match self.with(act) {
            Ok(result) => {
                permit.forget();
                Ok(result)
            }
            Err(CommandError::State { .. }) if self.ended.borrow().is_some() => {
                drop(permit);
                Err(self.until_ended().await.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A packet of `bytes` has been written, or never will be.
    pub(crate) fn written(&self, bytes: usize, origin: Origin) {
        match origin {
            Origin::Application => self.write_room.add_permits(write_cost(bytes) as usize),
            Origin::Library => {
                self.with(|machine, _| machine.handle_replies_written(1));
                self.replies_written.notify_waiters();
            }
        }
        self.counters.packets_sent.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The next transmits, at most `limit`, counted as in progress until [`Shared::done`].
    pub(crate) fn take_transmits(&self, limit: usize) -> (Vec<Transmit>, Option<std::time::Instant>) {
        let mut machine = self.lock();
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(transmit) = machine.poll_transmit() else { break };
            taken.push(transmit);
        }
        let deadline = machine.poll_timeout();
        // Under the lock, so that flush() never sees a packet in neither place.
        if !taken.is_empty() {
            self.in_progress.send_modify(|count| *count += taken.len());
        }
        (taken, deadline)
    }

    /// When the machine wants to be told the time.
    pub(crate) fn deadline(&self) -> Option<std::time::Instant> {
        self.lock().poll_timeout()
    }

    pub(crate) fn done(&self, count: usize) {
        self.in_progress.send_modify(|in_progress| *in_progress = in_progress.saturating_sub(count));
    }

    pub(crate) async fn flush(&self) {
        let mut in_progress = self.in_progress.subscribe();
        let idle = async {
            loop {
                in_progress.borrow_and_update();
                let empty = {
                    let machine = self.lock();
                    !machine.has_transmits() && *self.in_progress.borrow() == 0
                };
                if empty || in_progress.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = idle => {}
            () = self.until_gone() => {}
        }
    }

    pub(crate) fn stream_id(&self, number: u64) -> u64 {
        let server_quic = self.side == Side::Server && self.transport == TransportId::Quic;
        if server_quic { 3 + 4 * number } else { 2 + 4 * number }
    }

    /// The stream of the frame sent last; every frame opens one, the library's own drops too.
    pub(crate) fn last_stream_id(&self, machine: &Machine) -> Option<u64> {
        machine.frames_sent().checked_sub(1).map(|number| self.stream_id(number))
    }
}

fn write_cost(bytes: usize) -> u32 {
    u32::try_from(bytes.min(WRITE_BUFFER_BYTES)).unwrap_or(u32::MAX)
}
