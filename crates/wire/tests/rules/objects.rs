//! Inline objects and references in composed bodies.

use bytes::Bytes;
use nnrp_wire::{
    CacheObjectKind as Kind, FrameSubmitMetadata, InlineObjectBlockHeader, ObjectRefMask as Mask,
    ObjectReferenceBlock, PayloadKind, ResultPushMetadata, RuleId, SubmitMode,
};

use crate::{
    Case,
    build::{
        Regions, object, one_token, patched, plain, reference, result, submit, two_tiles, typed, typed_result,
    },
    case,
};

pub(crate) fn cases() -> Vec<Case> {
    [blocks(), modes(), submit_contents(), result_contents()].into_iter().flatten().collect()
}

pub(crate) fn tolerated() -> Vec<(RuleId, Bytes)> {
    let camera = object(Kind::CameraBlock, b"cam");
    let index = object(Kind::TileIndexBlock, &[5, 0, 6, 0]);
    let table = object(Kind::TensorSectionTable, &two_tiles());
    let metadata = tensor(SubmitMode::Mixed, Mask::PAYLOAD_LAYOUT_TEMPLATE, 2, 1, 3);
    let out_of_order = Regions {
        objects: [&table[..], &index, &camera].concat(),
        references: reference(Kind::PayloadLayoutTemplate, 1),
        ..Regions::default()
    };
    let only_references = Regions { references: reference(Kind::CameraBlock, 1), ..Regions::default() };
    let others = Regions {
        objects: [object(Kind::ToolSchema, b"a"), object(Kind::PromptSegment, b"b")].concat(),
        ..one_token()
    };
    let result_objects =
        Regions { objects: [object(Kind::ToolSchema, b"a"), index, table].concat(), ..one_token() };
    vec![
        (RuleId::OBJ_15, submit(metadata, out_of_order.body())),
        (
            RuleId::OBJ_16,
            submit(tensor(SubmitMode::Mixed, Mask::CAMERA_BLOCK, 0, 0, 0), only_references.body()),
        ),
        (RuleId::OBJ_17, submit(typed(PayloadKind::TOKEN_CHUNK, 1), others.body())),
        (RuleId::OBJ_31, result(tensor_result(2, 1, 4), result_objects.body())),
    ]
}

/// Metadata of a composed tensor submit.
fn tensor(mode: SubmitMode, mask: Mask, tiles: u16, sections: u16, camera_bytes: u32) -> FrameSubmitMetadata {
    FrameSubmitMetadata { submit_mode: mode, object_ref_mask: mask, camera_bytes, ..plain(tiles, sections) }
}

/// Metadata of a result with a tensor and one token chunk.
fn tensor_result(tiles: u16, sections: u16, tile_index_bytes: u32) -> ResultPushMetadata {
    ResultPushMetadata {
        tile_count: tiles,
        covered_tile_count: tiles,
        section_count: sections,
        tile_index_bytes,
        ..typed_result(PayloadKind::TENSOR | PayloadKind::TOKEN_CHUNK, 1)
    }
}

fn blocks() -> Vec<Case> {
    let of = |objects: &[u8]| {
        submit(
            typed(PayloadKind::TOKEN_CHUNK, 1),
            Regions { objects: objects.to_vec(), ..one_token() }.body(),
        )
    };
    let schema = Bytes::from(object(Kind::ToolSchema, b"abc"));
    let good = || of(&schema);
    let header = InlineObjectBlockHeader {
        object_kind: Kind::ToolSchema,
        object_bytes: 3,
        ..InlineObjectBlockHeader::default()
    };
    let headed = |header: InlineObjectBlockHeader| of(&patched(&schema, 0, &header.encode()));
    let referring = |block: ObjectReferenceBlock| {
        let regions = Regions { references: block.encode().to_vec(), ..one_token() };
        result(typed_result(PayloadKind::TOKEN_CHUNK, 1), regions.body())
    };
    let block = ObjectReferenceBlock { object_kind: Kind::ToolSchema, ..ObjectReferenceBlock::default() };
    vec![
        case(RuleId::OBJ_1, of(&schema[..8]), good()),
        case(RuleId::OBJ_1, headed(InlineObjectBlockHeader { object_bytes: 9, ..header }), good()),
        case(RuleId::OBJ_1, headed(InlineObjectBlockHeader { object_bytes: u32::MAX, ..header }), good()),
        case(RuleId::OBJ_1, of(&patched(&schema, 23, &[1])), good()),
        case(
            RuleId::OBJ_2,
            headed(InlineObjectBlockHeader { object_kind: Kind::Unknown(10), ..header }),
            good(),
        ),
        case(
            RuleId::OBJ_2,
            referring(ObjectReferenceBlock { object_kind: Kind::Unknown(0), ..block }),
            referring(block),
        ),
        case(RuleId::OBJ_3, headed(InlineObjectBlockHeader { object_flags: 1, ..header }), good()),
        case(RuleId::OBJ_3, headed(InlineObjectBlockHeader { reserved0: 1, ..header }), good()),
        case(RuleId::OBJ_3, headed(InlineObjectBlockHeader { reserved1: 1, ..header }), good()),
        case(RuleId::OBJ_3, referring(ObjectReferenceBlock { ref_flags: 1, ..block }), referring(block)),
    ]
}

fn modes() -> Vec<Case> {
    let camera_reference = Regions { references: reference(Kind::CameraBlock, 1), ..Regions::default() };
    let with_camera =
        |regions: &Regions| Regions { objects: object(Kind::CameraBlock, b"cam"), ..regions.clone() };
    let of = |metadata, regions: &Regions| submit(metadata, regions.body());
    let none = Regions::default();
    let by_reference = tensor(SubmitMode::Reference, Mask::CAMERA_BLOCK, 0, 0, 0);
    let good = || of(by_reference, &camera_reference);
    let index_reference = Regions { references: reference(Kind::TileIndexBlock, 1), ..Regions::default() };
    let both = Mask::CAMERA_BLOCK | Mask::TILE_INDEX_BLOCK;
    let two = |first, second| {
        let references = [reference(first, 1), reference(second, 2)].concat();
        of(tensor(SubmitMode::Reference, both, 0, 0, 0), &Regions { references, ..Regions::default() })
    };
    let index = object(Kind::TileIndexBlock, &[]);
    let twice = Regions { objects: [&index[..], &index].concat(), ..camera_reference.clone() };
    let once = Regions { objects: index, ..camera_reference.clone() };
    let mixed = tensor(SubmitMode::Mixed, Mask::CAMERA_BLOCK, 0, 0, 0);
    let inline_mode = FrameSubmitMetadata { submit_mode: SubmitMode::Inline, ..by_reference };
    vec![
        case(RuleId::OBJ_10, of(inline_mode, &camera_reference), good()),
        case(
            RuleId::OBJ_10,
            of(typed(PayloadKind::TOKEN_CHUNK, 0), &camera_reference),
            of(typed(PayloadKind::TOKEN_CHUNK, 0), &none),
        ),
        case(RuleId::OBJ_11, of(tensor(SubmitMode::Reference, Mask::NONE, 0, 0, 0), &none), good()),
        case(RuleId::OBJ_11, of(tensor(SubmitMode::Mixed, Mask::NONE, 0, 0, 0), &none), good()),
        case(
            RuleId::OBJ_12,
            of(
                tensor(SubmitMode::Reference, Mask::TILE_INDEX_BLOCK, 0, 0, 3),
                &with_camera(&index_reference),
            ),
            of(tensor(SubmitMode::Mixed, Mask::TILE_INDEX_BLOCK, 0, 0, 3), &with_camera(&index_reference)),
        ),
        case(RuleId::OBJ_13, of(by_reference, &none), good()),
        case(RuleId::OBJ_13, of(by_reference, &index_reference), good()),
        case(
            RuleId::OBJ_13,
            two(Kind::TileIndexBlock, Kind::CameraBlock),
            two(Kind::CameraBlock, Kind::TileIndexBlock),
        ),
        case(RuleId::OBJ_14, of(mixed, &with_camera(&camera_reference)), of(mixed, &camera_reference)),
        case(RuleId::OBJ_14, of(mixed, &twice), of(mixed, &once)),
    ]
}

/// A mixed submit whose layout template is referenced, with these objects inline.
fn mixed(tiles: u16, sections: u16, camera_bytes: u32, objects: &[Vec<u8>]) -> Bytes {
    let metadata = tensor(SubmitMode::Mixed, Mask::PAYLOAD_LAYOUT_TEMPLATE, tiles, sections, camera_bytes);
    mixed_with(metadata, objects)
}

fn mixed_with(metadata: FrameSubmitMetadata, objects: &[Vec<u8>]) -> Bytes {
    let regions = Regions {
        objects: objects.concat(),
        references: reference(Kind::PayloadLayoutTemplate, 1),
        ..Regions::default()
    };
    submit(metadata, regions.body())
}

fn submit_contents() -> Vec<Case> {
    let camera = object(Kind::CameraBlock, b"cam");
    let index = object(Kind::TileIndexBlock, &[5, 0, 6, 0]);
    let table = object(Kind::TensorSectionTable, &two_tiles());
    let longer = object(Kind::TensorSectionTable, &[&two_tiles()[..], &[0]].concat());
    let good = || mixed(2, 1, 0, &[index.clone(), table.clone()]);
    let masked_index = |tile_index_bytes| {
        let metadata = FrameSubmitMetadata {
            tile_index_bytes,
            ..tensor(SubmitMode::Reference, Mask::TILE_INDEX_BLOCK, 2, 0, 0)
        };
        let references = reference(Kind::TileIndexBlock, 1);
        submit(metadata, Regions { references, ..Regions::default() }.body())
    };
    let index_bytes = |tile_index_bytes| {
        let metadata = FrameSubmitMetadata {
            tile_index_bytes,
            ..tensor(SubmitMode::Mixed, Mask::PAYLOAD_LAYOUT_TEMPLATE, 2, 0, 0)
        };
        mixed_with(metadata, std::slice::from_ref(&index))
    };
    let without_tensor = |objects: &[Vec<u8>]| {
        let regions = Regions { objects: objects.concat(), ..one_token() };
        submit(typed(PayloadKind::TOKEN_CHUNK, 1), regions.body())
    };
    let tensor_reference = |kinds| {
        let metadata = FrameSubmitMetadata {
            submit_mode: SubmitMode::Reference,
            object_ref_mask: Mask::CAMERA_BLOCK,
            ..typed(kinds, 1)
        };
        submit(metadata, Regions { references: reference(Kind::CameraBlock, 1), ..one_token() }.body())
    };
    vec![
        case(
            RuleId::OBJ_18,
            mixed(0, 0, 4, std::slice::from_ref(&camera)),
            mixed(0, 0, 3, std::slice::from_ref(&camera)),
        ),
        case(RuleId::OBJ_18, mixed(0, 0, 1, &[]), mixed(0, 0, 0, &[])),
        case(RuleId::OBJ_19, index_bytes(5), index_bytes(4)),
        case(RuleId::OBJ_20, mixed_with(no_index_bytes(2, 0), &[]), mixed_with(no_index_bytes(0, 0), &[])),
        case(RuleId::OBJ_21, masked_index(4), masked_index(0)),
        case(RuleId::OBJ_22, mixed(2, 1, 0, &[index.clone(), longer]), good()),
        case(RuleId::SEC_1, mixed(2, 2, 0, &[index.clone(), table.clone()]), good()),
        case(RuleId::OBJ_23, mixed(2, 1, 0, std::slice::from_ref(&index)), good()),
        case(RuleId::OBJ_26, without_tensor(&[object(Kind::TileIndexBlock, &[])]), without_tensor(&[])),
        case(
            RuleId::OBJ_26,
            tensor_reference(PayloadKind::TOKEN_CHUNK),
            tensor_reference(PayloadKind::TOKEN_CHUNK | PayloadKind::TENSOR),
        ),
    ]
}

fn no_index_bytes(tiles: u16, sections: u16) -> FrameSubmitMetadata {
    let mixed = tensor(SubmitMode::Mixed, Mask::PAYLOAD_LAYOUT_TEMPLATE, tiles, sections, 0);
    FrameSubmitMetadata { tile_index_bytes: 0, ..mixed }
}

fn result_contents() -> Vec<Case> {
    let index = object(Kind::TileIndexBlock, &[5, 0, 6, 0]);
    let table = object(Kind::TensorSectionTable, &two_tiles());
    let of = |metadata, objects: &[&[u8]], references: &[Vec<u8>]| {
        let regions = Regions { objects: objects.concat(), references: references.concat(), ..one_token() };
        result(metadata, regions.body())
    };
    let full = tensor_result(2, 1, 4);
    let good = || of(full, &[&index, &table], &[]);
    let tokens = typed_result(PayloadKind::TOKEN_CHUNK, 1);
    let schemas = |first, second| {
        of(tokens, &[], &[reference(Kind::ToolSchema, first), reference(Kind::ToolSchema, second)])
    };
    let index_reference = || reference(Kind::TileIndexBlock, 1);
    vec![
        case(RuleId::OBJ_30, schemas(2, 1), schemas(1, 2)),
        case(RuleId::OBJ_30, schemas(1, 1), schemas(0, u32::MAX)),
        case(RuleId::OBJ_32, of(full, &[&index, &index, &table], &[]), good()),
        case(RuleId::OBJ_32, of(full, &[&index, &table], &[index_reference()]), good()),
        case(
            RuleId::OBJ_32,
            of(tensor_result(2, 0, 0), &[], &[index_reference(), reference(Kind::TileIndexBlock, 2)]),
            of(tensor_result(2, 0, 0), &[], &[index_reference()]),
        ),
        case(RuleId::OBJ_33, of(tensor_result(2, 1, 6), &[&index, &table], &[]), good()),
        case(RuleId::OBJ_34, of(tensor_result(2, 0, 0), &[], &[]), of(tensor_result(0, 0, 0), &[], &[])),
        case(
            RuleId::OBJ_35,
            of(tensor_result(2, 0, 4), &[], &[index_reference()]),
            of(tensor_result(2, 0, 0), &[], &[index_reference()]),
        ),
        case(RuleId::OBJ_36, of(full, &[&index], &[]), good()),
        case(RuleId::OBJ_36, of(tensor_result(2, 0, 4), &[&index, &table], &[]), good()),
    ]
}
