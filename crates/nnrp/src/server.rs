//! The server's end of a session.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nnrp_session::{
    DRAIN_TIME, DropFrame, FrameKey, FrameState, ReceivedHello, ReceivedSubmit, RejectedPacket,
    SubmittedTiles,
};
use nnrp_transport::{Closed, Connection, Filter, Item, SendError, Sent, clock};
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    BudgetPolicy, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateScopeKind, Header, MessageType, Packet,
    ResultClass, ResultFrame, ResultHintMetadata, ResultHintReason, Revision, Section, ServerHelloAck,
    TypedPayload,
};

use crate::error::SessionError;
use crate::migrate::Registered;

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
        ServerSession(Arc::new(Inner { connection, hello, ack, registered }))
    }

    /// The connection underneath.
    pub fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// The certificates the client showed, DER, its own first; empty when it showed none. They come from an authority
    /// that was given to [`ServerTls`](crate::ServerTls).
    pub fn peer_certificates(&self) -> &[bytes::Bytes] {
        self.0.connection.peer_certificates()
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

    /// The next frame, which owes its client an answer; `None` once the session is over. Packets that were
    /// refused are logged and skipped. Cancel-safe.
    pub async fn recv(&self) -> Option<Submit> {
        loop {
            match self.receive().await {
                Ok(Received::Submit(submit)) => {
                    return Some(Submit { session: self.clone(), received: *submit, answered: false });
                }
                Ok(Received::Rejected(rejected)) => {
                    self.log_refused(&rejected, "a packet was refused");
                }
                Err(_) => return None,
            }
        }
    }

    /// The next frame or refused packet, without a duty to answer attached. Frames beyond a limit were answered
    /// and are not shown. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`SessionError::Closed`] once everything that had arrived was handed out.
    pub async fn receive(&self) -> Result<Received, SessionError> {
        loop {
            match self.0.connection.receive(Filter::Submit).await? {
                // Its client was told already.
                Item::Submit(submit) if self.is_expired(FrameKey::from(&submit.packet.header)) => {}
                Item::Submit(submit) => return Ok(Received::Submit(submit)),
                Item::Rejected(rejected) => {
                    if matches!(rejected.fault.rule, Some(RuleId::LIM_1 | RuleId::LIM_3 | RuleId::LIM_4)) {
                        self.log_refused(&rejected, "a frame beyond the limits was refused");
                        continue;
                    }
                    return Ok(Received::Rejected(rejected));
                }
                _ => {}
            }
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
                return Ok(packet);
            }
        }
    }

    /// Sends one result; returns the packet's bytes. Waits while the write buffer is full. A frame may get several.
    /// Cancel-safe: the whole packet is sent or nothing.
    ///
    /// Sections without tile ids cover the tiles the frame's submit asked for when their number fits, otherwise
    /// the range from `tile_base_id`.
    ///
    /// # Errors
    ///
    /// [`SendError::Command`] for values that make no legal result, [`SendError::Closed`] at the end.
    pub async fn send_result(&self, result: ResultFrame) -> Result<usize, SendError> {
        let packet = self.encode(result)?;
        let header = *packet.header();
        let connection = &self.0.connection;
        let sent = connection.command_frame(packet.len(), |machine, _| machine.push_result(packet)).await?;
        tracing::debug!(
            session = header.session_id, frame = header.frame_id, view = header.view_id, trace = header.trace_id,
            peer = %connection.peer_addr(), bytes = sent.bytes, "a result is on its way"
        );
        Ok(sent.bytes)
    }

    fn encode(&self, mut result: ResultFrame) -> Result<nnrp_wire::EncodedPacket, SendError> {
        let tiles = result.sections.first().map_or(0, |section| section.tiles.len());
        if result.tile_ids.is_empty() && tiles > 0 {
            let key = FrameKey { view_id: result.view_id, frame_id: result.frame_id };
            let asked = self.0.connection.with(|machine, _| machine.submitted_tiles(key));
            result.tile_ids = tile_ids(asked.as_ref(), tiles, result.tile_base_id);
        }
        let packet = result.encode(self.id(), Revision::Current);
        packet.map_err(|error| SendError::Command(error.into()))
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
        self.0.connection.with(|machine, _| machine.is_cancelled(key))
    }

    fn is_expired(&self, key: FrameKey) -> bool {
        self.0.connection.with(|machine, _| machine.is_expired(key))
    }

    /// Where a frame stands; `None` for one that is not known any more.
    pub fn frame_state(&self, key: FrameKey) -> Option<FrameState> {
        self.0.connection.with(|machine, _| machine.frame_state(key))
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
        self.0.connection.with(|machine, _| machine.owes_answer(key))
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

/// The tiles a result covers that does not say so itself.
fn tile_ids(asked: Option<&SubmittedTiles>, tiles: usize, base: u32) -> Vec<u16> {
    if let Some(asked) = asked.filter(|asked| asked.len() == tiles) {
        return asked.to_vec();
    }
    // An id beyond u16 cannot be written; the encoder then finds too few ids and says so.
    (base..).take(tiles).map_while(|id| u16::try_from(id).ok()).collect()
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

/// A pause asked of the client: submit nothing new for `retry_after`. It ends by itself then, or with the next update.
pub fn pause_for(retry_after: Duration, epoch: u32) -> FlowUpdateMetadata {
    FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Session,
        update_reason: nnrp_wire::FlowUpdateReason::Pause,
        retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
        flow_flags: FlowUpdateFlags::RETRY_AFTER_VALID,
        credit_epoch: epoch,
        ..FlowUpdateMetadata::default()
    }
}

/// A frame that owes its client an answer. Dropping it unanswered sends RESULT_DROP, so that no client waits for
/// ever.
#[derive(Debug)]
pub struct Submit {
    session: ServerSession,
    received: ReceivedSubmit,
    answered: bool,
}

impl Deref for Submit {
    type Target = ReceivedSubmit;

    fn deref(&self) -> &ReceivedSubmit {
        &self.received
    }
}

impl Submit {
    /// What names the frame.
    pub fn key(&self) -> FrameKey {
        FrameKey::from(&self.received.packet.header)
    }

    /// The tiles the frame is about.
    pub fn tile_ids(&self) -> impl ExactSizeIterator<Item = u16> {
        self.received.body.tile_ids()
    }

    /// The tensor sections, copied into a form that can be changed and sent; tiles stay slices of the body.
    pub fn sections(&self) -> Vec<Section> {
        self.received.body.sections().map(|section| section.to_section()).collect()
    }

    /// The typed payloads; their bytes stay slices of the body.
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = TypedPayload> {
        self.received.body.typed_payloads()
    }

    /// When the frame's budget runs out; `None` without one.
    pub fn deadline(&self) -> Option<Instant> {
        match self.received.metadata.latency_budget_ms {
            0 => None,
            budget => Some(self.received.received_at + Duration::from_millis(u64::from(budget))),
        }
    }

    /// Waits until nobody wants the answer any more: the client cancelled the frame, it expired, or the session ended.
    /// The frame still has to end: [`Submit::reject`] it, or let go of it. Cancel-safe.
    pub async fn cancelled(&self) {
        self.session.cancelled(self.key()).await;
    }

    /// Whether the client accepts a result that makes use of `policy` in place of a complete one. A frame that would
    /// need what is not allowed is dropped instead; nothing checks that when a result is sent.
    pub fn allows(&self, policy: BudgetPolicy) -> bool {
        self.received.metadata.budget_policy.contains(policy)
    }

    /// Sends one part of the answer; more follow. A part without tensors, such as a token, is marked as partial, so that
    /// the client knows that it is not the last. A part with tensors goes out as it is: a partial one has to list the
    /// tiles it leaves out (R-RES-7), which only the application knows. Cancel-safe like [`ServerSession::send_result`].
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn partial(&self, result: ResultFrame) -> Result<usize, SendError> {
        let mut part = self.addressed(result);
        if part.sections.is_empty() && part.result_class == ResultClass::Complete {
            part.result_class = ResultClass::Partial;
        }
        self.session.send_result(part).await
    }

    /// Answers the frame. Frame, view and trace id are filled in, and the server's total time when the result
    /// states none.
    ///
    /// # Errors
    ///
    /// [`SendError`]. A result that is not legal leaves the frame unanswered and thus dropped.
    pub async fn reply(mut self, result: ResultFrame) -> Result<usize, SendError> {
        let sent = self.session.send_result(self.addressed(result)).await;
        self.answered = sent.is_ok();
        sent
    }

    /// Ends the frame without a result, with a reason the client gets to see.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn reject(mut self, reason: ResultHintReason) -> Result<usize, SendError> {
        let sent = self.session.send_drop(self.drop_frame(Some(reason))).await;
        self.answered = sent.is_ok();
        sent
    }

    fn addressed(&self, mut result: ResultFrame) -> ResultFrame {
        let header = &self.received.packet.header;
        result.frame_id = header.frame_id;
        result.view_id = header.view_id;
        result.route_id = header.route_id;
        result.trace_id = header.trace_id;
        if result.server_total_ms == 0 {
            let total = clock::now().saturating_duration_since(self.received.received_at).as_millis();
            result.server_total_ms = u16::try_from(total).unwrap_or(u16::MAX);
        }
        result
    }

    fn drop_frame(&self, reason: Option<ResultHintReason>) -> DropFrame {
        let header = &self.received.packet.header;
        DropFrame {
            frame_id: header.frame_id,
            view_id: header.view_id,
            route_id: header.route_id,
            trace_id: header.trace_id,
            reason,
            ..DropFrame::default()
        }
    }
}

impl Drop for Submit {
    fn drop(&mut self) {
        if self.answered || !self.session.owes_answer(self.key()) {
            return;
        }
        let drop = self.drop_frame(None);
        tracing::warn!(
            session = self.session.id(), frame = drop.frame_id, view = drop.view_id, trace = drop.trace_id,
            peer = %self.session.connection().peer_addr(), "dropped without an answer; the client is told"
        );
        let _ = self.session.connection().with(|machine, _| machine.drop_unanswered(&drop));
    }
}
