//! Fixed blocks inside the bodies of FRAME_SUBMIT and RESULT_PUSH.

use crate::{Detail, PayloadKind, RuleId, WireError, field::wire_struct};

wire_struct! {
    /// The lengths of the six regions of a composed body.
    pub struct BodyRegionPrelude: 32, length BODY_1 {
        /// Inline objects.
        0 inline_object_bytes: u32;
        /// Object references.
        4 object_reference_bytes: u32;
        /// Descriptors of typed payloads.
        8 typed_payload_descriptor_bytes: u32;
        /// Bytes of typed payloads.
        12 typed_payload_frame_bytes: u32;
        /// Descriptors of extension frames.
        16 extension_descriptor_bytes: u32;
        /// Bytes of extension frames.
        20 extension_payload_bytes: u32;
        /// No flag is assigned.
        24 body_flags: u32 [mbz] => BODY_2;
        /// Reserved.
        28 reserved: u32 [mbz] => BODY_2;
    }
    contract prelude_contract;
}

fn prelude_contract(prelude: &BodyRegionPrelude) -> Result<(), WireError> {
    let block_regions = [
        ("object_reference_bytes", prelude.object_reference_bytes, ObjectReferenceBlock::LEN),
        (
            "typed_payload_descriptor_bytes",
            prelude.typed_payload_descriptor_bytes,
            TypedPayloadDescriptor::LEN,
        ),
        ("extension_descriptor_bytes", prelude.extension_descriptor_bytes, ExtensionFrameDescriptor::LEN),
    ];
    for (field, length, block) in block_regions {
        if !(length as usize).is_multiple_of(block) {
            let text = format!("{field} must be a multiple of {block}, got {length}");
            return Err(BodyRegionPrelude::refuse(RuleId::BODY_5, field, Detail::Explained(text.into())));
        }
    }
    Ok(())
}

wire_struct! {
    /// Stands before an inline object. Zeros up to a multiple of 8 follow the object.
    pub struct InlineObjectBlockHeader: 16, length OBJ_1 {
        /// What the object is.
        0 object_kind: u16 as CacheObjectKind => OBJ_2;
        /// No flag is assigned.
        2 object_flags: u16 [mbz] => OBJ_3;
        /// 0 unless the application sets it.
        4 profile_id: u16;
        /// Reserved.
        6 reserved0: u16 [mbz] => OBJ_3;
        /// Length of the object without padding; may be 0.
        8 object_bytes: u32;
        /// Reserved.
        12 reserved1: u32 [mbz] => OBJ_3;
    }
}

wire_struct! {
    /// Names an object in the receiver's cache.
    pub struct ObjectReferenceBlock: 16, length BODY_5 {
        /// What the object is.
        0 object_kind: u16 as CacheObjectKind => OBJ_2;
        /// No flag is assigned.
        2 ref_flags: u16 [mbz] => OBJ_3;
        /// Namespace of the key.
        4 cache_namespace: u32;
        /// Upper half of the key.
        8 cache_key_hi: u32;
        /// Lower half of the key.
        12 cache_key_lo: u32;
    }
}

wire_struct! {
    /// Describes one typed payload.
    pub struct TypedPayloadDescriptor: 16, length BODY_5 {
        /// Exactly one bit, not the tensor's.
        0 payload_kind: u8 as PayloadKind;
        /// No flag is assigned.
        1 descriptor_flags: u8 [mbz] => TYP_3;
        /// 0 for no profile.
        2 profile_id: u16;
        /// First byte, from the start of the payload region.
        4 payload_offset: u32;
        /// Length; may be 0.
        8 payload_length: u32;
        /// Reserved.
        12 reserved: u32 [mbz] => TYP_3;
    }
    contract typed_contract;
}

fn typed_contract(descriptor: &TypedPayloadDescriptor) -> Result<(), WireError> {
    check_typed_kind(descriptor.payload_kind)
}

/// Checks that `kind` may stand in a typed payload (R-TYP-1, R-TYP-2).
pub(crate) fn check_typed_kind(kind: PayloadKind) -> Result<(), WireError> {
    if !kind.bits().is_power_of_two() || kind.unknown_bits() != 0 {
        let text = format!("payload_kind must contain exactly one assigned bit, got {:#04x}", kind.bits());
        return Err(TypedPayloadDescriptor::refuse(
            RuleId::TYP_1,
            "payload_kind",
            Detail::Explained(text.into()),
        ));
    }
    if kind == PayloadKind::TENSOR {
        let detail =
            Detail::Because("tensor payloads must be encoded as tensor sections, not as typed payloads");
        return Err(TypedPayloadDescriptor::refuse(RuleId::TYP_2, "payload_kind", detail));
    }
    Ok(())
}

wire_struct! {
    /// Describes one extension frame.
    pub struct ExtensionFrameDescriptor: 16, length BODY_5 {
        /// No kind is assigned yet.
        0 extension_kind: u16;
        /// Whether the frame may be skipped.
        2 extension_flags: u16 as ExtensionFrameFlags => XF_1;
        /// 0 for no profile.
        4 profile_id: u16;
        /// Reserved.
        6 reserved0: u16 [mbz] => XF_2;
        /// First byte, from the start of the extension payload region.
        8 payload_offset: u32;
        /// Length; may be 0.
        12 payload_length: u32;
    }
}

wire_struct! {
    /// Describes one tensor section; codec table, length table and payload follow it without padding.
    pub struct TensorSectionDesc: 32, length SEC_1 {
        /// What the section means to the application.
        0 role_id: u16;
        /// Codec of every tile unless there is a codec table.
        2 codec_id: u8;
        /// Number format.
        3 dtype_id: u8 as TensorDType => SEC_4;
        /// Order of axes.
        4 layout_id: u8 as TensorLayout => SEC_5;
        /// How integers become real numbers.
        5 scale_policy: u8 as ScalePolicy => SEC_6;
        /// How the tiles are stored.
        6 flags: u16 as SectionFlags => SEC_7;
        /// Elements of a tile; 0 for not stated. Never compared with lengths.
        8 element_count_per_tile: u32;
        /// 0, or one byte per tile.
        12 codec_table_bytes: u32;
        /// Four bytes per tile.
        16 length_table_bytes: u32;
        /// Length of the payload.
        20 payload_bytes: u32;
        /// Size of a slot with fixed stride, else 0.
        24 payload_stride_bytes: u32;
        /// Reserved.
        28 reserved: u32 [rsv];
    }
}
