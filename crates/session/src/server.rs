//! The server's half.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    ClientHello, EncodedPacket, ErrorCode, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateScopeKind, Header,
    HeaderFlags, LossTolerance, MessageType, Packet, PayloadKind, ResultHintCongestionState,
    ResultHintMetadata, ServerHelloAck, ServerHelloAckMetadata, SessionPatch, SessionPatchField,
    TransportProbeAckMetadata, TransportProbeMetadata,
};

use crate::cache::{Cache, Key};
use crate::drain::Drain;
use crate::frames::ServerFrames;
use crate::limits::MAX_PROBES;
use crate::limits::RATE_LIMIT_RETRY;
use crate::machine::{Machine, RateWindow, Role, earlier};
use crate::migrate::micros;
use crate::migrate::results::KeptResults;
use crate::patch::{Parameters, Patches};
use crate::pings::Pings;
use crate::settings::{check_session_id, result_kinds, session_loss_tolerance};
use crate::{
    Admission, Arrival, CommandError, ConnectionState, Credit, Ended, EndedBy, Event, Fault, FrameStats,
    Lane, Origin, ReceivedHello, ReceivedMigration, ServerSettings, Side, negotiate,
};

#[derive(Debug)]
pub(crate) struct ServerRole {
    pub(crate) frames: ServerFrames,
    pub(crate) stats: FrameStats,
    pub(crate) settings: ServerSettings,
    /// Frames at once, where credit is enforced.
    pub(crate) bound: u16,
    hello: Option<ClientHello>,
    probes: u32,
    /// What RESULT_HINTs of this session last said about congestion; a drop's hint repeats it.
    pub(crate) congestion: ResultHintCongestionState,
    pub(crate) cache: Cache,
    /// Objects on their way to the client, not acknowledged yet; oldest first.
    pub(crate) installing: VecDeque<Key>,
    patches: Option<Patches>,
    /// Advice of the client about its results, to tell newer from older (R-FLOW-6).
    advice: Credit,
    pings: Pings,
    started: Option<Instant>,
    /// What was announced as accepted; other kinds are refused (R-NEG-2).
    pub(crate) accepted_kinds: PayloadKind,
    /// What the client takes in results; others must not be sent (R-NEG-3).
    pub(crate) result_kinds: PayloadKind,
    /// The session's level, for frames that name none.
    pub(crate) loss_tolerance: LossTolerance,
    /// When the client's authentication runs out.
    authenticated_until: Option<Instant>,
    /// A client that wants to go on with a session over this connection, until it is answered.
    pub(crate) migration: Option<ReceivedMigration>,
    /// How often the session has moved lately.
    pub(crate) moves: RateWindow,
    /// What is kept when the session may move.
    pub(crate) kept: Option<KeptResults>,
    /// The epoch of the newest FLOW_UPDATE of session scope that was sent.
    pub(crate) flow_epoch: u32,
    pub(crate) drain: Option<Drain>,
}

/// Tells the client that the number in its acknowledgement is a bound. Epoch 0 leaves every other to the application.
fn enforced_grant(agreed: &ServerHelloAckMetadata) -> EncodedPacket {
    let update = FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Session,
        session_credit: agreed.max_concurrent_frames,
        flow_flags: FlowUpdateFlags::CREDIT_VALID,
        ..FlowUpdateMetadata::default()
    };
    let mut header = Header::new(MessageType::FlowUpdate);
    header.session_id = agreed.session_id;
    header_and_metadata(header, &update.encode())
}

/// A packet without a body.
pub(crate) fn header_and_metadata(header: Header, metadata: &[u8]) -> EncodedPacket {
    Packet::build(header, Bytes::copy_from_slice(metadata), Bytes::new()).encode()
}

// ---------------------------------------------------------------- commands
impl Machine {
    /// Makes a raw server connection a session in the making: the next packet has to be CLIENT_HELLO.
    pub fn serve(&mut self, settings: ServerSettings) {
        debug_assert!(self.side == Side::Server && self.is_raw());
        self.limits.max_body_bytes = settings.max_body_bytes;
        self.limits.max_sections = settings.max_sections;
        self.role = Role::Server(Box::new(ServerRole {
            frames: ServerFrames::default(),
            stats: FrameStats::default(),
            bound: settings.max_concurrent_frames,
            settings,
            hello: None,
            probes: 0,
            congestion: ResultHintCongestionState::None,
            cache: Cache::default(),
            installing: VecDeque::new(),
            patches: None,
            advice: Credit::new(0),
            pings: Pings::default(),
            started: None,
            accepted_kinds: PayloadKind::default(),
            result_kinds: PayloadKind::default(),
            loss_tolerance: LossTolerance::BestEffort,
            authenticated_until: None,
            migration: None,
            moves: RateWindow::default(),
            kept: None,
            flow_epoch: 0,
            drain: None,
        }));
    }

    /// Replaces the settings of a session that is not admitted yet.
    pub fn set_server_settings(&mut self, settings: ServerSettings) {
        if let Role::Server(role) = &mut self.role {
            self.limits.max_body_bytes = settings.max_body_bytes;
            self.limits.max_sections = settings.max_sections;
            role.bound = settings.max_concurrent_frames;
            role.settings = settings;
        }
    }

    /// Admits the client whose hello was announced with [`Event::Hello`]: sends SERVER_HELLO_ACK and returns what
    /// it says.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] when there is no hello waiting (the client left), and
    /// [`CommandError::Refused`] when client and server cannot work together; the client has then been told.
    pub fn admit(&mut self, now: Instant, admission: &Admission) -> Result<ServerHelloAck, CommandError> {
        self.check_open("admitting the client")?;
        let transport = self.transport;
        let Role::Server(role) = &mut self.role else {
            return Err(CommandError::Refused("a client cannot admit".into()));
        };
        let Some(hello) = role.hello.take().filter(|_| self.state == ConnectionState::Negotiating) else {
            return Err(CommandError::State { what: "admitting the client", state: self.state });
        };
        let (metadata, extensions) = match negotiate(&hello, &role.settings, admission, transport) {
            Ok(agreed) => agreed,
            Err(fault) => {
                let text = fault.to_string();
                self.fail(now, fault, None);
                return Err(CommandError::Refused(text));
            }
        };
        check_session_id(metadata.session_id)?;
        let mut header = Header::new(MessageType::ServerHelloAck);
        header.flags = HeaderFlags::ACK_REQUIRED;
        header.session_id = metadata.session_id;
        let ack = ServerHelloAck { metadata, extensions, model_name: admission.model_name.clone() };
        let packet = ack.encode(header)?;
        let agreed = &ack.metadata;
        role.cache = Cache::new(agreed.max_cache_entries, agreed.max_cache_bytes, agreed.cache_object_bitmap);
        role.patches = Some(Patches::new(*agreed));
        role.pings.start(now, role.settings.keepalive_interval);
        role.accepted_kinds = agreed.accepted_payload_kind_bitmap;
        role.result_kinds = result_kinds(&hello);
        role.loss_tolerance = session_loss_tolerance(&ack.extensions);
        role.authenticated_until = admission.token_ttl.and_then(|ttl| now.checked_add(ttl));
        let most = role.settings.max_kept_bytes as usize;
        role.kept = role.settings.migration.allows(&hello.auth_block).then(|| KeptResults::new(most));
        self.session_id = agreed.session_id;
        let grant = role.settings.enforce_credit.then(|| enforced_grant(agreed));
        self.enter(ConnectionState::Active);
        self.transmit(Lane::Control, Origin::Library, packet);
        if let Some(grant) = grant {
            self.reply(grant);
        }
        Ok(ack)
    }

    /// Refuses the client with `fault`, of which code, text and advice are sent: ERROR, then close.
    pub fn refuse_client(&mut self, now: Instant, fault: Fault) {
        self.fail(now, fault.made_fatal(), None);
    }

    /// The time the client was let in for is over: it is told, and may connect again. Frames it still waits for are
    /// dropped first, as in any other close.
    fn end_authentication(&mut self, now: Instant) {
        let text = "the authentication has run out; connect again with a fresh auth block";
        self.drop_owed_frames();
        self.push_error(&Fault::refusal(ErrorCode::AuthFailed, text));
        self.end(Ended {
            by: EndedBy::Local,
            fault: None,
            reason: "the client's authentication has run out".into(),
        });
        self.enter_draining(now);
    }

    /// Sends RESULT_HINT about the frame named in `header`, or about the session when its `frame_id` is 0.
    /// Returns the packet's bytes.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] before the session exists or when it is over; [`CommandError::Invalid`] for
    /// unassigned values.
    pub fn push_hint(
        &mut self,
        mut header: Header,
        hint: &ResultHintMetadata,
    ) -> Result<usize, CommandError> {
        hint.check()?;
        let role = self.server_session("sending a hint")?;
        role.congestion = hint.congestion_state;
        header.msg_type = MessageType::ResultHint;
        header.session_id = self.session_id;
        let packet = header_and_metadata(header, &hint.encode());
        let bytes = packet.len();
        self.transmit(Lane::Control, Origin::Application, packet);
        Ok(bytes)
    }

    /// The epoch that makes the next FLOW_UPDATE of session scope newer than every one before it (R-FLOW-6).
    pub fn next_flow_epoch(&self) -> u32 {
        match &self.role {
            Role::Server(role) => role.flow_epoch.saturating_add(1),
            _ => 1,
        }
    }

    /// The parameters in force; SESSION_PATCH changes them.
    pub fn parameters(&self) -> Option<&Parameters> {
        match &self.role {
            Role::Server(role) => role.patches.as_ref().map(|patches| &patches.parameters),
            _ => None,
        }
    }

    /// The server role, when results may be sent.
    pub(crate) fn server_session(&mut self, what: &'static str) -> Result<&mut ServerRole, CommandError> {
        self.check_open(what)?;
        let state = self.state;
        match &mut self.role {
            Role::Server(role) if matches!(state, ConnectionState::Active | ConnectionState::Draining) => {
                Ok(role)
            }
            _ => Err(CommandError::State { what, state }),
        }
    }
}

// ---------------------------------------------------------------- messages
impl Machine {
    pub(crate) fn on_server_packet(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        let header = packet.header;
        let outcome = match header.msg_type {
            MessageType::FrameSubmit => return self.on_submit(now, packet, arrival),
            MessageType::ClientHello => self.on_hello(packet.clone()),
            MessageType::FrameCancel => {
                self.on_cancel(&header);
                Ok(())
            }
            MessageType::FlowUpdate => self.on_client_flow_update(now, packet.clone()),
            MessageType::TransportProbe => self.on_probe(now, &packet),
            MessageType::SessionMigrate => self.on_migrate(now, &packet),
            MessageType::SessionPatch => self.on_patch(now, &packet),
            MessageType::CachePut => self.on_cache_put(now, &packet),
            MessageType::CacheAck => self.on_cache_ack(&packet),
            MessageType::CacheInvalidate => self.on_cache_invalidate(&packet),
            MessageType::Pong if self.asked_for(&packet) => Ok(()),
            _ => {
                self.emit(Event::Control(Box::new(packet.clone())));
                Ok(())
            }
        };
        if let Err(fault) = outcome {
            self.refuse(now, fault, &header, Some(packet));
        }
    }

    fn asked_for(&self, pong: &Packet) -> bool {
        matches!(&self.role, Role::Server(role) if role.pings.answered_by(&pong.header))
    }

    pub(crate) fn server_deadline(&self) -> Option<Instant> {
        let next = match &self.role {
            Role::Server(role) => {
                let active = self.state == ConnectionState::Active;
                let own = earlier(earlier(role.pings.deadline(), role.authenticated_until), self.quiet_until);
                earlier(own.filter(|_| active), role.frames.next_deadline())
            }
            _ => None,
        };
        earlier(next, self.drain_deadline())
    }

    pub(crate) fn server_timeout(&mut self, now: Instant) {
        self.expire_frames(now);
        let server = matches!(self.role, Role::Server(_)) && self.state == ConnectionState::Active;
        if server && self.quiet_until.is_some_and(|at| at <= now) {
            self.take_leave(now);
        }
        let session_id = self.session_id;
        if let Role::Server(role) = &self.role
            && self.state == ConnectionState::Active
            && role.authenticated_until.is_some_and(|at| at <= now)
        {
            self.end_authentication(now);
            return;
        }
        if self.state == ConnectionState::Active
            && let Role::Server(role) = &mut self.role
            && let Some(ping) = role.pings.due(now, session_id, false)
        {
            self.reply_on(Lane::Ping, ping);
        }
        self.continue_drain(now);
    }

    fn on_hello(&mut self, packet: Packet) -> Result<(), Fault> {
        let hello = ClientHello::decode(&packet).map_err(Fault::from)?;
        let offer = &hello.metadata;
        if !(offer.min_version_major..=offer.max_version_major).contains(&1) {
            let text = format!(
                "CLIENT_HELLO offers versions {} to {}; this server speaks version 1",
                offer.min_version_major, offer.max_version_major
            );
            return Err(Fault::found(RuleId::HELLO_1, MessageType::ClientHello, text));
        }
        if offer.supported_wire_format_bitmap & 1 == 0 {
            let text = format!(
                "CLIENT_HELLO offers wire formats {:#06x}; this server speaks format 0",
                offer.supported_wire_format_bitmap
            );
            return Err(Fault::found(RuleId::HELLO_2, MessageType::ClientHello, text));
        }
        if let Role::Server(role) = &mut self.role {
            role.hello = Some(hello.clone());
        }
        self.enter(ConnectionState::Negotiating);
        if let Some(fault) = self.hello_too_late() {
            return Err(fault.made_fatal());
        }
        self.emit(Event::Hello(Box::new(ReceivedHello { packet, hello, peer_certificates: Vec::new() })));
        Ok(())
    }

    fn on_client_flow_update(&mut self, now: Instant, packet: Packet) -> Result<(), Fault> {
        let update = FlowUpdateMetadata::decode(&packet.metadata)?;
        self.check_flow_scope(&packet.header, &update)?;
        if let Role::Server(role) = &mut self.role
            && role.advice.apply(now, &update)
        {
            self.emit(Event::FlowUpdate(Box::new(packet), update));
        }
        Ok(())
    }

    /// R-FLOW-5: connection scope speaks for no session, the others for this one.
    pub(crate) fn check_flow_scope(&self, header: &Header, update: &FlowUpdateMetadata) -> Result<(), Fault> {
        let expected = match update.scope_kind {
            FlowUpdateScopeKind::Connection => 0,
            _ => self.session_id,
        };
        if header.session_id == expected {
            return Ok(());
        }
        let text = format!(
            "FLOW_UPDATE of {} scope: expected session_id {expected}, got {}",
            update.scope_kind, header.session_id
        );
        Err(Fault::found(RuleId::FLOW_5, MessageType::FlowUpdate, text))
    }

    fn on_probe(&mut self, now: Instant, packet: &Packet) -> Result<(), Fault> {
        let probe = TransportProbeMetadata::decode(&packet.metadata)?;
        if probe.probe_payload_bytes != packet.header.body_len {
            let text = format!(
                "TRANSPORT_PROBE announces {} bytes and brings {}",
                probe.probe_payload_bytes, packet.header.body_len
            );
            return Err(Fault::found(RuleId::PROBE_1, MessageType::TransportProbe, text));
        }
        let Role::Server(role) = &mut self.role else { return Ok(()) };
        role.probes = role.probes.saturating_add(1);
        if !role.settings.answer_probes || role.probes > MAX_PROBES {
            let mut fault =
                Fault::found(RuleId::PROBE_2, MessageType::TransportProbe, "probes are not answered here");
            fault.retry_after_ms = u32::try_from(RATE_LIMIT_RETRY.as_millis()).unwrap_or(u32::MAX);
            self.send_error(now, &fault);
            return Ok(());
        }
        let ack = TransportProbeAckMetadata {
            probe_id: probe.probe_id,
            reserved: 0,
            server_recv_ts_us: self.server_clock(now),
        };
        let mut header = Header::new(MessageType::TransportProbeAck);
        header.trace_id = packet.header.trace_id;
        self.reply(header_and_metadata(header, &ack.encode()));
        Ok(())
    }

    /// Microseconds since this was first asked for: only differences mean anything to the client.
    pub(crate) fn server_clock(&mut self, now: Instant) -> u64 {
        let Role::Server(role) = &mut self.role else { return 0 };
        micros(now.saturating_duration_since(*role.started.get_or_insert(now)))
    }

    fn on_patch(&mut self, now: Instant, packet: &Packet) -> Result<(), Fault> {
        let patch = SessionPatch::decode(packet)?;
        let header = self.reply_header(MessageType::SessionPatchAck, packet);
        let Role::Server(role) = &mut self.role else { return Ok(()) };
        if let Some(patches) = &mut role.patches {
            let ack = patches.apply(now, &patch);
            let changed = ack.metadata.applied() != SessionPatchField::NONE;
            let in_force = changed.then(|| Box::new(patches.parameters.clone()));
            self.reply(ack.encode(header)?);
            if let Some(parameters) = in_force {
                self.emit(Event::Patched(parameters));
            }
        }
        Ok(())
    }

    pub(crate) fn reply_header(&self, message: MessageType, request: &Packet) -> Header {
        let mut header = Header::new(message);
        header.session_id = self.session_id;
        header.trace_id = request.header.trace_id;
        header
    }
}
