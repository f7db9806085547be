use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use nnrp::wire::{ErrorCode, ResultHintReason};
use nnrp::{
    ClientConfig, ClientSession, DialError, HandshakeError, Listener, Reply, ServerConfig, ServerSession,
};

use super::harness::{Kind, Server, drop_reason, frame, soon, text_of, text_result};

/// Longer than a test takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn opened(kind: Kind) -> (Server, ClientSession, ServerSession) {
    let server = Server::start(kind, ServerConfig::new()).await;
    let (client, session) = tokio::join!(server.dial(kind, ClientConfig::new()), server.listener.accept());
    (server, client.unwrap(), session.unwrap())
}

/// Answers every frame; how many.
async fn serve(session: ServerSession) -> usize {
    let mut answered = 0;
    while let Ok(Some(submit)) = session.recv().await {
        tokio::task::yield_now().await;
        let frame_id = submit.key().frame_id;
        submit.reply(text_result(frame_id, "done")).await.unwrap();
        answered += 1;
    }
    answered
}

/// Submits as fast as it goes until the session takes no more; how many frames.
async fn submit_until_the_end(client: ClientSession) -> usize {
    let mut frame_id = 0;
    while client.send(&frame(frame_id + 1)).await.is_ok() {
        frame_id += 1;
        tokio::task::yield_now().await;
    }
    frame_id as usize
}

pub(crate) async fn every_frame_submitted_while_the_server_goes_away_has_an_answer(kind: Kind) {
    let (server, client, session) = opened(kind).await;
    let serving = tokio::spawn(serve(session));
    let submitting = tokio::spawn(submit_until_the_end(client.clone()));
    let (mut results, mut refused) = (0, 0);
    for _ in 0..10 {
        soon("a result", client.receive()).await.unwrap();
        results += 1;
    }
    let listener = server.listener.clone();
    let draining = tokio::spawn(async move { listener.drain(PATIENCE, "maintenance").await });
    loop {
        match soon("an answer", client.receive()).await {
            Ok(Reply::Result(_)) => results += 1,
            Ok(Reply::Dropped { reason, .. }) => {
                assert_eq!(reason, Some(ResultHintReason::ServerBusy));
                refused += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => break,
        }
    }
    let submitted = soon("the client's end", submitting).await.unwrap();
    let answered = soon("the server's end", serving).await.unwrap();
    let drained = soon("the drain", draining).await.unwrap();
    assert_eq!((results, results + refused), (answered, submitted), "{drained:?}");
    assert_eq!((drained.dropped, drained.lost), (0, 0));
    assert!(server.listener.is_closed());
}

pub(crate) async fn a_client_that_comes_while_the_server_goes_away_is_told_so(kind: Kind) {
    let (server, client, session) = opened(kind).await;
    client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", session.recv()).await.unwrap().unwrap();
    let accepting = server.listener.accept();
    let drain = server.listener.drain(PATIENCE, "maintenance");
    let late = async {
        assert!(accepting.await.is_none());
        for _ in 0..3 {
            let refused = soon("the refusal", server.dial(kind, ClientConfig::new())).await;
            let Err(DialError::Handshake(HandshakeError::Refused(failure))) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(failure.fault.code, ErrorCode::ServerBusy);
            assert_eq!(failure.fault.text, "maintenance");
        }
        submit.reply(text_result(1, "done")).await.unwrap();
    };
    let (drained, ()) = soon("the drain", async { tokio::join!(drain, late) }).await;
    assert_eq!(drained.answered, 1);
    assert_eq!(text_of(&soon("the result", client.receive()).await.unwrap()), "done");
}

pub(crate) async fn a_listener_without_sessions_stays_to_say_why_while_another_one_has_some(kind: Kind) {
    let (server, client, session) = opened(kind).await;
    let idle = Server::start(kind, ServerConfig::new()).await;
    client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", session.recv()).await.unwrap().unwrap();
    let accepting = idle.listener.accept();
    let both = [server.listener.clone(), idle.listener.clone()];
    let drain = Listener::drain_all(&both, PATIENCE, "maintenance");
    let late = async {
        assert!(accepting.await.is_none());
        for _ in 0..3 {
            let refused = soon("the refusal", idle.dial(kind, ClientConfig::new())).await;
            let Err(DialError::Handshake(HandshakeError::Refused(failure))) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(failure.fault.text, "maintenance");
        }
        submit.reply(text_result(1, "done")).await.unwrap();
    };
    let (drained, ()) = soon("the drain", async { tokio::join!(drain, late) }).await;
    assert_eq!(drained.answered, 1);
    soon("the idle one's end", idle.listener.closed()).await;
}

pub(crate) async fn all_listeners_begin_to_go_away_at_once(kind: Kind) {
    let (server, client, session) = opened(kind).await;
    let others =
        [Server::start(kind, ServerConfig::new()).await, Server::start(kind, ServerConfig::new()).await];
    client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", session.recv()).await.unwrap().unwrap();
    let all = [&others[0].listener, &server.listener, &others[1].listener].map(Listener::clone);
    let mut drain = pin!(Listener::drain_all(&all, PATIENCE, "maintenance"));
    assert!(!all.iter().any(Listener::is_closed));
    assert!(poll_fn(|cx| Poll::Ready(drain.as_mut().poll(cx))).await.is_pending());
    assert!(all.iter().all(Listener::is_closed));
    submit.reply(text_result(1, "done")).await.unwrap();
    assert_eq!(soon("the drain", drain).await.answered, 1);
}

pub(crate) async fn what_is_not_answered_by_the_deadline_is_dropped(kind: Kind) {
    let (server, client, session) = opened(kind).await;
    for frame_id in 1..=3 {
        client.send(&frame(frame_id)).await.unwrap();
        soon("a frame", session.receive()).await.unwrap();
    }
    session.send_result(text_result(2, "in time")).await.unwrap();
    let drained = soon("the drain", server.listener.drain(Duration::from_millis(100), "")).await;
    assert_eq!((drained.answered, drained.dropped), (0, 2));
    assert_eq!(text_of(&soon("the result", client.receive_for(2, None)).await.unwrap()), "in time");
    for frame_id in [1, 3] {
        let reply = soon("the drop", client.receive_for(frame_id, None)).await.unwrap();
        assert_eq!(drop_reason(&reply), Some(ResultHintReason::ServerBusy));
    }
    assert!(session.send_result(text_result(1, "late")).await.is_err());
}

pub(crate) async fn one_session_can_be_drained_alone(kind: Kind) {
    let (server, client, session) = opened(kind).await;
    let (other, accepted) = tokio::join!(server.dial(kind, ClientConfig::new()), server.listener.accept());
    let (other, accepted) = (other.unwrap(), accepted.unwrap());
    soon("the drain", session.drain(PATIENCE, "you may go")).await;
    assert!(client.send(&frame(1)).await.is_err());
    let serving = tokio::spawn(serve(accepted));
    assert_eq!(text_of(&soon("a result", other.submit(&frame(1))).await.unwrap()), "done");
    other.close("").await;
    assert_eq!(soon("the end", serving).await.unwrap(), 1);
}
