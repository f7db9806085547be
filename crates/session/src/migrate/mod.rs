//! Moving a live session to another connection (wire reference 18).
//!
//! ```text
//!            old path                       session                       new path
//!  client ═══ frames, results ═══ server       │
//!  begin_migration: nothing more is sent       │── SESSION_MIGRATE, auth block ──▶ a machine of its own, which
//!                                              │                                   decides nothing
//!                                              │   take_over: the session goes on here; what was handed to the
//!                                              │◀── SESSION_MIGRATE_ACK ───────── old path and may be lost
//!  finish_migration                            │◀── results again, results ──────
//!  only read, then closed                      │─── submits again, submits ─────▶
//! ```
//!
//! A session is one machine, before and after: two machines meet only in [`Machine::take_over`] and
//! [`Machine::finish_migration`], where the one that belongs to the new connection gives up what it had to say and is
//! not used any more. Whoever drives them joins the new transport to the session's machine in the same step.
//!
//! Nothing that was acknowledged is lost, and nothing happens twice: a server keeps results until the peer's transport
//! has them (`results.rs`), a client keeps submits until an answer comes (`submits.rs`), both within
//! [`MAX_KEPT_BYTES`]; the answer tells the client which frames arrived and where the results begin again (`table.rs`).
//! What exceeded the bound and was lost ends with a fault, never silently.

pub(crate) mod results;
pub(crate) mod submits;
mod table;

use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    ErrorCode, Header, HeaderFlags, MessageType, Packet, SessionMigrate, SessionMigrateAck,
    SessionMigrateAckMetadata, SessionMigrateMetadata, TransportId,
};

use crate::client::ClientRole;
use crate::machine::{Machine, Role, lane_of};
use crate::{
    Arrival, ClientSettings, CommandError, ConnectionState, Ended, EndedBy, Event, FailedFrame, Fault,
    FrameKey, FrameState, HandshakeFailure, HeaderVerdict, Lane, Origin, Side, Transmit, TransportEnd,
};
use results::is_flow_update;
use submits::Verdict;

/// Bytes of packets a side keeps for a session that may move. More than a fast path holds in flight: the buffers of the
/// kernel and of QUIC are 4 to 6 MiB.
pub const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// What a kept packet costs besides its bytes, roughly: many small ones must not be free.
pub(crate) const KEPT_OVERHEAD: usize = 256;

/// How long a client goes on reading the path it left: some round trips of a bad one.
pub const MIGRATION_GRACE: Duration = Duration::from_secs(1);

/// How long it does so at most, whatever the server asks for (the wire allows 49 days): a path that was left holds a socket,
/// and a frame whose results should come from there is not given up before.
pub const MAX_MIGRATION_GRACE: Duration = Duration::from_secs(10);

/// How often a session may move within a second: each time everything that is kept may be sent again.
pub const MAX_MIGRATIONS_PER_SECOND: u32 = 30;

/// `accept_code` of a SESSION_MIGRATE_ACK: accepted.
const ACCEPTED: u32 = 0;
/// `accept_code` of a SESSION_MIGRATE_ACK for "not supported" (R-MIG-5).
const NOT_SUPPORTED: u32 = 1;

/// Why a frame failed whose results nobody has any more.
const RESULTS_LOST: &str = "results of it were lost with the old path, and too many to be kept";

/// Whether a server lets sessions move to another connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Migration {
    /// Every SESSION_MIGRATE is refused (R-MIG-5).
    #[default]
    Off,
    /// Sessions whose client proved who it is with an auth block may; it has to prove it again (wire reference 18.4).
    Authenticated,
    /// Those of clients without an auth block, too. Whoever knows the id of such a session can take it over: only for
    /// networks where everybody is trusted.
    Everybody,
}

impl Migration {
    /// Whether a session opened with this auth block may move.
    pub fn allows(self, auth_block: &[u8]) -> bool {
        match self {
            Migration::Off => false,
            Migration::Authenticated => !auth_block.is_empty(),
            Migration::Everybody => true,
        }
    }
}

/// A client asks to go on with a session over the connection this came on. Whether it may is not decided yet.
#[derive(Clone, Debug)]
pub struct ReceivedMigration {
    /// The SESSION_MIGRATE as it came; its header names the session.
    pub packet: Packet,
    /// Its meaning.
    pub request: SessionMigrate,
}

/// The server's answer to a client that asked to migrate.
#[derive(Clone, Debug)]
pub struct MigrationAnswer {
    /// The SESSION_MIGRATE_ACK as it came.
    pub packet: Packet,
    /// Its meaning.
    pub ack: SessionMigrateAck,
}

impl MigrationAnswer {
    /// How long the path that was left is still read: what the server asks for, at most [`MAX_MIGRATION_GRACE`].
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.ack.metadata.grace_window_ms.into()).min(MAX_MIGRATION_GRACE)
    }
}

/// What changing the path did to the packets that were waiting for the old one.
#[derive(Debug, Default)]
pub struct Moved {
    /// Sizes of packets of the application that do not wait to be written any more: they are sent as repetitions.
    pub withdrawn: Vec<usize>,
    /// Submits (client) or results (server) that are sent again.
    pub repeated: usize,
}

// ---------------------------------------------------------------- server
impl Machine {
    /// A SESSION_MIGRATE as the first message. What can be decided without knowing the session is decided here.
    pub(crate) fn on_migrate(&mut self, now: Instant, packet: &Packet) -> Result<(), Fault> {
        let request = SessionMigrate::decode(packet)?;
        let transport = self.transport;
        self.enter(ConnectionState::Negotiating);
        let Role::Server(role) = &mut self.role else { return Ok(()) };
        let off = role.settings.migration == Migration::Off;
        let metadata = request.metadata;
        let received = ReceivedMigration { packet: packet.clone(), request };
        role.migration = Some(received.clone());
        let (rule, text): (RuleId, String) = if off {
            (RuleId::MIG_5, "a client asked to migrate a session, which this server does not support".into())
        } else if u32::try_from(metadata.last_result_frame_id).is_err() {
            (RuleId::MIG_2, "last_result_frame_id does not fit 32 bits".into())
        } else if metadata.new_transport_id != transport {
            (RuleId::MIG_10, format!("a migration to {} came over {transport}", metadata.new_transport_id))
        } else {
            self.emit(Event::Migrate(Box::new(received)));
            return Ok(());
        };
        self.refuse_migration(now, &Fault::found(rule, MessageType::SessionMigrate, text));
        Ok(())
    }

    /// Refuses the migration announced with [`Event::Migrate`]: `fault` is one of R-MIG-3, R-MIG-4 or R-MIG-5, or what
    /// the application refuses with. The session it
    /// is about goes on where it is. The client closes the connection, or it is closed when the drain time is over.
    pub fn refuse_migration(&mut self, now: Instant, fault: &Fault) {
        let code = match fault.rule {
            Some(RuleId::MIG_5) => NOT_SUPPORTED,
            _ => fault.code.value(),
        };
        let Role::Server(role) = &mut self.role else { return };
        let Some(asked) = role.migration.take() else { return };
        let ack = SessionMigrateAckMetadata { accept_code: code, ..Default::default() };
        self.answer_migration(&asked.packet.header, ack, Bytes::new());
        let failure = HandshakeFailure { fault: fault.clone(), packet: Some(asked.packet) };
        self.emit(Event::HandshakeFailed(Box::new(failure)));
        self.end(Ended { by: EndedBy::Fault, fault: Some(fault.clone()), reason: fault.text.clone() });
        self.enter_draining(now);
    }

    fn answer_migration(&mut self, asked: &Header, metadata: SessionMigrateAckMetadata, body: Bytes) {
        let mut header = Header::new(MessageType::SessionMigrateAck);
        header.session_id = asked.session_id;
        header.trace_id = asked.trace_id;
        if let Ok(packet) = (SessionMigrateAck { metadata, body }).encode(header) {
            self.transmit(Lane::Control, Origin::Library, packet);
        }
    }

    /// Whether a session opened with this auth block could move (wire reference 18.4).
    pub fn offers_migration(&self, auth_block: &[u8]) -> bool {
        matches!(&self.role, Role::Server(role) if role.settings.migration.allows(auth_block))
    }

    /// How long a client that moves its session here goes on reading the path it left.
    pub fn migration_grace(&self) -> Duration {
        match &self.role {
            Role::Server(role) => role.settings.migration_grace,
            _ => Duration::ZERO,
        }
    }

    /// Whether the client of this session may move it.
    pub fn may_migrate(&self) -> bool {
        self.state == ConnectionState::Active
            && !self.is_ended()
            && match &self.role {
                Role::Server(role) => role.kept.is_some(),
                Role::Client(_) => true,
                Role::Raw => false,
            }
    }

    /// Lets the session go on over the connection of `newcomer`, which announced [`Event::Migrate`] and whose client has
    /// proved who it is. From now on this machine is driven by that connection, and what still comes over the old one
    /// goes to [`Machine::handle_late_header`] and [`Machine::handle_late_packet`]. `newcomer` is of no more use.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] when this session cannot move, or nobody asks any more; [`CommandError::Refused`] beyond
    /// [`MAX_MIGRATIONS_PER_SECOND`]. Nothing has changed then.
    pub fn take_over(
        &mut self,
        now: Instant,
        newcomer: &mut Machine,
        grace: Duration,
    ) -> Result<Moved, CommandError> {
        let what = "migrating the session";
        if !self.may_migrate() {
            return Err(CommandError::State { what, state: self.state });
        }
        if let Role::Server(role) = &mut self.role
            && !role.moves.allow(now, MAX_MIGRATIONS_PER_SECOND)
        {
            let text = format!("the session has moved {MAX_MIGRATIONS_PER_SECOND} times within a second");
            return Err(CommandError::Refused(text));
        }
        let asked = match &mut newcomer.role {
            Role::Server(role) if !newcomer.ended => role.migration.take(),
            _ => None,
        };
        let Some(asked) = asked else { return Err(CommandError::State { what, state: newcomer.state }) };
        let header = asked.packet.header;
        let old_transport = self.transport;
        let elapsed = self.server_clock(now);
        let Role::Server(role) = &mut self.role else {
            return Err(CommandError::State { what, state: self.state });
        };
        let Some(kept) = &mut role.kept else { return Err(CommandError::State { what, state: self.state }) };
        if old_transport != TransportId::Quic {
            kept.ordered_up_to(u32::try_from(asked.request.metadata.last_result_frame_id).unwrap_or(0));
        }
        let mut moved = Moved::default();
        // Everything that is kept is sent again in its order; what waits and was kept would be sent twice.
        let waiting = std::mem::take(&mut self.out);
        let repeats = header.flags.contains(HeaderFlags::RETRANSMIT);
        let mut withdrawn_replies = 0;
        let waiting: Vec<Transmit> = waiting
            .into_iter()
            .filter(|transmit| match transmit {
                // What is not kept any more the client could not tell from what is: it sees that it is missing, and each
                // migration would leave as much of it here.
                Transmit::Packet { ticket, origin, packet, .. }
                    if repeats && (*ticket != 0 || *origin == Origin::Repetition) =>
                {
                    match origin {
                        Origin::Application => moved.withdrawn.push(packet.len()),
                        Origin::Library => withdrawn_replies += 1,
                        Origin::Repetition => {}
                    }
                    false
                }
                _ => true,
            })
            .collect();
        let body = kept.switch(repeats);
        let resume_from = kept.resume_from();
        let flow: Vec<_> = kept.flow_updates().collect();
        let again: Vec<_> = kept.repeats().collect();
        moved.repeated = again.len();
        self.change_path(now, newcomer, withdrawn_replies);
        let ack = SessionMigrateAckMetadata {
            accept_code: ACCEPTED,
            resume_from_frame_id: resume_from.into(),
            grace_window_ms: u32::try_from(grace.as_millis()).unwrap_or(u32::MAX),
            server_migrate_ts_us: elapsed,
        };
        self.answer_migration(&header, ack, body);
        for packet in flow {
            self.repeat(Lane::Control, 0, packet);
        }
        for (ticket, packet) in again {
            self.repeat(Lane::Frame, ticket, packet);
        }
        self.out.extend(waiting);
        Ok(moved)
    }

    /// R-MIG-9, and the frames a client repeats because it could not know that they had arrived. False for those.
    pub(crate) fn judge_submit(&mut self, header: &Header) -> Result<bool, Fault> {
        let Role::Server(role) = &mut self.role else { return Ok(true) };
        let Some(kept) = &mut role.kept else { return Ok(true) };
        let key = FrameKey::from(header);
        match kept.judge(key) {
            results::Verdict::Take => Ok(true),
            results::Verdict::Ignore => Ok(false),
            results::Verdict::Refuse => {
                let text = format!(
                    "FRAME_SUBMIT with frame_id {} after a migration that resumes from {}",
                    key.frame_id,
                    kept.resume_from()
                );
                Err(Fault::found(RuleId::MIG_9, MessageType::FrameSubmit, text))
            }
        }
    }

    /// Remembers that a frame was received.
    pub(crate) fn note_submit(&mut self, header: &Header) {
        if let Role::Server(role) = &mut self.role
            && let Some(kept) = &mut role.kept
        {
            kept.received(FrameKey::from(header));
        }
    }
}

// ---------------------------------------------------------------- client
impl Machine {
    /// Begins to move the session to a connection over `target`: returns the SESSION_MIGRATE to send there with
    /// [`Machine::ask_to_migrate`]. Until [`Machine::finish_migration`] or [`Machine::abandon_migration`], nothing is
    /// sent on the old path, and its loss does not end the session.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] when there is no session, it is ending, or it is being migrated already.
    pub fn begin_migration(
        &mut self,
        now: Instant,
        target: TransportId,
        token: Bytes,
    ) -> Result<Packet, CommandError> {
        let what = "migrating the session";
        let (state, session_id, old_transport_id) = (self.state, self.session_id, self.transport);
        self.check_open(what)?;
        let Role::Client(role) = &mut self.role else { return Err(CommandError::State { what, state }) };
        if state != ConnectionState::Active || role.migrating {
            return Err(CommandError::State { what, state });
        }
        let since = *role.started.get_or_insert(now);
        let metadata = SessionMigrateMetadata {
            old_transport_id,
            new_transport_id: target,
            last_result_frame_id: role.last_result.into(),
            client_migrate_ts_us: micros(now.saturating_duration_since(since)),
        };
        let mut header = Header::new(MessageType::SessionMigrate);
        header.session_id = session_id;
        if role.kept.is_some() {
            header.flags = HeaderFlags::RETRANSMIT;
        }
        let packet = SessionMigrate { metadata, token }.encode(header)?.to_packet();
        role.migrating = true;
        Ok(packet)
    }

    /// Makes a raw client connection one that asks to take over a session: sends `request`, from
    /// [`Machine::begin_migration`] of the session's machine. The answer is [`Event::MigrationAnswered`].
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] when the connection is already ending.
    pub fn ask_to_migrate(
        &mut self,
        now: Instant,
        request: &Packet,
        settings: ClientSettings,
    ) -> Result<(), CommandError> {
        debug_assert!(self.side == Side::Client && self.is_raw());
        self.check_open("asking to migrate")?;
        self.session_id = request.header.session_id;
        self.limits.max_body_bytes = settings.max_body_bytes;
        let mut role = ClientRole::new(now, settings);
        role.asking = true;
        self.role = Role::Client(Box::new(role));
        self.enter(ConnectionState::Negotiating);
        self.transmit(Lane::Control, Origin::Library, request.clone().encode());
        Ok(())
    }

    pub(crate) fn on_migrate_ack(&mut self, packet: Packet) -> Result<(), Fault> {
        let ack = SessionMigrateAck::decode(&packet)?;
        let Role::Client(role) = &mut self.role else { return Ok(()) };
        role.handshake_until = None;
        let answer = MigrationAnswer { packet, ack };
        self.emit(Event::MigrationAnswered(Box::new(answer)));
        Ok(())
    }

    /// Whether an answer lets the session move, and is one to what was asked.
    ///
    /// # Errors
    ///
    /// A fault of R-MIG-6 (refused; its code says why) or R-MIG-7. The session stays where it is.
    pub fn check_migration(&self, answer: &MigrationAnswer) -> Result<(), Fault> {
        let metadata = &answer.ack.metadata;
        let refused = |rule, text: String| Fault::found(rule, MessageType::SessionMigrateAck, text);
        if metadata.accept_code != ACCEPTED {
            let mut fault = if metadata.accept_code == NOT_SUPPORTED {
                refused(RuleId::MIG_6, "the server refused to migrate the session: not supported".into())
            } else {
                let code = ErrorCode::from(metadata.accept_code);
                let mut fault = refused(RuleId::MIG_6, format!("the server refused the migration: {code}"));
                fault.code = code;
                fault
            };
            fault.from_peer = true;
            return Err(fault);
        }
        if answer.packet.header.session_id != self.session_id {
            let text = format!(
                "SESSION_MIGRATE_ACK: expected session_id {}, got {}",
                self.session_id, answer.packet.header.session_id
            );
            return Err(refused(RuleId::MIG_7, text));
        }
        if u32::try_from(metadata.resume_from_frame_id).is_err() {
            let text = format!("resume_from_frame_id {} does not fit 32 bits", metadata.resume_from_frame_id);
            return Err(refused(RuleId::MIG_7, text));
        }
        Ok(())
    }

    /// Lets the session go on over the connection of `newcomer`, whose server gave this accepting `answer`. See
    /// [`Machine::take_over`] for what changes hands.
    pub fn finish_migration(
        &mut self,
        now: Instant,
        newcomer: &mut Machine,
        answer: &MigrationAnswer,
    ) -> Moved {
        let mut moved = Moved::default();
        let resume_from = u32::try_from(answer.ack.metadata.resume_from_frame_id).unwrap_or(u32::MAX);
        let waiting = std::mem::take(&mut self.out);
        let Role::Client(role) = &mut self.role else { return moved };
        role.migrating = false;
        role.lost_path = None;
        // It speaks of the path in use, whose order the server draws conclusions from.
        role.last_result = 0;
        role.short_until = Some(now + answer.grace());
        let (mut again, mut kept_waiting) = (Vec::new(), Vec::new());
        for transmit in waiting {
            match &transmit {
                Transmit::Packet { packet, origin, .. }
                    if packet.header().msg_type == MessageType::FrameSubmit
                        && role
                            .kept
                            .as_ref()
                            .is_some_and(|kept| kept.holds(FrameKey::from(packet.header()))) =>
                {
                    if *origin == Origin::Application {
                        moved.withdrawn.push(packet.len());
                    }
                }
                _ => kept_waiting.push(transmit),
            }
        }
        let mut lost = Vec::new();
        if let Some(kept) = &mut role.kept {
            let table = table::decode(&answer.ack.body);
            let told = table.is_some();
            again = kept.switch(resume_from, table);
            let waits = |key: &FrameKey| {
                kept_waiting.iter().any(|transmit| {
                    matches!(transmit, Transmit::Packet { packet, .. } if FrameKey::from(packet.header()) == *key)
                })
            };
            lost = role.frames.live_keys();
            lost.retain(|key| {
                let arrived = if told { kept.server_knew(*key) } else { key.frame_id < resume_from };
                !arrived && !kept.holds(*key) && !waits(key)
            });
        }
        let cancelled = role.frames.cancelled_keys();
        moved.repeated = again.len();
        self.change_path(now, newcomer, 0);
        for packet in again {
            self.repeat(Lane::Frame, 0, packet);
        }
        for key in cancelled {
            let mut header = Header::new(MessageType::FrameCancel);
            header.session_id = self.session_id;
            header.frame_id = key.frame_id;
            header.view_id = key.view_id;
            self.repeat(Lane::Control, 0, Packet::build(header, Bytes::new(), Bytes::new()).encode());
        }
        self.out.extend(kept_waiting);
        for key in lost {
            self.fail_lost(now, key, "it was lost with the old path, and too large to be kept");
        }
        moved
    }

    /// The path the session has left brings nothing more: frames whose results should have come from there have lost
    /// them. Nothing else would ever say so.
    pub fn handle_left_path_closed(&mut self, now: Instant) {
        let Role::Client(role) = &mut self.role else { return };
        if role.short_until.take().is_none() {
            return;
        }
        let Some(kept) = &role.kept else { return };
        let mut short = role.frames.live_keys();
        short.retain(|key| kept.is_short_of(*key));
        for key in short {
            self.fail_lost(now, key, RESULTS_LOST);
        }
    }

    /// The session stays where it is. When its path was lost meanwhile, it ends.
    pub fn abandon_migration(&mut self) {
        let Role::Client(role) = &mut self.role else { return };
        role.migrating = false;
        if let Some(end) = role.lost_path.take() {
            self.handle_transport_closed(&end);
        }
    }

    /// While a session moves, nothing is sent, and the loss of the path it leaves changes nothing.
    pub fn is_moving(&self) -> bool {
        matches!(&self.role, Role::Client(role) if role.migrating)
    }

    /// Keeps the end of the old path for later. False when it is to be dealt with now.
    pub(crate) fn postpone_end(&mut self, end: &TransportEnd) -> bool {
        if !self.is_moving() {
            return false;
        }
        if let Role::Client(role) = &mut self.role {
            role.lost_path.get_or_insert_with(|| end.clone());
        }
        true
    }

    /// Counts a result or drop. False for one that has been handed out, or that comes too late to be.
    pub(crate) fn count_result(&mut self, now: Instant, header: &Header, late: bool) -> bool {
        let key = FrameKey::from(header);
        let Role::Client(role) = &mut self.role else { return true };
        let live = role.frames.is_live(key);
        if !late && live {
            role.last_result = key.frame_id;
        }
        let Some(kept) = &mut role.kept else { return true };
        match if late { kept.arrived_late(key) } else { kept.arrived(key, live) } {
            Verdict::Take => true,
            Verdict::Ignore => false,
            Verdict::Gap => {
                self.fail_lost(now, key, RESULTS_LOST);
                false
            }
        }
    }

    fn fail_lost(&mut self, now: Instant, key: FrameKey, why: &str) {
        let Role::Client(role) = &mut self.role else { return };
        if !role.frames.is_live(key) {
            return;
        }
        let unwanted = role.frames.is_given_up(key);
        role.ended(key, FrameState::Dropped);
        role.frames.give_up(key);
        if !unwanted {
            let mut fault =
                Fault::refusal(ErrorCode::LimitExceeded, format!("{key} did not survive a migration: {why}"));
            fault.fatal = false;
            fault.scope = nnrp_wire::ErrorScope::Frame;
            (fault.session_id, fault.frame_id, fault.view_id) = (self.session_id, key.frame_id, key.view_id);
            self.emit(Event::FrameFailed(Box::new(FailedFrame { key, fault, packet: None })));
        }
        self.finish_drain_if_quiet(now);
    }
}

// ---------------------------------------------------------------- both
impl Machine {
    /// Takes the new connection's place, with what its machine had to say.
    fn change_path(&mut self, now: Instant, newcomer: &mut Machine, withdrawn_replies: usize) {
        self.transport = newcomer.transport;
        self.last_received = Some(now);
        self.reading_paused = false;
        self.unwritten_replies =
            (self.unwritten_replies + newcomer.unwritten_replies).saturating_sub(withdrawn_replies);
        self.out = std::mem::take(&mut newcomer.out);
        newcomer.state = ConnectionState::Closed;
        newcomer.shut_down = true;
        newcomer.ended = true;
    }

    fn repeat(&mut self, lane: Lane, ticket: u64, packet: nnrp_wire::EncodedPacket) {
        self.out.push_back(Transmit::Packet { lane, origin: Origin::Repetition, packet, ticket });
    }

    /// The ticket of a packet that goes out, 0 for one that nobody keeps.
    pub(crate) fn keep(&mut self, packet: &nnrp_wire::EncodedPacket) -> u64 {
        match &mut self.role {
            Role::Server(role) => match &mut role.kept {
                Some(kept) if lane_of(packet.header().msg_type) == Lane::Frame => kept.sent(packet),
                Some(kept) if is_flow_update(packet.header()) => {
                    kept.flow_sent(packet);
                    0
                }
                _ => 0,
            },
            Role::Client(role) => {
                if packet.header().msg_type == MessageType::FrameSubmit
                    && let Some(kept) = &mut role.kept
                {
                    kept.sent(packet);
                }
                0
            }
            Role::Raw => 0,
        }
    }

    /// The peer's transport has acknowledged the packet with this ticket.
    pub fn handle_delivered(&mut self, ticket: u64) {
        if let Role::Server(role) = &mut self.role
            && let Some(kept) = &mut role.kept
        {
            kept.delivered(ticket);
        }
    }

    /// [`Machine::handle_header`] for the path the session has left: results are still read there, and cancels; nothing
    /// on it can harm the session.
    pub fn handle_late_header(
        &mut self,
        now: Instant,
        bytes: &[u8; Header::LEN],
    ) -> (HeaderVerdict, Option<Header>) {
        if self.shut_down {
            return (HeaderVerdict::Stop, None);
        }
        let Ok(header) = Header::decode(bytes) else { return (HeaderVerdict::Stop, None) };
        if nnrp_wire::check_lengths(&header, &self.limits, nnrp_wire::Phase::Active).is_err() {
            return (HeaderVerdict::Stop, None);
        }
        let verdict = match self.late_message(&header) {
            Late::Take => HeaderVerdict::Read(lane_of(header.msg_type)),
            Late::Ignore => HeaderVerdict::Skip,
            Late::Refuse => {
                let text = "FRAME_SUBMIT on the path the session has left";
                let fault = Fault::found(RuleId::MIG_8, MessageType::FrameSubmit, text);
                self.refuse(now, fault, &header, None)
            }
        };
        (verdict, Some(header))
    }

    /// [`Machine::handle_packet`] for the path the session has left.
    pub fn handle_late_packet(&mut self, now: Instant, packet: Packet, arrival: Arrival) {
        if self.shut_down || !matches!(self.late_message(&packet.header), Late::Take) {
            return;
        }
        match (self.side, packet.header.msg_type) {
            (Side::Server, _) => self.on_server_packet(now, packet, arrival),
            (Side::Client, MessageType::ResultPush | MessageType::ResultDrop) => {
                if self.count_result(now, &packet.header, true) {
                    self.on_result_packet(now, packet, arrival);
                }
            }
            (Side::Client, _) => self.on_client_packet(now, packet, arrival),
        }
    }

    fn late_message(&self, header: &Header) -> Late {
        use MessageType as M;
        if header.session_id != self.session_id {
            return Late::Ignore;
        }
        match (self.side, header.msg_type) {
            (Side::Server, M::FrameCancel) => Late::Take,
            (Side::Server, M::FrameSubmit) => match &self.role {
                // Such a client submits again what it sees did not arrive in time.
                Role::Server(role) if role.kept.as_ref().is_some_and(|kept| kept.repeats) => Late::Ignore,
                _ => Late::Refuse,
            },
            (Side::Client, M::ResultPush | M::ResultDrop | M::ResultHint | M::FlowUpdate) => Late::Take,
            _ => Late::Ignore,
        }
    }
}

enum Late {
    Take,
    Ignore,
    Refuse,
}

pub(crate) fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
