//! What a packet is: message type, header flags, version, errors.

use super::{wire_enum, wire_mask};

wire_enum! {
    /// The layout family of everything after the header's first six bytes.
    pub enum WireFormat: u8 {
        /// The only format of this generation.
        Current = 0 "CURRENT",
    }
}

wire_enum! {
    /// What a packet is. Directions, channels and lengths are in [`crate::Revision::message`].
    pub enum MessageType: u8 {
        /// Opens a session.
        ClientHello = 0x01 "CLIENT_HELLO",
        /// Accepts a session and states what was agreed.
        ServerHelloAck = 0x02 "SERVER_HELLO_ACK",
        /// Asks for a change of a running session.
        SessionPatch = 0x03 "SESSION_PATCH",
        /// Says which part of a patch is in force.
        SessionPatchAck = 0x04 "SESSION_PATCH_ACK",
        /// Ends a session in an orderly way.
        Close = 0x05 "CLOSE",
        /// Reports a fault of a connection, session or frame.
        Error = 0x06 "ERROR",
        /// One unit of work for the server.
        FrameSubmit = 0x10 "FRAME_SUBMIT",
        /// Withdraws a frame.
        FrameCancel = 0x11 "FRAME_CANCEL",
        /// A result, or a part of one.
        ResultPush = 0x12 "RESULT_PUSH",
        /// Ends a frame without a result.
        ResultDrop = 0x13 "RESULT_DROP",
        /// Installs an object in the peer's cache.
        CachePut = 0x14 "CACHE_PUT",
        /// Says whether an object was installed.
        CacheAck = 0x15 "CACHE_ACK",
        /// Removes objects from the peer's cache.
        CacheInvalidate = 0x16 "CACHE_INVALIDATE",
        /// Replaces credit and reports pressure.
        FlowUpdate = 0x17 "FLOW_UPDATE",
        /// Advice about congestion or about a dropped frame.
        ResultHint = 0x18 "RESULT_HINT",
        /// Measures a path.
        TransportProbe = 0x19 "TRANSPORT_PROBE",
        /// Answers a probe.
        TransportProbeAck = 0x1A "TRANSPORT_PROBE_ACK",
        /// Moves a session to a new transport connection.
        SessionMigrate = 0x1B "SESSION_MIGRATE",
        /// Accepts or refuses a migration.
        SessionMigrateAck = 0x1C "SESSION_MIGRATE_ACK",
        /// Asks for a PONG.
        Ping = 0x20 "PING",
        /// Answers a PING.
        Pong = 0x21 "PONG",
    }
}

wire_mask! {
    /// Hints in the header for code that looks at headers only; metadata is authoritative.
    pub mask HeaderFlags: u32 {
        /// The ordinary reply is expected; adds no duty of its own.
        ACK_REQUIRED = 0x0000_0001,
        /// The message need not be sent again when lost.
        CAN_DROP = 0x0000_0002,
        /// The result reuses older content.
        STALE = 0x0000_0004,
        /// The last message for this frame.
        EOS = 0x0000_0008,
        /// The frame repeats an earlier one.
        RETRANSMIT = 0x0000_0010,
        /// Later frames may depend on this one.
        KEYFRAME = 0x0000_0020,
    }
}

wire_enum! {
    /// Why an ERROR was sent.
    pub enum ErrorCode: u32 {
        /// Version or wire format is not ours.
        UnsupportedVersion = 0x0001 "UNSUPPORTED_VERSION",
        /// Authentication was refused.
        AuthFailed = 0x0002 "AUTH_FAILED",
        /// The right message at the wrong time or for the wrong id.
        InvalidState = 0x0003 "INVALID_STATE",
        /// The 40 header bytes are wrong.
        MalformedHeader = 0x0004 "MALFORMED_HEADER",
        /// Metadata or body does not parse or contradicts itself.
        MalformedBody = 0x0005 "MALFORMED_BODY",
        /// A value or feature that is not known or was not negotiated.
        UnsupportedCapability = 0x0006 "UNSUPPORTED_CAPABILITY",
        /// Too big or too many.
        LimitExceeded = 0x0007 "LIMIT_EXCEEDED",
        /// The frame's deadline has passed.
        FrameExpired = 0x0008 "FRAME_EXPIRED",
        /// The server cancelled the frame.
        FrameCancelled = 0x0009 "FRAME_CANCELLED",
        /// A referenced object is not installed.
        CacheMiss = 0x000A "CACHE_MISS",
        /// Try again later.
        ServerBusy = 0x000B "SERVER_BUSY",
        /// A fault of the side that sends the ERROR.
        InternalError = 0x000C "INTERNAL_ERROR",
    }
}

wire_enum! {
    /// What an ERROR ends.
    pub enum ErrorScope: u32 {
        /// The whole connection.
        Connection = 0 "CONNECTION",
        /// One request of the session.
        Session = 1 "SESSION",
        /// One frame.
        Frame = 2 "FRAME",
    }
}
