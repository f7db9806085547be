use std::time::Duration;

use nnrp::wire::{FlowUpdateMetadata, FlowUpdateReason, ResultHintCongestionState, ResultHintMetadata};

use super::harness::{Kind, session, soon};

pub(crate) async fn pings_are_answered_while_the_application_sleeps(kind: Kind) {
    let ends = session(kind).await;
    // Nobody calls anything on the server's session.
    for _ in 0..5 {
        let round_trip = ends.client.ping(Duration::from_secs(5)).await.unwrap();
        assert!(round_trip < Duration::from_secs(1), "{round_trip:?}");
    }
    ends.echo(1).await;
}

pub(crate) async fn hints_and_flow_updates_reach_their_subscribers(kind: Kind) {
    let ends = session(kind).await;
    let mut hints = ends.client.hints();
    let mut updates = ends.client.flow_updates();
    let saturated = ResultHintMetadata::congestion(ResultHintCongestionState::Saturated);
    ends.server.hint(saturated).await.unwrap();
    let pause = FlowUpdateMetadata::pause().retry_after(Duration::from_millis(20));
    ends.server.flow_update(pause).await.unwrap();
    let (packet, hint) = soon("a hint", hints.next()).await.unwrap();
    assert_eq!((hint.congestion_state, packet.header.frame_id), (ResultHintCongestionState::Saturated, 0));
    let (_, update) = soon("a flow update", updates.next()).await.unwrap();
    assert_eq!(update.retry_after_ms, 20);
    // One that is not newer would not be told.
    ends.server.flow_update(FlowUpdateMetadata::resume()).await.unwrap();
    let (_, update) = soon("a flow update", updates.next()).await.unwrap();
    assert_eq!((update.update_reason, update.credit_epoch), (FlowUpdateReason::Resume, 2));
    ends.server.close("").await;
    assert!(soon("the end", hints.next()).await.is_none());
}
