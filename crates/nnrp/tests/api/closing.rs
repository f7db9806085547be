use nnrp::{ClientConfig, EndedBy, Received, Reply, ServerConfig, SessionError};

use super::harness::{Kind, Server, bulky, frame, session, soon, text_of, text_result};

pub(crate) async fn what_was_sent_before_the_close_arrives(kind: Kind) {
    let ends = session(kind).await;
    for frame_id in 1..=20 {
        ends.client.send(&frame(frame_id)).await.unwrap();
    }
    for _ in 1..=20 {
        let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
        let key = submit.key();
        submit.reply(text_result(0, &format!("{key}"))).await.unwrap();
    }
    ends.server.close("done").await;
    for frame_id in 1..=20 {
        let reply = soon("a result", ends.client.receive_for(frame_id, None)).await.unwrap();
        assert_eq!(text_of(&reply), format!("frame {frame_id}"));
    }
    let Err(SessionError::Closed(closed)) = soon("the end", ends.client.receive()).await else { panic!() };
    assert_eq!(closed.0.by, EndedBy::Peer);
}

pub(crate) async fn a_server_that_closes_ends_every_wait(kind: Kind) {
    let ends = session(kind).await;
    for frame_id in 1..=3 {
        ends.client.send(&frame(frame_id)).await.unwrap();
        soon("a frame", ends.server.receive()).await.unwrap();
    }
    let waiting = async {
        for frame_id in 1..=3 {
            let reply = ends.client.receive_for(frame_id, None).await.unwrap();
            assert!(matches!(reply, Reply::Dropped { .. }), "an unanswered frame is dropped: {reply:?}");
        }
        assert!(ends.client.receive().await.is_err());
    };
    soon("every wait", async { tokio::join!(waiting, ends.server.close("")) }).await;
    assert!(ends.server.receive().await.is_err());
    assert!(ends.server.send_result(text_result(1, "late")).await.is_err());
}

pub(crate) async fn losing_the_client_ends_the_session(kind: Kind) {
    let ends = session(kind).await;
    ends.client.send(&bulky(1, 100_000)).await.unwrap();
    ends.client.connection().flush().await;
    ends.client.connection().abort(0, "gone");
    let first = soon("what had arrived", ends.server.receive()).await;
    assert!(matches!(first, Ok(Received::Submit(_))), "{first:?}");
    assert!(soon("the end", ends.server.receive()).await.is_err());
    soon("the end of the transport", ends.server.connection().gone()).await;
}

pub(crate) async fn a_closed_listener_leaves_sessions_alone(kind: Kind) {
    let server = Server::start(kind, ServerConfig::new()).await;
    let (client, accepted) = tokio::join!(server.dial(kind, ClientConfig::new()), server.listener.accept());
    let (client, accepted) = (client.unwrap(), accepted.unwrap());
    let waiting = server.listener.accept();
    server.listener.close();
    assert!(soon("the accept", waiting).await.is_none());
    soon("the listener", server.listener.closed()).await;
    client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", accepted.recv()).await.unwrap().unwrap();
    submit.reply(text_result(1, "still here")).await.unwrap();
    assert_eq!(text_of(&soon("a result", client.receive()).await.unwrap()), "still here");
}

// Rules R-LIFE-5
pub(crate) async fn every_result_sent_before_the_close_arrives(kind: Kind) {
    // All of one frame, all of class complete, as token streams of other servers are.
    const RESULTS: usize = 20;
    for _ in 0..5 {
        let ends = session(kind).await;
        ends.client.send(&frame(1)).await.unwrap();
        soon("a frame", ends.server.receive()).await.unwrap();
        for number in 0..RESULTS {
            ends.server.send_result(text_result(1, &format!("token {number}"))).await.unwrap();
        }
        ends.server.close("").await;
        for number in 0..RESULTS {
            let reply = soon("a result", ends.client.receive()).await;
            assert_eq!(text_of(&reply.unwrap()), format!("token {number}"));
        }
    }
}

pub(crate) async fn a_client_caught_in_its_handshake_by_the_end_of_the_listener_is_turned_away(kind: Kind) {
    let (asked, is_asked) = tokio::sync::oneshot::channel();
    let asked = std::sync::Mutex::new(Some(asked));
    let (answer, answered) = tokio::sync::watch::channel(false);
    let config = ServerConfig::new().authenticate(move |_| {
        if let Some(asked) = asked.lock().unwrap().take() {
            let _ = asked.send(());
        }
        let mut answered = answered.clone();
        async move { answered.wait_for(|answered| *answered).await.is_ok() }
    });
    let server = Server::start(kind, config).await;
    let dialling = server.dial(kind, ClientConfig::new());
    let closing = async {
        let accepting = server.listener.accept();
        tokio::pin!(accepting);
        tokio::select! {
            _ = &mut accepting => panic!("nobody was admitted"),
            _ = is_asked => {}
        }
        server.listener.close();
        assert!(accepting.await.is_none());
        server.listener.closed().await;
        answer.send_replace(true);
    };
    let (dialled, ()) = soon("the refusal", async { tokio::join!(dialling, closing) }).await;
    // The acknowledgement may have been on its way; then the session ends at once.
    if let Ok(client) = dialled {
        soon("the end", client.closed()).await;
    }
}

// Rules R-HELLO-7, R-LIM-9
pub(crate) async fn a_silent_client_does_not_keep_its_socket(kind: Kind) {
    let config = ServerConfig::new().handshake_timeout(std::time::Duration::from_millis(500));
    let server = Server::start(kind, config).await;
    let silent = server.dial_raw(kind).await;
    let accepting = server.listener.accept();
    tokio::select! {
        _ = accepting => panic!("nobody said hello"),
        () = soon("the end of the silent connection", silent.gone()) => {}
    }
}

pub(crate) async fn closing_after_the_peer_has_gone_takes_no_time(kind: Kind) {
    let ends = session(kind).await;
    ends.server.close("done").await;
    soon("the end", ends.client.closed()).await;
    let closing = tokio::time::timeout(std::time::Duration::from_secs(2), ends.client.close(""));
    assert!(closing.await.is_ok(), "it waited for a peer that had gone");
}

pub(crate) async fn a_server_closes_though_it_owes_more_drops_than_may_wait(kind: Kind) {
    // A hint and a drop for each: more than half of what may be queued before reading waits.
    const FRAMES: u32 = 400;
    let ends = session(kind).await;
    for frame_id in 1..=FRAMES {
        ends.client.send(&frame(frame_id)).await.unwrap();
        soon("a frame", ends.server.receive()).await.unwrap();
    }
    soon("the close", ends.server.close("enough")).await;
    for _ in 0..FRAMES {
        let reply = soon("a drop", ends.client.receive()).await.unwrap();
        assert!(matches!(reply, Reply::Dropped { .. }), "{reply:?}");
    }
    soon("the end of the transport", ends.server.connection().gone()).await;
}
