//! Payload kinds bind both sides after the handshake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use nnrp_session::{CommandError, Event, ServerSettings};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    ErrorCode, PayloadCapabilitiesExtension, PayloadKind, ResultFrame, Revision, RuleId, SubmitFrame,
    TypedPayload,
};

/// A session whose client takes tensors and tokens, with a server that takes `allowed`.
fn agreed(allowed: PayloadKind) -> Pair {
    let mut hello = packets::hello();
    let kinds = PayloadKind::TENSOR | PayloadKind::TOKEN_CHUNK;
    let extension = PayloadCapabilitiesExtension { payload_kind_bitmap: kinds, ..Default::default() };
    hello.extensions.push(extension.to_extension());
    let mut settings = ServerSettings::default();
    settings.payload_kinds = allowed;
    Pair::connected_as(&hello, settings)
}

fn submit_text(pair: &mut Pair, frame_id: u32) {
    let frame =
        SubmitFrame { typed_payloads: vec![TypedPayload::token_chunk("hi")], ..SubmitFrame::new(frame_id) };
    pair.client.machine.submit(pair.now, frame.encode(1, Revision::Current).unwrap()).unwrap();
    pair.drive();
}

// Rules R-NEG-2
#[test]
fn a_frame_with_a_kind_that_was_left_out_is_refused_and_the_session_goes_on() {
    let mut pair = agreed(PayloadKind::TENSOR);
    submit_text(&mut pair, 1);
    let Some(Event::Rejected(rejected)) = pair.server.event() else { panic!() };
    assert_eq!(rejected.fault.rule, Some(RuleId::NEG_2));
    let Some(Event::FrameFailed(failed)) = pair.client.event() else { panic!() };
    assert_eq!(failed.fault.code, ErrorCode::UnsupportedCapability);
    pair.echo(2);
}

#[test]
fn a_kind_that_was_agreed_on_passes() {
    let mut pair = agreed(PayloadKind::KNOWN);
    submit_text(&mut pair, 1);
    assert!(matches!(pair.server.event(), Some(Event::Submit(_))));
}

#[test]
fn a_result_of_a_kind_the_client_did_not_declare_is_not_sent() {
    let mut pair = agreed(PayloadKind::KNOWN);
    pair.submit(1);
    let push = |pair: &mut Pair, payload| {
        let result = ResultFrame { frame_id: 1, typed_payloads: vec![payload], ..ResultFrame::default() };
        pair.server.machine.push_result(pair.now, result.encode(1, Revision::Current).unwrap())
    };
    let refused = push(&mut pair, TypedPayload::audio_chunk("pcm"));
    assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
    // The frame is still owed, and what the client takes goes through.
    push(&mut pair, TypedPayload::token_chunk("hi")).unwrap();
    pair.drive();
    assert!(pair.client.events.iter().any(|event| matches!(event, Event::Result(_))));
}

#[test]
fn a_client_that_declares_nothing_gets_every_kind() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let payload = TypedPayload::audio_chunk("pcm");
    let result = ResultFrame { frame_id: 1, typed_payloads: vec![payload], ..ResultFrame::default() };
    pair.server.machine.push_result(pair.now, result.encode(1, Revision::Current).unwrap()).unwrap();
}
