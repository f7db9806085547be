//! Plain bodies, tile indexes, sections, the prelude, typed payloads and extension frames.

use bytes::Bytes;
use nnrp_wire::{
    BodyRegionPrelude, ExtensionFrameDescriptor, ExtensionFrameFlags, FrameSubmitMetadata, PayloadKind,
    ResultPushMetadata, RuleId, ScalePolicy, SectionFlags, TensorDType, TensorLayout, TensorSectionDesc,
    TileIndexMode, TypedPayloadDescriptor,
};

use crate::{
    Case,
    build::{
        Regions, desc, one_token, plain, result, section, strided, submit, token, two_tile_body, two_tiles,
        typed, typed_result,
    },
    case,
};

pub(crate) fn cases() -> Vec<Case> {
    [
        plain_bodies(),
        tile_indexes(),
        sections(),
        section_tables(),
        preludes(),
        typed_payloads(),
        extension_frames(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) fn tolerated() -> Vec<(RuleId, Bytes)> {
    let gaps = Regions {
        descriptors: [token(3, 1).encode(), token(5, 2).encode()].concat(),
        payloads: b"...a.bc....".to_vec(),
        ..Regions::default()
    };
    let announced = PayloadKind::TOKEN_CHUNK | PayloadKind::VIDEO_CHUNK;
    vec![
        (RuleId::TILE_6, indexed(TileIndexMode::Bitset, 3, &[0x09, 0x02, 0, 0])),
        (RuleId::TYP_6, submit(typed(PayloadKind::TOKEN_CHUNK, 2), gaps.body())),
        (RuleId::TYP_7, submit(typed(announced, 1), one_token().body())),
        (RuleId::XF_5, extended(frame(ExtensionFrameFlags::NONE, 0, 2), b"zz")),
    ]
}

fn plain_bodies() -> Vec<Case> {
    let camera = |length, body: &'static [u8]| {
        submit(FrameSubmitMetadata { camera_bytes: length, ..plain(0, 0) }, body)
    };
    let one_section = |body: Vec<u8>| submit(plain(2, 1), body);
    let good = one_section(two_tile_body(&two_tiles()));
    let mut padded = two_tile_body(&two_tiles());
    padded[7] = 1;
    let longer = [two_tile_body(&two_tiles()), vec![0]].concat();
    let index_only = |body: &'static [u8]| {
        let metadata = ResultPushMetadata {
            payload_kind_bitmap: PayloadKind::TENSOR,
            tile_count: 1,
            covered_tile_count: 1,
            tile_index_bytes: 2,
            ..ResultPushMetadata::default()
        };
        result(metadata, body)
    };
    vec![
        case(RuleId::PLAIN_1, camera(9, b"camera!!"), camera(8, b"camera!!")),
        case(RuleId::PLAIN_1, camera(u32::MAX, b"camera!!"), camera(8, b"camera!!")),
        case(RuleId::PLAIN_1, camera(5, b"camer"), camera(5, b"camer\0\0\0")),
        case(RuleId::PLAIN_2, camera(5, b"camera\0\0"), camera(5, b"camer\0\0\0")),
        case(RuleId::PLAIN_2, one_section(padded), good.clone()),
        case(RuleId::PLAIN_3, one_section(longer), good),
        case(RuleId::PLAIN_3, index_only(&[1, 0, 0, 0, 0, 0, 0, 0]), index_only(&[1, 0])),
    ]
}

/// A submit with nothing but a tile index.
fn indexed(mode: TileIndexMode, tiles: u16, block: &[u8]) -> Bytes {
    let metadata = FrameSubmitMetadata {
        tile_index_mode: mode,
        tile_count: tiles,
        tile_index_bytes: block.len().try_into().unwrap(),
        ..plain(0, 0)
    };
    submit(metadata, block.to_vec())
}

fn tile_indexes() -> Vec<Case> {
    use TileIndexMode::{Bitset, DeltaU16, DenseRange, RawU16};
    let dense = |base, tiles| {
        let metadata = FrameSubmitMetadata {
            tile_index_mode: DenseRange,
            tile_count: tiles,
            tile_base_id: base,
            ..plain(0, 0)
        };
        submit(metadata, Bytes::new())
    };
    let mut beyond = vec![0; 8193];
    beyond[8192] = 1;
    let mut last = vec![0; 8193];
    last[8191] = 0x80;
    vec![
        case(RuleId::TILE_1, indexed(DenseRange, 1, &[0, 0]), indexed(DenseRange, 1, &[])),
        case(RuleId::TILE_2, indexed(RawU16, 2, &[0, 0, 1]), indexed(RawU16, 2, &[0, 0, 1, 0])),
        case(RuleId::TILE_2, indexed(DeltaU16, 1, &[0, 0, 1, 0]), indexed(DeltaU16, 2, &[0, 0, 1, 0])),
        case(RuleId::TILE_3, indexed(Bitset, 2, &[0x09, 0x02]), indexed(Bitset, 3, &[0x09, 0x02])),
        case(RuleId::TILE_4, dense(65535, 2), dense(65535, 1)),
        case(RuleId::TILE_4, dense(u32::MAX, 1), dense(u32::MAX, 0)),
        case(
            RuleId::TILE_4,
            indexed(DeltaU16, 2, &[0xFF, 0xFF, 1, 0]),
            indexed(DeltaU16, 2, &[0xFE, 0xFF, 1, 0]),
        ),
        case(RuleId::TILE_4, indexed(Bitset, 1, &beyond), indexed(Bitset, 1, &last)),
        case(RuleId::TILE_5, indexed(DeltaU16, 2, &[4, 0, 0, 0]), indexed(DeltaU16, 2, &[0, 0, 1, 0])),
    ]
}

/// A plain submit of two tiles with this one section.
fn with(section: &[u8]) -> Bytes {
    submit(plain(2, 1), two_tile_body(section))
}

fn sections() -> Vec<Case> {
    let good = || with(&two_tiles());
    let of = |desc: TensorSectionDesc| with(&section(desc, &[], &[3, 2], b"abcde"));
    let base = desc(1, 2, 5);
    let two = |first: u16, second: u16| {
        let mut sections = section(desc(first, 2, 5), &[], &[3, 2], b"abcde");
        sections.resize(sections.len().next_multiple_of(8), 0);
        sections.extend(section(desc(second, 2, 0), &[], &[0, 0], b""));
        submit(plain(2, 2), two_tile_body(&sections))
    };
    vec![
        case(RuleId::SEC_1, with(&two_tiles()[..31]), good()),
        case(RuleId::SEC_1, with(&two_tiles()[..44]), good()),
        case(RuleId::SEC_1, of(TensorSectionDesc { payload_bytes: u32::MAX, ..base }), good()),
        case(
            RuleId::SEC_1,
            of(TensorSectionDesc { codec_table_bytes: u32::MAX, length_table_bytes: 9, ..base }),
            good(),
        ),
        case(
            RuleId::SEC_2,
            with(&section(desc(1, 1, 5), &[], &[5], b"abcde")),
            submit(
                plain(1, 1),
                [&[5, 0, 0, 0, 0, 0, 0, 0], &section(desc(1, 1, 5), &[], &[5], b"abcde")[..]].concat(),
            ),
        ),
        case(RuleId::SEC_3, two(3, 3), two(3, 4)),
        case(RuleId::SEC_3, two(3, 2), two(0, 65535)),
        case(
            RuleId::SEC_4,
            of(TensorSectionDesc { dtype_id: TensorDType::Unknown(8), ..base }),
            of(TensorSectionDesc { dtype_id: TensorDType::Uint16, ..base }),
        ),
        case(
            RuleId::SEC_5,
            of(TensorSectionDesc { layout_id: TensorLayout::Unknown(2), ..base }),
            of(TensorSectionDesc { layout_id: TensorLayout::Nchw, ..base }),
        ),
        case(
            RuleId::SEC_6,
            of(TensorSectionDesc { scale_policy: ScalePolicy::Unknown(3), ..base }),
            of(TensorSectionDesc { scale_policy: ScalePolicy::ZeroPoint, ..base }),
        ),
        case(RuleId::SEC_7, of(TensorSectionDesc { flags: SectionFlags::from_bits(4), ..base }), good()),
        case(RuleId::SEC_10, of(TensorSectionDesc { payload_stride_bytes: 3, ..base }), good()),
        case(
            RuleId::SEC_10,
            of(TensorSectionDesc { flags: SectionFlags::FIXED_STRIDE, ..base }),
            with(&strided([3, 2], b"abc\0de\0\0")),
        ),
    ]
}

fn section_tables() -> Vec<Case> {
    let mixed = |codecs: &[u8], flags| {
        let desc =
            TensorSectionDesc { codec_table_bytes: codecs.len().try_into().unwrap(), flags, ..desc(1, 2, 5) };
        with(&section(desc, codecs, &[3, 2], b"abcde"))
    };
    let lengths = |first, second| with(&section(desc(1, 2, 5), &[], &[first, second], b"abcde"));
    let slots = |payload: &[u8]| {
        let desc = TensorSectionDesc {
            flags: SectionFlags::FIXED_STRIDE,
            payload_stride_bytes: 4,
            ..desc(1, 2, payload.len().try_into().unwrap())
        };
        with(&section(desc, &[], &[3, 2], payload))
    };
    let no_tiles = |flags| {
        let desc = TensorSectionDesc { flags, ..desc(1, 0, 0) };
        submit(plain(0, 1), section(desc, &[], &[], b""))
    };
    vec![
        case(
            RuleId::SEC_8,
            mixed(&[0], SectionFlags::MIXED_CODEC),
            mixed(&[0, 1], SectionFlags::MIXED_CODEC),
        ),
        case(RuleId::SEC_8, mixed(&[], SectionFlags::MIXED_CODEC), mixed(&[], SectionFlags::NONE)),
        case(RuleId::SEC_8, mixed(&[0, 1], SectionFlags::NONE), mixed(&[0, 1], SectionFlags::MIXED_CODEC)),
        case(RuleId::SEC_8, no_tiles(SectionFlags::MIXED_CODEC), no_tiles(SectionFlags::NONE)),
        case(RuleId::SEC_9, lengths(3, 3), lengths(3, 2)),
        // 2^32 - 1 + 6 is 5 when it wraps.
        case(RuleId::SEC_9, lengths(u32::MAX, 6), lengths(5, 0)),
        case(RuleId::SEC_9, slots(b"abc\0de\0"), slots(b"abc\0de\0\0")),
        case(RuleId::SEC_11, with(&strided([5, 2], b"abcdde\0\0")), with(&strided([4, 2], b"abcdde\0\0"))),
        case(RuleId::SEC_11, with(&strided([2, 2], b"abc\0de\0\0")), with(&strided([3, 2], b"abc\0de\0\0"))),
    ]
}

fn preludes() -> Vec<Case> {
    let kinds = PayloadKind::TOKEN_CHUNK;
    let regions = one_token();
    let good = submit(typed(kinds, 1), regions.body());
    let of = |prelude| submit(typed(kinds, 1), regions.body_with(prelude));
    let prelude = regions.prelude();
    let without = Regions { payloads: b"hi".to_vec(), ..Regions::default() };
    let empty = Regions::default();
    let unaligned = Regions { references: vec![0; 8], ..one_token() };
    vec![
        case(RuleId::BODY_1, submit(typed(kinds, 0), vec![0; 31]), submit(typed(kinds, 0), vec![0; 32])),
        case(RuleId::BODY_2, of(BodyRegionPrelude { body_flags: 1, ..prelude }), good.clone()),
        case(RuleId::BODY_2, of(BodyRegionPrelude { reserved: 1, ..prelude }), good.clone()),
        case(RuleId::BODY_3, of(BodyRegionPrelude { typed_payload_frame_bytes: 3, ..prelude }), good.clone()),
        // The sum of the six is right when it wraps.
        case(
            RuleId::BODY_3,
            of(BodyRegionPrelude {
                inline_object_bytes: u32::MAX - 7,
                typed_payload_frame_bytes: 10,
                ..prelude
            }),
            good.clone(),
        ),
        case(RuleId::BODY_5, submit(typed(kinds, 1), unaligned.body()), good.clone()),
        case(RuleId::BODY_6, submit(typed(kinds, 2), regions.body()), good),
        case(RuleId::BODY_7, submit(typed(kinds, 0), without.body()), submit(typed(kinds, 0), empty.body())),
    ]
}

fn typed_payloads() -> Vec<Case> {
    let kinds = PayloadKind::TOKEN_CHUNK | PayloadKind::TENSOR;
    // A result announces a tensor without sending one; only the payloads matter here.
    let of = |descriptors: &[TypedPayloadDescriptor]| {
        let regions = Regions {
            descriptors: descriptors.iter().flat_map(TypedPayloadDescriptor::encode).collect(),
            payloads: b"abcd".to_vec(),
            ..Regions::default()
        };
        result(typed_result(kinds, descriptors.len().try_into().unwrap()), regions.body())
    };
    let kind = |bits| TypedPayloadDescriptor { payload_kind: PayloadKind::from_bits(bits), ..token(0, 4) };
    let good = || of(&[token(0, 4)]);
    vec![
        case(RuleId::TYP_1, of(&[kind(0)]), good()),
        case(RuleId::TYP_1, of(&[kind(3)]), good()),
        case(RuleId::TYP_1, of(&[kind(0x80)]), good()),
        case(RuleId::TYP_2, of(&[kind(1)]), good()),
        case(RuleId::TYP_3, of(&[TypedPayloadDescriptor { descriptor_flags: 1, ..token(0, 4) }]), good()),
        case(RuleId::TYP_3, of(&[TypedPayloadDescriptor { reserved: 1, ..token(0, 4) }]), good()),
        case(RuleId::TYP_4, of(&[token(0, 2), token(1, 2)]), of(&[token(0, 2), token(2, 2)])),
        case(RuleId::TYP_4, of(&[token(0, 5)]), good()),
        case(RuleId::TYP_4, of(&[token(u32::MAX, 5)]), of(&[token(4, 0)])),
        case(RuleId::TYP_5, of(&[kind(4)]), good()),
    ]
}

fn frame(flags: ExtensionFrameFlags, offset: u32, length: u32) -> ExtensionFrameDescriptor {
    ExtensionFrameDescriptor {
        extension_kind: 9,
        extension_flags: flags,
        payload_offset: offset,
        payload_length: length,
        ..ExtensionFrameDescriptor::default()
    }
}

/// A submit with an empty payload region and this extension frame.
fn extended(descriptor: ExtensionFrameDescriptor, payload: &[u8]) -> Bytes {
    let regions = Regions {
        extension_descriptors: descriptor.encode().to_vec(),
        extension_payloads: payload.to_vec(),
        ..Regions::default()
    };
    submit(typed(PayloadKind::TOKEN_CHUNK, 0), regions.body())
}

fn extension_frames() -> Vec<Case> {
    let none = ExtensionFrameFlags::NONE;
    let good = || extended(frame(none, 0, 2), b"zz");
    vec![
        case(RuleId::XF_1, extended(frame(ExtensionFrameFlags::from_bits(2), 0, 2), b"zz"), good()),
        case(
            RuleId::XF_2,
            extended(ExtensionFrameDescriptor { reserved0: 1, ..frame(none, 0, 2) }, b"zz"),
            good(),
        ),
        case(RuleId::XF_3, extended(frame(none, 1, 2), b"zz"), extended(frame(none, 1, 1), b"zz")),
        case(RuleId::XF_3, extended(frame(none, u32::MAX, 2), b"zz"), good()),
        case(RuleId::XF_4, extended(frame(ExtensionFrameFlags::CRITICAL, 0, 2), b"zz"), good()),
    ]
}
