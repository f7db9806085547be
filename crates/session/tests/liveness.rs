//! PING, PONG and silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{
    Admission, Arrival, ClientSettings, Event, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, Lane,
    MAX_PINGS_PER_SECOND, ServerSettings, Transmit, WAITING_SHARE,
};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{MessageType, TransportId};

#[test]
fn a_ping_is_answered_with_its_own_numbers() {
    let mut pair = Pair::connected();
    let mut ping = packets::bare(MessageType::Ping, 1);
    ping.header.frame_id = 100;
    ping.header.trace_id = 0xABCD;
    ping.header.route_id = 4;
    pair.server.receive(pair.now, &ping.to_bytes());
    pair.drive();
    let pong = &pair.server.sent[0].header;
    assert_eq!((pong.msg_type, pong.session_id, pong.frame_id), (MessageType::Pong, 1, 100));
    assert_eq!((pong.trace_id, pong.route_id), (0xABCD, 4));
    assert!(matches!(pair.client.event(), Some(Event::Control(_))), "not one of the client's own pings");
}

// Rules R-LIM-12
#[test]
fn a_flood_of_pings_is_not_answered_in_full() {
    let mut pair = Pair::connected();
    let ping = packets::bare(MessageType::Ping, 1).to_bytes();
    for _ in 0..1000 {
        pair.server.receive(pair.now, &ping);
    }
    pair.drive();
    assert_eq!(pair.server.sent.len(), MAX_PINGS_PER_SECOND as usize);
    pair.advance(Duration::from_secs(1));
    pair.server.receive(pair.now, &ping);
    pair.drive();
    assert_eq!(pair.server.sent.len(), MAX_PINGS_PER_SECOND as usize + 1);
}

#[test]
fn a_client_asks_in_its_interval_and_keeps_the_answers_to_itself() {
    let mut pair = Pair::connected();
    pair.advance(KEEPALIVE_INTERVAL * 4);
    assert_eq!(pair.client.sent_types(), [MessageType::Ping; 5], "one at once, then one in each interval");
    assert!(pair.client.event().is_none());
}

#[test]
fn a_server_asks_only_if_it_was_told_to() {
    let mut pair = Pair::connected();
    pair.advance(KEEPALIVE_INTERVAL * 4);
    assert!(!pair.server.sent_types().contains(&MessageType::Ping));

    let mut settings = ServerSettings::default();
    settings.keepalive_interval = Some(Duration::from_secs(2));
    let mut pair = Pair::connected_with(settings);
    pair.advance(Duration::from_secs(7));
    let pings = pair.server.sent_types().into_iter().filter(|sent| *sent == MessageType::Ping).count();
    assert_eq!(pings, 3);
    assert!(pair.server.event().is_none(), "the answers are not the application's");
}

/// Time passes, the client looks when it wants to, and nothing reaches it. True when it has given up.
fn hears_nothing(pair: &mut Pair, by: Duration) -> bool {
    let until = pair.now + by;
    while let Some(at) = pair.client.machine.poll_timeout().filter(|at| *at <= until) {
        pair.now = pair.now.max(at);
        pair.client.machine.handle_timeout(pair.now);
        while pair.client.machine.poll_transmit().is_some() {}
    }
    pair.now = until;
    pair.client.machine.is_ended()
}

#[test]
fn a_server_that_answered_once_and_fell_silent_is_given_up() {
    let mut pair = Pair::connected();
    pair.advance(KEEPALIVE_INTERVAL);
    assert!(!hears_nothing(&mut pair, KEEPALIVE_TIMEOUT - Duration::from_millis(1)));
    assert!(hears_nothing(&mut pair, Duration::from_millis(1)));
}

#[test]
fn a_client_that_stood_still_itself_asks_before_it_gives_up() {
    let mut pair = Pair::connected();
    pair.advance(KEEPALIVE_INTERVAL + KEEPALIVE_INTERVAL / 2);
    // A laptop that was closed, a process that was stopped: nobody looks for an hour.
    pair.now += Duration::from_secs(3600);
    pair.client.machine.handle_timeout(pair.now);
    assert!(!pair.client.machine.is_ended());
    assert!(pair.client.machine.has_transmits(), "a question");
    // The server is gone indeed.
    assert!(!hears_nothing(&mut pair, KEEPALIVE_TIMEOUT / 2));
    assert!(hears_nothing(&mut pair, KEEPALIVE_TIMEOUT));
}

#[test]
fn silence_between_two_times_of_standing_still_adds_up() {
    let mut pair = Pair::connected();
    pair.advance(KEEPALIVE_INTERVAL);
    // It stands still for a while, again and again, and is awake for twelve seconds in between.
    for _ in 0..2 {
        assert!(!hears_nothing(&mut pair, Duration::from_secs(12)));
        pair.now += Duration::from_secs(60);
    }
    assert!(hears_nothing(&mut pair, KEEPALIVE_TIMEOUT - Duration::from_secs(20)));
}

#[test]
fn nor_does_it_while_it_waits_for_a_frame() {
    let mut pair = with_a_frame_waiting();
    pair.advance(SOONER.0);
    pair.now += Duration::from_secs(3600);
    pair.client.machine.handle_timeout(pair.now);
    assert!(!hears_nothing(&mut pair, SOONER.0));
    assert!(hears_nothing(&mut pair, SOONER.1));
}

#[test]
fn a_server_that_never_answers_pings_is_not_given_up() {
    let mut pair = Pair::connected();
    assert!(!hears_nothing(&mut pair, KEEPALIVE_INTERVAL * 20));
}

/// A session of a client that asks as `settings` say.
fn asking(settings: ClientSettings) -> Pair {
    let mut pair = Pair::serving(TransportId::Quic, ServerSettings::default());
    pair.client.machine.open(pair.now, &packets::hello(), settings).unwrap();
    pair.drive();
    pair.server.machine.admit(pair.now, &Admission::default()).unwrap();
    pair.drive();
    pair.client.sent.clear();
    pair
}

#[test]
fn a_timeout_that_is_shorter_than_the_interval_does_not_end_an_idle_session() {
    let mut settings = ClientSettings::default();
    settings.keepalive_interval = Some(KEEPALIVE_TIMEOUT);
    settings.keepalive_timeout = Some(KEEPALIVE_INTERVAL);
    let mut pair = asking(settings);
    pair.advance(KEEPALIVE_TIMEOUT * 4);
    assert!(!pair.client.machine.is_ended());
    let asked = pair.client.sent_types().len();
    assert!((36..=37).contains(&asked), "{asked} PINGs in 180 s, three in each 15 s of patience");
}

#[test]
fn an_interval_may_be_for_ever() {
    let mut settings = ClientSettings::default();
    settings.keepalive_interval = Some(Duration::MAX);
    settings.keepalive_timeout = None;
    let mut pair = asking(settings);
    for looks in 1..=3 {
        pair.client.machine.handle_timeout(pair.now + KEEPALIVE_INTERVAL * looks);
    }
    assert!(!pair.client.machine.is_ended());
}

#[test]
fn who_is_not_asked_is_not_given_up() {
    let mut settings = ClientSettings::default();
    settings.keepalive_interval = None;
    let mut pair = asking(settings);
    // The answer to a question of the application's.
    pair.client.receive(pair.now, &packets::bare(MessageType::Pong, 1).to_bytes());
    pair.advance(KEEPALIVE_TIMEOUT * 2);
    assert!(!pair.client.machine.is_ended());
}

#[test]
fn a_timeout_of_no_time_is_none() {
    let mut settings = ClientSettings::default();
    settings.keepalive_timeout = Some(Duration::ZERO);
    let mut pair = asking(settings);
    pair.advance(KEEPALIVE_INTERVAL * 4);
    assert!(!pair.client.machine.is_ended());
    assert!(pair.client.sent_types().len() <= 5);
}

#[test]
fn silence_of_our_own_making_is_not_held_against_the_server() {
    let mut pair = Pair::connected();
    pair.advance(KEEPALIVE_INTERVAL);
    // The application reads nothing, so the driver stops reading: no answer can arrive.
    pair.client.machine.handle_reading(pair.now, true);
    assert!(!hears_nothing(&mut pair, KEEPALIVE_TIMEOUT * 10));
    pair.client.machine.handle_reading(pair.now, false);
    assert!(hears_nothing(&mut pair, KEEPALIVE_TIMEOUT));
}

/// How often a client asks while frames wait, and how long it waits for an answer.
const SOONER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

#[test]
fn what_is_waited_for_is_asked_for_at_a_third_of_the_time() {
    assert_eq!(SOONER, (KEEPALIVE_INTERVAL / WAITING_SHARE, KEEPALIVE_TIMEOUT / WAITING_SHARE));
}

fn with_a_frame_waiting() -> Pair {
    let mut pair = Pair::connected();
    pair.advance(SOONER.0 / 2);
    pair.client.machine.submit(pair.now, packets::submit_packet(1, 7).encode()).unwrap();
    pair.drive();
    pair
}

#[test]
fn a_client_that_waits_for_a_frame_asks_sooner() {
    let mut pair = with_a_frame_waiting();
    let before = pair.client.sent.len();
    pair.advance(SOONER.0 * 4);
    assert_eq!(pair.client.sent_types()[before..], [MessageType::Ping; 4]);
}

#[test]
fn a_silent_server_that_owes_a_frame_is_given_up_sooner() {
    let mut pair = with_a_frame_waiting();
    pair.advance(SOONER.0);
    // From here on nothing reaches the client any more; its last PING was answered at a whole interval.
    let last = pair.now - SOONER.0 / 2;
    let deadline = last + SOONER.1;
    let mut at = pair.now;
    while at < deadline {
        pair.client.machine.handle_timeout(at);
        while pair.client.machine.poll_transmit().is_some() {}
        assert!(!pair.client.machine.is_ended());
        at += Duration::from_millis(100);
    }
    pair.client.machine.handle_timeout(deadline);
    assert!(pair.client.machine.is_ended());
}

#[test]
fn silence_before_a_frame_is_not_held_against_its_server() {
    let mut pair = Pair::connected();
    // The last PING of the idle session was answered an interval ago, less a moment.
    pair.advance(KEEPALIVE_INTERVAL * 2 - Duration::from_millis(1));
    pair.client.machine.submit(pair.now, packets::submit_packet(1, 7).encode()).unwrap();
    let submitted = pair.now;
    let mut at = submitted;
    while at < submitted + SOONER.1 - Duration::from_millis(1) {
        pair.client.machine.handle_timeout(at);
        while pair.client.machine.poll_transmit().is_some() {}
        assert!(!pair.client.machine.is_ended(), "after {:?}", at - submitted);
        at += Duration::from_millis(500);
    }
}

#[test]
fn a_body_that_takes_longer_than_the_patience_keeps_the_connection() {
    let mut pair = with_a_frame_waiting();
    // No packet arrives, parts of one do; the driver looks whenever the machine wants to know the time.
    let until = pair.now + 10 * KEEPALIVE_TIMEOUT;
    let mut looked = pair.now;
    while let Some(at) = pair.client.machine.poll_timeout().filter(|at| *at < until) {
        pair.client.machine.handle_heard(at, looked);
        pair.client.machine.handle_timeout(at);
        while pair.client.machine.poll_transmit().is_some() {}
        assert!(!pair.client.machine.is_ended());
        looked = at;
    }
    // Then even those stop.
    while let Some(at) = pair.client.machine.poll_timeout().filter(|at| *at <= looked + SOONER.1) {
        pair.client.machine.handle_timeout(at);
        while pair.client.machine.poll_transmit().is_some() {}
    }
    assert!(pair.client.machine.is_ended());
}

#[test]
fn a_ping_in_a_datagram_is_answered_in_one() {
    let mut pair = Pair::connected();
    let ping = packets::bare(MessageType::Ping, 1);
    for (arrival, lane) in [(Arrival::Datagram, Lane::Datagram), (Arrival::Control, Lane::Ping)] {
        pair.server.machine.handle_packet(pair.now, ping.clone(), arrival);
        let Some(Transmit::Packet { lane: answered, packet, .. }) = pair.server.machine.poll_transmit()
        else {
            panic!("no answer");
        };
        assert_eq!((answered, packet.header().msg_type), (lane, MessageType::Pong));
    }
}
