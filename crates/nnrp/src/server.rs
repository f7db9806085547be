//! The server's end of a session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use nnrp_session::{
    DRAIN_TIME, DropFrame, FrameKey, FrameState, Machine, Parameters, ReceivedHello, ReceivedSubmit,
    RejectedPacket,
};
use nnrp_transport::{Closed, Connection, ConnectionStats, Filter, Item, SendError, Sent};
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    EncodedPacket, FlowUpdateMetadata, FlowUpdateScopeKind, Header, MessageType, Packet, ResultFrame,
    ResultHintMetadata, ResultHintReason, Revision, ServerHelloAck, TransportId,
};
use tokio::sync::Mutex;
use tracing::Span;

use crate::error::SessionError;
use crate::migrate::Registered;
use crate::outcome::Outcome;
use crate::submit::Submit;

/// Bytes of a RESULT_HINT packet: header and 16 bytes of metadata.
const HINT_BYTES: usize = Header::LEN + ResultHintMetadata::LEN;

/// A session, as its server sees it. Cloning shares it; all methods may be called from any task.
#[derive(Clone, Debug)]
pub struct ServerSession(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Connection,
    hello: Arc<ReceivedHello>,
    ack: ServerHelloAck,
    #[expect(dead_code, reason = "held to be dropped")]
    registered: Option<Registered>,
    /// Held while an object is on its way to the client.
    installing: Mutex<()>,
    /// Frames expire: one that has arrived may be over before it is received.
    expires: bool,
    span: Span,
}

/// What [`ServerSession::receive`] hands out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received {
    /// A frame.
    Submit(Box<ReceivedSubmit>),
    /// The client sent something no server takes, or a frame that breaks a rule. It has been answered; the
    /// session goes on.
    Rejected(Box<RejectedPacket>),
}

impl ServerSession {
    pub(crate) fn new(
        connection: Connection,
        hello: Arc<ReceivedHello>,
        ack: ServerHelloAck,
        registered: Option<Registered>,
    ) -> Self {
        let span = session_span(&connection, &ack);
        let installing = Mutex::default();
        let expires = connection
            .look(|machine| machine.server_settings().is_some_and(|settings| settings.expire_frames));
        ServerSession(Arc::new(Inner { connection, hello, ack, registered, installing, expires, span }))
    }

    /// The span of the session, `nnrp.session`, with session_id, transport, peer and model. Frames' spans are its children:
    /// [`Submit::span`]. Work about the whole session may be [instrumented](tracing::Instrument) with it.
    pub fn span(&self) -> &Span {
        &self.0.span
    }

    /// The connection underneath.
    pub fn connection(&self) -> &Connection {
        &self.0.connection
    }

    pub(crate) fn installing(&self) -> &Mutex<()> {
        &self.0.installing
    }

    /// The certificates the client showed, DER, its own first; empty when it showed none. They come from an authority
    /// that was given to [`ServerTls`](crate::ServerTls).
    pub fn peer_certificates(&self) -> &[bytes::Bytes] {
        self.0.connection.peer_certificates()
    }

    /// Which binding carries it now; a session may move.
    pub fn transport(&self) -> TransportId {
        self.0.connection.transport()
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.connection.peer_addr()
    }

    /// The round trip as the transport measures it: QUIC only.
    pub fn rtt(&self) -> Option<Duration> {
        self.0.connection.rtt()
    }

    /// Counters of the session and its connection, from its beginning.
    pub fn stats(&self) -> ConnectionStats {
        self.0.connection.stats()
    }

    /// What is in force of what the client may change while the session runs (SESSION_PATCH); `None` once it is over.
    pub fn parameters(&self) -> Option<Parameters> {
        self.0.connection.with(|machine, _| machine.parameters().cloned())
    }

    /// The session's id.
    pub fn id(&self) -> u32 {
        self.0.ack.metadata.session_id
    }

    /// What the client said when it came.
    pub fn hello(&self) -> &ReceivedHello {
        &self.0.hello
    }

    /// What it was answered.
    pub fn ack(&self) -> &ServerHelloAck {
        &self.0.ack
    }

    /// The next frame, which owes its client an answer; `None` once the session has ended in order, by either side. Packets
    /// that were refused are logged and skipped. Cancel-safe: no frame is lost.
    ///
    /// # Errors
    ///
    /// [`SessionError::Closed`] when the session ended otherwise: the connection was lost, or a fatal error ended it. In either
    /// case every frame that had arrived was handed out before.
    pub async fn recv(&self) -> Result<Option<Submit>, SessionError> {
        loop {
            match self.receive().await {
                Ok(Received::Submit(submit)) => return Ok(Some(Submit::new(self, submit))),
                Ok(Received::Rejected(rejected)) => {
                    self.log_refused(&rejected, "a packet was refused");
                }
                Err(SessionError::Closed(closed)) if closed.is_orderly() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next frame or refused packet, without a duty to answer attached. Lets other tasks run once before it hands out what is there
    /// where answers just sent over QUIC leave only then; [`ServerSession::receive_now`] looks without that. Frames beyond a limit were answered
    /// and are not shown. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SessionError::Closed`] once everything that had arrived was handed out.
    pub async fn receive(&self) -> Result<Received, SessionError> {
        self.0.connection.give_way().await;
        loop {
            if let Some(received) = self.shown(self.0.connection.receive(Filter::Submit).await?) {
                return Ok(received);
            }
        }
    }

    /// What [`ServerSession::receive`] would return at once; `None` while it would wait.
    ///
    /// # Errors
    ///
    /// As [`ServerSession::receive`].
    pub fn receive_now(&self) -> Option<Result<Received, SessionError>> {
        loop {
            match self.0.connection.receive_now(Filter::Submit)? {
                Ok(item) => {
                    if let Some(received) = self.shown(item) {
                        return Some(Ok(received));
                    }
                }
                Err(closed) => return Some(Err(closed.into())),
            }
        }
    }

    /// What is handed out of what was received.
    fn shown(&self, item: Item) -> Option<Received> {
        match item {
            // Its client was told already.
            Item::Submit(submit) if self.is_expired(FrameKey::from(&submit.packet.header)) => None,
            Item::Submit(submit) => Some(Received::Submit(submit)),
            Item::Rejected(rejected)
                if matches!(rejected.fault.rule, Some(RuleId::LIM_1 | RuleId::LIM_3 | RuleId::LIM_4)) =>
            {
                self.log_refused(&rejected, "a frame beyond the limits was refused");
                None
            }
            Item::Rejected(rejected) => Some(Received::Rejected(rejected)),
            _ => None,
        }
    }

    fn log_refused(&self, rejected: &RejectedPacket, what: &str) {
        let trace = rejected.packet.as_ref().map_or(0, |packet| packet.header.trace_id);
        let (fault, peer) = (&rejected.fault, self.0.connection.peer_addr());
        tracing::warn!(
            session = self.id(), frame = fault.frame_id, view = fault.view_id, trace, %peer, %fault, "{what}"
        );
    }

    /// The next control packet the library has no use for itself. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SessionError::Closed`] at the end of the session.
    pub async fn receive_control(&self) -> Result<Packet, SessionError> {
        loop {
            if let Item::Packet(packet) = self.0.connection.receive(Filter::Control).await? {
                return Ok(*packet);
            }
        }
    }

    /// Sends an answer to a frame, or a part of one, when there is no [`Submit`] to do it with; returns the packet's bytes. Waits
    /// while the write buffer is full. Cancel-safe: the whole packet is sent or nothing.
    ///
    /// # Errors
    ///
    /// As [`ServerSession::send_result`].
    pub async fn send(&self, key: FrameKey, outcome: impl Into<Outcome>) -> Result<usize, SendError> {
        let packet = self.encode(&outcome.into().of(key))?;
        self.send_encoded(packet, None).await
    }

    /// Ends a frame without a result, telling its client why; returns the bytes of the drop. Cancel-safe likewise.
    ///
    /// # Errors
    ///
    /// As [`ServerSession::send_drop`].
    pub async fn drop_frame(&self, key: FrameKey, reason: ResultHintReason) -> Result<usize, SendError> {
        let (frame_id, view_id) = (key.frame_id, key.view_id);
        self.send_drop(DropFrame { frame_id, view_id, reason: Some(reason), ..DropFrame::default() }).await
    }

    /// Gives the client advice that is about the session; returns the packet's bytes. Cancel-safe likewise.
    ///
    /// # Errors
    ///
    /// As [`ServerSession::send_hint`].
    pub async fn hint(&self, hint: ResultHintMetadata) -> Result<usize, SendError> {
        self.send_hint(Header::new(MessageType::ResultHint), &hint).await
    }

    /// Tells the client how much it may submit; returns the packet's bytes. An update of the session whose `credit_epoch` is 0,
    /// as [`FlowUpdateMetadata::pause`] and the like make it, is numbered so that the client heeds it. Cancel-safe likewise.
    ///
    /// # Errors
    ///
    /// As [`ServerSession::send_flow_update`].
    pub async fn flow_update(&self, mut update: FlowUpdateMetadata) -> Result<usize, SendError> {
        update.check().map_err(|error| SendError::Command(error.into()))?;
        let mut header = Header::new(MessageType::FlowUpdate);
        let session = update.scope_kind == FlowUpdateScopeKind::Session;
        header.session_id = if update.scope_kind == FlowUpdateScopeKind::Connection { 0 } else { self.id() };
        let bytes = Header::LEN + FlowUpdateMetadata::LEN;
        self.0
            .connection
            .command(bytes, |machine, now| {
                if session && update.credit_epoch == 0 {
                    update.credit_epoch = machine.next_flow_epoch();
                }
                let metadata = bytes::Bytes::copy_from_slice(&update.encode());
                machine.send_packet(now, Packet::build(header, metadata, bytes::Bytes::new()))
            })
            .await?;
        Ok(bytes)
    }

    /// Sends one result; returns the packet's bytes. Waits while the write buffer is full. A frame may get several.
    /// Cancel-safe: the whole packet is sent or nothing. The result is encoded when this is called, and sent when it is awaited.
    ///
    /// Sections without tile ids cover the tiles the frame's submit asked for when their number fits, otherwise
    /// the range from `tile_base_id`.
    ///
    /// # Errors
    ///
    /// [`SendError::Command`] for values that make no legal result, [`SendError::Closed`] at the end.
    pub fn send_result(
        &self,
        result: ResultFrame,
    ) -> impl Future<Output = Result<usize, SendError>> + Send + use<> {
        // Not in the future: the packet takes much less room there than what it is made of.
        let packet = self.encode(&result);
        let session = self.clone();
        async move { session.send_encoded(packet?, None).await }
    }

    /// Sends a result that is encoded. `now` is the time, where the caller has just looked. No async fn: its future would hold the
    /// packet twice.
    pub(crate) fn send_encoded(
        &self,
        packet: EncodedPacket,
        now: Option<Instant>,
    ) -> impl Future<Output = Result<usize, SendError>> + Send {
        let header = *packet.header();
        let connection = &self.0.connection;
        let sending = connection
            .command_frame_at(now, packet.len(), move |machine, now| machine.push_result(now, packet));
        sending.map(move |sent| self.note_sent(&header, sent))
    }

    /// The same without waiting: the packet is handed back while there is no room for it in the write buffer.
    pub(crate) fn send_encoded_now(
        &self,
        packet: EncodedPacket,
        now: Option<Instant>,
    ) -> Result<Result<usize, SendError>, EncodedPacket> {
        let header = *packet.header();
        let push = |machine: &mut Machine, now, packet| machine.push_result(now, packet);
        let sent = self.0.connection.command_frame_now(now, packet.len(), packet, push)?;
        Ok(self.note_sent(&header, sent))
    }

    fn note_sent(&self, header: &Header, sent: Result<Sent, SendError>) -> Result<usize, SendError> {
        let Sent { bytes, .. } = sent?;
        tracing::debug!(
            session = header.session_id, frame = header.frame_id, view = header.view_id, trace = header.trace_id,
            peer = %self.0.connection.peer_addr(), bytes, "a result is on its way"
        );
        Ok(bytes)
    }

    /// Encodes a result, with the tiles of its submit when it names none.
    fn encode(&self, result: &ResultFrame) -> Result<EncodedPacket, SendError> {
        let key = FrameKey { view_id: result.view_id, frame_id: result.frame_id };
        self.encode_about(result, |tiles| {
            let asked = self.0.connection.look(|machine| machine.submitted_tiles(key));
            asked.filter(|asked| asked.len() == tiles).map(|asked| asked.to_vec().into_iter())
        })
    }

    /// The same when `asked` knows the ids its submit asked for, if they are as many as it is given.
    pub(crate) fn encode_about<I: Iterator<Item = u16>>(
        &self,
        result: &ResultFrame,
        asked: impl FnOnce(usize) -> Option<I>,
    ) -> Result<EncodedPacket, SendError> {
        let encode = |ids: &[u16]| {
            let packet = result.encode_about(ids, self.id(), Revision::Current);
            packet.map_err(|error| SendError::Command(error.into()))
        };
        let tiles = result.sections.first().map_or(0, |section| section.tiles.len());
        if !result.tile_ids.is_empty() || tiles == 0 {
            return encode(&result.tile_ids);
        }
        // An id beyond u16 cannot be written; the encoder then finds too few ids and says so.
        let counted = || (result.tile_base_id..).take(tiles).map_while(|id| u16::try_from(id).ok());
        match (asked(tiles), tiles) {
            // Most results have one tile, and need no list of them.
            (Some(mut ids), 1) => encode(ids.next().as_slice()),
            (None, 1) => encode(counted().next().as_slice()),
            (Some(ids), _) => encode(&ids.collect::<Vec<_>>()),
            (None, _) => encode(&counted().collect::<Vec<_>>()),
        }
    }

    /// Ends a frame without a result; returns the bytes of the drop. Cancel-safe like
    /// [`ServerSession::send_result`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] at the end.
    pub async fn send_drop(&self, drop: DropFrame) -> Result<usize, SendError> {
        let hint =
            if drop.reason.is_some_and(|reason| reason != ResultHintReason::None) { HINT_BYTES } else { 0 };
        let mut bytes = 0;
        self.0
            .connection
            .command_frame(Header::LEN + hint, |machine, _| {
                bytes = machine.push_drop(&drop)?;
                Ok(())
            })
            .await?;
        tracing::debug!(
            session = self.id(), frame = drop.frame_id, view = drop.view_id, trace = drop.trace_id,
            peer = %self.0.connection.peer_addr(), "a drop is on its way"
        );
        Ok(bytes)
    }

    /// Sends a hint about the frame named in `header`, or about the session; returns the packet's bytes.
    /// Cancel-safe like [`ServerSession::send_result`].
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn send_hint(&self, header: Header, hint: &ResultHintMetadata) -> Result<usize, SendError> {
        self.0.connection.command(HINT_BYTES, |machine, _| machine.push_hint(header, hint)).await
    }

    /// Sends a flow update; returns the packet's bytes. Cancel-safe like [`ServerSession::send_result`].
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn send_flow_update(
        &self,
        header: Header,
        update: &FlowUpdateMetadata,
    ) -> Result<usize, SendError> {
        let sent = send_flow_update(&self.0.connection, self.id(), header, update).await?;
        Ok(sent.bytes)
    }

    /// Whether the client cancelled a frame.
    pub fn frame_cancelled(&self, key: FrameKey) -> bool {
        self.0.connection.look(|machine| machine.is_cancelled(key))
    }

    fn is_expired(&self, key: FrameKey) -> bool {
        self.0.expires && self.0.connection.look(|machine| machine.is_expired(key))
    }

    /// Where a frame stands; `None` for one that is not known any more.
    pub fn frame_state(&self, key: FrameKey) -> Option<FrameState> {
        self.0.connection.look(|machine| machine.frame_state(key))
    }

    /// Waits until nobody wants a frame any more: its client cancelled it, it expired, or the session ended.
    /// Cancel-safe.
    pub async fn cancelled(&self, key: FrameKey) {
        let mut cancels = self.0.connection.cancels();
        let over = || matches!(self.frame_state(key), Some(FrameState::Cancelled | FrameState::Expired));
        while !over() {
            tokio::select! {
                _ = cancels.recv() => {}
                _ = self.closed() => return,
            }
        }
    }

    /// Whether a frame still waits for its answer.
    pub fn owes_answer(&self, key: FrameKey) -> bool {
        self.0.connection.look(|machine| machine.owes_answer(key))
    }

    /// Ends the session: frames still unanswered are dropped, CLOSE is sent, and everything sent before has left
    /// when this returns (at most the drain time later). Cancel-safe: the close goes on.
    pub async fn close(&self, reason: &str) {
        self.0.connection.close(reason, DRAIN_TIME).await;
    }

    /// Waits for the end of the session. Cancel-safe.
    pub async fn closed(&self) -> Closed {
        self.0.connection.closed().await
    }
}

/// The span of a session at either end. Costs nothing where nobody subscribes.
pub(crate) fn session_span(connection: &Connection, ack: &ServerHelloAck) -> Span {
    tracing::info_span!(
        "nnrp.session",
        session_id = ack.metadata.session_id,
        transport = %connection.transport(),
        peer = %connection.peer_addr(),
        model = ack.model_name,
    )
}

pub(crate) async fn send_flow_update(
    connection: &Connection,
    session_id: u32,
    mut header: Header,
    update: &FlowUpdateMetadata,
) -> Result<Sent, SendError> {
    update.check().map_err(|error| SendError::Command(error.into()))?;
    header.msg_type = MessageType::FlowUpdate;
    header.session_id = if update.scope_kind == FlowUpdateScopeKind::Connection { 0 } else { session_id };
    let packet = Packet::build(header, update.encode().to_vec().into(), bytes::Bytes::new());
    connection.send(packet).await
}
