//! Objects that a server has its client keep, and results that refer to them.

use std::time::Duration;

use futures_util::FutureExt;
use nnrp::wire::{CacheAckStatus, CacheObjectKind, ErrorCode, ResultFrame, TypedPayload};
use nnrp::{CacheObject, ClientConfig, Forget, Reply, ServerSettings};

use super::harness::{Ends, Kind, frame, session, session_of, soon};

const PATIENCE: Duration = Duration::from_secs(10);

/// Tile ids 3 and 7.
const TILES: &[u8] = &[3, 0, 7, 0];

/// A session whose client keeps tile indexes for its server.
async fn keeping(kind: Kind) -> Ends {
    let client = ClientConfig::new().cache([CacheObjectKind::TileIndexBlock]).cache_room(4, 1000);
    session_of(kind, ServerSettings::default(), client).await
}

fn tiles(key: u64) -> CacheObject {
    CacheObject::new(CacheObjectKind::TileIndexBlock, key, TILES)
}

/// The tiles a client sees in a result that names `object` instead of them.
async fn referring(ends: &Ends, frame_id: u32, object: &CacheObject) -> Result<Vec<u16>, ErrorCode> {
    let frame = frame(frame_id);
    let serving = async {
        let submit = ends.server.recv().await.unwrap().unwrap();
        let result = ResultFrame {
            tile_count: Some(2),
            references: vec![object.reference()],
            typed_payloads: vec![TypedPayload::token_chunk("text")],
            ..ResultFrame::default()
        };
        submit.reply(result).await.unwrap();
    };
    let both = async { tokio::join!(ends.client.submit(&frame), serving) };
    match soon("an answer", both).await.0.unwrap() {
        Reply::Result(result) => Ok(result.body.tile_ids().collect()),
        Reply::Failed(failed) => Err(failed.fault.code),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_result_refers_to_what_its_client_keeps(kind: Kind) {
    let ends = keeping(kind).await;
    let object = tiles(9);
    let ack = ends.server.put_cache(&object, PATIENCE).await.unwrap();
    assert_eq!(ack.status, CacheAckStatus::Accepted);
    assert_eq!(referring(&ends, 1, &object).await.unwrap(), [3, 7]);
    assert_eq!(referring(&ends, 2, &object).await.unwrap(), [3, 7]);
    assert_eq!(referring(&ends, 3, &tiles(8)).await.unwrap_err(), ErrorCode::CacheMiss);

    ends.server.forget_cached(Forget::Object(object.reference())).await.unwrap();
    // It is forgotten when the client answers what comes after on the same stream.
    let ack = ends.server.put_cache(&tiles(10), PATIENCE).await.unwrap();
    assert_eq!(ack.status, CacheAckStatus::Accepted);
    assert_eq!(referring(&ends, 4, &object).await.unwrap_err(), ErrorCode::CacheMiss);
    assert_eq!(referring(&ends, 5, &tiles(10)).await.unwrap(), [3, 7]);
}

pub(crate) async fn a_client_that_offered_no_room_keeps_nothing(kind: Kind) {
    let ends = session(kind).await;
    let ack = ends.server.put_cache(&tiles(9), PATIENCE).await.unwrap();
    assert_eq!(ack.status, CacheAckStatus::Rejected);
    assert_eq!(ack.detail_code, ErrorCode::UnsupportedCapability.value());
    ends.echo(1).await;
}

/// The answer to an object that was given up comes first, and is not taken for that of the next.
pub(crate) async fn what_was_given_up_does_not_answer_the_next(kind: Kind) {
    let ends = keeping(kind).await;
    let (given_up, wanted) = (tiles(1), tiles(2));
    let _ = ends.server.put_cache(&given_up, PATIENCE).now_or_never();
    let ack = ends.server.put_cache(&wanted, PATIENCE).await.unwrap();
    assert_eq!((ack.cache_key_hi, ack.cache_key_lo), (0, 2));
}
