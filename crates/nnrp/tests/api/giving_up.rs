//! What a future leaves behind that is dropped before it is done. Every async function says so; here is that it is true.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use nnrp::wire::{
    CacheObjectKind, FlowUpdateMetadata, Header, MessageType, ResultHintCongestionState, ResultHintMetadata,
    ResultHintReason,
};
use nnrp::{
    CacheObject, ClientConfig, CreditPolicy, DropFrame, EndedBy, Forget, FrameKey, HandshakeOptions, Outcome,
    Patch, Reply, ServerConfig,
};

use super::harness::{Ends, Kind, Server, frame, session, soon, text_of, text_result};

const PATIENCE: Duration = Duration::from_secs(10);
/// How often a future is polled before it is given up: not at all, until it first waits, and somewhat longer.
const POLLS: [usize; 3] = [0, 1, 3];

/// Polls a future so many times, others having their turn in between, and drops it. What it came to, if it did.
async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Gives up each of these after so many polls.
macro_rules! give_up {
    ($times:expr; $($future:expr),+ $(,)?) => {{
        $( let _ = polled($times, $future).await; )+
    }};
}

pub(crate) async fn waits_of_a_server_that_were_given_up_lose_nothing(kind: Kind) {
    let ends = session(kind).await;
    ends.client.set_credit_policy(CreditPolicy::Ignore);
    for times in POLLS {
        give_up!(times; ends.server.recv(), ends.server.receive(), ends.server.receive_control(), ends.server.closed());
    }
    ends.echo(1).await;
    ends.client.send(&frame(2)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    for times in POLLS {
        give_up!(times; submit.cancelled(), ends.server.cancelled(submit.key()));
    }
    ends.client.cancel(submit.key()).await.unwrap();
    soon("the cancel", submit.cancelled()).await;
}

pub(crate) async fn waits_of_a_client_that_were_given_up_lose_nothing(kind: Kind) {
    let ends = session(kind).await;
    let mut hints = ends.client.hints();
    for times in POLLS {
        give_up!(times; ends.client.receive(), ends.client.receive_for(1, None), ends.client.closed(), hints.next());
        give_up!(times; ends.client.receive_control(None), ends.client.ping(PATIENCE));
    }
    ends.echo(1).await;
    let (mut parts, submit) = {
        let frame = frame(2);
        let (parts, submit) = tokio::join!(ends.client.submit_streaming(&frame), ends.server.recv());
        (parts.unwrap(), submit.unwrap().unwrap())
    };
    give_up!(1; parts.next());
    submit.partial(text_result(0, "one")).await.unwrap();
    give_up!(0; parts.next());
    submit.reply(text_result(0, "two")).await.unwrap();
    for text in ["one", "two"] {
        assert_eq!(text_of(&soon("a part", parts.next()).await.unwrap().unwrap()), text);
    }
    ends.server.hint(ResultHintMetadata::congestion(ResultHintCongestionState::Steady)).await.unwrap();
    assert!(soon("the hint", hints.next()).await.is_some());
    soon("a pong", ends.client.ping(PATIENCE)).await.unwrap();
}

/// Takes every frame there is and answers it, until the session has been quiet.
async fn answered(ends: &Ends) -> Vec<u32> {
    let mut taken = Vec::new();
    while let Ok(submit) = tokio::time::timeout(Duration::from_secs(1), ends.server.recv()).await {
        let submit = submit.unwrap().unwrap();
        taken.push(submit.key().frame_id);
        submit.reply(text_result(0, "yes")).await.unwrap();
    }
    taken.sort_unstable();
    taken
}

pub(crate) async fn a_frame_that_was_given_up_is_sent_whole_or_not(kind: Kind) {
    let ends = session(kind).await;
    ends.client.set_credit_policy(CreditPolicy::Ignore);
    let mut certain = Vec::new();
    for (round, times) in (0_u32..).zip(POLLS) {
        let id = |offset| 10 * round + offset;
        let frames: Vec<_> = (1..=5).map(|offset| frame(id(offset))).collect();
        let [one, two, three, four, five] = frames.as_slice() else { panic!() };
        let sent = [
            polled(times, ends.client.send(one)).await.is_some(),
            polled(times, ends.client.send_within(two, PATIENCE)).await.is_some(),
            polled(times, ends.client.try_send(three)).await.is_some(),
            polled(times, ends.client.submit(four)).await.is_some(),
            // Given up with its answer, it is cancelled.
            polled(times, ends.client.submit_streaming(five)).await.is_some(),
        ];
        certain.extend((1..=4).zip(sent).filter(|(_, sent)| *sent).map(|(offset, _)| id(offset)));
    }
    let taken = answered(&ends).await;
    assert!(certain.iter().all(|id| taken.contains(id)), "{certain:?} of {taken:?}");
    let mut once = taken.clone();
    once.dedup();
    assert_eq!(once, taken, "each once");
    ends.echo(100).await;
}

pub(crate) async fn answers_that_were_given_up_are_sent_whole_or_not(kind: Kind) {
    let ends = session(kind).await;
    ends.client.set_credit_policy(CreditPolicy::Ignore);
    let hint = ResultHintMetadata::congestion(ResultHintCongestionState::Steady);
    let header = Header::new(MessageType::ResultHint);
    let grant = FlowUpdateMetadata::credit(64);
    for (round, times) in (0_u32..).zip(POLLS) {
        for offset in 1..=5 {
            ends.client.send(&frame(10 * round + offset)).await.unwrap();
        }
        let mut submits = Vec::new();
        for _ in 1..=5 {
            submits.push(soon("a frame", ends.server.recv()).await.unwrap().unwrap());
        }
        let server = &ends.server;
        give_up!(times; server.hint(hint), server.send_hint(header, &hint), server.flow_update(grant));
        give_up!(times; server.send_flow_update(Header::new(MessageType::FlowUpdate), &grant));
        give_up!(times; submits[0].partial(text_result(0, "a part")));
        give_up!(times; server.send(submits[0].key(), text_result(0, "by key")));
        give_up!(times; server.drop_frame(submits[1].key(), ResultHintReason::QueueFull));
        let named = DropFrame { frame_id: submits[2].key().frame_id, ..DropFrame::default() };
        give_up!(times; server.send_drop(named), server.send_result(text_result(submits[2].key().frame_id, "too")));
        for (number, submit) in submits.into_iter().enumerate() {
            match number % 2 {
                0 => give_up!(times; submit.reply(Outcome::complete())),
                _ => give_up!(times; submit.reject(ResultHintReason::Superseded)),
            }
        }
        // Whatever came of each, every frame has an answer.
        let mut over = std::collections::BTreeSet::new();
        while over.len() < 5 {
            let reply = soon("an answer", ends.client.receive()).await.unwrap();
            if reply.is_last() {
                over.insert(reply.key());
            }
        }
    }
    // What may be left are answers given twice, by key and by the frame.
    while ends.client.connection().with(|machine, _| machine.live_frames()) > 0 {
        soon("an answer", ends.client.receive()).await.unwrap();
    }
    ends.client.send(&frame(100)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    submit.reply(text_result(0, "the session goes on")).await.unwrap();
    let reply = soon("a result", ends.client.receive_for(100, None)).await.unwrap();
    assert_eq!(text_of(&reply), "the session goes on");
}

pub(crate) async fn what_a_client_asks_and_gives_up_harms_nobody(kind: Kind) {
    let ends = session(kind).await;
    let object = CacheObject::new(CacheObjectKind::CameraBlock, 7, "camera");
    for times in POLLS {
        give_up!(times; ends.client.patch(Patch::new().quality_tier(1), PATIENCE));
        give_up!(times; ends.client.put_cache(&object, PATIENCE), ends.client.forget_cached(Forget::Everything));
        give_up!(times; ends.client.cancel(FrameKey::new(1000)));
        give_up!(times; ends.client.send_flow_update(Header::new(MessageType::FlowUpdate), &FlowUpdateMetadata::credit(9)));
    }
    let ack = soon("an answer", ends.client.patch(Patch::new().quality_tier(5), PATIENCE)).await.unwrap();
    assert_eq!(ack.metadata.effective_quality_tier, 5);
    ends.echo(1).await;
}

pub(crate) async fn a_close_that_was_given_up_goes_on(kind: Kind) {
    for by_client in [true, false] {
        let ends = session(kind).await;
        let closed = if by_client {
            give_up!(1; ends.client.close("enough"));
            soon("the close", ends.server.closed()).await
        } else {
            give_up!(1; ends.server.close("enough"));
            soon("the close", ends.client.closed()).await
        };
        assert_eq!((closed.0.by, closed.0.reason.as_str()), (EndedBy::Peer, "enough"));
    }
    // A drain is a close that waits for frames.
    let ends = session(kind).await;
    ends.client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    give_up!(1; ends.server.drain(PATIENCE, "maintenance"));
    submit.reply(text_result(0, "yes")).await.unwrap();
    assert!(matches!(soon("the answer", ends.client.receive()).await, Ok(Reply::Result(_))));
    assert_eq!(soon("the close", ends.client.closed()).await.0.reason, "maintenance");
}

/// Listeners only.
pub(crate) async fn an_accept_that_was_given_up_loses_no_client(kind: Kind) {
    let server = Server::start(kind, ServerConfig::new()).await;
    let options = HandshakeOptions::default();
    let listener = &server.listener;
    for round in 0..2 {
        let dialling = server.dial(kind, ClientConfig::new());
        let accepting = async {
            for times in 0..20 {
                give_up!(times % 4; listener.closed());
                if let Some(accepted) = polled(times % 4, listener.accept()).await {
                    return accepted.expect("it is open");
                }
                if let Some(accepted) = polled(times % 4, listener.try_accept()).await {
                    return accepted.expect("it is open").expect("a good client");
                }
                if let Some(pending) = polled(times % 4, listener.accept_hello(&options)).await {
                    listener.put_back(pending.expect("it is open").expect("a good client"));
                }
            }
            if round == 0 {
                listener.accept().await.expect("it is open")
            } else {
                listener.try_accept().await.expect("it is open").expect("a good client")
            }
        };
        let (client, session) = soon("a session", async { tokio::join!(dialling, accepting) }).await;
        assert_eq!(client.unwrap().id(), session.id());
    }
    // A client that gives up leaves nothing half open; the listener serves the next.
    for times in POLLS {
        give_up!(times; server.dial(kind, ClientConfig::new()), listener.accept_connection());
    }
    let dialling = server.dial(kind, ClientConfig::new());
    let (client, session) = soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
    client.unwrap();
    give_up!(1; listener.drain(PATIENCE, "maintenance"));
    give_up!(3; nnrp::Listener::drain_all(std::slice::from_ref(listener), PATIENCE, "maintenance"));
    assert!(soon("the end", listener.accept()).await.is_none(), "it goes on draining");
    drop(session);
}
