//! Clients on plain TCP that leave while nobody takes their frames.

use std::time::Duration;

use nnrp::wire::{Header, MessageType, Packet};
use nnrp::{EndedBy, Listener, ServerConfig, ServerSession, TcpOptions, clock};
use nnrp_testkit::packets;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::soon;

/// Frames a session takes in for an application that takes none.
const MAX_UNREAD_FRAMES: usize = 1024;

/// Some more than that, few enough for what kernels hold.
const FRAMES: usize = MAX_UNREAD_FRAMES + 76;

/// A session, and the socket of its client, which has done its handshake and gets from then on what the test writes; the id of the
/// session.
pub(crate) async fn by_hand(idle_timeout: Duration) -> (ServerSession, TcpStream, u32, Listener) {
    let mut options = TcpOptions::default();
    options.idle_timeout = Some(idle_timeout);
    let config = ServerConfig::new().tcp(options);
    let listener = Listener::bind_tcp(([127, 0, 0, 1], 0).into(), config).await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr()).await.unwrap();
    let hello = packets::hello_packet(&packets::hello()).to_bytes();
    let (sent, session) = tokio::join!(socket.write_all(&hello), soon("a session", listener.accept()));
    sent.unwrap();
    let mut header = [0; 40];
    socket.read_exact(&mut header).await.unwrap();
    let header = Header::decode(&header).unwrap();
    let mut ack = vec![0; (header.meta_len + header.body_len) as usize];
    socket.read_exact(&mut ack).await.unwrap();
    (session.unwrap(), socket, header.session_id, listener)
}

/// A session whose client has sent [`FRAMES`], and the client's socket.
async fn flooded(idle_timeout: Duration) -> (ServerSession, TcpStream, Listener) {
    let (session, mut socket, session_id, listener) = by_hand(idle_timeout).await;
    let frames = packets::submit_packet(session_id, 1).to_bytes().repeat(FRAMES);
    socket.write_all(&frames).await.unwrap();
    // The hello and as many frames as there is room for: the rest stays in the socket.
    let full = async {
        while session.connection().stats().packets_received <= MAX_UNREAD_FRAMES as u64 {
            tokio::task::yield_now().await;
        }
    };
    soon("a full inbox", full).await;
    (session, socket, listener)
}

pub(crate) async fn a_client_that_resets_is_noticed_although_nobody_reads() {
    let (session, socket, _listener) = flooded(Duration::from_secs(120)).await;
    // A socket that closes with something unread resets.
    let ping = Header::new(MessageType::Ping);
    session.connection().send(Packet::build(ping, bytes::Bytes::new(), bytes::Bytes::new())).await.unwrap();
    soon("a PING", socket.readable()).await.unwrap();
    drop(socket);
    let closed = soon("the end", session.closed()).await;
    assert_eq!(closed.0.by, EndedBy::Transport, "{closed}");
}

pub(crate) async fn a_client_that_closes_is_let_go_after_the_idle_timeout_although_nobody_reads() {
    let (session, socket, _listener) = flooded(Duration::from_secs(2)).await;
    drop(socket);
    let closed = soon("the end", session.closed()).await;
    assert_eq!(closed.0.by, EndedBy::Transport, "{closed}");
    // What had been taken in is still handed out.
    assert!(session.recv().await.unwrap().is_some());
}

pub(crate) async fn a_client_that_has_closed_its_half_is_read_to_the_end() {
    let (session, mut socket, _listener) = flooded(Duration::from_secs(120)).await;
    socket.shutdown().await.unwrap();
    // The look comes every second.
    clock::sleep_until(Some(clock::now() + Duration::from_millis(2500))).await;
    let mut taken = 0;
    while let Ok(Some(submit)) = soon("a frame", session.recv()).await {
        drop(submit);
        taken += 1;
    }
    assert_eq!(taken, FRAMES);
}
