//! Properties over generated messages: what is encoded decodes to the same values, whatever the values are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod control;
mod frames;

use bytes::Bytes;
use nnrp_wire::{
    FlowUpdateScopeKind, Header, HeaderFlags, Message, MessageType, Packet, ResultFrame, Revision, Section,
    SubmitFrame, check, tile_index,
};
use proptest::{collection::vec, prelude::*};

use control::control_message;
use frames::{ALL_MODES, result_frame, submit_frame, tensors};

/// One of the assigned values of an enumeration.
macro_rules! assigned {
    ($Type:ident) => {
        (0..$Type::TABLE.len()).prop_map(|row| $Type::from($Type::TABLE[row].1))
    };
}
pub(crate) use assigned;

pub(crate) fn bytes(longest: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=longest).prop_map(Bytes::from)
}

fn header() -> impl Strategy<Value = Header> {
    (any::<u32>(), any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>(), any::<u64>()).prop_map(
        |(flags, session_id, frame_id, view_id, route_id, trace_id)| Header {
            flags: HeaderFlags::from_bits(flags),
            session_id,
            frame_id,
            view_id,
            route_id,
            trace_id,
            ..Header::default()
        },
    )
}

/// The codec ids of a section without a codec table are all the same; the list may say so or be empty.
fn normal(section: &Section) -> Section {
    let table = section.codec_ids.iter().any(|codec| *codec != section.codec_id);
    Section { codec_ids: if table { section.codec_ids.clone() } else { Vec::new() }, ..section.clone() }
}

proptest! {
    #[test]
    fn control_messages_round_trip(mut header in header(), message in control_message()) {
        if let Message::FlowUpdate(update) = &message {
            let connection = update.scope_kind == FlowUpdateScopeKind::Connection;
            header.session_id = if connection { 0 } else { header.session_id.max(1) };
        }
        let encoded = message.encode(header).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
        let packet = Packet::decode(encoded.to_bytes()).unwrap();
        prop_assert_eq!(packet.header.trace_id, header.trace_id);
        let again = packet.message().unwrap();
        prop_assert_eq!(again.message_type(), message.message_type());
        // Lengths are filled in by encoding, so compare what comes after it.
        prop_assert_eq!(again.encode(header).unwrap().to_bytes(), encoded.to_bytes());
        match (&message, &again) {
            (Message::ClientHello(sent), Message::ClientHello(received)) => {
                prop_assert_eq!(&sent.extensions, &received.extensions);
                prop_assert_eq!(&sent.auth_block, &received.auth_block);
            }
            (Message::Close(sent), Message::Close(received)) => prop_assert_eq!(sent, received),
            (Message::SessionPatch(sent), Message::SessionPatch(received)) => {
                prop_assert_eq!(sent.block, received.block);
            }
            (Message::FlowUpdate(sent), Message::FlowUpdate(received)) => prop_assert_eq!(sent, received),
            _ => {}
        }
    }

    #[test]
    fn submits_round_trip(frame in submit_frame(), session_id in any::<u32>()) {
        let encoded = frame.encode(session_id, Revision::Current).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
        let packet = Packet::decode(encoded.to_bytes()).unwrap();
        let Message::FrameSubmit { metadata, body } = packet.message().unwrap() else { panic!() };
        prop_assert_eq!(metadata.budget_policy, frame.budget_policy);
        if frame.tile_index_reference.is_none() {
            prop_assert_eq!(body.tile_ids().collect::<Vec<_>>(), frame.tile_ids.clone());
        }
        if frame.section_table_reference.is_none() {
            let sections: Vec<_> = body.sections().map(|section| section.to_section()).collect();
            prop_assert_eq!(sections, frame.sections.iter().map(normal).collect::<Vec<_>>());
        }
        prop_assert_eq!(body.camera().unwrap_or_default(), frame.camera.clone());
        prop_assert_eq!(body.typed_payloads().collect::<Vec<_>>(), frame.typed_payloads.clone());
        let again = SubmitFrame::from_received(&packet.header, &metadata, &body).encode(session_id, Revision::Current);
        prop_assert_eq!(again.unwrap().to_bytes(), encoded.to_bytes());
    }

    #[test]
    fn results_round_trip(frame in result_frame(), session_id in any::<u32>()) {
        let encoded = frame.encode(session_id, Revision::Current).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
        let packet = Packet::decode(encoded.to_bytes()).unwrap();
        let Message::ResultPush { metadata, body } = packet.message().unwrap() else { panic!() };
        prop_assert_eq!(body.tile_ids().collect::<Vec<_>>(), frame.tile_ids.clone());
        let sections: Vec<_> = body.sections().map(|section| section.to_section()).collect();
        prop_assert_eq!(sections, frame.sections.iter().map(normal).collect::<Vec<_>>());
        prop_assert_eq!(body.typed_payloads().collect::<Vec<_>>(), frame.typed_payloads.clone());
        let again = ResultFrame::from_received(&packet.header, &metadata, &body).encode(session_id, Revision::Current);
        prop_assert_eq!(again.unwrap().to_bytes(), encoded.to_bytes());
    }

    #[test]
    fn tile_indexes_round_trip(tensors in tensors(ALL_MODES)) {
        let (mode, ids, base, _) = tensors;
        let block = tile_index::encode(mode, base, &ids).unwrap();
        let count = ids.len().try_into().unwrap();
        prop_assert_eq!(tile_index::decode(mode, base, count, &block).unwrap().collect::<Vec<_>>(), ids);
    }

    #[test]
    fn any_bytes_are_refused_or_consistent(data in vec(any::<u8>(), 0..300)) {
        check::header_round_trips(&data);
        check::packet_round_trips(&data);
        check::metadata_round_trips(&data);
        check::submit_body(&data);
        check::result_body(&data);
        check::control_extensions(&data);
        check::tile_index(&data);
    }

    #[test]
    fn headers_round_trip(header in header(), message in any::<u8>(), meta_len in any::<u32>(), body_len in any::<u32>()) {
        let header = Header { msg_type: MessageType::from(message), meta_len, body_len, ..header };
        prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    }
}
