//! A server that is killed, or stands still: nobody waits for ever, and everybody learns why.

use std::time::Duration;

use nnrp::{ClientConfig, ClientSession, DRAIN_TIME, EndedBy, SessionError, clock};

use super::process::Server;
use super::relayed::small;

/// A PING that often, and patience for that long.
const INTERVAL: Duration = Duration::from_millis(250);
/// See [`INTERVAL`].
const PATIENCE: Duration = Duration::from_secs(2);

/// How much later than promised a busy machine may notice.
const SLACK: Duration = Duration::from_secs(5);

/// Frames that wait for an answer when the server dies.
const PENDING: u32 = 8;

/// Signals, as `kill` calls them: its system tells for a process that ended, and goes on taking what is sent to one that stands still.
const KILL: &str = "-KILL";
const STOP: &str = "-STOP";

async fn every_wait_ends(transport: &str, signal: &str) {
    let (mut server, address, trust) = tokio::task::block_in_place(|| Server::start(transport));
    let config = ClientConfig::new().keepalive(Some(INTERVAL), Some(PATIENCE));
    let client = match transport {
        "quic" => ClientSession::connect_quic(address, "localhost", &trust, config).await,
        _ => ClientSession::connect_tcp(address, config).await,
    }
    .unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for frame_id in 1..=PENDING {
        let client = client.clone();
        waiting.spawn(async move { client.submit(&small(frame_id)).await });
    }
    tokio::task::block_in_place(|| while server.says("taken") != [PENDING.to_string()] {});
    // It is alive, and has said so.
    client.ping(SLACK).await.unwrap();

    server.signal(signal);
    let since = clock::now();
    while let Some(ended) = waiting.join_next().await {
        let error = ended.unwrap().unwrap_err();
        let text = error.to_string();
        let SessionError::Closed(closed) = error else { panic!("{error:?}") };
        assert_eq!(closed.0.by, EndedBy::Transport, "{text}");
        assert!(text.starts_with("connection lost") && text.contains(&address.to_string()), "{text}");
    }
    let noticed = clock::now().saturating_duration_since(since);
    println!("{transport}: {PENDING} waits ended {noticed:?} after {signal}: {}", client.closed().await);
    let bound = PATIENCE + INTERVAL;
    assert!(noticed < bound + SLACK, "noticed after {noticed:?}, promised {bound:?}");
    // What comes later fails at once, with the same reason.
    let late = client.send(&small(PENDING + 1)).await.unwrap_err();
    assert_eq!(late.to_string(), client.closed().await.to_string());
    // Nor does anything that is left of it wait for somebody who is gone.
    tokio::time::timeout(DRAIN_TIME / 2, client.connection().flush()).await.expect("flushing waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_ends_when_the_server_is_killed_over_tcp() {
    let test = every_wait_ends("tcp", KILL);
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_ends_when_the_server_is_killed_over_quic() {
    let test = every_wait_ends("quic", KILL);
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_ends_when_the_server_stands_still_over_tcp() {
    let test = every_wait_ends("tcp", STOP);
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_ends_when_the_server_stands_still_over_quic() {
    let test = every_wait_ends("quic", STOP);
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}
