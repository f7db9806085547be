//! Properties over generated messages: what is encoded decodes to the same values, whatever the values are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use bytes::Bytes;
use nnrp_wire::{
    BudgetPolicy, CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheInvalidateScope,
    CacheObjectKind, CachePut, CachePutFlags, CachePutMetadata, ClientHello, ClientHelloMetadata, Close,
    ControlExtension, ControlExtensionFlags, ErrorMessage, ErrorMetadata, ErrorScope,
    FlowUpdateBackpressureLevel, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason, FlowUpdateScopeKind,
    FrameClass, Header, HeaderFlags, InlineObject, InputProfile, Message, MessageType, ObjectReferenceBlock,
    Packet, PayloadKind, ResultClass, ResultFrame, ResultHintBudgetPolicy, ResultHintCongestionState,
    ResultHintMetadata, ResultHintReason, Revision, ScalePolicy, Section, ServerFlags, ServerHelloAck,
    ServerHelloAckMetadata, SessionMigrate, SessionMigrateAck, SessionMigrateAckMetadata,
    SessionMigrateMetadata, SessionPatch, SessionPatchAck, SessionPatchAckMetadata, SessionPatchAckStatus,
    SessionPatchMetadata, SessionPatchRejectReason, SubmitFrame, TensorDType, TensorLayout,
    TensorProfilePatchAckBlock, TensorProfilePatchBlock, TileIndexMode, TransportId, TransportProbe,
    TransportProbeAckMetadata, TransportProbeMetadata, TypedPayload, check, tile_index,
};
use proptest::{collection::vec, option, prelude::*};

/// One of the assigned values of an enumeration.
macro_rules! assigned {
    ($Type:ident) => {
        (0..$Type::TABLE.len()).prop_map(|row| $Type::from($Type::TABLE[row].1))
    };
}

fn bytes(longest: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=longest).prop_map(Bytes::from)
}

fn header() -> impl Strategy<Value = Header> {
    (any::<u32>(), any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>(), any::<u64>()).prop_map(
        |(flags, session_id, frame_id, view_id, route_id, trace_id)| Header {
            flags: HeaderFlags::from_bits(flags),
            session_id,
            frame_id,
            view_id,
            route_id,
            trace_id,
            ..Header::default()
        },
    )
}

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

fn control_message() -> impl Strategy<Value = Message> {
    prop_oneof![handshake(), patches(), cache(), flow(), paths(), endings()]
}

/// Tile ids that the mode can say, with the base they need.
fn tiles(mode: TileIndexMode) -> BoxedStrategy<(Vec<u16>, u32)> {
    match mode {
        TileIndexMode::DenseRange => (0..=40_u16, 0..=65000_u16)
            .prop_map(|(count, base)| ((base..base + count).collect(), base.into()))
            .boxed(),
        TileIndexMode::RawU16 => (vec(any::<u16>(), 0..40), any::<u32>()).boxed(),
        _ => (proptest::collection::btree_set(any::<u16>(), 0..40), any::<u32>())
            .prop_map(|(ids, base)| (ids.into_iter().collect(), base))
            .boxed(),
    }
}

/// A section for this many tiles; its role is set by the caller.
fn section(tile_count: usize) -> impl Strategy<Value = Section> {
    (
        assigned!(TensorDType),
        assigned!(TensorLayout),
        assigned!(ScalePolicy),
        any::<u8>(),
        any::<u32>(),
        prop_oneof![Just(0), 20..40_u32],
        option::of(vec(any::<u8>(), tile_count)),
        vec(bytes(20), tile_count),
    )
        .prop_map(|(dtype, layout, scale_policy, codec_id, elements, stride, codec_ids, tiles)| {
            Section {
                role_id: 0,
                codec_id,
                dtype,
                layout,
                scale_policy,
                element_count_per_tile: elements,
                payload_stride_bytes: stride,
                codec_ids: codec_ids.unwrap_or_default(),
                tiles,
            }
        })
}

type Tensors = (TileIndexMode, Vec<u16>, u32, Vec<Section>);

fn tensors(modes: &'static [TileIndexMode]) -> impl Strategy<Value = Tensors> {
    proptest::sample::select(modes)
        .prop_flat_map(|mode| (Just(mode), tiles(mode)))
        .prop_flat_map(|(mode, (ids, base))| {
            let sections = vec((1..900_u16, section(ids.len())), 0..5);
            (Just(mode), Just(ids), Just(base), sections)
        })
        .prop_map(|(mode, ids, base, sections)| {
            let mut role = 0;
            let sections = sections
                .into_iter()
                .map(|(step, section)| {
                    role += step;
                    Section { role_id: role, ..section }
                })
                .collect();
            (mode, ids, base, sections)
        })
}

fn typed_payloads() -> impl Strategy<Value = Vec<TypedPayload>> {
    let payload = (1..7_u32, any::<u16>(), bytes(40)).prop_map(|(bit, profile, data)| {
        TypedPayload::new(PayloadKind::from_bits(1 << bit), data).profile(profile)
    });
    vec(payload, 0..5)
}

fn other_object() -> impl Strategy<Value = InlineObject> {
    (4..=9_u32, any::<u16>(), bytes(20)).prop_map(|(kind, profile_id, data)| InlineObject {
        kind: kind.into(),
        profile_id,
        data,
    })
}

fn reference(kind: CacheObjectKind) -> impl Strategy<Value = ObjectReferenceBlock> {
    any::<[u32; 3]>().prop_map(move |[cache_namespace, cache_key_hi, cache_key_lo]| ObjectReferenceBlock {
        object_kind: kind,
        cache_namespace,
        cache_key_hi,
        cache_key_lo,
        ..ObjectReferenceBlock::default()
    })
}

const ALL_MODES: &[TileIndexMode] =
    &[TileIndexMode::DenseRange, TileIndexMode::RawU16, TileIndexMode::DeltaU16, TileIndexMode::Bitset];
const RESULT_MODES: &[TileIndexMode] = &[TileIndexMode::DenseRange, TileIndexMode::RawU16];

fn submit_frame() -> impl Strategy<Value = SubmitFrame> {
    (
        (tensors(ALL_MODES), bytes(30), typed_payloads(), vec(other_object(), 0..3)),
        (
            option::of(reference(CacheObjectKind::CameraBlock)),
            option::of(reference(CacheObjectKind::TileIndexBlock)),
            option::of(reference(CacheObjectKind::TensorSectionTable)),
            option::of(reference(CacheObjectKind::PayloadLayoutTemplate)),
        ),
        (assigned!(FrameClass), assigned!(InputProfile), 0..16_u8, any::<[u16; 4]>(), any::<[u32; 2]>()),
        any::<bool>(),
    )
        .prop_map(|(content, references, numbers, by_reference)| {
            let ((mode, tile_ids, tile_base_id, sections), camera, typed_payloads, objects) = content;
            let (frame_class, input_profile, budget, [width, height, budget_ms, fps], [retry, dependency]) =
                numbers;
            let (camera_reference, tile_index, table, template) =
                if by_reference { references } else { Default::default() };
            // Other objects need a body that is composed.
            let composed = by_reference && template.is_some() || !typed_payloads.is_empty();
            // The template is a standard slot: once, and not both inline and referenced.
            let mut room = template.is_none();
            let objects = objects.into_iter().filter(|object| {
                object.kind != CacheObjectKind::PayloadLayoutTemplate || std::mem::take(&mut room)
            });
            // A frame without tensors has no tensor fields.
            let tensor = !tile_ids.is_empty() || !sections.is_empty() || !camera.is_empty();
            let tensor = tensor || camera_reference.is_some() || tile_index.is_some() || table.is_some();
            SubmitFrame {
                src_width: if tensor { width } else { 0 },
                src_height: if tensor { height } else { 0 },
                frame_class,
                input_profile: if tensor { input_profile } else { InputProfile::Unspecified },
                tile_index_mode: mode,
                latency_budget_ms: budget_ms,
                target_fps_x100: fps,
                retry_of_frame: retry,
                tile_base_id: if tensor { tile_base_id } else { 0 },
                budget_policy: BudgetPolicy::from_bits(budget),
                dependency_frame_id: dependency,
                tile_ids,
                camera: if camera_reference.is_some() { Bytes::new() } else { camera },
                sections,
                typed_payloads,
                objects: if composed { objects.collect() } else { Vec::new() },
                camera_reference,
                tile_index_reference: tile_index,
                section_table_reference: table,
                layout_template_reference: template,
                ..SubmitFrame::new(retry)
            }
        })
}

fn result_frame() -> impl Strategy<Value = ResultFrame> {
    (
        tensors(RESULT_MODES),
        typed_payloads(),
        vec(other_object(), 0..3),
        assigned!(ResultClass),
        any::<[u16; 5]>(),
    )
        .prop_map(|(tensors, typed_payloads, objects, result_class, numbers)| {
            let (mode, tile_ids, tile_base_id, sections) = tensors;
            let [status_code, inference_ms, queue_ms, server_total_ms, dropped] = numbers;
            let tensor = !tile_ids.is_empty() || !sections.is_empty();
            let dropped =
                if tile_ids.is_empty() { 0 } else { 1 + dropped % u16::try_from(tile_ids.len()).unwrap() };
            let partial = result_class == ResultClass::Partial && tensor && dropped == 0;
            ResultFrame {
                status_code,
                inference_ms,
                queue_ms,
                server_total_ms,
                tile_index_mode: mode,
                tile_base_id: if tensor { tile_base_id } else { 0 },
                result_class: if partial { ResultClass::Complete } else { result_class },
                dropped_tile_count: dropped,
                tile_ids,
                sections,
                objects: if typed_payloads.is_empty() { Vec::new() } else { objects },
                typed_payloads,
                ..ResultFrame::new(7)
            }
        })
}

/// The codec ids of a section without a codec table are all the same; the list may say so or be empty.
fn normal(section: &Section) -> Section {
    let table = section.codec_ids.iter().any(|codec| *codec != section.codec_id);
    Section { codec_ids: if table { section.codec_ids.clone() } else { Vec::new() }, ..section.clone() }
}

proptest! {
    #[test]
    fn control_messages_round_trip(mut header in header(), message in control_message()) {
        if let Message::FlowUpdate(update) = &message {
            let connection = update.scope_kind == FlowUpdateScopeKind::Connection;
            header.session_id = if connection { 0 } else { header.session_id.max(1) };
        }
        let encoded = message.encode(header).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
        let packet = Packet::decode(encoded.to_bytes()).unwrap();
        prop_assert_eq!(packet.header.trace_id, header.trace_id);
        let again = packet.message().unwrap();
        prop_assert_eq!(again.message_type(), message.message_type());
        // Lengths are filled in by encoding, so compare what comes after it.
        prop_assert_eq!(again.encode(header).unwrap().to_bytes(), encoded.to_bytes());
        match (&message, &again) {
            (Message::ClientHello(sent), Message::ClientHello(received)) => {
                prop_assert_eq!(&sent.extensions, &received.extensions);
                prop_assert_eq!(&sent.auth_block, &received.auth_block);
            }
            (Message::Close(sent), Message::Close(received)) => prop_assert_eq!(sent, received),
            (Message::SessionPatch(sent), Message::SessionPatch(received)) => {
                prop_assert_eq!(sent.block, received.block);
            }
            (Message::FlowUpdate(sent), Message::FlowUpdate(received)) => prop_assert_eq!(sent, received),
            _ => {}
        }
    }

    #[test]
    fn submits_round_trip(frame in submit_frame(), session_id in any::<u32>()) {
        let encoded = frame.encode(session_id, Revision::Current).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
        let packet = Packet::decode(encoded.to_bytes()).unwrap();
        let Message::FrameSubmit { metadata, body } = packet.message().unwrap() else { panic!() };
        prop_assert_eq!(metadata.budget_policy, frame.budget_policy);
        if frame.tile_index_reference.is_none() {
            prop_assert_eq!(body.tile_ids().collect::<Vec<_>>(), frame.tile_ids.clone());
        }
        if frame.section_table_reference.is_none() {
            let sections: Vec<_> = body.sections().map(|section| section.to_section()).collect();
            prop_assert_eq!(sections, frame.sections.iter().map(normal).collect::<Vec<_>>());
        }
        prop_assert_eq!(body.camera().unwrap_or_default(), frame.camera.clone());
        prop_assert_eq!(body.typed_payloads().collect::<Vec<_>>(), frame.typed_payloads.clone());
        let again = SubmitFrame::from_received(&packet.header, &metadata, &body).encode(session_id, Revision::Current);
        prop_assert_eq!(again.unwrap().to_bytes(), encoded.to_bytes());
    }

    #[test]
    fn results_round_trip(frame in result_frame(), session_id in any::<u32>()) {
        let encoded = frame.encode(session_id, Revision::Current).unwrap();
        check::packet_round_trips(&encoded.to_bytes());
        let packet = Packet::decode(encoded.to_bytes()).unwrap();
        let Message::ResultPush { metadata, body } = packet.message().unwrap() else { panic!() };
        prop_assert_eq!(body.tile_ids().collect::<Vec<_>>(), frame.tile_ids.clone());
        let sections: Vec<_> = body.sections().map(|section| section.to_section()).collect();
        prop_assert_eq!(sections, frame.sections.iter().map(normal).collect::<Vec<_>>());
        prop_assert_eq!(body.typed_payloads().collect::<Vec<_>>(), frame.typed_payloads.clone());
        let again = ResultFrame::from_received(&packet.header, &metadata, &body).encode(session_id, Revision::Current);
        prop_assert_eq!(again.unwrap().to_bytes(), encoded.to_bytes());
    }

    #[test]
    fn tile_indexes_round_trip(tensors in tensors(ALL_MODES)) {
        let (mode, ids, base, _) = tensors;
        let block = tile_index::encode(mode, base, &ids).unwrap();
        let count = ids.len().try_into().unwrap();
        prop_assert_eq!(tile_index::decode(mode, base, count, &block).unwrap().collect::<Vec<_>>(), ids);
    }

    #[test]
    fn any_bytes_are_refused_or_consistent(data in vec(any::<u8>(), 0..300)) {
        check::header_round_trips(&data);
        check::packet_round_trips(&data);
        check::metadata_round_trips(&data);
        check::submit_body(&data);
        check::result_body(&data);
        check::control_extensions(&data);
        check::tile_index(&data);
    }

    #[test]
    fn headers_round_trip(header in header(), message in any::<u8>(), meta_len in any::<u32>(), body_len in any::<u32>()) {
        let header = Header { msg_type: MessageType::from(message), meta_len, body_len, ..header };
        prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    }
}
