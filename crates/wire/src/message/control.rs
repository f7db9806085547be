//! Control messages that have a body.

use std::fmt;

use bytes::Bytes;

use super::{PacketParts, cut_text, expect_type, length};
use crate::{
    CachePutMetadata, Detail, EncodedPacket, ErrorMetadata, ErrorScope, Header, MessageType, Packet, RuleId,
    SessionMigrateAckMetadata, SessionMigrateMetadata, SessionPatchAckMetadata, SessionPatchMetadata,
    TensorProfilePatchAckBlock, TensorProfilePatchBlock, TransportProbeMetadata, WireError,
    limits::{MAX_CLOSE_REASON_BYTES, MAX_DIAGNOSTIC_RECEIVED_BYTES, MAX_DIAGNOSTIC_SENT_BYTES},
    reader,
};

/// CLOSE: ends a session in an orderly way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// For logs; possibly empty.
    pub reason: String,
}

impl Close {
    /// Decodes a CLOSE. Every body is accepted: text that is too long is cut, bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// A packet of another type or shape.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        expect_type(packet, MessageType::Close)?;
        Ok(Self { reason: cut_text(&packet.body, MAX_CLOSE_REASON_BYTES) })
    }

    /// Encodes the message; a reason that is too long is cut.
    ///
    /// # Errors
    /// None for any reason text; the signature is that of all messages.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        let reason = cut_text(self.reason.as_bytes(), MAX_CLOSE_REASON_BYTES);
        PacketParts::new(MessageType::Close, &[], reason.into()).encode(header)
    }
}

/// ERROR: a fault, and what it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorMessage {
    /// The fault. Encoding fills in the length of the text.
    pub metadata: ErrorMetadata,
    /// A sentence for people; nothing is decided by it.
    pub diagnostic: String,
}

impl ErrorMessage {
    /// Decodes an ERROR. An ERROR is never answered with an ERROR, so the reading is lenient: an unassigned scope counts as the
    /// connection (R-ERR-1), a text longer than the body is the body (R-ERR-2), and what follows the text is ignored (R-ERR-4).
    ///
    /// # Errors
    /// A packet of another type or shape.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        expect_type(packet, MessageType::Error)?;
        let mut metadata = ErrorMetadata::decode_unchecked(&packet.metadata)?;
        if !metadata.error_scope.is_assigned() {
            metadata.error_scope = ErrorScope::Connection;
        }
        let end = packet.body.len().min(metadata.diagnostic_bytes as usize);
        let text = reader::slice(&packet.body, 0, end);
        Ok(Self { metadata, diagnostic: cut_text(&text, MAX_DIAGNOSTIC_RECEIVED_BYTES) })
    }

    /// Encodes the message; a diagnostic that is too long is cut.
    ///
    /// # Errors
    /// An unassigned scope.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        let diagnostic = cut_text(self.diagnostic.as_bytes(), MAX_DIAGNOSTIC_SENT_BYTES);
        let mut metadata = self.metadata;
        metadata.diagnostic_bytes = length("diagnostic_bytes", diagnostic.len())?;
        metadata.check()?;
        PacketParts::new(MessageType::Error, &metadata.encode(), diagnostic.into()).encode(header)
    }
}

macro_rules! patch_messages {
    ($( $(#[$doc:meta])+ $Name:ident $Metadata:ident $Block:ident $length:ident $rule:ident; )+) => { $(
        $(#[$doc])+
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $Name {
            /// The fixed part. Encoding fills in the length of the block.
            pub metadata: $Metadata,
            /// The clamp on tensor sizes, when there is one.
            pub block: Option<$Block>,
        }

        impl $Name {
            /// Decodes the message.
            ///
            /// # Errors
            /// R-PKT, the rules of the metadata, or a block that is neither absent nor whole.
            pub fn decode(packet: &Packet) -> Result<Self, WireError> {
                expect_type(packet, MessageType::$Name)?;
                let metadata = $Metadata::decode(&packet.metadata)?;
                if metadata.$length as usize != packet.body.len() {
                    let detail = Detail::Explained(body_text(metadata.$length, packet).into());
                    return Err($Metadata::refuse(RuleId::$rule, stringify!($length), detail));
                }
                let block = match packet.body.len() {
                    0 => None,
                    _ => Some($Block::decode(&packet.body).map_err(|error| error.in_message(MessageType::$Name))?),
                };
                Ok(Self { metadata, block })
            }

            /// Encodes the message; ids, flags and trace id come from `header`.
            ///
            /// # Errors
            /// Values that a rule refuses.
            pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
                let body = self.block.map_or_else(Bytes::new, |block| Bytes::copy_from_slice(&block.encode()));
                let mut metadata = self.metadata;
                metadata.$length = length(stringify!($length), body.len())?;
                metadata.check()?;
                PacketParts::new(MessageType::$Name, &metadata.encode(), body).encode(header)
            }
        }
    )+ };
}

/// Why the body of a patch message is not what its metadata says.
fn body_text(announced: u32, packet: &Packet) -> String {
    let message = packet.header.msg_type;
    match announced {
        0 => format!("expected empty {message} body, got {} bytes", packet.body.len()),
        _ => format!("expected {announced} {message} body bytes, got {}", packet.body.len()),
    }
}

patch_messages! {
    /// SESSION_PATCH: asks for a change of a running session.
    SessionPatch SessionPatchMetadata TensorProfilePatchBlock profile_patch_bytes PATCH_5;
    /// SESSION_PATCH_ACK: says what is in force now.
    SessionPatchAck SessionPatchAckMetadata TensorProfilePatchAckBlock profile_patch_ack_bytes PACK_3;
}

/// CACHE_PUT: installs an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePut {
    /// Key and properties. Encoding fills in the length of the object.
    pub metadata: CachePutMetadata,
    /// The object.
    pub object: Bytes,
}

impl CachePut {
    /// Decodes a CACHE_PUT.
    ///
    /// # Errors
    /// R-PKT, R-CACHE-1, 2 or 3.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        expect_type(packet, MessageType::CachePut)?;
        let metadata = CachePutMetadata::decode(&packet.metadata)?;
        if metadata.object_bytes as usize != packet.body.len() {
            let detail = body_mismatch(packet, metadata.object_bytes);
            return Err(CachePutMetadata::refuse(RuleId::CACHE_1, "object_bytes", detail));
        }
        Ok(Self { metadata, object: packet.body.clone() })
    }

    /// Encodes the message; ids, flags and trace id come from `header`. The object is not copied.
    ///
    /// # Errors
    /// Values that a rule refuses.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        let mut metadata = self.metadata;
        metadata.object_bytes = length("object_bytes", self.object.len())?;
        metadata.check()?;
        PacketParts::new(MessageType::CachePut, &metadata.encode(), self.object.clone()).encode(header)
    }
}

/// TRANSPORT_PROBE: measures a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportProbe {
    /// Id and clock. Encoding fills in the length of the filler.
    pub metadata: TransportProbeMetadata,
    /// Filler of any value.
    pub payload: Bytes,
}

impl TransportProbe {
    /// Decodes a TRANSPORT_PROBE.
    ///
    /// # Errors
    /// R-PKT or R-PROBE-1.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        expect_type(packet, MessageType::TransportProbe)?;
        let metadata = TransportProbeMetadata::decode(&packet.metadata)?;
        if metadata.probe_payload_bytes as usize != packet.body.len() {
            let detail = body_mismatch(packet, metadata.probe_payload_bytes);
            return Err(TransportProbeMetadata::refuse(RuleId::PROBE_1, "probe_payload_bytes", detail));
        }
        Ok(Self { metadata, payload: packet.body.clone() })
    }

    /// Encodes the message; ids, flags and trace id come from `header`. The filler is not copied.
    ///
    /// # Errors
    /// A filler whose length does not fit 32 bits.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        let mut metadata = self.metadata;
        metadata.probe_payload_bytes = length("probe_payload_bytes", self.payload.len())?;
        PacketParts::new(MessageType::TransportProbe, &metadata.encode(), self.payload.clone()).encode(header)
    }
}

fn body_mismatch(packet: &Packet, announced: u32) -> Detail {
    Detail::Mismatch { expected: packet.body.len() as u64, actual: announced.into() }
}

/// SESSION_MIGRATE: moves a session to the connection it arrives on.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SessionMigrate {
    /// Transports, progress and clock.
    pub metadata: SessionMigrateMetadata,
    /// What proves that the sender owns the session; never logged.
    pub token: Bytes,
}

impl SessionMigrate {
    /// Decodes a SESSION_MIGRATE.
    ///
    /// # Errors
    /// R-PKT or R-MIG-1.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        expect_type(packet, MessageType::SessionMigrate)?;
        let metadata = SessionMigrateMetadata::decode(&packet.metadata)?;
        Ok(Self { metadata, token: packet.body.clone() })
    }

    /// Encodes the message; ids, flags and trace id come from `header`.
    ///
    /// # Errors
    /// Values that a rule refuses.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        self.metadata.check()?;
        PacketParts::new(MessageType::SessionMigrate, &self.metadata.encode(), self.token.clone())
            .encode(header)
    }
}

impl fmt::Debug for SessionMigrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionMigrate")
            .field("metadata", &self.metadata)
            .field("token", &format_args!("{} bytes", self.token.len()))
            .finish()
    }
}

/// SESSION_MIGRATE_ACK: accepts or refuses a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionMigrateAck {
    /// The answer.
    pub metadata: SessionMigrateAckMetadata,
    /// Opaque, normally empty.
    pub body: Bytes,
}

impl SessionMigrateAck {
    /// Decodes a SESSION_MIGRATE_ACK.
    ///
    /// # Errors
    /// R-PKT.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        expect_type(packet, MessageType::SessionMigrateAck)?;
        let metadata = SessionMigrateAckMetadata::decode(&packet.metadata)?;
        Ok(Self { metadata, body: packet.body.clone() })
    }

    /// Encodes the message; ids, flags and trace id come from `header`.
    ///
    /// # Errors
    /// A body whose length does not fit 32 bits.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        PacketParts::new(MessageType::SessionMigrateAck, &self.metadata.encode(), self.body.clone())
            .encode(header)
    }
}
