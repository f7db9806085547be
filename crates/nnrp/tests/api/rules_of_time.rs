//! What a server answers while it ends, and how often and for how long: packets made by hand, on each transport.

use std::time::Duration;

use bytes::Bytes;
use nnrp::clock;
use nnrp::wire::{ErrorCode, ErrorScope, MessageType, Packet, SubmitFrame};
use nnrp::{EndedBy, Filter, Item, SendError};
use nnrp_testkit::packets;

use super::harness::{Kind, soon, text_result};
use super::rules::{Peer, SESSION, error, header, hello, next, result, submit};

// Rules R-NEG-3
pub(crate) async fn what_a_client_does_not_take_is_not_sent(kind: Kind) {
    // It takes tensors only.
    let peer = Peer::new(kind, &hello()).await;
    let refused = peer.session.send_result(text_result(1, "text")).await;
    assert!(
        matches!(&refused, Err(SendError::Command(why)) if why.to_string().contains("R-NEG-3")),
        "{refused:?}"
    );
    peer.session.send_result(packets::result(1)).await.unwrap();
    assert_eq!(result(&peer.connection).await.msg_type, MessageType::ResultPush);
}

// Rules R-NEG-4
pub(crate) async fn a_frame_of_a_lane_that_was_not_agreed_is_taken(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    peer.send(submit(&SubmitFrame { view_id: 9, ..packets::frame(1) })).await;
    let frame = soon("a frame", peer.session.recv()).await.unwrap().unwrap();
    assert_eq!(frame.key().view_id, 9);
}

// Rules R-STATE-3, R-LIM-11
pub(crate) async fn a_session_that_closes_takes_nothing_new_and_does_not_wait_for_ever(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let began = clock::now();
    let closing = peer.session.close("enough");
    let late = async {
        next(&peer.connection, MessageType::Close).await;
        peer.send(packets::submit_packet(SESSION, 1)).await;
        assert_eq!(error(&peer.connection).await, (ErrorCode::InvalidState, ErrorScope::Frame, false));
        let dropped = result(&peer.connection).await;
        assert_eq!((dropped.msg_type, dropped.frame_id), (MessageType::ResultDrop, 1));
        peer.send(packets::control(MessageType::SessionPatch, SESSION, &[0; 36])).await;
        assert_eq!(error(&peer.connection).await, (ErrorCode::InvalidState, ErrorScope::Session, false));
        // A client that stays is not waited for any longer than the drain time.
        soon("the end", peer.connection.gone()).await;
    };
    tokio::join!(closing, late);
    let lasted = clock::now().saturating_duration_since(began);
    assert!(lasted >= nnrp::DRAIN_TIME.mul_f32(0.9), "{lasted:?}");
}

// Rules R-LIM-5
pub(crate) async fn a_reason_that_is_too_long_is_cut(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let reason = Bytes::from("r".repeat(3000));
    peer.send(Packet::build(header(MessageType::Close), Bytes::new(), reason)).await;
    peer.connection.abort(0, "");
    let closed = soon("the end", peer.session.closed()).await.0;
    assert_eq!((closed.by, closed.reason.as_str()), (EndedBy::Peer, "r".repeat(1024).as_str()));
}

// Rules R-LIM-12
pub(crate) async fn a_hundred_pings_a_second_are_answered(kind: Kind) {
    const PINGS: u64 = 2000;
    const LIMIT: u64 = 100;
    let peer = Peer::new(kind, &hello()).await;
    let began = clock::now();
    for _ in 0..PINGS {
        peer.send(packets::bare(MessageType::Ping, SESSION)).await;
    }
    // Its answer comes after theirs.
    peer.send(packets::control(MessageType::TransportProbe, 0, &[0; 16])).await;
    let mut answered = 0;
    loop {
        let item = soon("an answer", peer.connection.receive(Filter::Control)).await;
        let Ok(Item::Packet(packet)) = item else { panic!("{item:?}") };
        match packet.header.msg_type {
            MessageType::Pong => answered += 1,
            MessageType::TransportProbeAck => break,
            other => panic!("{other}"),
        }
    }
    let seconds = clock::now().saturating_duration_since(began).as_secs();
    assert!((LIMIT..=LIMIT * (seconds + 2)).contains(&answered), "{answered} in {seconds} s");
    clock::sleep_until(Some(clock::now() + Duration::from_secs(1))).await;
    peer.is_alive().await;
}
