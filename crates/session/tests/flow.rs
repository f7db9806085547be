//! Credit: epochs, scopes, pauses, what a client makes of them and what a server may insist on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{
    ANNOUNCED_CREDIT_PATIENCE, CommandError, CreditPolicy, DropFrame, Event, HoldReason, ServerSettings,
};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    ErrorCode, FlowUpdateBackpressureLevel, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason,
    FlowUpdateScopeKind, FrameClass, MessageType, Packet, ResultHintReason,
};

fn update(epoch: u32, credit: u16) -> FlowUpdateMetadata {
    FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Session,
        session_credit: credit,
        credit_epoch: epoch,
        flow_flags: FlowUpdateFlags::CREDIT_VALID,
        ..FlowUpdateMetadata::default()
    }
}

fn packet(session_id: u32, metadata: &FlowUpdateMetadata) -> Packet {
    packets::control(MessageType::FlowUpdate, session_id, &metadata.encode())
}

/// The credit the client believes in after receiving these updates.
fn credit_after(updates: &[(u32, u16)]) -> (u16, usize) {
    let mut pair = Pair::connected();
    for (epoch, credit) in updates {
        pair.client.receive(pair.now, &packet(1, &update(*epoch, *credit)).to_bytes());
    }
    pair.drive();
    let seen = pair.client.events.iter().filter(|event| matches!(event, Event::FlowUpdate(..))).count();
    (pair.client.machine.credit().unwrap().session(), seen)
}

// Rules R-FLOW-6
#[test]
fn a_newer_epoch_replaces_the_credit_and_an_older_one_is_ignored() {
    assert_eq!(credit_after(&[(5, 8)]), (8, 1));
    assert_eq!(credit_after(&[(5, 8), (6, 2)]), (2, 2));
    assert_eq!(credit_after(&[(5, 8), (5, 2), (4, 3)]), (8, 1));
}

#[test]
fn without_credit_valid_the_number_is_ignored() {
    let mut pair = Pair::connected();
    let metadata = FlowUpdateMetadata { flow_flags: FlowUpdateFlags::default(), ..update(1, 9) };
    pair.client.receive(pair.now, &packet(1, &metadata).to_bytes());
    pair.drive();
    assert_eq!(pair.client.machine.credit().unwrap().frames(), 1);
    assert!(matches!(pair.client.event(), Some(Event::FlowUpdate(..))));
}

#[test]
fn the_scope_decides_which_session_id_the_header_carries() {
    for (scope, session_id, accepted) in [
        (FlowUpdateScopeKind::Session, 1, true),
        (FlowUpdateScopeKind::Session, 0, false),
        (FlowUpdateScopeKind::Connection, 0, true),
        (FlowUpdateScopeKind::Connection, 1, false),
    ] {
        let mut pair = Pair::connected();
        let metadata =
            FlowUpdateMetadata { scope_kind: scope, credit_epoch: 1, ..FlowUpdateMetadata::default() };
        pair.server.receive(pair.now, &packet(session_id, &metadata).to_bytes());
        pair.drive();
        match pair.server.event() {
            Some(Event::FlowUpdate(..)) => assert!(accepted, "{scope} {session_id}"),
            Some(Event::Rejected(rejected)) => {
                assert!(!accepted, "{scope} {session_id}");
                assert_eq!(rejected.fault.code, ErrorCode::InvalidState);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Asks at `now` whether another frame may go out.
fn held(pair: &mut Pair, class: FrameClass) -> Option<HoldReason> {
    let now = pair.now;
    match pair.client.machine.check_credit(now, class) {
        Ok(()) => None,
        Err(CommandError::Held(hold)) => Some(hold.reason),
        Err(error) => panic!("{error}"),
    }
}

fn tell_client(pair: &mut Pair, metadata: &FlowUpdateMetadata) {
    let session_id = if metadata.scope_kind == FlowUpdateScopeKind::Connection { 0 } else { 1 };
    pair.client.receive(pair.now, &packet(session_id, metadata).to_bytes());
    pair.drive();
}

fn announcing(frames: u16) -> Pair {
    let mut settings = ServerSettings::default();
    settings.max_concurrent_frames = frames;
    Pair::connected_with(settings)
}

#[test]
fn the_announced_number_holds_a_frame_back_until_one_ends() {
    let mut pair = announcing(2);
    for frame_id in 1..=2 {
        assert_eq!(held(&mut pair, FrameClass::Keyframe), None);
        pair.submit(frame_id);
    }
    let reason = HoldReason::Credit { live: 2, allowed: 2, granted: false };
    assert_eq!(held(&mut pair, FrameClass::Keyframe), Some(reason));
    let before = pair.client.machine.credit_changes();
    pair.answer(1);
    assert_ne!(pair.client.machine.credit_changes(), before, "whoever waits has to look again");
    assert_eq!(held(&mut pair, FrameClass::Keyframe), None);
}

#[test]
fn the_announced_number_is_no_bound_while_nothing_ends() {
    let mut pair = announcing(1);
    pair.submit(1);
    assert!(held(&mut pair, FrameClass::Keyframe).is_some());
    pair.advance(ANNOUNCED_CREDIT_PATIENCE);
    assert_eq!(
        held(&mut pair, FrameClass::Keyframe),
        None,
        "a server that collects frames would wait for ever"
    );
    pair.submit(2);
    assert_eq!(held(&mut pair, FrameClass::Keyframe), None, "patience is spent once");
    pair.submit(3);
    pair.answer(1);
    assert!(held(&mut pair, FrameClass::Keyframe).is_some(), "a frame that ends renews it");
    assert!(pair.client.machine.frame_stats().beyond_credit >= 2);
}

#[test]
fn a_granted_number_is_a_bound() {
    let mut pair = announcing(4);
    tell_client(&mut pair, &update(1, 1));
    pair.submit(1);
    pair.advance(Duration::from_secs(60));
    let reason = HoldReason::Credit { live: 1, allowed: 1, granted: true };
    assert_eq!(held(&mut pair, FrameClass::Keyframe), Some(reason));
}

#[test]
fn a_drop_that_waits_for_its_reason_gives_its_credit_back() {
    let mut pair = announcing(1);
    tell_client(&mut pair, &update(1, 1));
    pair.submit(1);
    pair.client.events.clear();
    assert!(held(&mut pair, FrameClass::Keyframe).is_some());
    let before = pair.client.machine.credit_changes();
    pair.server.machine.push_drop(&DropFrame { frame_id: 1, ..DropFrame::default() }).unwrap();
    pair.drive();
    assert!(pair.client.event().is_none(), "it waits");
    assert_ne!(pair.client.machine.credit_changes(), before, "whoever waits has to look again");
    assert_eq!(held(&mut pair, FrameClass::Keyframe), None);
}

#[test]
fn the_smaller_of_connection_and_session_counts() {
    let mut pair = announcing(8);
    let connection = FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Connection,
        session_credit: 0,
        connection_credit: 1,
        ..update(1, 0)
    };
    tell_client(&mut pair, &update(1, 5));
    tell_client(&mut pair, &connection);
    assert_eq!(pair.client.machine.credit().unwrap().frames(), 1);
    pair.submit(1);
    assert!(held(&mut pair, FrameClass::Keyframe).is_some());
}

#[test]
fn less_credit_than_frames_in_flight_cancels_nothing() {
    let mut pair = announcing(3);
    for frame_id in 1..=3 {
        pair.submit(frame_id);
    }
    tell_client(&mut pair, &update(1, 1));
    assert_eq!(pair.client.machine.live_frames(), 3);
    for (frame_id, waits) in [(1, true), (2, true), (3, false)] {
        pair.answer(frame_id);
        assert_eq!(held(&mut pair, FrameClass::Keyframe).is_some(), waits, "{frame_id} answered");
    }
}

#[test]
fn what_an_update_asks_for_is_in_force_until_the_next() {
    let base = FlowUpdateMetadata { flow_flags: FlowUpdateFlags::default(), ..update(1, 0) };
    let asks = [
        (FlowUpdateMetadata { update_reason: FlowUpdateReason::Pause, ..base }, HoldReason::Paused),
        (
            FlowUpdateMetadata { backpressure_level: FlowUpdateBackpressureLevel::Hard, ..base },
            HoldReason::Paused,
        ),
        (
            FlowUpdateMetadata { flow_flags: FlowUpdateFlags::DRAIN_IN_FLIGHT_ONLY, ..base },
            HoldReason::Draining,
        ),
        (
            FlowUpdateMetadata { flow_flags: FlowUpdateFlags::BACKGROUND_ONLY, ..base },
            HoldReason::BackgroundOnly,
        ),
        (update(1, 0), HoldReason::Credit { live: 0, allowed: 0, granted: true }),
    ];
    for (ask, reason) in asks {
        let mut pair = announcing(4);
        tell_client(&mut pair, &ask);
        pair.advance(Duration::from_secs(60));
        assert_eq!(held(&mut pair, FrameClass::Keyframe), Some(reason));
        let background = held(&mut pair, FrameClass::Discardable).is_none();
        assert_eq!(background, reason == HoldReason::BackgroundOnly);
        tell_client(
            &mut pair,
            &FlowUpdateMetadata { update_reason: FlowUpdateReason::Resume, ..update(2, 4) },
        );
        assert_eq!(held(&mut pair, FrameClass::Keyframe), None, "{reason:?} lifted");
    }
}

#[test]
fn congestion_below_the_hardest_level_only_informs() {
    let mut pair = announcing(4);
    let ask = FlowUpdateMetadata {
        update_reason: FlowUpdateReason::Congestion,
        backpressure_level: FlowUpdateBackpressureLevel::Soft,
        flow_flags: FlowUpdateFlags::default(),
        ..update(1, 0)
    };
    tell_client(&mut pair, &ask);
    assert!(matches!(pair.client.event(), Some(Event::FlowUpdate(..))));
    assert_eq!(held(&mut pair, FrameClass::Keyframe), None);
}

#[test]
fn a_time_to_retry_ends_the_pause_it_came_with() {
    let flags = FlowUpdateFlags::RETRY_AFTER_VALID;
    for (reason, expected) in
        [(FlowUpdateReason::Pause, HoldReason::Paused), (FlowUpdateReason::Grant, HoldReason::RetryAfter)]
    {
        let mut pair = announcing(4);
        let ask = FlowUpdateMetadata {
            update_reason: reason,
            retry_after_ms: 200,
            flow_flags: flags,
            ..update(1, 0)
        };
        tell_client(&mut pair, &ask);
        pair.advance(Duration::from_millis(199));
        assert_eq!(held(&mut pair, FrameClass::Keyframe), Some(expected));
        pair.advance(Duration::from_millis(1));
        assert_eq!(held(&mut pair, FrameClass::Keyframe), None);
    }
}

#[test]
fn each_policy_treats_the_announced_number_its_own_way() {
    for (policy, at_once, later) in [
        (CreditPolicy::Honour, true, false),
        (CreditPolicy::Strict, true, true),
        (CreditPolicy::Fail, true, true),
        (CreditPolicy::Ignore, false, false),
    ] {
        let mut pair = announcing(1);
        pair.client.machine.set_credit_policy(policy);
        pair.submit(1);
        assert_eq!(held(&mut pair, FrameClass::Keyframe).is_some(), at_once, "{policy:?}");
        pair.advance(Duration::from_secs(60));
        assert_eq!(held(&mut pair, FrameClass::Keyframe).is_some(), later, "{policy:?}");
    }
}

// Rules R-SUB-11
#[test]
fn a_server_refuses_beyond_its_credit_only_when_told_to() {
    for enforce in [false, true] {
        let mut settings = ServerSettings::default();
        settings.max_concurrent_frames = 2;
        settings.enforce_credit = enforce;
        let mut pair = Pair::connected_with(settings);
        for frame_id in 1..=3 {
            pair.submit(frame_id);
        }
        let taken = pair.server.events.iter().filter(|event| matches!(event, Event::Submit(_))).count();
        assert_eq!(taken, if enforce { 2 } else { 3 });
        assert_eq!(pair.server.machine.frame_stats().beyond_credit, u64::from(enforce));
        if enforce {
            assert_eq!(pair.server.sent_types(), [MessageType::ResultHint, MessageType::ResultDrop]);
            let drop = pair.client.events.iter().find_map(|event| match event {
                Event::Result(result) => Some(result),
                _ => None,
            });
            let drop = drop.unwrap();
            assert_eq!(
                (drop.packet.header.frame_id, drop.drop_reason),
                (3, Some(ResultHintReason::QueueFull))
            );
            pair.answer(1);
            pair.echo(4);
        }
    }
}

#[test]
fn a_server_that_enforces_says_so_and_the_client_takes_it_for_a_bound() {
    let mut settings = ServerSettings::default();
    settings.enforce_credit = true;
    let mut pair = Pair::connected_with(settings);
    pair.submit(1);
    pair.advance(Duration::from_secs(60));
    let reason = HoldReason::Credit { live: 1, allowed: 1, granted: true };
    assert_eq!(held(&mut pair, FrameClass::Keyframe), Some(reason));
}

#[test]
fn a_bound_grows_with_what_the_application_grants_and_does_not_shrink() {
    let mut settings = ServerSettings::default();
    settings.enforce_credit = true;
    let mut pair = Pair::connected_with(settings);
    for (epoch, credit) in [(1, 3), (2, 1)] {
        pair.server.machine.send_packet(pair.now, packet(1, &update(epoch, credit))).unwrap();
    }
    pair.drive();
    for frame_id in 1..=4 {
        pair.submit(frame_id);
    }
    let taken = pair.server.events.iter().filter(|event| matches!(event, Event::Submit(_))).count();
    assert_eq!(taken, 3, "the client may not have heard of the lower number yet");
}
