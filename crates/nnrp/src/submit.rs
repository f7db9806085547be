//! A frame, and the duty to answer it.

use std::ops::Deref;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nnrp_session::{DropFrame, FrameKey, ReceivedSubmit};
use nnrp_transport::{SendError, clock};
use nnrp_wire::{
    BudgetPolicy, EncodedPacket, ResultClass, ResultFrame, ResultHintReason, Sections, TileIds, TypedPayloads,
};
use tracing::{Instrument, Span};

use crate::outcome::Outcome;
use crate::server::ServerSession;

/// A frame that owes its client an answer. Dropping it unanswered sends RESULT_DROP, so that no client waits for
/// ever.
#[derive(Debug)]
pub struct Submit {
    session: ServerSession,
    received: Box<ReceivedSubmit>,
    answered: bool,
    span: Span,
}

impl Deref for Submit {
    type Target = ReceivedSubmit;

    fn deref(&self) -> &ReceivedSubmit {
        &self.received
    }
}

impl Submit {
    pub(crate) fn new(session: &ServerSession, received: Box<ReceivedSubmit>) -> Self {
        let header = &received.packet.header;
        let span = tracing::info_span!(
            parent: session.span(),
            "nnrp.frame",
            frame_id = header.frame_id,
            view_id = header.view_id,
            trace_id = header.trace_id,
            budget_ms = received.metadata.latency_budget_ms,
        );
        Submit { session: session.clone(), received, answered: false, span }
    }

    /// The span of the frame, `nnrp.frame`, with frame_id, view_id, trace_id and budget_ms (0 for none): a child of that of its
    /// session, from here to the answer. Run the work on the frame in it:
    ///
    /// ```
    /// use tracing::Instrument;
    ///
    /// async fn answer(submit: nnrp::Submit) {
    ///     let span = submit.span().clone();
    ///     async move {
    ///         tracing::info!("events in here say which frame they are about");
    ///         let _ = submit.reply(nnrp::Outcome::complete()).await;
    ///     }
    ///     .instrument(span)
    ///     .await;
    /// }
    /// ```
    ///
    /// Payloads and auth blocks are recorded nowhere.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The session it came in.
    pub fn session(&self) -> &ServerSession {
        &self.session
    }

    /// What names the frame.
    pub fn key(&self) -> FrameKey {
        FrameKey::from(&self.received.packet.header)
    }

    /// The tiles the frame is about, in the order of each section's payloads.
    pub fn tile_ids(&self) -> TileIds {
        self.received.body.tile_ids()
    }

    /// The tensor sections: views of the received body, valid without this frame and its session.
    pub fn sections(&self) -> Sections {
        self.received.body.sections()
    }

    /// The typed payloads, likewise.
    pub fn payloads(&self) -> TypedPayloads {
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
    pub async fn partial(&self, outcome: impl Into<Outcome>) -> Result<usize, SendError> {
        let (mut part, now) = self.addressed(outcome.into());
        if part.sections.is_empty() && part.result_class == ResultClass::Complete {
            part.result_class = ResultClass::Partial;
        }
        match self.send_now(part, now) {
            Ok(sent) => sent,
            Err(packet) => self.send_later(packet).await,
        }
    }

    /// Answers the frame; returns the packet's bytes. Frame, view and trace id are filled in, and the server's total time when
    /// the result states none. Cancel-safe in that the frame has an
    /// answer: given up before it is done, the frame is dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`]. A result that is not legal leaves the frame unanswered and thus dropped.
    pub async fn reply(mut self, outcome: impl Into<Outcome>) -> Result<usize, SendError> {
        let (result, now) = self.addressed(outcome.into());
        let sent = match self.send_now(result, now) {
            Ok(sent) => sent,
            Err(packet) => self.send_later(packet).await,
        };
        self.answered = sent.is_ok();
        sent
    }

    /// Sends a result in this call, which most write buffers have room for; its packet is handed back where they have not. No
    /// async fn: in ping-pong a future with a packet in it cost a server 200 instructions, to move it about.
    fn send_now(
        &self,
        result: Box<ResultFrame>,
        now: Option<Instant>,
    ) -> Result<Result<usize, SendError>, EncodedPacket> {
        let _frame = self.span.enter();
        let body = &self.received.body;
        let asked = |tiles| Some(body.tile_ids()).filter(|ids| ids.len() == tiles);
        match self.session.encode_about(&result, asked) {
            Ok(packet) => self.session.send_encoded_now(packet, now),
            Err(illegal) => Ok(Err(illegal)),
        }
    }

    /// The rest of that, when there is room. In a box: few have to wait, and all would be moved about with what that needs.
    fn send_later(&self, packet: EncodedPacket) -> BoxFuture<'_, Result<usize, SendError>> {
        self.session.send_encoded(packet, None).instrument(self.span.clone()).boxed()
    }

    /// Ends the frame without a result, with a reason the client gets to see; returns the bytes of the drop. Cancel-safe in
    /// that the frame has an answer: given up before it is done, the frame is dropped without that reason.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn reject(mut self, reason: ResultHintReason) -> Result<usize, SendError> {
        let sent = self.session.send_drop(self.drop_frame(Some(reason))).instrument(self.span.clone()).await;
        self.answered = sent.is_ok();
        sent
    }

    /// The result of this frame, and the time if it had to be looked at for that.
    fn addressed(&self, outcome: Outcome) -> (Box<ResultFrame>, Option<Instant>) {
        let header = &self.received.packet.header;
        let mut result = outcome.of(self.key());
        result.route_id = header.route_id;
        result.trace_id = header.trace_id;
        let now = (result.server_total_ms == 0).then(clock::now);
        if let Some(now) = now {
            let total = now.saturating_duration_since(self.received.received_at).as_millis();
            result.server_total_ms = u16::try_from(total).unwrap_or(u16::MAX);
        }
        (result, now)
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
        let _frame = self.span.enter();
        tracing::warn!(
            session = self.session.id(), frame = drop.frame_id, view = drop.view_id, trace = drop.trace_id,
            peer = %self.session.connection().peer_addr(), "dropped without an answer; the client is told"
        );
        let _ = self.session.connection().with(|machine, _| machine.drop_unanswered(&drop));
    }
}
