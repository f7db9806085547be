//! The plain layout: `camera block ‖ pad ‖ tile index ‖ { pad ‖ section }`.

use super::{FrameBody, Slot, Span, section, tiles};
use crate::{
    Detail, Part, RuleId, WireError,
    reader::{self, align8},
};

/// The rules a plain body breaks around its sections.
const PLAIN_RULES: section::TableRules =
    section::TableRules { padding: RuleId::PLAIN_2, leftover: RuleId::PLAIN_3 };

impl FrameBody {
    /// Finds and checks the parts of a plain body. Results have no camera block, so `camera_bytes` is 0 for them.
    pub(super) fn decode_plain(&mut self, camera_bytes: u32, tile_index_bytes: u32) -> Result<(), WireError> {
        let body: &[u8] = &self.body;
        let index_start = align8(camera_bytes.into());
        let index_end = index_start + u64::from(tile_index_bytes);
        let (Ok(index_start), Some(index_end)) =
            (usize::try_from(index_start), usize::try_from(index_end).ok().filter(|end| *end <= body.len()))
        else {
            let text =
                format!("camera block and tile index need {index_end} bytes of body, got {}", body.len());
            return Err(WireError::new(RuleId::PLAIN_1, Part::Body, 0, "", Detail::Explained(text.into())));
        };
        let camera = Span { start: 0, end: camera_bytes as usize };
        let index = Span { start: index_start, end: index_end };
        let padding = Span { start: camera.end, end: index.start };
        if !reader::all_zero(padding.of(body)) {
            let detail = Detail::Because("padding bytes must be zero");
            return Err(WireError::new(RuleId::PLAIN_2, Part::Body, camera.end, "camera_bytes", detail));
        }
        tiles::check(self.tile_index_mode, self.tile_base_id, self.tile_count, index.of(body))
            .map_err(|error| error.moved_by(index.start))?;
        let sections = Span { start: index.end, end: body.len() };
        section::check(body, sections, self.section_count, Some(self.tile_count), PLAIN_RULES)?;
        self.camera = if camera_bytes == 0 { Slot::Absent } else { Slot::Inline(camera) };
        self.tile_index = Slot::Inline(index);
        self.sections = if self.section_count == 0 { Slot::Absent } else { Slot::Inline(sections) };
        Ok(())
    }
}
