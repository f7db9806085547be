//! Bodies of megabytes on plain TCP, whose reader sleeps until there is a lot of them.

use std::time::Duration;

use nnrp::{EndedBy, ServerSession, clock};
use nnrp_testkit::packets;
use tokio::io::AsyncWriteExt;

use super::gone::by_hand;
use super::harness::soon;

const MIB: usize = 1024 * 1024;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(120);

async fn pause(time: Duration) {
    clock::sleep_until(Some(clock::now() + time)).await;
}

async fn next_frame(session: &ServerSession) -> u32 {
    soon("a frame", session.recv()).await.unwrap().expect("a frame").key().frame_id
}

pub(crate) async fn a_small_frame_behind_a_large_one_waits_for_nothing() {
    let (session, mut socket, id, _listener) = by_hand(LONG).await;
    for round in 0..10 {
        let (large, small) = (1 + 2 * round, 2 + 2 * round);
        socket.write_all(&packets::bulky_packet(id, large, 3 * MIB).to_bytes()).await.unwrap();
        assert_eq!(next_frame(&session).await, large);
        // Nothing follows that would wake a reader that waits for more.
        socket.write_all(&packets::submit_packet(id, small).to_bytes()).await.unwrap();
        assert_eq!(next_frame(&session).await, small);
    }
}

pub(crate) async fn a_peer_that_pauses_within_a_large_body_is_read_to_its_end() {
    let (session, mut socket, id, _listener) = by_hand(LONG).await;
    let frame = packets::bulky_packet(id, 1, 3 * MIB).to_bytes();
    let received = session.connection().stats().packets_received;
    // The reader has taken what there is of the body, and waits for a megabyte.
    let (start, rest) = frame.split_at(MIB / 2);
    socket.write_all(start).await.unwrap();
    pause(Duration::from_millis(100)).await;
    let (last, behind) = rest.split_at(rest.len() - 1);
    socket.write_all(last).await.unwrap();
    pause(Duration::from_millis(100)).await;
    assert_eq!(session.connection().stats().packets_received, received);
    socket.write_all(behind).await.unwrap();
    assert_eq!(next_frame(&session).await, 1);
}

pub(crate) async fn a_peer_that_sends_a_large_body_slowly_is_not_silent() {
    let idle_timeout = Duration::from_secs(2);
    let (session, mut socket, id, _listener) = by_hand(idle_timeout).await;
    let frame = packets::bulky_packet(id, 1, 3 * MIB).to_bytes();
    let (slow, rest) = frame.split_at(MIB / 2);
    // In all twice as long as a peer may be silent, and never half as long at a time.
    for step in slow.chunks(slow.len().div_ceil(6)) {
        socket.write_all(step).await.unwrap();
        pause(idle_timeout / 3).await;
    }
    socket.write_all(rest).await.unwrap();
    assert_eq!(next_frame(&session).await, 1);
}

pub(crate) async fn a_peer_that_stops_within_a_large_body_is_noticed() {
    let idle_timeout = Duration::from_secs(1);
    let (session, mut socket, id, _listener) = by_hand(idle_timeout).await;
    let frame = packets::bulky_packet(id, 1, 3 * MIB).to_bytes();
    let begun = clock::now();
    socket.write_all(&frame[..MIB / 2]).await.unwrap();
    let closed = soon("the end", session.closed()).await;
    assert_eq!(closed.0.by, EndedBy::Transport, "{closed}");
    assert!(clock::now() - begun >= idle_timeout, "it has all of its time");
}

pub(crate) async fn a_peer_that_leaves_within_a_large_body_is_noticed() {
    let (session, mut socket, id, _listener) = by_hand(LONG).await;
    let frame = packets::bulky_packet(id, 1, 3 * MIB).to_bytes();
    socket.write_all(&frame[..MIB / 2]).await.unwrap();
    pause(Duration::from_millis(100)).await;
    drop(socket);
    let closed = soon("the end", session.closed()).await;
    assert_eq!(closed.0.by, EndedBy::Transport, "{closed}");
}
