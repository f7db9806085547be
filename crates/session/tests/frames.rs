//! Frames and their answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{DropFrame, Event, FrameKey, SubmittedTiles};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    BudgetPolicy, ErrorCode, ErrorMessage, ErrorMetadata, ErrorScope, Header, HeaderFlags, MessageType,
    ResultClass, ResultFrame, ResultHintMetadata, ResultHintReason, Revision, SubmitFrame,
};

fn drop_of(frame_id: u32, reason: Option<ResultHintReason>) -> DropFrame {
    DropFrame { frame_id, reason, ..DropFrame::default() }
}

/// Sends `result` from the server and says what the client is told.
fn push(pair: &mut Pair, result: &ResultFrame) -> Option<Event> {
    let packet = result.encode(pair.server.machine.session_id(), Revision::Current).unwrap();
    pair.server.machine.push_result(pair.now, packet).unwrap();
    pair.drive();
    pair.client.event()
}

#[test]
fn results_come_back_in_any_order() {
    let mut pair = Pair::connected();
    for frame_id in 1..=3 {
        pair.submit(frame_id);
    }
    assert_eq!(pair.client.machine.live_frames(), 3);
    for frame_id in [3, 1, 2] {
        pair.answer(frame_id);
        let Some(Event::Result(result)) = pair.client.event() else { panic!() };
        assert_eq!(result.packet.header.frame_id, frame_id);
    }
    assert_eq!((pair.client.machine.live_frames(), pair.server.machine.live_frames()), (0, 0));
}

#[test]
fn a_drop_says_why() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.server.machine.push_drop(&drop_of(1, Some(ResultHintReason::QueueFull))).unwrap();
    pair.drive();
    assert!(matches!(pair.client.event(), Some(Event::Hint(..))));
    let Some(Event::Result(result)) = pair.client.event() else { panic!() };
    assert_eq!((result.push.is_none(), result.drop_reason), (true, Some(ResultHintReason::QueueFull)));
    assert_eq!(pair.client.machine.live_frames(), 0);
}

#[test]
fn a_drop_without_a_reason_is_not_held_back_for_long() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.server.machine.push_drop(&drop_of(1, None)).unwrap();
    pair.drive();
    pair.advance(Duration::from_millis(250));
    let Some(Event::Result(result)) = pair.client.event() else { panic!() };
    assert_eq!(result.drop_reason, None);
}

#[test]
fn on_a_quick_path_a_drop_without_a_reason_comes_sooner() {
    let mut pair = Pair::connected();
    pair.client.machine.set_round_trip(Duration::from_millis(1));
    pair.submit(1);
    pair.server.machine.push_drop(&drop_of(1, None)).unwrap();
    pair.drive();
    assert!(pair.client.event().is_none());
    pair.advance(Duration::from_millis(25));
    assert!(matches!(pair.client.event(), Some(Event::Result(_))));
}

#[test]
fn a_late_hint_is_not_about_another_view() {
    let mut pair = Pair::connected();
    for view_id in [0, 1] {
        let frame = nnrp_wire::SubmitFrame { view_id, ..packets::frame(1) };
        pair.client.machine.submit(pair.now, frame.encode(1, Revision::Current).unwrap()).unwrap();
    }
    pair.drive();
    // The frame of view 0 ends, its hint comes behind; view 1 is dropped without a reason.
    pair.server.machine.push_drop(&drop_of(1, None)).unwrap();
    pair.drive();
    pair.advance(Duration::from_millis(250));
    let Some(Event::Result(_)) = pair.client.event() else { panic!() };
    let reason = ResultHintMetadata { reason: ResultHintReason::ServerBusy, ..ResultHintMetadata::default() };
    let mut header = Header::new(MessageType::ResultHint);
    header.frame_id = 1;
    pair.server.machine.push_hint(header, &reason).unwrap();
    pair.server.machine.push_drop(&DropFrame { view_id: 1, ..drop_of(1, None) }).unwrap();
    pair.drive();
    pair.advance(Duration::from_millis(250));
    assert!(matches!(pair.client.event(), Some(Event::Hint(..))));
    let Some(Event::Result(result)) = pair.client.event() else { panic!() };
    assert_eq!((result.packet.header.view_id, result.drop_reason), (1, None));
}

#[test]
fn a_hint_without_a_view_is_about_the_one_frame_of_that_id() {
    let mut pair = Pair::connected();
    let frame = nnrp_wire::SubmitFrame { view_id: 2, ..packets::frame(1) };
    pair.client.machine.submit(pair.now, frame.encode(1, Revision::Current).unwrap()).unwrap();
    pair.drive();
    let busy = ResultHintMetadata { reason: ResultHintReason::ServerBusy, ..ResultHintMetadata::default() };
    let mut header = Header::new(MessageType::ResultHint);
    header.frame_id = 1;
    pair.server.machine.push_hint(header, &busy).unwrap();
    pair.server.machine.push_drop(&DropFrame { view_id: 2, ..drop_of(1, None) }).unwrap();
    pair.drive();
    assert!(matches!(pair.client.event(), Some(Event::Hint(..))));
    let Some(Event::Result(result)) = pair.client.event() else { panic!() };
    assert_eq!(result.drop_reason, Some(ResultHintReason::ServerBusy));
}

// Rules R-LIFE-4
#[test]
fn a_second_drop_says_nothing_new() {
    let mut pair = Pair::connected();
    pair.submit(1);
    for _ in 0..2 {
        pair.server.machine.push_drop(&drop_of(1, Some(ResultHintReason::ServerBusy))).unwrap();
    }
    pair.drive();
    let results = pair.client.events.iter().filter(|event| matches!(event, Event::Result(_))).count();
    assert_eq!(results, 1);
}

#[test]
fn parts_of_an_answer_leave_the_frame_open_until_the_last() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let part = ResultFrame {
        result_class: ResultClass::Partial,
        applied_budget_policy: BudgetPolicy::ALLOW_PARTIAL,
        dropped_tile_count: 1,
        ..packets::result(1)
    };
    assert!(matches!(push(&mut pair, &part), Some(Event::Result(_))));
    assert_eq!((pair.client.machine.live_frames(), pair.server.machine.live_frames()), (1, 1));
    let last = ResultFrame { flags: HeaderFlags::EOS, ..part };
    assert!(matches!(push(&mut pair, &last), Some(Event::Result(_))));
    assert_eq!((pair.client.machine.live_frames(), pair.server.machine.live_frames()), (0, 0));
}

// Rules R-LIFE-1
#[test]
fn a_frame_left_partial_counts_as_delivered_after_its_linger() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let part = ResultFrame {
        result_class: ResultClass::Partial,
        applied_budget_policy: BudgetPolicy::ALLOW_PARTIAL,
        dropped_tile_count: 1,
        ..packets::result(1)
    };
    push(&mut pair, &part);
    pair.advance(Duration::from_millis(999));
    assert_eq!(pair.client.machine.live_frames(), 1);
    pair.advance(Duration::from_millis(1));
    assert_eq!(pair.client.machine.live_frames(), 0);
}

// Rules R-RES-10, R-LIFE-5
#[test]
fn results_after_the_last_one_are_still_delivered() {
    let mut pair = Pair::connected();
    pair.submit(1);
    for _ in 0..3 {
        assert!(matches!(push(&mut pair, &packets::result(1)), Some(Event::Result(_))));
    }
}

#[test]
fn a_server_may_answer_frames_nobody_submitted() {
    let mut pair = Pair::connected();
    assert!(matches!(push(&mut pair, &packets::result(99)), Some(Event::Result(_))));
}

#[test]
fn a_cancelled_frame_is_announced_once_and_its_results_are_thrown_away() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.server.events.clear();
    pair.client.machine.cancel(FrameKey::new(1)).unwrap();
    pair.client.machine.cancel(FrameKey::new(1)).unwrap();
    pair.drive();
    assert!(matches!(pair.server.event(), Some(Event::Cancelled(key)) if key == FrameKey::new(1)));
    assert!(pair.server.event().is_none());
    assert!(pair.server.machine.is_cancelled(FrameKey::new(1)));
    pair.client.events.clear();
    assert!(push(&mut pair, &packets::result(1)).is_none());
    assert_eq!(pair.client.machine.live_frames(), 0, "the credit returns with the terminal message");
    // The id is free for a new frame.
    pair.echo(2);
}

#[test]
fn a_refused_frame_fails_once_though_error_and_drop_both_arrive() {
    let mut pair = Pair::connected();
    let mut bad = packets::submit_packet(1, 5).to_bytes().to_vec();
    bad[Header::LEN + 12] = 9; // frame_class
    pair.client.machine.submit(pair.now, packets::submit_packet(1, 5).encode()).unwrap();
    while pair.client.machine.poll_transmit().is_some() {}
    pair.server.receive(pair.now, &packets::submit_packet(1, 4).to_bytes());
    pair.server.receive(pair.now, &bad.into());
    pair.drive();
    assert!(pair.server.sent_types().ends_with(&[MessageType::Error, MessageType::ResultDrop]));
    let failures: Vec<_> =
        pair.client.events.iter().filter(|e| matches!(e, Event::FrameFailed(_) | Event::Result(_))).collect();
    assert_eq!(failures.len(), 1, "{failures:?}");
}

// Rules R-ERR-3
#[test]
fn an_error_for_a_frame_that_is_over_is_ignored() {
    let mut pair = Pair::connected();
    let metadata = ErrorMetadata {
        error_code: ErrorCode::CacheMiss,
        error_scope: ErrorScope::Frame,
        related_frame_id: 42,
        ..ErrorMetadata::default()
    };
    let mut header = Header::new(MessageType::Error);
    header.session_id = 1;
    let error = ErrorMessage { metadata, diagnostic: "no such object".into() }.encode(header).unwrap();
    pair.client.receive(pair.now, &error.to_bytes());
    pair.drive();
    assert!(pair.client.event().is_none());
    pair.echo(1);
}

#[test]
fn a_malformed_result_costs_its_frame_only() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.submit(2);
    let result = packets::result(1).encode(1, Revision::Current).unwrap().to_packet();
    let bad = packets::damaged(&result, Header::LEN + 44, &[7]); // result_class
    pair.client.receive(pair.now, &bad);
    pair.drive();
    let Some(Event::FrameFailed(failed)) = pair.client.event() else { panic!() };
    assert_eq!((failed.key, failed.fault.code), (FrameKey::new(1), ErrorCode::MalformedBody));
    pair.answer(2);
    assert!(matches!(pair.client.event(), Some(Event::Result(_))));
}

#[test]
fn a_server_remembers_which_tiles_were_asked_for() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let tiles = pair.server.machine.submitted_tiles(FrameKey::new(1)).unwrap();
    assert_eq!(tiles.to_vec(), [3, 7]);
    assert_eq!(SubmittedTiles::Range { base: 5, count: 3 }.to_vec(), [5, 6, 7]);
    pair.answer(1);
    assert!(
        pair.server.machine.submitted_tiles(FrameKey::new(1)).is_some(),
        "answered frames are remembered too"
    );
}

#[test]
fn memory_of_answered_frames_is_bounded() {
    let mut pair = Pair::connected();
    let last = u32::try_from(nnrp_session::REMEMBERED_SUBMITS).unwrap() + 10;
    for frame_id in 1..=last {
        pair.submit(frame_id);
        pair.answer(frame_id);
        pair.client.events.clear();
        pair.server.events.clear();
    }
    assert!(pair.server.machine.submitted_tiles(FrameKey::new(1)).is_none());
    assert!(pair.server.machine.submitted_tiles(FrameKey::new(last)).is_some());
}

#[test]
fn tile_ids_of_answered_frames_are_remembered_up_to_a_megabyte() {
    let mut pair = Pair::connected();
    // Every id but one: no range says the same in two numbers, so each costs 128 KiB.
    let tile_ids: Vec<u16> = (0..=u16::MAX).filter(|id| *id != 1).collect();
    let session_id = pair.server.machine.session_id();
    for frame_id in 1..=20 {
        let frame = SubmitFrame { tile_ids: tile_ids.clone(), ..SubmitFrame::new(frame_id) };
        let packet = frame.encode(session_id, Revision::Current).unwrap();
        pair.client.machine.submit(pair.now, packet).unwrap();
        pair.drive();
        pair.answer(frame_id);
    }
    let remembered =
        |id: &u32| pair.server.machine.submitted_tiles(FrameKey::new(*id)).is_some_and(|t| t.len() == 65535);
    assert_eq!((1..=20).filter(remembered).collect::<Vec<u32>>(), (13..=20).collect::<Vec<u32>>());
}
