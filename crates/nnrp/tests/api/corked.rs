use std::time::Duration;

use nnrp::{ClientSession, CreditPolicy, Received};

use super::harness::{Kind, bulky, frame, session, soon};

/// More than one write takes.
const MANY: u32 = 100;

pub(crate) async fn what_is_corked_arrives_in_order_though_the_cork_stays(kind: Kind) {
    const FRAMES: u32 = 100;
    let ends = session(kind).await;
    let cork = ends.client.connection().cork();
    for frame_id in 1..=FRAMES {
        ends.client.send(&frame(frame_id)).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 1..=FRAMES {
        let Received::Submit(submit) = soon("a frame", ends.server.receive()).await.unwrap() else {
            panic!()
        };
        seen.push(submit.packet.header.frame_id);
    }
    if kind.is_quic() {
        // Each has a stream of its own.
        seen.sort_unstable();
    }
    assert_eq!(seen, (1..=FRAMES).collect::<Vec<u32>>());
    drop(cork);
    ends.client.connection().flush().await;
    // A hello, and on QUIC a PING.
    assert!(ends.client.connection().stats().packets_sent > u64::from(FRAMES));
}

pub(crate) async fn what_is_corked_leaves_when_the_cork_is_out(kind: Kind) {
    // The write buffer holds four of them.
    const FRAMES: u32 = 20;
    let ends = session(kind).await;
    let client = ends.client.clone();
    let sending = tokio::spawn(async move {
        for frame_id in 1..=FRAMES {
            let _cork = client.connection().cork();
            client.send(&bulky(frame_id, 1 << 20)).await.unwrap();
            client.send(&frame(FRAMES + frame_id)).await.unwrap();
        }
        client
    });
    let mut seen = Vec::new();
    for _ in 1..=2 * FRAMES {
        let Received::Submit(submit) = soon("a frame", ends.server.receive()).await.unwrap() else {
            panic!()
        };
        seen.push(submit.packet.header.frame_id);
    }
    let client = sending.await.unwrap();
    soon("the flush", client.connection().flush()).await;
    seen.sort_unstable();
    assert_eq!(seen, (1..=2 * FRAMES).collect::<Vec<u32>>());
}

/// What is forgotten leaves with the keepalive in the end: five seconds after the last packet.
const BEFORE_KEEPALIVE: Duration = Duration::from_secs(4);

/// Queues more frames at once than one write takes.
async fn queue_many(client: &ClientSession) {
    client.set_credit_policy(CreditPolicy::Ignore);
    for frame_id in 1..=MANY {
        client.send(&frame(frame_id)).await.unwrap();
    }
}

pub(crate) async fn more_than_one_write_takes_leaves_when_the_cork_is_out(kind: Kind) {
    let ends = session(kind).await;
    let cork = ends.client.connection().cork();
    queue_many(&ends.client).await;
    drop(cork);
    tokio::time::timeout(BEFORE_KEEPALIVE, async {
        for _ in 1..=MANY {
            ends.server.receive().await.unwrap();
        }
    })
    .await
    .unwrap();
}

pub(crate) async fn a_flush_does_not_wait_for_the_cork(kind: Kind) {
    let ends = session(kind).await;
    let _cork = ends.client.connection().cork();
    queue_many(&ends.client).await;
    tokio::time::timeout(BEFORE_KEEPALIVE, ends.client.connection().flush()).await.unwrap();
}

pub(crate) async fn a_ping_is_answered_although_a_cork_stays(kind: Kind) {
    let ends = session(kind).await;
    for _ in 0..10 {
        let _cork = ends.server.connection().cork();
        ends.client.ping(Duration::from_secs(10)).await.unwrap();
    }
}
