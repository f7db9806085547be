//! What is sent: payloads stay where they are, everything small is one buffer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use bytes::Bytes;
use nnrp_wire::{
    CacheObjectKind, CachePut, CachePutMetadata, EncodedPacket, Header, Message, MessageType, Packet,
    ResultFrame, Revision, Section, SubmitFrame, TensorDType, TypedPayload,
};

fn large(byte: u8) -> Bytes {
    vec![byte; 100_000].into()
}

fn is_a_piece(payload: &Bytes, packet: &EncodedPacket) -> bool {
    packet.pieces().any(|piece| piece.as_ptr() == payload.as_ptr() && piece.len() == payload.len())
}

#[test]
fn large_payloads_are_not_copied() {
    let (tile, camera, token) = (large(1), large(2), large(3));
    let frame = SubmitFrame {
        camera: camera.clone(),
        tile_ids: vec![4],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles([tile.clone()])],
        typed_payloads: vec![TypedPayload::token_chunk(token.clone())],
        ..SubmitFrame::new(1)
    };
    let encoded = frame.encode(7, Revision::Current).unwrap();
    for payload in [&tile, &camera, &token] {
        assert!(is_a_piece(payload, &encoded));
    }
    // Header to the first payload, the parts between them, and no piece without a byte.
    assert_eq!(encoded.pieces().count(), 6);
    assert!(encoded.pieces().all(|piece| !piece.is_empty()));
    assert_eq!(encoded.len(), encoded.to_bytes().len());
}

#[test]
fn small_payloads_share_one_piece() {
    let tiles: Vec<Bytes> = (0..100).map(|byte| Bytes::from(vec![byte; 200])).collect();
    let frame = ResultFrame {
        tile_ids: (0..100).collect(),
        sections: vec![Section::new(1, TensorDType::Uint8).tiles(tiles)],
        ..ResultFrame::new(1)
    };
    assert_eq!(frame.encode(7, Revision::Current).unwrap().pieces().count(), 1);
}

#[test]
fn the_parts_of_an_encoded_packet() {
    let frame =
        SubmitFrame { typed_payloads: vec![TypedPayload::opaque_bytes(large(9))], ..SubmitFrame::new(3) };
    let encoded = frame.encode(7, Revision::Current).unwrap();
    let packet = Packet::decode(encoded.to_bytes()).unwrap();
    assert_eq!(*encoded.header(), packet.header);
    assert_eq!(encoded.metadata(), packet.metadata);
    assert_eq!(encoded.body_to_bytes(), packet.body);
    assert_eq!(encoded.to_packet(), packet);
    assert_eq!(encoded.clone().into_pieces().collect::<Vec<_>>().concat(), packet.to_bytes());
}

#[test]
fn a_body_that_is_one_piece_is_handed_out_as_it_is() {
    let object = large(5);
    let put = CachePut {
        metadata: CachePutMetadata {
            object_kind: CacheObjectKind::PromptSegment,
            ..CachePutMetadata::default()
        },
        object: object.clone(),
    };
    let encoded = put.encode(Header::new(MessageType::CachePut)).unwrap();
    assert_eq!(encoded.body_to_bytes().as_ptr(), object.as_ptr());
}

#[test]
fn received_tiles_are_views_of_the_body() {
    let frame = SubmitFrame {
        tile_ids: vec![4, 5],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles([large(1), large(2)]).stride(100_008)],
        ..SubmitFrame::new(1)
    };
    let packet = Packet::decode(frame.encode(7, Revision::Current).unwrap().to_bytes()).unwrap();
    let Message::FrameSubmit { body, .. } = packet.message().unwrap() else { panic!() };
    let inside = packet.body.as_ptr_range();
    for section in body.sections() {
        assert_eq!(section.tiles().len(), 2);
        for tile in section.tiles() {
            assert!(inside.contains(&tile.as_ptr()));
        }
    }
}

#[test]
fn an_empty_frame_has_a_body_only_when_asked() {
    let frame = SubmitFrame { payload_kind: nnrp_wire::PayloadKind::TOKEN_CHUNK, ..SubmitFrame::new(1) };
    assert_eq!(frame.encode(7, Revision::Current).unwrap().header().body_len, 0);
    let frame = SubmitFrame { zero_prelude: true, ..frame };
    assert_eq!(frame.encode(7, Revision::Current).unwrap().body_to_bytes(), [0; 32][..]);
}
