//! The client's half.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    ClientHello, EncodedPacket, ErrorCode, FlowUpdateMetadata, FrameBody, FrameSubmitMetadata, Header,
    HeaderFlags, MessageType, Packet, ResultHintMetadata, ResultHintReason, ResultPushMetadata, ServerFlags,
    ServerHelloAck, TransportId,
};

use crate::answering::is_terminal;
use crate::cache::Cache;
use crate::flow::Gate;
use crate::frames::ClientFrames;
use crate::limits::WAITING_SHARE;
use crate::machine::TransportEnd;
use crate::machine::{Machine, Role, earlier};
use crate::migrate::submits::KeptSubmits;
use crate::pings::Pings;
use crate::{
    Arrival, ClientSettings, CommandError, ConnectionState, Credit, Ended, EndedBy, Established, Event,
    FailedFrame, Fault, FrameKey, FrameState, FrameStats, HandshakeFailure, Lane, Origin, ReceivedResult,
    Side,
};

/// On QUIC a drop has a stream of its own and may overtake the hint that says why. It waits for it as many round trips
/// as a lost datagram takes to come again, within these bounds: both usually share a datagram, but the tasks that
/// read them may not run at the same time on a busy machine (10 ms lost four reasons in eleven thousand there), and
/// whoever waits for the frame should not wait for a reason that nobody gives.
const DROP_REASON_ROUND_TRIPS: u32 = 4;
const LEAST_DROP_REASON_GRACE: Duration = Duration::from_millis(25);
const DROP_REASON_GRACE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct ClientRole {
    pub(crate) frames: ClientFrames,
    pub(crate) stats: FrameStats,
    settings: ClientSettings,
    pub(crate) gate: Gate,
    /// FLOW_UPDATEs obeyed so far.
    pub(crate) updates: u64,
    pub(crate) handshake_until: Option<Instant>,
    pings: Pings,
    /// The peer has answered a PING: only then does silence mean anything.
    answers_pings: bool,
    /// Drops without a known reason, and how long they wait for it.
    pub(crate) held_drops: Vec<(Instant, ReceivedResult)>,
    /// Drops that have waited for their reason so far.
    pub(crate) drops_held: u64,
    /// What the transport says a round trip takes, if it knows.
    pub(crate) round_trip: Option<Duration>,
    /// What the server has installed here, within what the hello offered.
    pub(crate) cache: Cache,
    /// The session is being moved.
    pub(crate) migrating: bool,
    /// This connection asks to take a session over.
    pub(crate) asking: bool,
    /// How the old path ended while the session was moving.
    pub(crate) lost_path: Option<TransportEnd>,
    /// What is kept when the server lets sessions move.
    pub(crate) kept: Option<KeptSubmits>,
    /// Until when the path that was left may bring results which the one in use does not.
    pub(crate) short_until: Option<Instant>,
    /// Frames that were live when the session moved, and may have been answered where it was: until when another answer
    /// is waited for.
    pub(crate) doubtful: BTreeMap<FrameKey, Instant>,
    /// The latency the server has announced to keep to.
    pub(crate) announced_budget: Duration,
    /// The frame of the newest result on the path in use.
    pub(crate) last_result: u32,
    pub(crate) started: Option<Instant>,
}

impl ClientRole {
    pub(crate) fn new(now: Instant, settings: ClientSettings) -> Self {
        ClientRole {
            frames: ClientFrames::default(),
            stats: FrameStats::default(),
            gate: Gate::new(Credit::new(0), settings.credit),
            updates: 0,
            handshake_until: Some(now + settings.handshake_timeout),
            settings,
            pings: Pings::default(),
            answers_pings: false,
            held_drops: Vec::new(),
            drops_held: 0,
            round_trip: None,
            cache: Cache::default(),
            migrating: false,
            asking: false,
            lost_path: None,
            kept: None,
            short_until: None,
            doubtful: BTreeMap::new(),
            announced_budget: Duration::ZERO,
            last_result: 0,
            started: None,
        }
    }

    /// The answer that decides the handshake.
    pub(crate) fn awaited(&self) -> MessageType {
        if self.asking { MessageType::SessionMigrateAck } else { MessageType::ServerHelloAck }
    }

    /// Submits and cancels sent as raw packets change the same state as the ones sent by name.
    pub(crate) fn track_sent(&mut self, now: Instant, packet: &Packet) -> Result<(), CommandError> {
        let key = FrameKey::from(&packet.header);
        match packet.header.msg_type {
            MessageType::FrameSubmit => {
                let metadata = FrameSubmitMetadata::decode(&packet.metadata)?;
                self.submitted(now, key, &metadata);
            }
            MessageType::FrameCancel => self.cancelled(key),
            _ => {}
        }
        Ok(())
    }

    fn submitted(&mut self, now: Instant, key: FrameKey, metadata: &FrameSubmitMetadata) {
        self.stats.frames_submitted += 1;
        self.doubtful.remove(&key);
        self.stats.ids_reused += u64::from(self.frames.submitted(now, key, metadata));
    }

    fn cancelled(&mut self, key: FrameKey) {
        self.stats.frames_cancelled += u64::from(self.frames.give_up(key));
    }

    /// The last result of a frame is here.
    fn delivered(&mut self, now: Instant, key: FrameKey) {
        if let Some(since) = self.frames.ended(key, FrameState::Delivered) {
            self.stats.frames_delivered += 1;
            self.stats.latency.record(since, now);
        }
    }

    /// A live frame has ended without a result.
    pub(crate) fn ended(&mut self, key: FrameKey, state: FrameState) {
        if self.frames.ended(key, state).is_some() {
            self.stats.frames_dropped += 1;
            self.stats.frames_expired += u64::from(state == FrameState::Expired);
        }
    }
}

// ---------------------------------------------------------------- commands
impl Machine {
    /// Makes a raw client connection a session in the making: sends CLIENT_HELLO.
    ///
    /// # Errors
    ///
    /// [`CommandError::Invalid`] when the hello cannot be encoded, [`CommandError::State`] when the connection
    /// is already ending.
    pub fn open(
        &mut self,
        now: Instant,
        hello: &ClientHello,
        settings: ClientSettings,
    ) -> Result<(), CommandError> {
        debug_assert!(self.side == Side::Client && self.is_raw());
        self.check_open("opening a session")?;
        let mut header = Header::new(MessageType::ClientHello);
        header.flags = HeaderFlags::ACK_REQUIRED;
        let packet = hello.encode(header)?;
        self.limits.max_body_bytes = settings.max_body_bytes;
        let offer = &hello.metadata;
        let mut role = ClientRole::new(now, settings);
        role.cache =
            Cache::new(offer.max_cache_entries, offer.max_cache_bytes, offer.cache_object_bitmap.into());
        self.role = Role::Client(Box::new(role));
        self.enter(ConnectionState::Negotiating);
        self.transmit(Lane::Control, Origin::Library, packet);
        Ok(())
    }

    /// Submits an encoded frame, whatever the credit.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] before the session exists or when it is ending; [`CommandError::Invalid`] when the
    /// packet's metadata does not decode.
    pub fn submit(&mut self, now: Instant, packet: EncodedPacket) -> Result<(), CommandError> {
        let metadata = packet.submit_metadata()?;
        let role = self.client_session("submitting a frame")?;
        role.submitted(now, FrameKey::from(packet.header()), &metadata);
        self.transmit(Lane::Frame, Origin::Application, packet);
        Ok(())
    }

    /// Tells the server that a frame is no longer wanted; its later results are thrown away.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] before the session exists or when it is ending.
    pub fn cancel(&mut self, key: FrameKey) -> Result<(), CommandError> {
        let role = self.client_session("cancelling a frame")?;
        role.cancelled(key);
        self.emit(Event::Cancelled(key));
        let mut header = Header::new(MessageType::FrameCancel);
        header.session_id = self.session_id;
        header.frame_id = key.frame_id;
        header.view_id = key.view_id;
        header.flags = HeaderFlags::default();
        self.transmit(
            Lane::Control,
            Origin::Application,
            Packet::build(header, Bytes::new(), Bytes::new()).encode(),
        );
        Ok(())
    }

    /// Throws away whatever still comes for a frame, without telling the server.
    pub fn ignore_results(&mut self, key: FrameKey) {
        if let Role::Client(role) = &mut self.role {
            role.frames.give_up(key);
            self.emit(Event::Cancelled(key));
        }
    }

    /// Whether results of any frame are thrown away.
    pub fn has_given_up(&self) -> bool {
        matches!(&self.role, Role::Client(role) if role.frames.has_given_up())
    }

    /// The frame of this id, in this view or any, whose results are thrown away.
    pub fn given_up(&self, frame_id: u32, view_id: Option<u16>) -> Option<FrameKey> {
        match &self.role {
            Role::Client(role) => role.frames.given_up(frame_id, view_id),
            _ => None,
        }
    }

    pub(crate) fn client_session(&mut self, what: &'static str) -> Result<&mut ClientRole, CommandError> {
        self.check_open(what)?;
        let state = self.state;
        match &mut self.role {
            Role::Client(role) if state == ConnectionState::Active => Ok(role),
            _ => Err(CommandError::State { what, state }),
        }
    }
}

// ---------------------------------------------------------------- messages
impl Machine {
    pub(crate) fn on_client_packet(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        let header = packet.header;
        let outcome = match header.msg_type {
            MessageType::ServerHelloAck => self.on_hello_ack(now, packet.clone()),
            MessageType::SessionMigrateAck if self.state == ConnectionState::Negotiating => {
                self.on_migrate_ack(packet.clone())
            }
            MessageType::ResultPush | MessageType::ResultDrop => {
                if self.count_result(now, &header, false) {
                    self.on_result_packet(now, packet, arrival);
                }
                return;
            }
            MessageType::ResultHint => self.on_hint(now, packet.clone()),
            MessageType::FlowUpdate => self.on_server_flow_update(now, packet.clone()),
            MessageType::Pong => {
                self.on_pong(packet.clone());
                Ok(())
            }
            MessageType::CachePut => self.on_cache_put(now, &packet),
            MessageType::CacheInvalidate => self.on_cache_invalidate(&packet),
            _ => packet.message().map_err(Fault::from).map(|_| {
                self.emit(Event::Control(Box::new(packet.clone())));
            }),
        };
        if let Err(fault) = outcome {
            self.refuse(now, fault, &header, Some(packet));
        }
    }

    /// A result or drop that counts.
    pub(crate) fn on_result_packet(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        let header = packet.header;
        if header.msg_type == MessageType::ResultDrop {
            self.on_drop(now, packet, arrival);
        } else {
            self.on_result(now, packet, arrival);
        }
    }

    fn on_hello_ack(&mut self, now: Instant, packet: Packet) -> Result<(), Fault> {
        let ack = ServerHelloAck::decode(&packet)?;
        let metadata = &ack.metadata;
        if metadata.selected_version_major != 1 || metadata.selected_wire_format != 0 {
            let text = format!(
                "SERVER_HELLO_ACK selects version {}, wire format {}; this client speaks 1, 0",
                metadata.selected_version_major, metadata.selected_wire_format
            );
            return Err(Fault::found(RuleId::ACK_1, MessageType::ServerHelloAck, text));
        }
        if metadata.auth_status != 0 {
            let text =
                format!("the server refused the authentication (auth_status {})", metadata.auth_status);
            let mut fault = Fault::refusal(nnrp_wire::ErrorCode::AuthFailed, text);
            fault.from_peer = true;
            fault.retry_after_ms = metadata.retry_after_ms;
            self.emit(Event::HandshakeFailed(Box::new(HandshakeFailure {
                fault: fault.clone(),
                packet: Some(packet),
            })));
            self.end(Ended { by: EndedBy::Fault, reason: fault.to_string(), fault: Some(fault) });
            self.shutdown(0, "");
            return Ok(());
        }
        if metadata.session_id == 0 || metadata.session_id != packet.header.session_id {
            let text = format!(
                "SERVER_HELLO_ACK names session {} in its metadata and {} in its header",
                metadata.session_id, packet.header.session_id
            );
            return Err(Fault::found(RuleId::ACK_3, MessageType::ServerHelloAck, text));
        }
        self.session_id = metadata.session_id;
        self.enter(ConnectionState::Active);
        if let Role::Client(role) = &mut self.role {
            role.handshake_until = None;
            role.gate.credit = Credit::new(metadata.max_concurrent_frames);
            role.announced_budget = Duration::from_millis(metadata.latency_budget_ms.into());
            let moves = metadata.server_flags.contains(ServerFlags::SESSION_RESUME_SUPPORTED);
            role.kept = moves.then(|| KeptSubmits::new(role.settings.max_kept_bytes as usize));
            // TCP says by itself when a process is gone; and a peer that closes with our question unread resets the
            // stream, results and all.
            let interval = role.settings.asks_every();
            if self.transport == TransportId::Quic {
                role.pings.start_now(now, interval);
            } else {
                role.pings.start(now, interval);
            }
        }
        self.emit(Event::Established(Box::new(Established { packet, ack })));
        Ok(())
    }

    /// Where it stays from the beginning: what is read of a result is moved about for long otherwise.
    fn on_result(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        let push = Some(Default::default());
        let mut result =
            Box::new(ReceivedResult { packet, push, drop_reason: None, beyond_policy: false, arrival });
        if let Err(fault) = self.read_result(now, &mut result) {
            let header = result.packet.header;
            self.refuse(now, fault, &header, Some(result.packet));
            return;
        }
        let key = FrameKey::from(&result.packet.header);
        let Some((metadata, _)) = &result.push else { return };
        let terminal = is_terminal(metadata, result.packet.header.flags);
        let Role::Client(role) = &mut self.role else { return };
        let frame = role.frames.get_mut(key);
        let live = frame.is_some();
        // Of a frame that is over it is not known any more what it allowed.
        let beyond_policy =
            frame.as_ref().is_some_and(|frame| !frame.allowed.contains(metadata.applied_budget_policy));
        let unwanted = match frame {
            Some(frame) => frame.is_given_up(),
            None => role.frames.is_given_up(key),
        };
        role.stats.results += 1;
        role.stats.results_late += u64::from(!live && !unwanted);
        role.stats.results_beyond_policy += u64::from(beyond_policy);
        role.stats.results_unwanted += u64::from(unwanted);
        if terminal {
            role.delivered(now, key);
        } else {
            role.frames.partial(key, now);
        }
        if !unwanted {
            result.beyond_policy = beyond_policy;
            self.emit(Event::Result(result));
        }
        self.finish_drain_if_quiet(now);
    }

    fn read_result(&mut self, now: Instant, result: &mut ReceivedResult) -> Result<(), Fault> {
        let ReceivedResult { packet, push: Some((metadata, body)), .. } = result else { return Ok(()) };
        *metadata = ResultPushMetadata::decode(&packet.metadata)?;
        *body = FrameBody::decode_result(metadata, &packet.body, &[])?;
        self.resolve_references(now, MessageType::ResultPush, body)
    }

    fn on_drop(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        let key = FrameKey::from(&packet.header);
        let Role::Client(role) = &mut self.role else { return };
        // R-LIFE-4: a second drop, or one for a frame an ERROR already ended, says nothing new.
        let held =
            role.held_drops.iter().filter(|(_, drop)| FrameKey::from(&drop.packet.header) == key).count();
        let Some(frame) = role.frames.get_mut(key).filter(|frame| frame.outstanding() > held) else {
            role.stats.drops_ignored += 1;
            return;
        };
        let drop_reason = frame.drop_reason;
        let result = ReceivedResult { packet, push: None, drop_reason, beyond_policy: false, arrival };
        if drop_reason.is_none() && matches!(arrival, Arrival::Stream(_)) {
            let grace = role.round_trip.map_or(DROP_REASON_GRACE, |trip| {
                (trip * DROP_REASON_ROUND_TRIPS).clamp(LEAST_DROP_REASON_GRACE, DROP_REASON_GRACE)
            });
            role.held_drops.push((now + grace, result));
            role.drops_held += 1;
            return;
        }
        self.deliver_drop(now, result);
    }

    fn deliver_drop(&mut self, now: Instant, result: ReceivedResult) {
        let key = FrameKey::from(&result.packet.header);
        let Role::Client(role) = &mut self.role else { return };
        let unwanted = role.frames.is_given_up(key);
        role.ended(
            key,
            match result.drop_reason {
                Some(ResultHintReason::BudgetExceeded) => FrameState::Expired,
                _ => FrameState::Dropped,
            },
        );
        if !unwanted {
            self.emit(Event::Result(Box::new(result)));
        }
        self.finish_drain_if_quiet(now);
    }

    fn on_hint(&mut self, now: Instant, packet: Packet) -> Result<(), Fault> {
        let hint = ResultHintMetadata::decode(&packet.metadata)?;
        let key = FrameKey::from(&packet.header);
        let mut released = Vec::new();
        if let Role::Client(role) = &mut self.role
            && key.frame_id != 0
            && hint.reason != ResultHintReason::None
            && let Some(meant) = role.frames.hinted(key)
        {
            if let Some(frame) = role.frames.get_mut(meant) {
                frame.drop_reason = Some(hint.reason);
            }
            for held in std::mem::take(&mut role.held_drops) {
                if FrameKey::from(&held.1.packet.header) == meant {
                    released.push(held.1);
                } else {
                    role.held_drops.push(held);
                }
            }
        }
        self.emit(Event::Hint(Box::new(packet), hint));
        for mut drop in released {
            drop.drop_reason = Some(hint.reason);
            self.deliver_drop(now, drop);
        }
        Ok(())
    }

    fn on_server_flow_update(&mut self, now: Instant, packet: Packet) -> Result<(), Fault> {
        let update = FlowUpdateMetadata::decode(&packet.metadata)?;
        self.check_flow_scope(&packet.header, &update)?;
        if let Role::Client(role) = &mut self.role
            && role.gate.credit.apply(now, &update)
        {
            role.updates += 1;
            self.emit(Event::FlowUpdate(Box::new(packet), update));
        }
        Ok(())
    }

    /// A result that breaks a rule ends its frame.
    pub(crate) fn end_malformed(&mut self, key: FrameKey) {
        if let Role::Client(role) = &mut self.role {
            role.ended(key, FrameState::Dropped);
        }
    }

    /// Hands out the drops that still wait for their reason: the end has come first.
    pub(crate) fn deliver_held_drops(&mut self) {
        let Role::Client(role) = &mut self.role else { return };
        let held = std::mem::take(&mut role.held_drops);
        for (_, drop) in held {
            let Role::Client(role) = &mut self.role else { return };
            if !role.frames.is_given_up(FrameKey::from(&drop.packet.header)) {
                self.emit(Event::Result(Box::new(drop)));
            }
        }
    }

    fn on_pong(&mut self, packet: Packet) {
        let Role::Client(role) = &mut self.role else { return };
        role.answers_pings = true;
        if !role.pings.answered_by(&packet.header) {
            self.emit(Event::Control(Box::new(packet)));
        }
    }

    pub(crate) fn on_frame_error(&mut self, now: Instant, fault: Fault, packet: Packet) {
        let key = FrameKey { view_id: fault.view_id, frame_id: fault.frame_id };
        let Role::Client(role) = &mut self.role else { return };
        if !role.frames.is_live(key) {
            return; // R-ERR-3
        }
        let unwanted = role.frames.is_given_up(key);
        let state = match fault.code {
            ErrorCode::FrameExpired => FrameState::Expired,
            ErrorCode::FrameCancelled => FrameState::Cancelled,
            _ => FrameState::Dropped,
        };
        role.ended(key, state);
        if let Some(kept) = &mut role.kept {
            kept.settled(key);
        }
        role.held_drops.retain(|(_, held)| FrameKey::from(&held.packet.header) != key);
        if !unwanted {
            self.emit(Event::FrameFailed(Box::new(FailedFrame { key, fault, packet: Some(packet) })));
        }
        self.finish_drain_if_quiet(now);
    }
}

// ---------------------------------------------------------------- time
impl Machine {
    pub(crate) fn client_deadline(&self) -> Option<Instant> {
        let Role::Client(role) = &self.role else { return None };
        let held = role.held_drops.iter().map(|(at, _)| *at).min();
        let active = matches!(self.state, ConnectionState::Active) && !self.is_moving();
        let mut next = earlier(earlier(role.handshake_until, self.quiet_until), role.short_until);
        next = earlier(earlier(next, held), role.frames.next_linger());
        next = earlier(next, role.doubtful.values().min().copied());
        if active {
            next = earlier(earlier(next, role.pings.deadline()), self.gives_up_at());
        }
        next
    }

    pub(crate) fn client_timeout(&mut self, now: Instant) {
        if self.side != Side::Client {
            return;
        }
        if self.quiet_until.is_some_and(|at| at <= now) && self.live_frames() == 0 {
            self.finish_drain();
            return;
        }
        let Role::Client(role) = &mut self.role else { return };
        if role.handshake_until.is_some_and(|at| at <= now) {
            role.handshake_until = None;
            let waited = role.settings.handshake_timeout;
            let fault = Fault::refusal(
                nnrp_wire::ErrorCode::InvalidState,
                format!("no {} within {:.1} s", role.awaited(), waited.as_secs_f64()),
            );
            let failure = HandshakeFailure { fault: fault.clone(), packet: None };
            self.emit(Event::HandshakeFailed(Box::new(failure)));
            self.end(Ended { by: EndedBy::Transport, reason: fault.text.clone(), fault: None });
            self.shutdown(0, "");
            return;
        }
        if role.short_until.is_some_and(|at| at <= now) {
            self.handle_left_path_closed(now);
        }
        self.give_up_doubtful(now);
        let Role::Client(role) = &mut self.role else { return };
        role.stats.frames_delivered += role.frames.expire_linger(now, &mut role.stats.latency);
        let (due, held): (Vec<_>, Vec<_>) = role.held_drops.drain(..).partition(|(at, _)| *at <= now);
        role.held_drops = held;
        for (_, drop) in due {
            self.deliver_drop(now, drop);
        }
        if self.quiet_until.is_none() {
            self.finish_drain_if_quiet(now);
        }
        if self.state == ConnectionState::Active && !self.is_moving() {
            self.keep_alive(now);
        }
    }

    /// When a client that hears nothing more ends the connection: only if the server has answered a PING before, and
    /// the silence is not our own doing.
    pub(crate) fn gives_up_at(&self) -> Option<Instant> {
        let Role::Client(role) = &self.role else { return None };
        // On one stream a question waits behind everything else; while it has not left, nobody can have answered it.
        if self.transport != TransportId::Quic && self.unwritten_replies > 0 {
            return None;
        }
        let timeout =
            role.settings.gives_up_after().filter(|_| role.answers_pings && !self.reading_paused)?;
        let last = self.last_received?;
        // Frames that are answered right before this are not waited for.
        let waiting = role.pings.waiting_since().filter(|_| role.frames.live() > 0);
        let sooner = waiting.map(|since| last.max(since) + timeout / WAITING_SHARE);
        earlier(Some(last + timeout), sooner)
    }

    fn keep_alive(&mut self, now: Instant) {
        if let Role::Client(role) = &mut self.role
            && let Some(overslept) = role.pings.overslept(now)
        {
            // What has come meanwhile lies unread, so that time is no silence; and the question that is asked now can be answered.
            let since = |at: Instant, patience| {
                (at + overslept.by).max(overslept.answered_by.checked_sub(patience).unwrap_or(at)).min(now)
            };
            let timeout = role.settings.gives_up_after().unwrap_or_default();
            self.last_received = self.last_received.map(|at| since(at, timeout));
            role.pings.start_again(now, |at| since(at, timeout / WAITING_SHARE));
        }
        if self.gives_up_at().is_some_and(|at| at <= now) {
            let silence = now.saturating_duration_since(self.last_received.unwrap_or(now));
            let reason = format!("no packet from the server for {:.0} s", silence.as_secs_f64());
            self.end(Ended { by: EndedBy::Transport, fault: None, reason });
            self.shutdown(0, "keepalive timeout");
            return;
        }
        let session_id = self.session_id;
        // On TCP the system says when a process is gone, and a question may be stuck behind a body for long.
        let asks_sooner = self.transport == TransportId::Quic;
        let Role::Client(role) = &mut self.role else { return };
        let waiting = asks_sooner && role.answers_pings && role.frames.live() > 0;
        if let Some(ping) = role.pings.due(now, session_id, waiting) {
            self.reply_on(Lane::Ping, ping);
        }
    }
}
