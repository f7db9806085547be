//! What peers may get wrong without losing anything, and what a client makes of a server that breaks the handshake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use bytes::Bytes;
use nnrp_session::{Admission, EndedBy, Event, HeaderVerdict};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheObjectKind, CachePutMetadata, ErrorCode,
    ErrorMetadata, ErrorScope, FrameClass, Header, HeaderFlags, LossTolerance, LossToleranceExtension,
    MessageType, Packet, PayloadCapabilitiesExtension, PayloadKind, ResultClass, ResultFrame, Revision,
    RuleId, ServerHelloAckMetadata, SubmitFrame, TransportId, TypedPayload,
};

/// An acknowledgement made by hand, in a header of session 1.
fn ack(metadata: &ServerHelloAckMetadata, model_name: &'static [u8]) -> Packet {
    let mut header = Header::new(MessageType::ServerHelloAck);
    header.session_id = 1;
    Packet::build(header, metadata.encode().to_vec().into(), Bytes::from_static(model_name))
}

fn good_ack() -> ServerHelloAckMetadata {
    ServerHelloAckMetadata {
        selected_version_major: 1,
        session_id: 1,
        accepted_profile_bitmap: 1,
        max_concurrent_frames: 4,
        ..ServerHelloAckMetadata::default()
    }
}

/// What a client that waits for an acknowledgement makes of this one.
fn after_ack(packet: &Packet) -> (Pair, Option<Event>) {
    let mut pair = Pair::knocking(&packets::hello());
    pair.client.receive(pair.now, &packet.to_bytes());
    pair.drive();
    let event = pair.client.event();
    (pair, event)
}

/// What a client makes of a result.
fn after_result(pair: &mut Pair, result: &ResultFrame) -> Option<Event> {
    let packet = result.encode(1, Revision::Current).unwrap();
    pair.client.receive(pair.now, &packet.to_bytes());
    pair.drive();
    pair.client.event()
}

fn error(metadata: &ErrorMetadata, body: &'static [u8]) -> Bytes {
    let mut header = Header::new(MessageType::Error);
    header.session_id = 1;
    Packet::build(header, metadata.encode().to_vec().into(), Bytes::from_static(body)).to_bytes()
}

// Rules R-ACK-1, R-ACK-3
#[test]
fn an_acknowledgement_that_breaks_a_rule_is_no_session() {
    for (metadata, rule, code) in [
        (
            ServerHelloAckMetadata { selected_version_major: 2, ..good_ack() },
            RuleId::ACK_1,
            ErrorCode::UnsupportedVersion,
        ),
        (ServerHelloAckMetadata { session_id: 0, ..good_ack() }, RuleId::ACK_3, ErrorCode::InvalidState),
        (ServerHelloAckMetadata { session_id: 2, ..good_ack() }, RuleId::ACK_3, ErrorCode::InvalidState),
    ] {
        let (pair, event) = after_ack(&ack(&metadata, b""));
        let Some(Event::HandshakeFailed(failure)) = event else { panic!("{event:?}") };
        assert_eq!((failure.fault.rule, failure.fault.code), (Some(rule), code));
        assert_eq!(pair.client.sent_types().last(), Some(&MessageType::Error));
    }
}

// Rules R-ACK-4
#[test]
fn an_acknowledgement_without_credit_is_a_session() {
    let (pair, event) =
        after_ack(&ack(&ServerHelloAckMetadata { max_concurrent_frames: 0, ..good_ack() }, b""));
    assert!(matches!(event, Some(Event::Established(_))), "{event:?}");
    assert_eq!(pair.client.machine.credit().unwrap().frames(), 0);
}

// Rules R-MODEL-1
#[test]
fn a_model_name_that_is_not_utf_8_is_read_with_replacements() {
    let (_, event) = after_ack(&ack(&good_ack(), b"\xFFsr"));
    let Some(Event::Established(established)) = event else { panic!("{event:?}") };
    assert_eq!(established.ack.model_name, "\u{FFFD}sr");
}

// Rules R-MODEL-2, R-LIM-5
#[test]
fn texts_that_are_too_long_are_cut() {
    let mut pair = Pair::knocking(&packets::hello());
    let admission = Admission { model_name: "m".repeat(3000), ..Admission::default() };
    pair.server.machine.admit(pair.now, &admission).unwrap();
    pair.drive();
    let Some(Event::Established(established)) = pair.client.event() else { panic!() };
    assert_eq!(established.ack.model_name.len(), 1024);
    let close = packets::bare(MessageType::Close, 1).header;
    pair.tell_server(&Packet::build(close, Bytes::new(), "r".repeat(3000).into()));
    pair.advance(nnrp_session::QUIET_GRACE);
    let reason = pair.server.events.iter().find_map(|event| match event {
        Event::PeerClosing(reason) => Some(reason.len()),
        _ => None,
    });
    assert_eq!(reason, Some(1024));
}

// Rules R-ERR-1
#[test]
fn an_error_of_an_unknown_scope_is_about_the_connection() {
    let mut pair = Pair::connected();
    let metadata = ErrorMetadata {
        error_scope: 200.into(),
        is_fatal: 1,
        error_code: ErrorCode::ServerBusy,
        ..Default::default()
    };
    pair.client.receive(pair.now, &error(&metadata, b""));
    pair.drive();
    let Some(Event::Ended(ended)) = pair.client.event() else { panic!() };
    assert_eq!((ended.by, ended.fault.unwrap().scope), (EndedBy::Fault, ErrorScope::Connection));
}

// Rules R-ERR-2, R-ERR-4
#[test]
fn the_text_of_an_error_is_what_there_is_of_it() {
    for (diagnostic_bytes, body) in [(1000, &b"oops"[..]), (4, b"oops\0\0\0\0\xFF\xFF\xFF")] {
        let mut pair = Pair::connected();
        pair.submit(1);
        let metadata = ErrorMetadata {
            error_scope: ErrorScope::Frame,
            error_code: ErrorCode::CacheMiss,
            related_frame_id: 1,
            diagnostic_bytes,
            ..Default::default()
        };
        pair.client.receive(pair.now, &error(&metadata, body));
        pair.drive();
        let Some(Event::FrameFailed(failed)) = pair.client.event() else { panic!() };
        assert_eq!(failed.fault.text, "oops");
    }
}

// Rules R-NEG-3
#[test]
fn a_result_of_a_kind_the_client_did_not_declare_is_delivered() {
    let mut hello = packets::hello();
    let tensors =
        PayloadCapabilitiesExtension { payload_kind_bitmap: PayloadKind::TENSOR, ..Default::default() };
    hello.extensions.push(tensors.to_extension());
    let mut pair = Pair::connected_as(&hello, nnrp_session::ServerSettings::default());
    pair.submit(1);
    let text = ResultFrame { typed_payloads: vec![TypedPayload::token_chunk("hi")], ..ResultFrame::new(1) };
    assert!(matches!(after_result(&mut pair, &text), Some(Event::Result(_))));
}

// Rules R-RES-9, R-HDR-7
#[test]
fn results_with_hints_that_do_not_fit_are_delivered() {
    let mut pair = Pair::connected();
    for (frame_id, result) in [
        (1, ResultFrame { result_class: ResultClass::StaleReuse, ..packets::result(1) }),
        (2, ResultFrame { flags: HeaderFlags::CAN_DROP, ..packets::result(2) }),
    ] {
        let keyframe = SubmitFrame { frame_class: FrameClass::Keyframe, ..packets::frame(frame_id) };
        pair.client.machine.submit(pair.now, keyframe.encode(1, Revision::Current).unwrap()).unwrap();
        pair.drive();
        assert!(
            matches!(after_result(&mut pair, &result), Some(Event::Result(result)) if result.push.is_some())
        );
    }
}

// Rules R-LOSS-1
#[test]
fn a_keyframe_is_never_sent_and_forgotten() {
    use LossTolerance::{BestEffort, FireAndForget, LowLatency, Strict};
    let inherited = packets::frame(1).loss_tolerance_policy;
    for (session, class, own, in_force) in [
        (None, FrameClass::Keyframe, inherited, BestEffort),
        (None, FrameClass::Keyframe, FireAndForget.value(), BestEffort),
        (None, FrameClass::Discardable, FireAndForget.value(), FireAndForget),
        (Some(FireAndForget), FrameClass::Keyframe, inherited, BestEffort),
        (Some(FireAndForget), FrameClass::Discardable, inherited, FireAndForget),
        (Some(FireAndForget), FrameClass::Keyframe, LowLatency.value(), LowLatency),
        (Some(Strict), FrameClass::Keyframe, inherited, Strict),
    ] {
        let mut hello = packets::hello();
        let asked = session.map(|level| {
            LossToleranceExtension { session_loss_tolerance: level, ..Default::default() }.to_extension()
        });
        hello.extensions.extend(asked);
        let mut pair = Pair::connected_as(&hello, nnrp_session::ServerSettings::default());
        let frame = SubmitFrame { frame_class: class, loss_tolerance_policy: own, ..packets::frame(1) };
        pair.client.machine.submit(pair.now, frame.encode(1, Revision::Current).unwrap()).unwrap();
        pair.drive();
        let Some(Event::Submit(submit)) = pair.server.event() else { panic!("{class} {own} is refused") };
        assert_eq!(submit.loss_tolerance, in_force, "session {session:?}, {class} {own}");
    }
}

// Rules R-NEG-4
#[test]
fn a_frame_of_a_lane_that_was_not_agreed_is_taken() {
    let mut pair = Pair::connected();
    let frame = SubmitFrame { view_id: 9, ..packets::frame(1) };
    pair.client.machine.submit(pair.now, frame.encode(1, Revision::Current).unwrap()).unwrap();
    pair.drive();
    assert!(matches!(pair.server.event(), Some(Event::Submit(_))));
}

// Rules R-CAN-1, R-CACHE-12
#[test]
fn what_changes_nothing_is_not_answered() {
    let mut pair = Pair::connected();
    let mut cancel = packets::bare(MessageType::FrameCancel, 1);
    cancel.header.frame_id = 99;
    pair.echo(99);
    pair.server.sent.clear();
    pair.tell_server(&cancel);
    let nothing = CacheInvalidateMetadata { cache_key_lo: 99, ..CacheInvalidateMetadata::default() };
    pair.tell_server(&packets::control(MessageType::CacheInvalidate, 1, &nothing.encode()));
    assert_eq!(pair.server.sent_types(), []);
    assert!(!pair.server.events.iter().any(|event| matches!(event, Event::Cancelled(_))));
    pair.echo(100);
}

// Rules R-CACHE-9, R-PROBE-3
#[test]
fn answers_to_what_nobody_asked_are_not_faults() {
    let mut pair = Pair::connected();
    let ack = CacheAckMetadata::default().encode();
    pair.client.receive(pair.now, &packets::control(MessageType::CacheAck, 1, &ack).to_bytes());
    pair.client.receive(pair.now, &packets::control(MessageType::TransportProbeAck, 0, &[0; 16]).to_bytes());
    pair.drive();
    assert!(!pair.client.sent_types().contains(&MessageType::Error));
    pair.echo(1);
}

// Rules R-STATE-4
#[test]
fn a_probe_is_answered_in_a_session() {
    let mut pair = Pair::connected();
    pair.tell_server(&packets::control(MessageType::TransportProbe, 0, &[0; 16]));
    assert_eq!(pair.server.sent_types(), [MessageType::TransportProbeAck]);
    pair.echo(1);
}

// Rules R-CACHE-4
#[test]
fn a_namespace_beyond_those_that_were_announced_is_used() {
    let mut hello = packets::hello();
    hello.metadata.cache_object_bitmap = u16::MAX;
    hello.metadata.cache_namespace_count = 1;
    hello.metadata.max_cache_entries = 8;
    hello.metadata.max_cache_bytes = 1000;
    let mut pair = Pair::connected_as(&hello, nnrp_session::ServerSettings::default());
    let metadata = CachePutMetadata {
        cache_namespace: 7,
        object_kind: CacheObjectKind::CameraBlock,
        ..CachePutMetadata::default()
    };
    pair.tell_server(&packets::control(MessageType::CachePut, 1, &metadata.encode()));
    let ack = CacheAckMetadata::decode(&pair.server.sent.last().unwrap().metadata).unwrap();
    assert_eq!(ack.status, CacheAckStatus::Accepted);
}

// Rules R-LIM-3
#[test]
fn a_control_message_beyond_its_limit_ends_the_connection() {
    let mut pair = Pair::connected();
    let close = packets::damaged(&packets::bare(MessageType::Close, 1), 16, &65_537_u32.to_le_bytes());
    assert_eq!(pair.server.receive(pair.now, &close), HeaderVerdict::Stop);
    pair.drive();
    let Some(Event::Ended(ended)) = pair.server.event() else { panic!() };
    assert_eq!(ended.fault.unwrap().rule, Some(RuleId::LIM_3));
}

// Rules R-LIM-13
#[test]
fn a_hello_with_too_many_extensions_is_refused() {
    let mut pair = Pair::serving(TransportId::Tcp, nnrp_session::ServerSettings::default());
    let mut metadata = packets::hello().metadata;
    let block = [0x01, 0x70, 0, 0, 0, 0, 0, 0].repeat(65);
    metadata.control_extension_bytes = 65 * 8;
    let header = Header::new(MessageType::ClientHello);
    pair.tell_server(&Packet::build(header, metadata.encode().to_vec().into(), block.into()));
    let Some(Event::HandshakeFailed(failure)) = pair.server.event() else { panic!() };
    assert_eq!((failure.fault.rule, failure.fault.code), (Some(RuleId::LIM_13), ErrorCode::LimitExceeded));
}
