//! Submits beyond the server's credit: held back, refused, or neither.

use std::time::Duration;

use nnrp::wire::{
    FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason, FlowUpdateScopeKind, FrameClass, Header,
    MessageType, ResultHintReason, SubmitFrame,
};
use nnrp::{CommandError, CreditPolicy, HoldReason, Reply, SendError, ServerSettings};

use super::harness::{Ends, Kind, drop_reason, frame, session_with, soon, text_result};

/// Longer than the patience for a number that was only announced.
const A_WHILE: Duration = Duration::from_millis(700);

async fn granting(kind: Kind, frames: u16) -> Ends {
    let mut settings = ServerSettings::default();
    settings.max_concurrent_frames = frames;
    session_with(kind, settings).await
}

fn grant(epoch: u32, credit: u16) -> FlowUpdateMetadata {
    FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Session,
        session_credit: credit,
        credit_epoch: epoch,
        flow_flags: FlowUpdateFlags::CREDIT_VALID,
        ..FlowUpdateMetadata::default()
    }
}

/// Sends an update and waits until the client obeys it.
async fn tell(ends: &Ends, update: FlowUpdateMetadata) {
    let mut updates = ends.client.flow_updates();
    ends.server.send_flow_update(Header::new(MessageType::FlowUpdate), &update).await.unwrap();
    soon("the update", updates.next()).await.unwrap();
}

fn hold_of(result: Result<nnrp::Sent, SendError>) -> HoldReason {
    let Err(SendError::Command(CommandError::Held(hold))) = result else { panic!("{result:?}") };
    hold.reason
}

pub(crate) async fn one_task_may_submit_more_than_the_credit_and_read_later(kind: Kind) {
    let ends = granting(kind, 2).await;
    let answering = async {
        for _ in 0..12 {
            soon("a frame", ends.server.recv())
                .await
                .unwrap()
                .unwrap()
                .reply(text_result(0, "ok"))
                .await
                .unwrap();
            let live = ends.server.connection().with(|machine, _| machine.live_frames());
            assert!(live <= 2, "{live} frames at once");
        }
    };
    let submitting = async {
        for frame_id in 1..=12 {
            ends.client.send(&frame(frame_id)).await.unwrap();
        }
        for frame_id in (1..=12).rev() {
            soon("a result", ends.client.receive_for(frame_id, None)).await.unwrap();
        }
    };
    tokio::join!(answering, submitting);
    assert_eq!(ends.client.connection().stats().frames.beyond_credit, 0);
}

pub(crate) async fn a_server_that_collects_frames_first_is_not_waited_for_in_vain(kind: Kind) {
    let ends = granting(kind, 1).await;
    let collecting = async {
        let mut batch = Vec::new();
        for _ in 0..4 {
            batch.push(soon("a frame", ends.server.recv()).await.unwrap().unwrap());
        }
        for submit in batch {
            submit.reply(text_result(0, "ok")).await.unwrap();
        }
    };
    let submitting = async {
        for frame_id in 1..=4 {
            soon("the submit", ends.client.send(&frame(frame_id))).await.unwrap();
        }
        for frame_id in 1..=4 {
            soon("a result", ends.client.receive_for(frame_id, None)).await.unwrap();
        }
    };
    tokio::join!(collecting, submitting);
}

pub(crate) async fn a_granted_number_holds_back_until_there_is_room(kind: Kind) {
    let ends = granting(kind, 4).await;
    tell(&ends, grant(1, 1)).await;
    ends.client.send(&frame(1)).await.unwrap();
    let second = frame(2);
    let waiting = ends.client.send(&second);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(A_WHILE, &mut waiting).await.is_err(), "it has to wait");
    soon("a frame", ends.server.recv()).await.unwrap().unwrap().reply(text_result(0, "ok")).await.unwrap();
    soon("the submit", waiting).await.unwrap();
    assert_eq!(soon("a frame", ends.server.recv()).await.unwrap().unwrap().key().frame_id, 2);
    assert_eq!(ends.client.connection().stats().frames.submits_held, 1);
}

pub(crate) async fn a_wait_that_is_cancelled_submits_nothing(kind: Kind) {
    let ends = granting(kind, 4).await;
    tell(&ends, grant(1, 0)).await;
    for frame_id in 1..=5 {
        let held = frame(frame_id);
        assert!(tokio::time::timeout(Duration::from_millis(5), ends.client.send(&held)).await.is_err());
    }
    tell(&ends, grant(2, 4)).await;
    ends.client.send(&frame(6)).await.unwrap();
    assert_eq!(soon("a frame", ends.server.recv()).await.unwrap().unwrap().key().frame_id, 6);
    assert_eq!(ends.client.connection().stats().frames.frames_submitted, 1);
}

pub(crate) async fn submits_that_wait_go_out_in_turn(kind: Kind) {
    let ends = granting(kind, 4).await;
    tell(&ends, grant(1, 0)).await;
    let (one, two, three) = (frame(1), frame(2), frame(3));
    let (first, second, third) = (ends.client.send(&one), ends.client.send(&two), ends.client.send(&three));
    tokio::pin!(first, second, third);
    // Poll each once so that they queue up in this order.
    tokio::select! {
        biased;
        _ = &mut first => panic!("there is no credit"),
        _ = &mut second => panic!("there is no credit"),
        _ = &mut third => panic!("there is no credit"),
        () = std::future::ready(()) => {}
    }
    let serving = async {
        tell(&ends, grant(2, 1)).await;
        for frame_id in 1..=3 {
            let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
            assert_eq!(submit.key().frame_id, frame_id);
            submit.reply(text_result(0, "ok")).await.unwrap();
        }
    };
    let (third, second, first, ()) = soon("all", async { tokio::join!(third, second, first, serving) }).await;
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
}

pub(crate) async fn a_pause_ends_with_the_next_update_or_its_own_time(kind: Kind) {
    let ends = granting(kind, 4).await;
    tell(&ends, FlowUpdateMetadata { update_reason: FlowUpdateReason::Pause, ..grant(1, 4) }).await;
    assert_eq!(hold_of(ends.client.try_send(&frame(1)).await), HoldReason::Paused);
    let limit = Duration::from_millis(20);
    assert_eq!(hold_of(ends.client.send_within(&frame(1), limit).await), HoldReason::Paused);
    tell(&ends, FlowUpdateMetadata { update_reason: FlowUpdateReason::Resume, ..grant(2, 4) }).await;
    ends.client.try_send(&frame(1)).await.unwrap();
    let pause = FlowUpdateMetadata::pause().retry_after(Duration::from_millis(500));
    tell(&ends, FlowUpdateMetadata { credit_epoch: 3, ..pause }).await;
    assert_eq!(hold_of(ends.client.try_send(&frame(2)).await), HoldReason::Paused);
    soon("the submit", ends.client.send(&frame(2))).await.unwrap();
}

pub(crate) async fn background_frames_overtake_those_that_have_to_wait(kind: Kind) {
    let ends = granting(kind, 4).await;
    let flags = FlowUpdateFlags::BACKGROUND_ONLY;
    tell(&ends, FlowUpdateMetadata { flow_flags: flags, session_credit: 0, ..grant(1, 0) }).await;
    let key = frame(1);
    let waiting = ends.client.send(&key);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
    let background = SubmitFrame { frame_class: FrameClass::Discardable, ..frame(2) };
    soon("the background frame", ends.client.send(&background)).await.unwrap();
    assert_eq!(soon("a frame", ends.server.recv()).await.unwrap().unwrap().key().frame_id, 2);
}

pub(crate) async fn nothing_waits_where_that_was_asked_for(kind: Kind) {
    let ends = granting(kind, 1).await;
    ends.client.send(&frame(1)).await.unwrap();
    let reason = HoldReason::Credit { live: 1, allowed: 1, granted: false };
    assert_eq!(hold_of(ends.client.try_send(&frame(2)).await), reason);
    ends.client.set_credit_policy(CreditPolicy::Fail);
    assert_eq!(hold_of(ends.client.send(&frame(2)).await), reason);
    ends.client.set_credit_policy(CreditPolicy::Ignore);
    ends.client.send(&frame(2)).await.unwrap();
}

pub(crate) async fn a_submit_that_waits_ends_with_the_session(kind: Kind) {
    let ends = granting(kind, 4).await;
    tell(&ends, grant(1, 0)).await;
    let held = frame(1);
    let (sent, ()) = tokio::join!(soon("the end", ends.client.send(&held)), ends.server.close(""));
    assert!(
        matches!(sent, Err(SendError::Closed(_) | SendError::Command(CommandError::State { .. }))),
        "{sent:?}"
    );
}

pub(crate) async fn an_enforced_credit_is_honoured_without_a_loss(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.max_concurrent_frames = 2;
    settings.enforce_credit = true;
    let ends = session_with(kind, settings).await;
    let serving = async {
        for _ in 0..6 {
            let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
            submit.reply(text_result(0, "ok")).await.unwrap();
        }
    };
    let submitting = async {
        for frame_id in 1..=6 {
            ends.client.send(&frame(frame_id)).await.unwrap();
        }
        for frame_id in 1..=6 {
            let reply = soon("a result", ends.client.receive_for(frame_id, None)).await.unwrap();
            assert!(matches!(reply, Reply::Result(_)));
        }
    };
    tokio::join!(serving, submitting);
    assert_eq!(ends.server.connection().stats().frames.beyond_credit, 0);
}

// Rules R-SUB-11
pub(crate) async fn an_enforced_credit_drops_what_is_too_much(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.max_concurrent_frames = 2;
    settings.enforce_credit = true;
    let ends = session_with(kind, settings).await;
    ends.client.set_credit_policy(CreditPolicy::Ignore);
    let mut taken = Vec::new();
    for frame_id in 1..=2 {
        ends.client.send(&frame(frame_id)).await.unwrap();
        taken.push(soon("a frame", ends.server.recv()).await.unwrap().unwrap());
    }
    ends.client.send(&frame(3)).await.unwrap();
    let reply = soon("a drop", ends.client.receive_for(3, None)).await.unwrap();
    assert_eq!(drop_reason(&reply), Some(ResultHintReason::QueueFull));
    for submit in taken {
        submit.reply(text_result(0, "ok")).await.unwrap();
    }
    ends.client.set_credit_policy(CreditPolicy::Honour);
    ends.echo(4).await;
}
