//! The states of a frame, on both sides, and the ids that name it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{
    DropFrame, Event, FRAME_TRANSITIONS, FrameKey, FrameState, MAX_EARLY_CANCELS, ServerSettings, Side,
    TransportEnd,
};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    BudgetPolicy, ErrorCode, ErrorMessage, ErrorMetadata, ErrorScope, Header, MessageType, Packet,
    ResultClass, ResultFrame, ResultHintReason, Revision, SubmitFrame, TransportId,
};

const STATES: [FrameState; 8] = [
    FrameState::Announced,
    FrameState::Submitted,
    FrameState::Processing,
    FrameState::Ready,
    FrameState::Delivered,
    FrameState::Dropped,
    FrameState::Cancelled,
    FrameState::Expired,
];

fn server(change: impl FnOnce(&mut ServerSettings)) -> Pair {
    let mut settings = ServerSettings::default();
    change(&mut settings);
    Pair::connected_with(settings)
}

fn cancel_of(frame_id: u32) -> Packet {
    let mut header = Header::new(MessageType::FrameCancel);
    header.session_id = 1;
    header.frame_id = frame_id;
    Packet::build(header, bytes::Bytes::new(), bytes::Bytes::new())
}

fn submit(pair: &mut Pair, frame: &SubmitFrame) {
    pair.client.machine.submit(pair.now, frame.encode(1, Revision::Current).unwrap()).unwrap();
    pair.drive();
}

fn with_budget(frame_id: u32, latency_budget_ms: u16) -> SubmitFrame {
    SubmitFrame { latency_budget_ms, ..packets::frame(frame_id) }
}

fn push(pair: &mut Pair, result: &ResultFrame) {
    let packet = result.encode(1, Revision::Current).unwrap();
    pair.server.machine.push_result(pair.now, packet).unwrap();
    pair.drive();
}

fn drop_reasons(pair: &Pair) -> Vec<Option<ResultHintReason>> {
    let drops = pair.client.events.iter().filter_map(|event| match event {
        Event::Result(result) if result.push.is_none() => Some(result.drop_reason),
        _ => None,
    });
    drops.collect()
}

fn cancelled_events(pair: &Pair) -> usize {
    pair.server.events.iter().filter(|event| matches!(event, Event::Cancelled(_))).count()
}

#[test]
fn every_state_has_a_way_in_and_the_terminal_ones_no_way_out() {
    for state in STATES {
        let way_in = FRAME_TRANSITIONS.iter().any(|row| row.to == state);
        let way_out = FRAME_TRANSITIONS.iter().any(|row| row.from == state);
        assert_eq!(way_in, state != FrameState::Announced, "{state:?}");
        assert_eq!(way_out, !state.is_terminal(), "{state:?}");
    }
    let seen = |side, state| FRAME_TRANSITIONS.iter().any(|row| row.side == side && row.from == state);
    assert!(!seen(Side::Server, FrameState::Announced));
    assert!(!seen(Side::Client, FrameState::Processing) && !seen(Side::Client, FrameState::Ready));
}

#[test]
fn a_frame_goes_through_its_states() {
    let mut pair = Pair::connected();
    let key = FrameKey::new(1);
    let packet = packets::submit_packet(1, 1);
    pair.client.machine.submit(pair.now, packet.encode()).unwrap();
    assert_eq!(pair.client.machine.frame_state(key), Some(FrameState::Submitted));
    pair.drive();
    assert_eq!(pair.server.machine.frame_state(key), Some(FrameState::Processing));
    pair.answer(1);
    assert_eq!(pair.server.machine.frame_state(key), Some(FrameState::Delivered));
    assert_eq!(pair.client.machine.frame_state(key), None, "a client forgets what is over");
    let stats = (pair.server.machine.frame_stats(), pair.client.machine.frame_stats());
    assert_eq!((stats.0.frames_submitted, stats.0.frames_delivered), (1, 1));
    assert_eq!((stats.1.frames_submitted, stats.1.frames_delivered), (1, 1));
}

#[test]
fn views_are_lanes_of_their_own() {
    let mut pair = Pair::connected();
    for view_id in 0..3 {
        submit(&mut pair, &SubmitFrame { view_id, ..packets::frame(7) });
    }
    let key = |view_id| FrameKey { view_id, frame_id: 7 };
    assert_eq!(pair.server.machine.live_frames(), 3);
    pair.client.machine.cancel(key(1)).unwrap();
    pair.drive();
    let drop = DropFrame { frame_id: 7, view_id: 2, ..DropFrame::default() };
    pair.server.machine.push_drop(&drop).unwrap();
    pair.drive();
    push(&mut pair, &packets::result(7));
    let states = [0, 1, 2].map(|view| pair.server.machine.frame_state(key(view)).unwrap());
    assert_eq!(states, [FrameState::Delivered, FrameState::Cancelled, FrameState::Dropped]);
    assert_eq!(pair.server.machine.live_frames(), 1, "the cancelled one still owes its end");
}

#[test]
fn a_cancel_that_overtakes_its_submit_is_not_lost() {
    let mut pair = Pair::connected();
    pair.tell_server(&cancel_of(1));
    assert_eq!(cancelled_events(&pair), 0);
    pair.submit(1);
    assert!(matches!(pair.server.events.pop_front(), Some(Event::Submit(_))));
    assert!(matches!(pair.server.events.pop_front(), Some(Event::Cancelled(key)) if key == FrameKey::new(1)));
    assert!(pair.server.machine.is_cancelled(FrameKey::new(1)));
    assert_eq!(pair.server.machine.frame_stats().cancelled_early, 1);
    pair.submit(2);
    assert!(!pair.server.machine.is_cancelled(FrameKey::new(2)), "it cancels one frame, once");
}

#[test]
fn a_cancel_cannot_overtake_anything_on_one_ordered_stream() {
    let mut pair = Pair::serving(TransportId::Tcp, ServerSettings::default());
    pair.client.machine.open(pair.now, &packets::hello(), nnrp_session::ClientSettings::default()).unwrap();
    pair.drive();
    pair.server.machine.admit(pair.now, &nnrp_session::Admission::default()).unwrap();
    pair.drive();
    pair.tell_server(&cancel_of(1));
    pair.submit(1);
    assert!(!pair.server.machine.is_cancelled(FrameKey::new(1)), "R-CAN-1");
    assert_eq!(pair.server.machine.frame_stats().cancels_ignored, 1);
}

#[test]
fn cancels_of_frames_that_never_come_are_bounded() {
    let mut pair = Pair::connected();
    let many = u32::try_from(MAX_EARLY_CANCELS).unwrap();
    for frame_id in 1..=many + 1 {
        pair.tell_server(&cancel_of(frame_id));
    }
    pair.submit(1);
    pair.submit(2);
    let cancelled = [1, 2].map(|id| pair.server.machine.is_cancelled(FrameKey::new(id)));
    assert_eq!(cancelled, [false, true], "the oldest is forgotten");
}

// Rules R-CAN-1
#[test]
fn a_cancel_for_a_finished_frame_is_counted_and_ignored() {
    let mut pair = Pair::connected();
    pair.echo(1);
    pair.tell_server(&cancel_of(1));
    assert_eq!(cancelled_events(&pair), 0);
    assert_eq!(pair.server.machine.frame_state(FrameKey::new(1)), Some(FrameState::Delivered));
    assert_eq!(pair.server.machine.frame_stats().cancels_ignored, 1);
}

#[test]
fn a_live_id_may_be_used_again_unless_ids_are_strict() {
    let mut pair = server(|_| {});
    pair.submit(1);
    pair.submit(1);
    assert_eq!((pair.server.machine.live_frames(), pair.client.machine.live_frames()), (2, 2));
    pair.answer(1);
    assert_eq!((pair.server.machine.live_frames(), pair.client.machine.live_frames()), (1, 1));
    pair.answer(1);
    assert_eq!((pair.server.machine.live_frames(), pair.client.machine.live_frames()), (0, 0));
    assert_eq!(pair.server.machine.frame_stats().ids_reused, 1);
}

// Rules R-SUB-10
#[test]
fn strict_ids_refuse_the_second_frame_and_leave_the_first_alone() {
    let mut pair = server(|settings| settings.strict_frame_ids = true);
    pair.submit(1);
    pair.server.events.clear();
    pair.submit(1);
    let rejected = pair.server.events.iter().find_map(|event| match event {
        Event::Rejected(rejected) => Some(rejected.fault.clone()),
        _ => None,
    });
    let fault = rejected.unwrap();
    assert_eq!((fault.code, fault.scope), (ErrorCode::InvalidState, ErrorScope::Frame));
    assert!(!pair.server.sent_types().contains(&MessageType::ResultDrop), "it would end the live frame");
    assert_eq!(pair.server.machine.live_frames(), 1);
    pair.answer(1);
    pair.server.events.clear();
    pair.submit(1);
    assert!(matches!(pair.server.event(), Some(Event::Submit(_))), "an answered id may be used again");
}

// Rules R-LIFE-3
#[test]
fn frames_expire_only_when_asked() {
    for expire in [false, true] {
        let mut pair = server(|settings| settings.expire_frames = expire);
        submit(&mut pair, &with_budget(1, 40));
        submit(&mut pair, &with_budget(2, 0));
        pair.server.events.clear();
        pair.advance(Duration::from_millis(39));
        assert!(drop_reasons(&pair).is_empty());
        pair.advance(Duration::from_secs(60));
        if !expire {
            assert!(drop_reasons(&pair).is_empty());
            continue;
        }
        assert_eq!(drop_reasons(&pair), [Some(ResultHintReason::BudgetExceeded)]);
        let told = pair.server.sent_types().into_iter().filter(|message| *message != MessageType::Pong);
        assert_eq!(told.collect::<Vec<_>>(), [MessageType::ResultHint, MessageType::ResultDrop]);
        assert!(matches!(pair.server.event(), Some(Event::Expired(key)) if key == FrameKey::new(1)));
        assert_eq!(pair.server.machine.frame_state(FrameKey::new(1)), Some(FrameState::Expired));
        let stats = (pair.server.machine.frame_stats(), pair.client.machine.frame_stats());
        assert_eq!((stats.0.frames_expired, stats.1.frames_expired), (1, 1));
    }
}

#[test]
fn past_its_deadline_a_frame_gets_no_result() {
    let mut pair = server(|settings| settings.expire_frames = true);
    submit(&mut pair, &with_budget(1, 40));
    pair.advance(Duration::from_millis(40));
    pair.client.events.clear();
    push(&mut pair, &packets::result(1));
    assert!(pair.client.event().is_none());
    assert_eq!(pair.server.machine.frame_stats().results_expired, 1);
    pair.echo(2);
}

#[test]
fn an_answer_in_time_stops_the_clock() {
    let mut pair = server(|settings| settings.expire_frames = true);
    submit(&mut pair, &with_budget(1, 40));
    pair.answer(1);
    pair.client.events.clear();
    pair.advance(Duration::from_secs(1));
    assert!(drop_reasons(&pair).is_empty());
    assert_eq!(pair.server.machine.frame_stats().frames_expired, 0);
    assert!(pair.server.machine.poll_timeout().is_none(), "no timer is left behind");
}

#[test]
fn a_retransmit_names_its_original_and_nobody_checks_that_it_existed() {
    let mut pair = Pair::connected();
    let retransmit = SubmitFrame { dependency_frame_id: 40, retry_of_frame: 40, ..packets::frame(41) };
    submit(&mut pair, &retransmit);
    let Some(Event::Submit(submit)) = pair.server.event() else { panic!() };
    assert_eq!((submit.metadata.dependency_frame_id, submit.metadata.retry_of_frame), (40, 40));
}

// Rules R-RES-8
#[test]
fn a_result_beyond_what_its_frame_allows_is_delivered_and_marked() {
    for (allowed, beyond) in [(BudgetPolicy::NONE, true), (BudgetPolicy::ALLOW_DEGRADED, false)] {
        let mut pair = Pair::connected();
        submit(&mut pair, &SubmitFrame { budget_policy: allowed, ..packets::frame(1) });
        let degraded = ResultFrame {
            result_class: ResultClass::Degraded,
            applied_budget_policy: BudgetPolicy::ALLOW_DEGRADED,
            ..packets::result(1)
        };
        push(&mut pair, &degraded);
        let Some(Event::Result(result)) = pair.client.event() else { panic!() };
        assert_eq!(result.beyond_policy, beyond);
        assert_eq!(pair.client.machine.frame_stats().results_beyond_policy, u64::from(beyond));
    }
}

#[test]
fn late_and_unwanted_results_are_counted() {
    let mut pair = Pair::connected();
    pair.echo(1);
    push(&mut pair, &packets::result(1));
    push(&mut pair, &packets::result(77));
    assert_eq!(pair.server.machine.frame_stats().results_late, 2);
    assert_eq!(pair.client.machine.frame_stats().results_late, 2);
    pair.submit(2);
    pair.client.machine.cancel(FrameKey::new(2)).unwrap();
    pair.drive();
    push(&mut pair, &packets::result(2));
    assert_eq!(pair.client.machine.frame_stats().results_unwanted, 1);
    let drop = DropFrame { frame_id: 2, reason: Some(ResultHintReason::ServerBusy), ..DropFrame::default() };
    pair.server.machine.push_drop(&drop).unwrap();
    pair.drive();
    assert_eq!(pair.client.machine.frame_stats().drops_ignored, 1, "R-LIFE-4");
}

#[test]
fn an_error_for_a_frame_says_how_it_ended() {
    for (code, expired) in [(ErrorCode::FrameExpired, 1), (ErrorCode::FrameCancelled, 0)] {
        let mut pair = Pair::connected();
        pair.submit(3);
        let metadata = ErrorMetadata {
            error_code: code,
            error_scope: ErrorScope::Frame,
            related_frame_id: 3,
            ..ErrorMetadata::default()
        };
        let mut header = Header::new(MessageType::Error);
        header.session_id = 1;
        let error = ErrorMessage { metadata, diagnostic: String::new() }.encode(header).unwrap();
        pair.client.receive(pair.now, &error.to_bytes());
        pair.drive();
        assert!(matches!(pair.client.event(), Some(Event::FrameFailed(_))));
        assert_eq!(pair.client.machine.frame_stats().frames_expired, expired);
        assert_eq!(pair.client.machine.live_frames(), 0);
    }
}

#[test]
fn a_lost_session_ends_every_frame() {
    let mut pair = Pair::connected();
    for frame_id in 1..=3 {
        pair.submit(frame_id);
    }
    pair.client.machine.handle_transport_closed(&TransportEnd { clean: false, text: "cable cut".into() });
    assert_eq!(pair.client.machine.live_frames(), 0);
    assert_eq!(pair.client.machine.frame_stats().frames_dropped, 3);
}
