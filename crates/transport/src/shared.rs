//! What the application's end of a connection and its driver tasks share: the machine, the inbox, and the bounds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use nnrp_session::{EndedBy, FrameKey, MAX_QUEUED_REPLIES, Machine, Side};
use nnrp_wire::{FlowUpdateMetadata, Packet, ResultHintMetadata, TransportId};
use tokio::sync::{Notify, broadcast, watch};

use crate::budget::{Amount, Budget};
use crate::buffer::BufferPool;
use crate::clock;
use crate::commands::{WRITE_BUFFER_BYTES, write_cost};
use crate::corks::Corks;
use crate::error::Closed;
use crate::inbox::{Inbox, Room};
use crate::link::Link;
use crate::links::Links;
use crate::path::{Path, Standing};
use crate::pieces::Pieces;
use crate::publish::Wakes;
use crate::quic_link::QuicLink;
use crate::session_event::SessionEvent;
use crate::stats::{Book, ConnectionStats};
use crate::tls::TlsFault;

/// Frames received and not yet taken (R-LIM-6, R-LIM-7); beyond it the peer is held back.
pub const MAX_UNREAD_FRAMES: usize = 1024;

/// Bytes of bodies received and not yet taken, in multiples of the largest body.
pub const UNREAD_BODIES: usize = 8;

/// Bytes of bodies received on paths the session has left, and not yet taken; beside [`UNREAD_BODIES`]. What may be on its way
/// when a path is left: the window of a QUIC connection. Beyond it such a path is read no further.
pub const MAX_LATE_BYTES: usize = 32 * 1024 * 1024;

/// Hints, flow updates, cancelled frames and events a subscriber may fall behind before it misses the oldest. The room is taken as a whole, some
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
    pub(crate) write_room: Budget,
    /// Frames received and not yet taken.
    pub(crate) unread: Arc<Budget>,
    /// Those of paths the session has left.
    pub(crate) late: Arc<Budget>,
    /// Library packets not written yet, and the call when there are fewer; beyond the bound reading waits.
    unwritten_replies: AtomicUsize,
    replies_written: Notify,
    pub(crate) hints: Subscribers<(Packet, ResultHintMetadata)>,
    pub(crate) flow_updates: Subscribers<(Packet, FlowUpdateMetadata)>,
    pub(crate) cancels: Subscribers<FrameKey>,
    pub(crate) events: Subscribers<SessionEvent>,
    /// For submits that wait: moves with [`Machine::credit_changes`] while anybody has subscribed. The number means nothing.
    pub(crate) credit: watch::Sender<u64>,
    credit_told: AtomicU64,
    pub(crate) ended: watch::Sender<Option<Closed>>,
    /// When it has, for those who ask with every packet.
    ended_at: OnceLock<Instant>,
    pub(crate) links: Links,
    /// The one it has left last, as long as something may still come from there.
    left: Mutex<Option<Arc<Link>>>,
    pub(crate) corks: Corks,
    pub(crate) pieces: Pieces,
    /// Client: a frame has been given up. Who waits for results asks with each frame.
    gives_up: AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) side: Side,
    pub(crate) certificates: Vec<Bytes>,
    pub(crate) tls_fault: OnceLock<TlsFault>,
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

    pub(crate) fn send(&self, news: impl FnOnce() -> T) {
        if let Some(sender) = self.0.get() {
            let _ = sender.send(news());
        }
    }
}

/// Bytes of bodies that may wait for the application.
fn unread_bytes(machine: &Machine) -> usize {
    let body = usize::try_from(machine.limits().max_body_bytes).unwrap_or(usize::MAX);
    body.saturating_mul(UNREAD_BODIES)
}

/// What a connection is made of.
pub(crate) struct Parts {
    pub(crate) side: Side,
    pub(crate) transport: TransportId,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) quic: Option<QuicLink>,
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
        let unread = Arc::new(Budget::new(MAX_UNREAD_FRAMES, unread_bytes(&machine)));
        let side = parts.side;
        let certificates = std::mem::take(&mut parts.certificates);
        let link = Link::new(parts);
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            inbox: Arc::new(Inbox::default()),
            write_room: Budget::new(0, WRITE_BUFFER_BYTES),
            unread,
            late: Arc::new(Budget::new(MAX_UNREAD_FRAMES, MAX_LATE_BYTES)),
            unwritten_replies: AtomicUsize::new(0),
            replies_written: Notify::new(),
            hints: Subscribers::default(),
            flow_updates: Subscribers::default(),
            cancels: Subscribers::default(),
            events: Subscribers::default(),
            credit: watch::Sender::new(0),
            credit_told: AtomicU64::new(0),
            ended: watch::Sender::new(None),
            ended_at: OnceLock::new(),
            links: Links::new(link.clone()),
            left: Mutex::default(),
            corks: Corks::default(),
            pieces: Pieces::default(),
            gives_up: AtomicBool::new(false),
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
        self.links.now()
    }

    /// Whether this transport connection carries the session.
    pub(crate) fn is_on(&self, link: &Arc<Link>) -> bool {
        self.links.with(|now| Arc::ptr_eq(now, link))
    }

    /// Another one carries it from now on. Returns the one that did. Under the machine's lock.
    pub(crate) fn change_link(&self, link: Arc<Link>) -> Arc<Link> {
        let old = self.links.change(link);
        let before = self.left_link().replace(old.clone());
        if let Some(before) = before {
            before.close_at(clock::now());
        }
        old
    }

    /// What this transport connection is to the session. Under the machine's lock.
    pub(crate) fn standing(&self, link: &Arc<Link>) -> Standing {
        if !link.is_left() || self.is_on(link) {
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
    pub(crate) fn close_left_if_idle(&self, machine: &Machine, now: Instant) {
        if self.links.have_changed()
            && self.side == Side::Client
            && machine.live_frames() == 0
            && let Some(left) = self.left_link().take()
        {
            left.close_at(now);
        }
    }

    /// Room of packets that will not be written: what a path had taken, and packets that were withdrawn.
    pub(crate) fn give_back_room(&self, room: usize, withdrawn: &[usize]) {
        let withdrawn: usize = withdrawn.iter().map(|bytes| write_cost(*bytes)).sum();
        self.write_room.give_back(Amount::bytes(room + withdrawn));
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
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Machine, Instant) -> R) -> R {
        self.run(self.lock(), &mut Room::default(), act)
    }

    /// The same on a machine that is locked already. `room` goes with the first item that comes of it.
    pub(crate) fn run<R>(
        &self,
        mut machine: MutexGuard<'_, Machine>,
        room: &mut Room,
        act: impl FnOnce(&mut Machine, Instant) -> R,
    ) -> R {
        let now = clock::now();
        let mut wakes = Wakes::default();
        let result = act(&mut machine, now);
        self.publish(&mut machine, room, &mut wakes);
        self.finish(machine, now, wakes);
        result
    }

    /// The end of a turn on the machine, everything it had to say being published: calls the writer if it has something to
    /// do, and those who wait for what has arrived.
    pub(crate) fn finish(&self, machine: MutexGuard<'_, Machine>, now: Instant, wakes: Wakes) {
        self.links.with(|link| self.finish_on(link, machine, now, wakes));
    }

    /// The same when it is known over which transport connection.
    pub(crate) fn finish_on(
        &self,
        link: &Link,
        machine: MutexGuard<'_, Machine>,
        now: Instant,
        wakes: Wakes,
    ) {
        let calls_writer =
            self.note_state(&machine, link, now) | (machine.has_transmits() && !self.corks.hold());
        drop(machine);
        if calls_writer {
            link.wake_writer.notify_one();
        }
        wakes.wake();
    }

    /// Passes on what of the machine's state others look at. True when the writer has to be told of an earlier deadline.
    pub(crate) fn note_state(&self, machine: &Machine, link: &Link, now: Instant) -> bool {
        self.note_replies(machine);
        let credit = machine.credit_changes();
        // Only ever changed under the machine's lock. Who waits asks to be told first, and tries after that.
        if self.credit_told.load(Ordering::Relaxed) != credit {
            self.credit_told.store(credit, Ordering::Relaxed);
            if self.credit.receiver_count() > 0 {
                self.credit.send_replace(credit);
            }
        }
        if machine.has_given_up() {
            self.note_given_up();
        }
        self.close_left_if_idle(machine, now);
        link.rearm(machine.poll_timeout())
    }

    /// A frame is given up. Who looks for its results from now on asks the machine; those who wait already are told.
    pub(crate) fn note_given_up(&self) {
        if !self.gives_up.load(Ordering::Relaxed) {
            self.gives_up.store(true, Ordering::Release);
        }
    }

    /// Client: the frame of this id, in this view or any, whose results are thrown away. To be asked by who is in the inbox's line
    /// already, and is told of those to come.
    pub(crate) fn given_up(&self, frame_id: u32, view_id: Option<u16>) -> Option<FrameKey> {
        // Hardly any client ever gives one up.
        if !self.gives_up.load(Ordering::Acquire) {
            return None;
        }
        self.lock().given_up(frame_id, view_id)
    }

    pub(crate) fn note_replies(&self, machine: &Machine) {
        // Only ever changed under the machine's lock.
        let (before, now) = (self.unwritten_replies.load(Ordering::Relaxed), machine.unwritten_replies());
        if before != now {
            self.unwritten_replies.store(now, Ordering::Relaxed);
        }
        if before > now {
            self.replies_written.notify_waiters();
        }
    }

    pub(crate) fn adopt<R>(&self, act: impl FnOnce(&mut Machine, Instant) -> R) -> R {
        let now = clock::now();
        let mut wakes = Wakes::default();
        let mut machine = self.lock();
        let result = act(&mut machine, now);
        // The session brings its own limits.
        self.unread.set_bytes(unread_bytes(&machine));
        self.publish(&mut machine, &mut Room::default(), &mut wakes);
        // Under the machine's lock no reader can deliver anything newer.
        for (packet, mut room) in self.inbox.take_packets() {
            machine.handle_packet(now, packet, nnrp_session::Arrival::Control);
            self.publish(&mut machine, &mut room, &mut wakes);
        }
        self.finish(machine, now, wakes);
        self.link().wake_writer.notify_one();
        result
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
        let mut links = self.links.subscribe();
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
        self.ended_at.get().is_some()
    }

    /// Whether it has ended because the peer cannot be reached any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.ended.borrow().as_ref().is_some_and(|closed| closed.0.by == EndedBy::Transport)
    }

    /// Waits until the session or raw connection has ended, and tells when it did.
    pub(crate) async fn end_time(&self) -> Instant {
        self.until_ended().await;
        // Whoever hears of it before the time is written down hears of it at that time.
        self.ended_at.get().copied().unwrap_or_else(clock::now)
    }

    pub(crate) fn end(&self, closed: Closed) {
        self.ended.send_replace(Some(closed));
        let _ = self.ended_at.set(clock::now());
    }

    /// TLS is why the transport ends. The first reason stays.
    pub(crate) fn note_tls_fault(&self, fault: TlsFault) {
        let _ = self.tls_fault.set(fault);
    }

    /// Whether the peer owes us the reading of too many answers: half of what may be queued. The other half is for what is
    /// under way: no answer is thrown away because a peer is slow.
    pub(crate) fn is_full_of_replies(&self) -> bool {
        self.unwritten_replies.load(Ordering::Relaxed) > MAX_QUEUED_REPLIES / 2
    }

    /// Waits while it is full of them. Reading on would only make more.
    pub(crate) async fn replies_fit(&self) {
        while self.is_full_of_replies() {
            let written = self.replies_written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            if !self.is_full_of_replies() {
                return;
            }
            tokio::select! {
                () = written => {}
                _ = self.until_ended() => return,
            }
        }
    }
}
