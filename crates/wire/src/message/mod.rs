//! Whole messages: a packet that has passed every rule of the codec.

mod control;
mod hello;

use bytes::Bytes;

pub use control::{
    CachePut, Close, ErrorMessage, SessionMigrate, SessionMigrateAck, SessionPatch, SessionPatchAck,
    TransportProbe,
};
pub use hello::{ClientHello, ServerHelloAck};

use crate::{
    CacheAckMetadata, CacheInvalidateMetadata, Detail, EncodedPacket, FlowUpdateMetadata,
    FlowUpdateScopeKind, FrameBody, FrameSubmitMetadata, Header, HeaderLayout, MessageType, Packet, Part,
    ResultHintMetadata, ResultPushMetadata, RuleId, TransportProbeAckMetadata, WireError,
    writer::PieceWriter,
};

/// A packet whose bytes have all been checked, by message type.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "one value per packet, taken apart at once; a box would cost more"
)]
pub enum Message {
    /// Opens a session.
    ClientHello(ClientHello),
    /// Accepts a session.
    ServerHelloAck(ServerHelloAck),
    /// Asks for a change.
    SessionPatch(SessionPatch),
    /// Says what is in force.
    SessionPatchAck(SessionPatchAck),
    /// Ends a session.
    Close(Close),
    /// Reports a fault.
    Error(ErrorMessage),
    /// One unit of work; its ids are in the packet's header.
    FrameSubmit {
        /// The fixed part.
        metadata: FrameSubmitMetadata,
        /// Tensors and payloads.
        body: FrameBody,
    },
    /// Withdraws a frame.
    FrameCancel,
    /// A result; its ids are in the packet's header.
    ResultPush {
        /// The fixed part.
        metadata: ResultPushMetadata,
        /// Tensors and payloads.
        body: FrameBody,
    },
    /// Ends a frame without a result.
    ResultDrop,
    /// Installs an object.
    CachePut(CachePut),
    /// Says whether an object was installed.
    CacheAck(CacheAckMetadata),
    /// Removes objects.
    CacheInvalidate(CacheInvalidateMetadata),
    /// Credit and pressure.
    FlowUpdate(FlowUpdateMetadata),
    /// Advice.
    ResultHint(ResultHintMetadata),
    /// Measures a path.
    TransportProbe(TransportProbe),
    /// Answers a probe.
    TransportProbeAck(TransportProbeAckMetadata),
    /// Moves a session.
    SessionMigrate(SessionMigrate),
    /// Accepts or refuses a migration.
    SessionMigrateAck(SessionMigrateAck),
    /// Asks for a PONG.
    Ping,
    /// Answers a PING.
    Pong,
}

impl Packet {
    /// Checks the whole packet and takes it apart: type and lengths, then metadata, then body; the first rule that is broken
    /// decides. Limits are for [`crate::check_lengths`] and [`FrameBody::check_limits`], which a receiver calls earlier.
    ///
    /// # Errors
    /// The first rule of the codec that the packet breaks.
    pub fn message(&self) -> Result<Message, WireError> {
        self.message_knowing(&[])
    }

    /// [`Self::message`] for a receiver that understands some kinds of extension frames.
    ///
    /// # Errors
    /// As there.
    pub fn message_knowing(&self, extension_kinds: &[u16]) -> Result<Message, WireError> {
        use MessageType as M;
        self.check_shape()?;
        Ok(match self.header.msg_type {
            M::ClientHello => Message::ClientHello(ClientHello::decode(self)?),
            M::ServerHelloAck => Message::ServerHelloAck(ServerHelloAck::decode(self)?),
            M::SessionPatch => Message::SessionPatch(SessionPatch::decode(self)?),
            M::SessionPatchAck => Message::SessionPatchAck(SessionPatchAck::decode(self)?),
            M::Close => Message::Close(Close::decode(self)?),
            M::Error => Message::Error(ErrorMessage::decode(self)?),
            M::FrameSubmit => {
                let metadata = FrameSubmitMetadata::decode(&self.metadata)?;
                let body = FrameBody::decode_submit(&metadata, &self.body, extension_kinds)?;
                Message::FrameSubmit { metadata, body }
            }
            M::FrameCancel => Message::FrameCancel,
            M::ResultPush => {
                let metadata = ResultPushMetadata::decode(&self.metadata)?;
                let body = FrameBody::decode_result(&metadata, &self.body, extension_kinds)?;
                Message::ResultPush { metadata, body }
            }
            M::ResultDrop => Message::ResultDrop,
            M::CachePut => Message::CachePut(CachePut::decode(self)?),
            M::CacheAck => Message::CacheAck(CacheAckMetadata::decode(&self.metadata)?),
            M::CacheInvalidate => Message::CacheInvalidate(CacheInvalidateMetadata::decode(&self.metadata)?),
            M::FlowUpdate => {
                let metadata = FlowUpdateMetadata::decode(&self.metadata)?;
                check_flow_session(&metadata, self.header.session_id)?;
                Message::FlowUpdate(metadata)
            }
            M::ResultHint => Message::ResultHint(ResultHintMetadata::decode(&self.metadata)?),
            M::TransportProbe => Message::TransportProbe(TransportProbe::decode(self)?),
            M::TransportProbeAck => {
                Message::TransportProbeAck(TransportProbeAckMetadata::decode(&self.metadata)?)
            }
            M::SessionMigrate => Message::SessionMigrate(SessionMigrate::decode(self)?),
            M::SessionMigrateAck => Message::SessionMigrateAck(SessionMigrateAck::decode(self)?),
            M::Ping => Message::Ping,
            M::Pong => Message::Pong,
            // The shape check has refused it already.
            M::Unknown(value) => return Err(unassigned(value)),
        })
    }

    /// Type and lengths: those in the header against the message table, and those of the parts against the header.
    fn check_shape(&self) -> Result<(), WireError> {
        self.header.check_shape()?;
        self.check_parts()
    }
}

impl Message {
    /// What the message is.
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::ClientHello(_) => MessageType::ClientHello,
            Self::ServerHelloAck(_) => MessageType::ServerHelloAck,
            Self::SessionPatch(_) => MessageType::SessionPatch,
            Self::SessionPatchAck(_) => MessageType::SessionPatchAck,
            Self::Close(_) => MessageType::Close,
            Self::Error(_) => MessageType::Error,
            Self::FrameSubmit { .. } => MessageType::FrameSubmit,
            Self::FrameCancel => MessageType::FrameCancel,
            Self::ResultPush { .. } => MessageType::ResultPush,
            Self::ResultDrop => MessageType::ResultDrop,
            Self::CachePut(_) => MessageType::CachePut,
            Self::CacheAck(_) => MessageType::CacheAck,
            Self::CacheInvalidate(_) => MessageType::CacheInvalidate,
            Self::FlowUpdate(_) => MessageType::FlowUpdate,
            Self::ResultHint(_) => MessageType::ResultHint,
            Self::TransportProbe(_) => MessageType::TransportProbe,
            Self::TransportProbeAck(_) => MessageType::TransportProbeAck,
            Self::SessionMigrate(_) => MessageType::SessionMigrate,
            Self::SessionMigrateAck(_) => MessageType::SessionMigrateAck,
            Self::Ping => MessageType::Ping,
            Self::Pong => MessageType::Pong,
        }
    }

    /// Encodes the message; ids, flags, route and trace id come from `header`, type and lengths are filled in.
    ///
    /// A body that was received is written back as it was. To send tensors and payloads, use [`crate::SubmitFrame`] and
    /// [`crate::ResultFrame`].
    ///
    /// # Errors
    /// Values that a rule refuses.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        let plain =
            |metadata: &[u8]| PacketParts::new(self.message_type(), metadata, Bytes::new()).encode(header);
        match self {
            Self::ClientHello(message) => message.encode(header),
            Self::ServerHelloAck(message) => message.encode(header),
            Self::SessionPatch(message) => message.encode(header),
            Self::SessionPatchAck(message) => message.encode(header),
            Self::Close(message) => message.encode(header),
            Self::Error(message) => message.encode(header),
            Self::FrameSubmit { metadata, body } => {
                metadata.check()?;
                PacketParts::new(MessageType::FrameSubmit, &metadata.encode(), body.body().clone())
                    .encode(header)
            }
            Self::ResultPush { metadata, body } => {
                metadata.check()?;
                PacketParts::new(MessageType::ResultPush, &metadata.encode(), body.body().clone())
                    .encode(header)
            }
            Self::CachePut(message) => message.encode(header),
            Self::CacheAck(metadata) => metadata.check().and_then(|()| plain(&metadata.encode())),
            Self::CacheInvalidate(metadata) => metadata.check().and_then(|()| plain(&metadata.encode())),
            Self::FlowUpdate(metadata) => {
                metadata.check()?;
                check_flow_session(metadata, header.session_id)?;
                plain(&metadata.encode())
            }
            Self::ResultHint(metadata) => metadata.check().and_then(|()| plain(&metadata.encode())),
            Self::TransportProbe(message) => message.encode(header),
            Self::TransportProbeAck(metadata) => plain(&metadata.encode()),
            Self::SessionMigrate(message) => message.encode(header),
            Self::SessionMigrateAck(message) => message.encode(header),
            Self::FrameCancel | Self::ResultDrop | Self::Ping | Self::Pong => plain(&[]),
        }
    }
}

macro_rules! from_metadata {
    ($($Variant:ident($Type:ty);)+) => { $(
        impl From<$Type> for Message {
            fn from(value: $Type) -> Self { Self::$Variant(value) }
        }
    )+ };
}
from_metadata! {
    ClientHello(ClientHello);
    ServerHelloAck(ServerHelloAck);
    SessionPatch(SessionPatch);
    SessionPatchAck(SessionPatchAck);
    Close(Close);
    Error(ErrorMessage);
    CachePut(CachePut);
    CacheAck(CacheAckMetadata);
    CacheInvalidate(CacheInvalidateMetadata);
    FlowUpdate(FlowUpdateMetadata);
    ResultHint(ResultHintMetadata);
    TransportProbe(TransportProbe);
    TransportProbeAck(TransportProbeAckMetadata);
    SessionMigrate(SessionMigrate);
    SessionMigrateAck(SessionMigrateAck);
}

/// Checks that the header's session id fits the scope of a flow update (R-FLOW-5). Whether it is *the* session is for the
/// session to know.
///
/// # Errors
/// A session id with connection scope, or none with another scope.
pub fn check_flow_session(metadata: &FlowUpdateMetadata, session_id: u32) -> Result<(), WireError> {
    let connection = metadata.scope_kind == FlowUpdateScopeKind::Connection;
    let text = match (connection, session_id) {
        (true, 0) | (false, 1..) => return Ok(()),
        (true, _) => "connection-scope FLOW_UPDATE requires session_id 0",
        (false, 0) => "session-scope and operation-scope FLOW_UPDATE require a non-zero session_id",
    };
    let error = HeaderLayout::refuse(RuleId::FLOW_5, "session_id", Detail::Because(text));
    Err(error.in_message(MessageType::FlowUpdate))
}

/// The parts of a message that become a packet.
struct PacketParts<'a> {
    message: MessageType,
    metadata: &'a [u8],
    body: Bytes,
}

impl<'a> PacketParts<'a> {
    fn new(message: MessageType, metadata: &'a [u8], body: Bytes) -> Self {
        Self { message, metadata, body }
    }

    fn encode(self, mut header: Header) -> Result<EncodedPacket, WireError> {
        header.msg_type = self.message;
        header.meta_len = length("meta_len", self.metadata.len())?;
        header.body_len = length("body_len", self.body.len())?;
        header.check_shape()?;
        let writer = PieceWriter::for_parts(self.metadata, &self.body);
        Ok(writer.finish(header, self.metadata))
    }
}

/// Checks that a packet is of the type its decoder expects, and its lengths.
fn expect_type(packet: &Packet, message: MessageType) -> Result<(), WireError> {
    if packet.header.msg_type != message {
        let text = format!("expected {message}, got {}", packet.header.msg_type);
        return Err(WireError::new(
            RuleId::HDR_4,
            Part::Header,
            6,
            "msg_type",
            Detail::Explained(text.into()),
        ));
    }
    packet.check_shape()
}

fn unassigned(value: u8) -> WireError {
    let detail = Detail::NotAssigned { table: "MessageType", value: value.into() };
    HeaderLayout::refuse(RuleId::HDR_4, "msg_type", detail)
}

/// A length as the wire says it.
pub(crate) fn length(field: &'static str, length: usize) -> Result<u32, WireError> {
    u32::try_from(length).map_err(|_| {
        let detail = Detail::TooMany { limit: u32::MAX.into(), actual: length as u64 };
        WireError::new(RuleId::LIM_1, Part::Metadata, 0, field, detail)
    })
}

/// Text of at most `limit` bytes: cut between characters, with replacements for bytes that are not UTF-8.
pub(crate) fn cut_text(bytes: &[u8], limit: usize) -> String {
    // A character has at most four bytes, so three more than the limit cannot split the last one that is kept.
    let mut text = String::from_utf8_lossy(bytes.get(..limit + 3).unwrap_or(bytes)).into_owned();
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}
