//! What a machine hands to its driver, and how packets reach it.

use nnrp_wire::EncodedPacket;

/// Where a packet goes. The transport alone decides what a lane is: on QUIC a frame lane is a unidirectional
/// stream of its own, on TCP everything shares the one byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// In order with all other control packets.
    Control,
    /// One submit, result or drop, independent of everything else.
    Frame,
    /// A PING, or the answer to one: with the control packets, and on QUIC in a datagram as well when those cannot leave.
    /// Whether a peer is there must not depend on its application, which may leave frames unread until they fill the
    /// window that all streams share.
    Ping,
    /// In a QUIC datagram, as what it answers came in one; as a control packet where the peer takes none.
    Datagram,
}

/// How a packet arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// In order with everything else: the QUIC control stream, or the TCP stream.
    Control,
    /// On a unidirectional QUIC stream with this id.
    Stream(u64),
    /// In a QUIC datagram.
    Datagram,
}

/// Who asked for a packet to be sent; the driver counts only the application's against its write buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A command of the application.
    Application,
    /// The library's own reply. Bounded by [`crate::MAX_QUEUED_REPLIES`] and the rate limits.
    Library,
    /// Sent again after a migration. It was paid for when it was sent first.
    Repetition,
}

/// One thing for the driver to do, in this order.
#[derive(Debug)]
pub enum Transmit {
    /// Send this packet.
    Packet {
        /// Where it goes.
        lane: Lane,
        /// Who asked.
        origin: Origin,
        /// The bytes.
        packet: EncodedPacket,
        /// Not 0: [`crate::Machine::handle_delivered`] wants to know when the peer's transport has it.
        ticket: u64,
    },
    /// What was sent on frame lanes before this has to reach the peer before anything behind this is sent. On one ordered
    /// stream that is so anyway; on QUIC, CLOSE would overtake the results it follows.
    Barrier,
    /// Everything before this has to reach the peer; then the transport is closed with this NNRP error code
    /// (0 for a normal end).
    Shutdown {
        /// Error code for a QUIC application close.
        code: u32,
        /// Short text for the peer's log.
        reason: String,
    },
}

/// What to do with the rest of a packet whose header was examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderVerdict {
    /// Read metadata and body, then call [`crate::Machine::handle_packet`]. Packets of the frame lane take room
    /// in the application's inbox.
    Read(Lane),
    /// Read the metadata, throw the body away as it arrives, then call [`crate::Machine::handle_packet`] with an empty body:
    /// nothing in it matters, and it must not be buffered.
    ReadHead,
    /// The packet was refused and answered. Read `meta_len + body_len` bytes and throw them away (or, on a
    /// stream of its own, stop reading that stream).
    Skip,
    /// The connection is over: read nothing more.
    Stop,
}
