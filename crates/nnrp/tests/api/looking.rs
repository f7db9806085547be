//! A look for a frame, without waiting.

use nnrp::{Received, SessionError};

use super::harness::{Kind, frame, session, soon};

pub(crate) async fn a_look_finds_what_has_arrived_and_the_end(kind: Kind) {
    let ends = session(kind).await;
    assert!(ends.server.receive_now().is_none(), "nothing was sent");
    ends.client.send(&frame(7)).await.unwrap();
    let found = soon("a frame", async {
        loop {
            if let Some(found) = ends.server.receive_now() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    let Ok(Received::Submit(submit)) = found.await else { panic!("not a frame") };
    assert_eq!(submit.packet.header.frame_id, 7);
    assert!(ends.server.receive_now().is_none(), "it was taken");
    drop(submit);
    ends.client.close("over").await;
    soon("the end", ends.server.closed()).await;
    let end = ends.server.receive_now();
    assert!(matches!(end, Some(Err(SessionError::Closed(_)))), "{end:?}");
}
