//! How a session comes about, and who is turned away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use nnrp_session::{Admission, ConnectionState, Event, Fault, HANDSHAKE_TIMEOUT, ServerSettings};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    ControlExtension, ControlExtensionFlags, ErrorCode, ErrorMessage, MessageType, TransportId,
    TransportPolicy, TransportPolicyExtension,
};

/// The code of the one ERROR the server sent.
fn error_code(pair: &Pair) -> Option<ErrorCode> {
    let errors: Vec<_> =
        pair.server.sent.iter().filter(|p| p.header.msg_type == MessageType::Error).collect();
    assert!(errors.len() <= 1, "{errors:?}");
    errors.first().map(|packet| ErrorMessage::decode(packet).unwrap().metadata.error_code)
}

fn admit(pair: &mut Pair, admission: &Admission) {
    pair.server.machine.admit(pair.now, admission).unwrap();
    pair.drive();
}

#[test]
fn a_hello_and_its_ack_make_a_session() {
    let mut pair = Pair::knocking(&packets::hello());
    assert!(matches!(pair.server.event(), Some(Event::Hello(_))));
    assert_eq!(pair.client.machine.state(), ConnectionState::Negotiating);
    admit(&mut pair, &Admission { model_name: "sr-2x".into(), ..Admission::default() });
    let Some(Event::Established(established)) = pair.client.event() else { panic!() };
    assert_eq!(established.ack.model_name, "sr-2x");
    assert_eq!(established.ack.metadata.session_id, 1);
    assert_eq!(established.ack.metadata.max_body_bytes, 32 << 20);
    pair.echo(1);
}

#[test]
fn a_client_without_a_wish_gets_a_fresh_id() {
    let mut hello = packets::hello();
    hello.metadata.requested_session_id = 0;
    let mut pair = Pair::knocking(&hello);
    admit(&mut pair, &Admission { fallback_session_id: 77, ..Admission::default() });
    assert_eq!(pair.client.machine.session_id(), 77);
}

#[test]
fn the_application_may_choose_the_id() {
    let mut pair = Pair::knocking(&packets::hello());
    admit(&mut pair, &Admission { session_id: Some(9), ..Admission::default() });
    assert_eq!((pair.client.machine.session_id(), pair.server.machine.session_id()), (9, 9));
}

// Rules R-HELLO-1
#[test]
fn another_version_is_refused() {
    for (min, max) in [(2, 3), (0, 0), (5, 1)] {
        let mut hello = packets::hello();
        hello.metadata.min_version_major = min;
        hello.metadata.max_version_major = max;
        let mut pair = Pair::knocking(&hello);
        assert_eq!(error_code(&pair), Some(ErrorCode::UnsupportedVersion));
        let Some(Event::HandshakeFailed(failure)) = pair.client.event() else { panic!() };
        assert_eq!(failure.fault.code, ErrorCode::UnsupportedVersion);
        assert!(failure.fault.from_peer);
    }
}

// Rules R-HELLO-2
#[test]
fn another_wire_format_is_refused() {
    let mut hello = packets::hello();
    hello.metadata.supported_wire_format_bitmap = 2;
    assert_eq!(error_code(&Pair::knocking(&hello)), Some(ErrorCode::UnsupportedVersion));
}

// Rules R-NEG-1
#[test]
fn no_common_profile_is_refused() {
    let mut hello = packets::hello();
    hello.metadata.supported_profile_bitmap = 0x10;
    let mut pair = Pair::knocking(&hello);
    assert!(pair.server.machine.admit(pair.now, &Admission::default()).is_err());
    pair.drive();
    assert_eq!(error_code(&pair), Some(ErrorCode::UnsupportedCapability));
}

// Rules R-HELLO-4
#[test]
fn a_refused_client_is_told_and_the_connection_closes() {
    let mut pair = Pair::knocking(&packets::hello());
    pair.server.machine.refuse_client(pair.now, Fault::refusal(ErrorCode::AuthFailed, "wrong token"));
    pair.drive();
    assert_eq!(error_code(&pair), Some(ErrorCode::AuthFailed));
    assert_eq!(pair.server.shut_down, Some(2));
    let Some(Event::HandshakeFailed(failure)) = pair.client.event() else { panic!() };
    assert_eq!((failure.fault.code, failure.fault.text.as_str()), (ErrorCode::AuthFailed, "wrong token"));
}

#[test]
fn an_unknown_critical_extension_is_refused_and_an_unknown_harmless_one_is_not() {
    for (flags, refused) in [(ControlExtensionFlags::CRITICAL, true), (ControlExtensionFlags::NONE, false)] {
        let mut hello = packets::hello();
        hello.extensions.push(ControlExtension { ext_type: 0x8002, flags, payload: "x".into() });
        let pair = Pair::knocking(&hello);
        assert_eq!(error_code(&pair), refused.then_some(ErrorCode::UnsupportedCapability));
    }
}

#[test]
fn extensions_are_answered_only_when_they_were_sent() {
    let mut hello = packets::hello();
    let asked =
        TransportPolicyExtension { transport_policy: TransportPolicy::PreferTcp, ..Default::default() };
    hello.extensions.push(asked.to_extension());
    let mut pair = Pair::knocking(&hello);
    admit(&mut pair, &Admission::default());
    let Some(Event::Established(established)) = pair.client.event() else { panic!() };
    let types: Vec<u16> = established.ack.extensions.iter().map(|entry| entry.ext_type).collect();
    assert_eq!(types, [nnrp_wire::extension::TRANSPORT_POLICY_ACK]);
    let policy =
        nnrp_wire::TransportPolicyAckExtension::from_extension(&established.ack.extensions[0]).unwrap();
    assert_eq!(policy.active_transport_id, TransportId::Quic);
    assert_eq!(policy.accepted_transport_policy, TransportPolicy::Auto);
}

#[test]
fn forcing_the_other_transport_is_refused() {
    let mut hello = packets::hello();
    let asked =
        TransportPolicyExtension { transport_policy: TransportPolicy::ForceTcp, ..Default::default() };
    hello.extensions.push(asked.to_extension());
    let mut pair = Pair::knocking(&hello);
    assert!(pair.server.machine.admit(pair.now, &Admission::default()).is_err());
    pair.drive();
    assert_eq!(error_code(&pair), Some(ErrorCode::UnsupportedCapability));
}

// Rules R-HELLO-6
#[test]
fn a_second_hello_is_refused_and_the_session_goes_on() {
    let mut pair = Pair::connected();
    let bytes = packets::hello_packet(&packets::hello()).to_bytes();
    pair.server.receive(pair.now, &bytes);
    pair.drive();
    assert_eq!(error_code(&pair), Some(ErrorCode::InvalidState));
    assert!(matches!(pair.server.event(), Some(Event::Rejected(_))));
    pair.echo(1);
}

// Rules R-ACK-7, R-LIM-9
#[test]
fn a_server_that_never_answers_is_given_up() {
    let mut pair = Pair::knocking(&packets::hello());
    pair.advance(HANDSHAKE_TIMEOUT);
    assert!(matches!(pair.client.event(), Some(Event::HandshakeFailed(_))));
    assert_eq!(pair.client.shut_down, Some(0));
}

// Rules R-ACK-6
#[test]
fn a_first_answer_of_another_kind_ends_the_handshake() {
    let mut pair = Pair::knocking(&packets::hello());
    let hint = packets::control(MessageType::ResultHint, 1, &[0; 16]);
    pair.client.receive(pair.now, &hint.to_bytes());
    pair.drive();
    let Some(Event::HandshakeFailed(failure)) = pair.client.event() else { panic!() };
    assert!(
        failure.fault.text.contains("expected SERVER_HELLO_ACK, got RESULT_HINT"),
        "{}",
        failure.fault.text
    );
    assert_eq!(pair.client.sent_types().last(), Some(&MessageType::Error));
}

// Rules R-LIM-8, R-PROBE-2
#[test]
fn probes_are_answered_before_the_hello_up_to_their_limit() {
    let mut pair = Pair::serving(TransportId::Tcp, ServerSettings::default());
    let probe = packets::control(MessageType::TransportProbe, 0, &[0; 16]).to_bytes();
    for _ in 0..nnrp_session::MAX_PROBES {
        pair.server.receive(pair.now, &probe);
    }
    pair.drive();
    let acks = pair.server.sent_types().iter().filter(|t| **t == MessageType::TransportProbeAck).count();
    assert_eq!(acks, nnrp_session::MAX_PROBES as usize);
    pair.server.receive(pair.now, &probe);
    pair.drive();
    assert_eq!(error_code(&pair), Some(ErrorCode::ServerBusy));
    // Not fatal: the hello still gets through.
    pair.server.receive(pair.now, &packets::hello_packet(&packets::hello()).to_bytes());
    pair.drive();
    assert!(pair.server.events.iter().any(|event| matches!(event, Event::Hello(_))));
}
