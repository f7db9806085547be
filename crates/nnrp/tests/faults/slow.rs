//! A link that is slow is not a server that is gone.

use std::time::Duration;

use nnrp::wire::{SubmitFrame, TypedPayload};
use nnrp::{ClientConfig, ClientSession, Listener, ServerConfig, clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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

/// Passes on what a client says at [`RATE`] after its first `fast` bytes, and what the server says at once.
async fn narrow_relay(client: TcpStream, server: TcpStream, fast: usize) {
    const TURN: usize = 4096;
    let (mut said, mut answers) = client.into_split();
    let (mut answered, mut server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answered, &mut answers).await });
    let (mut buffer, mut passed) = ([0; TURN], 0);
    while let Ok(read @ 1..) = said.read(&mut buffer).await {
        passed += read;
        if passed > fast {
            clock::sleep_until(Some(clock::now() + Duration::from_secs_f64(read as f64 / RATE as f64))).await;
        }
        if server.write_all(buffer.get(..read).unwrap()).await.is_err() {
            return;
        }
    }
}

/// The system takes all of it at once, and every question waits behind it.
async fn a_body_that_leaves_slowly_is_no_silence() {
    let listener = Listener::bind_tcp("127.0.0.1:0".parse().unwrap(), ServerConfig::new()).await.unwrap();
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = relay.local_addr().unwrap();
    let to = listener.local_addr();
    tokio::spawn(async move {
        let (client, _) = relay.accept().await.unwrap();
        narrow_relay(client, TcpStream::connect(to).await.unwrap(), 64 * 1024).await;
    });
    let config = ClientConfig::new().keepalive(Some(INTERVAL), Some(PATIENCE));
    let (client, server) = tokio::join!(ClientSession::connect_tcp(address, config), listener.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    client.ping(Duration::from_secs(5)).await.unwrap();
    let begun = clock::now();
    let frame = SubmitFrame {
        typed_payloads: vec![TypedPayload::opaque_bytes(vec![b'.'; BYTES])],
        ..SubmitFrame::new(1)
    };
    let answer = async {
        let submit = server.recv().await.unwrap().expect("a frame");
        submit.reply(result_of(1, 1)).await.unwrap();
    };
    let (reply, ()) = tokio::join!(client.submit(&frame), answer);
    let took = clock::now().saturating_duration_since(begun);
    assert_eq!(told(&reply.unwrap()).0, 1);
    assert!(took > PATIENCE, "the way was not slow: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_leaves_slowly_keeps_the_connection() {
    let test = a_body_that_leaves_slowly_is_no_silence();
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}
