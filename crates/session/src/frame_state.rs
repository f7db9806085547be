//! The life of a frame as data (wire reference 11.1): which side sees which state, and what leads where.

use crate::Side;

/// How far a frame has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameState {
    /// Client: the application has asked for it and it waits, for credit or for room in the write buffer.
    Announced,
    /// Handed to the transport (client), or complete and valid (server).
    Submitted,
    /// Server: the application has it.
    Processing,
    /// Server: the last result exists and is on its way to the transport.
    Ready,
    /// A final result went out (server) or came in (client).
    Delivered,
    /// Ended without a result.
    Dropped,
    /// The client gave it up.
    Cancelled,
    /// Its budget ran out first.
    Expired,
}

impl FrameState {
    /// Whether the frame still waits for its end and counts against the credit.
    pub fn is_live(self) -> bool {
        matches!(self, FrameState::Submitted | FrameState::Processing | FrameState::Ready)
    }

    /// Whether the frame has ended. Nothing leaves these states.
    pub fn is_terminal(self) -> bool {
        !self.is_live() && self != FrameState::Announced
    }

    /// Whether `side` may take a frame from this state to `next`.
    pub fn leads_to(self, side: Side, next: FrameState) -> bool {
        FRAME_TRANSITIONS.iter().any(|row| row.side == side && row.from == self && row.to == next)
    }
}

/// One row of the table of frame states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTransition {
    /// Who sees it happen.
    pub side: Side,
    /// State before.
    pub from: FrameState,
    /// What happens, in words for diagrams and docs.
    pub on: &'static str,
    /// State after.
    pub to: FrameState,
}

macro_rules! frame_transitions {
    ($($side:ident { $($from:ident, $on:literal => $to:ident;)* })*) => {
        /// Every legal change of a frame's state. Debug builds assert that a machine takes no other.
        pub const FRAME_TRANSITIONS: &[FrameTransition] = &[$($(FrameTransition {
            side: Side::$side, from: FrameState::$from, on: $on, to: FrameState::$to,
        }),*),*];
    };
}

frame_transitions! {
    Client {
        Announced,  "FRAME_SUBMIT handed to the transport"                     => Submitted;
        Announced,  "the submit is given up, or the session ends"              => Dropped;
        Submitted,  "terminal RESULT_PUSH, or the partial linger is over"      => Delivered;
        Submitted,  "RESULT_DROP, ERROR of frame scope, or malformed result"   => Dropped;
        Submitted,  "session lost"                                             => Dropped;
        Submitted,  "FRAME_CANCEL sent, or ERROR FRAME_CANCELLED"              => Cancelled;
        Submitted,  "RESULT_DROP for budget_exceeded, or ERROR FRAME_EXPIRED"  => Expired;
    }
    Server {
        Submitted,  "handed to the application"                                => Processing;
        Submitted,  "terminal RESULT_PUSH"                                     => Ready;
        Submitted,  "RESULT_DROP, or session ends"                             => Dropped;
        Submitted,  "FRAME_CANCEL"                                             => Cancelled;
        Submitted,  "budget over, frames expire"                               => Expired;
        Processing, "terminal RESULT_PUSH"                                     => Ready;
        Processing, "RESULT_DROP, or session ends"                             => Dropped;
        Processing, "FRAME_CANCEL"                                             => Cancelled;
        Processing, "budget over, frames expire"                               => Expired;
        Ready,      "handed to the transport"                                  => Delivered;
    }
}
