use nnrp::{ClientConfig, EndedBy, Received, Reply, ServerConfig, SessionError};

use super::harness::{Kind, Server, bulky, frame, session, soon, text_of, text_result};

pub(crate) async fn what_was_sent_before_the_close_arrives(kind: Kind) {
    let ends = session(kind).await;
    for frame_id in 1..=20 {
        ends.client.send(&frame(frame_id)).await.unwrap();
    }
    for _ in 1..=20 {
        let submit = soon("a frame", ends.server.recv()).await.unwrap();
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
            let Ok(Reply::Result(result)) = ends.client.receive_for(frame_id, None).await else { panic!() };
            assert!(result.push.is_none(), "an unanswered frame is dropped");
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
    let submit = soon("a frame", accepted.recv()).await.unwrap();
    submit.reply(text_result(1, "still here")).await.unwrap();
    assert_eq!(text_of(&soon("a result", client.receive()).await.unwrap()), "still here");
}
