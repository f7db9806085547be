//! What a client may change while the session runs (wire reference 16).

use std::time::Instant;

use nnrp_wire::{
    DegradePolicy, ServerHelloAckMetadata, SessionPatch, SessionPatchAck, SessionPatchAckMetadata,
    SessionPatchAckStatus, SessionPatchField, SessionPatchRejectReason, TensorProfilePatchAckBlock,
};

use crate::limits::{MAX_PATCHES_PER_SECOND, RATE_LIMIT_RETRY};
use crate::machine::RateWindow;

/// The tensor profile, the only one this generation has.
const TENSOR_PROFILE: u16 = 0;

/// The values in force, patched or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameters {
    /// Wanted frames per second, times 100.
    pub target_cadence_x100: u32,
    /// Larger means better.
    pub quality_tier: u16,
    /// What to do when there is too much to do.
    pub degrade_policy: u16,
    /// Bit n is set when lane n is in use.
    pub active_lane_mask: u64,
    /// Bit n is set when codec n may be used.
    pub codec_bitmap: u32,
    /// Bit n is set when compression n may be used.
    pub compression_bitmap: u32,
    /// Bounds of the source in pixels: least and greatest width and height; 0 = no bound.
    pub size_clamp: Option<[u32; 4]>,
}

/// The parameters of a session and the rate at which they may change.
#[derive(Debug)]
pub(crate) struct Patches {
    pub(crate) parameters: Parameters,
    accepted: ServerHelloAckMetadata,
    rate: RateWindow,
}

impl Patches {
    pub(crate) fn new(accepted: ServerHelloAckMetadata) -> Self {
        let lanes = u32::from(accepted.max_lane_count).min(u64::BITS);
        let parameters = Parameters {
            target_cadence_x100: u32::from(accepted.target_cadence_x100),
            quality_tier: accepted.quality_tier,
            degrade_policy: accepted.degrade_policy.into(),
            active_lane_mask: u64::MAX.checked_shr(u64::BITS - lanes).unwrap_or(0),
            codec_bitmap: accepted.accepted_codec_bitmap,
            compression_bitmap: accepted.accepted_compression_bitmap,
            size_clamp: None,
        };
        Patches { parameters, accepted, rate: RateWindow::default() }
    }

    /// Applies what can be applied and says which fields those were.
    pub(crate) fn apply(&mut self, now: Instant, patch: &SessionPatch) -> SessionPatchAck {
        let asked = patch.metadata.patch_mask;
        let mut applied = SessionPatchField::NONE;
        let mut reason = SessionPatchRejectReason::None;
        let mut retry_after_ms = 0;
        if !self.rate.allow(now, MAX_PATCHES_PER_SECOND) {
            reason = SessionPatchRejectReason::RateLimited;
            retry_after_ms = u32::try_from(RATE_LIMIT_RETRY.as_millis()).unwrap_or(u32::MAX);
        } else if patch.metadata.profile_id != TENSOR_PROFILE {
            reason = SessionPatchRejectReason::UnsupportedField;
        } else {
            for field in FIELDS {
                if asked.contains(*field) {
                    match self.apply_field(*field, patch) {
                        Ok(()) => applied |= *field,
                        Err(why) => reason = why,
                    }
                }
            }
            if asked.unknown_bits() != 0 {
                reason = SessionPatchRejectReason::UnsupportedField;
            }
        }
        let rejected = SessionPatchField::from_bits(asked.bits() & !applied.bits());
        let ack_status = match (applied.is_empty(), rejected.is_empty()) {
            (_, true) => SessionPatchAckStatus::Accepted,
            (true, false) => SessionPatchAckStatus::Rejected,
            (false, false) => SessionPatchAckStatus::PartiallyApplied,
        };
        self.acknowledge(SessionPatchAckMetadata {
            ack_status,
            reject_reason: reason,
            applied_patch_mask: applied,
            rejected_patch_mask: rejected,
            retry_after_ms,
            ..SessionPatchAckMetadata::default()
        })
    }

    fn acknowledge(&self, verdict: SessionPatchAckMetadata) -> SessionPatchAck {
        let now = &self.parameters;
        let block = now.size_clamp.map(|[min_width, min_height, max_width, max_height]| {
            TensorProfilePatchAckBlock { min_width, min_height, max_width, max_height }
        });
        let metadata = SessionPatchAckMetadata {
            effective_profile_id: TENSOR_PROFILE,
            effective_target_cadence_x100: now.target_cadence_x100,
            effective_quality_tier: now.quality_tier,
            effective_degrade_policy: now.degrade_policy.into(),
            effective_lane_mask: now.active_lane_mask,
            effective_codec_bitmap: now.codec_bitmap,
            effective_compression_bitmap: now.compression_bitmap,
            ..verdict
        };
        SessionPatchAck { metadata, block }
    }

    fn apply_field(
        &mut self,
        field: SessionPatchField,
        patch: &SessionPatch,
    ) -> Result<(), SessionPatchRejectReason> {
        use SessionPatchRejectReason as Reason;
        let asked = &patch.metadata;
        let now = &mut self.parameters;
        match field {
            // The handshake's field is 16 bits wide (R-PATCH-2).
            SessionPatchField::TARGET_CADENCE => {
                if !(1..=u32::from(u16::MAX)).contains(&asked.target_cadence_x100) {
                    return Err(Reason::InvalidRange);
                }
                now.target_cadence_x100 = asked.target_cadence_x100;
            }
            SessionPatchField::QUALITY_TIER => now.quality_tier = asked.quality_tier,
            SessionPatchField::DEGRADE_POLICY => {
                if !DegradePolicy::from(u16::from(asked.degrade_policy)).is_assigned() {
                    return Err(Reason::UnsupportedStrategy);
                }
                now.degrade_policy = asked.degrade_policy.into();
            }
            // R-PATCH-3.
            SessionPatchField::ACTIVE_LANE_MASK => {
                let lanes = u32::from(self.accepted.max_lane_count).min(u64::BITS);
                let beyond = u64::MAX.checked_shl(lanes).unwrap_or(0);
                if asked.active_lane_mask == 0 || asked.active_lane_mask & beyond != 0 {
                    return Err(Reason::InvalidLaneMask);
                }
                now.active_lane_mask = asked.active_lane_mask;
            }
            SessionPatchField::PREFERRED_CODEC => {
                now.codec_bitmap =
                    supported(asked.preferred_codec_bitmap, self.accepted.accepted_codec_bitmap)?;
            }
            SessionPatchField::PREFERRED_COMPRESSION => {
                now.compression_bitmap =
                    supported(asked.preferred_compression_bitmap, self.accepted.accepted_compression_bitmap)?;
            }
            // R-PATCH-7, R-PATCH-9.
            SessionPatchField::PROFILE_PATCH => {
                let Some(clamp) = &patch.block else { return Err(Reason::InvalidRange) };
                let inverted = |least: u32, greatest: u32| greatest != 0 && least > greatest;
                if inverted(clamp.min_width, clamp.max_width) || inverted(clamp.min_height, clamp.max_height)
                {
                    return Err(Reason::InvalidRange);
                }
                now.size_clamp = Some([clamp.min_width, clamp.min_height, clamp.max_width, clamp.max_height]);
            }
            _ => return Err(Reason::UnsupportedField),
        }
        Ok(())
    }
}

/// R-PATCH-4: at least one of the wanted bits has to be among the agreed ones.
fn supported(wanted: u32, agreed: u32) -> Result<u32, SessionPatchRejectReason> {
    match wanted & agreed {
        0 => Err(SessionPatchRejectReason::UnsupportedStrategy),
        common => Ok(common),
    }
}

const FIELDS: &[SessionPatchField] = &[
    SessionPatchField::TARGET_CADENCE,
    SessionPatchField::QUALITY_TIER,
    SessionPatchField::DEGRADE_POLICY,
    SessionPatchField::ACTIVE_LANE_MASK,
    SessionPatchField::PREFERRED_CODEC,
    SessionPatchField::PREFERRED_COMPRESSION,
    SessionPatchField::PROFILE_PATCH,
];
