//! A frame on the server, from its submit to its answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_wire::meta::INHERIT;
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    CachePutMetadata, EncodedPacket, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateScopeKind, FrameBody,
    FrameClass, FrameSubmitMetadata, Header, HeaderFlags, LossTolerance, MessageType, Packet, ResultClass,
    ResultHintBudgetPolicy, ResultHintCongestionState, ResultHintMetadata, ResultHintReason,
    ResultPushMetadata, TransportId,
};

use crate::frames::Cancel;
use crate::limits::MAX_INSTALLING;
use crate::machine::{Machine, Role};
use crate::server::{ServerRole, header_and_metadata};
use crate::{
    Arrival, CommandError, ConnectionState, DropFrame, Event, Fault, FrameKey, FrameState, Lane, Origin,
    ReceivedSubmit, SubmittedTiles,
};

/// Why a frame is dropped that nobody answered: the session ends, or a handler failed. The protocol has no code of its own
/// for that; this one says that the server cannot do the work.
pub const UNANSWERED: ResultHintReason = ResultHintReason::ServerBusy;

/// Whether a result ends its frame (wire reference 11.3): one that is not partial does, and a partial one that says so.
pub fn is_terminal(metadata: &ResultPushMetadata, flags: HeaderFlags) -> bool {
    metadata.result_class != ResultClass::Partial || flags.contains(HeaderFlags::EOS)
}

impl ServerRole {
    /// Frames and results sent as raw packets change the same state as the ones sent by name.
    pub(crate) fn track_sent(&mut self, now: Instant, packet: &Packet) -> Result<(), CommandError> {
        let key = FrameKey::from(&packet.header);
        match packet.header.msg_type {
            MessageType::ResultDrop => self.dropped(key),
            MessageType::ResultPush => {
                let metadata = ResultPushMetadata::decode(&packet.metadata)?;
                self.delivered(now, key, is_terminal(&metadata, packet.header.flags));
            }
            MessageType::FlowUpdate => {
                if let Ok(update) = FlowUpdateMetadata::decode(&packet.metadata)
                    && update.scope_kind == FlowUpdateScopeKind::Session
                {
                    self.flow_epoch = self.flow_epoch.max(update.credit_epoch);
                    self.granted(&update);
                }
            }
            MessageType::CachePut => {
                let CachePutMetadata { cache_namespace, cache_key_hi, cache_key_lo, .. } =
                    CachePutMetadata::decode(&packet.metadata)?;
                if self.installing.len() >= MAX_INSTALLING {
                    self.installing.pop_front();
                }
                self.installing.push_back((cache_namespace, cache_key_hi, cache_key_lo));
            }
            _ => {}
        }
        Ok(())
    }

    /// A result is on its way.
    fn delivered(&mut self, now: Instant, key: FrameKey, terminal: bool) {
        self.stats.results += 1;
        if !terminal {
            self.stats.results_late += u64::from(!self.frames.is_live(key));
        } else if let Some(since) = self.frames.answered(key, true) {
            self.stats.latency.record(since, now);
            self.stats.frames_delivered += 1;
        } else {
            self.stats.results_late += 1;
        }
    }

    /// A RESULT_DROP is on its way.
    fn dropped(&mut self, key: FrameKey) {
        if self.frames.answered(key, false).is_some() {
            self.stats.frames_dropped += 1;
        }
    }

    /// The application grants credit to the session. A client that has not heard of less yet has done nothing wrong, so the bound that
    /// is enforced only grows.
    fn granted(&mut self, update: &FlowUpdateMetadata) {
        if update.flow_flags.contains(FlowUpdateFlags::CREDIT_VALID) {
            self.bound = self.bound.max(update.session_credit);
        }
    }

    /// Whether one more frame is one too many (R-SUB-11).
    pub(crate) fn is_full(&self) -> bool {
        self.settings.enforce_credit && self.frames.live() >= usize::from(self.bound)
    }
}

// ---------------------------------------------------------------- answers
impl Machine {
    /// Sends one RESULT_PUSH. The frame need not be known (R-LIFE-5). Where frames expire, a result for one that has is
    /// counted and not sent: past the deadline only a drop may be (wire reference 14).
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] before the session exists or when it is over; [`CommandError::Invalid`] when the
    /// packet's metadata does not decode; [`CommandError::Refused`] for a payload kind the client does not take
    /// (R-NEG-3).
    pub fn push_result(&mut self, now: Instant, packet: EncodedPacket) -> Result<(), CommandError> {
        let metadata = packet.result_metadata()?;
        let role = self.server_session("sending a result")?;
        let key = FrameKey::from(packet.header());
        if role.frames.is_expired(key) {
            role.stats.results_expired += 1;
            return Ok(());
        }
        let (carried, taken) = (metadata.payload_kind_bitmap, role.result_kinds);
        if !taken.contains(carried) {
            let text = format!("the result carries {carried}, the client takes {taken} (R-NEG-3)");
            return Err(CommandError::Refused(text));
        }
        role.delivered(now, key, is_terminal(&metadata, packet.header().flags));
        self.transmit(Lane::Frame, Origin::Application, packet);
        Ok(())
    }

    /// Ends a frame without a result. A reason goes ahead in a RESULT_HINT. Returns the bytes of the RESULT_DROP: none
    /// for a frame that has expired, which was dropped then.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] before the session exists or when it is over.
    pub fn push_drop(&mut self, drop: &DropFrame) -> Result<usize, CommandError> {
        self.drop_frame(drop, Origin::Application)
    }

    /// The same for a frame the application has let go of: the library's own packet, outside the write buffer. Without a
    /// reason of its own it is [`UNANSWERED`].
    ///
    /// # Errors
    ///
    /// As [`Machine::push_drop`].
    pub fn drop_unanswered(&mut self, drop: &DropFrame) -> Result<usize, CommandError> {
        let reason = drop.reason.or(Some(UNANSWERED));
        self.drop_frame(&DropFrame { reason, ..*drop }, Origin::Library)
    }

    fn drop_frame(&mut self, drop: &DropFrame, origin: Origin) -> Result<usize, CommandError> {
        let role = self.server_session("dropping a frame")?;
        let key = FrameKey { view_id: drop.view_id, frame_id: drop.frame_id };
        if role.frames.is_expired(key) {
            return Ok(0);
        }
        role.dropped(key);
        Ok(self.transmit_drop(drop, origin))
    }

    /// RESULT_DROP, with a RESULT_HINT ahead of it when there is a reason. Returns the bytes of the RESULT_DROP.
    pub(crate) fn transmit_drop(&mut self, drop: &DropFrame, origin: Origin) -> usize {
        let congestion = match &self.role {
            Role::Server(role) => role.congestion,
            _ => ResultHintCongestionState::None,
        };
        if let Some(reason) = drop.reason.filter(|reason| *reason != ResultHintReason::None) {
            let hint = ResultHintMetadata {
                applied_budget_policy: ResultHintBudgetPolicy::Drop,
                congestion_state: congestion,
                reason,
                retry_after_ms: 0,
            };
            let header = self.frame_header(MessageType::ResultHint, drop);
            let packet = header_and_metadata(header, &hint.encode());
            self.transmit(Lane::Control, origin, packet);
        }
        let mut header = self.frame_header(MessageType::ResultDrop, drop);
        header.flags = drop.flags;
        let packet = Packet::build(header, Bytes::new(), Bytes::new()).encode();
        let bytes = packet.len();
        self.transmit(Lane::Frame, origin, packet);
        bytes
    }

    /// The tiles the newest submit of this frame asked for.
    pub fn submitted_tiles(&self, key: FrameKey) -> Option<SubmittedTiles> {
        match &self.role {
            Role::Server(role) => role.frames.tiles(key),
            _ => None,
        }
    }

    /// Whether the client cancelled this frame.
    pub fn is_cancelled(&self, key: FrameKey) -> bool {
        match &self.role {
            Role::Server(role) => role.frames.state(key) == Some(FrameState::Cancelled),
            _ => false,
        }
    }

    /// Whether this frame still waits for its answer.
    pub fn owes_answer(&self, key: FrameKey) -> bool {
        match &self.role {
            Role::Server(role) => role.frames.is_live(key),
            _ => false,
        }
    }

    /// Whether a frame's budget ran out before its answer, where frames expire.
    pub fn is_expired(&self, key: FrameKey) -> bool {
        match &self.role {
            Role::Server(role) => role.frames.is_expired(key),
            _ => false,
        }
    }

    fn frame_header(&self, message: MessageType, drop: &DropFrame) -> Header {
        let mut header = Header::new(message);
        header.session_id = self.session_id;
        header.frame_id = drop.frame_id;
        header.view_id = drop.view_id;
        header.route_id = drop.route_id;
        header.trace_id = drop.trace_id;
        header
    }

    /// RESULT_DROP for every frame still unanswered: the session is closing and nobody shall wait for ever.
    pub(crate) fn drop_owed_frames(&mut self) {
        let Role::Server(role) = &mut self.role else { return };
        let owed = role.frames.take_owed();
        role.stats.frames_dropped += owed.len() as u64;
        for FrameKey { frame_id, view_id } in owed {
            let reason = Some(UNANSWERED);
            let drop = DropFrame { frame_id, view_id, reason, ..DropFrame::default() };
            self.transmit_drop(&drop, Origin::Library);
        }
    }

    /// Refuses a submit for which there is no credit (R-SUB-11). True when it was one.
    pub(crate) fn refuse_beyond_credit(&mut self, submit: &Header) -> bool {
        let Role::Server(role) = &mut self.role else { return false };
        if submit.msg_type != MessageType::FrameSubmit || !role.is_full() {
            return false;
        }
        role.stats.beyond_credit += 1;
        let drop = DropFrame {
            frame_id: submit.frame_id,
            view_id: submit.view_id,
            trace_id: submit.trace_id,
            reason: Some(ResultHintReason::QueueFull),
            ..DropFrame::default()
        };
        self.transmit_drop(&drop, Origin::Library);
        true
    }

    /// Ends the frames whose budget is over (R-LIFE-3), and tells the application to stop.
    pub(crate) fn expire_frames(&mut self, now: Instant) {
        loop {
            let Role::Server(role) = &mut self.role else { return };
            let Some((key, owed)) = role.frames.expire(now) else { return };
            role.stats.frames_expired += 1;
            role.stats.frames_dropped += u64::from(owed);
            let FrameKey { frame_id, view_id } = key;
            let reason = Some(ResultHintReason::BudgetExceeded);
            for _ in 0..owed {
                self.transmit_drop(
                    &DropFrame { frame_id, view_id, reason, ..DropFrame::default() },
                    Origin::Library,
                );
            }
            self.emit(Event::Expired(key));
        }
    }

    /// RESULT_DROP for a submit that was refused before it became a frame.
    pub(crate) fn send_drop_for(&mut self, refused: &Header) {
        self.note_submit(refused);
        let mut header = Header::new(MessageType::ResultDrop);
        header.session_id = self.session_id;
        header.frame_id = refused.frame_id;
        header.view_id = refused.view_id;
        header.trace_id = refused.trace_id;
        self.transmit(
            Lane::Frame,
            Origin::Library,
            Packet::build(header, Bytes::new(), Bytes::new()).encode(),
        );
    }
}

// ---------------------------------------------------------------- submits and cancels
/// What became of a submit.
enum Taken {
    /// It is not in the books: it was answered, or is not to be.
    Refused,
    /// It is, and owed an answer.
    Live,
    /// It is, but its cancel came before it.
    Cancelled,
}

impl Machine {
    pub(crate) fn on_submit(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        // Where it stays from the beginning: what is read of it is moved about for long otherwise.
        let mut submit = Box::new(ReceivedSubmit {
            packet,
            metadata: FrameSubmitMetadata::default(),
            body: FrameBody::default(),
            loss_tolerance: LossTolerance::default(),
            received_at: now,
        });
        let key = FrameKey::from(&submit.packet.header);
        match self.take_submit(now, &mut submit, arrival) {
            Ok(Taken::Refused) => {}
            Ok(Taken::Live) => self.emit(Event::Submit(submit)),
            Ok(Taken::Cancelled) => {
                self.emit(Event::Submit(submit));
                self.emit(Event::Cancelled(key));
            }
            Err(fault) => {
                let header = submit.packet.header;
                self.refuse(now, fault, &header, Some(submit.packet));
            }
        }
    }

    /// Reads a submit of which only the packet is there, and takes it into the books.
    fn take_submit(
        &mut self,
        now: Instant,
        submit: &mut ReceivedSubmit,
        arrival: Arrival,
    ) -> Result<Taken, Fault> {
        let ReceivedSubmit { packet, metadata, body, loss_tolerance, .. } = submit;
        if self.transport == TransportId::Quic && arrival == Arrival::Control {
            let text = "FRAME_SUBMIT on the control stream: on QUIC each frame has a stream of its own";
            return Err(Fault::found(RuleId::QUIC_2, MessageType::FrameSubmit, text));
        }
        if !self.judge_submit(&packet.header)? {
            return Ok(Taken::Refused);
        }
        // The credit may have gone while the body was on its way.
        if self.refuse_beyond_credit(&packet.header) {
            return Ok(Taken::Refused);
        }
        *metadata = FrameSubmitMetadata::decode(&packet.metadata)?;
        self.check_kinds(metadata)?;
        *body = FrameBody::decode_submit(metadata, &packet.body, &[])?;
        body.check_limits(&self.limits)?;
        self.resolve_references(now, MessageType::FrameSubmit, body)?;
        self.note_submit(&packet.header);
        let key = FrameKey::from(&packet.header);
        let mut cancelled = false;
        if let Role::Server(role) = &mut self.role {
            if role.settings.strict_frame_ids && role.frames.is_live(key) {
                role.stats.ids_reused += 1;
                let text = format!("{key} has no answer yet; its id cannot be used again");
                return Err(Fault::found(RuleId::SUB_10, MessageType::FrameSubmit, text).made_frame());
            }
            let budget = Duration::from_millis(u64::from(metadata.latency_budget_ms));
            let deadline = (role.settings.expire_frames && !budget.is_zero()).then(|| now + budget);
            let submitted = role.frames.submitted(now, key, body, deadline);
            cancelled = submitted.cancelled;
            role.stats.ids_reused += u64::from(submitted.again);
            role.stats.frames_submitted += 1;
            if let Some(drain) = &mut role.drain {
                drain.taken += 1;
            }
            role.stats.frames_cancelled += u64::from(cancelled);
            role.stats.cancelled_early += u64::from(cancelled);
        }
        *loss_tolerance = self.loss_tolerance(metadata);
        Ok(if cancelled { Taken::Cancelled } else { Taken::Live })
    }

    fn loss_tolerance(&self, metadata: &FrameSubmitMetadata) -> LossTolerance {
        let level = match (metadata.loss_tolerance_policy, &self.role) {
            (INHERIT, Role::Server(role)) => role.loss_tolerance,
            (own, _) => LossTolerance::from(own),
        };
        // R-LOSS-1: later frames may depend on this one.
        let forgotten = level == LossTolerance::FireAndForget;
        if forgotten && metadata.frame_class == FrameClass::Keyframe {
            LossTolerance::BestEffort
        } else {
            level
        }
    }

    /// R-NEG-2: kinds the handshake left out are not taken.
    fn check_kinds(&self, metadata: &FrameSubmitMetadata) -> Result<(), Fault> {
        let Role::Server(role) = &self.role else { return Ok(()) };
        let (carried, accepted) = (metadata.payload_kind_bitmap, role.accepted_kinds);
        if accepted.contains(carried) {
            return Ok(());
        }
        let text = format!("the frame carries {carried}, the handshake left {accepted}");
        Err(Fault::found(RuleId::NEG_2, MessageType::FrameSubmit, text))
    }

    pub(crate) fn on_cancel(&mut self, header: &Header) {
        let key = FrameKey::from(header);
        let Role::Server(role) = &mut self.role else { return };
        match role.frames.cancel(key) {
            Cancel::Live => {
                role.stats.frames_cancelled += 1;
                self.emit(Event::Cancelled(key));
            }
            // On one ordered stream nothing overtakes anything.
            Cancel::Unknown
                if self.transport == TransportId::Quic && self.state == ConnectionState::Active =>
            {
                role.frames.cancel_when_it_comes(key);
            }
            Cancel::Unknown | Cancel::Over => role.stats.cancels_ignored += 1,
        }
    }
}
