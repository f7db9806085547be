//! The properties every packet has, as functions over arbitrary bytes.
//!
//! Unit tests, property tests, the replay test and the fuzz targets call the same functions. Each one may be given anything and
//! fails by panicking when a property does not hold.

mod build;
mod values;

use bytes::Bytes;

pub use build::{message_reads_back, result_reads_back, submit_reads_back, values_round_trip};

use crate::{
    BodyLayout, BodyRegions, CacheObjectKind, ControlExtensions, ExtensionFrames, FrameBody,
    FrameSubmitMetadata, Header, InlineObjects, Limits, Message, MessageType, ObjectReferences, Packet,
    Phase, ResultFrame, ResultPushMetadata, Revision, Sections, SubmitFrame, TensorSectionDesc,
    TileIndexMode, TypedPayloads, WireError, check_lengths,
    extension::{CLIENT_HELLO_EXTENSIONS, SERVER_HELLO_ACK_EXTENSIONS},
    reader, tile_index,
};

/// Every refusal has a sentence, a place and an answer.
fn explains_itself(error: &WireError) {
    assert!(!error.sentence().to_string().is_empty());
    assert!(error.to_string().ends_with(&format!("{})", error.rule)));
    assert!(format!("{error:?}").contains(&error.to_string()));
    assert!(error.code().is_assigned());
    let _ = error.answer().before_active();
}

/// A header is written back as it was read, and its lengths are judged without a panic.
pub fn header_round_trips(data: &[u8]) {
    let Some(raw) = reader::array_at::<{ Header::LEN }>(data, 0) else { return };
    match Header::decode(raw) {
        Ok(header) => {
            assert_eq!(&header.encode(), raw);
            for phase in [Phase::BeforeActive, Phase::Active] {
                match check_lengths(&header, &Limits::default(), phase) {
                    Ok(spec) => {
                        assert!(header.packet_len() <= 40 + 80 + u64::from(u32::MAX) && spec.meta_len <= 80);
                    }
                    Err(error) => explains_itself(&error),
                }
            }
        }
        Err(error) => explains_itself(&error),
    }
}

/// A packet is written back as it was read; a message that is accepted is accepted again after encoding, and encodes to the
/// same bytes from then on.
pub fn packet_round_trips(data: &[u8]) {
    let raw = Bytes::copy_from_slice(data);
    let packet = match Packet::decode(raw.clone()) {
        Ok(packet) => packet,
        Err(error) => return explains_itself(&error),
    };
    assert_eq!(packet.to_bytes(), raw);
    let encoded = packet.encode();
    assert_eq!((encoded.len(), encoded.header()), (raw.len(), &packet.header));
    assert_eq!(encoded.to_packet(), packet);
    assert!(!format!("{packet:?}{encoded:?}").is_empty());
    assert_eq!(encoded.into_pieces().collect::<Vec<_>>().concat(), raw);
    assert_eq!(packet.check_parts(), Ok(()));
    // Extension frames that are critical are accepted too, so that what is behind them is reached.
    let every_kind: Vec<u16> = (0..32).collect();
    let message = match packet.message_knowing(&every_kind) {
        Ok(message) => message,
        Err(error) => return explains_itself(&error),
    };
    assert_eq!(message.message_type(), packet.header.msg_type);
    assert!(!format!("{message:?}").is_empty());
    let Some(encoded) = must("encoding an accepted message", message.encode(packet.header)) else { return };
    let again =
        encoded.to_packet().message_knowing(&every_kind).and_then(|message| message.encode(packet.header));
    let Some(again) = must("decoding our own packet", again) else { return };
    assert_eq!(again.to_bytes(), encoded.to_bytes());
    match &message {
        Message::FrameSubmit { metadata, body } => submit_is_consistent(&packet.header, metadata, body),
        Message::ResultPush { metadata, body } => result_is_consistent(&packet.header, metadata, body),
        _ => {}
    }
}

/// What a step that cannot fail gives.
fn must<T>(step: &str, result: Result<T, WireError>) -> Option<T> {
    assert!(result.is_ok(), "{step}: {:?}", result.as_ref().err());
    result.ok()
}

/// Fixed metadata is written back as it was read, for every message type.
pub fn metadata_round_trips(data: &[u8]) {
    macro_rules! each {
        ($($Type:ident)+) => { $(
            if let Some(raw) = reader::array_at::<{ crate::$Type::LEN }>(data, 0) {
                match crate::$Type::decode(raw) {
                    Ok(value) => {
                        assert_eq!(&value.encode(), raw);
                        assert_eq!(value.check(), Ok(()));
                    }
                    Err(error) => explains_itself(&error),
                }
            }
            if let Err(error) = crate::$Type::decode(data) {
                explains_itself(&error);
            }
        )+ };
    }
    each! {
        ClientHelloMetadata ServerHelloAckMetadata SessionPatchMetadata SessionPatchAckMetadata TensorProfilePatchBlock
        TensorProfilePatchAckBlock ErrorMetadata FrameSubmitMetadata ResultPushMetadata CachePutMetadata CacheAckMetadata
        CacheInvalidateMetadata FlowUpdateMetadata ResultHintMetadata TransportProbeMetadata TransportProbeAckMetadata
        SessionMigrateMetadata SessionMigrateAckMetadata BodyRegionPrelude InlineObjectBlockHeader ObjectReferenceBlock
        TypedPayloadDescriptor ExtensionFrameDescriptor TensorSectionDesc TransportPolicyExtension
        TransportPolicyAckExtension LossToleranceExtension LossToleranceAckExtension PayloadCapabilitiesExtension
        PayloadCapabilitiesAckExtension
    }
}

/// The body of a submit (metadata, then body) is refused or consistent.
pub fn submit_body(data: &[u8]) {
    let Some(raw) = reader::array_at::<{ FrameSubmitMetadata::LEN }>(data, 0) else { return };
    let body = Bytes::copy_from_slice(data.get(raw.len()..).unwrap_or_default());
    // Also with metadata that would be refused: the body's decoder must not rely on that.
    let metadata = FrameSubmitMetadata::parse(raw);
    parts_alone(&body, metadata.section_count);
    match FrameBody::decode_submit(&metadata, &body, &[]) {
        Ok(frame) if metadata.check().is_ok() => {
            submit_is_consistent(&Header::new(MessageType::FrameSubmit), &metadata, &frame);
        }
        Ok(frame) => walk(&frame),
        Err(error) => explains_itself(&error),
    }
}

/// The body of a result (metadata, then body) is refused or consistent.
pub fn result_body(data: &[u8]) {
    let Some(raw) = reader::array_at::<{ ResultPushMetadata::LEN }>(data, 0) else { return };
    let body = Bytes::copy_from_slice(data.get(raw.len()..).unwrap_or_default());
    let metadata = ResultPushMetadata::parse(raw);
    parts_alone(&body, metadata.section_count);
    match FrameBody::decode_result(&metadata, &body, &[]) {
        Ok(frame) if metadata.check().is_ok() => {
            result_is_consistent(&Header::new(MessageType::ResultPush), &metadata, &frame);
        }
        Ok(frame) => walk(&frame),
        Err(error) => explains_itself(&error),
    }
}

/// The parts of a body are refused or readable without the metadata around them, whatever bytes they are given.
fn parts_alone(body: &Bytes, section_count: u16) {
    let check = |decoded: Result<usize, WireError>| match decoded {
        // The smallest of them takes 16 bytes.
        Ok(items) => assert!(items <= body.len() / 16),
        Err(error) => explains_itself(&error),
    };
    check(InlineObjects::decode(body).map(Iterator::count));
    check(ObjectReferences::decode(body).map(Iterator::count));
    check(Sections::decode(body, section_count, None).map(Iterator::count));
    check(TypedPayloads::decode(body, body).map(Iterator::count));
    check(ExtensionFrames::decode(body, body, None).map(Iterator::count));
    if let Err(error) = BodyRegions::decode(body) {
        explains_itself(&error);
    }
}

/// Objects that stand for references later, fitting or not, are refused or give a consistent frame.
fn resolve(frame: &FrameBody) {
    let Some(reference) = frame.references().next() else { return };
    let objects = [Bytes::new(), Bytes::copy_from_slice(&reference.encode()), frame.body().clone()];
    let own = [frame.camera(), frame.tile_index_block(), frame.section_table()];
    for object in objects.into_iter().chain(own.into_iter().flatten()) {
        for kind in [
            CacheObjectKind::CameraBlock,
            CacheObjectKind::TileIndexBlock,
            CacheObjectKind::TensorSectionTable,
        ] {
            match frame.clone().with_resolved(kind, object.clone()) {
                Ok(resolved) => visit(&resolved),
                Err(error) => explains_itself(&error),
            }
        }
    }
}

/// A block of control extensions is written back as it was read.
pub fn control_extensions(data: &[u8]) {
    let block = Bytes::copy_from_slice(data);
    for (known, message) in [
        (None, MessageType::Error),
        (Some(CLIENT_HELLO_EXTENSIONS), MessageType::ClientHello),
        (Some(SERVER_HELLO_ACK_EXTENSIONS), MessageType::ServerHelloAck),
    ] {
        match ControlExtensions::decode(&block, known, message) {
            Ok(entries) => {
                assert_eq!(ControlExtensions::encode(&entries), Ok(block.clone()));
                if let Err(error) = crate::extension::check_typed(&entries, message) {
                    explains_itself(&error);
                }
            }
            Err(error) => explains_itself(&error),
        }
    }
}

/// A tile index (mode, base, count, block) is refused or says the same ids when written again.
pub fn tile_index(data: &[u8]) {
    let Some(head) = reader::array_at::<7>(data, 0) else { return };
    let mode = TileIndexMode::from(reader::u8(head, 0) % 5);
    let (base, count) = (reader::u32(head, 1), reader::u16(head, 5));
    let block = Bytes::copy_from_slice(data.get(head.len()..).unwrap_or_default());
    match tile_index::decode(mode, base, count, &block) {
        Ok(ids) => {
            assert_eq!(ids.len(), usize::from(count));
            let ids: Vec<u16> = ids.collect();
            assert_eq!(ids.len(), usize::from(count));
            let again = tile_index::encode(mode, base, &ids);
            let same = again.is_ok_and(|again| block.starts_with(&again));
            assert!(same, "the ids of an accepted block do not encode to it");
        }
        Err(error) => explains_itself(&error),
    }
}

/// Visits everything a body holds, and what it may hold once its references are resolved.
fn walk(frame: &FrameBody) {
    visit(frame);
    resolve(frame);
}

/// Visits everything a body holds and checks that the numbers agree.
fn visit(frame: &FrameBody) {
    let ids = frame.tile_ids();
    assert_eq!(ids.len(), ids.count());
    let mut sections = 0;
    for section in frame.sections() {
        sections += 1;
        assert_eq!(section.tile_count(), frame.tile_count());
        assert_eq!(section.tiles().len(), section.tile_count());
        let lengths: Vec<usize> = section.tile_lengths().map(|length| length as usize).collect();
        let tiles: Vec<usize> = section.tiles().map(|tile| tile.len()).collect();
        assert_eq!(lengths, tiles);
        assert!(tiles.iter().sum::<usize>() <= section.payload().len());
        assert_eq!(
            section.total_bytes(),
            TensorSectionDesc::LEN
                + section.codec_table().len()
                + section.length_table().len()
                + section.payload().len()
        );
    }
    assert_eq!(sections, frame.sections().len());
    assert!(sections == frame.section_count() || frame.section_table().is_none());
    assert_eq!(frame.prelude().is_some(), frame.layout() == BodyLayout::Composed);
    assert_eq!(frame.typed_payloads().len(), frame.typed_payloads().count());
    assert_eq!(frame.references().len(), frame.references().count());
    assert_eq!(frame.extension_frames().len(), frame.extension_frames().count());
    let inside: usize = frame.typed_payloads().map(|payload| payload.data.len()).sum::<usize>()
        + frame.inline_objects().map(|object| object.data.len()).sum::<usize>()
        + frame.extension_frames().map(|extension| extension.data.len()).sum::<usize>();
    assert!(inside <= frame.body().len());
    if let Err(error) = frame.check_limits(&Limits::default()) {
        explains_itself(&error);
    }
    assert!(!format!("{frame:?}").is_empty());
}

fn same_content(one: &FrameBody, other: &FrameBody) {
    assert!(one.tile_ids().eq(other.tile_ids()));
    assert_eq!(one.camera().unwrap_or_default(), other.camera().unwrap_or_default());
    assert!(one.typed_payloads().eq(other.typed_payloads()));
    assert!(one.references().eq(other.references()));
    assert!(one.extension_frames().eq(other.extension_frames()));
    assert_eq!(one.sections().len(), other.sections().len());
    for (one, other) in one.sections().zip(other.sections()) {
        assert_eq!(one.role_id(), other.role_id());
        assert!(one.tiles().eq(other.tiles()));
        assert!((0..one.tile_count()).all(|tile| one.codec_id(tile) == other.codec_id(tile)));
    }
}

/// A submit that was accepted can be sent on and holds the same there.
fn submit_is_consistent(header: &Header, metadata: &FrameSubmitMetadata, frame: &FrameBody) {
    walk(frame);
    let encoded =
        SubmitFrame::from_received(header, metadata, frame).encode(header.session_id, Revision::Current);
    let Some(encoded) = must("sending an accepted submit on", encoded) else { return };
    let kinds: Vec<u16> = frame.extension_frames().map(|extension| extension.kind).collect();
    match must("reading a submit that was sent on", encoded.to_packet().message_knowing(&kinds)) {
        Some(Message::FrameSubmit { body, .. }) => same_content(frame, &body),
        other => assert!(other.is_none(), "{other:?}"),
    }
}

/// A result that was accepted can be sent on and holds the same there.
fn result_is_consistent(header: &Header, metadata: &ResultPushMetadata, frame: &FrameBody) {
    walk(frame);
    if frame.layout() == BodyLayout::Skipped {
        return;
    }
    let encoded =
        ResultFrame::from_received(header, metadata, frame).encode(header.session_id, Revision::Current);
    let Some(encoded) = must("sending an accepted result on", encoded) else { return };
    let kinds: Vec<u16> = frame.extension_frames().map(|extension| extension.kind).collect();
    match must("reading a result that was sent on", encoded.to_packet().message_knowing(&kinds)) {
        Some(Message::ResultPush { body, .. }) => same_content(frame, &body),
        other => assert!(other.is_none(), "{other:?}"),
    }
}
