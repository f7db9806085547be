//! The server's part: who asks, whether the session may move, and what it repeats afterwards.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    Header, HeaderFlags, MessageType, Packet, SessionMigrate, SessionMigrateAck, SessionMigrateAckMetadata,
    TransportId,
};

use super::{
    ACCEPTED, MAX_MIGRATIONS_PER_SECOND, Migration, Moved, NOT_SUPPORTED, ReceivedMigration, results,
};
use crate::machine::{Machine, Role};
use crate::{
    CommandError, ConnectionState, Ended, EndedBy, Event, Fault, FrameKey, HandshakeFailure, Lane, Origin,
    Transmit,
};

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
