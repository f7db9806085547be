//! Packets for tests: legal ones, and ways to damage them.

use bytes::Bytes;
use nnrp_wire::{
    ClientHello, ClientHelloMetadata, EncodedPacket, Header, MessageType, Packet, PayloadKind, ResultFrame,
    Revision, Section, SubmitFrame, TensorDType, TypedPayload,
};

/// The hello an ordinary client sends: every version and layout this generation has, session id 1.
pub fn hello() -> ClientHello {
    let metadata = ClientHelloMetadata {
        min_version_major: 1,
        max_version_major: 1,
        supported_wire_format_bitmap: 1,
        supported_profile_bitmap: 1,
        supported_payload_kind_bitmap: PayloadKind::TENSOR,
        max_lane_count: 1,
        requested_session_id: 1,
        ..ClientHelloMetadata::default()
    };
    ClientHello { metadata, extensions: Vec::new(), auth_block: Bytes::new() }
}

/// The same as a packet.
pub fn hello_packet(hello: &ClientHello) -> Packet {
    encoded(hello.encode(Header::new(MessageType::ClientHello)))
}

/// A frame with two tiles of one section.
pub fn frame(frame_id: u32) -> SubmitFrame {
    SubmitFrame {
        tile_ids: vec![3, 7],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles(["abc", "defg"])],
        ..SubmitFrame::new(frame_id)
    }
}

/// A frame of session `session_id` as a packet.
pub fn submit_packet(session_id: u32, frame_id: u32) -> Packet {
    encoded(frame(frame_id).encode(session_id, Revision::Current))
}

/// A frame whose one payload has `bytes` bytes.
pub fn bulky_packet(session_id: u32, frame_id: u32, bytes: usize) -> Packet {
    let frame = SubmitFrame {
        typed_payloads: vec![TypedPayload::opaque_bytes(vec![0x55; bytes])],
        ..SubmitFrame::new(frame_id)
    };
    encoded(frame.encode(session_id, Revision::Current))
}

/// A complete result for [`frame`].
pub fn result(frame_id: u32) -> ResultFrame {
    ResultFrame {
        frame_id,
        tile_ids: vec![3, 7],
        sections: vec![Section::new(100, TensorDType::Uint8).tiles(["ABC", "DEFG"])],
        ..ResultFrame::default()
    }
}

/// A packet without metadata and body.
pub fn bare(message: MessageType, session_id: u32) -> Packet {
    let mut header = Header::new(message);
    header.session_id = session_id;
    Packet::build(header, Bytes::new(), Bytes::new())
}

/// A packet with metadata and without body.
pub fn control(message: MessageType, session_id: u32, metadata: &[u8]) -> Packet {
    let mut header = Header::new(message);
    header.session_id = session_id;
    Packet::build(header, Bytes::copy_from_slice(metadata), Bytes::new())
}

/// The packet with `value` written at `offset` of its bytes.
pub fn damaged(packet: &Packet, offset: usize, value: &[u8]) -> Bytes {
    let mut bytes = packet.to_bytes().to_vec();
    for (target, byte) in bytes.iter_mut().skip(offset).zip(value) {
        *target = *byte;
    }
    bytes.into()
}

fn encoded(packet: Result<EncodedPacket, nnrp_wire::WireError>) -> Packet {
    match packet {
        Ok(packet) => packet.to_packet(),
        // A test asked for a packet that cannot exist: give it one that every receiver refuses.
        Err(_) => bare(MessageType::Unknown(0xFF), 0),
    }
}
