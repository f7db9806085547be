//! FRAME_SUBMIT.

use crate::{Detail, LossTolerance, PayloadKind, RuleId, WireError, field::wire_struct};

/// `loss_tolerance_policy` of a submit that takes the session's level.
pub const INHERIT: u8 = 0xFF;

wire_struct! {
    /// One unit of work.
    pub struct FrameSubmitMetadata: 72, length PKT_1, of FrameSubmit {
        /// Width of the source in pixels.
        0 src_width: u16;
        /// Height of the source in pixels.
        2 src_height: u16;
        /// Width of a tile in pixels.
        4 tile_width: u16;
        /// Height of a tile in pixels.
        6 tile_height: u16;
        /// Tiles in this frame.
        8 tile_count: u16;
        /// Tensor sections in this frame.
        10 section_count: u16;
        /// How the frame relates to its neighbours.
        12 frame_class: u8 as FrameClass => SUB_1;
        /// What the tensors are a picture of.
        13 input_profile: u8 as InputProfile => SUB_2;
        /// How the tile ids are written.
        14 tile_index_mode: u8 as TileIndexMode => SUB_3;
        /// Reserved.
        15 reserved0: u8 [rsv];
        /// Deadline in milliseconds from receipt; 0 for none.
        16 latency_budget_ms: u16;
        /// Frames per second, times 100; 0 for not stated.
        18 target_fps_x100: u16;
        /// The frame this one retries; 0 for none.
        20 retry_of_frame: u32;
        /// First tile id of a dense range.
        24 tile_base_id: u32;
        /// Length of the camera block in the body.
        28 camera_bytes: u32;
        /// Length of the tile index in the body.
        32 tile_index_bytes: u32;
        /// Reserved.
        36 reserved1: u64 [rsv];
        /// Reserved.
        44 reserved2: u64 [rsv];
        /// Where the low-frequency objects are.
        52 submit_mode: u8 as SubmitMode => SUB_4;
        /// What the client takes instead of a complete result.
        53 budget_policy: u8 as BudgetPolicy => SUB_5;
        /// A [`crate::LossTolerance`], or [`INHERIT`].
        54 loss_tolerance_policy: u8;
        /// Reserved.
        55 reserved3: u8 [rsv];
        /// Standard slots that are filled by reference.
        56 object_ref_mask: u32 as ObjectRefMask => SUB_7;
        /// The frame whose context this one needs; 0 for none.
        60 dependency_frame_id: u32;
        /// Kinds of payload in the body.
        64 payload_kind_bitmap: u32 as PayloadKind => SUB_8;
        /// Typed payloads in the body.
        68 payload_frame_count: u16;
        /// Reserved.
        70 reserved4: u16 [rsv];
    }
    default { loss_tolerance_policy: INHERIT }
    contract submit_contract;
}

fn submit_contract(metadata: &FrameSubmitMetadata) -> Result<(), WireError> {
    let level = metadata.loss_tolerance_policy;
    if level != INHERIT && !LossTolerance::from(level).is_assigned() {
        let detail = Detail::NotAssigned { table: "LossTolerance", value: level.into() };
        return Err(FrameSubmitMetadata::refuse(RuleId::SUB_6, "loss_tolerance_policy", detail));
    }
    if metadata.payload_kind_bitmap.contains(PayloadKind::TENSOR) {
        return Ok(());
    }
    let tensor_fields = [
        ("src_width", u32::from(metadata.src_width)),
        ("src_height", metadata.src_height.into()),
        ("tile_width", metadata.tile_width.into()),
        ("tile_height", metadata.tile_height.into()),
        ("tile_count", metadata.tile_count.into()),
        ("section_count", metadata.section_count.into()),
        ("tile_base_id", metadata.tile_base_id),
        ("camera_bytes", metadata.camera_bytes),
        ("tile_index_bytes", metadata.tile_index_bytes),
        ("input_profile", metadata.input_profile.value().into()),
    ];
    match tensor_fields.into_iter().find(|(_, value)| *value != 0) {
        Some((field, _)) => Err(FrameSubmitMetadata::refuse(RuleId::SUB_9, field, no_tensor(field))),
        None => Ok(()),
    }
}

/// A tensor field that is set although the payload kinds say that there is no tensor.
pub(super) fn no_tensor(field: &str) -> Detail {
    Detail::Explained(format!("{field} must be 0 when payload_kind_bitmap has no tensor bit").into())
}
