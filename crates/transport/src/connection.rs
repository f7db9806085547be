//! A connection as its users see it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use nnrp_session::{CommandError, ConnectionState, EndedBy, FrameKey, Machine, Side};
use nnrp_wire::{FlowUpdateMetadata, Header, Packet, ResultHintMetadata, TransportId};
use tokio::sync::{broadcast, watch};

use crate::error::{Closed, ReceiveError, SendError};
use crate::inbox::Receive;
use crate::item::{Filter, Item};
use crate::leaving::Cork;
use crate::loop_sockets::LoopSockets;
use crate::path::Path;
use crate::quic_link::QuicLink;
use crate::session_event::SessionEvent;
use crate::shared::{Parts, Shared};
use crate::stats::ConnectionStats;

/// What sending did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of the packet: header, metadata and body.
    pub bytes: usize,
    /// The QUIC stream it travels on, or the number rc2 would have given it on TCP. `None` for control packets.
    pub stream_id: Option<u64>,
}

/// One connection. Cloning shares it; when the last clone is dropped the connection is closed best-effort.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Handle>);

/// A [`Connection`] that does not keep it open.
#[derive(Clone, Debug)]
pub struct WeakConnection(Weak<Handle>);

impl WeakConnection {
    /// Whether both mean the same connection.
    pub fn is(&self, other: &WeakConnection) -> bool {
        self.0.ptr_eq(&other.0)
    }

    /// The connection, while somebody holds it.
    pub fn upgrade(&self) -> Option<Connection> {
        self.0.upgrade().map(Connection)
    }
}

/// Lives as long as the application holds the connection; the driver holds only [`Shared`].
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with(|machine, now| {
            // Raw packets already accepted are delivered; a session says goodbye.
            if machine.is_raw() { machine.abort(0, "") } else { machine.close(now, "") }
        });
        self.shared.link().claim();
    }
}

#[cfg(all(test, feature = "quic"))]
impl Connection {
    pub(crate) fn link(&self) -> Arc<crate::link::Link> {
        self.0.shared.link()
    }
}

impl Connection {
    pub(crate) fn new(parts: Parts) -> (Self, Arc<Path>) {
        let (shared, path) = Shared::new(parts);
        (Connection(Arc::new(Handle { shared })), path)
    }

    /// The connection, without keeping it open.
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.0))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Which binding carries it now; a session may move.
    pub fn transport(&self) -> TransportId {
        self.shared().link().transport
    }

    /// Which end this is.
    pub fn side(&self) -> Side {
        self.shared().side
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.shared().link().peer
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared().link().local
    }

    /// Keeps `what` until the transport connection is gone; what was kept before is dropped.
    pub fn keep_until_gone(&self, what: impl std::any::Any + Send) {
        self.shared().link().keep(Box::new(what));
    }

    /// Whether nobody on the way can read along: QUIC, TCP with TLS, or a peer on this host. A session moves from such a
    /// connection only to another of them.
    pub fn is_private(&self) -> bool {
        self.shared().link().is_private()
    }

    /// The certificates the peer showed in the TLS handshake, DER, its own first. Empty on plain TCP, and on a server
    /// whose client showed none. They have been checked, unless by [`Trust::DangerAcceptAnyone`](crate::tls::Trust).
    pub fn peer_certificates(&self) -> &[Bytes] {
        &self.shared().certificates
    }

    /// The session's id; 0 before there is one.
    pub fn session_id(&self) -> u32 {
        self.shared().lock().session_id()
    }

    /// Where the connection stands.
    pub fn state(&self) -> ConnectionState {
        self.shared().lock().state()
    }

    /// How the connection ended, once it has.
    pub fn ended(&self) -> Option<Closed> {
        self.shared().ended.borrow().clone()
    }

    /// Waits for the end of the session or raw connection. What had arrived can still be received. Cancel-safe.
    pub async fn closed(&self) -> Closed {
        self.shared().until_ended().await
    }

    /// Waits until the transport itself is gone, lingering included. Cancel-safe.
    pub async fn gone(&self) {
        self.shared().until_gone().await;
    }

    /// Starts reading. A listener's connection reads nothing before it is claimed.
    pub fn claim(&self) {
        self.shared().link().claim();
    }

    /// Lets the peer send as much as its session may: before it is admitted it may send little more than a hello.
    pub fn open_windows(&self) {
        if let Some(quic) = &self.shared().link().quic {
            quic.open_windows();
        }
    }

    /// Looks at the machine, or gives it a command that sends nothing the application has to pay for.
    pub fn with<R>(&self, act: impl FnOnce(&mut Machine, std::time::Instant) -> R) -> R {
        self.shared().with(act)
    }

    /// Gives the machine a command that sends about `bytes`, waiting for room in the write buffer first.
    /// Commands given one after the other are carried out in that order. Cancel-safe: the command is carried
    /// out whole or not at all.
    ///
    /// # Errors
    ///
    /// [`SendError::Command`] when the machine refuses, [`SendError::Closed`] when the connection is over.
    pub fn command<R>(
        &self,
        bytes: usize,
        act: impl FnOnce(&mut Machine, std::time::Instant) -> Result<R, CommandError>,
    ) -> impl Future<Output = Result<R, SendError>> {
        self.shared().command(bytes, None, act)
    }

    /// Like [`Connection::command`] for a command that sends one frame packet of `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub fn command_frame(
        &self,
        bytes: usize,
        act: impl FnOnce(&mut Machine, std::time::Instant) -> Result<(), CommandError>,
    ) -> impl Future<Output = Result<Sent, SendError>> {
        self.command_frame_at(None, bytes, act)
    }

    /// The same for a caller who has just looked at the clock.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub fn command_frame_at(
        &self,
        now: Option<std::time::Instant>,
        bytes: usize,
        act: impl FnOnce(&mut Machine, std::time::Instant) -> Result<(), CommandError>,
    ) -> impl Future<Output = Result<Sent, SendError>> {
        let shared = self.shared();
        shared.command(bytes, now, move |machine, now| {
            act(machine, now)?;
            Ok(Sent { bytes, stream_id: shared.last_stream_id(machine) })
        })
    }

    /// The same without waiting: while there is no room in the write buffer, `act` is not called.
    ///
    /// # Errors
    ///
    /// `what`, where there is no room; within, as [`Connection::command`].
    pub fn command_frame_now<T>(
        &self,
        now: Option<std::time::Instant>,
        bytes: usize,
        what: T,
        act: impl FnOnce(&mut Machine, std::time::Instant, T) -> Result<(), CommandError>,
    ) -> Result<Result<Sent, SendError>, T> {
        let shared = self.shared();
        shared.command_now(bytes, now, what, |machine, now, what| {
            act(machine, now, what)?;
            Ok(Sent { bytes, stream_id: shared.last_stream_id(machine) })
        })
    }

    /// Sends any packet as it is. Cancel-safe: all of it or nothing.
    ///
    /// # Errors
    ///
    /// As [`Connection::command`].
    pub async fn send(&self, packet: Packet) -> Result<Sent, SendError> {
        use nnrp_wire::MessageType::{FrameSubmit, ResultDrop, ResultPush};
        let bytes = Header::LEN + packet.metadata.len() + packet.body.len();
        let frame = matches!(packet.header.msg_type, FrameSubmit | ResultPush | ResultDrop);
        if frame {
            return self.command_frame(bytes, |machine, now| machine.send_packet(now, packet)).await;
        }
        self.command(bytes, |machine, now| machine.send_packet(now, packet)).await?;
        Ok(Sent { bytes, stream_id: None })
    }

    /// Receives the next item that `filter` wants. Cancel-safe: dropping the future loses and reorders nothing.
    pub fn receive(&self, filter: Filter) -> Receive {
        Receive::new(self.shared().inbox.clone(), filter)
    }

    /// Before the next frame is received: lets other tasks run once, where what was just sent over QUIC leaves only then and the peer may have
    /// nothing else to do. At other times it is ready at once. Cancel-safe.
    pub async fn give_way(&self) {
        let mut gives_way = self.shared().pieces.gives_way();
        std::future::poll_fn(|cx| {
            if !std::mem::take(&mut gives_way) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// The next item that `filter` wants, or the end, if that is there already; `None` while it would have to be waited for.
    pub fn receive_now(&self, filter: Filter) -> Option<Result<Item, Closed>> {
        self.shared().inbox.take_now(filter)
    }

    /// Throws away what was received for a frame and whatever still comes; returns how many items were waiting.
    pub fn discard_results(&self, key: FrameKey) -> usize {
        self.with(|machine, _| machine.ignore_results(key));
        self.shared().inbox.discard_results(key.frame_id, key.view_id)
    }

    /// Client: the frame of this id, in this view or any, that was given up here: cancelled, or its results thrown away. Who waits
    /// for its results already is told.
    pub fn given_up(&self, frame_id: u32, view_id: Option<u16>) -> Option<FrameKey> {
        self.shared().given_up(frame_id, view_id)
    }

    /// RESULT_HINTs from now on.
    pub fn hints(&self) -> broadcast::Receiver<(Packet, ResultHintMetadata)> {
        self.shared().hints.subscribe()
    }

    /// FLOW_UPDATEs from now on.
    pub fn flow_updates(&self) -> broadcast::Receiver<(Packet, FlowUpdateMetadata)> {
        self.shared().flow_updates.subscribe()
    }

    /// Frames that nobody waits for any more, from now on: cancelled by the client, or expired.
    pub fn cancels(&self) -> broadcast::Receiver<FrameKey> {
        self.shared().cancels.subscribe()
    }

    /// What happens to the session from now on. Its end is not among it: that is [`Connection::closed`].
    pub fn events(&self) -> broadcast::Receiver<SessionEvent> {
        self.shared().events.subscribe()
    }

    /// Changes, from now on, whenever a submit that is held back may be worth another try. The number means nothing.
    pub fn credit_changes(&self) -> watch::Receiver<u64> {
        self.shared().credit.subscribe()
    }

    /// Keeps back what commands queue from now on until the [`Cork`] is dropped, so that it leaves in one write, on the thread
    /// that drops it and without waiting there. For event loops that know when their turn ends. No promise: what is alone
    /// leaves at once, so does everything beyond 256 KiB, while no more than sixteen frames are in flight on the only stream of a process with
    /// several cores a third of them at a time, and nothing stays for longer than about two milliseconds.
    pub fn cork(&self) -> Cork {
        Cork::of(self.shared())
    }

    /// Lends the socket to an event loop that waits for a frame on it, so that the loop is woken by the socket itself. Whether it is
    /// lent to that loop now; a connection that cannot be (in memory, one that moves large bodies, one that waits to write, on QUIC
    /// one whose listener's connections belong to several loops) is served by the runtime as always, and so is a lent one as soon as
    /// the loop has no time for it.
    pub fn lend(&self, sockets: &LoopSockets) -> bool {
        self.shared().links.with(|link| match &link.quic {
            Some(quic) => quic.lend(sockets),
            None => link.served.get().is_some_and(|serving| serving.lend(sockets)),
        })
    }

    /// Whether an event loop serves its socket now.
    pub fn is_lent(&self) -> bool {
        self.shared().links.with(|link| match &link.quic {
            Some(quic) => quic.is_lent(),
            None => link.served.get().is_some_and(|serving| serving.is_lent()),
        })
    }

    /// The same, for a loop that is about to wait for more on it. With many sessions it may be long until it looks at all sockets
    /// again; a loop that says so now and then is not late, for twenty milliseconds.
    pub fn stays_lent(&self) -> bool {
        self.shared().links.with(|link| match &link.quic {
            Some(quic) => quic.stays_lent(),
            None => link.served.get().is_some_and(|serving| serving.stays_lent()),
        })
    }

    /// Frames that are owed an answer: by this end of it, or by the peer.
    pub fn live_frames(&self) -> usize {
        self.look(Machine::live_frames)
    }

    /// Looks at the machine, which is left as it is.
    pub fn look<R>(&self, at: impl FnOnce(&Machine) -> R) -> R {
        at(&self.shared().lock())
    }

    /// Waits until everything sent so far has left: written to the socket (TCP), acknowledged by the peer
    /// (QUIC frames). Returns at once when the transport is gone. Cancel-safe.
    pub async fn flush(&self) {
        self.shared().flush().await;
    }

    /// Ends a session in order, or a raw connection at once, then waits until what was sent before has left, at
    /// most `linger`. Lingering goes on in the background; see [`Connection::gone`]. Cancel-safe: the close
    /// goes on.
    pub async fn close(&self, reason: &str, linger: Duration) {
        // A peer that has gone acknowledges nothing any more.
        let gone = self.ended().is_some_and(|closed| closed.0.by != EndedBy::Local);
        self.with(|machine, now| machine.close(now, reason));
        self.claim();
        if gone {
            return;
        }
        let _ = tokio::time::timeout(linger, self.flush()).await;
    }

    /// Ends the connection without CLOSE, with an NNRP error code. What was sent before still goes out.
    pub fn abort(&self, code: u32, reason: &str) {
        self.with(|machine, _| machine.abort(code, reason));
        self.claim();
    }

    /// Sends one QUIC datagram. Lost datagrams are not repeated.
    ///
    /// # Errors
    ///
    /// [`SendError::Unsupported`] on TCP or when the peer takes no datagrams of this size.
    pub fn send_datagram(&self, payload: Bytes) -> Result<(), SendError> {
        let Some(quic) = self.shared().link().quic.clone() else {
            return Err(SendError::Unsupported("TCP has no datagrams"));
        };
        if let Some(closed) = self.ended() {
            return Err(closed.into());
        }
        match quic.send_datagram(payload) {
            true => Ok(()),
            false => Err(SendError::Unsupported("the peer takes no datagram of this size")),
        }
    }

    /// Receives the next datagram of a raw QUIC connection. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Unsupported`] on TCP, [`ReceiveError::Closed`] at the end.
    pub async fn receive_datagram(&self) -> Result<Bytes, ReceiveError> {
        if self.shared().link().quic.is_none() {
            return Err(ReceiveError::Unsupported("TCP has no datagrams"));
        }
        match self.receive(Filter::Datagram).await? {
            Item::Datagram(payload) => Ok(payload),
            _ => Err(ReceiveError::Unsupported("not a datagram")),
        }
    }

    /// Builds a session on a raw connection: `act` gives the machine its role, then the session gets what the raw
    /// connection had received, in one step, so that nothing arrives in between.
    pub fn adopt<R>(&self, act: impl FnOnce(&mut Machine, std::time::Instant) -> R) -> R {
        self.shared().adopt(act)
    }

    /// The number of the last stream a frame was sent on.
    pub fn last_sent_stream_id(&self) -> Option<u64> {
        self.shared().last_stream_id(&self.shared().lock())
    }

    /// The number of the last stream a frame arrived on.
    pub fn last_received_stream_id(&self) -> Option<u64> {
        let last = self.shared().link().last_frame_stream.load(Ordering::Relaxed);
        (last != u64::MAX).then_some(last)
    }

    /// The round trip time the transport has measured; `None` on TCP.
    pub fn rtt(&self) -> Option<Duration> {
        self.shared().link().quic.as_ref().map(QuicLink::round_trip)
    }

    /// Counters.
    pub fn stats(&self) -> ConnectionStats {
        self.shared().stats()
    }
}
