//! What a server answers to bytes that break a rule, and what it costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use bytes::Bytes;
use nnrp_session::{Event, HeaderVerdict, MAX_ERRORS_PER_SECOND, ServerSettings};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{ErrorCode, ErrorMessage, ErrorScope, MessageType, TransportId};

/// Code, scope and fatality of the first ERROR the server sent.
fn answer(pair: &Pair) -> Option<(ErrorCode, ErrorScope, bool)> {
    let packet = pair.server.sent.iter().find(|p| p.header.msg_type == MessageType::Error)?;
    let metadata = ErrorMessage::decode(packet).unwrap().metadata;
    Some((metadata.error_code, metadata.error_scope, metadata.is_fatal == 1))
}

fn send(pair: &mut Pair, bytes: &Bytes) -> HeaderVerdict {
    let verdict = pair.server.receive(pair.now, bytes);
    pair.drive();
    verdict
}

#[test]
fn a_damaged_header_ends_the_connection() {
    for (offset, value, code) in [
        (0, 0x58, ErrorCode::MalformedHeader),
        (4, 2, ErrorCode::UnsupportedVersion),
        (5, 1, ErrorCode::UnsupportedVersion),
        (7, 41, ErrorCode::MalformedHeader),
    ] {
        let mut pair = Pair::connected();
        let bytes = packets::damaged(&packets::submit_packet(1, 1), offset, &[value]);
        assert_eq!(send(&mut pair, &bytes), HeaderVerdict::Stop);
        assert_eq!(answer(&pair), Some((code, ErrorScope::Connection, true)), "offset {offset}");
        assert_eq!(pair.server.shut_down, Some(code.value()));
        assert!(matches!(pair.server.event(), Some(Event::Ended(_))));
    }
}

#[test]
fn an_unknown_message_is_skipped_and_the_session_goes_on() {
    let mut pair = Pair::connected();
    let bytes = packets::damaged(&packets::bare(MessageType::Ping, 1), 6, &[0x7F]);
    assert_eq!(send(&mut pair, &bytes), HeaderVerdict::Skip);
    assert_eq!(answer(&pair), Some((ErrorCode::UnsupportedCapability, ErrorScope::Session, false)));
    pair.echo(1);
}

#[test]
fn an_unknown_message_before_the_handshake_ends_the_connection() {
    let mut pair = Pair::serving(TransportId::Tcp, ServerSettings::default());
    let bytes = packets::damaged(&packets::bare(MessageType::Ping, 0), 6, &[0x7F]);
    assert_eq!(send(&mut pair, &bytes), HeaderVerdict::Stop);
    assert_eq!(answer(&pair), Some((ErrorCode::UnsupportedCapability, ErrorScope::Connection, true)));
}

// Rules R-STATE-1
#[test]
fn a_submit_before_the_handshake_ends_the_connection() {
    let mut pair = Pair::serving(TransportId::Tcp, ServerSettings::default());
    assert_eq!(send(&mut pair, &packets::submit_packet(1, 1).to_bytes()), HeaderVerdict::Stop);
    assert_eq!(answer(&pair), Some((ErrorCode::InvalidState, ErrorScope::Connection, true)));
    assert!(matches!(pair.server.event(), Some(Event::HandshakeFailed(_))));
}

// Rules R-LIM-1
#[test]
fn a_declared_body_of_4_gib_is_refused_from_the_header_alone() {
    let mut pair = Pair::connected();
    let bytes = packets::damaged(&packets::submit_packet(1, 7), 16, &[0xFF; 4]);
    assert_eq!(send(&mut pair, &bytes), HeaderVerdict::Skip);
    assert_eq!(answer(&pair), Some((ErrorCode::LimitExceeded, ErrorScope::Frame, false)));
    assert!(pair.server.sent_types().contains(&MessageType::ResultDrop));
    pair.echo(8);
}

// Rules R-LIM-2
#[test]
fn a_hello_with_a_giant_body_ends_the_connection() {
    let mut pair = Pair::serving(TransportId::Tcp, ServerSettings::default());
    let bytes = packets::damaged(&packets::hello_packet(&packets::hello()), 16, &[0xFF; 4]);
    assert_eq!(send(&mut pair, &bytes), HeaderVerdict::Stop);
    assert_eq!(answer(&pair), Some((ErrorCode::LimitExceeded, ErrorScope::Connection, true)));
}

#[test]
fn metadata_of_another_size_costs_the_frame() {
    let mut pair = Pair::connected();
    let bytes = packets::damaged(&packets::submit_packet(1, 7), 12, &[71]);
    assert_eq!(send(&mut pair, &bytes), HeaderVerdict::Skip);
    assert_eq!(answer(&pair), Some((ErrorCode::MalformedBody, ErrorScope::Frame, false)));
    pair.echo(8);
}

// Rules R-HDR-6
#[test]
fn a_frame_of_another_session_is_refused_without_a_drop() {
    let mut pair = Pair::connected();
    send(&mut pair, &packets::submit_packet(999, 7).to_bytes());
    assert_eq!(answer(&pair), Some((ErrorCode::InvalidState, ErrorScope::Frame, false)));
    assert!(!pair.server.sent_types().contains(&MessageType::ResultDrop));
    let Some(Event::Rejected(rejected)) = pair.server.event() else { panic!() };
    assert!(rejected.fault.text.contains("expected session_id 1, got 999"), "{}", rejected.fault.text);
    pair.echo(8);
}

// Rules R-LIM-4
#[test]
fn too_many_sections_cost_the_frame() {
    let mut settings = ServerSettings::default();
    settings.max_sections = 0;
    let mut pair = Pair::connected_with(settings);
    pair.submit(1);
    assert_eq!(answer(&pair), Some((ErrorCode::LimitExceeded, ErrorScope::Frame, false)));
    assert!(pair.server.sent_types().contains(&MessageType::ResultDrop));
}

// Rules R-STATE-2
#[test]
fn a_result_from_a_client_is_refused() {
    let mut pair = Pair::connected();
    let result = packets::result(1).encode(1, nnrp_wire::Revision::Current).unwrap();
    send(&mut pair, &result.to_bytes());
    assert_eq!(answer(&pair), Some((ErrorCode::InvalidState, ErrorScope::Session, false)));
    let Some(Event::Rejected(rejected)) = pair.server.event() else { panic!() };
    assert!(
        rejected.fault.text.contains("expected FRAME_SUBMIT, got RESULT_PUSH"),
        "{}",
        rejected.fault.text
    );
    pair.echo(8);
}

// Rules R-QUIC-2
#[test]
fn on_quic_a_frame_does_not_belong_on_the_control_stream() {
    let mut pair = Pair::connected();
    send(&mut pair, &packets::submit_packet(1, 7).to_bytes());
    assert_eq!(answer(&pair), Some((ErrorCode::InvalidState, ErrorScope::Frame, false)));
    pair.echo(8);
}

#[test]
fn a_request_is_answered_even_when_it_asks_for_something_that_was_not_agreed() {
    let mut pair = Pair::connected();
    let mut put = [0; 32];
    put[12] = 1; // object_kind
    send(&mut pair, &packets::control(MessageType::CachePut, 1, &put).to_bytes());
    let mut patch = packets::control(MessageType::SessionPatch, 1, &[0; 36]);
    patch.header.trace_id = 9;
    send(&mut pair, &patch.to_bytes());
    assert_eq!(pair.server.sent_types(), [MessageType::CacheAck, MessageType::SessionPatchAck]);
    assert_eq!(pair.server.sent[1].header.trace_id, 9, "replies echo the trace id");
    pair.echo(8);
}

#[test]
fn errors_are_rate_limited_and_drops_are_not() {
    let mut pair = Pair::connected();
    for frame_id in 1..=100 {
        send(&mut pair, &packets::damaged(&packets::submit_packet(1, frame_id), 16, &[0xFF; 4]));
    }
    let count = |message| pair.server.sent_types().iter().filter(|t| **t == message).count();
    assert_eq!(count(MessageType::Error), MAX_ERRORS_PER_SECOND as usize);
    assert_eq!(count(MessageType::ResultDrop), 100);
    pair.echo(101);
}

#[test]
fn an_error_is_never_answered_with_an_error() {
    let mut pair = Pair::connected();
    let mut metadata = [0; 32];
    metadata[4] = 200; // error_scope
    send(&mut pair, &packets::control(MessageType::Error, 1, &metadata).to_bytes());
    assert_eq!(pair.server.sent_types(), []);
}
