//! What comes back for a frame.

use nnrp_session::{Arrival, FailedFrame, FrameKey, ReceivedResult, is_terminal};
use nnrp_wire::{FrameBody, Packet, ResultHintReason, ResultPushMetadata, Sections, TileIds, TypedPayloads};

/// What became of a frame.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// A result, or a part of one.
    Result(Box<PushedResult>),
    /// The server dropped the frame: there is no result, and none will come.
    #[non_exhaustive]
    Dropped {
        /// Which frame.
        key: FrameKey,
        /// Why, when the server said so.
        reason: Option<ResultHintReason>,
        /// RESULT_DROP as it came.
        packet: Packet,
    },
    /// The frame failed: the server refused it, its result breaks a rule, or it was cancelled here.
    Failed(Box<FailedFrame>),
}

impl Reply {
    /// Which frame it is about.
    pub fn key(&self) -> FrameKey {
        match self {
            Reply::Result(pushed) => pushed.key(),
            Reply::Dropped { key, .. } => *key,
            Reply::Failed(failed) => failed.key,
        }
    }

    /// Whether nothing more will come for the frame.
    pub fn is_last(&self) -> bool {
        match self {
            Reply::Result(pushed) => pushed.is_last(),
            Reply::Dropped { .. } | Reply::Failed(_) => true,
        }
    }

    /// The result, if it is one.
    pub fn into_result(self) -> Option<Box<PushedResult>> {
        match self {
            Reply::Result(pushed) => Some(pushed),
            Reply::Dropped { .. } | Reply::Failed(_) => None,
        }
    }
}

impl From<ReceivedResult> for Reply {
    fn from(received: ReceivedResult) -> Self {
        let ReceivedResult { packet, push, drop_reason, beyond_policy, arrival } = received;
        match push {
            Some((metadata, body)) => {
                Reply::Result(Box::new(PushedResult { packet, metadata, body, beyond_policy, arrival }))
            }
            None => Reply::Dropped { key: FrameKey::from(&packet.header), reason: drop_reason, packet },
        }
    }
}

/// A RESULT_PUSH. Everything read from it is a view of the one buffer it was received into, and outlives result and session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PushedResult {
    /// The packet as it came.
    pub packet: Packet,
    /// Its metadata: class, times in milliseconds, number of tiles.
    pub metadata: ResultPushMetadata,
    /// Tensors and payloads.
    pub body: FrameBody,
    /// The server applied a budget policy that the frame did not allow (R-RES-8).
    pub beyond_policy: bool,
    /// Where it arrived.
    pub arrival: Arrival,
}

impl PushedResult {
    /// Which frame it is a result of.
    pub fn key(&self) -> FrameKey {
        FrameKey::from(&self.packet.header)
    }

    /// Whether nothing more will come for the frame.
    pub fn is_last(&self) -> bool {
        is_terminal(&self.metadata, self.packet.header.flags)
    }

    /// The tiles it is about, in the order of each section's payloads.
    pub fn tile_ids(&self) -> TileIds {
        self.body.tile_ids()
    }

    /// Its tensor sections.
    pub fn sections(&self) -> Sections {
        self.body.sections()
    }

    /// Its typed payloads.
    pub fn payloads(&self) -> TypedPayloads {
        self.body.typed_payloads()
    }
}
