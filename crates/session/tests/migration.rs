//! A session moves to another connection: nothing is lost, nothing happens twice, and nobody else can move it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use bytes::Bytes;
use nnrp_session::{
    Admission, ClientSettings, ConnectionState, EndedBy, Event, Fault, FrameKey, MAX_KEPT_BYTES,
    MAX_MIGRATIONS_PER_SECOND, Migration, MigrationAnswer, Moved, ServerSettings, Transmit, TransportEnd,
    UNTOLD_PATIENCE,
};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    ClientHello, ErrorCode, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateScopeKind, Header, HeaderFlags,
    MessageType, Packet, ResultClass, ResultFrame, Revision, SessionMigrate, SessionMigrateAckMetadata,
    SessionMigrateMetadata, TransportId, TypedPayload,
};

const TOKEN: &[u8] = b"secret";

fn settings() -> ServerSettings {
    let mut settings = ServerSettings::default();
    settings.migration = Migration::Authenticated;
    settings
}

fn hello() -> ClientHello {
    ClientHello { auth_block: Bytes::from_static(TOKEN), ..packets::hello() }
}

/// A session over `transport` that may move.
fn session(transport: TransportId) -> Pair {
    let mut pair = Pair::serving(transport, settings());
    pair.client.machine.open(pair.now, &hello(), ClientSettings::default()).unwrap();
    pair.drive();
    pair.server.machine.admit(pair.now, &Admission::default()).unwrap();
    pair.drive();
    for end in [&mut pair.client, &mut pair.server] {
        end.events.clear();
        end.sent.clear();
    }
    pair
}

/// A connection over `transport` whose client has asked for the session of `old`.
fn asking(old: &mut Pair, transport: TransportId) -> Pair {
    let request = old.client.machine.begin_migration(old.now, transport, Bytes::from_static(TOKEN)).unwrap();
    let mut new = Pair::serving(transport, settings());
    new.now = old.now;
    new.client.machine.ask_to_migrate(new.now, &request, ClientSettings::default()).unwrap();
    new.drive();
    new
}

/// Moves the session of `pair` to `transport`; what was on its way on the old path is lost.
fn migrate(pair: &mut Pair, transport: TransportId) -> (Moved, Moved) {
    let moved = switch(pair, transport, |_| {});
    pair.drive();
    moved
}

/// The same without what both sides then have to say, and with an answer that `edit` has changed.
fn switch(
    pair: &mut Pair,
    transport: TransportId,
    edit: impl FnOnce(&mut MigrationAnswer),
) -> (Moved, Moved) {
    let mut new = asking(pair, transport);
    let event = new.server.event();
    assert!(matches!(event, Some(Event::Migrate(_))), "{event:?}");
    let taken =
        pair.server.machine.take_over(pair.now, &mut new.server.machine, Duration::from_millis(50)).unwrap();
    // The answer leaves first, and is read by the machine of the new connection.
    let nnrp_session::Transmit::Packet { packet, .. } = pair.server.machine.poll_transmit().unwrap() else {
        panic!("no answer");
    };
    new.client.receive(new.now, &packet.to_bytes());
    new.drive();
    let Some(Event::MigrationAnswered(mut answer)) = new.client.event() else { panic!("no answer") };
    edit(&mut answer);
    pair.client.machine.check_migration(&answer).unwrap();
    let moved = pair.client.machine.finish_migration(pair.now, &mut new.client.machine, &answer);
    (taken, moved)
}

fn part(frame_id: u32, text: &str, class: ResultClass) -> ResultFrame {
    ResultFrame {
        frame_id,
        result_class: class,
        typed_payloads: vec![TypedPayload::token_chunk(text.to_owned())],
        ..ResultFrame::default()
    }
}

fn push(pair: &mut Pair, result: ResultFrame) {
    let packet = result.encode(pair.server.machine.session_id(), Revision::Current).unwrap();
    pair.server.machine.push_result(pair.now, packet).unwrap();
}

/// The results the client was given, as frame id and text.
fn results(pair: &mut Pair) -> Vec<(u32, String)> {
    let mut results = Vec::new();
    while let Some(event) = pair.client.event() {
        match event {
            Event::Result(result) => {
                let text = match &result.push {
                    Some((_, body)) => body
                        .typed_payloads()
                        .next()
                        .map_or("tensors".into(), |p| String::from_utf8(p.data.to_vec()).unwrap()),
                    None => "dropped".into(),
                };
                results.push((result.packet.header.frame_id, text));
            }
            Event::FrameFailed(failed) => {
                results.push((failed.key.frame_id, format!("failed: {}", failed.fault)));
            }
            other => panic!("{other:?}"),
        }
    }
    results
}

fn submits(pair: &mut Pair) -> Vec<u32> {
    let mut ids = Vec::new();
    while let Some(event) = pair.server.event() {
        match event {
            Event::Submit(submit) => ids.push(submit.packet.header.frame_id),
            other => panic!("{other:?}"),
        }
    }
    ids
}

const PATHS: [(TransportId, TransportId); 4] = [
    (TransportId::Quic, TransportId::Tcp),
    (TransportId::Tcp, TransportId::Quic),
    (TransportId::Tcp, TransportId::Tcp),
    (TransportId::Quic, TransportId::Quic),
];

// Rules R-MIG-11
#[test]
fn results_lost_with_the_old_path_are_sent_again_and_none_twice() {
    for (from, to) in PATHS {
        let mut pair = session(from);
        pair.submit(1);
        pair.submit(2);
        push(&mut pair, part(1, "one", ResultClass::Partial));
        pair.drive();
        push(&mut pair, part(1, "two", ResultClass::Partial));
        push(&mut pair, part(2, "whole", ResultClass::Complete));
        pair.lose();
        push(&mut pair, part(1, "three", ResultClass::Partial));
        migrate(&mut pair, to);
        push(&mut pair, part(1, "four", ResultClass::Complete));
        pair.drive();
        let got = results(&mut pair);
        let of = |id| {
            got.iter().filter(|(frame, _)| *frame == id).map(|(_, text)| text.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(1), ["one", "two", "three", "four"], "{from} to {to}");
        assert_eq!(of(2), ["whole"], "{from} to {to}");
        assert_eq!(pair.client.machine.live_frames(), 0);
        pair.server.events.clear();
        pair.echo(3);
    }
}

#[test]
fn submits_the_server_never_got_run_once() {
    for (from, to) in PATHS {
        let mut pair = session(from);
        pair.submit(1);
        for id in [2, 3] {
            let packet = packets::submit_packet(1, id);
            pair.client.machine.submit(pair.now, packet.encode()).unwrap();
            pair.lose();
        }
        // Overtakes them: arrives although they are lost.
        pair.submit(4);
        let packet = packets::submit_packet(1, 5);
        pair.client.machine.submit(pair.now, packet.encode()).unwrap();
        let (_, moved) = migrate(&mut pair, to);
        assert_eq!(moved.repeated, 3);
        assert_eq!(submits(&mut pair), [1, 4, 2, 3, 5], "{from} to {to}");
        for id in 1..=5 {
            pair.answer(id);
        }
        assert_eq!(results(&mut pair).len(), 5);
        assert_eq!(pair.server.machine.live_frames() + pair.client.machine.live_frames(), 0);
    }
}

#[test]
fn a_session_moves_there_and_back_as_often_as_it_likes() {
    let mut pair = session(TransportId::Quic);
    for round in 0..20 {
        let id = round * 3 + 1;
        pair.submit(id);
        push(&mut pair, part(id, "a", ResultClass::Partial));
        if round % 3 == 0 {
            pair.lose();
        }
        let to = if round % 2 == 0 { TransportId::Tcp } else { TransportId::Quic };
        migrate(&mut pair, to);
        pair.advance(Duration::from_millis(100));
        push(&mut pair, part(id, "b", ResultClass::Complete));
        pair.drive();
        assert_eq!(results(&mut pair), [(id, "a".into()), (id, "b".into())], "round {round}");
    }
}

#[test]
fn what_an_earlier_path_brought_says_nothing_about_this_one() {
    let mut pair = session(TransportId::Quic);
    for id in [1, 2] {
        pair.submit(id);
        push(&mut pair, part(id, "first", ResultClass::Partial));
    }
    pair.drive();
    migrate(&mut pair, TransportId::Tcp);
    push(&mut pair, part(1, "lost", ResultClass::Partial));
    push(&mut pair, part(2, "lost", ResultClass::Partial));
    pair.lose();
    // The newest result there was is of frame 2, and came before all that.
    migrate(&mut pair, TransportId::Quic);
    let got = results(&mut pair);
    assert_eq!(got.iter().filter(|(_, text)| text == "lost").count(), 2, "{got:?}");
}

#[test]
fn an_answer_says_where_to_resume_and_echoes_the_trace() {
    let mut pair = session(TransportId::Quic);
    pair.submit(821);
    let mut new = asking(&mut pair, TransportId::Tcp);
    pair.server.machine.take_over(pair.now, &mut new.server.machine, Duration::from_millis(50)).unwrap();
    pair.server.sent.clear();
    pair.lose();
    let ack = &pair.server.sent[0];
    assert_eq!((ack.header.msg_type, ack.header.session_id), (MessageType::SessionMigrateAck, 1));
    let metadata = SessionMigrateAckMetadata::decode(&ack.metadata).unwrap();
    assert_eq!((metadata.accept_code, metadata.resume_from_frame_id), (0, 822));
    assert_eq!(metadata.grace_window_ms, 50);
}

// Rules R-MIG-8, R-MIG-9
#[test]
fn a_client_that_does_not_ask_for_repetitions_gets_what_the_reference_says() {
    let mut pair = session(TransportId::Quic);
    pair.submit(1);
    push(&mut pair, part(1, "handed to the old path", ResultClass::Partial));
    pair.lose();
    let mut new = Pair::serving(TransportId::Tcp, settings());
    new.tell_server(&request(1, TransportId::Tcp, 0, TOKEN, HeaderFlags::default()));
    pair.server.machine.take_over(pair.now, &mut new.server.machine, Duration::ZERO).unwrap();
    pair.server.sent.clear();
    pair.lose();
    assert_eq!(pair.server.sent_types(), [MessageType::SessionMigrateAck]);
    assert!(pair.server.sent[0].body.is_empty());
    // R-MIG-9
    pair.tell_server(&packets::submit_packet(1, 1));
    assert_rejected(&mut pair, RuleId::MIG_9);
    // R-MIG-8
    let late = packets::submit_packet(1, 2).encode().to_bytes();
    pair.server.machine.handle_late_header(pair.now, late.first_chunk().unwrap());
    pair.drive();
    assert_rejected(&mut pair, RuleId::MIG_8);
    pair.tell_server(&packets::submit_packet(1, 2));
}

fn assert_rejected(pair: &mut Pair, rule: RuleId) {
    let rejected = pair.server.events.iter().find_map(|event| match event {
        Event::Rejected(rejected) => Some(rejected.fault.rule),
        _ => None,
    });
    assert_eq!(rejected, Some(Some(rule)));
    pair.server.events.clear();
}

#[test]
fn the_old_path_is_still_read_for_results_and_can_do_no_harm() {
    let mut pair = session(TransportId::Tcp);
    pair.submit(1);
    push(&mut pair, part(1, "slow", ResultClass::Complete));
    pair.server.sent.clear();
    pair.lose();
    let slow = pair.server.sent[0].to_bytes();
    migrate(&mut pair, TransportId::Quic);
    assert_eq!(results(&mut pair).len(), 1);
    let head = slow.first_chunk().unwrap();
    let (_, header) = pair.client.machine.handle_late_header(pair.now, head);
    let body_at = Header::LEN + header.unwrap().meta_len as usize;
    let packet = Packet {
        header: header.unwrap(),
        metadata: slow.slice(Header::LEN..body_at),
        body: slow.slice(body_at..),
    };
    pair.client.machine.handle_late_packet(pair.now, packet, nnrp_session::Arrival::Control);
    let mut garbage = *head;
    garbage[0] = 0;
    pair.client.machine.handle_late_header(pair.now, &garbage);
    pair.drive();
    assert!(results(&mut pair).is_empty(), "handed out twice");
    pair.server.events.clear();
    pair.echo(2);
}

#[test]
fn credit_and_cancels_lost_with_the_old_path_are_repeated() {
    let mut pair = session(TransportId::Quic);
    pair.submit(1);
    pair.submit(2);
    pair.server.events.clear();
    pair.client.machine.cancel(FrameKey::new(1)).unwrap();
    let update = FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Session,
        session_credit: 9,
        flow_flags: FlowUpdateFlags::CREDIT_VALID,
        credit_epoch: 4,
        ..FlowUpdateMetadata::default()
    };
    let mut header = Header::new(MessageType::FlowUpdate);
    header.session_id = 1;
    let packet = Packet::build(header, update.encode().to_vec().into(), Bytes::new());
    pair.server.machine.send_packet(pair.now, packet).unwrap();
    pair.lose();
    migrate(&mut pair, TransportId::Tcp);
    assert_eq!(pair.client.machine.credit().unwrap().session(), 9);
    assert!(matches!(pair.server.event(), Some(Event::Cancelled(key)) if key == FrameKey::new(1)));
}

#[test]
fn what_was_too_much_to_keep_ends_with_a_reason() {
    let mut pair = session(TransportId::Tcp);
    let big = |id| packets::bulky_packet(1, id, 5 * 1024 * 1024);
    for id in [1, 2, 3] {
        pair.client.machine.submit(pair.now, big(id).encode()).unwrap();
        pair.lose();
    }
    migrate(&mut pair, TransportId::Quic);
    assert_eq!(submits(&mut pair), [3]);
    let got = results(&mut pair);
    assert!(
        got.len() == 2 && got.iter().all(|(_, text)| text.contains("did not survive a migration")),
        "{got:?}"
    );

    // Results likewise.
    let bulk = "x".repeat(5 * 1024 * 1024);
    for text in ["first", bulk.as_str(), bulk.as_str(), "last"] {
        push(&mut pair, part(3, text, ResultClass::Partial));
        pair.lose();
    }
    migrate(&mut pair, TransportId::Tcp);
    let got = results(&mut pair);
    assert!(got.len() == 1 && got[0].1.contains("did not survive a migration"), "{}", got.len());
    assert_eq!(pair.client.machine.live_frames(), 0);
}

// Rules R-MIG-4, R-MIG-6
#[test]
fn whole_results_that_were_too_much_to_keep_end_with_a_reason() {
    let bulk = "x".repeat(5 * 1024 * 1024);
    for closed in [false, true] {
        let mut pair = session(TransportId::Tcp);
        for id in [1, 2] {
            pair.submit(id);
        }
        for id in [1, 2] {
            push(&mut pair, part(id, &bulk, ResultClass::Complete));
            pair.lose();
        }
        migrate(&mut pair, TransportId::Quic);
        assert_eq!(pair.client.machine.live_frames(), 1, "the old path may still bring it");
        if closed {
            pair.client.machine.handle_left_path_closed(pair.now);
            pair.drive();
        } else {
            pair.advance(Duration::from_millis(51));
        }
        let got = results(&mut pair);
        assert_eq!(got.len(), 2);
        assert_eq!((got[0].0, got[0].1.len()), (2, bulk.len()));
        assert!(got[1].0 == 1 && got[1].1.contains("did not survive a migration"), "{}", got[1].1);
        assert_eq!(pair.client.machine.live_frames(), 0);
        pair.server.events.clear();
        pair.echo(3);
    }
}

#[test]
fn how_much_is_kept_is_said_by_the_settings() {
    let (mut server, mut client) = (settings(), ClientSettings::default());
    server.max_kept_bytes = 3000;
    client.max_kept_bytes = 3000;
    let mut pair = Pair::serving(TransportId::Tcp, server);
    pair.client.machine.open(pair.now, &hello(), client).unwrap();
    pair.drive();
    pair.server.machine.admit(pair.now, &Admission::default()).unwrap();
    pair.drive();
    pair.client.events.clear();
    pair.server.events.clear();
    // Two thousand bytes each: of either side's packets, the second makes the first be forgotten.
    for id in [1, 2] {
        pair.client.machine.submit(pair.now, packets::bulky_packet(1, id, 2000).encode()).unwrap();
        pair.lose();
    }
    migrate(&mut pair, TransportId::Quic);
    assert_eq!(submits(&mut pair), [2]);
    let got = results(&mut pair);
    assert!(got.len() == 1 && got[0].0 == 1 && got[0].1.contains("did not survive"), "{got:?}");
    pair.submit(3);
    pair.server.events.clear();
    for id in [2, 3] {
        push(&mut pair, part(id, &"x".repeat(2000), ResultClass::Complete));
        pair.lose();
    }
    migrate(&mut pair, TransportId::Tcp);
    pair.advance(Duration::from_millis(51));
    let got = results(&mut pair);
    assert_eq!(got.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 2]);
    assert!(got[1].1.contains("did not survive"), "{}", got[1].1);
}

#[test]
fn a_frame_whose_answer_may_be_lost_is_not_waited_for_for_ever() {
    let grace = Duration::from_millis(50);
    let mut pair = session(TransportId::Tcp);
    for id in 1..=4 {
        pair.submit(id);
    }
    push(&mut pair, part(1, "lost", ResultClass::Complete));
    pair.lose();
    // A server that does not know our table, and so repeats nothing either.
    switch(&mut pair, TransportId::Quic, |answer| answer.ack.body = Bytes::new());
    pair.lose();
    push(&mut pair, part(2, "more to come", ResultClass::Partial));
    push(&mut pair, part(3, "answered here", ResultClass::Complete));
    pair.drive();
    assert_eq!(results(&mut pair).len(), 2);
    // Frames of the test have a budget of less than the least there is: a second. The server goes on with one of them.
    let mut parts = 0;
    let deadline = pair.now + grace + Duration::from_secs(1) + UNTOLD_PATIENCE;
    while pair.now + Duration::from_millis(900) < deadline {
        push(&mut pair, part(2, "and more", ResultClass::Partial));
        pair.advance(Duration::from_millis(900));
        parts += 1;
    }
    pair.advance(deadline - pair.now - Duration::from_millis(1));
    assert_eq!(results(&mut pair).len(), parts, "nothing else");
    pair.advance(Duration::from_millis(1));
    let failed = results(&mut pair);
    assert_eq!(failed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 4]);
    for (_, text) in failed {
        assert!(text.contains("did not survive a migration: no result of it came"), "{text}");
    }
    push(&mut pair, part(2, "all of it", ResultClass::Complete));
    pair.drive();
    assert_eq!(results(&mut pair), [(2, "all of it".into())]);
    pair.server.events.clear();
    pair.echo(5);
}

/// A connection whose client asks for repetitions of session 1.
fn repeating(now: std::time::Instant) -> Pair {
    let mut new = Pair::serving(TransportId::Tcp, settings());
    new.now = now;
    new.tell_server(&request(1, TransportId::Tcp, 0, TOKEN, HeaderFlags::RETRANSMIT));
    new
}

#[test]
fn many_migrations_queue_no_more_than_one() {
    let mut pair = session(TransportId::Tcp);
    pair.submit(1);
    let bulk = "x".repeat(2 * 1024 * 1024);
    for _ in 0..MAX_MIGRATIONS_PER_SECOND {
        for _ in 0..3 {
            push(&mut pair, part(1, &bulk, ResultClass::Partial));
        }
        let mut new = repeating(pair.now);
        pair.server.machine.take_over(pair.now, &mut new.server.machine, Duration::ZERO).unwrap();
    }
    let mut waiting = 0;
    while let Some(transmit) = pair.server.machine.poll_transmit() {
        if let Transmit::Packet { packet, .. } = transmit {
            waiting += packet.len();
        }
    }
    assert!(waiting <= MAX_KEPT_BYTES as usize + 1024, "{} MiB wait", waiting >> 20);
}

#[test]
fn a_session_moves_so_often_in_a_second_and_no_more() {
    let mut pair = session(TransportId::Tcp);
    for round in 0..=MAX_MIGRATIONS_PER_SECOND {
        let mut new = repeating(pair.now);
        let moved = pair.server.machine.take_over(pair.now, &mut new.server.machine, Duration::ZERO);
        assert_eq!(moved.is_ok(), round < MAX_MIGRATIONS_PER_SECOND, "{moved:?}");
        if moved.is_err() {
            // It can still be told so.
            new.server.machine.refuse_migration(new.now, &Fault::refusal(ErrorCode::ServerBusy, "too often"));
            new.drive();
            assert_eq!(new.server.sent_types(), [MessageType::SessionMigrateAck]);
        }
    }
    pair.now += Duration::from_secs(1);
    let mut new = repeating(pair.now);
    pair.server.machine.take_over(pair.now, &mut new.server.machine, Duration::ZERO).unwrap();
}

#[test]
fn a_path_lost_while_the_session_moves_does_not_end_it() {
    let mut pair = session(TransportId::Tcp);
    pair.submit(1);
    let mut new = asking(&mut pair, TransportId::Quic);
    let end = TransportEnd { clean: false, text: "reset".into() };
    pair.client.machine.handle_transport_closed(&end);
    assert_eq!(pair.client.machine.state(), ConnectionState::Active);
    // Refused: now it counts.
    new.server.machine.refuse_migration(new.now, &fault(RuleId::MIG_4, "no"));
    new.drive();
    let Some(Event::MigrationAnswered(answer)) = new.client.event() else { panic!("no answer") };
    let fault = pair.client.machine.check_migration(&answer).unwrap_err();
    assert_eq!((fault.rule, fault.code), (Some(RuleId::MIG_6), ErrorCode::AuthFailed));
    pair.client.machine.abandon_migration();
    pair.drive();
    let last = pair.client.events.pop_back();
    let Some(Event::Ended(ended)) = last else { panic!("{last:?}") };
    assert_eq!(ended.by, EndedBy::Transport);
}

#[test]
fn nothing_is_sent_on_the_old_path_while_the_session_moves() {
    let mut pair = session(TransportId::Tcp);
    let _new = asking(&mut pair, TransportId::Quic);
    pair.client.machine.submit(pair.now, packets::submit_packet(1, 1).encode()).unwrap();
    pair.drive();
    assert!(pair.client.sent.is_empty());
    assert!(
        pair.client.machine.begin_migration(pair.now, TransportId::Tcp, Bytes::new()).is_err(),
        "one at a time"
    );
    pair.client.machine.abandon_migration();
    pair.drive();
    assert_eq!(pair.client.sent_types(), [MessageType::FrameSubmit]);
}

fn fault(rule: RuleId, text: &str) -> Fault {
    Fault::found(rule, MessageType::SessionMigrate, text)
}

/// SESSION_MIGRATE of anybody.
fn request(id: u32, to: TransportId, last: u64, token: &'static [u8], flags: HeaderFlags) -> Packet {
    let metadata = SessionMigrateMetadata {
        old_transport_id: TransportId::Quic,
        new_transport_id: to,
        last_result_frame_id: last,
        client_migrate_ts_us: 0,
    };
    let mut header = Header::new(MessageType::SessionMigrate);
    header.session_id = id;
    header.flags = flags;
    SessionMigrate { metadata, token: Bytes::from_static(token) }.encode(header).unwrap().to_packet()
}

// Rules R-MIG-2, R-MIG-5, R-MIG-10
#[test]
fn requests_that_break_a_rule_are_refused_without_looking_for_the_session() {
    let mut off = settings();
    off.migration = Migration::Off;
    let cases = [
        (off, TransportId::Tcp, 0, 1),
        (settings(), TransportId::Tcp, 1 << 32, ErrorCode::MalformedBody.value()),
        (settings(), TransportId::Quic, 0, ErrorCode::InvalidState.value()),
    ];
    for (settings, to, last, code) in cases {
        let mut pair = Pair::serving(TransportId::Tcp, settings);
        pair.tell_server(&request(7, to, last, TOKEN, HeaderFlags::default()));
        assert_eq!(pair.server.sent_types(), [MessageType::SessionMigrateAck]);
        let ack = &pair.server.sent[0];
        assert_eq!(ack.header.session_id, 7);
        assert_eq!(SessionMigrateAckMetadata::decode(&ack.metadata).unwrap().accept_code, code);
        assert!(!pair.server.events.iter().any(|event| matches!(event, Event::Migrate(_))));
        // The client closes; if it does not, the drain time ends it.
        assert_eq!(pair.server.shut_down, None);
        pair.advance(Duration::from_secs(6));
        assert_eq!(pair.server.shut_down, Some(0));
    }
}

// Rules R-MIG-3
#[test]
fn a_session_that_is_closing_or_closed_does_not_move() {
    for close in [false, true] {
        let mut pair = session(TransportId::Tcp);
        let mut new = asking(&mut pair, TransportId::Quic);
        if close {
            pair.server.machine.close(pair.now, "");
        } else {
            pair.server.machine.handle_transport_closed(&TransportEnd { clean: true, text: String::new() });
        }
        assert!(pair.server.machine.take_over(pair.now, &mut new.server.machine, Duration::ZERO).is_err());
        new.server.machine.refuse_migration(new.now, &fault(RuleId::MIG_3, "closing"));
        new.drive();
        let Some(Event::MigrationAnswered(answer)) = new.client.event() else { panic!("no answer") };
        assert_eq!(answer.ack.metadata.accept_code, ErrorCode::InvalidState.value());
    }
}

#[test]
fn only_sessions_whose_client_proved_something_may_move() {
    assert!(!Migration::Off.allows(TOKEN));
    assert!(Migration::Authenticated.allows(TOKEN) && !Migration::Authenticated.allows(b""));
    assert!(Migration::Everybody.allows(b""));
    let mut nobody = Pair::connected_with(settings());
    assert!(!nobody.server.machine.may_migrate());
    nobody.echo(1);
}

#[test]
fn a_connection_whose_question_was_refused_closes() {
    let mut pair = session(TransportId::Tcp);
    let mut new = asking(&mut pair, TransportId::Quic);
    new.server.machine.refuse_migration(new.now, &fault(RuleId::MIG_4, "no"));
    new.drive();
    new.client.machine.abort(0, "");
    new.drive();
    assert_eq!(new.client.shut_down, Some(0));
    // And one that is never answered.
    pair.client.machine.abandon_migration();
    let mut new = asking(&mut pair, TransportId::Quic);
    new.advance(nnrp_session::HANDSHAKE_TIMEOUT);
    assert_eq!(new.client.shut_down, Some(0));
}

// Rules R-MIG-7, R-ACK-6
#[test]
fn answers_to_something_else_end_the_connection() {
    let mut pair = session(TransportId::Tcp);
    let mut new = asking(&mut pair, TransportId::Quic);
    let mut ack = SessionMigrateAckMetadata { resume_from_frame_id: 1 << 32, ..Default::default() };
    for (session_id, resume) in [(1, 1 << 32), (2, 0)] {
        ack.resume_from_frame_id = resume;
        let mut header = Header::new(MessageType::SessionMigrateAck);
        header.session_id = session_id;
        let packet = Packet::build(header, ack.encode().to_vec().into(), Bytes::new());
        let ack = nnrp_wire::SessionMigrateAck::decode(&packet).unwrap();
        let answer = nnrp_session::MigrationAnswer { packet, ack };
        let fault = pair.client.machine.check_migration(&answer).unwrap_err();
        assert_eq!(fault.rule, Some(RuleId::MIG_7));
    }
    let mut header = Header::new(MessageType::ServerHelloAck);
    header.session_id = 1;
    let hello_ack = Packet::build(header, vec![0; 80].into(), Bytes::new());
    new.client.receive(new.now, &hello_ack.to_bytes());
    new.drive();
    assert!(
        matches!(new.client.event(), Some(Event::HandshakeFailed(f)) if f.fault.rule == Some(RuleId::ACK_6))
    );
}
