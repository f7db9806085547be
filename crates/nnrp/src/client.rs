//! The client's end of a session.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nnrp_session::{ClientSettings, CommandError, CreditPolicy, DRAIN_TIME, FailedFrame, FrameKey};
use nnrp_transport::{Closed, Connection, ConnectionStats, Filter, Item, SendError, Sent, clock};
use nnrp_wire::{
    EncodedPacket, FlowUpdateMetadata, FrameClass, Header, MessageType, Packet, PayloadKind,
    ResultHintMetadata, Revision, ServerHelloAck, SubmitFrame, TransportId,
};

use crate::config::ClientConfig;
use crate::control::Asked;
use crate::credit::Waiting;
use crate::error::{HandshakeError, SessionError};
use crate::handshake::CloseOnDrop;
use crate::migrate::Records;
use crate::reply::Reply;
use crate::server::{send_flow_update, session_span};
use crate::streams::Subscription;

/// A session, as its client sees it. Cloning shares it; all methods may be called from any task.
#[derive(Clone, Debug)]
pub struct ClientSession(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Connection,
    ack_packet: Packet,
    ack: ServerHelloAck,
    pings: AtomicU64,
    waiting: Waiting,
    /// What proves to the server that the session is ours, and how we ask.
    auth_block: bytes::Bytes,
    settings: ClientSettings,
    records: Records,
    asked: Asked,
    span: tracing::Span,
}

impl ClientSession {
    /// Opens a session on a raw connection. Not cancel-safe: dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the connection is closed.
    pub async fn open(connection: Connection, config: ClientConfig) -> Result<Self, HandshakeError> {
        let settings = config.settings;
        let timeout = settings.handshake_timeout;
        let opened = connection.adopt(|machine, now| machine.open(now, &config.hello, settings.clone()));
        let waiting = Waiting::new(settings.credit_timeout);
        match opened {
            Ok(()) => {}
            Err(CommandError::State { .. }) if connection.ended().is_some() => {
                return Err(connection
                    .ended()
                    .map_or(HandshakeError::Timeout(timeout), HandshakeError::Closed));
            }
            Err(error) => return Err(HandshakeError::Send(SendError::Command(error))),
        }
        let guard = CloseOnDrop(Some(connection.clone()));
        let item = connection.receive(Filter::Handshake).await?;
        guard.keep();
        match item {
            Item::Established(established) => {
                let (session, peer) = (established.ack.metadata.session_id, connection.peer_addr());
                tracing::info!(session, %peer, transport = %connection.transport(), "a session begins");
                let span = session_span(&connection, &established.ack);
                Ok(ClientSession(Arc::new(Inner {
                    connection,
                    span,
                    ack_packet: established.packet,
                    ack: established.ack,
                    pings: AtomicU64::new(0),
                    waiting,
                    auth_block: config.hello.auth_block,
                    settings,
                    records: Records::default(),
                    asked: Asked::default(),
                })))
            }
            // Neither the peer nor a rule it broke: it was the clock that ended the handshake.
            Item::HandshakeFailed(failure) if failure.fault.rule.is_none() && !failure.fault.from_peer => {
                Err(HandshakeError::Timeout(timeout))
            }
            Item::HandshakeFailed(failure) => Err(HandshakeError::Refused(failure)),
            _ => Err(HandshakeError::Timeout(timeout)),
        }
    }

    /// What it was told when it was opened.
    pub fn settings(&self) -> &ClientSettings {
        &self.0.settings
    }

    /// What moves the session: the auth block it was opened with, and the client's settings.
    pub(crate) fn proof(&self) -> (bytes::Bytes, ClientSettings) {
        (self.0.auth_block.clone(), self.0.settings.clone())
    }

    pub(crate) fn records(&self) -> &Records {
        &self.0.records
    }

    /// The span of the session, `nnrp.session`, with session_id, transport, peer and model.
    pub fn span(&self) -> &tracing::Span {
        &self.0.span
    }

    pub(crate) fn asked(&self) -> &Asked {
        &self.0.asked
    }

    /// The connection underneath.
    pub fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// The certificates the server showed, DER, its own first; empty on plain TCP.
    pub fn peer_certificates(&self) -> &[bytes::Bytes] {
        self.0.connection.peer_certificates()
    }

    /// Which binding carries it now; a session may move.
    pub fn transport(&self) -> TransportId {
        self.0.connection.transport()
    }

    /// The server's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.connection.peer_addr()
    }

    /// The round trip as the transport measures it: QUIC only. [`ClientSession::ping`] asks the server's runtime.
    pub fn rtt(&self) -> Option<Duration> {
        self.0.connection.rtt()
    }

    /// Counters of the session and its connection, from its beginning.
    pub fn stats(&self) -> ConnectionStats {
        self.0.connection.stats()
    }

    /// The session's id.
    pub fn id(&self) -> u32 {
        self.0.ack.metadata.session_id
    }

    /// What the server answered to our hello.
    pub fn ack(&self) -> &ServerHelloAck {
        &self.0.ack
    }

    /// The same as it came.
    pub fn ack_packet(&self) -> &Packet {
        &self.0.ack_packet
    }

    /// Submits a frame without waiting for its result. Waits while the server's credit or a pause holds it back, as
    /// [`ClientConfig::credit`](crate::ClientConfig::credit) says, and while the write buffer is full. Submits that are
    /// held back go out in the order of these calls. Cancel-safe: the whole frame is sent or nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::Command`] for values that make no legal frame, and, as
    /// [`CommandError::Held`](crate::CommandError::Held), when the server held it back for too long;
    /// [`SendError::Closed`] at the end.
    pub async fn send(&self, frame: &SubmitFrame) -> Result<Sent, SendError> {
        match self.send_now(frame) {
            Ok(sent) => sent,
            Err(packet) => self.send_held(packet, frame.frame_class, None).await,
        }
    }

    /// The same in at most `limit`, for being held back and for the write buffer. Cancel-safe likewise.
    ///
    /// # Errors
    ///
    /// As [`ClientSession::send`].
    pub async fn send_within(&self, frame: &SubmitFrame, limit: Duration) -> Result<Sent, SendError> {
        let packet = self.encode(frame)?;
        self.send_held(packet, frame.frame_class, Some(limit)).await
    }

    /// The same without waiting: fails when the frame may not go out at once. Cancel-safe likewise.
    ///
    /// # Errors
    ///
    /// As [`ClientSession::send`].
    pub async fn try_send(&self, frame: &SubmitFrame) -> Result<Sent, SendError> {
        self.send_within(frame, Duration::ZERO).await
    }

    /// Sends a frame in this call if nothing holds it back; its packet is handed back otherwise. No async fn: a future would be
    /// moved about with the packet in it.
    fn send_now(&self, frame: &SubmitFrame) -> Result<Result<Sent, SendError>, EncodedPacket> {
        match self.encode(frame) {
            Ok(packet) => self.0.waiting.submit_now(&self.0.connection, packet, frame.frame_class),
            Err(illegal) => Ok(Err(illegal)),
        }
    }

    /// In a box: few have to wait, and all would be moved about with what that needs.
    fn send_held(
        &self,
        packet: EncodedPacket,
        class: FrameClass,
        limit: Option<Duration>,
    ) -> BoxFuture<'_, Result<Sent, SendError>> {
        self.0.waiting.submit(&self.0.connection, packet, class, limit).boxed()
    }

    fn encode(&self, frame: &SubmitFrame) -> Result<EncodedPacket, SendError> {
        let packet = if carries_nothing(frame) {
            // Both forms are legal; rc2 servers refuse the one without a body.
            SubmitFrame { zero_prelude: true, ..frame.clone() }.encode(self.id(), Revision::Current)
        } else {
            frame.encode(self.id(), Revision::Current)
        };
        packet.map_err(|error| SendError::Command(error.into()))
    }

    /// How the server's credit and pauses are treated now.
    pub fn credit_policy(&self) -> CreditPolicy {
        self.0.connection.look(nnrp_session::Machine::credit_policy)
    }

    /// Treats them differently from now on; submits that are held back are affected too.
    pub fn set_credit_policy(&self, policy: CreditPolicy) {
        self.0.connection.with(|machine, _| machine.set_credit_policy(policy));
    }

    /// Submits a frame and waits for the first thing that comes back for it. For an answer in parts, see
    /// [`ClientSession::submit_streaming`].
    ///
    /// Cancel-safe in that nothing is lost: when the future is dropped the frame may have been submitted, and its result stays
    /// for [`ClientSession::receive`]. To have the server stop, [`ClientSession::cancel`] it.
    ///
    /// # Errors
    ///
    /// As [`ClientSession::send`], and [`SessionError::Closed`] when the session ends first.
    pub async fn submit(&self, frame: &SubmitFrame) -> Result<Reply, SessionError> {
        self.send(frame).await?;
        self.receive_for(frame.frame_id, Some(frame.view_id)).await
    }

    /// The next result, drop or failure of any frame, in order of arrival. Lets other tasks run once before it hands out what is there where
    /// frames just submitted over QUIC leave only then. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SessionError::Closed`] once everything that had arrived was handed out.
    pub async fn receive(&self) -> Result<Reply, SessionError> {
        self.0.connection.give_way().await;
        self.next_reply(Filter::Result).await
    }

    /// The next result, drop or failure of one frame; several results of a frame come in the order they were
    /// sent. A frame that is cancelled or discarded here fails, while somebody waits for it and afterwards. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`ClientSession::receive`].
    pub async fn receive_for(&self, frame_id: u32, view_id: Option<u16>) -> Result<Reply, SessionError> {
        let mut receive = pin!(self.next_reply(Filter::ResultOf { frame_id, view_id }));
        let mut asked = false;
        std::future::poll_fn(|cx| {
            let polled = receive.as_mut().poll(cx);
            // It waits now, and is told of any cancel to come.
            if polled.is_pending()
                && !std::mem::replace(&mut asked, true)
                && let Some(key) = self.0.connection.given_up(frame_id, view_id)
            {
                return Poll::Ready(Ok(Reply::Failed(Box::new(FailedFrame::given_up(key)))));
            }
            polled
        })
        .await
    }

    async fn next_reply(&self, filter: Filter) -> Result<Reply, SessionError> {
        loop {
            match self.0.connection.receive(filter).await? {
                Item::Result(result) => return Ok(Reply::from(*result)),
                Item::FrameFailed(failed) => return Ok(Reply::Failed(failed)),
                _ => {}
            }
        }
    }

    /// Throws away what has arrived and whatever still comes for a frame; returns how much had arrived.
    pub fn discard(&self, key: FrameKey) -> usize {
        self.0.connection.discard_results(key)
    }

    /// Tells the server that a frame is no longer wanted. Its later results are thrown away. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn cancel(&self, key: FrameKey) -> Result<usize, SendError> {
        self.0.connection.command(Header::LEN, |machine, _| machine.cancel(key)).await?;
        Ok(Header::LEN)
    }

    /// The next control packet of any type the library has no use for itself, or of one type. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SessionError::Closed`] at the end.
    pub async fn receive_control(&self, message: Option<MessageType>) -> Result<Packet, SessionError> {
        let filter = message.map_or(Filter::Control, Filter::Message);
        loop {
            if let Item::Packet(packet) = self.0.connection.receive(filter).await? {
                return Ok(*packet);
            }
        }
    }

    /// Hints from now on. A subscriber that falls behind misses the oldest.
    pub fn hints(&self) -> Subscription<ResultHintMetadata> {
        Subscription::new(self.0.connection.hints(), &self.0.connection)
    }

    /// Flow updates from now on. A subscriber that falls behind misses the oldest.
    pub fn flow_updates(&self) -> Subscription<FlowUpdateMetadata> {
        Subscription::new(self.0.connection.flow_updates(), &self.0.connection)
    }

    /// Sends a flow update: advice about how many results the client wants outstanding. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn send_flow_update(
        &self,
        header: Header,
        update: &FlowUpdateMetadata,
    ) -> Result<usize, SendError> {
        Ok(send_flow_update(&self.0.connection, self.id(), header, update).await?.bytes)
    }

    /// Asks the server's runtime whether it is there; returns the round trip. rc2 servers never answer.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SessionError::Timeout`] and [`SessionError::Closed`].
    pub async fn ping(&self, timeout: Duration) -> Result<Duration, SessionError> {
        let mut header = Header::new(MessageType::Ping);
        header.session_id = self.id();
        header.trace_id = PING_TRACE | self.0.pings.fetch_add(1, Ordering::Relaxed);
        let trace_id = header.trace_id;
        let sent = clock::now();
        let exchange = async {
            self.0.connection.send(Packet::build(header, bytes::Bytes::new(), bytes::Bytes::new())).await?;
            loop {
                let pong = self.receive_control(Some(MessageType::Pong)).await?;
                if pong.header.trace_id == trace_id {
                    return Ok(clock::now().saturating_duration_since(sent));
                }
            }
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(SessionError::Timeout(timeout)))
    }

    /// Ends the session: CLOSE is sent and everything sent before has left when this returns (at most the drain
    /// time later). Cancel-safe: the close goes on.
    pub async fn close(&self, reason: &str) {
        // Frames have streams of their own on QUIC, where CLOSE would overtake them and have them refused.
        let goodbye = Goodbye { connection: &self.0.connection, reason };
        if self.0.connection.ended().is_some() {
            return self.0.connection.close(reason, DRAIN_TIME).await;
        }
        let until = clock::now() + DRAIN_TIME;
        let _ = tokio::time::timeout(DRAIN_TIME, self.0.connection.flush()).await;
        drop(goodbye);
        let rest = until.saturating_duration_since(clock::now());
        self.0.connection.close(reason, rest).await;
    }

    /// Waits for the end of the session. Cancel-safe.
    pub async fn closed(&self) -> Closed {
        self.0.connection.closed().await
    }
}

/// Says CLOSE when it is dropped, so that a close that was given up goes on.
struct Goodbye<'a> {
    connection: &'a Connection,
    reason: &'a str,
}

impl Drop for Goodbye<'_> {
    fn drop(&mut self) {
        self.connection.with(|machine, now| machine.close(now, self.reason));
    }
}

/// Whether a frame has neither tensors nor payloads.
fn carries_nothing(frame: &SubmitFrame) -> bool {
    frame.sections.is_empty()
        && frame.tile_ids.is_empty()
        && frame.typed_payloads.is_empty()
        && !frame.payload_kind.contains(PayloadKind::TENSOR)
}

/// Marks the PINGs of [`ClientSession::ping`], so that their answers are told from others.
const PING_TRACE: u64 = 0x7069_6e67_0000_0000;
