//! The machine: state, inputs, outputs. What each role does with a message is in `server.rs` and `client.rs`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    EncodedPacket, Header, Limits, MessageType, Packet, Phase, Revision, TransportId, WireError,
};

use crate::client::ClientRole;
use crate::limits::{DRAIN_TIME, MAX_QUEUED_REPLIES};
use crate::server::ServerRole;
use crate::state::permitted;
use crate::{
    Arrival, CommandError, ConnectionState, Ended, EndedBy, Event, Fault, FrameKey, FrameState, FrameStats,
    HeaderVerdict, Lane, Origin, Side, Transmit,
};

/// One connection, as one side sees it. See the crate documentation for how to drive it.
#[derive(Debug)]
pub struct Machine {
    pub(crate) side: Side,
    pub(crate) transport: TransportId,
    pub(crate) revision: Revision,
    pub(crate) state: ConnectionState,
    pub(crate) role: Role,
    pub(crate) session_id: u32,
    pub(crate) limits: Limits,
    pub(crate) out: VecDeque<Transmit>,
    /// Packets of the library that were not written yet, whether here or in the driver's hands.
    pub(crate) unwritten_replies: usize,
    frames_sent: u64,
    /// The driver has stopped reading because the application does not take what has arrived.
    pub(crate) reading_paused: bool,
    /// When a client that has everything it waited for closes.
    pub(crate) quiet_until: Option<Instant>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) error_rate: RateWindow,
    pub(crate) ping_rate: RateWindow,
    pub(crate) last_received: Option<Instant>,
    pub(crate) drain_until: Option<Instant>,
    /// The peer has said CLOSE before anybody here did.
    pub(crate) peer_closes: bool,
    /// What the peer's CLOSE said.
    pub(crate) close_reason: String,
    pub(crate) ended: bool,
    pub(crate) shut_down: bool,
}

/// What a connection is used for.
#[derive(Debug)]
pub(crate) enum Role {
    Raw,
    Server(Box<ServerRole>),
    Client(Box<ClientRole>),
}

/// Counts events per second, for limits given that way.
#[derive(Debug, Default)]
pub(crate) struct RateWindow {
    started: Option<Instant>,
    count: u32,
}

impl RateWindow {
    /// Counts one; false when it is more than `limit` in the current second.
    pub(crate) fn allow(&mut self, now: Instant, limit: u32) -> bool {
        if self.started.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1)) {
            self.started = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= limit
    }
}

/// The reason of an end in order about which the peer has said nothing.
const WITHOUT_CLOSE: &str = "without CLOSE";

/// How a transport ended, for [`Machine::handle_transport_closed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportEnd {
    /// The peer closed it in order (FIN between packets, application close with code 0).
    pub clean: bool,
    /// The transport's own words, for an end that is not clean.
    pub text: String,
}

// ---------------------------------------------------------------- construction and getters
impl Machine {
    /// A raw connection over `transport`: packets are delivered unexamined until [`Machine::serve`] or
    /// [`Machine::open`] makes it a session.
    pub fn new(side: Side, transport: TransportId) -> Self {
        Machine {
            side,
            transport,
            revision: Revision::Current,
            state: ConnectionState::Init,
            role: Role::Raw,
            session_id: 0,
            limits: Limits::default(),
            out: VecDeque::new(),
            unwritten_replies: 0,
            frames_sent: 0,
            reading_paused: false,
            quiet_until: None,
            events: VecDeque::new(),
            error_rate: RateWindow::default(),
            ping_rate: RateWindow::default(),
            last_received: None,
            drain_until: None,
            peer_closes: false,
            close_reason: String::new(),
            ended: false,
            shut_down: false,
        }
    }

    /// The limits a raw connection reads packets under; sessions bring their own.
    pub fn set_raw_limits(&mut self, limits: Limits) {
        if matches!(self.role, Role::Raw) {
            self.limits = limits;
        }
    }

    /// Where the connection stands.
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// The session's id; 0 before there is one.
    pub fn session_id(&self) -> u32 {
        self.session_id
    }

    /// Which binding carries it now.
    pub fn transport(&self) -> TransportId {
        self.transport
    }

    /// Which end this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// What the transport has measured: how long a packet and its acknowledgement take.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        if let Role::Client(role) = &mut self.role {
            role.round_trip = Some(round_trip);
        }
    }

    /// True until a session is built on the connection.
    pub fn is_raw(&self) -> bool {
        matches!(self.role, Role::Raw)
    }

    /// True once [`Event::Ended`] was emitted.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The wire revision in use.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The limits packets are read under.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Packets of the library that wait to be written. A driver stops reading beyond
    /// [`crate::MAX_QUEUED_REPLIES`]: some answers are owed whatever the peer does.
    pub fn unwritten_replies(&self) -> usize {
        self.unwritten_replies
    }

    /// Packets sent on frame lanes so far.
    pub fn frames_sent(&self) -> u64 {
        self.frames_sent
    }

    /// What the server offers on this connection; `None` on a raw one and on clients.
    pub fn server_settings(&self) -> Option<&crate::ServerSettings> {
        match &self.role {
            Role::Server(role) => Some(&role.settings),
            _ => None,
        }
    }

    /// What became of the session's frames so far.
    pub fn frame_stats(&self) -> FrameStats {
        match &self.role {
            Role::Raw => FrameStats::default(),
            Role::Server(role) => role.stats,
            Role::Client(role) => role.stats,
        }
    }

    /// Where a frame stands; `None` for one that is not known (any more).
    pub fn frame_state(&self, key: FrameKey) -> Option<FrameState> {
        match &self.role {
            Role::Raw => None,
            Role::Server(role) => role.frames.state(key),
            Role::Client(role) => role.frames.state(key),
        }
    }

    /// Frames in flight: unanswered ones on a server, unended ones on a client.
    pub fn live_frames(&self) -> usize {
        match &self.role {
            Role::Raw => 0,
            Role::Server(role) => role.frames.live(),
            Role::Client(role) => role.frames.live(),
        }
    }
}

// ---------------------------------------------------------------- inputs
impl Machine {
    /// The 40 header bytes of the next packet. Checks header, lengths, limits and state, in this order, answers
    /// what is wrong, and says what to do with the rest.
    pub fn handle_header(
        &mut self,
        now: Instant,
        bytes: &[u8; Header::LEN],
    ) -> (HeaderVerdict, Option<Header>) {
        if self.shut_down {
            return (HeaderVerdict::Stop, None);
        }
        self.last_received = Some(now);
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(error) => return (self.handle_broken(now, error), None),
        };
        let verdict = self.examine_header(now, &header);
        (verdict, Some(header))
    }

    fn examine_header(&mut self, now: Instant, header: &Header) -> HeaderVerdict {
        if self.is_raw() {
            return self.raw_header(header);
        }
        let phase = match self.state {
            ConnectionState::Init | ConnectionState::Negotiating => Phase::BeforeActive,
            _ => Phase::Active,
        };
        if let Err(error) = nnrp_wire::check_lengths(header, &self.limits, phase) {
            return self.refuse(now, Fault::from(error), header, None);
        }
        match self.check_state(header) {
            Ok(()) if self.turns_away(header) => HeaderVerdict::Skip,
            Ok(()) if self.refuse_beyond_credit(header) => HeaderVerdict::Skip,
            Ok(()) if self.wants_no_body(header) => HeaderVerdict::ReadHead,
            Ok(()) => HeaderVerdict::Read(lane_of(header.msg_type)),
            Err(Refusal::Ignore) => HeaderVerdict::Skip,
            Err(Refusal::Fault(fault)) => self.refuse(now, *fault, header, None),
        }
    }

    /// Bodies that are never looked at (R-LIM-2), and objects larger than the cache, which may be none.
    fn wants_no_body(&self, header: &Header) -> bool {
        match header.msg_type {
            MessageType::TransportProbe => true,
            MessageType::CachePut => self.brings_too_much(header),
            _ => false,
        }
    }

    /// The driver stops or resumes reading, because of the application and not because of the peer. Silence that we
    /// cause ourselves is not held against the peer.
    pub fn handle_reading(&mut self, now: Instant, paused: bool) {
        self.reading_paused = paused;
        if !paused {
            self.last_received = Some(now);
        }
    }

    /// Something of the peer's has arrived since `since` that is no packet yet: a part of a body, or, on QUIC, an
    /// acknowledgement. A sign of life at `since` at the latest; at `now` where that would end the connection.
    pub fn handle_heard(&mut self, now: Instant, since: Instant) {
        self.last_received = self.last_received.max(Some(since));
        if self.gives_up_at().is_some_and(|at| at <= now) {
            self.last_received = Some(now);
        }
    }

    /// `count` packets of [`Origin::Library`] were written, or will never be.
    pub fn handle_replies_written(&mut self, count: usize) {
        self.unwritten_replies = self.unwritten_replies.saturating_sub(count);
    }

    /// Bytes that cannot be a packet: a damaged header, or a stream that ended too early.
    pub fn handle_broken(&mut self, now: Instant, error: WireError) -> HeaderVerdict {
        let fault = Fault::from(error).made_fatal();
        if self.is_raw() {
            return self.raw_fault(fault);
        }
        self.fail(now, fault, None);
        HeaderVerdict::Stop
    }

    /// A stream ended after `got` bytes of a header (R-QUIC-5).
    pub fn handle_truncated_header(&mut self, now: Instant, got: usize) {
        let text = format!("incomplete packet: a stream ended after {got} of {} header bytes", Header::LEN);
        let fault = Fault::found(RuleId::QUIC_5, None, text);
        if self.is_raw() {
            self.raw_fault(fault);
        } else {
            self.fail(now, fault, None);
        }
    }

    /// A frame's stream ended before its packet was complete (R-QUIC-6). Costs that frame only.
    pub fn handle_truncated(&mut self, now: Instant, header: &Header) {
        if self.is_raw() || self.shut_down {
            return;
        }
        let text = format!("incomplete packet: the stream of {} ended before its body", header.msg_type);
        let fault = Fault::found(RuleId::QUIC_6, header.msg_type, text);
        self.refuse(now, fault, header, None);
    }

    /// A whole packet whose header got [`HeaderVerdict::Read`].
    pub fn handle_packet(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        if self.shut_down {
            return;
        }
        self.last_received = Some(now);
        if self.is_raw() {
            return self.raw_packet(now, packet, arrival);
        }
        // The state may have changed while the body was on its way.
        match self.check_state(&packet.header) {
            Ok(()) => {}
            Err(Refusal::Ignore) => return,
            Err(Refusal::Fault(fault)) => {
                let header = packet.header;
                self.refuse(now, *fault, &header, Some(packet));
                return;
            }
        }
        match packet.header.msg_type {
            MessageType::Ping => self.on_ping(now, &packet, arrival),
            MessageType::Close => self.on_close(now, &packet),
            MessageType::Error => self.on_error(now, packet),
            _ if self.side == Side::Server => self.on_server_packet(now, packet, arrival),
            _ => self.on_client_packet(now, packet, arrival),
        }
    }

    /// The transport is gone.
    pub fn handle_transport_closed(&mut self, end: &TransportEnd) {
        if self.postpone_end(end) {
            return;
        }
        let told = self.state == ConnectionState::Draining || self.quiet_until.is_some();
        let quiet = self.live_frames() == 0 || told;
        let (by, reason) = if end.clean && quiet {
            // An ordinary end for some peers. For others it is how one looks whose process has died.
            let silent = self.state == ConnectionState::Active && !told;
            let reason =
                if silent { WITHOUT_CLOSE.to_owned() } else { std::mem::take(&mut self.close_reason) };
            (EndedBy::Peer, reason)
        } else {
            (EndedBy::Transport, end.text.clone())
        };
        self.end(Ended { by, fault: None, reason });
        self.enter(ConnectionState::Closed);
        self.shut_down = true;
        self.drain_until = None;
        self.out.clear();
    }

    /// A deadline of [`Machine::poll_timeout`] has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.shut_down {
            return;
        }
        if self.drain_until.is_some_and(|at| at <= now) {
            self.drain_until = None;
            let reason = std::mem::take(&mut self.close_reason);
            self.end(Ended { by: EndedBy::Peer, fault: None, reason });
            self.shutdown(0, "drain time over");
        }
        self.client_timeout(now);
        self.server_timeout(now);
    }
}

// ---------------------------------------------------------------- commands for both roles
impl Machine {
    /// Sends a packet as it is: what raw connections do, and the escape hatch of sessions. Frames sent this way
    /// are tracked like any other.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] when the connection is ending; [`CommandError::Invalid`] when the packet's
    /// metadata does not decode and the session has to understand it.
    pub fn send_packet(&mut self, now: Instant, packet: Packet) -> Result<(), CommandError> {
        self.check_open("sending a packet")?;
        match &mut self.role {
            Role::Raw => {}
            Role::Server(role) => role.track_sent(now, &packet)?,
            Role::Client(role) => role.track_sent(now, &packet)?,
        }
        self.transmit(way_out(packet.header.msg_type), Origin::Application, packet.encode());
        Ok(())
    }

    /// Ends the connection in order: whatever was sent before still goes out, then CLOSE with `reason`. A server
    /// first drops the frames it still owes (nobody waits for ever), and leaves closing the transport to the
    /// client for as long as the drain time lasts. Does nothing when the end has already begun.
    pub fn close(&mut self, now: Instant, reason: &str) {
        if self.ended || self.shut_down {
            return;
        }
        let in_session = matches!(self.state, ConnectionState::Active | ConnectionState::Draining);
        if in_session {
            self.drop_owed_frames();
            self.send_close(reason);
        }
        // Who goes because the other one has gone has not ended it.
        let (by, why) = match self.peer_closes {
            true => (EndedBy::Peer, std::mem::take(&mut self.close_reason)),
            false => (EndedBy::Local, reason.to_owned()),
        };
        self.end(Ended { by, fault: None, reason: why });
        if in_session && self.side == Side::Server && !self.is_raw() {
            self.enter_draining(now);
        } else {
            self.shutdown(0, reason);
        }
    }

    /// Ends the connection at once with an NNRP error code, without CLOSE: what closing a raw connection means.
    /// Packets sent before still go out.
    pub fn abort(&mut self, code: u32, reason: &str) {
        self.end(Ended { by: EndedBy::Local, fault: None, reason: reason.to_owned() });
        self.shutdown(code, reason);
    }
}

// ---------------------------------------------------------------- outputs
impl Machine {
    /// The next thing to send. `None` when there is nothing right now.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if self.is_moving() { None } else { self.out.pop_front() }
    }

    /// Whether [`Machine::poll_transmit`] has something.
    pub fn has_transmits(&self) -> bool {
        !self.out.is_empty() && !self.is_moving()
    }

    /// How much waits to be sent, now or when the session has moved.
    pub fn waiting_transmits(&self) -> usize {
        self.out.len()
    }

    /// Whether something waits to be sent, now or when the session has moved.
    pub fn holds_transmits(&self) -> bool {
        !self.out.is_empty()
    }

    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if let (Some(Event::Submit(submit)), Role::Server(role)) = (&event, &mut self.role) {
            role.frames.handed_over(FrameKey::from(&submit.packet.header));
        }
        event
    }

    /// Whether [`Machine::poll_event`] has something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`Machine::handle_timeout`] wants to be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.shut_down {
            return None;
        }
        let of_role = match &self.role {
            Role::Client(_) => self.client_deadline(),
            _ => self.server_deadline(),
        };
        earlier(self.drain_until, of_role)
    }
}

// ---------------------------------------------------------------- shared with the roles
/// The earlier of two times that need not be set. They are asked for with every packet.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The lane a message travels on (wire reference 2.1).
pub(crate) fn lane_of(message: MessageType) -> Lane {
    match message {
        MessageType::FrameSubmit | MessageType::ResultPush | MessageType::ResultDrop => Lane::Frame,
        _ => Lane::Control,
    }
}

/// The lane a message leaves on.
fn way_out(message: MessageType) -> Lane {
    match message {
        MessageType::Ping | MessageType::Pong => Lane::Ping,
        _ => lane_of(message),
    }
}

pub(crate) enum Refusal {
    Ignore,
    Fault(Box<Fault>),
}

impl Machine {
    pub(crate) fn transmit(&mut self, lane: Lane, origin: Origin, packet: EncodedPacket) {
        if self.shut_down {
            return;
        }
        if origin == Origin::Library {
            self.unwritten_replies += 1;
        }
        if lane == Lane::Frame {
            self.frames_sent += 1;
        }
        let ticket = self.keep(&packet);
        self.out.push_back(Transmit::Packet { lane, origin, packet, ticket });
    }

    /// Queues a reply nobody asked the application for; dropped when the peer does not read at all.
    pub(crate) fn reply(&mut self, packet: EncodedPacket) {
        self.reply_on(Lane::Control, packet);
    }

    pub(crate) fn reply_on(&mut self, lane: Lane, packet: EncodedPacket) {
        if self.unwritten_replies < MAX_QUEUED_REPLIES {
            self.transmit(lane, Origin::Library, packet);
        }
    }

    /// Whether nothing has ended yet.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`], about `what` was wanted.
    pub fn check_open(&self, what: &'static str) -> Result<(), CommandError> {
        if self.ended || self.shut_down {
            return Err(CommandError::State { what, state: self.state });
        }
        Ok(())
    }

    /// State and session id, which come after lengths and before metadata (wire reference 1.4).
    fn check_state(&self, header: &Header) -> Result<(), Refusal> {
        let message = header.msg_type;
        if !permitted(self.side, self.state, message) || self.is_answer_to_something_else(message) {
            return Err(self.refusal_for_state(message));
        }
        if !matches!(self.state, ConnectionState::Active | ConnectionState::Draining) {
            return Ok(());
        }
        let zero_allowed = matches!(
            message,
            MessageType::Ping
                | MessageType::Pong
                | MessageType::Close
                | MessageType::Error
                | MessageType::TransportProbe
                | MessageType::TransportProbeAck
        );
        // FLOW_UPDATE says in its metadata which id its scope wants (R-FLOW-5).
        if header.session_id == self.session_id
            || message == MessageType::FlowUpdate
            || (zero_allowed && header.session_id == 0)
        {
            return Ok(());
        }
        if matches!(message, MessageType::ResultPush | MessageType::ResultDrop) {
            return Err(Refusal::Ignore);
        }
        let text = format!("{message}: expected session_id {}, got {}", self.session_id, header.session_id);
        Err(Refusal::Fault(Box::new(Fault::found(RuleId::HDR_6, message, text))))
    }

    /// The answer to CLIENT_HELLO for a client that sent SESSION_MIGRATE, or the other way round.
    fn is_answer_to_something_else(&self, message: MessageType) -> bool {
        let Role::Client(role) = &self.role else { return false };
        self.state == ConnectionState::Negotiating
            && match message {
                MessageType::ServerHelloAck => role.asking,
                MessageType::SessionMigrateAck => !role.asking,
                _ => false,
            }
    }

    fn refusal_for_state(&self, message: MessageType) -> Refusal {
        use ConnectionState as S;
        let fault = match (self.state, message) {
            (S::Closed, _) => return Refusal::Ignore,
            (S::Init | S::Negotiating, _) if self.side == Side::Client => {
                let expected = match &self.role {
                    Role::Client(role) => role.awaited(),
                    _ => MessageType::ServerHelloAck,
                };
                let text = format!("expected {expected}, got {message}");
                Fault::found(RuleId::ACK_6, message, text).made_fatal()
            }
            (S::Init, _) => {
                let text = format!("expected CLIENT_HELLO, got {message}");
                Fault::found(RuleId::STATE_1, message, text).made_fatal()
            }
            (S::Negotiating, _) => {
                let text = format!("{message} before the handshake was finished");
                Fault::found(RuleId::STATE_1, message, text).made_fatal()
            }
            (_, MessageType::ClientHello) => Fault::found(
                RuleId::HELLO_6,
                message,
                "expected FRAME_SUBMIT, got CLIENT_HELLO: a connection has one",
            ),
            (S::Draining, MessageType::FrameSubmit) => {
                Fault::found(RuleId::STATE_3, message, "FRAME_SUBMIT after the session began to close")
            }
            (S::Draining, _) => {
                let text = format!("{message} after the session began to close");
                Fault::found(RuleId::STATE_3, message, text)
            }
            (S::Active, _) => {
                let expected = if self.side == Side::Server { "FRAME_SUBMIT" } else { "RESULT_PUSH" };
                Fault::found(RuleId::STATE_2, message, format!("expected {expected}, got {message}"))
            }
        };
        Refusal::Fault(Box::new(fault))
    }

    /// Changes the state, as the table says.
    pub(crate) fn enter(&mut self, next: ConnectionState) {
        if self.state == next || self.state == ConnectionState::Closed {
            return;
        }
        debug_assert!(self.state.leads_to(next), "{:?} -> {next:?}", self.state);
        self.state = next;
    }

    /// No new frames; running ones have until the drain time is over.
    pub(crate) fn enter_draining(&mut self, now: Instant) {
        self.enter(ConnectionState::Draining);
        if self.drain_until.is_none() && !self.shut_down {
            self.drain_until = Some(now + DRAIN_TIME);
        }
    }

    /// Tells the application something. Nothing follows [`Event::Ended`].
    pub(crate) fn emit(&mut self, event: Event) {
        if !self.ended {
            self.events.push_back(event);
        }
    }

    /// Emits the last event, once.
    pub(crate) fn end(&mut self, ended: Ended) {
        if self.ended {
            return;
        }
        // What had arrived is still handed out.
        self.deliver_held_drops();
        match &mut self.role {
            Role::Raw => {}
            Role::Client(role) => role.stats.frames_dropped += role.frames.lose_all(),
            // What was not answered by now never will be: nothing can be sent any more (R-LIFE-2).
            Role::Server(role) => {
                let lost = role.frames.take_owed();
                role.stats.frames_dropped += lost.len() as u64;
                if let Some(drain) = &mut role.drain {
                    drain.lost = lost.len();
                }
            }
        }
        self.emit(Event::Ended(Box::new(ended)));
        self.ended = true;
    }

    /// Asks the driver to close the transport once everything queued is out, once.
    pub(crate) fn shutdown(&mut self, code: u32, reason: &str) {
        if std::mem::replace(&mut self.shut_down, true) {
            return;
        }
        self.drain_until = None;
        self.enter(ConnectionState::Draining);
        self.out.push_back(Transmit::Shutdown { code, reason: reason.to_owned() });
    }
}
