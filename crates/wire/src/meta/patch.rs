//! SESSION_PATCH and SESSION_PATCH_ACK.

use crate::{Detail, RuleId, SessionPatchField, WireError, field::wire_struct};

/// Sizes a profile patch block may have.
fn block_length(length: u32) -> Option<Detail> {
    let fits = length == 0 || length as usize == TensorProfilePatchBlock::LEN;
    (!fits).then(|| Detail::Explained(format!("profile patch bytes must be 0 or 16, got {length}").into()))
}

wire_struct! {
    /// A change of a running session.
    pub struct SessionPatchMetadata: 36, length PKT_1, of SessionPatch {
        /// Profile the patch is for; 0 for the active one.
        0 profile_id: u16;
        /// Reserved.
        2 reserved0: u16 [rsv];
        /// The fields that are meant; all others are ignored. Unknown bits are answered, not refused (R-PATCH-1).
        4 patch_mask: u32 as SessionPatchField;
        /// Frames per second, times 100.
        8 target_cadence_x100: u32;
        /// Quality, larger is better.
        12 quality_tier: u16;
        /// What to give up first.
        14 degrade_policy: u16 as DegradePolicy;
        /// Bit n stands for lane n.
        16 active_lane_mask: u64;
        /// Codecs, as in the handshake.
        24 preferred_codec_bitmap: u32;
        /// Compressions, as in the handshake.
        28 preferred_compression_bitmap: u32;
        /// Length of the body: 0 or 16.
        32 profile_patch_bytes: u32;
    }
    contract patch_contract;
}

fn patch_contract(metadata: &SessionPatchMetadata) -> Result<(), WireError> {
    match block_length(metadata.profile_patch_bytes) {
        Some(detail) => Err(SessionPatchMetadata::refuse(RuleId::PATCH_5, "profile_patch_bytes", detail)),
        None => Ok(()),
    }
}

wire_struct! {
    /// What is in force after a patch.
    pub struct SessionPatchAckMetadata: 48, length PKT_1, of SessionPatchAck {
        /// How much of the patch was applied.
        0 ack_status: u16 as SessionPatchAckStatus => PACK_1;
        /// Why not all of it.
        2 reject_reason: u16 as SessionPatchRejectReason => PACK_1;
        /// Fields that are in force.
        4 applied_patch_mask: u32 as SessionPatchField;
        /// Fields that were refused.
        8 rejected_patch_mask: u32 as SessionPatchField;
        /// When to try again, in milliseconds; 0 for no advice.
        12 retry_after_ms: u32;
        /// The profile in force.
        16 effective_profile_id: u16;
        /// Reserved.
        18 reserved0: u16 [rsv];
        /// Frames per second in force, times 100.
        20 effective_target_cadence_x100: u32;
        /// Quality in force.
        24 effective_quality_tier: u16;
        /// Policy in force.
        26 effective_degrade_policy: u16 as DegradePolicy;
        /// Lanes in force.
        28 effective_lane_mask: u64;
        /// Codecs in force.
        36 effective_codec_bitmap: u32;
        /// Compressions in force.
        40 effective_compression_bitmap: u32;
        /// Length of the body: 0 or 16.
        44 profile_patch_ack_bytes: u32;
    }
    contract patch_ack_contract;
}

fn patch_ack_contract(metadata: &SessionPatchAckMetadata) -> Result<(), WireError> {
    match block_length(metadata.profile_patch_ack_bytes) {
        Some(detail) => {
            Err(SessionPatchAckMetadata::refuse(RuleId::PACK_3, "profile_patch_ack_bytes", detail))
        }
        None => Ok(()),
    }
}

impl SessionPatchAckMetadata {
    /// The fields that were applied. One that is said to be both counts as refused (R-PACK-2).
    pub fn applied(&self) -> SessionPatchField {
        SessionPatchField::from_bits(self.applied_patch_mask.bits() & !self.rejected_patch_mask.bits())
    }
}

wire_struct! {
    /// A clamp on the size of tensors, in pixels, as it is asked for.
    pub struct TensorProfilePatchBlock: 16, length PATCH_5 {
        /// Smallest width.
        0 min_width: u32;
        /// Smallest height.
        4 min_height: u32;
        /// Largest width; 0 for no limit.
        8 max_width: u32;
        /// Largest height; 0 for no limit.
        12 max_height: u32;
    }
}

wire_struct! {
    /// The clamp on the size of tensors that is in force.
    pub struct TensorProfilePatchAckBlock: 16, length PACK_3 {
        /// Smallest width.
        0 min_width: u32;
        /// Smallest height.
        4 min_height: u32;
        /// Largest width; 0 for no limit.
        8 max_width: u32;
        /// Largest height; 0 for no limit.
        12 max_height: u32;
    }
}
