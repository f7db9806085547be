//! Draining: a server that goes away answers what it has, and takes nothing new.
//!
//! CLOSE comes last. It gives a client the drain time (5 s) for everything that is still owed, and a server may need
//! longer; until then the client is asked to submit nothing (FLOW_UPDATE), and what it submits all the same is
//! dropped for the reason "server busy". The machine closes by itself, with the last answer or at the deadline.

use std::time::Instant;

use nnrp_wire::{
    ErrorCode, FlowUpdateBackpressureLevel, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason,
    FlowUpdateScopeKind, Header, MessageType, ResultHintReason,
};

use crate::limits::LATE_HELLO_TIME;
use crate::machine::{Machine, Role};
use crate::server::header_and_metadata;
use crate::{ConnectionState, DropFrame, Fault, Lane, Origin};

/// What became of the frames of a session, or of a whole listener, that was drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Frames the server had when the drain began, and has answered since.
    pub answered: usize,
    /// Frames it had and has not answered in time: dropped, with a reason.
    pub dropped: usize,
    /// Frames that came later: dropped unread, with a reason.
    pub refused: usize,
    /// Frames whose client left, or was lost, before they were answered.
    pub lost: usize,
}

impl std::ops::AddAssign for Drained {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.dropped += other.dropped;
        self.refused += other.refused;
        self.lost += other.lost;
    }
}

/// A drain that has begun.
#[derive(Debug)]
pub(crate) struct Drain {
    began: Instant,
    deadline: Instant,
    reason: String,
    /// Frames the server took on: owed when it began, or already being read then.
    pub(crate) taken: usize,
    dropped: usize,
    refused: usize,
    pub(crate) lost: usize,
}

impl Machine {
    /// Begins to end a server's session: it closes with the last frame that is answered, at the latest at `deadline`,
    /// when the remaining frames are dropped. `reason` goes into CLOSE. A client whose handshake is not finished is
    /// refused as "server busy". Does nothing on raw connections, on clients, and the second time but for bringing
    /// the deadline forward.
    pub fn drain(&mut self, now: Instant, deadline: Instant, reason: &str) {
        if self.check_open("draining").is_err() {
            return;
        }
        let state = self.state;
        let session_id = self.session_id;
        let Role::Server(role) = &mut self.role else { return };
        if state == ConnectionState::Negotiating {
            self.fail(now, Fault::refusal(ErrorCode::ServerBusy, reason), None);
            return;
        }
        if let Some(drain) = &mut role.drain {
            drain.deadline = drain.deadline.min(deadline);
            return;
        }
        role.drain = Some(Drain {
            began: now,
            deadline,
            reason: reason.to_owned(),
            taken: role.frames.live(),
            dropped: 0,
            refused: 0,
            lost: 0,
        });
        if state == ConnectionState::Init {
            return;
        }
        role.flow_epoch = role.flow_epoch.saturating_add(1);
        let update = FlowUpdateMetadata {
            scope_kind: FlowUpdateScopeKind::Session,
            update_reason: FlowUpdateReason::Pause,
            backpressure_level: FlowUpdateBackpressureLevel::Hard,
            flow_flags: FlowUpdateFlags::DRAIN_IN_FLIGHT_ONLY,
            credit_epoch: role.flow_epoch,
            ..FlowUpdateMetadata::default()
        };
        let mut header = Header::new(MessageType::FlowUpdate);
        header.session_id = session_id;
        self.transmit(Lane::Control, Origin::Library, header_and_metadata(header, &update.encode()));
    }

    /// What became of the frames since [`Machine::drain`].
    pub fn drained(&self) -> Drained {
        let Role::Server(role) = &self.role else { return Drained::default() };
        let Some(drain) = &role.drain else { return Drained::default() };
        let unanswered = drain.dropped + drain.lost + role.frames.live();
        Drained {
            answered: drain.taken.saturating_sub(unanswered),
            dropped: drain.dropped,
            refused: drain.refused,
            lost: drain.lost,
        }
    }

    /// Whether this frame comes too late; it has then been dropped.
    pub(crate) fn turns_away(&mut self, header: &Header) -> bool {
        let Role::Server(role) = &mut self.role else { return false };
        let Some(drain) = role.drain.as_mut().filter(|_| header.msg_type == MessageType::FrameSubmit) else {
            return false;
        };
        drain.refused += 1;
        self.send_busy(DropFrame {
            frame_id: header.frame_id,
            view_id: header.view_id,
            route_id: header.route_id,
            trace_id: header.trace_id,
            ..DropFrame::default()
        });
        true
    }

    /// Why a hello that comes now is refused, if it is. It was waited for because on QUIC there is no stream to answer
    /// on before the client has opened one.
    pub(crate) fn hello_too_late(&self) -> Option<Fault> {
        let Role::Server(role) = &self.role else { return None };
        let drain = role.drain.as_ref()?;
        Some(Fault::refusal(ErrorCode::ServerBusy, drain.reason.as_str()))
    }

    /// When a drain has something to do: at once when nothing is owed any more.
    pub(crate) fn drain_deadline(&self) -> Option<Instant> {
        let Role::Server(role) = &self.role else { return None };
        let drain = role.drain.as_ref().filter(|_| !self.is_ended())?;
        Some(match self.state {
            ConnectionState::Init => drain.deadline.min(drain.began + LATE_HELLO_TIME),
            _ if role.frames.live() == 0 => drain.began,
            _ => drain.deadline,
        })
    }

    /// Closes when everything is answered, or it is time.
    pub(crate) fn continue_drain(&mut self, now: Instant) {
        if self.drain_deadline().is_none_or(|at| at > now) {
            return;
        }
        let Role::Server(role) = &mut self.role else { return };
        let late = role.frames.take_owed();
        let Some(drain) = &mut role.drain else { return };
        drain.dropped = late.len();
        role.stats.frames_dropped += late.len() as u64;
        let reason = drain.reason.clone();
        for key in late {
            self.send_busy(DropFrame {
                frame_id: key.frame_id,
                view_id: key.view_id,
                ..DropFrame::default()
            });
        }
        self.close(now, &reason);
    }

    fn send_busy(&mut self, drop: DropFrame) {
        self.transmit_drop(
            &DropFrame { reason: Some(ResultHintReason::ServerBusy), ..drop },
            Origin::Library,
        );
    }
}
