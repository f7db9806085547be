//! The client's part: asking, going on over the new path, and giving up what is lost with the old one.

use std::time::Instant;

use bytes::Bytes;
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    ErrorCode, Header, HeaderFlags, MessageType, Packet, SessionMigrate, SessionMigrateAck,
    SessionMigrateMetadata, TransportId,
};

use super::{
    ACCEPTED, MigrationAnswer, Moved, NOT_SUPPORTED, RESULTS_LOST, UNTOLD, UNTOLD_PATIENCE, micros,
    submits::Verdict, table,
};
use crate::client::ClientRole;
use crate::machine::{Machine, Role};
use crate::{
    ClientSettings, CommandError, ConnectionState, Event, FailedFrame, Fault, FrameKey, FrameState, Lane,
    Origin, Side, Transmit, TransportEnd,
};

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
            if told {
                role.doubtful.clear();
            } else {
                for key in role.frames.live_keys() {
                    if !lost.contains(&key) && !kept.holds(key) && !waits(&key) {
                        let budget = role.frames.budget(key).max(role.announced_budget);
                        let until = now + answer.grace() + budget + UNTOLD_PATIENCE;
                        role.doubtful.entry(key).or_insert(until);
                    }
                }
            }
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

    /// Frames that may have been answered on a path that was left, and have waited long enough for another answer.
    pub(crate) fn give_up_doubtful(&mut self, now: Instant) {
        let Role::Client(role) = &mut self.role else { return };
        let due: Vec<FrameKey> =
            role.doubtful.iter().filter(|(_, until)| **until <= now).map(|(key, _)| *key).collect();
        for key in due {
            let Role::Client(role) = &mut self.role else { return };
            role.doubtful.remove(&key);
            self.fail_lost(now, key, UNTOLD);
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
            // The server goes on with it here.
            role.doubtful.remove(&key);
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
