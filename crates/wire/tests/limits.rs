//! What is decided before a body is read, and text that is cut.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use bytes::Bytes;
use nnrp_wire::{
    Answer, ClientHelloMetadata, Close, ControlExtension, ControlExtensions, ErrorMessage, ErrorMetadata,
    ErrorScope, Header, Limits, Message, MessageType, Packet, Phase, Revision, RuleId, Section,
    ServerHelloAck, SubmitFrame, TensorDType, check_lengths,
    limits::{
        MAX_BODY_BYTES, MAX_CLOSE_REASON_BYTES, MAX_CONTROL_BODY_BYTES, MAX_CONTROL_EXTENSIONS,
        MAX_DIAGNOSTIC_SENT_BYTES, MAX_EARLY_BODY_BYTES, MAX_HELLO_BODY_BYTES, MAX_MODEL_NAME_BYTES,
        MAX_PROBE_BODY_BYTES,
    },
};

/// A header whose lengths are right for its type, with this body length.
fn header(message: MessageType, body_len: u32) -> Header {
    let meta_len = Revision::Current.message(message).unwrap().meta_len.try_into().unwrap();
    Header { meta_len, body_len, ..Header::new(message) }
}

fn assert_limit(message: MessageType, phase: Phase, limit: u32, rule: RuleId, answer: Answer) {
    let limits = Limits::default();
    assert!(check_lengths(&header(message, limit), &limits, phase).is_ok(), "{message} at its limit");
    let error = check_lengths(&header(message, limit + 1), &limits, phase).unwrap_err();
    assert_eq!((error.rule, error.answer()), (rule, answer), "{message}");
}

#[test]
fn large_bodies_are_for_frames_and_objects() {
    for message in [MessageType::FrameSubmit, MessageType::ResultPush] {
        assert_limit(message, Phase::Active, MAX_BODY_BYTES, RuleId::LIM_1, Answer::Frame);
    }
    assert_limit(MessageType::CachePut, Phase::Active, MAX_BODY_BYTES, RuleId::LIM_1, Answer::Refuse);
}

#[test]
fn strangers_may_send_little() {
    let before = Phase::BeforeActive;
    for message in [MessageType::ClientHello, MessageType::ServerHelloAck, MessageType::SessionMigrate] {
        assert_limit(message, before, MAX_HELLO_BODY_BYTES, RuleId::LIM_2, Answer::Fatal);
    }
    for message in [MessageType::Close, MessageType::Error, MessageType::FrameSubmit, MessageType::CachePut] {
        assert_limit(message, before, MAX_EARLY_BODY_BYTES, RuleId::LIM_2, Answer::Fatal);
    }
    for phase in [before, Phase::Active] {
        assert_limit(MessageType::TransportProbe, phase, MAX_PROBE_BODY_BYTES, RuleId::LIM_2, Answer::Fatal);
    }
}

#[test]
fn control_messages_stay_small() {
    for message in [MessageType::Close, MessageType::Error, MessageType::SessionMigrateAck] {
        assert_limit(message, Phase::Active, MAX_CONTROL_BODY_BYTES, RuleId::LIM_3, Answer::Fatal);
    }
}

#[test]
fn the_shape_comes_before_the_limit() {
    let limits = Limits::default();
    let check = |header| check_lengths(&header, &limits, Phase::Active).unwrap_err();
    let unassigned = Header { body_len: u32::MAX, ..Header::new(MessageType::Unknown(0x22)) };
    assert_eq!(check(unassigned).rule, RuleId::HDR_4);
    let metadata = Header { meta_len: u32::MAX, ..header(MessageType::FrameSubmit, u32::MAX) };
    assert_eq!((check(metadata).rule, check(metadata).answer()), (RuleId::PKT_1, Answer::Frame));
    let body = header(MessageType::FrameCancel, u32::MAX);
    assert_eq!((check(body).rule, check(body).answer()), (RuleId::PKT_2, Answer::Frame));
    assert_eq!(check(header(MessageType::Ping, 1)).answer(), Answer::Session);
    assert_eq!(check(header(MessageType::SessionPatch, 8)).rule, RuleId::PKT_2);
}

#[test]
fn sections_are_counted() {
    let sections = (0..17).map(|role| Section::new(role, TensorDType::Fp16)).collect();
    let frame = SubmitFrame { sections, ..SubmitFrame::new(1) };
    let packet = frame.encode(1, Revision::Current).unwrap().to_packet();
    let Message::FrameSubmit { body, .. } = packet.message().unwrap() else { panic!() };
    let error = body.check_limits(&Limits::default()).unwrap_err();
    assert_eq!((error.rule, error.answer()), (RuleId::LIM_4, Answer::Frame));
    assert!(body.check_limits(&Limits { max_sections: 17, ..Limits::default() }).is_ok());
}

#[test]
fn extensions_are_counted() {
    let entries =
        vec![ControlExtension { ext_type: 0x8000, ..ControlExtension::default() }; MAX_CONTROL_EXTENSIONS];
    let block = ControlExtensions::encode(&entries).unwrap();
    assert_eq!(ControlExtensions::decode(&block, None, MessageType::ClientHello), Ok(entries.clone()));
    let more = [&block[..], &block[..8]].concat().into();
    let error = ControlExtensions::decode(&more, None, MessageType::ClientHello).unwrap_err();
    assert_eq!((error.rule, error.answer()), (RuleId::LIM_13, Answer::Fatal));
    let one_more = [entries, vec![ControlExtension::default()]].concat();
    assert_eq!(ControlExtensions::encode(&one_more).unwrap_err().rule, RuleId::LIM_13);
}

fn packet(message: MessageType, metadata: &[u8], body: impl Into<Bytes>) -> Packet {
    Packet::build(Header::new(message), Bytes::copy_from_slice(metadata), body.into())
}

#[test]
fn long_text_is_cut_between_characters() {
    let text = "ä".repeat(4000);
    let close = Close::decode(&packet(MessageType::Close, &[], text.clone())).unwrap();
    assert_eq!(close.reason.len(), MAX_CLOSE_REASON_BYTES);
    let odd = Close::decode(&packet(MessageType::Close, &[], format!("x{text}"))).unwrap();
    assert_eq!(odd.reason.len(), MAX_CLOSE_REASON_BYTES - 1);

    let header = Header::new(MessageType::Error);
    let error = ErrorMessage { diagnostic: text.clone(), ..ErrorMessage::default() };
    assert_eq!(error.encode(header).unwrap().body_to_bytes().len(), MAX_DIAGNOSTIC_SENT_BYTES);
    let ack = ServerHelloAck { model_name: text, ..ServerHelloAck::default() };
    assert_eq!(ack.encode(header).unwrap().body_to_bytes().len(), MAX_MODEL_NAME_BYTES);
}

#[test]
fn bad_text_is_replaced() {
    let close = Close::decode(&packet(MessageType::Close, &[], &b"bye \xFF"[..])).unwrap();
    assert_eq!(close.reason, "bye \u{FFFD}");
}

#[test]
fn an_error_is_read_leniently() {
    let metadata = ErrorMetadata {
        error_scope: ErrorScope::Unknown(9),
        diagnostic_bytes: u32::MAX,
        ..ErrorMetadata::default()
    };
    let error = ErrorMessage::decode(&packet(MessageType::Error, &metadata.encode(), &b"why"[..])).unwrap();
    assert_eq!((error.metadata.error_scope, &*error.diagnostic), (ErrorScope::Connection, "why"));

    let metadata = ErrorMetadata { diagnostic_bytes: 3, ..ErrorMetadata::default() };
    let trailing =
        ErrorMessage::decode(&packet(MessageType::Error, &metadata.encode(), &b"why\0\0\0\0\0junk"[..]));
    assert_eq!(trailing.unwrap().diagnostic, "why");
}

#[test]
fn a_hello_in_the_written_order_is_understood() {
    let block = ControlExtensions::encode(&[ControlExtension {
        ext_type: 0x8001,
        payload: Bytes::from_static(b"vendor"),
        ..ControlExtension::default()
    }])
    .unwrap();
    let metadata = ClientHelloMetadata {
        auth_bytes: 9,
        control_extension_bytes: block.len().try_into().unwrap(),
        ..ClientHelloMetadata::default()
    };
    let body = [b"\xFF a token", &block[..]].concat();
    let message = packet(MessageType::ClientHello, &metadata.encode(), body).message().unwrap();
    let Message::ClientHello(hello) = message else { panic!() };
    assert_eq!(&hello.auth_block[..], b"\xFF a token");
    assert_eq!(hello.extensions[0].payload, "vendor");
}

#[test]
fn slots_whose_zeros_make_the_body_too_long_are_refused_before_any_is_written() {
    // Each fits its section, none the body: written first, they would be gigabytes of zeros and many seconds.
    let wide = |role_id| {
        Section::new(role_id, TensorDType::Uint8).tiles([Bytes::from_static(b"a")]).stride(u32::MAX - 16)
    };
    for sections in [vec![wide(1)], vec![wide(1), wide(2), wide(3)]] {
        let frame = SubmitFrame { tile_ids: vec![0], sections, ..SubmitFrame::new(1) };
        let error = frame.encode(1, Revision::Current).unwrap_err();
        assert_eq!(error.rule, RuleId::SEC_9);
        assert!(error.to_string().contains("more than 32 bits can say"), "{error}");
    }
}
