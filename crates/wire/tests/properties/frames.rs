//! Submits and results with any legal content.

use bytes::Bytes;
use nnrp_wire::{
    BudgetPolicy, CacheObjectKind, FrameClass, InlineObject, InputProfile, ObjectReferenceBlock, PayloadKind,
    ResultClass, ResultFrame, ScalePolicy, Section, SubmitFrame, TensorDType, TensorLayout, TileIndexMode,
    TypedPayload,
};
use proptest::{collection::vec, option, prelude::*};

use crate::{assigned, bytes};

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

pub(crate) type Tensors = (TileIndexMode, Vec<u16>, u32, Vec<Section>);

pub(crate) fn tensors(modes: &'static [TileIndexMode]) -> impl Strategy<Value = Tensors> {
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

pub(crate) const ALL_MODES: &[TileIndexMode] =
    &[TileIndexMode::DenseRange, TileIndexMode::RawU16, TileIndexMode::DeltaU16, TileIndexMode::Bitset];
const RESULT_MODES: &[TileIndexMode] = &[TileIndexMode::DenseRange, TileIndexMode::RawU16];

pub(crate) fn submit_frame() -> impl Strategy<Value = SubmitFrame> {
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

pub(crate) fn result_frame() -> impl Strategy<Value = ResultFrame> {
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
