//! RESULT_PUSH.

use crate::{
    Detail, PayloadKind, ResultClass, ResultFlags, RuleId, TileIndexMode, WireError, field::wire_struct,
};

wire_struct! {
    /// A result, or a part of one.
    pub struct ResultPushMetadata: 64, length PKT_1, of ResultPush {
        /// 0 for success; other values belong to the application.
        0 status_code: u16;
        /// Properties of the result.
        2 result_flags: u16 as ResultFlags => RES_1;
        /// Tensor sections in this result.
        4 section_count: u16;
        /// Tiles described by this result.
        6 tile_count: u16;
        /// The profile the server used.
        8 active_profile_id: u16;
        /// Reserved.
        10 reserved0: u16 [rsv];
        /// Milliseconds computing.
        12 inference_ms: u16;
        /// Milliseconds waiting in the queue.
        14 queue_ms: u16;
        /// Milliseconds from receipt to sending.
        16 server_total_ms: u16;
        /// Reserved.
        18 reserved1: u16 [rsv];
        /// First tile id of a dense range.
        20 tile_base_id: u32;
        /// Length of the tile index; 0 means a dense range, anything else raw u16.
        24 tile_index_bytes: u32;
        /// Reserved.
        28 reserved2: u64 [rsv];
        /// Reserved.
        36 reserved3: u64 [rsv];
        /// How complete the result is.
        44 result_class: u8 as ResultClass => RES_2;
        /// What the server made use of.
        45 applied_budget_policy: u8 as BudgetPolicy => RES_3;
        /// Reserved.
        46 reserved4: u16 [rsv];
        /// The frame the content came from; 0 for none.
        48 reused_frame_id: u32;
        /// Tiles with a result.
        52 covered_tile_count: u16;
        /// Tiles left out.
        54 dropped_tile_count: u16;
        /// Kinds of payload in the body.
        56 payload_kind_bitmap: u32 as PayloadKind => RES_4;
        /// Typed payloads in the body.
        60 payload_frame_count: u16;
        /// Reserved.
        62 reserved5: u16 [rsv];
    }
    contract result_contract;
}

impl ResultPushMetadata {
    /// How the tile ids are written. The wire has no field for it: the length of the index tells.
    pub fn tile_index_mode(&self) -> TileIndexMode {
        if self.tile_index_bytes == 0 { TileIndexMode::DenseRange } else { TileIndexMode::RawU16 }
    }

    /// Checks that the tile counts agree with each other and with the class (R-RES-6, R-RES-7).
    ///
    /// # Errors
    /// When they do not.
    pub fn check_coverage(&self) -> Result<(), WireError> {
        let described = u32::from(self.covered_tile_count) + u32::from(self.dropped_tile_count);
        if described != u32::from(self.tile_count) {
            let text = format!(
                "covered_tile_count {} and dropped_tile_count {} do not add up to tile_count {}",
                self.covered_tile_count, self.dropped_tile_count, self.tile_count
            );
            return Err(Self::refuse(RuleId::RES_6, "covered_tile_count", Detail::Explained(text.into())));
        }
        let partial =
            self.result_class == ResultClass::Partial || self.result_flags.contains(ResultFlags::PARTIAL);
        if partial && self.dropped_tile_count == 0 {
            let detail = Detail::Because(
                "partial RESULT_PUSH requires dropped_tile_count > 0: \
                 list the tiles still to come with empty payloads, and count them",
            );
            return Err(Self::refuse(RuleId::RES_7, "dropped_tile_count", detail));
        }
        Ok(())
    }
}

fn result_contract(metadata: &ResultPushMetadata) -> Result<(), WireError> {
    if metadata.payload_kind_bitmap.contains(PayloadKind::TENSOR) {
        return metadata.check_coverage();
    }
    let tensor_fields = [
        ("section_count", u32::from(metadata.section_count)),
        ("tile_count", metadata.tile_count.into()),
        ("tile_base_id", metadata.tile_base_id),
        ("tile_index_bytes", metadata.tile_index_bytes),
        ("covered_tile_count", metadata.covered_tile_count.into()),
        ("dropped_tile_count", metadata.dropped_tile_count.into()),
    ];
    match tensor_fields.into_iter().find(|(_, value)| *value != 0) {
        Some((field, _)) => {
            Err(ResultPushMetadata::refuse(RuleId::RES_5, field, super::submit::no_tensor(field)))
        }
        None => Ok(()),
    }
}
