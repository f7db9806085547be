//! What an application hands in and no receiver would take is refused before it is sent, with the rule that says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use bytes::Bytes;
use nnrp_wire::{
    CacheObjectKind, ClientHello, ExtensionFrame, Header, InlineObject, LossToleranceAckExtension,
    LossToleranceExtension, MessageType, ObjectReferenceBlock, Packet, ResultFrame, Revision, RuleId,
    Section, ServerHelloAck, SubmitFrame, SubmitMode, TensorDType, TileIndexMode, TypedPayload,
};

fn submit(frame: SubmitFrame) -> RuleId {
    frame.encode(7, Revision::Current).unwrap_err().rule
}

fn result(frame: ResultFrame) -> RuleId {
    frame.encode(7, Revision::Current).unwrap_err().rule
}

fn object(kind: CacheObjectKind) -> InlineObject {
    InlineObject { kind, ..InlineObject::default() }
}

fn reference(object_kind: CacheObjectKind) -> ObjectReferenceBlock {
    ObjectReferenceBlock { object_kind, ..ObjectReferenceBlock::default() }
}

/// One section with two tiles.
fn two_tiles() -> Section {
    Section::new(1, TensorDType::Uint8).tiles([&b"abc"[..], b"de"])
}

#[test]
fn sections_have_a_tile_for_each_id() {
    let frame = SubmitFrame { tile_ids: vec![1, 2, 3], sections: vec![two_tiles()], ..SubmitFrame::new(1) };
    assert_eq!(submit(frame), RuleId::SEC_2);
}

#[test]
fn sections_have_a_codec_for_each_tile() {
    let sections = vec![two_tiles().codec_ids([1])];
    assert_eq!(submit(SubmitFrame { tile_ids: vec![1, 2], sections, ..SubmitFrame::new(1) }), RuleId::SEC_8);
}

#[test]
fn tile_ids_fit_their_mode() {
    for (tile_index_mode, tile_ids, rule) in [
        (TileIndexMode::DenseRange, vec![0, 2], RuleId::TILE_4),
        (TileIndexMode::DeltaU16, vec![2, 2], RuleId::TILE_5),
        (TileIndexMode::Bitset, vec![2, 1], RuleId::TILE_5),
        (TileIndexMode::Unknown(9), vec![2], RuleId::SUB_3),
    ] {
        assert_eq!(submit(SubmitFrame { tile_index_mode, tile_ids, ..SubmitFrame::new(1) }), rule);
    }
}

#[test]
fn results_say_only_two_modes() {
    let frame = ResultFrame { tile_index_mode: TileIndexMode::Bitset, ..ResultFrame::new(1) };
    assert_eq!(result(frame), RuleId::RES_5);
}

#[test]
#[cfg_attr(miri, ignore = "65,536 values take Miri a quarter of an hour")]
fn no_more_than_16_bits_can_count() {
    let frame = SubmitFrame { tile_ids: vec![0; 65_536], ..SubmitFrame::new(1) };
    assert_eq!(submit(frame), RuleId::SUB_9);
    let frame =
        SubmitFrame { typed_payloads: vec![TypedPayload::token_chunk(""); 65_536], ..SubmitFrame::new(1) };
    assert_eq!(submit(frame), RuleId::LIM_15);
}

#[test]
fn tensors_are_not_given_as_other_objects() {
    let objects = vec![object(CacheObjectKind::TileIndexBlock)];
    let typed_payloads = vec![TypedPayload::token_chunk("x")];
    let frame = SubmitFrame { objects: objects.clone(), ..SubmitFrame::new(1) };
    assert_eq!(submit(frame), RuleId::OBJ_14);
    assert_eq!(result(ResultFrame { objects, typed_payloads, ..ResultFrame::new(1) }), RuleId::OBJ_32);
}

#[test]
fn nothing_fills_a_slot_twice() {
    let objects = vec![object(CacheObjectKind::PayloadLayoutTemplate); 2];
    assert_eq!(submit(SubmitFrame { objects, ..SubmitFrame::new(1) }), RuleId::OBJ_14);
    let frame = SubmitFrame {
        camera: Bytes::from_static(b"here"),
        camera_reference: Some(reference(CacheObjectKind::CameraBlock)),
        ..SubmitFrame::new(1)
    };
    assert_eq!(submit(frame), RuleId::OBJ_14);
    let references = vec![reference(CacheObjectKind::PromptSegment); 2];
    assert_eq!(result(ResultFrame { references, ..ResultFrame::new(1) }), RuleId::OBJ_30);
}

#[test]
fn a_reference_is_to_what_its_slot_holds() {
    let frame = SubmitFrame {
        camera_reference: Some(reference(CacheObjectKind::TileIndexBlock)),
        ..SubmitFrame::new(1)
    };
    assert_eq!(submit(frame), RuleId::OBJ_13);
}

#[test]
fn the_mode_that_is_asked_for_has_to_fit() {
    let referenced = SubmitFrame {
        camera_reference: Some(reference(CacheObjectKind::CameraBlock)),
        ..SubmitFrame::new(1)
    };
    let mixed = SubmitFrame { tile_ids: vec![1], ..referenced.clone() };
    for (frame, mode, rule) in [
        (referenced.clone(), SubmitMode::Inline, RuleId::OBJ_10),
        (SubmitFrame::new(1), SubmitMode::Reference, RuleId::OBJ_11),
        (mixed, SubmitMode::Reference, RuleId::OBJ_12),
        (referenced, SubmitMode::Unknown(9), RuleId::SUB_4),
    ] {
        assert_eq!(submit(SubmitFrame { submit_mode: Some(mode), ..frame }), rule);
    }
}

#[test]
fn plain_bodies_have_no_room_for_extension_frames() {
    let extension_frames = vec![ExtensionFrame::default()];
    let tensors = SubmitFrame {
        tile_ids: vec![1, 2],
        sections: vec![two_tiles()],
        extension_frames: extension_frames.clone(),
        ..SubmitFrame::new(1)
    };
    assert_eq!(submit(tensors), RuleId::PLAIN_3);
    let tensors = ResultFrame {
        tile_ids: vec![1, 2],
        sections: vec![two_tiles()],
        extension_frames,
        ..ResultFrame::new(1)
    };
    assert_eq!(result(tensors), RuleId::PLAIN_3);
}

#[test]
fn a_packet_is_as_long_as_its_header_says() {
    let header = Header { body_len: 4, ..Header::new(MessageType::Close) };
    let packet = Packet { header, metadata: Bytes::new(), body: Bytes::from_static(b"bye") };
    let error = packet.check_parts().unwrap_err();
    assert_eq!(error.rule, RuleId::PKT_3);
    assert!(error.to_string().contains("body length mismatch"), "{error}");
}

#[test]
fn a_decoder_is_given_its_own_message() {
    let packet = Packet::build(Header::new(MessageType::Ping), Bytes::new(), Bytes::new());
    let error = ClientHello::decode(&packet).unwrap_err();
    assert!(error.to_string().contains("expected CLIENT_HELLO, got PING"), "{error}");
}

#[test]
fn a_handshake_extension_comes_once() {
    let twice = vec![LossToleranceExtension::default().to_extension(); 2];
    let error = ClientHello { extensions: twice, ..ClientHello::default() }.encode(Header::default());
    assert_eq!(error.unwrap_err().rule, RuleId::EXT_5);
    let twice = vec![LossToleranceAckExtension::default().to_extension(); 2];
    let error = ServerHelloAck { extensions: twice, ..ServerHelloAck::default() }.encode(Header::default());
    assert_eq!(error.unwrap_err().rule, RuleId::EXT_5);
}

#[test]
fn a_result_references_one_tile_index() {
    let key =
        |cache_key_lo| ObjectReferenceBlock { cache_key_lo, ..reference(CacheObjectKind::TileIndexBlock) };
    let references = vec![key(1), key(2)];
    let typed_payloads = vec![TypedPayload::token_chunk("x")];
    assert_eq!(result(ResultFrame { references, typed_payloads, ..ResultFrame::new(1) }), RuleId::OBJ_32);
}
