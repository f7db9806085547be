//! Properties over generated messages: what is encoded decodes to the same values, whatever the values are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod control;
mod frames;

use bytes::Bytes;
use nnrp_wire::{FlowUpdateScopeKind, Header, HeaderFlags, Message, MessageType, check, tile_index};
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

proptest! {
    #[test]
    fn control_messages_round_trip(mut header in header(), message in control_message()) {
        if let Message::FlowUpdate(update) = &message {
            let connection = update.scope_kind == FlowUpdateScopeKind::Connection;
            header.session_id = if connection { 0 } else { header.session_id.max(1) };
        }
        let encoded = check::message_reads_back(&message, header).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
    }

    #[test]
    fn submits_round_trip(frame in submit_frame(), session_id in any::<u32>()) {
        let encoded = check::submit_reads_back(&frame, session_id).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
    }

    #[test]
    fn results_round_trip(frame in result_frame(), session_id in any::<u32>()) {
        let encoded = check::result_reads_back(&frame, session_id).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
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
    fn any_values_are_refused_or_read_back(data in vec(any::<u8>(), 0..600)) {
        check::values_round_trip(&data);
    }

    #[test]
    fn headers_round_trip(header in header(), message in any::<u8>(), meta_len in any::<u32>(), body_len in any::<u32>()) {
        let header = Header { msg_type: MessageType::from(message), meta_len, body_len, ..header };
        prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    }
}
