//! What happens to a session, as those who listen hear it.

use std::time::Duration;

use nnrp::wire::{FlowUpdateMetadata, ResultHintCongestionState, ResultHintMetadata};
use nnrp::{EndedBy, FrameKey, Patch, ServerSettings, SessionEvent};

use super::harness::{Kind, frame, session, session_with, soon};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn a_client_hears_what_happens_in_its_order(kind: Kind) {
    let ends = session(kind).await;
    let mut events = ends.client.events();
    let saturated = ResultHintMetadata::congestion(ResultHintCongestionState::Saturated);
    ends.server.hint(saturated).await.unwrap();
    ends.server.flow_update(FlowUpdateMetadata::pause()).await.unwrap();
    ends.server.close("lunch").await;
    match soon("a hint", events.next()).await {
        Some(SessionEvent::Hint(packet, hint)) => assert_eq!((packet.header.frame_id, hint), (0, saturated)),
        other => panic!("{other:?}"),
    }
    match soon("a flow update", events.next()).await {
        Some(SessionEvent::FlowUpdate(_, update)) => assert_eq!(update.credit_epoch, 1),
        other => panic!("{other:?}"),
    }
    match soon("the goodbye", events.next()).await {
        Some(SessionEvent::PeerClosing(reason)) => assert_eq!(reason, "lunch"),
        other => panic!("{other:?}"),
    }
    match soon("the end", events.next()).await {
        Some(SessionEvent::Ended(closed)) => assert_eq!(closed.0.by, EndedBy::Peer),
        other => panic!("{other:?}"),
    }
    assert!(soon("nothing more", events.next()).await.is_none());
}

pub(crate) async fn a_server_hears_cancels_expiries_and_patches(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.expire_frames = true;
    let ends = session_with(kind, settings).await;
    let mut events = ends.server.events();
    ends.client.patch(Patch::new().quality_tier(7), PATIENCE).await.unwrap();
    match soon("a patch", events.next()).await {
        Some(SessionEvent::Patched(now)) => assert_eq!(now.quality_tier, 7),
        other => panic!("{other:?}"),
    }
    // Nothing of it is applied, so nothing has happened.
    ends.client.patch(Patch::new().active_views(0), PATIENCE).await.unwrap();
    ends.client.send(&frame(1)).await.unwrap();
    let cancelled = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    ends.client.cancel(FrameKey::new(1)).await.unwrap();
    match soon("a cancel", events.next()).await {
        Some(SessionEvent::Cancelled(key)) => assert_eq!(key, cancelled.key()),
        other => panic!("{other:?}"),
    }
    ends.client.send(&frame(2).budget(Duration::from_millis(1))).await.unwrap();
    match soon("an expiry", events.next()).await {
        Some(SessionEvent::Expired(key)) => assert_eq!(key, FrameKey::new(2)),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_refused_packet_is_an_event(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.max_body_bytes = 1024;
    let ends = session_with(kind, settings).await;
    let mut events = ends.server.events();
    ends.client.send(&super::harness::bulky(1, 4096)).await.unwrap();
    match soon("a refusal", events.next()).await {
        Some(SessionEvent::Refused(fault)) => assert_eq!(fault.frame_id, 1),
        other => panic!("{other:?}"),
    }
    ends.echo(2).await;
}

/// The room for events is bounded, and who falls behind is told.
pub(crate) async fn who_falls_behind_hears_how_much_was_missed(kind: Kind) {
    const UPDATES: u64 = 300;
    const ROOM: u64 = 256;
    let ends = session(kind).await;
    let mut events = ends.client.events();
    for _ in 0..UPDATES {
        ends.server.flow_update(FlowUpdateMetadata::resume()).await.unwrap();
    }
    // What was sent before it has arrived when the answer has.
    ends.client.ping(PATIENCE).await.unwrap();
    match soon("what was missed", events.next()).await {
        Some(SessionEvent::Missed(missed)) => assert_eq!(missed, UPDATES - ROOM),
        other => panic!("{other:?}"),
    }
    for _ in 0..ROOM {
        let event = soon("an update", events.next()).await;
        assert!(matches!(event, Some(SessionEvent::FlowUpdate(..))), "{event:?}");
    }
}

pub(crate) async fn who_listens_too_late_hears_the_end(kind: Kind) {
    let ends = session(kind).await;
    ends.client.close("").await;
    soon("the end", ends.server.closed()).await;
    for _ in 0..2 {
        let mut events = ends.server.events();
        assert!(matches!(soon("the end", events.next()).await, Some(SessionEvent::Ended(_))));
        assert!(soon("nothing more", events.next()).await.is_none());
    }
}
