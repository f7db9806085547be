//! How long frames take, as both sides see it.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{DropFrame, Latency};
use nnrp_testkit::Pair;
use nnrp_wire::{ResultClass, ResultFrame, Revision, TypedPayload};

const WORK: Duration = Duration::from_millis(100);
/// The end of the bucket that `WORK` is in.
const WORK_WITHIN: Duration = Duration::from_micros(64 << 11);

fn of_both(pair: &Pair) -> [Latency; 2] {
    [&pair.server, &pair.client].map(|node| node.machine.frame_stats().latency)
}

fn push(pair: &mut Pair, result_class: ResultClass) {
    // Typed payloads: tiles would have to be counted.
    let typed_payloads = vec![TypedPayload::opaque_bytes("part")];
    let result = ResultFrame { result_class, typed_payloads, ..ResultFrame::new(1) };
    let packet = result.encode(1, Revision::Current).unwrap();
    pair.server.machine.push_result(pair.now, packet).unwrap();
    pair.drive();
}

#[test]
fn both_sides_count_how_long_a_frame_took() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.advance(WORK);
    pair.answer(1);
    for latency in of_both(&pair) {
        assert_eq!((latency.count(), latency.sum()), (1, WORK));
        assert_eq!(latency.quantile(0.5), Some(WORK_WITHIN));
    }
}

#[test]
fn a_frame_in_parts_takes_until_its_last_part() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.advance(WORK);
    push(&mut pair, ResultClass::Partial);
    assert_eq!(of_both(&pair).map(|latency| latency.count()), [0, 0]);
    pair.advance(WORK);
    push(&mut pair, ResultClass::Complete);
    assert_eq!(of_both(&pair).map(|latency| latency.sum()), [2 * WORK; 2]);
}

#[test]
fn parts_without_a_last_one_count_until_the_newest_of_them() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.advance(WORK);
    push(&mut pair, ResultClass::Partial);
    pair.advance(Duration::from_mins(1)); // R-LIFE-1: the client does not wait for ever
    let [server, client] = of_both(&pair);
    assert_eq!((client.count(), client.sum()), (1, WORK));
    assert_eq!(server.count(), 0, "it still owes the last part");
}

#[test]
fn a_frame_without_a_result_has_no_latency() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.advance(WORK);
    pair.server.machine.push_drop(&DropFrame { frame_id: 1, ..DropFrame::default() }).unwrap();
    pair.drive();
    pair.advance(Duration::from_secs(1));
    assert_eq!(of_both(&pair).map(|latency| latency.count()), [0, 0]);
    assert_eq!(pair.client.machine.frame_stats().frames_dropped, 1);
}

#[test]
fn an_answer_nobody_waits_for_has_no_latency() {
    let mut pair = Pair::connected();
    pair.submit(1);
    pair.advance(WORK);
    pair.answer(1);
    pair.advance(WORK);
    pair.answer(1);
    assert_eq!(of_both(&pair).map(|latency| latency.count()), [1, 1]);
}
