//! Servers that go away: what they have is answered, what comes later is turned away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{ClientSettings, ConnectionState, EndedBy, Event, LATE_HELLO_TIME, ServerSettings};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    Close, ErrorCode, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason, Header, MessageType, Packet,
    ResultHintReason, TransportId,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A session whose server has frames 1 to `owed` and has begun to drain.
fn draining(owed: u32) -> Pair {
    let mut pair = Pair::connected();
    for frame_id in 1..=owed {
        pair.submit(frame_id);
    }
    pair.server.events.clear();
    pair.server.machine.drain(pair.now, pair.now + PATIENCE, "maintenance");
    pair.drive();
    pair
}

/// Frame id and reason of the drops among the client's events; frame ids of the results.
fn answers(pair: &mut Pair) -> (Vec<(u32, Option<ResultHintReason>)>, Vec<u32>) {
    let (mut drops, mut results) = (Vec::new(), Vec::new());
    for event in pair.client.events.drain(..) {
        if let Event::Result(result) = event {
            let frame_id = result.packet.header.frame_id;
            match result.push {
                Some(_) => results.push(frame_id),
                None => drops.push((frame_id, result.drop_reason)),
            }
        }
    }
    (drops, results)
}

fn count(pair: &Pair, message: MessageType) -> usize {
    pair.server.sent_types().iter().filter(|sent| **sent == message).count()
}

#[test]
fn the_session_goes_on_until_the_last_frame_is_answered() {
    let mut pair = draining(3);
    pair.advance(PATIENCE / 2);
    for frame_id in [2, 1] {
        pair.answer(frame_id);
    }
    pair.advance(Duration::from_secs(6));
    assert_eq!(pair.server.machine.state(), ConnectionState::Active, "one frame is still owed");
    pair.answer(3);
    pair.advance(Duration::from_millis(1));
    assert_eq!(answers(&mut pair), (vec![], vec![2, 1, 3]));
    let close = pair.server.sent.last().unwrap();
    assert_eq!(Close::decode(close).unwrap().reason, "maintenance");
    let Some(Event::Ended(ended)) = pair.server.event() else { panic!() };
    assert_eq!((ended.by, ended.reason.as_str()), (EndedBy::Local, "maintenance"));
    let drained = pair.server.machine.drained();
    assert_eq!((drained.answered, drained.dropped, drained.refused, drained.lost), (3, 0, 0, 0));
}

#[test]
fn the_client_is_asked_to_submit_nothing_new() {
    let mut pair = Pair::connected();
    pair.submit(1);
    // What the application has said about credit is older than what the drain says.
    let spoken = FlowUpdateMetadata {
        scope_kind: nnrp_wire::FlowUpdateScopeKind::Session,
        credit_epoch: 41,
        ..FlowUpdateMetadata::default()
    };
    let mut header = Header::new(MessageType::FlowUpdate);
    header.session_id = 1;
    let packet = Packet::build(header, spoken.encode().to_vec().into(), bytes::Bytes::new());
    pair.server.machine.send_packet(pair.now, packet).unwrap();
    pair.server.machine.drain(pair.now, pair.now + PATIENCE, "");
    pair.drive();
    let updates: Vec<FlowUpdateMetadata> = pair
        .client
        .events
        .iter()
        .filter_map(|event| if let Event::FlowUpdate(_, update) = event { Some(*update) } else { None })
        .collect();
    let asked = updates.last().unwrap();
    assert_eq!((asked.credit_epoch, asked.update_reason), (42, FlowUpdateReason::Pause));
    assert!(asked.flow_flags.contains(FlowUpdateFlags::DRAIN_IN_FLIGHT_ONLY));
}

#[test]
fn a_frame_that_comes_too_late_is_dropped_with_a_reason() {
    let mut pair = draining(1);
    pair.submit(2);
    pair.submit(3);
    assert!(pair.server.event().is_none(), "the application does not see it");
    let busy = Some(ResultHintReason::ServerBusy);
    assert_eq!(answers(&mut pair), (vec![(2, busy), (3, busy)], vec![]));
    pair.answer(1);
    pair.advance(Duration::from_millis(1));
    assert_eq!(answers(&mut pair), (vec![], vec![1]));
    let drained = pair.server.machine.drained();
    assert_eq!((drained.answered, drained.refused), (1, 2));
}

#[test]
fn what_is_not_answered_in_time_is_dropped_with_a_reason() {
    let mut pair = draining(3);
    pair.answer(2);
    pair.advance(PATIENCE - Duration::from_millis(1));
    assert_eq!(count(&pair, MessageType::Close), 0);
    pair.advance(Duration::from_millis(1));
    let busy = Some(ResultHintReason::ServerBusy);
    assert_eq!(answers(&mut pair), (vec![(1, busy), (3, busy)], vec![2]));
    assert_eq!(count(&pair, MessageType::Close), 1);
    let drained = pair.server.machine.drained();
    assert_eq!((drained.answered, drained.dropped), (1, 2));
}

#[test]
fn a_session_without_frames_closes_at_once() {
    let mut pair = draining(0);
    pair.advance(Duration::ZERO);
    assert_eq!(pair.server.sent_types()[..2], [MessageType::FlowUpdate, MessageType::Close]);
    // However many frames crossed CLOSE on their way, each gets an answer that says why.
    pair.server.sent.clear();
    for frame_id in 1..=100 {
        let late = packets::submit_packet(1, frame_id);
        pair.server.receive(pair.now, &late.to_bytes());
    }
    pair.drive();
    assert_eq!(count(&pair, MessageType::ResultHint), 100);
    assert_eq!(count(&pair, MessageType::ResultDrop), 100);
    assert_eq!(pair.server.machine.drained().refused, 100);
}

#[test]
fn a_partial_result_is_no_answer() {
    let mut pair = draining(1);
    let mut partial = packets::result(1);
    partial.result_class = nnrp_wire::ResultClass::Partial;
    partial.dropped_tile_count = 1;
    let packet = partial.encode(1, nnrp_wire::Revision::Current).unwrap();
    pair.server.machine.push_result(pair.now, packet).unwrap();
    pair.advance(Duration::from_secs(1));
    assert_eq!(count(&pair, MessageType::Close), 0);
    pair.answer(1);
    pair.advance(Duration::ZERO);
    assert_eq!(count(&pair, MessageType::Close), 1);
}

#[test]
fn draining_again_can_only_shorten_the_deadline() {
    let mut pair = draining(1);
    pair.server.machine.drain(pair.now, pair.now + 2 * PATIENCE, "again");
    pair.server.machine.drain(pair.now, pair.now + Duration::from_secs(1), "again");
    pair.advance(Duration::from_secs(1));
    assert_eq!(count(&pair, MessageType::FlowUpdate), 1);
    assert_eq!(answers(&mut pair).0.len(), 1);
}

#[test]
fn frames_of_a_client_that_is_lost_are_counted_as_lost() {
    let mut pair = draining(2);
    pair.answer(1);
    let gone = nnrp_session::TransportEnd { clean: false, text: "reset".into() };
    pair.server.machine.handle_transport_closed(&gone);
    let drained = pair.server.machine.drained();
    assert_eq!((drained.answered, drained.lost), (1, 1));
    assert_eq!(pair.server.machine.poll_timeout(), None);
}

/// What the client is told that knocks while the server goes away.
fn refusal(pair: &Pair) -> (ErrorCode, u32, String) {
    let error = nnrp_wire::ErrorMessage::decode(pair.server.sent.last().unwrap()).unwrap();
    (error.metadata.error_code, error.metadata.is_fatal, error.diagnostic)
}

#[test]
fn a_client_that_waits_to_be_admitted_is_refused_as_busy() {
    let mut pair = Pair::knocking(&packets::hello());
    pair.server.machine.drain(pair.now, pair.now + PATIENCE, "maintenance");
    pair.drive();
    assert_eq!(refusal(&pair), (ErrorCode::ServerBusy, 1, "maintenance".into()));
}

#[test]
fn a_client_that_has_yet_to_say_hello_is_refused_when_it_does() {
    let mut pair = Pair::serving(TransportId::Quic, ServerSettings::default());
    pair.server.machine.drain(pair.now, pair.now + PATIENCE, "maintenance");
    pair.advance(Duration::from_secs(1));
    assert!(pair.server.sent.is_empty());
    pair.client.machine.open(pair.now, &packets::hello(), ClientSettings::default()).unwrap();
    pair.drive();
    assert_eq!(refusal(&pair), (ErrorCode::ServerBusy, 1, "maintenance".into()));
}

#[test]
fn a_client_that_says_nothing_is_not_waited_for() {
    let mut pair = Pair::serving(TransportId::Quic, ServerSettings::default());
    pair.server.machine.drain(pair.now, pair.now + PATIENCE, "maintenance");
    pair.advance(LATE_HELLO_TIME);
    assert_eq!(pair.server.shut_down, Some(0));
}
