//! Objects a client installs at the server and refers to in its frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use bytes::Bytes;
use nnrp_session::{Arrival, Event, HeaderVerdict, ServerSettings};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheInvalidateScope, CacheObjectKind,
    CachePut, CachePutFlags, CachePutMetadata, ErrorCode, ErrorMessage, Header, MessageType,
    ObjectReferenceBlock, Revision, Section, SubmitFrame, TensorDType, tile_index,
};

/// A session whose client offers a cache, and whose server holds up to `entries` objects and `bytes` bytes.
fn caching(entries: u32, bytes: u32) -> Pair {
    let mut hello = packets::hello();
    hello.metadata.cache_object_bitmap = 0x1FF;
    hello.metadata.cache_namespace_count = 1;
    let mut settings = ServerSettings::default();
    settings.max_cache_entries = entries;
    settings.max_cache_bytes = bytes;
    Pair::connected_as(&hello, settings)
}

fn object(key: u32, kind: CacheObjectKind, flags: CachePutFlags) -> CachePutMetadata {
    CachePutMetadata { cache_key_lo: key, object_kind: kind, flags, ..CachePutMetadata::default() }
}

/// Installs an object and returns the acknowledgement.
fn put(pair: &mut Pair, metadata: CachePutMetadata, bytes: &[u8]) -> CacheAckMetadata {
    let mut header = Header::new(MessageType::CachePut);
    header.session_id = 1;
    let put = CachePut { metadata, object: Bytes::copy_from_slice(bytes) };
    pair.tell_server(&put.encode(header).unwrap().to_packet());
    let ack = pair.server.sent.iter().rev().find(|p| p.header.msg_type == MessageType::CacheAck).unwrap();
    CacheAckMetadata::decode(&ack.metadata).unwrap()
}

fn camera(key: u32) -> CachePutMetadata {
    object(key, CacheObjectKind::CameraBlock, CachePutFlags::REUSABLE)
}

/// Submits a frame that refers to camera `key`; what the server's application sees as its camera.
fn camera_seen(pair: &mut Pair, frame_id: u32, key: u32) -> Result<Bytes, ErrorCode> {
    let frame = SubmitFrame {
        camera_reference: Some(ObjectReferenceBlock {
            object_kind: CacheObjectKind::CameraBlock,
            cache_key_lo: key,
            ..ObjectReferenceBlock::default()
        }),
        ..packets::frame(frame_id)
    };
    seen(pair, &frame).map(|submit| submit.body.camera().unwrap())
}

fn seen(pair: &mut Pair, frame: &SubmitFrame) -> Result<Box<nnrp_session::ReceivedSubmit>, ErrorCode> {
    pair.server.events.clear();
    pair.client.machine.submit(pair.now, frame.encode(1, Revision::Current).unwrap()).unwrap();
    pair.drive();
    match pair.server.event() {
        Some(Event::Submit(submit)) => Ok(submit),
        Some(Event::Rejected(rejected)) => Err(rejected.fault.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reference_stands_for_what_was_installed() {
    let mut pair = caching(8, 1000);
    assert_eq!(put(&mut pair, camera(1), b"left eye").status, CacheAckStatus::Accepted);
    for frame_id in 1..4 {
        assert_eq!(camera_seen(&mut pair, frame_id, 1).unwrap(), "left eye");
    }
    assert_eq!(put(&mut pair, camera(1), b"right eye").status, CacheAckStatus::Replaced);
    assert_eq!(camera_seen(&mut pair, 5, 1).unwrap(), "right eye");
}

// Rules R-OBJ-25
#[test]
fn tile_ids_can_be_installed_once_and_used_by_many_frames() {
    let mut pair = caching(8, 1000);
    let frame = packets::frame(1);
    let ids = tile_index::encode(frame.tile_index_mode, 0, &frame.tile_ids).unwrap();
    let metadata = object(4, CacheObjectKind::TileIndexBlock, CachePutFlags::REUSABLE);
    put(&mut pair, metadata, &ids);
    let reference = ObjectReferenceBlock {
        object_kind: CacheObjectKind::TileIndexBlock,
        cache_key_lo: 4,
        ..ObjectReferenceBlock::default()
    };
    let by_reference = SubmitFrame { tile_index_reference: Some(reference), ..frame };
    let submit = seen(&mut pair, &by_reference).unwrap();
    assert_eq!(submit.body.tile_ids().collect::<Vec<u16>>(), [3, 7]);
    // A frame with another number of tiles cannot use it (R-OBJ-25).
    let three = SubmitFrame {
        tile_ids: vec![1, 2, 3],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles(["a", "b", "c"])],
        ..SubmitFrame { frame_id: 2, ..by_reference }
    };
    assert_eq!(seen(&mut pair, &three).unwrap_err(), ErrorCode::MalformedBody);
}

// Rules R-OBJ-24, R-CACHE-7
#[test]
fn what_is_not_installed_is_a_cache_miss_of_that_frame() {
    let mut pair = caching(8, 1000);
    put(&mut pair, camera(1), b"left eye");
    assert_eq!(camera_seen(&mut pair, 1, 2).unwrap_err(), ErrorCode::CacheMiss);
    let error = pair.server.sent.iter().find(|p| p.header.msg_type == MessageType::Error).unwrap();
    assert_eq!(ErrorMessage::decode(error).unwrap().metadata.error_code, ErrorCode::CacheMiss);
    assert!(pair.server.sent_types().contains(&MessageType::ResultDrop));
    pair.echo(2);
}

#[test]
fn an_object_of_another_kind_is_a_miss() {
    let mut pair = caching(8, 1000);
    put(&mut pair, object(1, CacheObjectKind::ToolSchema, CachePutFlags::REUSABLE), b"{}");
    assert_eq!(camera_seen(&mut pair, 1, 1).unwrap_err(), ErrorCode::CacheMiss);
}

#[test]
fn an_object_that_is_not_reusable_is_gone_after_its_first_use() {
    let mut pair = caching(8, 1000);
    put(&mut pair, object(1, CacheObjectKind::CameraBlock, CachePutFlags::default()), b"once");
    assert!(camera_seen(&mut pair, 1, 1).is_ok());
    assert_eq!(camera_seen(&mut pair, 2, 1).unwrap_err(), ErrorCode::CacheMiss);
}

#[test]
fn an_object_expires() {
    let mut pair = caching(8, 1000);
    let ack = put(&mut pair, CachePutMetadata { ttl_ms: 100, ..camera(1) }, b"left eye");
    assert_eq!(ack.accepted_ttl_ms, 100);
    pair.advance(Duration::from_millis(99));
    assert!(camera_seen(&mut pair, 1, 1).is_ok());
    pair.advance(Duration::from_millis(1));
    assert_eq!(camera_seen(&mut pair, 2, 1).unwrap_err(), ErrorCode::CacheMiss);
}

#[test]
fn the_least_recently_used_object_makes_room_and_its_owner_is_told() {
    let mut pair = caching(2, 1000);
    put(&mut pair, camera(1), b"one");
    put(&mut pair, camera(2), b"two");
    camera_seen(&mut pair, 1, 1).unwrap();
    assert_eq!(put(&mut pair, camera(3), b"three").status, CacheAckStatus::Accepted);
    let told = pair.server.sent.iter().find(|p| p.header.msg_type == MessageType::CacheInvalidate).unwrap();
    assert_eq!(CacheInvalidateMetadata::decode(&told.metadata).unwrap().cache_key_lo, 2);
    assert!(camera_seen(&mut pair, 2, 1).is_ok());
    assert_eq!(camera_seen(&mut pair, 3, 2).unwrap_err(), ErrorCode::CacheMiss);
}

// Rules R-CACHE-5, R-LIM-14
#[test]
fn pinned_objects_stay_and_what_does_not_fit_is_refused() {
    let mut pair = caching(2, 10);
    let pinned =
        |key| object(key, CacheObjectKind::CameraBlock, CachePutFlags::PINNED | CachePutFlags::REUSABLE);
    put(&mut pair, pinned(1), b"12345");
    put(&mut pair, pinned(2), b"12345");
    let full = put(&mut pair, camera(3), b"1");
    assert_eq!((full.status, full.detail_code), (CacheAckStatus::Rejected, ErrorCode::LimitExceeded.value()));
    let giant = put(&mut pair, camera(4), b"12345678901");
    assert_eq!((giant.status, giant.max_object_bytes), (CacheAckStatus::Rejected, 10));
    assert!(camera_seen(&mut pair, 1, 1).is_ok());
}

#[test]
fn invalidation_reaches_as_far_as_its_scope() {
    use CacheInvalidateScope as Scope;
    for (scope, survivors) in [
        (Scope::WholeSession, vec![]),
        (Scope::Namespace, vec![3]),
        (Scope::ObjectKind, vec![2, 3]),
        (Scope::ObjectKey, vec![1, 3]),
    ] {
        let mut pair = caching(8, 1000);
        // Camera 1 and schema 2 in namespace 7, camera 3 in namespace 8.
        put(&mut pair, CachePutMetadata { cache_namespace: 7, ..camera(1) }, b"1");
        let schema = object(2, CacheObjectKind::ToolSchema, CachePutFlags::REUSABLE);
        put(&mut pair, CachePutMetadata { cache_namespace: 7, ..schema }, b"2");
        put(&mut pair, CachePutMetadata { cache_namespace: 8, ..camera(3) }, b"3");
        let order = CacheInvalidateMetadata {
            invalidate_scope: scope,
            cache_namespace: 7,
            cache_key_lo: if scope == Scope::ObjectKind { 1 } else { 2 },
            ..CacheInvalidateMetadata::default()
        };
        pair.tell_server(&packets::control(MessageType::CacheInvalidate, 1, &order.encode()));
        // A surviving object is replaced, a new one accepted.
        let mut alive = Vec::new();
        for (key, namespace) in [(1, 7), (2, 7), (3, 8)] {
            let kind = if key == 2 { schema } else { camera(key) };
            let again = CachePutMetadata { cache_namespace: namespace, cache_key_lo: key, ..kind };
            if put(&mut pair, again, b"x").status == CacheAckStatus::Replaced {
                alive.push(key);
            }
        }
        assert_eq!(alive, survivors, "{scope}");
    }
}

// Rules R-CACHE-6
#[test]
fn a_client_that_offered_no_cache_gets_none() {
    let mut pair = Pair::connected();
    let refused = put(&mut pair, camera(1), b"left eye");
    assert_eq!(
        (refused.status, refused.detail_code),
        (CacheAckStatus::Rejected, ErrorCode::UnsupportedCapability.value())
    );
}

#[test]
fn with_the_cache_switched_off_references_are_the_applications() {
    let mut settings = ServerSettings::default();
    settings.enable_cache = false;
    let mut pair = Pair::connected_with(settings);
    let frame = SubmitFrame {
        camera_reference: Some(ObjectReferenceBlock {
            object_kind: CacheObjectKind::CameraBlock,
            cache_key_lo: 1,
            ..ObjectReferenceBlock::default()
        }),
        ..packets::frame(1)
    };
    let submit = seen(&mut pair, &frame).unwrap();
    assert_eq!(submit.body.camera(), None);
    assert_eq!(submit.body.references().next().unwrap().cache_key_lo, 1);
}

#[test]
fn a_put_that_breaks_a_rule_is_refused_by_its_acknowledgement() {
    let mut pair = caching(8, 1000);
    let mut bytes = camera(5).encode();
    bytes[20] = 3; // object_bytes, and there is no body
    pair.tell_server(&packets::control(MessageType::CachePut, 1, &bytes));
    let ack = pair.server.sent.last().unwrap();
    let ack = CacheAckMetadata::decode(&ack.metadata).unwrap();
    assert_eq!((ack.cache_key_lo, ack.status), (5, CacheAckStatus::Rejected));
    assert_eq!(ack.detail_code, ErrorCode::MalformedBody.value());
}

// Rules R-OBJ-37
#[test]
fn a_result_that_refers_to_what_the_client_does_not_hold_fails_its_frame_only() {
    let mut pair = Pair::connected();
    pair.submit(1);
    let reference = ObjectReferenceBlock {
        object_kind: CacheObjectKind::ToolSchema,
        cache_key_lo: 7,
        ..ObjectReferenceBlock::default()
    };
    let result = nnrp_wire::ResultFrame {
        typed_payloads: vec![nnrp_wire::TypedPayload::token_chunk("text")],
        references: vec![reference],
        ..nnrp_wire::ResultFrame::new(1)
    };
    pair.server.machine.push_result(pair.now, result.encode(1, Revision::Current).unwrap()).unwrap();
    pair.drive();
    let Some(Event::FrameFailed(failed)) = pair.client.event() else { panic!() };
    assert_eq!((failed.key.frame_id, failed.fault.code), (1, ErrorCode::CacheMiss));
    assert_eq!(failed.fault.rule, Some(nnrp_wire::rules::RuleId::OBJ_37));
    pair.echo(2);
}

/// Lets the server install an object at the client; the client's acknowledgement.
fn put_at_client(pair: &mut Pair, metadata: CachePutMetadata, bytes: &[u8]) -> CacheAckMetadata {
    let mut header = Header::new(MessageType::CachePut);
    header.session_id = 1;
    let put = CachePut { metadata, object: Bytes::copy_from_slice(bytes) };
    pair.server.machine.send_packet(pair.now, put.encode(header).unwrap().to_packet()).unwrap();
    pair.drive();
    let ack = pair.client.sent.iter().rev().find(|p| p.header.msg_type == MessageType::CacheAck).unwrap();
    CacheAckMetadata::decode(&ack.metadata).unwrap()
}

#[test]
fn a_client_that_offers_no_cache_refuses_what_a_server_wants_to_install() {
    let mut pair = Pair::connected();
    let ack = put_at_client(&mut pair, camera(1), b"left eye");
    assert_eq!((ack.cache_key_lo, ack.status), (1, CacheAckStatus::Rejected));
    assert_eq!(ack.detail_code, ErrorCode::UnsupportedCapability.value());
    pair.echo(1);
}

/// A session whose client offers room for `bytes`.
fn offering(bytes: u32) -> Pair {
    let mut hello = packets::hello();
    hello.metadata.cache_object_bitmap = 0x1FF;
    hello.metadata.max_cache_entries = 4;
    hello.metadata.max_cache_bytes = bytes;
    Pair::connected_as(&hello, ServerSettings::default())
}

/// Answers frame `frame_id` with a result that refers to tile index `key`; the tiles its client sees.
fn tiles_seen(pair: &mut Pair, frame_id: u32, key: u32) -> Result<Vec<u16>, ErrorCode> {
    pair.submit(frame_id);
    pair.client.events.clear();
    let reference = ObjectReferenceBlock {
        object_kind: CacheObjectKind::TileIndexBlock,
        cache_key_lo: key,
        ..ObjectReferenceBlock::default()
    };
    let result = nnrp_wire::ResultFrame {
        tile_ids: Vec::new(),
        tile_count: Some(2),
        references: vec![reference],
        typed_payloads: vec![nnrp_wire::TypedPayload::token_chunk("text")],
        ..packets::result(frame_id)
    };
    pair.server.machine.push_result(pair.now, result.encode(1, Revision::Current).unwrap()).unwrap();
    pair.drive();
    match pair.client.event() {
        Some(Event::Result(result)) => Ok(result.push.unwrap().1.tile_ids().collect()),
        Some(Event::FrameFailed(failed)) => Err(failed.fault.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_may_refer_to_what_the_server_has_installed() {
    let mut pair = offering(100);
    let index = object(9, CacheObjectKind::TileIndexBlock, CachePutFlags::REUSABLE);
    assert_eq!(put_at_client(&mut pair, index, &[3, 0, 7, 0]).status, CacheAckStatus::Accepted);
    assert_eq!(tiles_seen(&mut pair, 1, 9).unwrap(), [3, 7]);
    assert_eq!(tiles_seen(&mut pair, 2, 9).unwrap(), [3, 7]);
    assert_eq!(tiles_seen(&mut pair, 3, 8).unwrap_err(), ErrorCode::CacheMiss);
    let order = CacheInvalidateMetadata {
        invalidate_scope: CacheInvalidateScope::WholeSession,
        ..CacheInvalidateMetadata::default()
    };
    let order = packets::control(MessageType::CacheInvalidate, 1, &order.encode());
    pair.server.machine.send_packet(pair.now, order).unwrap();
    pair.drive();
    assert_eq!(tiles_seen(&mut pair, 4, 9).unwrap_err(), ErrorCode::CacheMiss);
    pair.echo(5);
}

// Rules R-CACHE-9
#[test]
fn only_acknowledgements_of_what_was_installed_are_told() {
    let mut pair = offering(100);
    put_at_client(&mut pair, camera(1), b"left eye");
    let Some(Event::Control(ack)) = pair.server.event() else { panic!("no acknowledgement") };
    assert_eq!(CacheAckMetadata::decode(&ack.metadata).unwrap().cache_key_lo, 1);
    // Again, and one of an object that never was.
    pair.tell_server(&ack);
    let stranger = CacheAckMetadata { cache_key_lo: 2, ..CacheAckMetadata::default() };
    pair.tell_server(&packets::control(MessageType::CacheAck, 1, &stranger.encode()));
    assert!(pair.server.event().is_none());
    pair.echo(1);
}

#[test]
fn a_client_holds_no_more_than_it_has_offered() {
    let mut pair = offering(10);
    let giant = put_at_client(&mut pair, camera(1), b"more than ten bytes");
    assert_eq!((giant.status, giant.max_object_bytes), (CacheAckStatus::Rejected, 10));
    assert_eq!(giant.detail_code, ErrorCode::LimitExceeded.value());
    assert_eq!(put_at_client(&mut pair, camera(1), b"ten bytes!").status, CacheAckStatus::Accepted);
}

#[test]
fn an_object_for_a_client_is_refused_unread() {
    let mut pair = Pair::connected();
    let put = CachePutMetadata {
        cache_namespace: 1,
        cache_key_lo: 7,
        object_kind: CacheObjectKind::PromptSegment,
        object_bytes: 8 << 20,
        ..CachePutMetadata::default()
    };
    let mut packet = packets::control(MessageType::CachePut, 1, &put.encode());
    packet.header.body_len = 8 << 20;
    let header = packet.header;
    let (verdict, _) = pair.client.machine.handle_header(pair.now, &header.encode());
    assert_eq!(verdict, HeaderVerdict::ReadHead, "its body is not to be kept");
    pair.client.machine.handle_packet(pair.now, packet, Arrival::Control);
    pair.drive();
    let ack = pair.client.sent.last().unwrap();
    assert_eq!(ack.header.msg_type, MessageType::CacheAck);
    let ack = CacheAckMetadata::decode(&ack.metadata).unwrap();
    assert_eq!((ack.cache_key_lo, ack.status), (7, CacheAckStatus::Rejected));
    assert!(pair.client.event().is_none(), "nothing is kept for the application");
}
