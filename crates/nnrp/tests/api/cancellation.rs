use std::time::Duration;

use nnrp::FrameKey;
use nnrp::Received;

use super::harness::{Kind, frame, session, soon};

pub(crate) async fn a_dropped_receive_loses_nothing(kind: Kind) {
    const FRAMES: u32 = 500;
    let ends = session(kind).await;
    let sending = async {
        for frame_id in 1..=FRAMES {
            ends.client.send(&frame(frame_id)).await.unwrap();
        }
    };
    let receiving = async {
        let mut seen = Vec::new();
        let mut patience = 0;
        while seen.len() < FRAMES as usize {
            // Give up after 0 to 63 microseconds, in a fixed pattern.
            patience = (patience * 5 + 7) % 64;
            let attempt = tokio::time::timeout(Duration::from_micros(patience), ends.server.receive()).await;
            if let Ok(Ok(Received::Submit(submit))) = attempt {
                seen.push(submit.packet.header.frame_id);
            }
        }
        seen
    };
    let ((), mut seen) = soon("every frame", async { tokio::join!(sending, receiving) }).await;
    if !kind.is_quic() {
        assert!(seen.is_sorted(), "one ordered stream: {seen:?}");
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=FRAMES).collect::<Vec<u32>>());
}

pub(crate) async fn receivers_are_served_first_come_first_served(kind: Kind) {
    let ends = session(kind).await;
    let (first, second, third) = (ends.server.receive(), ends.server.receive(), ends.server.receive());
    tokio::pin!(first, second, third);
    // Poll each once so that they queue up in this order, then give up the second.
    tokio::select! {
        biased;
        _ = &mut first => panic!("nothing was sent"),
        _ = &mut second => panic!("nothing was sent"),
        _ = &mut third => panic!("nothing was sent"),
        () = std::future::ready(()) => {}
    }
    for frame_id in 1..=2 {
        ends.client.send(&frame(frame_id)).await.unwrap();
        let received = if frame_id == 1 {
            soon("a frame", &mut first).await
        } else {
            soon("a frame", &mut second).await
        };
        let Ok(Received::Submit(submit)) = received else { panic!() };
        assert_eq!(submit.packet.header.frame_id, frame_id);
    }
    ends.client.send(&frame(3)).await.unwrap();
    assert!(soon("a frame", third).await.is_ok());
}

pub(crate) async fn a_cancelled_frame_reaches_the_server(kind: Kind) {
    let ends = session(kind).await;
    ends.client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    ends.client.cancel(FrameKey::new(1)).await.unwrap();
    soon("the cancellation", submit.cancelled()).await;
    assert!(ends.server.frame_cancelled(FrameKey::new(1)));
    drop(submit);
    ends.echo(2).await;
}
