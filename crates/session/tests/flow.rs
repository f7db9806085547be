//! FLOW_UPDATE: epochs, scopes and what the client makes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use nnrp_session::Event;
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{ErrorCode, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateScopeKind, MessageType, Packet};

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
    (pair.client.machine.credit().unwrap().session, seen)
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
