//! How sessions end, and that nobody is left waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use nnrp_session::{
    CommandError, DRAIN_TIME, DropFrame, EndedBy, Event, FrameKey, QUIET_GRACE, TransportEnd,
};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{ErrorCode, ErrorMessage, MessageType};

fn ended_by(event: Option<Event>) -> EndedBy {
    match event {
        Some(Event::Ended(ended)) => ended.by,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_says_goodbye_and_the_server_lets_it_close_first() {
    let mut pair = Pair::connected();
    pair.client.machine.close(pair.now, "done");
    pair.drive();
    assert_eq!(pair.client.sent_types(), [MessageType::Close]);
    assert_eq!(pair.client.shut_down, Some(0));
    assert_eq!(ended_by(pair.client.event()), EndedBy::Local);
    pair.advance(nnrp_session::QUIET_GRACE);
    assert!(matches!(pair.server.event(), Some(Event::PeerClosing(reason)) if reason == "done"));
    assert_eq!(pair.server.shut_down, None);
    pair.server.machine.handle_transport_closed(&TransportEnd { clean: true, text: String::new() });
    pair.drive();
    assert_eq!(ended_by(pair.server.event()), EndedBy::Peer);
}

#[test]
fn who_closes_because_the_peer_has_did_not_end_it() {
    let mut pair = Pair::connected();
    pair.client.machine.close(pair.now, "done");
    pair.drive();
    pair.advance(nnrp_session::QUIET_GRACE);
    assert!(matches!(pair.server.event(), Some(Event::PeerClosing(_))));
    pair.server.machine.close(pair.now, "answered all");
    pair.drive();
    match pair.server.event() {
        Some(Event::Ended(ended)) => assert_eq!((ended.by, &*ended.reason), (EndedBy::Peer, "done")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_frame_that_close_has_overtaken_is_taken() {
    let mut pair = Pair::connected();
    let close = packets::bare(MessageType::Close, 1);
    pair.tell_server(&close);
    assert!(pair.server.event().is_none(), "on QUIC frames may be a step behind");
    pair.submit(1);
    assert!(matches!(pair.server.event(), Some(Event::Submit(_))));
    pair.advance(nnrp_session::QUIET_GRACE);
    assert!(matches!(pair.server.event(), Some(Event::PeerClosing(_))));
}

// Rules R-LIM-11
#[test]
fn a_server_that_closes_drops_what_it_owes() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.submit(2);
    pair.answer(1);
    pair.server.sent.clear();
    pair.client.events.clear();
    pair.server.machine.close(pair.now, "");
    pair.drive();
    assert_eq!(
        pair.server.sent_types(),
        [MessageType::ResultHint, MessageType::ResultDrop, MessageType::Close]
    );
    assert_eq!(pair.server.shut_down, None, "the client closes first");
    pair.advance(DRAIN_TIME);
    assert!(pair.client.events.iter().any(|event| matches!(event, Event::Result(r) if r.push.is_none())));
    assert_eq!(pair.client.shut_down, Some(0));
    assert_eq!(pair.server.shut_down, Some(0));
}

#[test]
fn a_client_waits_for_running_frames_after_the_server_said_goodbye() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let close = packets::bare(MessageType::Close, 1).to_bytes();
    pair.client.receive(pair.now, &close);
    pair.drive();
    assert!(!pair.client.machine.is_ended());
    pair.answer(1);
    assert!(matches!(pair.client.event(), Some(Event::PeerClosing(_))));
    assert!(matches!(pair.client.event(), Some(Event::Result(_))));
    // A further result may be a step behind on a stream of its own.
    pair.answer(1);
    assert!(matches!(pair.client.event(), Some(Event::Result(_))));
    pair.advance(QUIET_GRACE);
    assert_eq!(ended_by(pair.client.event()), EndedBy::Peer);
}

// Rules R-STATE-3
#[test]
fn a_draining_server_answers_what_it_has_and_takes_nothing_new() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.server.receive(pair.now, &packets::bare(MessageType::Close, 1).to_bytes());
    pair.advance(nnrp_session::QUIET_GRACE);
    pair.server.receive(pair.now, &packets::submit_packet(1, 2).to_bytes());
    pair.drive();
    let error = pair.server.sent.iter().find(|p| p.header.msg_type == MessageType::Error).unwrap();
    assert_eq!(ErrorMessage::decode(error).unwrap().metadata.error_code, ErrorCode::InvalidState);
    pair.answer(1);
    assert!(pair.client.events.iter().any(|event| matches!(event, Event::Result(_))));
    pair.advance(DRAIN_TIME);
    assert!(pair.server.events.iter().any(|event| matches!(event, Event::Ended(_))));
}

#[test]
fn nothing_is_sent_after_the_end() {
    let mut pair = Pair::connected();
    pair.client.machine.close(pair.now, "");
    let refused = pair.client.machine.submit(pair.now, packets::submit_packet(1, 1).encode());
    assert!(matches!(refused, Err(CommandError::State { .. })), "{refused:?}");
    pair.client.machine.close(pair.now, "again");
    pair.drive();
    assert_eq!(pair.client.sent_types(), [MessageType::Close], "closing twice is closing once");
}

/// The end of some peers, and of a process that died with nothing in flight.
#[test]
fn an_end_in_order_without_a_word_is_told_from_a_goodbye() {
    let mut pair = Pair::connected();
    pair.client.machine.handle_transport_closed(&TransportEnd { clean: true, text: String::new() });
    pair.drive();
    let Some(Event::Ended(ended)) = pair.client.event() else { panic!("no end") };
    assert_eq!((ended.by, ended.reason.as_str()), (EndedBy::Peer, "without CLOSE"));
}

// Rules R-LIFE-2
#[test]
fn losing_the_transport_ends_both_roles_once() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let lost = TransportEnd { clean: false, text: "connection reset".into() };
    pair.client.machine.handle_transport_closed(&lost);
    pair.client.machine.handle_transport_closed(&lost);
    pair.drive();
    assert_eq!(ended_by(pair.client.event()), EndedBy::Transport);
    assert!(pair.client.event().is_none());
    assert_eq!(pair.client.machine.live_frames(), 0);
    assert_eq!(pair.client.machine.poll_timeout(), None);
}

#[test]
fn a_fatal_error_of_the_peer_ends_the_session() {
    let mut pair = Pair::connected();
    pair.server.machine.handle_header(pair.now, &[0; 40]);
    pair.drive();
    let Some(Event::Ended(ended)) = pair.client.event() else { panic!() };
    assert_eq!((ended.by, ended.fault.unwrap().code), (EndedBy::Fault, ErrorCode::MalformedHeader));
}

#[test]
fn a_drop_that_waits_for_its_reason_is_not_lost_with_the_connection() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.server.machine.push_drop(&DropFrame { frame_id: 1, ..DropFrame::default() }).unwrap();
    pair.drive();
    assert!(pair.client.event().is_none(), "it waits");
    pair.client.machine.handle_transport_closed(&TransportEnd { clean: false, text: "reset".into() });
    pair.drive();
    assert!(matches!(pair.client.event(), Some(Event::Result(result)) if result.push.is_none()));
    assert!(matches!(pair.client.event(), Some(Event::Ended(_))));
}

#[test]
fn a_server_owes_nothing_after_the_end() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let lost = TransportEnd { clean: false, text: "reset".into() };
    pair.server.machine.handle_transport_closed(&lost);
    assert_eq!(pair.server.machine.live_frames(), 0);
    assert!(!pair.server.machine.owes_answer(FrameKey::new(1)), "an answer that cannot be sent is not owed");
}
