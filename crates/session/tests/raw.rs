//! Raw connections deliver everything and answer nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use nnrp_session::{Event, HeaderVerdict};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{MessageType, TransportId};

#[test]
fn packets_of_every_kind_are_delivered_in_order() {
    let mut pair = Pair::raw(TransportId::Tcp);
    for packet in [
        packets::bare(MessageType::Ping, 0),
        packets::submit_packet(5, 1),
        packets::bare(MessageType::Close, 9),
    ] {
        pair.client.machine.send_packet(pair.now, packet).unwrap();
    }
    pair.drive();
    let types: Vec<MessageType> = pair
        .server
        .events
        .iter()
        .map(|event| match event {
            Event::Packet(packet, _) => packet.header.msg_type,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(types, [MessageType::Ping, MessageType::FrameSubmit, MessageType::Close]);
    assert_eq!(pair.server.sent_types(), []);
}

#[test]
fn bytes_that_cannot_be_framed_end_it_quietly() {
    let mut pair = Pair::raw(TransportId::Tcp);
    let bytes = packets::damaged(&packets::bare(MessageType::Ping, 0), 0, b"HTTP");
    assert_eq!(pair.server.receive(pair.now, &bytes), HeaderVerdict::Stop);
    pair.drive();
    assert!(matches!(pair.server.event(), Some(Event::Ended(_))));
    assert_eq!(pair.server.sent_types(), []);
}
