//! Always an answer: every way in which the wait for a frame can end.

use nnrp::wire::{ErrorCode, ResultHintReason, SubmitFrame};
use nnrp::{EndedBy, FrameKey, Reply, ServerSettings, SessionError};

use nnrp_transport::WRITE_BUFFER_BYTES;

use super::harness::{Ends, Kind, drop_reason, frame, session, session_with, soon, text_of, text_result};

/// Submits frame 1 and has the server take it.
async fn submitted(ends: &Ends) -> nnrp::Submit {
    ends.client.send(&frame(1)).await.unwrap();
    soon("a frame", ends.server.recv()).await.unwrap().unwrap()
}

async fn outcome(ends: &Ends) -> Result<Reply, SessionError> {
    soon("an answer", ends.client.receive_for(1, Some(0))).await
}

/// A budget in which a busy machine, too, hands a frame to its application.
const LONG_ENOUGH_TO_BE_TAKEN_MS: u16 = 300;

pub(crate) async fn a_wait_ends_with_the_result(kind: Kind) {
    let ends = session(kind).await;
    let submit = submitted(&ends).await;
    let (reply, sent) = tokio::join!(outcome(&ends), submit.reply(text_result(0, "here")));
    sent.unwrap();
    assert_eq!(text_of(&reply.unwrap()), "here");
}

pub(crate) async fn a_wait_ends_with_a_drop_that_says_why(kind: Kind) {
    let ends = session(kind).await;
    let submit = submitted(&ends).await;
    let (reply, sent) = tokio::join!(outcome(&ends), submit.reject(ResultHintReason::Superseded));
    sent.unwrap();
    assert_eq!(drop_reason(&reply.unwrap()), Some(ResultHintReason::Superseded));
}

// Rules R-LIFE-3
pub(crate) async fn a_wait_ends_when_the_frame_expires(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.expire_frames = true;
    let ends = session_with(kind, settings).await;
    ends.client
        .send(&SubmitFrame { latency_budget_ms: LONG_ENOUGH_TO_BE_TAKEN_MS, ..frame(1) })
        .await
        .unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    assert_eq!(drop_reason(&outcome(&ends).await.unwrap()), Some(ResultHintReason::BudgetExceeded));
    soon("the news for the handler", submit.cancelled()).await;
    assert!(!ends.server.frame_cancelled(FrameKey::new(1)), "nobody cancelled it");
    // Past the deadline nothing but the drop is sent.
    submit.reply(text_result(0, "late")).await.unwrap();
    assert_eq!(ends.server.connection().stats().frames.results_expired, 1);
    ends.echo(2).await;
}

/// What is not sent takes no room in the write buffer.
pub(crate) async fn late_answers_cost_nothing(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.expire_frames = true;
    let ends = session_with(kind, settings).await;
    let bulk = "x".repeat(WRITE_BUFFER_BYTES / 4);
    for id in 1..=6 {
        ends.client
            .send(&SubmitFrame { latency_budget_ms: LONG_ENOUGH_TO_BE_TAKEN_MS, ..frame(id) })
            .await
            .unwrap();
        let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
        soon("its end", submit.cancelled()).await;
        if id % 3 == 0 {
            let dropped = soon("room for a drop", submit.reject(ResultHintReason::Superseded)).await;
            assert_eq!(dropped.unwrap(), 0, "it has been dropped");
        } else {
            soon("room for a late result", submit.reply(text_result(0, &bulk))).await.unwrap();
        }
    }
    for id in 1..=6 {
        let reply = soon("a drop", ends.client.receive_for(id, Some(0))).await;
        assert_eq!(drop_reason(&reply.unwrap()), Some(ResultHintReason::BudgetExceeded));
    }
    ends.echo(7).await;
    assert_eq!(ends.client.connection().stats().frames.drops_ignored, 0);
}

pub(crate) async fn a_wait_ends_when_the_frame_is_cancelled(kind: Kind) {
    let ends = session(kind).await;
    let submit = submitted(&ends).await;
    let cancel = async {
        // The other half of the join waits by now.
        tokio::task::yield_now().await;
        ends.client.cancel(FrameKey::new(1)).await.unwrap();
        soon("the cancellation", submit.cancelled()).await;
    };
    let (reply, ()) = tokio::join!(outcome(&ends), cancel);
    for reply in [reply, outcome(&ends).await] {
        let Ok(Reply::Failed(failed)) = reply else { panic!("{reply:?}") };
        assert_eq!((failed.fault.code, failed.fault.from_peer), (ErrorCode::FrameCancelled, false));
    }
    drop(submit);
    ends.echo(2).await;
}

pub(crate) async fn a_wait_ends_when_the_server_closes(kind: Kind) {
    let ends = session(kind).await;
    let submit = submitted(&ends).await;
    let (reply, ()) = tokio::join!(outcome(&ends), ends.server.close("maintenance"));
    assert_eq!(drop_reason(&reply.unwrap()), Some(ResultHintReason::ServerBusy));
    drop(submit);
    let Err(SessionError::Closed(closed)) = outcome(&ends).await else { panic!() };
    assert_eq!((closed.0.by, closed.0.reason.as_str()), (EndedBy::Peer, "maintenance"));
}

// Rules R-LIFE-2
pub(crate) async fn a_wait_ends_when_the_server_is_lost(kind: Kind) {
    let ends = session(kind).await;
    let submit = submitted(&ends).await;
    ends.server.connection().abort(0, "gone");
    let Err(SessionError::Closed(closed)) = outcome(&ends).await else { panic!() };
    assert_ne!(closed.0.by, EndedBy::Local);
    assert_eq!(ends.client.connection().stats().frames.frames_dropped, 1);
    drop(submit);
}

pub(crate) async fn a_wait_ends_when_the_client_closes(kind: Kind) {
    let ends = session(kind).await;
    let submit = submitted(&ends).await;
    let (reply, ()) = tokio::join!(outcome(&ends), ends.client.close("enough"));
    // What the server made of the close may come first.
    if let Err(error) = reply {
        let SessionError::Closed(closed) = error else { panic!("{error:?}") };
        assert_eq!(closed.0.by, EndedBy::Local);
    }
    drop(submit);
}

pub(crate) async fn a_frame_that_expired_before_anybody_took_it_is_not_handed_out(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.expire_frames = true;
    let ends = session_with(kind, settings).await;
    ends.client.send(&SubmitFrame { latency_budget_ms: 1, ..frame(1) }).await.unwrap();
    assert_eq!(drop_reason(&outcome(&ends).await.unwrap()), Some(ResultHintReason::BudgetExceeded));
    ends.echo(2).await;
}

pub(crate) async fn a_cancel_right_behind_its_submit_is_not_lost(kind: Kind) {
    let ends = session(kind).await;
    let waits = async {
        for frame_id in 1..=20 {
            let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
            assert_eq!(submit.key().frame_id, frame_id);
            soon("its cancellation", submit.cancelled()).await;
        }
    };
    let cancels = async {
        for frame_id in 1..=20 {
            ends.client.send(&frame(frame_id)).await.unwrap();
            ends.client.cancel(FrameKey::new(frame_id)).await.unwrap();
            // Its credit returns with the drop.
            let mut changes = ends.client.connection().credit_changes();
            while ends.client.connection().with(|machine, _| machine.live_frames()) > 0 {
                soon("the credit", changes.changed()).await.unwrap();
            }
        }
    };
    tokio::join!(waits, cancels);
    assert_eq!(ends.server.connection().stats().frames.frames_cancelled, 20);
}
