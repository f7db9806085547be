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
//! `max_kept_bytes`; the answer tells the client which frames arrived and where the results begin again (`table.rs`).
//! What exceeded the bound and was lost ends with a fault, never silently.

mod client;
pub(crate) mod results;
mod server;
pub(crate) mod submits;
mod table;

use std::time::{Duration, Instant};

use nnrp_wire::rules::RuleId;
use nnrp_wire::{Header, MessageType, Packet, SessionMigrate, SessionMigrateAck};

use crate::machine::{Machine, Role, lane_of};
use crate::{Arrival, ConnectionState, Fault, HeaderVerdict, Lane, Origin, Side, Transmit};
use results::is_flow_update;

/// Bytes of packets a side keeps for a session that may move unless it is told otherwise (`max_kept_bytes`). More than a fast
/// path holds in flight: the buffers of the kernel and of QUIC are 4 to 6 MiB.
pub const MAX_KEPT_BYTES: u32 = 8 * 1024 * 1024;

/// What a kept packet costs besides its bytes, roughly: many small ones must not be free.
pub(crate) const KEPT_OVERHEAD: usize = 256;

/// How long a client goes on reading the path it left: some round trips of a bad one.
pub const MIGRATION_GRACE: Duration = Duration::from_secs(1);

/// How long it does so at most, whatever the server asks for (the wire allows 49 days): a path that was left holds a socket,
/// and a frame whose results should come from there is not given up before.
pub const MAX_MIGRATION_GRACE: Duration = Duration::from_secs(10);

/// How long a client waits, beyond the grace and the budget of a frame, for a frame that was live when its session moved to a
/// server that does not tell which results it had sent. One of them may have been the answer, and be lost: nothing else would
/// ever say so. Far more than an answer takes that is under way; a frame that takes longer and is in no hurry sends parts.
pub const UNTOLD_PATIENCE: Duration = Duration::from_secs(60);

/// How often a session may move within a second: each time everything that is kept may be sent again.
pub const MAX_MIGRATIONS_PER_SECOND: u32 = 30;

/// `accept_code` of a SESSION_MIGRATE_ACK: accepted.
const ACCEPTED: u32 = 0;
/// `accept_code` of a SESSION_MIGRATE_ACK for "not supported" (R-MIG-5).
const NOT_SUPPORTED: u32 = 1;

/// Why a frame failed whose results nobody has any more.
const RESULTS_LOST: &str = "results of it were lost with the old path, and too many to be kept";

/// Why one failed of which that cannot be known.
const UNTOLD: &str = "no result of it came, and the server does not tell which it had sent before";

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
