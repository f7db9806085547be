//! What happens to a session besides its frames and their answers, for those who want to hear of it.

use std::net::SocketAddr;

use nnrp_session::{Fault, FrameKey, Parameters};
use nnrp_wire::{FlowUpdateMetadata, Packet, ResultHintMetadata, TransportId};

use crate::error::Closed;

/// Something that happened to a session, in the order in which it happened here. What frames bring (submits, results, drops,
/// failures) is not among it: that is received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Client: the server's advice about a frame, named in the packet's header, or about the session (RESULT_HINT).
    Hint(Packet, ResultHintMetadata),
    /// Client: how much may be submitted. Server: how many results the client wants outstanding. (FLOW_UPDATE; those that are
    /// not newer than the last of their scope are left out.)
    FlowUpdate(Packet, FlowUpdateMetadata),
    /// Nobody wants this frame any more: its client cancelled it (FRAME_CANCEL). At either end.
    Cancelled(FrameKey),
    /// Server: a frame's budget is over, and its client was told (R-LIFE-3).
    Expired(FrameKey),
    /// Server: the client changed the session (SESSION_PATCH); these values are in force now.
    Patched(Box<Parameters>),
    /// The peer sent something that breaks a rule; it has been answered, and the session goes on.
    Refused(Box<Fault>),
    /// The session goes on over another connection (SESSION_MIGRATE).
    Moved {
        /// What carries it now.
        transport: TransportId,
        /// The other end's address there.
        peer: SocketAddr,
    },
    /// The peer submits nothing more (CLOSE, with its reason); answers that are on their way may still arrive.
    PeerClosing(String),
    /// So many events were missed here: the subscriber was more than 256 behind.
    Missed(u64),
    /// The session is over. The last event.
    Ended(Closed),
}
