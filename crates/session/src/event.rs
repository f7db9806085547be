//! Everything a machine can tell its application.

use std::time::Instant;

use nnrp_wire::{
    ClientHello, FlowUpdateMetadata, FrameBody, FrameSubmitMetadata, LossTolerance, Packet,
    ResultHintMetadata, ResultHintReason, ResultPushMetadata, ServerHelloAck,
};

use crate::{Arrival, Fault, FrameKey, MigrationAnswer, Parameters, ReceivedMigration};

/// A CLIENT_HELLO that passed every check of the library; whether to admit it is the application's decision.
#[derive(Clone, Debug)]
pub struct ReceivedHello {
    /// The packet as it came.
    pub packet: Packet,
    /// Its meaning.
    pub hello: ClientHello,
    /// The certificates the client showed to the transport, DER, its own first; empty when it showed none. The transport
    /// has checked them and fills them in.
    pub peer_certificates: Vec<bytes::Bytes>,
}

/// The session a client opened.
#[derive(Clone, Debug)]
pub struct Established {
    /// The SERVER_HELLO_ACK as it came.
    pub packet: Packet,
    /// Its meaning.
    pub ack: ServerHelloAck,
}

/// A frame for the server's application.
#[derive(Clone, Debug)]
pub struct ReceivedSubmit {
    /// The packet as it came.
    pub packet: Packet,
    /// Its metadata.
    pub metadata: FrameSubmitMetadata,
    /// Views into its body.
    pub body: FrameBody,
    /// The level in force for its results (wire reference 14): its own or the session's, never FIRE_AND_FORGET for a
    /// keyframe (R-LOSS-1). What comes of it is the application's decision.
    pub loss_tolerance: LossTolerance,
    /// When the packet was complete; `latency_budget_ms` counts from here.
    pub received_at: Instant,
}

/// A result for the client's application.
#[derive(Clone, Debug)]
pub struct ReceivedResult {
    /// RESULT_PUSH or RESULT_DROP as it came.
    pub packet: Packet,
    /// Metadata and body views; `None` for a drop.
    pub push: Option<(ResultPushMetadata, FrameBody)>,
    /// Why a frame was dropped, when a hint said so.
    pub drop_reason: Option<ResultHintReason>,
    /// The result applied a budget policy that its frame did not allow (R-RES-8).
    pub beyond_policy: bool,
    /// Where it arrived: results of one frame are handed out in the order of their streams.
    pub arrival: Arrival,
}

/// A frame that ended without a result.
#[derive(Clone, Debug)]
pub struct FailedFrame {
    /// Which frame.
    pub key: FrameKey,
    /// Why.
    pub fault: Fault,
    /// The ERROR that said so, when it was the peer.
    pub packet: Option<Packet>,
}

impl FailedFrame {
    /// A frame that this client gave up.
    pub fn given_up(key: FrameKey) -> Self {
        FailedFrame { key, fault: Fault::given_up(key), packet: None }
    }
}

/// A packet that was refused. The answer the rules ask for is already on its way; the session goes on.
#[derive(Clone, Debug)]
pub struct RejectedPacket {
    /// Why.
    pub fault: Fault,
    /// The packet, when it had been read before it was refused.
    pub packet: Option<Packet>,
}

/// Why a handshake did not lead to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeFailure {
    /// Why.
    pub fault: Fault,
    /// The packet that caused it, when there was one (for a client: the peer's ERROR).
    pub packet: Option<Packet>,
}

/// Which side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// Our application called close.
    Local,
    /// The peer said CLOSE, or closed the transport.
    Peer,
    /// A fatal ERROR, from either side.
    Fault,
    /// The transport failed: reset, idle timeout, unreachable peer.
    Transport,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Who ended it.
    pub by: EndedBy,
    /// The fault, when it was one.
    pub fault: Option<Fault>,
    /// Text for people: the CLOSE reason, the transport's error, or a sentence of ours.
    pub reason: String,
}

/// What happened. Small, because each frame's is moved about: what is large is in a box.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Raw connection: a packet arrived.
    Packet(Box<Packet>, Arrival),
    /// Server: a client wants in.
    Hello(Box<ReceivedHello>),
    /// Server: a client wants to go on with a session over this connection.
    Migrate(Box<ReceivedMigration>),
    /// Client: the answer to that.
    MigrationAnswered(Box<MigrationAnswer>),
    /// Client: the session exists.
    Established(Box<Established>),
    /// The handshake failed; the connection is closing.
    HandshakeFailed(Box<HandshakeFailure>),
    /// Server: a frame to work on.
    Submit(Box<ReceivedSubmit>),
    /// Nobody wants this frame any more: the client cancelled it, on either side.
    Cancelled(FrameKey),
    /// Server: this frame's budget is over and its client was told; nobody waits for its result (R-LIFE-3).
    Expired(FrameKey),
    /// Client: a result or a drop.
    Result(Box<ReceivedResult>),
    /// Client: a frame that will have no result, and why.
    FrameFailed(Box<FailedFrame>),
    /// A packet was refused and answered.
    Rejected(Box<RejectedPacket>),
    /// RESULT_HINT.
    Hint(Box<Packet>, ResultHintMetadata),
    /// FLOW_UPDATE, newer than the last one of its scope.
    FlowUpdate(Box<Packet>, FlowUpdateMetadata),
    /// Server: the client changed the session; these values are in force now.
    Patched(Box<Parameters>),
    /// Any other control packet the library has no use for itself.
    Control(Box<Packet>),
    /// No more frames will come from the peer. Results may still be exchanged until [`Event::Ended`].
    PeerClosing(String),
    /// The last event. Live frames have ended with it.
    Ended(Box<Ended>),
}
