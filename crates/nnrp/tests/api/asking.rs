//! What a client asks of a running session: changes, and objects to keep.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use nnrp::wire::{
    CacheAckStatus, CacheObjectKind, DegradePolicy, ErrorCode, Header, MessageType, SessionPatchAck,
    SessionPatchAckMetadata, SessionPatchAckStatus, SessionPatchField as Field, SessionPatchRejectReason,
    TensorProfilePatchBlock,
};
use nnrp::{CacheObject, ClientConfig, Filter, Forget, Item, Patch, Reply, ServerSettings, SessionError};

use super::harness::{Ends, Kind, frame, session, session_of, soon};
use super::rules_of_servers;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn a_patch_says_what_is_in_force_on_both_sides(kind: Kind) {
    let ends = session(kind).await;
    let patch = Patch::new()
        .target_cadence(29.97)
        .quality_tier(7)
        .degrade_policy(DegradePolicy::ServerDefault)
        .size_clamp(TensorProfilePatchBlock { max_width: 640, max_height: 480, ..Default::default() });
    let ack = ends.client.patch(patch, PATIENCE).await.unwrap();
    assert_eq!(ack.metadata.ack_status, SessionPatchAckStatus::Accepted);
    assert_eq!((ack.metadata.effective_target_cadence_x100, ack.metadata.effective_quality_tier), (2997, 7));
    let now = ends.server.parameters().unwrap();
    assert_eq!((now.target_cadence_x100, now.quality_tier), (2997, 7));
    assert_eq!(now.size_clamp, Some([0, 0, 640, 480]));

    let refused = ends.client.patch(Patch::new().quality_tier(9).active_views(0), PATIENCE).await.unwrap();
    assert_eq!(refused.metadata.ack_status, SessionPatchAckStatus::PartiallyApplied);
    assert_eq!(refused.metadata.reject_reason, SessionPatchRejectReason::InvalidLaneMask);
    assert_eq!(refused.metadata.applied(), Field::QUALITY_TIER);
    ends.echo(1).await;
}

pub(crate) async fn a_patch_that_was_given_up_does_not_answer_the_next(kind: Kind) {
    let ends = session(kind).await;
    for tier in (1..=5).step_by(2) {
        // Polled once: it is on its way, and nobody waits for its answer.
        let _ = ends.client.patch(Patch::new().quality_tier(tier), PATIENCE).now_or_never();
        let ack = ends.client.patch(Patch::new().quality_tier(tier + 1), PATIENCE).await.unwrap();
        assert_eq!(ack.metadata.effective_quality_tier, tier + 1);
    }
}

/// Servers that repeat no trace id answer in order.
pub(crate) async fn answers_without_a_number_are_counted(kind: Kind) {
    let (client, server) = rules_of_servers::session(kind).await;
    let answering = async {
        for tier in 1..=2 {
            let patch = server.receive(Filter::Message(MessageType::SessionPatch)).await.unwrap();
            assert!(matches!(patch, Item::Packet(_)));
            let ack = SessionPatchAckMetadata { effective_quality_tier: tier, ..Default::default() };
            let header = Header { session_id: client.id(), ..Header::new(MessageType::SessionPatchAck) };
            let ack = SessionPatchAck { metadata: ack, block: None }.encode(header).unwrap();
            server.send(ack.to_packet()).await.unwrap();
        }
    };
    let asking = async {
        let _ = client.patch(Patch::new().quality_tier(1), PATIENCE).now_or_never();
        client.patch(Patch::new().quality_tier(2), PATIENCE).await.unwrap()
    };
    let (ack, ()) = soon("an answer", async { tokio::join!(asking, answering) }).await;
    assert_eq!(ack.metadata.effective_quality_tier, 2);
}

pub(crate) async fn a_server_that_never_answers_is_given_up(kind: Kind) {
    let (client, _server) = rules_of_servers::session(kind).await;
    let limit = Duration::from_millis(20);
    let patched = soon("a limit", client.patch(Patch::new().quality_tier(1), limit)).await;
    assert_eq!(patched.unwrap_err(), SessionError::Timeout(limit));
    let object = CacheObject::new(CacheObjectKind::CameraBlock, 1, "camera");
    let kept = soon("a limit", client.put_cache(&object, limit)).await;
    assert_eq!(kept.unwrap_err(), SessionError::Timeout(limit));
}

/// A session whose client may have cameras kept.
async fn caching(kind: Kind, settings: ServerSettings) -> Ends {
    session_of(kind, settings, ClientConfig::new().cache([CacheObjectKind::CameraBlock])).await
}

fn camera(key: u64) -> CacheObject {
    CacheObject::new(CacheObjectKind::CameraBlock, key, "forty-eight bytes of camera")
}

/// What the server makes of a frame that refers to `object`.
async fn referring(ends: &Ends, frame_id: u32, object: &CacheObject) -> Result<Bytes, ErrorCode> {
    let frame = frame(frame_id).cached_camera(object.reference());
    let serving = async {
        let submit = ends.server.recv().await.unwrap()?;
        let camera = submit.body.camera();
        submit.reply(nnrp::Outcome::complete()).await.unwrap();
        camera
    };
    let asking = async {
        match ends.client.submit(&frame).await.unwrap() {
            Reply::Failed(failed) => Err(failed.fault.code),
            _ => Ok(()),
        }
    };
    let both = async {
        tokio::pin!(serving);
        tokio::select! {
            camera = &mut serving => Ok(camera.unwrap()),
            code = asking => Err(code.unwrap_err()),
        }
    };
    soon("an answer", both).await
}

pub(crate) async fn an_object_is_kept_and_referred_to(kind: Kind) {
    let ends = caching(kind, ServerSettings::default()).await;
    let object = camera(0x0102_0304_0506_0708);
    let reference = object.reference();
    assert_eq!((reference.cache_key_hi, reference.cache_key_lo), (0x0102_0304, 0x0506_0708));
    let ack = ends.client.put_cache(&object, PATIENCE).await.unwrap();
    assert_eq!(ack.status, CacheAckStatus::Accepted);
    assert_eq!(referring(&ends, 1, &object).await.unwrap(), "forty-eight bytes of camera");
    let again = ends.client.put_cache(&object, PATIENCE).await.unwrap();
    assert_eq!(again.status, CacheAckStatus::Replaced);

    ends.client.forget_cached(Forget::Object(reference)).await.unwrap();
    // It is forgotten when the server answers what comes after on the same stream.
    ends.client.ping(PATIENCE).await.unwrap();
    assert_eq!(referring(&ends, 2, &object).await.unwrap_err(), ErrorCode::CacheMiss);
}

pub(crate) async fn objects_are_forgotten_by_kind_namespace_or_all(kind: Kind) {
    let ends = caching(kind, ServerSettings::default()).await;
    let object = camera(1).namespace(3);
    for (round, forget) in
        [Forget::Kind(CacheObjectKind::CameraBlock, 3), Forget::Namespace(3), Forget::Everything]
            .into_iter()
            .enumerate()
    {
        let ack = ends.client.put_cache(&object, PATIENCE).await.unwrap();
        assert_eq!(ack.status, CacheAckStatus::Accepted, "{forget:?}: it was forgotten before");
        ends.client.forget_cached(forget).await.unwrap();
        ends.client.ping(PATIENCE).await.unwrap();
        let frame_id = u32::try_from(round).unwrap() + 1;
        assert_eq!(referring(&ends, frame_id, &object).await.unwrap_err(), ErrorCode::CacheMiss);
    }
}

pub(crate) async fn an_object_that_is_too_large_is_rejected(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.max_cache_bytes = 10;
    let ends = caching(kind, settings).await;
    let ack = ends.client.put_cache(&camera(1), PATIENCE).await.unwrap();
    assert_eq!((ack.status, ack.max_object_bytes), (CacheAckStatus::Rejected, 10));
    ends.echo(1).await;
}

/// The answer to an object that was given up comes first, and is not taken for that of the next.
pub(crate) async fn an_object_that_was_given_up_does_not_answer_the_next(kind: Kind) {
    let ends = caching(kind, ServerSettings::default()).await;
    let (given_up, wanted) = (camera(1), camera(2));
    let _ = ends.client.put_cache(&given_up, PATIENCE).now_or_never();
    let ack = ends.client.put_cache(&wanted, PATIENCE).await.unwrap();
    assert_eq!((ack.cache_key_hi, ack.cache_key_lo), (0, 2));
}
