//! The state table is complete and says what the machine does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use nnrp_session::{ConnectionState, Side, TRANSITIONS, permitted};
use nnrp_wire::MessageType;

const STATES: [ConnectionState; 5] = [
    ConnectionState::Init,
    ConnectionState::Negotiating,
    ConnectionState::Active,
    ConnectionState::Draining,
    ConnectionState::Closed,
];

#[test]
fn every_state_but_the_last_leads_on_and_the_last_nowhere() {
    for state in STATES {
        let ways_out = TRANSITIONS.iter().filter(|row| row.from == state).count();
        assert_eq!(ways_out == 0, state == ConnectionState::Closed, "{state:?}");
    }
}

#[test]
fn every_state_can_be_reached() {
    let mut reached = vec![ConnectionState::Init];
    for _ in STATES {
        for row in TRANSITIONS {
            if reached.contains(&row.from) && !reached.contains(&row.to) {
                reached.push(row.to);
            }
        }
    }
    assert_eq!(reached.len(), STATES.len());
}

#[test]
fn anybody_may_say_goodbye_at_any_time() {
    for state in STATES {
        for side in [Side::Client, Side::Server] {
            for message in [MessageType::Close, MessageType::Error, MessageType::Ping, MessageType::Pong] {
                assert!(permitted(side, state, message), "{side:?} {state:?} {message}");
            }
        }
    }
}

#[test]
fn frames_belong_to_active_sessions() {
    for state in STATES {
        let allowed = permitted(Side::Server, state, MessageType::FrameSubmit);
        assert_eq!(allowed, state == ConnectionState::Active, "{state:?}");
        assert!(!permitted(Side::Client, state, MessageType::FrameSubmit));
        assert!(!permitted(Side::Server, state, MessageType::ResultPush));
    }
}
