//! What is built from values reads back as those values, or is refused before there is a packet.

use super::{explains_itself, must, values::Values};
use crate::{
    BodyLayout, CacheObjectKind, ControlExtension, ControlExtensionFlags, EncodedPacket, Header,
    InlineObject, LossToleranceAckExtension, LossToleranceExtension, Message, MessageType,
    ObjectReferenceBlock, Packet, PayloadCapabilitiesAckExtension, PayloadCapabilitiesExtension, PayloadKind,
    ResultFrame, Revision, RuleId, Section, Sections, SubmitFrame, TileIndexMode,
    TransportPolicyAckExtension, TransportPolicyExtension, TypedPayload, WireError,
    extension::{CLIENT_HELLO_EXTENSIONS, SERVER_HELLO_ACK_EXTENSIONS},
    limits::{MAX_CLOSE_REASON_BYTES, MAX_DIAGNOSTIC_SENT_BYTES, MAX_MODEL_NAME_BYTES},
    message::cut_text,
};

/// A message or frame with any values in its fields reads back as them, or is refused.
pub fn values_round_trip(data: &[u8]) {
    let mut values = Values::new(data);
    let outcome = match values.byte() {
        ..0x60 => {
            let frame = values.submit();
            submit_reads_back(&frame, values.u32())
        }
        0x60..0xA0 => {
            let frame = values.result();
            result_reads_back(&frame, values.u32())
        }
        _ => {
            let header = values.header();
            message_reads_back(&values.message(), header)
        }
    };
    if let Err(error) = outcome {
        explains_itself(&error);
    }
}

/// Encodes a message and reads it back; the error is that of encoding.
///
/// # Errors
/// As [`Message::encode`].
pub fn message_reads_back(message: &Message, header: Header) -> Result<EncodedPacket, WireError> {
    let encoded = message.encode(header)?;
    let packet = is_a_packet(&encoded);
    let expected = Header {
        msg_type: message.message_type(),
        meta_len: packet.header.meta_len,
        body_len: packet.header.body_len,
        ..header
    };
    assert_eq!(packet.header, expected);
    match packet.message() {
        Ok(received) => is_the_same(message, &received),
        // A sender may demand that the receiver knows an extension; ours does not.
        Err(error) => assert!(error.rule == RuleId::EXT_3 && demands_the_unknown(message), "{error}"),
    }
    Ok(encoded)
}

/// Encodes a submit and reads it back; the error is that of encoding.
///
/// # Errors
/// As [`SubmitFrame::encode`].
pub fn submit_reads_back(frame: &SubmitFrame, session_id: u32) -> Result<EncodedPacket, WireError> {
    let encoded = frame.encode(session_id, Revision::Current)?;
    let packet = is_a_packet(&encoded);
    let kinds: Vec<u16> = frame.extension_frames.iter().map(|extension| extension.kind).collect();
    match must("reading a submit that was built", packet.message_knowing(&kinds)) {
        Some(Message::FrameSubmit { metadata, body }) => {
            let received = SubmitFrame::from_received(&packet.header, &metadata, &body);
            assert_eq!(received.zero_prelude, body.layout() == BodyLayout::Composed);
            assert_eq!(received, said_by_submit(frame, &received));
            received.sections.iter().for_each(section_alone);
            let again = must("building it again", received.encode(session_id, Revision::Current));
            assert!(again.is_some_and(|again| again.to_bytes() == encoded.to_bytes()));
        }
        other => assert!(other.is_none(), "{other:?}"),
    }
    Ok(encoded)
}

/// Encodes a result and reads it back; the error is that of encoding.
///
/// # Errors
/// As [`ResultFrame::encode`].
pub fn result_reads_back(frame: &ResultFrame, session_id: u32) -> Result<EncodedPacket, WireError> {
    let encoded = frame.encode(session_id, Revision::Current)?;
    let packet = is_a_packet(&encoded);
    let kinds: Vec<u16> = frame.extension_frames.iter().map(|extension| extension.kind).collect();
    match must("reading a result that was built", packet.message_knowing(&kinds)) {
        Some(Message::ResultPush { metadata, body }) => {
            let received = ResultFrame::from_received(&packet.header, &metadata, &body);
            assert_eq!(received, said_by_result(frame));
            received.sections.iter().for_each(section_alone);
            let again = must("building it again", received.encode(session_id, Revision::Current));
            assert!(again.is_some_and(|again| again.to_bytes() == encoded.to_bytes()));
        }
        other => assert!(other.is_none(), "{other:?}"),
    }
    Ok(encoded)
}

/// The pieces are one packet, as long as its header says.
fn is_a_packet(encoded: &EncodedPacket) -> Packet {
    let raw = encoded.to_bytes();
    assert_eq!((raw.len(), raw.len() as u64), (encoded.len(), encoded.header().packet_len()));
    assert!(encoded.pieces().all(|piece| !piece.is_empty()));
    let packet = encoded.to_packet();
    assert_eq!(Packet::decode(raw), Ok(packet.clone()));
    packet
}

fn extensions_of(message: &Message) -> &[ControlExtension] {
    match message {
        Message::ClientHello(hello) => &hello.extensions,
        Message::ServerHelloAck(ack) => &ack.extensions,
        _ => &[],
    }
}

fn demands_the_unknown(message: &Message) -> bool {
    let known = match message.message_type() {
        MessageType::ClientHello => CLIENT_HELLO_EXTENSIONS,
        _ => SERVER_HELLO_ACK_EXTENSIONS,
    };
    extensions_of(message).iter().any(|entry| {
        entry.flags.contains(ControlExtensionFlags::CRITICAL) && !known.contains(&entry.ext_type)
    })
}

/// What was received is what was sent; lengths are filled in by encoding, and texts that are too long are cut.
fn is_the_same(sent: &Message, received: &Message) {
    macro_rules! equal {
        ($sent:ident $received:ident: $($Variant:ident)+) => {
            match (&$sent, $received) {
                $( (Message::$Variant(sent), Message::$Variant(received)) => assert_eq!(sent, received), )+
                _ => assert_eq!($sent.message_type(), $received.message_type()),
            }
        };
    }
    let mut sent = sent.clone();
    match (&mut sent, received) {
        (Message::ClientHello(sent), Message::ClientHello(received)) => {
            sent.metadata.control_extension_bytes = received.metadata.control_extension_bytes;
            sent.metadata.auth_bytes = received.metadata.auth_bytes;
        }
        (Message::ServerHelloAck(sent), Message::ServerHelloAck(received)) => {
            sent.metadata.control_extension_bytes = received.metadata.control_extension_bytes;
            sent.model_name = cut_text(sent.model_name.as_bytes(), MAX_MODEL_NAME_BYTES);
        }
        (Message::SessionPatch(sent), Message::SessionPatch(received)) => {
            sent.metadata.profile_patch_bytes = received.metadata.profile_patch_bytes;
        }
        (Message::SessionPatchAck(sent), Message::SessionPatchAck(received)) => {
            sent.metadata.profile_patch_ack_bytes = received.metadata.profile_patch_ack_bytes;
        }
        (Message::Close(sent), _) => sent.reason = cut_text(sent.reason.as_bytes(), MAX_CLOSE_REASON_BYTES),
        (Message::Error(sent), Message::Error(received)) => {
            sent.metadata.diagnostic_bytes = received.metadata.diagnostic_bytes;
            sent.diagnostic = cut_text(sent.diagnostic.as_bytes(), MAX_DIAGNOSTIC_SENT_BYTES);
        }
        (Message::CachePut(sent), Message::CachePut(received)) => {
            sent.metadata.object_bytes = received.metadata.object_bytes;
        }
        (Message::TransportProbe(sent), Message::TransportProbe(received)) => {
            sent.metadata.probe_payload_bytes = received.metadata.probe_payload_bytes;
        }
        _ => {}
    }
    equal! {
        sent received:
        ClientHello ServerHelloAck SessionPatch SessionPatchAck Close Error CachePut CacheAck CacheInvalidate
        FlowUpdate ResultHint TransportProbe TransportProbeAck SessionMigrate SessionMigrateAck
    }
    extensions_are_typed(extensions_of(received));
}

/// Entries of the handshake's own types are read and written back as they were, or refused.
fn extensions_are_typed(entries: &[ControlExtension]) {
    macro_rules! each {
        ($($Extension:ident)+) => { $(
            match $Extension::find(entries) {
                Ok(found) => assert_eq!(found.is_some(), entries.iter().any(|entry| entry.ext_type == $Extension::TYPE)),
                Err(error) => explains_itself(&error),
            }
            for entry in entries {
                match $Extension::from_extension(entry) {
                    Ok(value) => assert_eq!(value.to_extension().payload, entry.payload),
                    Err(error) => explains_itself(&error),
                }
            }
        )+ };
    }
    each! {
        TransportPolicyExtension TransportPolicyAckExtension LossToleranceExtension LossToleranceAckExtension
        PayloadCapabilitiesExtension PayloadCapabilitiesAckExtension
    }
}

/// A section encoded alone, as for a cache object, is the section.
fn section_alone(section: &Section) {
    let tiles = u16::try_from(section.tiles.len()).ok();
    let Some(table) = must("a section that was sent in a frame", section.encode()) else { return };
    let sections = must("reading a section", Sections::decode(&table, 1, tiles));
    let sections: Vec<_> = sections.into_iter().flatten().map(|view| view.to_section()).collect();
    assert_eq!(sections, [said_by_section(section)]);
}

/// The codec ids of a section without a codec table are all the same; the list may say so or be empty.
fn said_by_section(section: &Section) -> Section {
    let mixed = section.codec_ids.iter().any(|codec| *codec != section.codec_id);
    Section { codec_ids: if mixed { section.codec_ids.clone() } else { Vec::new() }, ..section.clone() }
}

fn said_by_sections(sections: &[Section], referenced: bool) -> Vec<Section> {
    if referenced { Vec::new() } else { sections.iter().map(said_by_section).collect() }
}

/// A count as it is stated for a referenced object, else as it is.
fn said_by_count(stated: Option<u16>, referenced: bool, actual: usize) -> Option<u16> {
    stated.filter(|_| referenced).or_else(|| u16::try_from(actual).ok())
}

fn said_by_objects(objects: &[InlineObject]) -> Vec<InlineObject> {
    let mut objects = objects.to_vec();
    objects.sort_by_key(|object| object.kind.value());
    objects
}

fn kinds(announced: PayloadKind, typed: &[TypedPayload], tensor: bool) -> PayloadKind {
    let own = if tensor { PayloadKind::TENSOR } else { PayloadKind::NONE };
    typed.iter().fold(announced | own, |kinds, payload| kinds | payload.kind)
}

/// The frame as the wire says it: what follows from the rest is stated, what a reference stands for is not there.
fn said_by_submit(frame: &SubmitFrame, received: &SubmitFrame) -> SubmitFrame {
    let index = frame.tile_index_reference.is_some();
    let table = frame.section_table_reference.is_some();
    let tensor = index
        || table
        || frame.camera_reference.is_some()
        || !frame.camera.is_empty()
        || !frame.tile_ids.is_empty()
        || !frame.sections.is_empty();
    SubmitFrame {
        tile_ids: if index { Vec::new() } else { frame.tile_ids.clone() },
        tile_count: said_by_count(frame.tile_count, index, frame.tile_ids.len()),
        sections: said_by_sections(&frame.sections, table),
        section_count: said_by_count(frame.section_count, table, frame.sections.len()),
        objects: said_by_objects(&frame.objects),
        submit_mode: frame.submit_mode.or(received.submit_mode),
        payload_kind: kinds(frame.payload_kind, &frame.typed_payloads, tensor),
        // Whether there is a prelude follows from the rest, except in a frame without payload.
        zero_prelude: received.zero_prelude,
        ..frame.clone()
    }
}

/// The result as the wire says it.
fn said_by_result(frame: &ResultFrame) -> ResultFrame {
    let referenced = |kind| frame.references.iter().any(|reference| reference.object_kind == kind);
    let index = referenced(CacheObjectKind::TileIndexBlock);
    let table = referenced(CacheObjectKind::TensorSectionTable);
    let tile_count = said_by_count(frame.tile_count, index, frame.tile_ids.len());
    let section_count = said_by_count(frame.section_count, table, frame.sections.len());
    let mut references = frame.references.clone();
    references.sort_by_key(|block: &ObjectReferenceBlock| {
        (block.object_kind.value(), block.cache_namespace, block.cache_key_hi, block.cache_key_lo)
    });
    let raw = !index && !frame.tile_ids.is_empty() && frame.tile_index_mode == TileIndexMode::RawU16;
    ResultFrame {
        // A result does not state its mode; no index at all is a dense range.
        tile_index_mode: if raw { TileIndexMode::RawU16 } else { TileIndexMode::DenseRange },
        tile_ids: if index { Vec::new() } else { frame.tile_ids.clone() },
        covered_tile_count: frame
            .covered_tile_count
            .or_else(|| Some(tile_count?.saturating_sub(frame.dropped_tile_count))),
        sections: said_by_sections(&frame.sections, table),
        objects: said_by_objects(&frame.objects),
        payload_kind: kinds(
            frame.payload_kind,
            &frame.typed_payloads,
            tile_count != Some(0) || section_count != Some(0),
        ),
        tile_count,
        section_count,
        references,
        ..frame.clone()
    }
}
