use std::time::Duration;

use nnrp::wire::{MessageType, ResultFrame, TypedPayload};
use nnrp::{ClientConfig, Received, ServerConfig, clock};

use super::harness::{Kind, Server, bulky, session, soon};

pub(crate) async fn frames_nobody_reads_hold_the_client_back_and_are_not_lost(kind: Kind) {
    // Eight bodies of 32 MiB may wait; frames of 1 MiB reach that bound after 256.
    const FRAMES: u32 = 300;
    let ends = session(kind).await;
    let client = ends.client.clone();
    let sending = tokio::spawn(async move {
        let frame = bulky(1, 1 << 20);
        for frame_id in 1..=FRAMES {
            let frame = nnrp::wire::SubmitFrame { frame_id, ..frame.clone() };
            client.send(&frame).await.unwrap();
        }
    });
    // The server's runtime still answers while its application reads nothing; on one ordered stream the
    // question may be stuck behind frames, so it is asked where it cannot be.
    if kind.is_quic() {
        ends.client.ping(Duration::from_secs(10)).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < FRAMES as usize {
        if let Received::Submit(submit) = soon("a frame", ends.server.receive()).await.unwrap() {
            seen.push(submit.packet.header.frame_id);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=FRAMES).collect::<Vec<u32>>());
    sending.await.unwrap();
}

pub(crate) async fn a_server_that_does_not_read_results_is_not_stuck(kind: Kind) {
    let ends = session(kind).await;
    let server = ends.server.clone();
    // 64 MiB of results that the client does not take: the write buffer fills and the sender waits.
    let flood = tokio::spawn(async move {
        for frame_id in 1..=64 {
            let result = ResultFrame {
                frame_id,
                typed_payloads: vec![TypedPayload::opaque_bytes(vec![1; 1 << 20])],
                ..ResultFrame::default()
            };
            server.send_result(result).await.unwrap();
        }
    });
    // Reading on the server goes on: its answer to PING shares the way back, so listen for the frame instead.
    ends.client.send(&bulky(1, 1000)).await.unwrap();
    let received = soon("a frame", ends.server.receive()).await.unwrap();
    assert!(
        matches!(received, Received::Submit(submit) if submit.packet.header.msg_type == MessageType::FrameSubmit)
    );
    for _ in 0..64 {
        soon("a result", ends.client.receive()).await.unwrap();
    }
    flood.await.unwrap();
}

/// On QUIC unread frames fill the window that the control stream shares with them: nobody may take that for a dead server.
#[cfg(feature = "quic")]
pub(crate) async fn large_frames_nobody_reads_do_not_cost_the_connection() {
    // Eight bodies of 4 MiB may wait, and 32 MiB in the window.
    const FRAMES: u32 = 80;
    /// How long nobody reads; while a frame waits a third of the patience has to do.
    const STALL: Duration = Duration::from_secs(5);
    let listening = Server::start(Kind::Quic, ServerConfig::new().max_body_bytes(4 << 20)).await;
    let config = ClientConfig::new().keepalive(Some(Duration::from_secs(2)), Some(Duration::from_secs(6)));
    let (client, server) = tokio::join!(listening.dial(Kind::Quic, config), listening.listener.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    let sender = client.clone();
    let sending = tokio::spawn(async move {
        let frame = bulky(1, 1 << 20);
        for frame_id in 1..=FRAMES {
            let frame = nnrp::wire::SubmitFrame { frame_id, ..frame.clone() };
            sender.send(&frame).await.unwrap();
        }
    });
    // Until the window is full: no further frame leaves.
    let mut left = 0;
    loop {
        clock::sleep_until(Some(clock::now() + Duration::from_secs(1))).await;
        let now = client.connection().stats().frames.frames_submitted;
        if now > 0 && std::mem::replace(&mut left, now) == now {
            break;
        }
    }
    assert!(!sending.is_finished(), "the client was not held back");
    // An application's own PING would wait for room in the write buffer, behind the frames.
    let stalled = tokio::time::timeout(STALL, client.closed()).await;
    assert!(stalled.is_err(), "{stalled:?}");
    let mut seen = 0;
    while seen < FRAMES {
        if let Received::Submit(_) = soon("a frame", server.receive()).await.unwrap() {
            seen += 1;
        }
    }
    sending.await.unwrap();
}
