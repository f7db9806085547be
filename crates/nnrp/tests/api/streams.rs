//! Sessions as streams and sinks.

use futures_util::{FutureExt, SinkExt, StreamExt};
use nnrp::wire::{ResultHintReason, TypedPayload};
use nnrp::{EndedBy, FrameKey, Outcome, Reply, SessionError};

use super::harness::{Ends, Kind, drop_reason, frame, session, soon, text_of, text_result};

const FRAMES: u32 = 40;

fn text(said: &str) -> Outcome {
    Outcome::complete().payload(TypedPayload::token_chunk(said.to_owned()))
}

pub(crate) async fn streams_and_sinks_carry_what_the_methods_do(kind: Kind) {
    let ends = session(kind).await;
    ends.client.set_credit_policy(nnrp::CreditPolicy::Ignore);
    let serving = async {
        let mut submits = ends.server.submits().take(FRAMES as usize);
        let mut answers = ends.server.sink();
        while let Some(submit) = submits.next().await {
            // Let go of only when its answer is on its way: otherwise it is dropped.
            let submit = submit.unwrap();
            let key = submit.key();
            answers.send((key, text(&format!("answer {}", key.frame_id)))).await.unwrap();
        }
    };
    let asking = async {
        let mut frames = ends.client.sink();
        for frame_id in 1..=FRAMES {
            frames.feed(frame(frame_id)).await.unwrap();
        }
        frames.flush().await.unwrap();
        let mut answered: Vec<u32> = Vec::new();
        let mut replies = ends.client.replies();
        while answered.len() < FRAMES as usize {
            let reply = replies.next().await.expect("the session goes on");
            assert_eq!(text_of(&reply), format!("answer {}", reply.key().frame_id));
            answered.push(reply.key().frame_id);
        }
        answered.sort_unstable();
        assert_eq!(answered, (1..=FRAMES).collect::<Vec<u32>>());
    };
    let both = async { tokio::join!(serving, asking) };
    soon("every frame", both).await;
}

/// What is left of a stream that was dropped is received by others.
pub(crate) async fn a_dropped_stream_loses_nothing(kind: Kind) {
    let ends = session(kind).await;
    ends.client.set_credit_policy(nnrp::CreditPolicy::Ignore);
    for frame_id in 1..=FRAMES {
        ends.client.send(&frame(frame_id)).await.unwrap();
    }
    let mut held = Vec::new();
    while held.len() < FRAMES as usize {
        let mut submits = ends.server.submits();
        held.push(soon("a frame", submits.next()).await.unwrap().unwrap());
        // Polled once more, which takes a frame or has one put aside, and left.
        if let Some(submit) = submits.next().now_or_never() {
            held.push(submit.unwrap().unwrap());
        }
    }
    let mut seen: Vec<u32> = held.iter().map(|submit| submit.key().frame_id).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=FRAMES).collect::<Vec<u32>>());
}

pub(crate) async fn the_stream_of_frames_says_how_the_session_ended(kind: Kind) {
    let ends = session(kind).await;
    let mut submits = ends.server.submits();
    ends.client.close("done").await;
    for _ in 0..2 {
        assert!(soon("the end", submits.next()).await.is_none(), "in order, and again when asked again");
    }

    let ends = session(kind).await;
    let mut submits = ends.server.submits();
    ends.server.connection().abort(0x8, "an error");
    match soon("the end", ends.server.recv()).await {
        Ok(None) => assert_eq!(ends.server.closed().await.0.by, EndedBy::Local),
        Ok(Some(_)) => panic!("nobody sent a frame"),
        Err(SessionError::Closed(closed)) => assert!(!closed.is_orderly()),
        Err(error) => panic!("{error}"),
    }
    // The error once, if it was one, and then the end.
    let _ = soon("the end", submits.next()).await;
    assert!(soon("the end", submits.next()).await.is_none());
}

async fn streaming(ends: &Ends) -> (nnrp::ResultParts, nnrp::Submit) {
    let frame = frame(1);
    let (parts, submit) = tokio::join!(ends.client.submit_streaming(&frame), ends.server.recv());
    (parts.unwrap(), submit.unwrap().unwrap())
}

pub(crate) async fn an_answer_in_parts_ends_with_its_last(kind: Kind) {
    let ends = session(kind).await;
    let (mut parts, submit) = streaming(&ends).await;
    assert!(submit.allows(nnrp::wire::BudgetPolicy::ALLOW_PARTIAL));
    for word in ["one", "two"] {
        submit.partial(Outcome::partial().payload(TypedPayload::token_chunk(word))).await.unwrap();
    }
    submit.reply(text("three")).await.unwrap();
    for word in ["one", "two", "three"] {
        let part = soon("a part", parts.next()).await.unwrap().unwrap();
        assert_eq!((text_of(&part).as_str(), part.is_last()), (word, word == "three"));
    }
    assert!(soon("the end", parts.next()).await.is_none());
    drop(parts);
    assert_eq!(ends.client.connection().stats().frames.frames_cancelled, 0, "it had ended");
    ends.echo(2).await;
}

pub(crate) async fn a_last_part_may_be_partial_or_a_drop(kind: Kind) {
    let ends = session(kind).await;
    let (mut parts, submit) = streaming(&ends).await;
    submit.reply(Outcome::partial().payload(TypedPayload::token_chunk("all there is")).last()).await.unwrap();
    assert!(soon("a part", parts.next()).await.unwrap().unwrap().is_last());
    assert!(soon("the end", parts.next()).await.is_none());

    let ends = session(kind).await;
    let (mut parts, submit) = streaming(&ends).await;
    submit.reject(ResultHintReason::QueueFull).await.unwrap();
    let dropped = soon("a drop", parts.next()).await.unwrap().unwrap();
    assert_eq!(drop_reason(&dropped), Some(ResultHintReason::QueueFull));
    assert!(soon("the end", parts.next()).await.is_none());
}

pub(crate) async fn leaving_an_answer_early_cancels_its_frame(kind: Kind) {
    let ends = session(kind).await;
    let (mut parts, submit) = streaming(&ends).await;
    submit.partial(text_result(0, "one")).await.unwrap();
    assert_eq!(text_of(&soon("a part", parts.next()).await.unwrap().unwrap()), "one");
    drop(parts);
    soon("the cancellation", submit.cancelled()).await;
    drop(submit);
    ends.echo(2).await;
}

pub(crate) async fn an_answer_ends_with_its_session(kind: Kind) {
    let ends = session(kind).await;
    let (mut parts, _submit) = streaming(&ends).await;
    ends.server.close("").await;
    let last = soon("an end", parts.next()).await.unwrap();
    assert!(matches!(last, Ok(Reply::Dropped { .. }) | Err(SessionError::Closed(_))), "{last:?}");
    assert!(soon("the end", parts.next()).await.is_none());
}

pub(crate) async fn cancels_are_heard_by_who_listens(kind: Kind) {
    let ends = session(kind).await;
    let mut cancels = ends.server.cancels();
    ends.client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    ends.client.cancel(FrameKey::new(1)).await.unwrap();
    assert_eq!(soon("a cancel", cancels.next()).await, Some(submit.key()));
    ends.client.close("").await;
    drop(submit);
    assert_eq!(soon("the end", cancels.next()).await, None);
}

/// Listeners only.
pub(crate) async fn sessions_come_as_a_stream_until_the_listener_closes(kind: Kind) {
    let server = super::harness::Server::start(kind, nnrp::ServerConfig::new()).await;
    let mut sessions = server.listener.incoming();
    for _ in 0..2 {
        let dialling = server.dial(kind, nnrp::ClientConfig::new());
        let (client, session) = soon("a session", async { tokio::join!(dialling, sessions.next()) }).await;
        assert_eq!(client.unwrap().id(), session.unwrap().id());
    }
    server.listener.close();
    assert!(soon("the end", sessions.next()).await.is_none());
}
