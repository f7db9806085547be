//! A frame put together step by step. What has no step here is a public field of [`SubmitFrame`].

use std::time::Duration;

use bytes::Bytes;

use super::{Section, SubmitFrame};
use crate::{BudgetPolicy, FrameClass, LossTolerance, ObjectReferenceBlock, TypedPayload};

impl SubmitFrame {
    /// The tiles the frame is about, in the order of the sections' payloads.
    #[must_use]
    pub fn tiles(mut self, ids: impl IntoIterator<Item = u16>) -> Self {
        self.tile_ids = ids.into_iter().collect();
        self
    }

    /// One more tensor section: its payload for every tile.
    #[must_use]
    pub fn section(mut self, section: impl Into<Section>) -> Self {
        self.sections.push(section.into());
        self
    }

    /// One more typed payload.
    #[must_use]
    pub fn payload(mut self, payload: TypedPayload) -> Self {
        self.typed_payloads.push(payload);
        self
    }

    /// How long the answer may take from receipt, in whole milliseconds: 1 to 65535. A longer budget is sent as the longest,
    /// one of less than a millisecond as 1, because 0 means none.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.latency_budget_ms = u16::try_from(budget.as_millis()).unwrap_or(u16::MAX).max(1);
        self
    }

    /// What is taken instead of a complete result.
    #[must_use]
    pub fn allow(mut self, policy: BudgetPolicy) -> Self {
        self.budget_policy |= policy;
        self
    }

    /// The lane. Frames of different views may have the same id.
    #[must_use]
    pub fn view(mut self, view_id: u16) -> Self {
        self.view_id = view_id;
        self
    }

    /// A number that follows the frame through logs and traces of both sides.
    #[must_use]
    pub fn trace(mut self, trace_id: u64) -> Self {
        self.trace_id = trace_id;
        self
    }

    /// How the frame relates to its neighbours.
    #[must_use]
    pub fn class(mut self, class: FrameClass) -> Self {
        self.frame_class = class;
        self
    }

    /// How much loss its results bear; without it that of the session.
    #[must_use]
    pub fn loss_tolerance(mut self, level: LossTolerance) -> Self {
        self.loss_tolerance_policy = level.into();
        self
    }

    /// Width and height of the source, in pixels.
    #[must_use]
    pub fn source_size(mut self, width: u16, height: u16) -> Self {
        (self.src_width, self.src_height) = (width, height);
        self
    }

    /// Width and height of a tile, in pixels.
    #[must_use]
    pub fn tile_size(mut self, width: u16, height: u16) -> Self {
        (self.tile_width, self.tile_height) = (width, height);
        self
    }

    /// The camera block.
    #[must_use]
    pub fn camera(mut self, camera: impl Into<Bytes>) -> Self {
        self.camera = camera.into();
        self
    }

    /// The camera block in the server's cache, in place of [`SubmitFrame::camera`].
    #[must_use]
    pub fn cached_camera(mut self, object: ObjectReferenceBlock) -> Self {
        self.camera_reference = Some(object);
        self
    }

    /// The tile index in the server's cache, and how many tiles it names.
    #[must_use]
    pub fn cached_tiles(mut self, object: ObjectReferenceBlock, count: u16) -> Self {
        self.tile_index_reference = Some(object);
        self.tile_count = Some(count);
        self
    }
}
