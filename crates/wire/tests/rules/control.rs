//! The handshake, its extensions and the other control messages.

use bytes::Bytes;
use nnrp_wire::{
    CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheInvalidateScope, CacheObjectKind,
    CachePutFlags, CachePutMetadata, ClientHelloMetadata, ControlExtension, FlowUpdateBackpressureLevel,
    FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason, FlowUpdateScopeKind, Header, LossTolerance,
    LossToleranceExtension, MessageType, Packet, PayloadCapabilitiesAckExtension,
    PayloadCapabilitiesExtension, PayloadKind, ResultHintBudgetPolicy, ResultHintCongestionState,
    ResultHintMetadata, ResultHintReason, RuleId, ServerHelloAckMetadata, SessionMigrateMetadata,
    SessionPatchAckMetadata, SessionPatchAckStatus, SessionPatchMetadata, SessionPatchRejectReason,
    TransportId, TransportPolicy, TransportPolicyAckExtension, TransportPolicyExtension,
    TransportProbeMetadata,
};

use crate::{
    Case,
    build::{block, extension, packet, patched},
    case,
};

/// A CLIENT_HELLO with this extension block and auth block.
fn hello_with(block: &Bytes, auth: &[u8]) -> Bytes {
    let metadata = ClientHelloMetadata {
        control_extension_bytes: block.len().try_into().unwrap(),
        auth_bytes: auth.len().try_into().unwrap(),
        ..ClientHelloMetadata::default()
    };
    packet(MessageType::ClientHello, &metadata.encode(), [block, auth].concat())
}

fn hello(entries: &[ControlExtension]) -> Bytes {
    hello_with(&block(entries), b"")
}

fn hello_ack(entries: &[ControlExtension]) -> Bytes {
    let block = block(entries);
    let metadata = ServerHelloAckMetadata {
        control_extension_bytes: block.len().try_into().unwrap(),
        ..ServerHelloAckMetadata::default()
    };
    packet(MessageType::ServerHelloAck, &metadata.encode(), block)
}

pub(crate) fn cases() -> Vec<Case> {
    [handshake(), extensions(), typed_extensions(), cache(), flow(), others()].into_iter().flatten().collect()
}

pub(crate) fn tolerated() -> Vec<(RuleId, Bytes)> {
    vec![
        (RuleId::EXT_4, hello(&[extension(0x8001, false, b"vendor"), extension(0, false, b"")])),
        (RuleId::EXT_6, hello(&[extension(0x0102, false, b"not an ack")])),
    ]
}

fn handshake() -> Vec<Case> {
    let meta = ClientHelloMetadata { auth_bytes: 3, ..ClientHelloMetadata::default() };
    let with_auth = |auth: &'static [u8]| packet(MessageType::ClientHello, &meta.encode(), auth);
    let lengths = ClientHelloMetadata { auth_bytes: u32::MAX, control_extension_bytes: 4, ..meta };
    let kinds = |bits| {
        let meta = ClientHelloMetadata {
            supported_payload_kind_bitmap: PayloadKind::from_bits(bits),
            ..ClientHelloMetadata::default()
        };
        packet(MessageType::ClientHello, &meta.encode(), Bytes::new())
    };
    let ack = |length| {
        let meta =
            ServerHelloAckMetadata { control_extension_bytes: length, ..ServerHelloAckMetadata::default() };
        packet(MessageType::ServerHelloAck, &meta.encode(), block(&[extension(0x9000, false, b"")]))
    };
    vec![
        case(RuleId::HELLO_3, with_auth(b"to"), with_auth(b"tok")),
        // 2^32 - 1 + 4 is 3 when it wraps.
        case(
            RuleId::HELLO_3,
            packet(MessageType::ClientHello, &lengths.encode(), &b"tok"[..]),
            with_auth(b"tok"),
        ),
        case(RuleId::HELLO_5, kinds(0x80), kinds(0x7F)),
        case(RuleId::ACK_5, ack(16), ack(8)),
    ]
}

fn extensions() -> Vec<Case> {
    let vendor = block(&[extension(0x8001, false, b"abc")]);
    let good = hello_with(&vendor, b"");
    let loss = || LossToleranceExtension::default().to_extension();
    let in_written_order = |padding: u8| {
        let block = patched(&vendor, 15, &[padding]);
        let metadata = ClientHelloMetadata {
            control_extension_bytes: 16,
            auth_bytes: 5,
            ..ClientHelloMetadata::default()
        };
        packet(MessageType::ClientHello, &metadata.encode(), [b"\xFF\xFF\xFF\xFF\xFF", &block[..]].concat())
    };
    vec![
        case(RuleId::EXT_1, hello_with(&vendor.slice(..7), b""), good.clone()),
        case(RuleId::EXT_1, hello_with(&patched(&vendor, 4, &[9]), b""), good.clone()),
        case(RuleId::EXT_1, hello_with(&vendor.slice(..11), b""), good.clone()),
        case(RuleId::EXT_1, hello_with(&patched(&vendor, 4, &[0xFF; 4]), b""), good.clone()),
        case(RuleId::EXT_1, in_written_order(1), in_written_order(0)),
        case(RuleId::EXT_2, hello_with(&patched(&vendor, 11, &[1]), b""), good),
        case(
            RuleId::EXT_3,
            hello(&[extension(0x8001, true, b"abc")]),
            hello(&[extension(0x8001, false, b"abc")]),
        ),
        case(
            RuleId::EXT_3,
            hello_ack(&[extension(0x0103, true, b"")]),
            hello_ack(&[extension(0x0103, false, b"")]),
        ),
        case(RuleId::EXT_5, hello(&[loss(), loss()]), hello(&[loss(), extension(0x0104, false, b"")])),
    ]
}

fn typed_extensions() -> Vec<Case> {
    let policy = |policy, id| {
        let extension = TransportPolicyExtension {
            transport_policy: policy,
            preferred_transport_id: id,
            ..TransportPolicyExtension::default()
        };
        hello(&[extension.to_extension()])
    };
    let ack = |accepted, id| {
        let extension = TransportPolicyAckExtension {
            accepted_transport_policy: accepted,
            active_transport_id: id,
            ..TransportPolicyAckExtension::default()
        };
        hello_ack(&[extension.to_extension()])
    };
    let loss = |payload: &'static [u8]| hello(&[extension(0x0103, false, payload)]);
    let kinds = |bits, critical| {
        let extension = PayloadCapabilitiesExtension {
            payload_kind_bitmap: PayloadKind::from_bits(bits),
            critical_extension_frame_bitmap: critical,
        };
        hello(&[extension.to_extension()])
    };
    let kinds_ack = |bits| {
        let extension = PayloadCapabilitiesAckExtension {
            accepted_payload_kind_bitmap: PayloadKind::from_bits(bits),
            ..PayloadCapabilitiesAckExtension::default()
        };
        hello_ack(&[extension.to_extension()])
    };
    let fine = policy(TransportPolicy::ForceTcp, TransportId::Tcp);
    assert_eq!(LossTolerance::FireAndForget.value(), 3);
    vec![
        case(RuleId::HX_1, loss(&[0; 7]), loss(&[0; 8])),
        case(RuleId::HX_1, loss(&[0; 9]), loss(&[0; 8])),
        case(RuleId::HX_2, policy(TransportPolicy::Unknown(5), TransportId::Tcp), fine.clone()),
        case(RuleId::HX_2, policy(TransportPolicy::ForceTcp, TransportId::Unknown(3)), fine),
        case(
            RuleId::HX_2,
            ack(TransportPolicy::Unknown(5), TransportId::Quic),
            ack(TransportPolicy::Auto, TransportId::Unspecified),
        ),
        case(RuleId::HX_3, loss(&[4, 0, 0, 0, 0, 0, 0, 0]), loss(&[3, 0, 0, 0, 0, 0, 0, 0])),
        case(RuleId::HX_3, loss(&[0xFF, 0, 0, 0, 0, 0, 0, 0]), loss(&[0; 8])),
        case(RuleId::HX_3, loss(&[1, 0, 0, 0, 0, 0, 0, 9]), loss(&[1, 0, 0, 0, 0, 0, 0, 0])),
        case(RuleId::HX_4, kinds(0x80, 0), kinds(0x7F, 0)),
        case(RuleId::HX_4, kinds(1, 1), kinds(1, 0)),
        case(RuleId::HX_4, kinds_ack(0xFF), kinds_ack(0x7F)),
    ]
}

fn cache() -> Vec<Case> {
    let put = |metadata: CachePutMetadata, object: &'static [u8]| {
        packet(MessageType::CachePut, &metadata.encode(), object)
    };
    let meta = CachePutMetadata {
        object_kind: CacheObjectKind::CameraBlock,
        object_bytes: 3,
        flags: CachePutFlags::KNOWN,
        ..CachePutMetadata::default()
    };
    let kind = CachePutMetadata { object_kind: CacheObjectKind::Unknown(10), ..meta };
    let flags = CachePutMetadata { flags: CachePutFlags::from_bits(4), ..meta };
    let ack = |status| {
        let meta = CacheAckMetadata { status, ..CacheAckMetadata::default() };
        packet(MessageType::CacheAck, &meta.encode(), Bytes::new())
    };
    let invalidate = |scope| {
        let meta = CacheInvalidateMetadata { invalidate_scope: scope, ..CacheInvalidateMetadata::default() };
        packet(MessageType::CacheInvalidate, &meta.encode(), Bytes::new())
    };
    vec![
        case(RuleId::CACHE_1, put(meta, b"ob"), put(meta, b"obj")),
        case(RuleId::CACHE_2, put(kind, b"obj"), put(meta, b"obj")),
        case(RuleId::CACHE_3, put(flags, b"obj"), put(meta, b"obj")),
        case(RuleId::CACHE_8, ack(CacheAckStatus::Unknown(3)), ack(CacheAckStatus::Replaced)),
        case(
            RuleId::CACHE_11,
            invalidate(CacheInvalidateScope::Unknown(4)),
            invalidate(CacheInvalidateScope::ObjectKey),
        ),
    ]
}

fn flow_update(session_id: u32, metadata: FlowUpdateMetadata) -> Bytes {
    let header = Header { session_id, ..Header::new(MessageType::FlowUpdate) };
    Packet::build(header, Bytes::copy_from_slice(&metadata.encode()), Bytes::new()).to_bytes()
}

fn flow() -> Vec<Case> {
    let of = |scope_kind| FlowUpdateMetadata { scope_kind, ..FlowUpdateMetadata::default() };
    let connection = of(FlowUpdateScopeKind::Connection);
    let session = of(FlowUpdateScopeKind::Session);
    let operation = FlowUpdateMetadata { operation_id: 1, ..of(FlowUpdateScopeKind::Operation) };
    let good = flow_update(7, session);
    let on_session = |metadata| flow_update(7, metadata);
    let waits =
        FlowUpdateMetadata { retry_after_ms: 1, flow_flags: FlowUpdateFlags::RETRY_AFTER_VALID, ..session };
    vec![
        case(RuleId::FLOW_1, on_session(of(FlowUpdateScopeKind::Unknown(3))), good.clone()),
        case(
            RuleId::FLOW_1,
            on_session(FlowUpdateMetadata { update_reason: FlowUpdateReason::Unknown(5), ..session }),
            on_session(FlowUpdateMetadata { update_reason: FlowUpdateReason::Congestion, ..session }),
        ),
        case(
            RuleId::FLOW_1,
            on_session(FlowUpdateMetadata {
                backpressure_level: FlowUpdateBackpressureLevel::Unknown(3),
                ..session
            }),
            good.clone(),
        ),
        case(
            RuleId::FLOW_2,
            on_session(FlowUpdateMetadata { flow_flags: FlowUpdateFlags::from_bits(16), ..session }),
            on_session(FlowUpdateMetadata { flow_flags: FlowUpdateFlags::KNOWN, ..session }),
        ),
        case(
            RuleId::FLOW_3,
            flow_update(0, FlowUpdateMetadata { session_credit: 1, ..connection }),
            flow_update(0, FlowUpdateMetadata { connection_credit: 1, ..connection }),
        ),
        case(
            RuleId::FLOW_3,
            on_session(FlowUpdateMetadata { connection_credit: 1, ..session }),
            on_session(FlowUpdateMetadata { session_credit: 1, ..session }),
        ),
        case(
            RuleId::FLOW_3,
            on_session(FlowUpdateMetadata { operation_id: 0, ..operation }),
            on_session(operation),
        ),
        case(
            RuleId::FLOW_3,
            on_session(FlowUpdateMetadata { session_credit: 1, ..operation }),
            on_session(FlowUpdateMetadata { operation_credit: 1, ..operation }),
        ),
        case(
            RuleId::FLOW_4,
            on_session(FlowUpdateMetadata { flow_flags: FlowUpdateFlags::NONE, ..waits }),
            on_session(waits),
        ),
        case(RuleId::FLOW_5, flow_update(7, connection), flow_update(0, connection)),
        case(RuleId::FLOW_5, flow_update(0, session), good),
    ]
}

fn others() -> Vec<Case> {
    let hint =
        |metadata: ResultHintMetadata| packet(MessageType::ResultHint, &metadata.encode(), Bytes::new());
    let none = ResultHintMetadata::default();
    let budget = ResultHintMetadata { applied_budget_policy: ResultHintBudgetPolicy::Unknown(5), ..none };
    let state = ResultHintMetadata { congestion_state: ResultHintCongestionState::Unknown(4), ..none };
    let reason = ResultHintMetadata { reason: ResultHintReason::Unknown(5), ..none };
    let patch = |bytes, body: &'static [u8]| {
        let meta = SessionPatchMetadata { profile_patch_bytes: bytes, ..SessionPatchMetadata::default() };
        packet(MessageType::SessionPatch, &meta.encode(), body)
    };
    let ack = |metadata: SessionPatchAckMetadata, body: &'static [u8]| {
        packet(MessageType::SessionPatchAck, &metadata.encode(), body)
    };
    let accepted = SessionPatchAckMetadata::default();
    let status = SessionPatchAckMetadata { ack_status: SessionPatchAckStatus::Unknown(3), ..accepted };
    let why = SessionPatchAckMetadata { reject_reason: SessionPatchRejectReason::Unknown(6), ..accepted };
    let block = SessionPatchAckMetadata { profile_patch_ack_bytes: 16, ..accepted };
    let probe = |bytes| {
        let meta = TransportProbeMetadata { probe_payload_bytes: bytes, ..TransportProbeMetadata::default() };
        packet(MessageType::TransportProbe, &meta.encode(), &b"PPPP"[..])
    };
    let migrate = |old, new| {
        let meta = SessionMigrateMetadata {
            old_transport_id: old,
            new_transport_id: new,
            ..SessionMigrateMetadata::default()
        };
        packet(MessageType::SessionMigrate, &meta.encode(), Bytes::new())
    };
    let migration = migrate(TransportId::Quic, TransportId::Tcp);
    vec![
        case(RuleId::HINT_1, hint(budget), hint(none)),
        case(RuleId::HINT_1, hint(state), hint(none)),
        case(RuleId::HINT_1, hint(reason), hint(none)),
        case(RuleId::PATCH_5, patch(8, b""), patch(0, b"")),
        case(RuleId::PATCH_5, patch(16, b""), patch(16, &[0; 16])),
        case(RuleId::PATCH_5, patch(0, &[0; 16]), patch(16, &[0; 16])),
        case(RuleId::PKT_2, patch(16, &[0; 17]), patch(16, &[0; 16])),
        case(RuleId::PACK_1, ack(status, b""), ack(accepted, b"")),
        case(RuleId::PACK_1, ack(why, b""), ack(accepted, b"")),
        case(RuleId::PACK_3, ack(block, b""), ack(block, &[0; 16])),
        case(RuleId::PROBE_1, probe(3), probe(4)),
        case(RuleId::MIG_1, migrate(TransportId::Unspecified, TransportId::Tcp), migration.clone()),
        case(RuleId::MIG_1, migrate(TransportId::Quic, TransportId::Unknown(3)), migration),
    ]
}
