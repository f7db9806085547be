//! Control messages with any legal values.

use nnrp_wire::{
    CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheInvalidateScope, CacheObjectKind,
    CachePut, CachePutFlags, CachePutMetadata, ClientHello, ClientHelloMetadata, Close, ControlExtension,
    ControlExtensionFlags, ErrorMessage, ErrorMetadata, ErrorScope, FlowUpdateBackpressureLevel,
    FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason, FlowUpdateScopeKind, Message,
    ResultHintBudgetPolicy, ResultHintCongestionState, ResultHintMetadata, ResultHintReason, ServerFlags,
    ServerHelloAck, ServerHelloAckMetadata, SessionMigrate, SessionMigrateAck, SessionMigrateAckMetadata,
    SessionMigrateMetadata, SessionPatch, SessionPatchAck, SessionPatchAckMetadata, SessionPatchAckStatus,
    SessionPatchMetadata, SessionPatchRejectReason, TensorProfilePatchAckBlock, TensorProfilePatchBlock,
    TransportId, TransportProbe, TransportProbeAckMetadata, TransportProbeMetadata,
};
use proptest::{collection::vec, option, prelude::*};

use crate::{assigned, bytes};

/// Bytes that become a layout's plain numbers; the tests replace the fields that are not plain.
fn numbers() -> impl Strategy<Value = [u8; 80]> {
    vec(any::<u8>(), 80).prop_map(|bytes| bytes.try_into().unwrap())
}

/// An extension of a type that means nothing in the handshake.
fn vendor_extension() -> impl Strategy<Value = ControlExtension> {
    (0x4000..=u16::MAX, bytes(20)).prop_map(|(ext_type, payload)| ControlExtension {
        ext_type,
        flags: ControlExtensionFlags::from_bits(0x10),
        payload,
    })
}

fn handshake() -> impl Strategy<Value = Message> {
    let extensions = || vec(vendor_extension(), 0..4);
    prop_oneof![
        (numbers(), extensions(), bytes(40)).prop_map(|(numbers, extensions, auth_block)| {
            let mut raw = ClientHelloMetadata::default().encode();
            let length = raw.len();
            raw.copy_from_slice(&numbers[..length]);
            raw[8..12].copy_from_slice(&[0x7F, 0, 0, 0]);
            Message::ClientHello(ClientHello {
                metadata: ClientHelloMetadata::decode(&raw).unwrap(),
                extensions,
                auth_block,
            })
        }),
        (numbers(), extensions(), "\\PC{0,40}").prop_map(|(numbers, extensions, model_name)| {
            let metadata = ServerHelloAckMetadata {
                server_flags: ServerFlags::KNOWN,
                ..ServerHelloAckMetadata::decode(&numbers).unwrap()
            };
            Message::ServerHelloAck(ServerHelloAck { metadata, extensions, model_name })
        }),
    ]
}

fn patches() -> impl Strategy<Value = Message> {
    let clamp = || option::of(any::<[u32; 4]>());
    prop_oneof![
        (numbers(), clamp()).prop_map(|(numbers, clamp)| {
            let mut raw = [0; SessionPatchMetadata::LEN];
            raw[..32].copy_from_slice(&numbers[..32]);
            let block = clamp.map(|[min_width, min_height, max_width, max_height]| TensorProfilePatchBlock {
                min_width,
                min_height,
                max_width,
                max_height,
            });
            Message::SessionPatch(SessionPatch {
                metadata: SessionPatchMetadata::decode(&raw).unwrap(),
                block,
            })
        }),
        (numbers(), assigned!(SessionPatchAckStatus), assigned!(SessionPatchRejectReason), clamp()).prop_map(
            |(numbers, ack_status, reject_reason, clamp)| {
                let mut raw = [0; SessionPatchAckMetadata::LEN];
                raw[4..44].copy_from_slice(&numbers[..40]);
                let metadata = SessionPatchAckMetadata {
                    ack_status,
                    reject_reason,
                    ..SessionPatchAckMetadata::decode(&raw).unwrap()
                };
                let block = clamp.map(|[min_width, min_height, max_width, max_height]| {
                    TensorProfilePatchAckBlock { min_width, min_height, max_width, max_height }
                });
                Message::SessionPatchAck(SessionPatchAck { metadata, block })
            }
        ),
    ]
}

fn cache() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<[u32; 5]>(), assigned!(CacheObjectKind), 0..4_u32, bytes(50)).prop_map(
            |(
                [cache_namespace, cache_key_hi, cache_key_lo, ttl_ms, codec_bitmap],
                object_kind,
                flags,
                object,
            )| {
                let metadata = CachePutMetadata {
                    cache_namespace,
                    cache_key_hi,
                    cache_key_lo,
                    object_kind,
                    ttl_ms,
                    codec_bitmap,
                    flags: CachePutFlags::from_bits(flags),
                    ..CachePutMetadata::default()
                };
                Message::CachePut(CachePut { metadata, object })
            }
        ),
        (any::<[u32; 3]>(), assigned!(CacheAckStatus)).prop_map(
            |([cache_key_lo, max, detail_code], status)| {
                Message::CacheAck(CacheAckMetadata {
                    cache_key_lo,
                    status,
                    max_object_bytes: max,
                    detail_code,
                    ..CacheAckMetadata::default()
                })
            }
        ),
        (any::<[u32; 4]>(), assigned!(CacheInvalidateScope)).prop_map(
            |([cache_namespace, cache_key_hi, cache_key_lo, reason_code], invalidate_scope)| {
                Message::CacheInvalidate(CacheInvalidateMetadata {
                    invalidate_scope,
                    cache_namespace,
                    cache_key_hi,
                    cache_key_lo,
                    reason_code,
                })
            }
        ),
    ]
}

fn flow() -> impl Strategy<Value = Message> {
    prop_oneof![
        (
            assigned!(FlowUpdateScopeKind),
            assigned!(FlowUpdateReason),
            assigned!(FlowUpdateBackpressureLevel),
            any::<u16>(),
            1..=u64::MAX,
            any::<u32>(),
            0..16_u32
        )
            .prop_map(
                |(scope_kind, update_reason, backpressure_level, credit, operation, number, flags)| {
                    let flow_flags = FlowUpdateFlags::from_bits(flags);
                    let of = |scope| if scope == scope_kind { credit } else { 0 };
                    Message::FlowUpdate(FlowUpdateMetadata {
                        scope_kind,
                        update_reason,
                        backpressure_level,
                        connection_credit: of(FlowUpdateScopeKind::Connection),
                        session_credit: of(FlowUpdateScopeKind::Session),
                        operation_credit: of(FlowUpdateScopeKind::Operation),
                        operation_id: if scope_kind == FlowUpdateScopeKind::Operation {
                            operation
                        } else {
                            0
                        },
                        retry_after_ms: if flow_flags.contains(FlowUpdateFlags::RETRY_AFTER_VALID) {
                            number
                        } else {
                            0
                        },
                        credit_epoch: number,
                        flow_flags,
                        ..FlowUpdateMetadata::default()
                    })
                }
            ),
        (
            assigned!(ResultHintBudgetPolicy),
            assigned!(ResultHintCongestionState),
            assigned!(ResultHintReason),
            any::<u32>()
        )
            .prop_map(|(applied_budget_policy, congestion_state, reason, retry_after_ms)| {
                Message::ResultHint(ResultHintMetadata {
                    applied_budget_policy,
                    congestion_state,
                    reason,
                    retry_after_ms,
                })
            }),
    ]
}

fn paths() -> impl Strategy<Value = Message> {
    let binding = || prop_oneof![Just(TransportId::Quic), Just(TransportId::Tcp)];
    prop_oneof![
        (any::<u32>(), any::<u64>(), bytes(60)).prop_map(|(probe_id, client_send_ts_us, payload)| {
            let metadata =
                TransportProbeMetadata { probe_id, client_send_ts_us, ..TransportProbeMetadata::default() };
            Message::TransportProbe(TransportProbe { metadata, payload })
        }),
        (any::<[u32; 2]>(), any::<u64>()).prop_map(|([probe_id, reserved], server_recv_ts_us)| {
            Message::TransportProbeAck(TransportProbeAckMetadata { probe_id, reserved, server_recv_ts_us })
        }),
        (binding(), binding(), any::<[u64; 2]>(), bytes(40)).prop_map(
            |(old_transport_id, new_transport_id, [last_result_frame_id, client_migrate_ts_us], token)| {
                let metadata = SessionMigrateMetadata {
                    old_transport_id,
                    new_transport_id,
                    last_result_frame_id,
                    client_migrate_ts_us,
                };
                Message::SessionMigrate(SessionMigrate { metadata, token })
            }
        ),
        (any::<[u32; 2]>(), any::<[u64; 2]>(), bytes(9)).prop_map(
            |([accept_code, grace_window_ms], [resume_from_frame_id, server_migrate_ts_us], body)| {
                let metadata = SessionMigrateAckMetadata {
                    accept_code,
                    resume_from_frame_id,
                    grace_window_ms,
                    server_migrate_ts_us,
                };
                Message::SessionMigrateAck(SessionMigrateAck { metadata, body })
            }
        ),
    ]
}

fn endings() -> impl Strategy<Value = Message> {
    prop_oneof![
        "\\PC{0,60}".prop_map(|reason| Message::Close(Close { reason })),
        (any::<[u32; 6]>(), assigned!(ErrorScope), "\\PC{0,60}").prop_map(
            |([code, is_fatal, retry_after_ms, session, frame, view], error_scope, diagnostic)| {
                let metadata = ErrorMetadata {
                    error_code: code.into(),
                    error_scope,
                    is_fatal,
                    retry_after_ms,
                    related_session_id: session,
                    related_frame_id: frame,
                    related_view_id: view,
                    ..ErrorMetadata::default()
                };
                Message::Error(ErrorMessage { metadata, diagnostic })
            }
        ),
        Just(Message::FrameCancel),
        Just(Message::ResultDrop),
        Just(Message::Ping),
        Just(Message::Pong),
    ]
}

pub(crate) fn control_message() -> impl Strategy<Value = Message> {
    prop_oneof![handshake(), patches(), cache(), flow(), paths(), endings()]
}
