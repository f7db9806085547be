//! How long a client stays let in, and what one hears that is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{Admission, ConnectionState, EndedBy, Event, Fault, whole_millis};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{ErrorCode, Header, MessageType, ServerHelloAck, ServerHelloAckMetadata};

const TTL: Duration = Duration::from_secs(60);

fn admitted_for(ttl: Duration) -> Pair {
    let mut pair = Pair::knocking(&packets::hello());
    let admission = Admission { token_ttl: Some(ttl), ..Admission::default() };
    pair.server.machine.admit(pair.now, &admission).unwrap();
    pair.drive();
    pair
}

#[test]
fn the_client_is_told_how_long_it_is_let_in() {
    let mut pair = admitted_for(TTL);
    let Some(Event::Established(established)) = pair.client.event() else { panic!() };
    assert_eq!(established.ack.metadata.token_ttl_ms, 60_000);
}

#[test]
fn a_session_ends_when_its_authentication_does() {
    let mut pair = admitted_for(TTL);
    pair.advance(TTL - Duration::from_millis(1));
    pair.echo(1);
    pair.client.sent.clear();
    pair.advance(Duration::from_millis(1));
    let Some(Event::Ended(ended)) = pair.client.event() else { panic!() };
    assert_eq!(ended.fault.unwrap().code, ErrorCode::AuthFailed);
    let Some(Event::Ended(ended)) = pair.server.event() else { panic!() };
    assert_eq!(ended.by, EndedBy::Local);
    assert_ne!(pair.server.machine.state(), ConnectionState::Active);
}

#[test]
fn frames_it_still_waits_for_are_dropped_first() {
    let mut pair = admitted_for(TTL);
    pair.submit(1);
    pair.client.events.clear();
    pair.advance(TTL);
    assert!(matches!(pair.client.event(), Some(Event::Hint(..))), "the reason comes first");
    let Some(Event::Result(result)) = pair.client.event() else { panic!() };
    assert!(result.push.is_none());
    assert!(matches!(pair.client.event(), Some(Event::Ended(_))));
}

#[test]
fn a_session_without_a_limit_outlives_the_night() {
    let mut pair = Pair::connected();
    pair.advance(Duration::from_secs(12 * 3600));
    pair.echo(1);
}

#[test]
fn a_busy_server_says_when_to_try_again() {
    let mut pair = Pair::knocking(&packets::hello());
    let busy = Fault::refusal(ErrorCode::ServerBusy, "full").retry_after(Duration::from_millis(1500));
    pair.server.machine.refuse_client(pair.now, busy);
    pair.drive();
    let Some(Event::HandshakeFailed(failure)) = pair.client.event() else { panic!() };
    assert_eq!((failure.fault.code, failure.fault.retry_after_ms), (ErrorCode::ServerBusy, 1500));
    assert!(failure.fault.from_peer && failure.fault.fatal);
}

// Rules R-ACK-2
#[test]
fn an_acknowledgement_with_another_auth_status_is_a_refusal() {
    let mut pair = Pair::knocking(&packets::hello());
    let metadata = ServerHelloAckMetadata {
        selected_version_major: 1,
        session_id: 1,
        auth_status: 3,
        retry_after_ms: 250,
        ..Default::default()
    };
    let mut header = Header::new(MessageType::ServerHelloAck);
    header.session_id = 1;
    let ack = ServerHelloAck { metadata, ..Default::default() }.encode(header).unwrap();
    pair.client.receive(pair.now, &ack.to_packet().to_bytes());
    pair.drive();
    let Some(Event::HandshakeFailed(failure)) = pair.client.event() else { panic!() };
    assert_eq!((failure.fault.code, failure.fault.retry_after_ms), (ErrorCode::AuthFailed, 250));
    assert!(failure.fault.text.contains("auth_status 3"), "{}", failure.fault.text);
    assert_eq!(pair.client.shut_down, Some(0));
}

#[test]
fn no_wait_is_rounded_to_none() {
    assert_eq!(whole_millis(Duration::ZERO), 0);
    assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
    assert_eq!(whole_millis(Duration::from_millis(5)), 5);
    assert_eq!(whole_millis(Duration::MAX), u32::MAX);
}
