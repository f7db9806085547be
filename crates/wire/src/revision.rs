//! The revisions of the wire and, for each, the table of its messages.
//!
//! A connection speaks one revision; everything that differs between revisions is reached through [`Revision`].

use crate::{
    CacheAckMetadata, CacheInvalidateMetadata, CachePutMetadata, ClientHelloMetadata, ErrorMetadata,
    FieldSpec, FlowUpdateMetadata, FrameSubmitMetadata, Header, MessageType, ResultHintMetadata,
    ResultPushMetadata, ServerHelloAckMetadata, SessionMigrateAckMetadata, SessionMigrateMetadata,
    SessionPatchAckMetadata, SessionPatchMetadata, StructSpec, TransportProbeAckMetadata,
    TransportProbeMetadata, WireFormat,
};

/// A revision of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Revision {
    /// NNRP/1.0: version 1, wire format 0.
    #[default]
    Current,
}

impl Revision {
    /// The major version in every header.
    pub const fn version_major(self) -> u8 {
        match self {
            Self::Current => 1,
        }
    }

    /// The wire format in every header.
    pub const fn wire_format(self) -> WireFormat {
        match self {
            Self::Current => WireFormat::Current,
        }
    }

    /// Size of the header in bytes.
    pub const fn header_len(self) -> usize {
        match self {
            Self::Current => Header::LEN,
        }
    }

    /// Every message of the revision.
    pub const fn messages(self) -> &'static [MessageSpec] {
        match self {
            Self::Current => CURRENT,
        }
    }

    /// What the revision says about one message; `None` for a type it does not have.
    pub fn message(self, message: MessageType) -> Option<&'static MessageSpec> {
        self.messages().iter().find(|spec| spec.message == message)
    }
}

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Only clients.
    ClientToServer,
    /// Only servers.
    ServerToClient,
    /// Both sides.
    Both,
}

/// Where a message travels on a transport with streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The control stream.
    Control,
    /// A stream of its own, opened by the client.
    Submit,
    /// A stream of its own, opened by the server.
    Result,
}

/// Which bodies a message may have, as far as the header can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyRule {
    /// No body.
    None,
    /// No body, or one profile patch block.
    ProfilePatch,
    /// Control extensions and one more part.
    Handshake,
    /// Bytes or text of any length.
    Opaque,
    /// Tensors and payloads.
    Frame,
}

/// Everything that holds for every packet of one message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSpec {
    /// The type.
    pub message: MessageType,
    /// Who sends it.
    pub direction: Direction,
    /// Where it travels.
    pub channel: Channel,
    /// Whether it may also travel as a datagram.
    pub datagram: bool,
    /// Size of its metadata in bytes.
    pub meta_len: usize,
    /// Its metadata; `None` when it has none.
    pub metadata: Option<&'static StructSpec>,
    /// Which bodies it may have.
    pub body: BodyRule,
    /// The fields of its metadata in the order of the wire.
    pub fields: &'static [FieldSpec],
}

impl MessageSpec {
    /// Whether the message is about one frame rather than the session.
    pub const fn is_frame(&self) -> bool {
        matches!(
            self.message,
            MessageType::FrameSubmit
                | MessageType::FrameCancel
                | MessageType::ResultPush
                | MessageType::ResultDrop
        )
    }
}

const fn row(
    message: MessageType,
    direction: Direction,
    channel: Channel,
    metadata: Option<&'static StructSpec>,
    body: BodyRule,
) -> MessageSpec {
    let (meta_len, fields): (usize, &[FieldSpec]) = match metadata {
        Some(spec) => (spec.len, spec.fields),
        None => (0, &[]),
    };
    let datagram = matches!(message, MessageType::FrameCancel | MessageType::Ping | MessageType::Pong);
    MessageSpec { message, direction, channel, datagram, meta_len, metadata, body, fields }
}

const CURRENT: &[MessageSpec] = {
    use BodyRule as Body;
    use Channel::{Control, Result, Submit};
    use Direction::{Both, ClientToServer, ServerToClient};
    use MessageType as M;
    &[
        row(M::ClientHello, ClientToServer, Control, Some(ClientHelloMetadata::SPEC), Body::Handshake),
        row(M::ServerHelloAck, ServerToClient, Control, Some(ServerHelloAckMetadata::SPEC), Body::Handshake),
        row(M::SessionPatch, ClientToServer, Control, Some(SessionPatchMetadata::SPEC), Body::ProfilePatch),
        row(
            M::SessionPatchAck,
            ServerToClient,
            Control,
            Some(SessionPatchAckMetadata::SPEC),
            Body::ProfilePatch,
        ),
        row(M::Close, Both, Control, None, Body::Opaque),
        row(M::Error, Both, Control, Some(ErrorMetadata::SPEC), Body::Opaque),
        row(M::FrameSubmit, ClientToServer, Submit, Some(FrameSubmitMetadata::SPEC), Body::Frame),
        row(M::FrameCancel, ClientToServer, Control, None, Body::None),
        row(M::ResultPush, ServerToClient, Result, Some(ResultPushMetadata::SPEC), Body::Frame),
        row(M::ResultDrop, ServerToClient, Result, None, Body::None),
        row(M::CachePut, Both, Control, Some(CachePutMetadata::SPEC), Body::Opaque),
        row(M::CacheAck, Both, Control, Some(CacheAckMetadata::SPEC), Body::None),
        row(M::CacheInvalidate, Both, Control, Some(CacheInvalidateMetadata::SPEC), Body::None),
        row(M::FlowUpdate, Both, Control, Some(FlowUpdateMetadata::SPEC), Body::None),
        row(M::ResultHint, ServerToClient, Control, Some(ResultHintMetadata::SPEC), Body::None),
        row(M::TransportProbe, ClientToServer, Control, Some(TransportProbeMetadata::SPEC), Body::Opaque),
        row(M::TransportProbeAck, ServerToClient, Control, Some(TransportProbeAckMetadata::SPEC), Body::None),
        row(M::SessionMigrate, ClientToServer, Control, Some(SessionMigrateMetadata::SPEC), Body::Opaque),
        row(
            M::SessionMigrateAck,
            ServerToClient,
            Control,
            Some(SessionMigrateAckMetadata::SPEC),
            Body::Opaque,
        ),
        row(M::Ping, Both, Control, None, Body::None),
        row(M::Pong, Both, Control, None, Body::None),
    ]
};
