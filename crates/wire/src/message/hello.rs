//! The two messages of the handshake.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{PacketParts, cut_text};
use crate::{
    ClientHelloMetadata, ControlExtension, ControlExtensions, Detail, EncodedPacket, Header, MessageType,
    Packet, RuleId, ServerHelloAckMetadata, WireError,
    extension::{self, CLIENT_HELLO_EXTENSIONS, SERVER_HELLO_ACK_EXTENSIONS},
    limits::MAX_MODEL_NAME_BYTES,
    reader,
};

/// CLIENT_HELLO: opens a session.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// What the client can do and wants. Encoding fills in the two lengths.
    pub metadata: ClientHelloMetadata,
    /// Control extensions, those of unknown types included.
    pub extensions: Vec<ControlExtension>,
    /// Opaque credentials; never logged, never cached.
    pub auth_block: Bytes,
}

impl ClientHello {
    /// Decodes a CLIENT_HELLO with all its extensions.
    ///
    /// The body is extensions, then auth block, as the reference peer writes it. When that does not parse and both parts are
    /// there, the order of the written protocol is tried: a packet in the first order always parses at once, so the second
    /// try cannot change its meaning.
    ///
    /// # Errors
    /// R-PKT, R-HELLO-3, R-HELLO-5, R-EXT and R-HX.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        super::expect_type(packet, MessageType::ClientHello)?;
        let metadata = ClientHelloMetadata::decode(&packet.metadata)?;
        let body = &packet.body;
        let announced = u64::from(metadata.auth_bytes) + u64::from(metadata.control_extension_bytes);
        if announced != body.len() as u64 {
            let text =
                format!("auth_bytes and control_extension_bytes add up to {announced}, not {}", body.len());
            let detail = Detail::Explained(text.into());
            return Err(ClientHelloMetadata::refuse(RuleId::HELLO_3, "auth_bytes", detail));
        }
        let (extension_bytes, auth_bytes) =
            (metadata.control_extension_bytes as usize, metadata.auth_bytes as usize);
        let parse = |block: Bytes| {
            ControlExtensions::decode(&block, Some(CLIENT_HELLO_EXTENSIONS), MessageType::ClientHello)
        };
        let (extensions, auth_block) = match parse(reader::slice(body, 0, extension_bytes)) {
            Ok(extensions) => (extensions, reader::slice(body, extension_bytes, body.len())),
            Err(first) => {
                let not_a_block = matches!(first.rule, RuleId::EXT_1 | RuleId::EXT_2);
                if !not_a_block || auth_bytes == 0 {
                    return Err(first);
                }
                let extensions = parse(reader::slice(body, auth_bytes, body.len())).map_err(|_| first)?;
                (extensions, reader::slice(body, 0, auth_bytes))
            }
        };
        extension::check_typed(&extensions, MessageType::ClientHello)?;
        Ok(Self { metadata, extensions, auth_block })
    }

    /// Encodes the message; ids, flags and trace id come from `header`.
    ///
    /// # Errors
    /// Values that a rule refuses.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        extension::check_sent(&self.extensions, CLIENT_HELLO_EXTENSIONS, MessageType::ClientHello)?;
        let mut body = BytesMut::from(&ControlExtensions::encode(&self.extensions)?[..]);
        let mut metadata = self.metadata;
        metadata.control_extension_bytes = super::length("control_extension_bytes", body.len())?;
        metadata.auth_bytes = super::length("auth_bytes", self.auth_block.len())?;
        metadata.check()?;
        body.extend_from_slice(&self.auth_block);
        PacketParts::new(MessageType::ClientHello, &metadata.encode(), body.freeze()).encode(header)
    }
}

impl fmt::Debug for ClientHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHello")
            .field("metadata", &self.metadata)
            .field("extensions", &self.extensions)
            .field("auth_block", &format_args!("{} bytes", self.auth_block.len()))
            .finish()
    }
}

/// SERVER_HELLO_ACK: accepts a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHelloAck {
    /// What was agreed. Encoding fills in the length of the extensions.
    pub metadata: ServerHelloAckMetadata,
    /// Control extensions, those of unknown types included.
    pub extensions: Vec<ControlExtension>,
    /// The active model, possibly empty.
    pub model_name: String,
}

impl ServerHelloAck {
    /// Decodes a SERVER_HELLO_ACK with all its extensions.
    ///
    /// # Errors
    /// R-PKT, R-ACK-5, R-EXT and R-HX.
    pub fn decode(packet: &Packet) -> Result<Self, WireError> {
        super::expect_type(packet, MessageType::ServerHelloAck)?;
        let metadata = ServerHelloAckMetadata::decode(&packet.metadata)?;
        let body = &packet.body;
        let extension_bytes = metadata.control_extension_bytes as usize;
        if extension_bytes > body.len() {
            let text =
                format!("control_extension_bytes is {extension_bytes}, the body has {} bytes", body.len());
            let detail = Detail::Explained(text.into());
            return Err(ServerHelloAckMetadata::refuse(RuleId::ACK_5, "control_extension_bytes", detail));
        }
        let block = reader::slice(body, 0, extension_bytes);
        let extensions = ControlExtensions::decode(
            &block,
            Some(SERVER_HELLO_ACK_EXTENSIONS),
            MessageType::ServerHelloAck,
        )?;
        extension::check_typed(&extensions, MessageType::ServerHelloAck)?;
        let model_name = reader::slice(body, extension_bytes, body.len());
        Ok(Self { metadata, extensions, model_name: cut_text(&model_name, MAX_MODEL_NAME_BYTES) })
    }

    /// Encodes the message; ids, flags and trace id come from `header`. A model name that is too long is cut.
    ///
    /// # Errors
    /// Values that a rule refuses.
    pub fn encode(&self, header: Header) -> Result<EncodedPacket, WireError> {
        extension::check_sent(&self.extensions, SERVER_HELLO_ACK_EXTENSIONS, MessageType::ServerHelloAck)?;
        let mut body = BytesMut::from(&ControlExtensions::encode(&self.extensions)?[..]);
        let mut metadata = self.metadata;
        metadata.control_extension_bytes = super::length("control_extension_bytes", body.len())?;
        metadata.check()?;
        body.extend_from_slice(cut_text(self.model_name.as_bytes(), MAX_MODEL_NAME_BYTES).as_bytes());
        PacketParts::new(MessageType::ServerHelloAck, &metadata.encode(), body.freeze()).encode(header)
    }
}
