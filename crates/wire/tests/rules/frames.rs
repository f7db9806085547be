//! Metadata of submits and results.

use bytes::Bytes;
use nnrp_wire::{
    BudgetPolicy, FrameClass, FrameSubmitMetadata, INHERIT, InputProfile, ObjectRefMask, PayloadKind,
    ResultClass, ResultFlags, ResultPushMetadata, RuleId, SubmitMode, TileIndexMode,
};

use crate::{
    Case,
    build::{plain, result, submit, typed, typed_result},
    case,
};

pub(crate) fn cases() -> Vec<Case> {
    [submits(), results()].into_iter().flatten().collect()
}

fn submits() -> Vec<Case> {
    let base = plain(0, 0);
    let good = || submit(base, Bytes::new());
    let of = |metadata: FrameSubmitMetadata| submit(metadata, Bytes::new());
    let token = typed(PayloadKind::TOKEN_CHUNK, 0);
    let mut cases = vec![
        case(
            RuleId::SUB_1,
            of(FrameSubmitMetadata { frame_class: FrameClass::Unknown(4), ..base }),
            of(FrameSubmitMetadata { frame_class: FrameClass::Discardable, ..base }),
        ),
        case(
            RuleId::SUB_2,
            of(FrameSubmitMetadata { input_profile: InputProfile::Unknown(3), ..base }),
            of(FrameSubmitMetadata { input_profile: InputProfile::DenseLumaFrame, ..base }),
        ),
        case(
            RuleId::SUB_3,
            of(FrameSubmitMetadata { tile_index_mode: TileIndexMode::Unknown(4), ..base }),
            of(FrameSubmitMetadata { tile_index_mode: TileIndexMode::Bitset, ..base }),
        ),
        case(RuleId::SUB_4, of(FrameSubmitMetadata { submit_mode: SubmitMode::Unknown(3), ..base }), good()),
        case(
            RuleId::SUB_5,
            of(FrameSubmitMetadata { budget_policy: BudgetPolicy::from_bits(0x10), ..base }),
            of(FrameSubmitMetadata { budget_policy: BudgetPolicy::KNOWN, ..base }),
        ),
        case(
            RuleId::SUB_6,
            of(FrameSubmitMetadata { loss_tolerance_policy: 4, ..base }),
            of(FrameSubmitMetadata { loss_tolerance_policy: 3, ..base }),
        ),
        case(
            RuleId::SUB_6,
            of(FrameSubmitMetadata { loss_tolerance_policy: 0xFE, ..base }),
            of(FrameSubmitMetadata { loss_tolerance_policy: INHERIT, ..base }),
        ),
        case(
            RuleId::SUB_7,
            of(FrameSubmitMetadata { object_ref_mask: ObjectRefMask::from_bits(0x10), ..base }),
            good(),
        ),
        case(
            RuleId::SUB_8,
            of(FrameSubmitMetadata { payload_kind_bitmap: PayloadKind::from_bits(0x80), ..base }),
            of(FrameSubmitMetadata { payload_kind_bitmap: PayloadKind::from_bits(0x40), ..base }),
        ),
    ];
    let tensor_fields: [fn(&mut FrameSubmitMetadata); 10] = [
        |metadata| metadata.src_width = 1,
        |metadata| metadata.src_height = 1,
        |metadata| metadata.tile_width = 1,
        |metadata| metadata.tile_height = 1,
        |metadata| metadata.tile_count = 1,
        |metadata| metadata.section_count = 1,
        |metadata| metadata.tile_base_id = 1,
        |metadata| metadata.camera_bytes = 1,
        |metadata| metadata.tile_index_bytes = 1,
        |metadata| metadata.input_profile = InputProfile::ChangedTilesLuma,
    ];
    for set in tensor_fields {
        let mut metadata = token;
        set(&mut metadata);
        cases.push(case(RuleId::SUB_9, of(metadata), of(token)));
    }
    cases
}

fn results() -> Vec<Case> {
    let of = |metadata: ResultPushMetadata| result(metadata, Bytes::new());
    let base =
        ResultPushMetadata { payload_kind_bitmap: PayloadKind::TENSOR, ..ResultPushMetadata::default() };
    let good = || of(base);
    // Three tiles in a dense range, which has no bytes.
    let tiles = ResultPushMetadata { tile_count: 3, covered_tile_count: 2, dropped_tile_count: 1, ..base };
    let partial = ResultPushMetadata { result_class: ResultClass::Partial, ..tiles };
    let all = ResultPushMetadata { covered_tile_count: 3, dropped_tile_count: 0, ..tiles };
    let token = typed_result(PayloadKind::TOKEN_CHUNK, 0);
    let mut cases = vec![
        case(
            RuleId::RES_1,
            of(ResultPushMetadata { result_flags: ResultFlags::from_bits(8), ..base }),
            of(ResultPushMetadata { result_flags: ResultFlags::FALLBACK, ..base }),
        ),
        case(
            RuleId::RES_2,
            of(ResultPushMetadata { result_class: ResultClass::Unknown(4), ..base }),
            of(ResultPushMetadata { result_class: ResultClass::Degraded, ..base }),
        ),
        case(
            RuleId::RES_3,
            of(ResultPushMetadata { applied_budget_policy: BudgetPolicy::from_bits(0x80), ..base }),
            of(ResultPushMetadata { applied_budget_policy: BudgetPolicy::KNOWN, ..base }),
        ),
        case(
            RuleId::RES_4,
            of(ResultPushMetadata { payload_kind_bitmap: PayloadKind::from_bits(0x81), ..base }),
            good(),
        ),
        case(RuleId::RES_6, of(ResultPushMetadata { covered_tile_count: 3, ..tiles }), of(tiles)),
        // 65535 + 2 is 1 when it wraps.
        case(
            RuleId::RES_6,
            of(ResultPushMetadata {
                tile_count: 1,
                covered_tile_count: 0xFFFF,
                dropped_tile_count: 2,
                ..base
            }),
            of(ResultPushMetadata { tile_count: 1, covered_tile_count: 1, ..base }),
        ),
        case(
            RuleId::RES_7,
            of(ResultPushMetadata { result_class: ResultClass::Partial, ..all }),
            of(partial),
        ),
        case(
            RuleId::RES_7,
            of(ResultPushMetadata { result_flags: ResultFlags::PARTIAL, ..all }),
            of(ResultPushMetadata { result_flags: ResultFlags::PARTIAL, ..tiles }),
        ),
    ];
    let tensor_fields: [fn(&mut ResultPushMetadata); 6] = [
        |metadata| metadata.section_count = 1,
        |metadata| metadata.tile_count = 1,
        |metadata| metadata.tile_base_id = 1,
        |metadata| metadata.tile_index_bytes = 1,
        |metadata| metadata.covered_tile_count = 1,
        |metadata| metadata.dropped_tile_count = 1,
    ];
    for set in tensor_fields {
        let mut metadata = token;
        set(&mut metadata);
        cases.push(case(RuleId::RES_5, of(metadata), of(token)));
    }
    cases
}
