//! What a server answers to a peer that breaks a rule, as the peer sees it: packets made by hand, on each transport.

use std::future::pending;

use bytes::Bytes;
use nnrp::wire::{
    CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheObjectKind, CachePut, CachePutFlags,
    CachePutMetadata, ClientHello, ErrorCode, ErrorMessage, ErrorScope, Header, MessageType,
    ObjectReferenceBlock, Packet, PayloadCapabilitiesExtension, PayloadKind, Revision, Section, SessionPatch,
    SessionPatchAck, SessionPatchField as Field, SessionPatchMetadata, SessionPatchRejectReason as Reason,
    SubmitFrame, TensorDType, TensorProfilePatchBlock, TypedPayload, tile_index,
};
use nnrp::{
    Admission, Connection, Filter, Item, PendingSession, ServerConfig, ServerSession, ServerSettings, memory,
};
use nnrp_testkit::packets;

use super::harness::{Kind, Server, soon};

/// The session id the hand-made hello asks for.
pub(super) const SESSION: u32 = 1;
/// What the servers here keep.
const CACHE_ENTRIES: u32 = 2;
const CACHE_BYTES: u32 = 100;

/// A peer without a library, and the session it has.
pub(super) struct Peer {
    pub(super) connection: Connection,
    pub(super) session: ServerSession,
    _server: Option<Server>,
}

fn settings() -> ServerSettings {
    let mut settings = ServerSettings::default();
    settings.max_cache_entries = CACHE_ENTRIES;
    settings.max_cache_bytes = CACHE_BYTES;
    settings
}

/// A hello with four lanes, a cache, and tensors as its only payload.
pub(super) fn hello() -> ClientHello {
    let mut hello = packets::hello();
    hello.metadata.max_lane_count = 4;
    hello.metadata.supported_codec_bitmap = 0x3;
    hello.metadata.cache_object_bitmap = u16::MAX;
    hello.metadata.cache_namespace_count = 1;
    let kinds =
        PayloadCapabilitiesExtension { payload_kind_bitmap: PayloadKind::TENSOR, ..Default::default() };
    hello.extensions.push(kinds.to_extension());
    hello
}

pub(super) async fn next(connection: &Connection, message: MessageType) -> Packet {
    let item = soon("an answer", connection.receive(Filter::Message(message))).await;
    let Ok(Item::Packet(packet)) = item else { panic!("{message}: {item:?}") };
    *packet
}

/// The next RESULT_PUSH or RESULT_DROP.
pub(super) async fn result(connection: &Connection) -> Header {
    let item = soon("a result", connection.receive(Filter::Result)).await;
    let Ok(Item::Packet(packet)) = item else { panic!("{item:?}") };
    packet.header
}

/// Code, scope and fatality of the next ERROR.
pub(super) async fn error(connection: &Connection) -> (ErrorCode, ErrorScope, bool) {
    let error = ErrorMessage::decode(&next(connection, MessageType::Error).await).unwrap();
    (error.metadata.error_code, error.metadata.error_scope, error.metadata.is_fatal == 1)
}

/// A transport connection to a server, and that server waiting for a hello on it.
async fn dialled(kind: Kind) -> (Connection, impl Future<Output = (Option<ServerSession>, Option<Server>)>) {
    let (connection, accepting) = match kind {
        Kind::Memory => {
            let (client, server) = memory::pair();
            (client, Err(server))
        }
        _ => {
            let server = Server::start(kind, ServerConfig::new().settings(settings())).await;
            (server.dial_raw(kind).await, Ok(server))
        }
    };
    let accepted = async {
        match accepting {
            Ok(server) => (server.listener.accept().await, Some(server)),
            Err(connection) => {
                let pending = PendingSession::read(connection, settings(), None).await;
                (pending.and_then(|pending| pending.admit(Admission::default())).ok(), None)
            }
        }
    };
    (connection, accepted)
}

/// What the server says to `packet` when it comes first.
async fn knock(kind: Kind, packet: Packet) -> (ErrorCode, ErrorScope, bool) {
    let (connection, accepted) = dialled(kind).await;
    connection.send(packet).await.unwrap();
    let serving = async {
        let _open = accepted.await;
        pending::<()>().await;
    };
    tokio::select! {
        answer = error(&connection) => answer,
        () = serving => unreachable!(),
    }
}

impl Peer {
    pub(super) async fn new(kind: Kind, hello: &ClientHello) -> Self {
        let (connection, accepted) = dialled(kind).await;
        connection.send(packets::hello_packet(hello)).await.unwrap();
        let ack = next(&connection, MessageType::ServerHelloAck);
        let (ack, (session, server)) = tokio::join!(ack, accepted);
        assert_eq!(ack.header.session_id, SESSION);
        Peer { connection, session: session.unwrap(), _server: server }
    }

    pub(super) async fn send(&self, packet: Packet) {
        self.connection.send(packet).await.unwrap();
    }

    /// What comes back first is the answer to a PING: the session lives, and nothing before was answered by an ERROR.
    pub(super) async fn is_alive(&self) {
        self.send(packets::bare(MessageType::Ping, SESSION)).await;
        loop {
            let item = soon("a PONG", self.connection.receive(Filter::Control)).await;
            let Ok(Item::Packet(packet)) = item else { panic!("{item:?}") };
            assert_ne!(packet.header.msg_type, MessageType::Error);
            if packet.header.msg_type == MessageType::Pong {
                return;
            }
        }
    }

    async fn put(&self, metadata: CachePutMetadata, object: Bytes) -> CacheAckMetadata {
        let put = CachePut { metadata, object }.encode(header(MessageType::CachePut)).unwrap();
        self.send(put.to_packet()).await;
        CacheAckMetadata::decode(&next(&self.connection, MessageType::CacheAck).await.metadata).unwrap()
    }

    async fn patch(&self, metadata: SessionPatchMetadata, block: Option<TensorProfilePatchBlock>) -> Reason {
        let patch = SessionPatch { metadata, block }.encode(header(MessageType::SessionPatch)).unwrap();
        self.send(patch.to_packet()).await;
        let ack = next(&self.connection, MessageType::SessionPatchAck).await;
        SessionPatchAck::decode(&ack).unwrap().metadata.reject_reason
    }
}

pub(super) fn header(message: MessageType) -> Header {
    Header { session_id: SESSION, ..Header::new(message) }
}

pub(super) fn submit(frame: &SubmitFrame) -> Packet {
    frame.encode(SESSION, Revision::Current).unwrap().to_packet()
}

fn object(cache_key_lo: u32, object_kind: CacheObjectKind, flags: CachePutFlags) -> CachePutMetadata {
    CachePutMetadata { cache_key_lo, object_kind, flags, ..CachePutMetadata::default() }
}

// Rules R-HELLO-1, R-HELLO-2, R-NEG-1, R-STATE-1, R-LIM-2, R-LIM-13
pub(crate) async fn a_first_packet_that_breaks_a_rule_ends_the_connection(kind: Kind) {
    let changed = |change: fn(&mut ClientHello)| {
        let mut hello = packets::hello();
        change(&mut hello);
        packets::hello_packet(&hello)
    };
    let mut crowded = packets::hello();
    // 65 extensions without a payload, which our own encoder would not write.
    let block = [0x01, 0x70, 0, 0, 0, 0, 0, 0].repeat(65);
    crowded.metadata.control_extension_bytes = 65 * 8;
    let crowded = Packet::build(
        Header::new(MessageType::ClientHello),
        crowded.metadata.encode().to_vec().into(),
        block.into(),
    );
    for (packet, code) in [
        (changed(|hello| hello.metadata.min_version_major = 2), ErrorCode::UnsupportedVersion),
        (changed(|hello| hello.metadata.supported_wire_format_bitmap = 2), ErrorCode::UnsupportedVersion),
        (changed(|hello| hello.metadata.supported_profile_bitmap = 0x10), ErrorCode::UnsupportedCapability),
        (changed(|hello| hello.auth_block = vec![0; 65_537].into()), ErrorCode::LimitExceeded),
        (crowded, ErrorCode::LimitExceeded),
        (packets::control(MessageType::SessionPatch, SESSION, &[0; 36]), ErrorCode::InvalidState),
    ] {
        assert_eq!(knock(kind, packet).await, (code, ErrorScope::Connection, true));
    }
}

// Rules R-HDR-6, R-HELLO-6, R-STATE-2, R-LIM-4, R-NEG-2, R-OBJ-24, R-OBJ-25, R-CACHE-7
pub(crate) async fn a_message_that_breaks_a_rule_costs_itself_only(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let ids = tile_index::encode(packets::frame(1).tile_index_mode, 0, &[3, 7]).unwrap();
    let index = object(4, CacheObjectKind::TileIndexBlock, CachePutFlags::REUSABLE);
    assert_eq!(peer.put(index, ids).await.status, CacheAckStatus::Accepted);
    let reference = |cache_key_lo| {
        let object_kind = CacheObjectKind::TileIndexBlock;
        Some(ObjectReferenceBlock { object_kind, cache_key_lo, ..ObjectReferenceBlock::default() })
    };
    let three_tiles = SubmitFrame {
        tile_ids: vec![1, 2, 3],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles(["a", "b", "c"])],
        ..SubmitFrame::new(7)
    };
    let many_sections = (1..=17).map(|role| Section::new(role, TensorDType::Uint8).tiles(["a"])).collect();
    let result = packets::result(1).encode(SESSION, Revision::Current).unwrap().to_packet();
    for (packet, code, scope) in [
        (packets::submit_packet(SESSION + 1, 1), ErrorCode::InvalidState, ErrorScope::Frame),
        (packets::hello_packet(&packets::hello()), ErrorCode::InvalidState, ErrorScope::Session),
        (result, ErrorCode::InvalidState, ErrorScope::Session),
        (
            submit(&SubmitFrame { tile_ids: vec![1], sections: many_sections, ..SubmitFrame::new(2) }),
            ErrorCode::LimitExceeded,
            ErrorScope::Frame,
        ),
        (
            submit(&SubmitFrame {
                typed_payloads: vec![TypedPayload::token_chunk("x")],
                ..SubmitFrame::new(3)
            }),
            ErrorCode::UnsupportedCapability,
            ErrorScope::Frame,
        ),
        (
            submit(&SubmitFrame { tile_index_reference: reference(5), ..packets::frame(4) }),
            ErrorCode::CacheMiss,
            ErrorScope::Frame,
        ),
        (
            submit(&SubmitFrame { tile_index_reference: reference(4), ..three_tiles }),
            ErrorCode::MalformedBody,
            ErrorScope::Frame,
        ),
    ] {
        peer.send(packet).await;
        assert_eq!(error(&peer.connection).await, (code, scope, false));
        peer.is_alive().await;
    }
}

// Rules R-CAN-1, R-CACHE-12
pub(crate) async fn what_changes_nothing_is_not_answered(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let mut cancel = packets::bare(MessageType::FrameCancel, SESSION);
    cancel.header.frame_id = 99;
    peer.send(cancel).await;
    let nothing = CacheInvalidateMetadata { cache_key_lo: 99, ..CacheInvalidateMetadata::default() };
    peer.send(packets::control(MessageType::CacheInvalidate, SESSION, &nothing.encode())).await;
    peer.is_alive().await;
}

// Rules R-PATCH-1, R-PATCH-2, R-PATCH-3, R-PATCH-4, R-PATCH-6, R-PATCH-7, R-PATCH-8, R-PATCH-9
pub(crate) async fn a_patch_that_breaks_a_rule_is_refused_by_its_acknowledgement(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let field = |patch_mask| SessionPatchMetadata { patch_mask, ..SessionPatchMetadata::default() };
    let inverted =
        TensorProfilePatchBlock { min_width: 10, max_width: 9, ..TensorProfilePatchBlock::default() };
    for (wish, block, reason) in [
        (field(Field::from_bits(0x80)), None, Reason::UnsupportedField),
        (field(Field::TARGET_CADENCE), None, Reason::InvalidRange),
        (field(Field::ACTIVE_LANE_MASK), None, Reason::InvalidLaneMask),
        (
            SessionPatchMetadata { preferred_codec_bitmap: 0x80, ..field(Field::PREFERRED_CODEC) },
            None,
            Reason::UnsupportedStrategy,
        ),
        (
            SessionPatchMetadata { profile_id: 5, ..field(Field::QUALITY_TIER) },
            None,
            Reason::UnsupportedField,
        ),
        (field(Field::PROFILE_PATCH), Some(inverted), Reason::InvalidRange),
        (field(Field::PROFILE_PATCH), None, Reason::InvalidRange),
    ] {
        assert_eq!(peer.patch(wish, block).await, reason, "{wish:?}");
    }
    // Ten a second, and the clock is real: so many in a row cannot all be in time.
    let mut refused = false;
    for _ in 0..200 {
        refused |= peer.patch(field(Field::QUALITY_TIER), None).await == Reason::RateLimited;
    }
    assert!(refused);
    peer.is_alive().await;
}

// Rules R-CACHE-5, R-CACHE-6, R-LIM-14
pub(crate) async fn an_object_that_cannot_be_kept_is_refused_by_its_acknowledgement(kind: Kind) {
    let camera = |key, flags| object(key, CacheObjectKind::CameraBlock, CachePutFlags::REUSABLE | flags);
    let refusal = |ack: CacheAckMetadata| {
        assert_eq!(ack.status, CacheAckStatus::Rejected);
        ErrorCode::from(ack.detail_code)
    };
    let peer = Peer::new(kind, &hello()).await;
    let large = Bytes::from(vec![0; CACHE_BYTES as usize + 1]);
    assert_eq!(refusal(peer.put(camera(1, CachePutFlags::NONE), large).await), ErrorCode::LimitExceeded);
    for key in 0..CACHE_ENTRIES {
        let kept = peer.put(camera(key, CachePutFlags::PINNED), "eye".into()).await;
        assert_eq!(kept.status, CacheAckStatus::Accepted);
    }
    let one_more = peer.put(camera(CACHE_ENTRIES, CachePutFlags::NONE), "eye".into()).await;
    assert_eq!(refusal(one_more), ErrorCode::LimitExceeded);
    let without = Peer::new(kind, &packets::hello()).await;
    let ack = without.put(camera(1, CachePutFlags::NONE), "eye".into()).await;
    assert_eq!(refusal(ack), ErrorCode::UnsupportedCapability);
}

// Rules R-CACHE-4
pub(crate) async fn a_namespace_beyond_those_that_were_announced_is_used(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let object = object(1, CacheObjectKind::CameraBlock, CachePutFlags::REUSABLE);
    let ack = peer.put(CachePutMetadata { cache_namespace: 7, ..object }, "eye".into()).await;
    assert_eq!((ack.cache_namespace, ack.status), (7, CacheAckStatus::Accepted));
}

// Rules R-STATE-4, R-PROBE-2, R-LIM-8
pub(crate) async fn probes_are_answered_in_a_session_up_to_their_limit(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let probe = packets::control(MessageType::TransportProbe, 0, &[0; 16]);
    for _ in 0..nnrp_session::MAX_PROBES {
        peer.send(probe.clone()).await;
        next(&peer.connection, MessageType::TransportProbeAck).await;
    }
    peer.send(probe).await;
    assert_eq!(error(&peer.connection).await, (ErrorCode::ServerBusy, ErrorScope::Session, false));
    peer.is_alive().await;
}

// Rules R-LIM-3
pub(crate) async fn a_control_message_beyond_its_limit_ends_the_connection(kind: Kind) {
    let peer = Peer::new(kind, &hello()).await;
    let reason = Bytes::from(vec![b'x'; 65_537]);
    peer.send(Packet::build(header(MessageType::Close), Bytes::new(), reason)).await;
    assert_eq!(error(&peer.connection).await, (ErrorCode::LimitExceeded, ErrorScope::Connection, true));
}
