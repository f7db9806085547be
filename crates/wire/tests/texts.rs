//! What people read: error texts that programs match on, names, and what is never printed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use bytes::Bytes;
use nnrp_wire::{
    Answer, BudgetPolicy, CacheObjectKind, ControlExtensions, Detail, ErrorCode, FlowUpdateFlags,
    FlowUpdateMetadata, FlowUpdateScopeKind, FrameSubmitMetadata, Header, HeaderFlags,
    LossToleranceExtension, Message, MessageType, Packet, Part, PayloadCapabilitiesExtension, PayloadKind,
    ResultPushMetadata, RuleId, Section, SessionMigrate, SessionMigrateMetadata, SessionPatchMetadata,
    SubmitFrame, TensorDType, TileIndexMode, TransportId, TransportPolicyAckExtension, TypedPayload,
    TypedPayloadDescriptor, TypedPayloads, WireError, tile_index,
};

fn sentence<T: std::fmt::Debug>(result: Result<T, WireError>) -> String {
    result.unwrap_err().sentence().to_string()
}

fn read(header: Header, metadata: &[u8], body: &'static [u8]) -> Result<Message, WireError> {
    Packet::build(header, Bytes::copy_from_slice(metadata), Bytes::from_static(body)).message()
}

/// Sentences that existing programs look for.
#[test]
fn fragments_that_programs_match() {
    let mut raw = Header::new(MessageType::Ping).encode();
    raw[5] = 2;
    assert_eq!(sentence(Header::decode(&raw)), "2 is not a valid WireFormat");
    raw[7] = 41;
    raw[5] = 0;
    assert!(sentence(Header::decode(&raw)).contains("unexpected header_len"));
    raw[0] = 0;
    assert!(sentence(Header::decode(&raw)).contains("unexpected magic"));

    let migrate = SessionMigrateMetadata {
        old_transport_id: TransportId::Unknown(3),
        new_transport_id: TransportId::Tcp,
        ..SessionMigrateMetadata::default()
    };
    assert_eq!(sentence(migrate.check()), "3 is not a valid TransportId");
    let unspecified = SessionMigrateMetadata { old_transport_id: TransportId::Unspecified, ..migrate };
    assert_eq!(sentence(unspecified.check()), "transport id must not be unspecified");

    assert_eq!(sentence(nnrp_wire::ResultHintMetadata::decode(&[0; 3])), "expected 16 bytes, got 3");

    let tensor =
        FrameSubmitMetadata { payload_kind_bitmap: PayloadKind::TENSOR, ..FrameSubmitMetadata::default() };
    let budget = FrameSubmitMetadata { budget_policy: BudgetPolicy::from_bits(0x10), ..tensor };
    assert!(sentence(budget.check()).contains("budget_policy contains unknown bits"));
    let kinds = FrameSubmitMetadata { payload_kind_bitmap: PayloadKind::from_bits(0x80), ..tensor };
    assert!(sentence(kinds.check()).contains("payload_kind_bitmap contains unknown bits"));
    let tiles = FrameSubmitMetadata { tile_count: 1, ..FrameSubmitMetadata::default() };
    assert!(sentence(tiles.check()).contains("tile_count must be 0"));
    let covered = ResultPushMetadata { covered_tile_count: 1, ..ResultPushMetadata::default() };
    assert!(sentence(covered.check()).contains("covered_tile_count must be 0"));
}

#[test]
fn fragments_about_control_messages() {
    let block = |bytes: &'static [u8]| {
        ControlExtensions::decode(&Bytes::from_static(bytes), Some(&[]), MessageType::ClientHello)
    };
    assert!(sentence(block(&[0; 4])).contains("truncated control extension"));
    assert_eq!(
        sentence(block(&[1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
        "control extension padding must be zero"
    );
    assert_eq!(
        sentence(block(&[2, 0x80, 1, 0, 0, 0, 0, 0])),
        "unknown critical control extension type: 0x8002"
    );
    let loss = LossToleranceExtension::default();
    assert!(
        sentence(TransportPolicyAckExtension::from_extension(&loss.to_extension()))
            .contains("unexpected server hello ack transport extension type")
    );
    let mut reserved = loss;
    reserved.reserved1 = 1;
    assert!(sentence(reserved.check()).contains("reserved fields must be zero"));
    assert_eq!(reserved.check().unwrap_err().code(), ErrorCode::MalformedBody);
    let mut kinds = PayloadCapabilitiesExtension {
        payload_kind_bitmap: PayloadKind::from_bits(0x80),
        ..Default::default()
    };
    assert!(sentence(kinds.check()).contains("unknown payload kind bits"));
    kinds = PayloadCapabilitiesExtension { critical_extension_frame_bitmap: 1, ..Default::default() };
    assert!(sentence(kinds.check()).contains("critical extension frame bitmap must be zero"));

    let update =
        FlowUpdateMetadata { scope_kind: FlowUpdateScopeKind::Session, ..FlowUpdateMetadata::default() };
    let wrong_scope = FlowUpdateMetadata { connection_credit: 1, ..update };
    assert!(sentence(wrong_scope.check()).contains("session-scope FLOW_UPDATE"));
    let flags = FlowUpdateMetadata { flow_flags: FlowUpdateFlags::from_bits(0x10), ..update };
    assert!(sentence(flags.check()).contains("unknown FLOW_UPDATE flags"));
    let retry = FlowUpdateMetadata { retry_after_ms: 1, ..update };
    assert!(sentence(retry.check()).contains("retry_after_ms requires RETRY_AFTER_VALID"));

    let patch = SessionPatchMetadata { profile_patch_bytes: 8, ..SessionPatchMetadata::default() };
    assert!(sentence(patch.check()).contains("must be 0 or 16"));
    let header = Header::new(MessageType::SessionPatch);
    let empty = SessionPatchMetadata::default().encode();
    assert!(sentence(read(header, &empty, &[0; 16])).contains("expected empty SESSION_PATCH body"));
    let ack =
        nnrp_wire::SessionPatchAckMetadata { profile_patch_ack_bytes: 16, ..Default::default() }.encode();
    let header = Header::new(MessageType::SessionPatchAck);
    assert!(sentence(read(header, &ack, b"")).contains("expected 16 SESSION_PATCH_ACK body bytes"));
}

#[test]
fn fragments_about_bodies() {
    let descriptor = |bits| TypedPayloadDescriptor {
        payload_kind: PayloadKind::from_bits(bits),
        ..TypedPayloadDescriptor::default()
    };
    assert!(sentence(descriptor(3).check()).contains("payload_kind must contain exactly one"));
    assert!(sentence(descriptor(1).check()).contains("tensor payloads must be encoded"));
    let odd = TypedPayloads::decode(&Bytes::from_static(&[0; 17]), &Bytes::new());
    assert!(sentence(odd).contains("typed_payload_descriptor_bytes must be a multiple"));
    let extension = nnrp_wire::ExtensionFrameDescriptor {
        extension_flags: nnrp_wire::ExtensionFrameFlags::from_bits(2),
        ..Default::default()
    };
    assert!(sentence(extension.check()).contains("extension_flags contains unknown bits"));

    let dense = tile_index::encode(TileIndexMode::DenseRange, 5, &[5, 7]);
    assert!(sentence(dense).contains("dense_range tile ids must be contiguous"));
    let bitset = tile_index::decode(TileIndexMode::Bitset, 0, 2, &Bytes::from_static(&[7]));
    assert_eq!(sentence(bitset), "bitset decoded 3 tile ids, expected 2");
    let section = |role| Section::new(role, TensorDType::Uint8);
    let unordered = SubmitFrame { sections: vec![section(2), section(1)], ..SubmitFrame::default() };
    assert!(sentence(unordered.encode(1, Default::default())).contains("tensor sections must be ordered"));
    assert!(sentence(section(1).stride(2).tiles([&b"abc"[..]]).encode()).contains("exceeds fixed stride"));
}

#[test]
fn an_error_says_what_where_and_by_which_rule() {
    let metadata = FrameSubmitMetadata { frame_class: 9.into(), ..FrameSubmitMetadata::default() };
    let error = metadata.check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "9 is not a valid FrameClass (FRAME_SUBMIT metadata, frame_class at offset 12, R-SUB-1)"
    );
    assert_eq!((error.part, error.offset, error.rule), (Part::Metadata, 12, RuleId::SUB_1));
    assert_eq!(error.detail, Detail::NotAssigned { table: "FrameClass", value: 9 });
    assert_eq!((error.code(), error.answer()), (ErrorCode::UnsupportedCapability, Answer::Frame));
    assert_eq!(error.answer().before_active(), Answer::Fatal);
}

#[test]
fn names_are_printed_and_unknown_numbers_are_hex() {
    assert_eq!(MessageType::FrameSubmit.to_string(), "FRAME_SUBMIT");
    assert_eq!(format!("{:?}", MessageType::from(0x22)), "0x22");
    assert_eq!((HeaderFlags::EOS | HeaderFlags::from_bits(0x100)).to_string(), "EOS|0x100");
    assert_eq!(HeaderFlags::NONE.to_string(), "NONE");
    assert_eq!(CacheObjectKind::from(2).name(), Some("TILE_INDEX_BLOCK"));
    assert_eq!(CacheObjectKind::from(0).name(), None);
}

#[test]
fn payloads_and_credentials_are_not_printed() {
    let secret = "correct horse battery staple";
    let migrate =
        SessionMigrate { token: Bytes::from_static(secret.as_bytes()), ..SessionMigrate::default() };
    assert!(!format!("{migrate:?}").contains("horse"));
    let frame =
        SubmitFrame { typed_payloads: vec![TypedPayload::token_chunk(secret)], ..SubmitFrame::new(1) };
    let packet = frame.encode(1, Default::default()).unwrap().to_packet();
    assert!(!format!("{packet:?}").contains("horse"));
    assert!(!format!("{:?}", packet.message().unwrap()).contains("horse"));
    assert!(!format!("{:?}", packet.encode()).contains("horse"));
}
