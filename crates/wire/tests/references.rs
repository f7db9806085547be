//! Frames whose objects are in the receiver's cache.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use bytes::Bytes;
use nnrp_wire::{
    CacheObjectKind, FrameBody, Message, ObjectReferenceBlock, ResultFrame, Revision, RuleId, Section,
    SubmitFrame, SubmitMode, TensorDType, TileIndexMode, TypedPayload, tile_index,
};

fn reference(object_kind: CacheObjectKind) -> ObjectReferenceBlock {
    ObjectReferenceBlock { object_kind, cache_key_lo: 9, ..ObjectReferenceBlock::default() }
}

fn section() -> Section {
    Section::new(1, TensorDType::Uint8).tiles([&b"abc"[..], &b"de"[..]])
}

fn by_reference() -> SubmitFrame {
    SubmitFrame {
        tile_index_reference: Some(reference(CacheObjectKind::TileIndexBlock)),
        section_table_reference: Some(reference(CacheObjectKind::TensorSectionTable)),
        tile_count: Some(2),
        section_count: Some(1),
        ..SubmitFrame::new(1)
    }
}

fn body(frame: &SubmitFrame) -> FrameBody {
    match frame.encode(7, Revision::Current).unwrap().to_packet().message().unwrap() {
        Message::FrameSubmit { body, .. } => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_referenced_frame_is_empty_until_it_is_resolved() {
    let frame = body(&by_reference());
    assert_eq!((frame.tile_count(), frame.section_count()), (2, 1));
    assert_eq!((frame.tile_ids().len(), frame.sections().len()), (0, 0));
    let kinds: Vec<_> = frame.references().map(|reference| reference.object_kind).collect();
    assert_eq!(kinds, [CacheObjectKind::TileIndexBlock, CacheObjectKind::TensorSectionTable]);
}

#[test]
fn resolved_objects_take_their_place() {
    let ids = tile_index::encode(TileIndexMode::RawU16, 0, &[8, 3]).unwrap();
    let table = section().encode().unwrap();
    let frame = body(&by_reference())
        .with_resolved(CacheObjectKind::TileIndexBlock, ids)
        .and_then(|frame| frame.with_resolved(CacheObjectKind::TensorSectionTable, table.clone()))
        .unwrap();
    assert_eq!(frame.tile_ids().collect::<Vec<_>>(), [8, 3]);
    let received = frame.sections().next().unwrap();
    assert_eq!(received.to_section(), section());
    assert_eq!(frame.section_table().unwrap(), table);
}

#[test]
fn an_object_that_does_not_fit_is_refused() {
    let frame = body(&by_reference());
    let three = tile_index::encode(TileIndexMode::RawU16, 0, &[1, 2, 3]).unwrap();
    let error = frame.clone().with_resolved(CacheObjectKind::TileIndexBlock, three).unwrap_err();
    assert_eq!(error.rule, RuleId::OBJ_25);
    let error =
        frame.with_resolved(CacheObjectKind::TensorSectionTable, Bytes::from_static(b"no")).unwrap_err();
    assert_eq!(error.rule, RuleId::OBJ_25);
}

#[test]
fn objects_that_are_not_referenced_stay_as_they_are() {
    let frame = SubmitFrame { tile_ids: vec![1], ..SubmitFrame::new(1) };
    let frame =
        body(&frame).with_resolved(CacheObjectKind::TileIndexBlock, Bytes::from_static(&[9, 0])).unwrap();
    assert_eq!(frame.tile_ids().collect::<Vec<_>>(), [1]);
}

#[test]
fn the_mode_follows_from_the_references() {
    let mode = |frame: &SubmitFrame| match frame
        .encode(7, Revision::Current)
        .unwrap()
        .to_packet()
        .message()
        .unwrap()
    {
        Message::FrameSubmit { metadata, .. } => metadata.submit_mode,
        other => panic!("{other:?}"),
    };
    assert_eq!(mode(&SubmitFrame::new(1)), SubmitMode::Inline);
    assert_eq!(mode(&by_reference()), SubmitMode::Reference);
    let with_camera = SubmitFrame { camera: Bytes::from_static(b"cam"), ..by_reference() };
    assert_eq!(mode(&with_camera), SubmitMode::Mixed);
}

#[test]
fn what_every_receiver_refuses_is_not_sent() {
    let refusal = |frame: SubmitFrame| frame.encode(7, Revision::Current).unwrap_err().rule;
    let asked = |mode| SubmitFrame { submit_mode: Some(mode), ..by_reference() };
    assert_eq!(refusal(asked(SubmitMode::Inline)), RuleId::OBJ_10);
    assert_eq!(
        refusal(SubmitFrame { submit_mode: Some(SubmitMode::Mixed), ..SubmitFrame::new(1) }),
        RuleId::OBJ_11
    );
    let camera = SubmitFrame { camera: Bytes::from_static(b"cam"), ..asked(SubmitMode::Reference) };
    assert_eq!(refusal(camera), RuleId::OBJ_12);
    let wrong_kind =
        SubmitFrame { camera_reference: Some(reference(CacheObjectKind::ToolSchema)), ..SubmitFrame::new(1) };
    assert_eq!(refusal(wrong_kind), RuleId::OBJ_13);
    let both = SubmitFrame {
        camera: Bytes::from_static(b"cam"),
        camera_reference: Some(reference(CacheObjectKind::CameraBlock)),
        ..SubmitFrame::new(1)
    };
    assert_eq!(refusal(both), RuleId::OBJ_14);
}

#[test]
fn results_carry_references_only_beside_a_typed_payload() {
    let references = vec![reference(CacheObjectKind::ToolSchema), reference(CacheObjectKind::PromptSegment)];
    let alone = ResultFrame { references: references.clone(), ..ResultFrame::new(1) };
    assert!(alone.encode(7, Revision::Current).is_err());
    let frame = ResultFrame {
        references,
        typed_payloads: vec![TypedPayload::structured_event("{}")],
        ..ResultFrame::new(1)
    };
    let packet = frame.encode(7, Revision::Current).unwrap().to_packet();
    let Message::ResultPush { body, .. } = packet.message().unwrap() else { panic!() };
    let kinds: Vec<_> = body.references().map(|reference| reference.object_kind).collect();
    assert_eq!(kinds, [CacheObjectKind::PromptSegment, CacheObjectKind::ToolSchema]);
}

#[test]
fn the_length_of_a_results_referenced_index_tells_its_mode() {
    let frame = ResultFrame {
        references: vec![reference(CacheObjectKind::TileIndexBlock)],
        tile_count: Some(2),
        tile_ids: vec![],
        typed_payloads: vec![TypedPayload::token_chunk("x")],
        tile_base_id: 4,
        covered_tile_count: Some(2),
        ..ResultFrame::new(1)
    };
    let packet = frame.encode(7, Revision::Current).unwrap().to_packet();
    let Message::ResultPush { body, .. } = packet.message().unwrap() else { panic!() };
    let ids = |object: &'static [u8]| {
        let object = Bytes::from_static(object);
        let resolved = body.clone().with_resolved(CacheObjectKind::TileIndexBlock, object).unwrap();
        resolved.tile_ids().collect::<Vec<_>>()
    };
    assert_eq!(ids(b""), [4, 5]);
    assert_eq!(ids(&[9, 0, 1, 0]), [9, 1]);
}
