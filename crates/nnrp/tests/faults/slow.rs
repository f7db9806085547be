//! A link that is slow is not a server that is gone.

use std::time::Duration;

use nnrp::{ClientConfig, clock};

use super::relayed::{FAIR, result_of, session, small, told};

/// A PING that often, and patience for that long; a third of both while a frame waits.
const INTERVAL: Duration = Duration::from_secs(1);
/// See [`INTERVAL`].
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes a second.
const RATE: u64 = 200_000;

/// A body that takes longer than any patience.
const BYTES: usize = 1_000_000;

async fn a_body_that_takes_longer_than_the_patience_arrives() {
    let config = ClientConfig::new().keepalive(Some(INTERVAL), Some(PATIENCE));
    let link = session(FAIR, 1, config).await;
    link.client.ping(Duration::from_secs(5)).await.unwrap();
    link.relay.slow_down(RATE);
    let begun = clock::now();
    let frame = small(1);
    let answer = async {
        let submit = link.server.recv().await.unwrap().expect("a frame");
        submit.reply(result_of(1, BYTES)).await.unwrap();
    };
    let (reply, ()) = tokio::join!(link.client.submit(&frame), answer);
    let took = clock::now().saturating_duration_since(begun);
    assert_eq!(told(&reply.unwrap()).2, BYTES);
    assert!(took > PATIENCE, "the link was not slow: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_keeps_the_connection() {
    let test = a_body_that_takes_longer_than_the_patience_arrives();
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}
