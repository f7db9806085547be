//! What a server holds for clients that it has not admitted, and for an application that offered less than it could.

use std::time::Duration;

use bytes::Bytes;
use nnrp::wire::{Header, MessageType, Packet};
use nnrp::{Admission, ClientConfig, HandshakeOptions, Received, ServerConfig, ServerSettings};

use super::harness::{Kind, Server, bulky, frame, soon};

/// What a client on QUIC may send before it is admitted.
const HELLO_WINDOW: u64 = 128 * 1024;

/// How long bytes would take to leave if they could.
const HELD_BACK: Duration = Duration::from_secs(1);

#[cfg(feature = "quic")]
pub(crate) async fn a_client_nobody_has_admitted_may_send_a_hello_and_no_frame() {
    // Nobody accepts.
    let server = Server::start(Kind::Quic, ServerConfig::new()).await;
    let client = server.dial_raw(Kind::Quic).await;
    let submit = frame(1).encode(1, nnrp::wire::Revision::Current).unwrap().to_packet();
    client.send(submit).await.unwrap();
    let body = Bytes::from(vec![b'x'; 60 * 1024]);
    let packet = Packet::build(Header::new(MessageType::Close), Bytes::new(), body);
    for _ in 0..10 {
        client.send(packet.clone()).await.unwrap();
    }
    assert!(tokio::time::timeout(HELD_BACK, client.flush()).await.is_err(), "everything has left");
    let stats = client.stats();
    // Counted when written: two of the large ones, and the frame not at all.
    assert!(stats.bytes_sent <= HELLO_WINDOW, "{stats:?}");
    assert_eq!(stats.packets_sent, HELLO_WINDOW / (60 * 1024), "{stats:?}");
}

pub(crate) async fn what_is_offered_to_one_client_bounds_what_waits_of_it(kind: Kind) {
    // Eight bodies of 1 MiB may wait; the window of a QUIC connection, the buffers of kernels and our own hold some more.
    const FRAMES: u32 = 72;
    let server = Server::start(kind, ServerConfig::new()).await;
    let accepting = async {
        let options = HandshakeOptions::default();
        let pending = server.listener.accept_hello(&options).await.expect("a client").unwrap();
        let mut settings = ServerSettings::default();
        settings.max_body_bytes = (1 << 20) + 1024;
        pending.set_settings(settings);
        pending.admit(Admission::default()).unwrap()
    };
    let (client, session) = tokio::join!(server.dial(kind, ClientConfig::new()), accepting);
    let client = client.unwrap();
    let sending = async {
        for frame_id in 1..=FRAMES {
            client.send(&bulky(frame_id, 1 << 20)).await.unwrap();
        }
    };
    tokio::pin!(sending);
    assert!(tokio::time::timeout(3 * HELD_BACK, &mut sending).await.is_err(), "the client was not held back");
    assert!(session.connection().stats().packets_received <= 10, "{:?}", session.connection().stats());
    let reading = async {
        for _ in 0..FRAMES {
            let received = soon("a frame", session.receive()).await.unwrap();
            assert!(matches!(received, Received::Submit(_)), "{received:?}");
        }
    };
    tokio::join!(sending, reading);
}
