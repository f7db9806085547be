//! The golden packets of the published peer: same values, same bytes, same refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{hex, known_kinds, packet_of, read, vectors};
use nnrp_wire::{BodyLayout, FrameBody, Message, Packet, ResultFrame, Revision, StructSpec, SubmitFrame};
use serde_json::Value;

fn name(vector: &Value) -> &str {
    vector["name"].as_str().unwrap()
}

#[test]
fn headers_have_the_peers_values() {
    for vector in vectors("valid.json") {
        let header = Packet::decode(packet_of(&vector)).unwrap().header;
        let ours = [
            u64::from(header.msg_type.value()),
            header.flags.bits().into(),
            header.meta_len.into(),
            header.body_len.into(),
            header.session_id.into(),
            header.frame_id.into(),
            header.view_id.into(),
            header.route_id.into(),
            header.trace_id,
        ];
        let peers: Vec<u64> =
            vector["header"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(ours[..], peers[..], "{}", name(&vector));
    }
}

/// One field of a layout, read by its table.
fn field_of(spec: &StructSpec, bytes: &[u8], field: &str) -> u64 {
    let row =
        spec.fields.iter().find(|row| row.name == field).unwrap_or_else(|| panic!("{}.{field}", spec.name));
    bytes[row.offset..row.offset + row.size]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[test]
fn metadata_has_the_peers_values_at_the_places_of_our_tables() {
    for vector in vectors("valid.json") {
        let packet = Packet::decode(packet_of(&vector)).unwrap();
        let spec = Revision::Current.message(packet.header.msg_type).unwrap().metadata;
        let Some(fields) = vector["metadata"].as_object() else {
            assert!(spec.is_none(), "{}", name(&vector));
            continue;
        };
        let spec = spec.unwrap();
        for (field, value) in fields {
            // The peer's class shortens this one name.
            let field =
                if spec.name == "FlowUpdateMetadata" && field == "flags" { "flow_flags" } else { field };
            assert_eq!(
                Some(field_of(spec, &packet.metadata, field)),
                value.as_u64(),
                "{} {field}",
                name(&vector)
            );
        }
    }
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().into_iter().flatten().map(|number| number.as_u64().unwrap()).collect()
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn assert_frame(name: &str, body: &FrameBody, frame: &Value, known: &[u16]) {
    let tiles: Vec<u64> = body.tile_ids().map(u64::from).collect();
    assert_eq!(tiles, numbers(&frame["tiles"]), "{name} tiles");
    assert_eq!(
        body.camera().unwrap_or_default(),
        hex(frame["camera"].as_str().unwrap_or("")),
        "{name} camera"
    );

    assert_eq!(body.sections().len(), rows(&frame["sections"]).len(), "{name} sections");
    for (section, row) in body.sections().zip(rows(&frame["sections"])) {
        let desc = section.desc;
        let ours = [
            u64::from(desc.role_id),
            desc.codec_id.into(),
            desc.dtype_id.value().into(),
            desc.layout_id.value().into(),
            desc.scale_policy.value().into(),
            desc.element_count_per_tile.into(),
            desc.payload_stride_bytes.into(),
        ];
        assert_eq!(ours[..], numbers(&Value::from(row.as_array().unwrap()[..7].to_vec())), "{name}");
        assert_eq!(section.codec_table(), hex(row[7].as_str().unwrap()), "{name} codec table");
        let tiles: Vec<_> = rows(&row[8]).iter().map(|tile| hex(tile.as_str().unwrap())).collect();
        assert_eq!(section.tiles().collect::<Vec<_>>(), tiles, "{name} tiles of a section");
    }

    assert_eq!(body.typed_payloads().len(), rows(&frame["typed"]).len(), "{name} typed payloads");
    for (payload, row) in body.typed_payloads().zip(rows(&frame["typed"])) {
        assert_eq!(Some(u64::from(payload.kind.bits())), row[0].as_u64(), "{name}");
        assert_eq!(Some(u64::from(payload.profile_id)), row[1].as_u64(), "{name}");
        assert_eq!(payload.data, hex(row[2].as_str().unwrap()), "{name}");
    }
    let references: Vec<_> = body
        .references()
        .map(|one| [one.object_kind.value(), one.cache_namespace, one.cache_key_hi, one.cache_key_lo])
        .map(|numbers| numbers.map(u64::from).to_vec())
        .collect();
    assert_eq!(references, rows(&frame["references"]).iter().map(numbers).collect::<Vec<_>>(), "{name}");
    let extensions: Vec<_> = body
        .extension_frames()
        .filter(|frame| known.contains(&frame.kind))
        .map(|frame| (u64::from(frame.kind), u64::from(frame.profile_id), frame.data))
        .collect();
    let peers: Vec<_> = rows(&frame["extensions"])
        .iter()
        .map(|row| (row[0].as_u64().unwrap(), row[1].as_u64().unwrap(), hex(row[2].as_str().unwrap())))
        .collect();
    assert_eq!(extensions, peers, "{name} extension frames");
}

#[test]
fn bodies_have_the_peers_values() {
    let mut frames = 0;
    for vector in vectors("valid.json") {
        let known = known_kinds(&vector);
        let (_, message) = read(packet_of(&vector), &known).unwrap();
        if let Message::FrameSubmit { body, .. } | Message::ResultPush { body, .. } = message {
            assert_frame(name(&vector), &body, &vector["frame"], &known);
            frames += 1;
        }
    }
    assert!(frames > 80, "only {frames} frames");
}

#[test]
fn decoding_and_encoding_gives_the_same_bytes() {
    for vector in vectors("valid.json") {
        let raw = packet_of(&vector);
        let (packet, message) = read(raw.clone(), &known_kinds(&vector)).unwrap_or_else(|error| {
            panic!("{}: {error}", name(&vector));
        });
        assert_eq!(packet.to_bytes(), raw, "{} as a packet", name(&vector));
        assert_eq!(message.encode(packet.header).unwrap().to_bytes(), raw, "{} as a message", name(&vector));
    }
}

#[test]
fn frames_built_from_the_decoded_values_are_the_peers_bytes() {
    let mut rebuilt = 0;
    for vector in vectors("valid.json") {
        let raw = packet_of(&vector);
        let (packet, message) = read(raw.clone(), &known_kinds(&vector)).unwrap();
        let session_id = packet.header.session_id;
        let encoded = match &message {
            // Reserved fields are written as zero, and a body without announced payload is not repeated.
            _ if name(&vector).ends_with("-reserved") => continue,
            Message::ResultPush { body, .. } if body.layout() == BodyLayout::Skipped => continue,
            // Without payload, results have no body; the peer reads the zero prelude too.
            Message::ResultPush { .. } if name(&vector).ends_with("-zero-prelude") => continue,
            Message::FrameSubmit { metadata, body } => {
                SubmitFrame::from_received(&packet.header, metadata, body)
                    .encode(session_id, Revision::Current)
            }
            Message::ResultPush { metadata, body } => {
                ResultFrame::from_received(&packet.header, metadata, body)
                    .encode(session_id, Revision::Current)
            }
            _ => continue,
        };
        assert_eq!(encoded.unwrap().to_bytes(), raw, "{}", name(&vector));
        rebuilt += 1;
    }
    assert!(rebuilt > 70, "only {rebuilt} frames");
}

#[test]
fn what_the_peer_refuses_is_refused() {
    for vector in vectors("invalid.json") {
        let peer = vector["peer"].as_str().unwrap();
        let ours = read(packet_of(&vector), &known_kinds(&vector));
        if !peer.is_empty() {
            assert!(ours.is_err(), "{} with {} is taken; the peer: {peer}", name(&vector), vector["defect"]);
        }
    }
}
